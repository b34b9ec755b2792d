/**
 * How often each rule has admitted something, and when last, in shared memory: the packet loop writes.
 *
 * A hit is a flow that was opened by the rule, or a packet of an untracked one: what the rules were asked
 * about. Packets of a tracked flow are not asked about. By rule number (policy/rule-numbers.ts), so counts
 * go on over reloads for as long as a rule is the same; numbers are dense, so only memory in use is touched.
 */
import { RULES_MAX } from '../policy/compiled.ts';

export function ruleHitBytes(): number {
  return (8 + 4) * RULES_MAX;
}

export class RuleHits {
  readonly hits: Float64Array;
  /** Seconds of the loop's clock plus one; 0: never. */
  readonly lastHitSec: Int32Array;
  /** Set once a round. */
  nowSec = 0;

  /** @param buffer ruleHitBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.hits = new Float64Array(buffer, 0, RULES_MAX);
    this.lastHitSec = new Int32Array(buffer, 8 * RULES_MAX, RULES_MAX);
  }

  note(rule: number): void {
    this.hits[rule]++;
    this.lastHitSec[rule] = this.nowSec + 1;
  }
}

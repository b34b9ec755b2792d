/**
 * Counts how often each rule admitted something, and when last, in shared memory. The packet loop writes.
 *
 * A hit is a flow that the rule opened, or a packet of an untracked flow. Packets of a tracked flow don't ask the
 * rules. Counts are by rule number (policy/rule-numbers.ts), so a rule that stays the same keeps its count over
 * reloads. Numbers are dense, so only memory in use is touched.
 */
import { RULES_MAX } from '../policy/compiled.ts';

export function ruleHitBytes(): number {
  return (8 + 4) * RULES_MAX;
}

export class RuleHits {
  readonly hits: Float64Array;
  /** When the rule was last hit: seconds of the loop's clock plus one; 0: never. */
  readonly lastHitSec: Int32Array;
  /** Seconds of the loop's clock, set once a round. */
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

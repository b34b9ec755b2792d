/**
 * Counts how often each rule admitted something, and when last, in shared memory. The packet loop writes.
 *
 * A hit is a flow that the rule opened, or a packet of an untracked flow. Packets of a tracked flow don't ask the
 * rules. Counts are by rule number (policy/rule-numbers.ts), so a rule that stays the same keeps its count over
 * reloads. Numbers are dense, so only memory in use is touched.
 */
import { RULES_MAX } from '../policy/compiled.ts';

/** Doubles of a rule in `audited`: packets, then bytes. */
export const AUDITED_CELLS = 2;

const RULE_BYTES = 8 * (1 + AUDITED_CELLS) + 4;

/** @param rules the numbers below this have room; default: all that there may be */
export function ruleHitBytes(rules = RULES_MAX): number {
  return RULE_BYTES * rules;
}

export class RuleHits {
  readonly hits: Float64Array;
  /** What passed by a rule that only audits, as AUDITED_CELLS doubles a rule. */
  readonly audited: Float64Array;
  /** When the rule was last hit: seconds of the loop's clock plus one; 0: never. */
  readonly lastHitSec: Int32Array;
  /** Seconds of the loop's clock, set once a round. */
  nowSec = 0;

  /** @param buffer of as many bytes as ruleHitBytes says, for any number of rules */
  constructor(buffer: SharedArrayBuffer) {
    const rules = buffer.byteLength / RULE_BYTES;
    this.hits = new Float64Array(buffer, 0, rules);
    this.audited = new Float64Array(buffer, 8 * rules, AUDITED_CELLS * rules);
    this.lastHitSec = new Int32Array(buffer, 8 * (1 + AUDITED_CELLS) * rules, rules);
  }

  noteAudited(rule: number, packets: number, bytes: number): void {
    this.audited[AUDITED_CELLS * rule] += packets;
    this.audited[AUDITED_CELLS * rule + 1] += bytes;
  }

  /** Notes packets that the kernel has forwarded. */
  add(rule: number, packets: number): void {
    this.hits[rule] += packets;
    this.lastHitSec[rule] = this.nowSec + 1;
  }

  note(rule: number): void {
    this.hits[rule]++;
    this.lastHitSec[rule] = this.nowSec + 1;
  }
}

/**
 * Numbers for rules that outlive a change of policy.
 *
 * A flow entry has 20 bits for the rule that admitted it, and must mean the same rule after a reload. A
 * rule's id is made from its group, direction and content, so a rule that was not changed keeps its
 * number, and one that was is another rule. Numbers are not given out again while the daemon runs: at
 * 1,048,575 rules ever seen it refuses more (RangeError), which a restart mends.
 */
import { REVOKE_AWS, REVOKE_CUT, REVOKE_RECHECK, RULES_MAX } from './compiled.ts';
import type { GroupId, Revocation, Rule, RuleId, SecurityGroup } from './model.ts';

const REVOCATION_CODES: Readonly<Record<Revocation, number>> = {
  aws: REVOKE_AWS,
  recheck: REVOKE_RECHECK,
  cut: REVOKE_CUT,
};

/** The highest number is not given out: flows to the platform carry it (engine/gate.ts). */
const NUMBERS_MAX = RULES_MAX - 1;

export class RuleNumbers {
  private readonly numbers = new Map<RuleId, number>();
  private readonly rules: Rule[] = [];
  /** By number; undefined for a rule of an earlier process that is in no group any more. */
  private readonly groups: (GroupId | undefined)[] = [];
  private readonly revocations: number[] = [];
  /** Of each group seen, how its rules' flows are revoked. */
  private readonly codes = new Map<GroupId, number>();

  /**
   * Numbers the rules of these groups that have none yet, and notes how their flows are revoked.
   * @throws RangeError if there are too many; nothing is numbered then
   */
  take(groups: Iterable<SecurityGroup>): void {
    const unknown = new Map<RuleId, readonly [Rule, GroupId]>();
    let isModeChanged = false;
    for (const { id, ingress, egress, revocation } of groups) {
      const code = REVOCATION_CODES[revocation ?? 'aws'];
      isModeChanged ||= this.codes.get(id) !== code;
      this.codes.set(id, code);
      for (const rules of [ingress, egress]) {
        for (const rule of rules) {
          const number = this.numbers.get(rule.id);
          if (number === undefined) unknown.set(rule.id, [rule, id]);
          else this.note(number, rule, id, code);
        }
      }
    }
    if (this.rules.length + unknown.size > NUMBERS_MAX) {
      throw new RangeError(
        `${this.rules.length + unknown.size} different rules since the start; at most ${NUMBERS_MAX} can be told apart: restart the daemon`,
      );
    }
    for (const [rule, groupId] of unknown.values()) {
      this.numbers.set(rule.id, this.rules.length);
      this.note(this.rules.length, rule, groupId, this.codes.get(groupId)!);
    }
    if (!isModeChanged) return;
    // Also of rules that have just gone from a group: its mode says what becomes of their flows.
    for (let number = 0; number < this.rules.length; number++) {
      const code = this.codes.get(this.groups[number] ?? '');
      if (code !== undefined) this.revocations[number] = code;
    }
  }

  private note(number: number, rule: Rule, groupId: GroupId, code: number): void {
    this.rules[number] = rule;
    this.groups[number] = groupId;
    this.revocations[number] = code;
  }

  /** Numbers a rule of an earlier process, whose flows live on; it may be in no group any more. */
  restore(rule: Rule, revocation: Revocation): number {
    const number = this.numbers.get(rule.id) ?? this.rules.length;
    this.numbers.set(rule.id, number);
    this.rules[number] = rule;
    this.revocations[number] = REVOCATION_CODES[revocation];
    return number;
  }

  /** What becomes of the flows a rule admitted; for a number that was given. */
  revocationOf(number: number): Revocation {
    const code = this.revocations[number];
    return code === REVOKE_CUT ? 'cut' : code === REVOKE_RECHECK ? 'recheck' : 'aws';
  }

  numberOf(rule: Rule): number {
    return this.numbers.get(rule.id)!;
  }

  /** The rule as it was when its number was last in use; undefined for a number never given. */
  ruleOf(number: number): Rule | undefined {
    return this.rules[number];
  }

  /** Revocation codes by number, for the compiled policy. */
  revocation(): Uint8Array {
    return Uint8Array.from(this.revocations);
  }
}

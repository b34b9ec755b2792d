/**
 * Numbers for rules that outlive a change of policy.
 *
 * A flow entry has 20 bits for the rule that admitted it, and must mean the same rule after a reload. A
 * rule's id is made from its group, direction and content, so a rule that was not changed keeps its
 * number, and one that was is another rule. Numbers are not given out again while the daemon runs: at
 * 1,048,575 rules ever seen it refuses more (RangeError), which a restart mends.
 */
import { changedRules } from './changed-part.ts';
import { REVOKE_AWS, REVOKE_CUT, REVOKE_RECHECK, RULES_MAX } from './compiled.ts';
import type { GroupId, Revocation, Rule, RuleId, SecurityGroup } from './model.ts';

const REVOCATION_CODES: Readonly<Record<Revocation, number>> = {
  aws: REVOKE_AWS,
  recheck: REVOKE_RECHECK,
  cut: REVOKE_CUT,
};

/** The highest number is not given out: flows to the platform carry it (engine/gate.ts). */
const NUMBERS_MAX = RULES_MAX - 1;

/** The rules of a group in one direction, and their numbers. */
interface Row {
  readonly rules: readonly Rule[];
  readonly numbers: readonly number[];
}

/** A row as it was, and the rules that it is to have: those between start and end differ. */
interface RowChange {
  readonly groupId: GroupId;
  readonly old: Row;
  readonly rules: readonly Rule[];
  readonly start: number;
  readonly oldEnd: number;
  readonly nextEnd: number;
}

type Rows = ReadonlyMap<GroupId, Row>;

const EMPTY: Row = { rules: [], numbers: [] };

export class RuleNumbers {
  private readonly numbers = new Map<RuleId, number>();
  private readonly rules: Rule[] = [];
  /** By number; undefined for a rule of an earlier process that is in no group any more. */
  private readonly groups: (GroupId | undefined)[] = [];
  private revocations = new Uint8Array(256);
  private sharedRevocations: Uint8Array | undefined;
  /** Of each group seen, how its rules' flows are revoked. */
  private readonly codes = new Map<GroupId, number>();
  /** What was taken last, ingress and egress: a rule that is still at its place is not looked up again. */
  private rows: readonly [Rows, Rows] = [new Map(), new Map()];

  /**
   * Numbers the rules of these groups that have none yet, and notes how their flows are revoked.
   * @throws RangeError if there are too many; nothing is numbered then
   */
  take(groups: Iterable<SecurityGroup>): void {
    const changes: [RowChange[], RowChange[]] = [[], []];
    const unknown = new Set<RuleId>();
    let isModeChanged = false;
    for (const { id, ingress, egress, revocation } of groups) {
      const code = REVOCATION_CODES[revocation ?? 'aws'];
      isModeChanged ||= this.codes.get(id) !== code;
      this.codes.set(id, code);
      changes[0].push(this.compare(id, this.rows[0], ingress, unknown));
      changes[1].push(this.compare(id, this.rows[1], egress, unknown));
    }
    if (this.rules.length + unknown.size > NUMBERS_MAX) {
      throw new RangeError(
        `${this.rules.length + unknown.size} different rules since the start; at most ${NUMBERS_MAX} can be told apart: restart the daemon`,
      );
    }
    this.rows = [this.takeRows(changes[0]), this.takeRows(changes[1])];
    if (!isModeChanged) return;
    // Also of rules that have just gone from a group: its mode says what becomes of their flows.
    for (let number = 0; number < this.rules.length; number++) {
      const code = this.codes.get(this.groups[number] ?? '');
      if (code !== undefined) this.setRevocation(number, code);
    }
  }

  /** What differs in a row; notes the rules in it that have no number. */
  private compare(
    groupId: GroupId,
    rows: Rows,
    rules: readonly Rule[],
    unknown: Set<RuleId>,
  ): RowChange {
    const old = rows.get(groupId) ?? EMPTY;
    const [start, oldEnd, nextEnd] = changedRules(old.rules, rules);
    for (let i = start; i < nextEnd; i++)
      if (!this.numbers.has(rules[i].id)) unknown.add(rules[i].id);
    return { groupId, old, rules, start, oldEnd, nextEnd };
  }

  private takeRows(changes: readonly RowChange[]): Rows {
    const rows = new Map<GroupId, Row>();
    for (const { groupId, old, rules, start, oldEnd, nextEnd } of changes) {
      const code = this.codes.get(groupId)!;
      const come = rules.slice(start, nextEnd).map((rule) => this.number(rule, groupId, code));
      const numbers = old.numbers.slice(0, start).concat(come, old.numbers.slice(oldEnd));
      // Who asks for a rule is told where it stands now.
      for (let i = 0; i < numbers.length; i++) this.rules[numbers[i]] = rules[i];
      rows.set(groupId, { rules, numbers });
    }
    return rows;
  }

  private number(rule: Rule, groupId: GroupId, code: number): number {
    const number = this.numbers.get(rule.id) ?? this.rules.length;
    this.numbers.set(rule.id, number);
    this.rules[number] = rule;
    this.groups[number] = groupId;
    this.setRevocation(number, code);
    return number;
  }

  private setRevocation(number: number, code: number): void {
    if (number >= this.revocations.length) {
      const wider = new Uint8Array(2 * number);
      wider.set(this.revocations);
      this.revocations = wider;
    }
    this.revocations[number] = code;
    this.sharedRevocations = undefined;
  }

  /** Numbers a rule of an earlier process, whose flows live on; it may be in no group any more. */
  restore(rule: Rule, revocation: Revocation): number {
    const number = this.numbers.get(rule.id) ?? this.rules.length;
    this.numbers.set(rule.id, number);
    this.rules[number] = rule;
    this.setRevocation(number, REVOCATION_CODES[revocation]);
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

  /** Revocation codes by number, for the compiled policy; not changed by what comes after. */
  revocation(): Uint8Array {
    this.sharedRevocations ??= this.revocations.slice(0, this.rules.length);
    return this.sharedRevocations;
  }
}

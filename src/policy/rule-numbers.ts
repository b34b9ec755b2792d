/**
 * Gives rules numbers that survive a change of policy.
 *
 * A flow entry has 20 bits for the rule that admitted it. They must mean the same rule after a reload. A rule's id is
 * made from its group, direction and content, or given by a call. An unchanged rule keeps its number. One that decides
 * something else (isSameRule) is another rule, also with the same id: a call changes a rule and keeps its id.
 *
 * A number can be reused when its rule is in no group and no flow carries it. Only who reads the flow tables knows
 * that (daemon/reclaim-numbers.ts), and takes time for it. So reclaiming begins with the rules that are gone, spares
 * those that flows carry or that come back meanwhile, and ends with the rest free. More than 1,048,575 rules at a time
 * are refused (RangeError).
 */
import { interfaceAudit } from './audit.ts';
import { changedGroups, changedRules, isSameRule } from './changed-part.ts';
import {
  GATE_EGRESS,
  GATE_INGRESS,
  REVOKE_AUDIT,
  REVOKE_AWS,
  REVOKE_CUT,
  REVOKE_RECHECK,
  RULES_MAX,
} from './compiled.ts';
import type { GroupId, PolicyModel, Revocation, Rule, RuleId, SecurityGroup } from './model.ts';

const REVOCATION_CODES: Readonly<Record<Revocation, number>> = {
  aws: REVOKE_AWS,
  recheck: REVOKE_RECHECK,
  cut: REVOKE_CUT,
};

/** The highest number is reserved: flows to the platform carry it (engine/gate.ts). */
const NUMBERS_MAX = RULES_MAX - 1;

/** A rule in force, with the number that its hits are counted by. */
export interface NumberedRule {
  readonly number: number;
  readonly rule: Rule;
  readonly groupId: string;
  readonly direction: 'ingress' | 'egress';
}

/** The rules of a group in one direction, with their numbers. */
interface Row {
  readonly rules: readonly Rule[];
  readonly numbers: readonly number[];
}

/** A row as it was, and its new rules. Those between start and end differ. */
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
const NO_RULES: readonly Rule[] = [];
/** The row of rules that only audit: those of an interface are of no group. */
const AUDITED = 2;
const NO_GROUP: GroupId = '';

export class RuleNumbers {
  /** The number of the rule that has this id now. */
  private readonly numbers = new Map<RuleId, number>();
  /** Of rules that had the id before and decided something else, the newest first. */
  private readonly former = new Map<RuleId, readonly number[]>();
  /** By number; undefined where the number is free. */
  private readonly rules: (Rule | undefined)[] = [];
  private readonly free: number[] = [];
  /** How many rules have left their group since numbers were reclaimed last. */
  private gone = 0;
  /** Numbers that are about to be free. */
  private readonly reclaimed = new Set<number>();
  /** Numbers given out during a trial. */
  private onTrial: number[] | undefined;
  /** By number; undefined for a rule of an earlier process that is in no group any more. */
  private readonly groups: (GroupId | undefined)[] = [];
  private revocations = new Uint8Array(256);
  private sharedRevocations: Uint8Array | undefined;
  /** The revocation code of each group seen so far. */
  private readonly codes = new Map<GroupId, number>();
  /** Rows of the last `take`: ingress, egress, AUDITED. A rule that is still in its place is not looked up again. */
  private readonly rows: readonly Map<GroupId, Row>[] = [new Map(), new Map(), new Map()];
  /** The groups of the last `take`. */
  private taken: ReadonlyMap<GroupId, SecurityGroup> = new Map();

  /** Does what `take` does, with all rules of a model. */
  takeModel(model: Pick<PolicyModel, 'groups' | 'interfaces'>): void {
    this.take(model.groups, interfaceAudit(model));
  }

  /**
   * Numbers the rules of these groups that have no number yet, and notes how their flows are revoked.
   * @param ofInterfaces the rules by which interfaces are audited (audit.ts)
   * @throws RangeError if there are too many; nothing is numbered then
   */
  take(
    groups: ReadonlyMap<GroupId, SecurityGroup>,
    ofInterfaces: readonly Rule[] = NO_RULES,
  ): void {
    const changes: readonly RowChange[][] = [[], [], []];
    const unknown = new Set<RuleId>();
    const { gone, come } = changedGroups(this.taken, groups);
    let isModeChanged = false;
    for (const [, { id, ingress, egress, audited = NO_RULES, revocation }] of come) {
      const code = REVOCATION_CODES[revocation ?? 'aws'];
      isModeChanged ||= this.codes.get(id) !== code;
      this.codes.set(id, code);
      changes[0].push(this.compare(id, this.rows[0], ingress, unknown));
      changes[1].push(this.compare(id, this.rows[1], egress, unknown));
      changes[AUDITED].push(this.compare(id, this.rows[AUDITED], audited, unknown));
    }
    changes[AUDITED].push(this.compare(NO_GROUP, this.rows[AUDITED], ofInterfaces, unknown));
    const count = this.rules.length - this.free.length + unknown.size;
    if (count > NUMBERS_MAX) {
      throw new RangeError(
        `${count} different rules with those that connections are of; at most ${NUMBERS_MAX} can be told apart: remove rules, or restart the daemon`,
      );
    }
    for (const { id } of gone)
      for (const rows of this.rows) {
        this.gone += rows.get(id)?.rules.length ?? 0;
        rows.delete(id);
      }
    this.taken = groups;
    this.rows.forEach((rows, i) => this.takeRows(rows, changes[i]));
    if (!isModeChanged) return;
    // A changed mode also applies to rules that were just removed from the group: it decides about their flows.
    for (let number = 0; number < this.rules.length; number++) {
      const code = this.codes.get(this.groups[number] ?? NO_GROUP);
      const rule = this.rules[number];
      if (code !== undefined) this.setRevocation(number, codeOf(rule, code));
    }
  }

  /** Finds what differs in a row, and collects the rules in it without a number. */
  private compare(
    groupId: GroupId,
    rows: Rows,
    rules: readonly Rule[],
    unknown: Set<RuleId>,
  ): RowChange {
    const old = rows.get(groupId) ?? EMPTY;
    const [start, oldEnd, nextEnd] = changedRules(old.rules, rules);
    for (let i = start; i < nextEnd; i++)
      if (this.find(rules[i]) === undefined) unknown.add(rules[i].id);
    return { groupId, old, rules, start, oldEnd, nextEnd };
  }

  private takeRows(rows: Map<GroupId, Row>, changes: readonly RowChange[]): void {
    for (const { groupId, old, rules, start, oldEnd, nextEnd } of changes) {
      const code = this.codes.get(groupId) ?? REVOKE_AWS;
      const come = rules.slice(start, nextEnd).map((rule) => this.number(rule, groupId, code));
      this.gone += oldEnd - start;
      const numbers = old.numbers.slice(0, start).concat(come, old.numbers.slice(oldEnd));
      // Unchanged rules may stand on another line now: keep the newest object, which has the position.
      for (let i = 0; i < numbers.length; i++) this.rules[numbers[i]] = rules[i];
      rows.set(groupId, { rules, numbers });
    }
  }

  private number(rule: Rule, groupId: GroupId | undefined, code: number): number {
    const known = this.find(rule);
    const number = known ?? this.free.pop() ?? this.rules.length;
    if (known === undefined) this.onTrial?.push(number);
    this.reclaimed.delete(number);
    const others = this.numbersOf(rule.id).filter((one) => one !== number);
    this.keep(rule.id, [number, ...others]);
    this.rules[number] = rule;
    if (groupId !== undefined) this.groups[number] = groupId;
    this.setRevocation(number, codeOf(rule, code));
    return number;
  }

  /** The number that a rule has already. */
  private find(rule: Rule): number | undefined {
    return this.numbersOf(rule.id).find((number) => isSameRule(this.rules[number]!, rule));
  }

  /** All numbers of an id. */
  private numbersOf(id: RuleId): readonly number[] {
    const number = this.numbers.get(id);
    return number === undefined ? [] : [number, ...(this.former.get(id) ?? [])];
  }

  private keep(id: RuleId, [number, ...former]: readonly number[]): void {
    if (number === undefined) this.numbers.delete(id);
    else this.numbers.set(id, number);
    if (former.length === 0) this.former.delete(id);
    else this.former.set(id, former);
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

  /** Numbers a rule of an earlier process whose flows live on. It may be in no group any more. */
  restore(rule: Rule, revocation: Revocation): number {
    return this.number(rule, undefined, REVOCATION_CODES[revocation]);
  }

  /** How many numbers are in use. */
  get count(): number {
    return this.rules.length - this.free.length;
  }

  /** How many rules have left their group since numbers were reclaimed last. */
  get goneCount(): number {
    return this.gone;
  }

  /**
   * Takes the groups of a policy that does not come into force, then those in force again. Rules that are in the first
   * alone give back their numbers: else whoever only asks would use them up.
   */
  tryOut<T>(trial: () => T, back: () => void): T {
    this.onTrial = [];
    try {
      return trial();
    } finally {
      const given = this.onTrial;
      this.onTrial = undefined;
      back();
      this.release(given);
    }
  }

  /** Begins to reclaim the numbers of rules that are in no group. The groups of the last `take` must be in force. */
  beginReclaim(): void {
    this.gone = 0;
    this.rules.forEach((rule, number) => {
      if (rule !== undefined) this.reclaimed.add(number);
    });
    for (const rows of this.rows)
      for (const { numbers } of rows.values())
        for (const number of numbers) this.reclaimed.delete(number);
  }

  /** A flow carries this number. */
  spare(number: number): void {
    this.reclaimed.delete(number);
  }

  /** @returns the numbers that are free now */
  endReclaim(): readonly number[] {
    const numbers = [...this.reclaimed];
    this.reclaimed.clear();
    this.release(numbers);
    return numbers;
  }

  private release(numbers: readonly number[]): void {
    for (const number of numbers) {
      const rule = this.rules[number];
      if (rule !== undefined)
        this.keep(
          rule.id,
          this.numbersOf(rule.id).filter((one) => one !== number),
        );
      this.rules[number] = undefined;
      this.groups[number] = undefined;
      this.free.push(number);
    }
  }

  /** How the flows that a rule admitted are revoked. Only for a number that was given out. */
  revocationOf(number: number): Revocation {
    const code = this.revocations[number];
    return code === REVOKE_CUT ? 'cut' : code === REVOKE_RECHECK ? 'recheck' : 'aws';
  }

  numberOf(rule: Rule): number {
    return this.numbers.get(rule.id)!;
  }

  /** The rule as it was when its number was last in use; undefined for a number never given out. */
  ruleOf(number: number): Rule | undefined {
    return this.rules[number];
  }

  /** Revocation codes by number, for the compiled policy. A copy, which later changes leave alone. */
  revocation(): Uint8Array {
    this.sharedRevocations ??= this.revocations.slice(0, this.rules.length);
    return this.sharedRevocations;
  }
}

/** @param ofGroup how flows of the group are revoked. Those of a rule that only audits go by what admits them. */
function codeOf(rule: Rule | undefined, ofGroup: number): number {
  if (rule?.audit !== true) return ofGroup;
  return REVOKE_AUDIT + (rule.direction === 'ingress' ? GATE_INGRESS : GATE_EGRESS);
}

/**
 * This file answers `sgctl rules` and `sgctl groups`: the rules in force, how much each has admitted, and when last.
 */
import { ruleOf } from '../conntrack/entry.ts';
import { scanFlows } from '../telemetry/flow-scan.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook, RuleView } from './rule-book.ts';
import { readChoice, readWords, RequestError } from './traffic-filter.ts';
import { groupAudit } from '../policy/audit.ts';
import type { PolicyModel, SecurityGroup } from '../policy/model.ts';
import type { AuditedTraffic } from './audit-view.ts';
import { listWords } from '../source/suggest.ts';
import { ambiguousGroupText, findGroups, groupLabel } from '../policy/vpcs.ts';

export const RULE_ORDERS = ['file', 'hits', 'last', 'flows'] as const;

export interface RulesQuestion {
  /** Names or ids; absent: of every group. */
  readonly groups?: readonly string[];
  readonly direction?: 'ingress' | 'egress';
  /** Only those that have admitted nothing. */
  readonly neverHit?: boolean;
  readonly sort?: (typeof RULE_ORDERS)[number];
}

export interface RuleUse extends RuleView {
  /** Flows it admitted, and packets of untracked ones, since the daemon started. */
  readonly hits: number;
  /** Ms since 1970. */
  readonly lastHitMs?: number;
  /** Tracked now. */
  readonly flows: number;
  /** Of a rule that only audits: what has passed by it, all packets of its flows. */
  readonly audited?: AuditedTraffic;
}

export interface RulesAnswer {
  /** When counting of hits began, in ms since 1970. */
  readonly sinceMs: number;
  readonly rules: readonly RuleUse[];
}

export interface GroupUse {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** What happens to tracked flows when its rules change. */
  readonly revocation: 'aws' | 'recheck' | 'cut';
  readonly ingress: number;
  readonly egress: number;
  /** Names of the interfaces that have it. */
  readonly interfaces: readonly string[];
  /** How many interfaces of other hosts are in it, as far as rules here name it; absent: none. */
  readonly elsewhere?: number;
  /** Its rules are not known here: no interface of this host has it, and rules name it. Absent: false. */
  readonly isOnlyNamed?: boolean;
  readonly hits: number;
  readonly lastHitMs?: number;
  readonly flows: number;
  /** What has passed by audit alone, by the group (`isAll`) or by rules of it. Absent: it is enforced. */
  readonly audit?: AuditedTraffic & { readonly isAll: boolean };
  readonly origin: { readonly file: string; readonly line: number; readonly logicalId?: string };
}

export async function listRules(
  observatory: Observatory,
  book: RuleBook,
  question: RulesQuestion,
): Promise<RulesAnswer> {
  const groups = new Set(
    readWords(question.groups, 'groups').map((text) =>
      groupIdOf(observatory.config.model.groups, text),
    ),
  );
  const direction = readChoice(question.direction, 'direction', ['ingress', 'egress']);
  const order = readChoice(question.sort, 'sort', RULE_ORDERS) ?? 'file';
  const flows = await countFlowsByRule(observatory);
  const rules = [...book.rules, ...book.audits]
    .filter((one) => groups.size === 0 || groups.has(one.groupId))
    .filter((one) => direction === undefined || one.direction === direction)
    .map(({ number }) => ruleUse(observatory, book, number, flows))
    .filter(({ hits }) => question.neverHit !== true || hits === 0);
  return { sinceMs: observatory.startedMs, rules: sortRules(rules, order) };
}

export async function listGroups(observatory: Observatory, book: RuleBook): Promise<GroupUse[]> {
  const flows = await countFlowsByRule(observatory);
  const uses = [...book.rules].map((one) => ({
    groupId: one.groupId,
    use: ruleUse(observatory, book, one.number, flows),
  }));
  const { groups, interfaces, remoteMembers } = observatory.config.model;
  return [...groups.values()].map((group) => {
    const own = uses.filter(({ groupId }) => groupId === group.id).map(({ use }) => use);
    const last = Math.max(...own.map(({ lastHitMs }) => lastHitMs ?? 0), 0);
    const { file, line, logicalId } = group.origin;
    const elsewhere = remoteMembers?.get(group.id)?.size ?? 0;
    return {
      id: group.id,
      name: groupLabel(group),
      description: group.description,
      revocation: group.revocation ?? 'aws',
      ingress: group.ingress.length,
      egress: group.egress.length,
      interfaces: [...interfaces.values()]
        .filter(({ groupIds }) => groupIds.includes(group.id))
        .map(({ name }) => name),
      ...(elsewhere === 0 ? {} : { elsewhere }),
      ...(group.isOnlyNamed === true ? { isOnlyNamed: true } : {}),
      hits: sum(own.map(({ hits }) => hits)),
      ...(last === 0 ? {} : { lastHitMs: last }),
      flows: sum(own.map((use) => use.flows)),
      ...auditOf(observatory, book, group),
      origin: { file, line, ...(logicalId === undefined ? {} : { logicalId }) },
    };
  });
}

function auditOf(
  { dataplane }: Observatory,
  book: RuleBook,
  group: SecurityGroup,
): Pick<GroupUse, 'audit'> {
  if (group.audited === undefined) return {};
  const passed = [...book.audits]
    .filter(({ groupId }) => groupId === group.id)
    .map(({ number }) => dataplane.auditedBy(number));
  const packets = sum(passed.map((one) => one.packets));
  const bytes = sum(passed.map((one) => one.bytes));
  return { audit: { packets, bytes, isAll: groupAudit(group).length > 0 } };
}

async function countFlowsByRule({ dataplane }: Observatory): Promise<ReadonlyMap<number, number>> {
  const counts = new Map<number, number>();
  await scanFlows(dataplane.flows, dataplane, (table, flow) => {
    const rule = ruleOf(table, flow);
    counts.set(rule, (counts.get(rule) ?? 0) + 1);
  });
  return counts;
}

function ruleUse(
  { dataplane }: Observatory,
  book: RuleBook,
  number: number,
  flows: ReadonlyMap<number, number>,
): RuleUse {
  const lastHitMs = dataplane.lastHitAt(number);
  const view = book.view(number)!;
  return {
    ...view,
    ...(view.audit === true ? { audited: dataplane.auditedBy(number) } : {}),
    hits: dataplane.hitsOf(number),
    ...(lastHitMs === undefined ? {} : { lastHitMs: Math.round(lastHitMs) }),
    flows: flows.get(number) ?? 0,
  };
}

function sortRules(rules: RuleUse[], order: (typeof RULE_ORDERS)[number]): RuleUse[] {
  switch (order) {
    case 'file':
      return rules;
    case 'hits':
      return rules.sort((a, b) => b.hits - a.hits);
    case 'last':
      return rules.sort((a, b) => (b.lastHitMs ?? 0) - (a.lastHitMs ?? 0));
    case 'flows':
      return rules.sort((a, b) => b.flows - a.flows);
    default:
      return order satisfies never;
  }
}

/**
 * Finds the id of a group by its name, its id or `sg:NAME`.
 * @throws RequestError if there is none
 */
export function groupIdOf(groups: PolicyModel['groups'], text: string): string {
  const all = [...groups.values()];
  const found = findGroups(all, text);
  if (found.length === 1) return found[0].id;
  if (found.length > 1) throw new RequestError(ambiguousGroupText(text, found));
  const names = all.map(groupLabel);
  throw new RequestError(`there is no group '${text}' (groups: ${listWords(names)})`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

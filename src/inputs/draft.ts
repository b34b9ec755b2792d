/**
 * Collects what an input says of groups, lists, interfaces and networks, and makes a model of it by the policy's
 * checks. What the input leaves open is noted as such (policy/doubt.ts): it opens nothing, and it closes nothing for
 * certain.
 *
 * Readers of plans and of accounts fill a draft and know nothing of the model. Ids that are not known yet are made of
 * the address of the resource, so that they are the same at each reading.
 */
import { giveIds, separateRepeated, type UnnamedRule } from '../policy/group-rules.ts';
import { makeAuditAll } from '../policy/audit.ts';
import { defaultEgress, defaultIngress, ruleIdOfKey } from '../policy/default-group.ts';
import type {
  Direction,
  GroupId,
  InterfaceId,
  NetworkInterface,
  Origin,
  PolicyModel,
  PossibleRule,
  PrefixList,
  PrefixListId,
  Rule,
  SecurityGroup,
  Vpc,
  VpcId,
  VpcRef,
} from '../policy/model.ts';
import { parseBlock, readPermission, type PermissionText } from '../policy/permissions.ts';
import { refusalText } from '../policy/refusals.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { DEFAULT_CONNECTION_TRACKING } from '../policy/idle-timeouts.ts';
import { problemAt } from '../policy/problem-at.ts';
import { ruleKey } from '../policy/rules.ts';
import type { Problem } from '../source/problem.ts';
import {
  readBlocks,
  type DraftGroup,
  type DraftInterface,
  type DraftList,
  type DraftNetwork,
  type DraftRule,
  type PlannedAddresses,
} from './draft-parts.ts';
import { planAddresses } from './plan-addresses.ts';

export class ModelDraft {
  readonly groups = new Map<GroupId, DraftGroup>();
  readonly lists = new Map<PrefixListId, DraftList>();
  readonly interfaces = new Map<InterfaceId, DraftInterface>();
  readonly vpcs = new Map<VpcId, DraftNetwork>();
  readonly subnets = new Map<string, DraftNetwork>();
  /** What the input is, in words: `the plan`. */
  readonly what: string;

  constructor(what: string) {
    this.what = what;
  }

  /** The group of that id; if the input has none, one of which nothing but the id is known. */
  group(id: GroupId, origin: Origin): DraftGroup {
    const known = this.groups.get(id);
    if (known !== undefined) return known;
    const why = `it is not in ${this.what}`;
    const group = {
      ...{ id, name: id, description: '', vpcId: undefined, origin, rules: [] },
      ...{ gaps: { ingress: [why], egress: [why] }, memberGaps: [why] },
    };
    this.groups.set(id, group);
    return group;
  }

  /** The same of a prefix list. */
  list(id: PrefixListId, origin: Origin): DraftList {
    const known = this.lists.get(id);
    if (known !== undefined) return known;
    const gaps = [`it is not in ${this.what}`];
    const list = { id, name: id, family: 4, maxEntries: 1, entries: [], gaps, origin } as const;
    const made: DraftList = { ...list, entries: [], gaps };
    this.lists.set(id, made);
    return made;
  }

  /** Makes the model. Problems are added, also those of values that AWS would refuse. */
  finish(problems: Problem[], asked: ReadonlyMap<string, string> = new Map()): PolicyModel {
    for (const { rules, origin } of [...this.groups.values()])
      for (const { text } of rules) this.nameStrangers(text, origin);
    const vpcs = this.readVpcs(problems);
    const refs = new Map<VpcId, VpcRef>([...vpcs].map(([id, { name }]) => [id, { id, name }]));
    const refOf = (id: VpcId | undefined): { readonly vpc?: VpcRef } =>
      vpcs.size < 2 || id === undefined || !refs.has(id) ? {} : { vpc: refs.get(id)! };
    const prefixLists = new Map(
      [...this.lists].map(([id, list]) => [id, readList(list, problems)]),
    );
    const source = { groups: this.plainGroups(), prefixLists };
    const groups = new Map(
      [...this.groups].map(([id, draft]) => [
        id,
        { ...readGroup(draft, source, problems), ...refOf(draft.vpcId) },
      ]),
    );
    const planned = planAddresses(this, asked, problems);
    const interfaces = new Map<InterfaceId, NetworkInterface>();
    for (const draft of this.interfaces.values()) {
      const place = planned.get(draft.id);
      if (place === undefined) continue;
      interfaces.set(draft.id, { ...makeInterface(draft, place), ...refOf(draft.vpcId) });
    }
    const isElsewhere = true;
    return { groups, prefixLists, interfaces, isElsewhere, ...(vpcs.size < 2 ? {} : { vpcs }) };
  }

  /** Groups and lists that rules name and nothing describes. */
  private nameStrangers({ peers }: PermissionText, origin: Origin): void {
    for (const { kind, text } of peers) {
      if (kind === 'group') this.group(text, origin);
      if (kind === 'prefixList') this.list(text, origin);
    }
  }

  /** Without their VPCs: what an account has or a plan makes may name groups of VPCs that are peered. */
  private plainGroups(): ReadonlyMap<GroupId, Pick<SecurityGroup, 'id'>> {
    return new Map([...this.groups.keys()].map((id) => [id, { id }]));
  }

  private readVpcs(problems: Problem[]): Map<VpcId, Vpc> {
    return new Map(
      [...this.vpcs.values()].map(({ id, name, blocks, origin }) => [
        id,
        { id, name, origin, cidrBlocks: readBlocks(blocks, origin, problems) },
      ]),
    );
  }
}

function makeInterface(draft: DraftInterface, planned: PlannedAddresses): NetworkInterface {
  const { id, name, groupIds, doubtGroups, gaps, sourceDestCheck, origin } = draft;
  const groups = new Map([...doubtGroups].filter(([group]) => !groupIds.has(group)));
  const { addresses, within } = planned;
  const isCertain = groups.size === 0 && gaps.length === 0 && within === undefined;
  return {
    id,
    name,
    addresses,
    groupIds: [...groupIds],
    sourceDestCheck,
    connectionTracking: draft.connectionTracking ?? DEFAULT_CONNECTION_TRACKING,
    ...(draft.audit === undefined ? {} : { audit: draft.audit }),
    ...draft.filters,
    origin,
    ...(isCertain ? {} : { doubt: { groups, gaps, ...(within === undefined ? {} : { within }) } }),
  };
}

function readGroup(
  { id, name, description, origin, rules, gaps, memberGaps, isUntouched, audit }: DraftGroup,
  source: Parameters<typeof readPermission>[2],
  problems: Problem[],
): SecurityGroup {
  const own = isUntouched === true ? ownRules(id, name, origin) : [];
  const read = rules.flatMap((rule) => readRule(id, rule, source, problems));
  const sure = new Map(own.map((rule) => [ruleKey(rule), rule]));
  for (const { rule, possible } of read)
    if (possible === undefined && !sure.has(ruleKey(rule))) sure.set(ruleKey(rule), rule);
  const possible = read.flatMap(({ rule, possible: why }): PossibleRule[] =>
    why === undefined || sure.has(ruleKey(rule)) ? [] : [{ ...rule, why }],
  );
  const of = (direction: Direction): readonly Rule[] =>
    [...sure.values()].filter((rule) => rule.direction === direction);
  const open = (['ingress', 'egress'] as const).filter((direction) => gaps[direction].length > 0);
  return {
    ...{ id, name, description, ingress: of('ingress'), egress: of('egress'), origin },
    ...(open.length === 0
      ? {}
      : { gaps: Object.fromEntries(open.map((one) => [one, [...new Set(gaps[one])]])) }),
    ...(possible.length === 0 ? {} : { possible }),
    ...(audit === true ? { audited: makeAuditAll(id, origin) } : {}),
    ...(memberGaps.length === 0 ? {} : { memberGaps: [...new Set(memberGaps)] }),
  };
}

function ownRules(id: GroupId, name: string, origin: Origin): readonly Rule[] {
  const egress = defaultEgress(id, origin);
  return name === DEFAULT_GROUP_NAME ? [...defaultIngress(id, origin), ...egress] : egress;
}

interface ReadRule {
  readonly rule: Rule;
  readonly possible: string | undefined;
}

function readRule(
  groupId: GroupId,
  { direction, text, origin, id, possible }: DraftRule,
  source: Parameters<typeof readPermission>[2],
  problems: Problem[],
): readonly ReadRule[] {
  const permissions = readPermission(text, {}, source);
  if (!permissions.ok) {
    const message = `AWS refuses this rule: ${refusalText(permissions.refusals)}`;
    problems.push(problemAt(origin, 'error', 'refused-rule', message));
    return [];
  }
  const facts = permissions.value.map(({ description = '', ...permission }): UnnamedRule => ({
    ...permission,
    direction,
    description,
    origin,
  }));
  const { fresh } = separateRepeated(facts);
  return giveIds(fresh, (key) => id ?? ruleIdOfKey(groupId, direction, key)).map((rule) => ({
    rule,
    possible,
  }));
}

function readList(list: DraftList, problems: Problem[]): PrefixList {
  const { id, name, family, maxEntries, gaps, origin } = list;
  const entries = list.entries.flatMap(({ cidr, description }) => {
    const parsed = parseBlock(
      cidr,
      family,
      `an entry of an IPv${family} list is an IPv${family} block`,
    );
    if (parsed.ok) return [{ cidr: parsed.value.block, description }];
    problems.push(problemAt(origin, 'error', 'bad-cidr', parsed.message, parsed.hint));
    return [];
  });
  return {
    ...{ id, name, family, maxEntries: maxEntries ?? Math.max(1, entries.length), entries, origin },
    ...(gaps.length === 0 ? {} : { gaps }),
  };
}

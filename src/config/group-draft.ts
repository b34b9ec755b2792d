/**
 * This file makes a configuration of one that is known and other rules of one of its groups: what somebody would like
 * to know before anything is changed (the console's draft). The rules are given as values in the words of a
 * configuration file and read as those are, so a draft that has no errors here has none in a file.
 *
 * A rule that the group has already stays the same object, with its id and the place where it is written. All else of
 * the group stays as it is: what it is called, what only an input leaves open, whether it is in audit mode.
 */
import { auditedRules, groupAudit } from '../policy/audit.ts';
import { DNS_PREFIX } from '../policy/dns-names.ts';
import { ANY, PROTOCOL_ALL, type Direction, type PolicyModel, type Rule, type SecurityGroup } from '../policy/model.ts'; // prettier-ignore
import { hasIcmpType, hasPorts, protocolName } from '../policy/protocols.ts';
import { PORT_MAX, ruleKey } from '../policy/rules.ts';
import { formatCidr } from '../addr/address.ts';
import {
  ambiguousGroupText,
  findForeignReferences,
  findGroups,
  foreignReferenceText,
  groupLabel,
} from '../policy/vpcs.ts';
import { makeEntry, makeList, makeMapping, makeScalar, type Node } from '../source/nodes.ts';
import { itemPath, keyPath } from '../source/paths.ts';
import { hasErrors, type Position, type Problem } from '../source/problem.ts';
import { didYouMean } from '../source/suggest.ts';
import type { Config } from './config.ts';
import { checkNames } from './config-dns-names.ts';
import { makeGroupDirectory, makePrefixListDirectory, type Directory } from './config-names.ts';
import { checkQuotas } from './config-quotas.ts';
import { makeReader, placeOf } from './config-reader.ts';
import { readRules, type RuleContext } from './config-rules.ts';

/** Most rules of a draft in a direction; AWS's largest quota of rules a group is 1,000. */
export const DRAFT_RULES_MAX = 1000;

/** A rule of a draft. */
export interface PermissionDraft {
  /** `tcp`, `udp`, `icmp`, `icmpv6`, `all` or a number. */
  readonly protocol: string;
  /** Of tcp and udp: `443`, `8000-8100`, `all`. */
  readonly ports?: string;
  /** Of icmp and icmpv6: a number, or `all`. */
  readonly type?: string;
  readonly code?: string;
  /** `10.0.0.0/8`, `sg:NAME`, `pl:NAME`, `self`, of egress also `dns:NAME`. */
  readonly peer: string;
  readonly description?: string;
  /** Of egress rules with a `dns:` peer: the name is required of TLS too. */
  readonly tlsName?: 'required';
  /** It only audits. */
  readonly audit?: boolean;
}

export interface GroupDraft {
  /** Its name or id; `VPC/NAME` where there are several VPCs. */
  readonly group: string;
  readonly ingress: readonly PermissionDraft[];
  readonly egress: readonly PermissionDraft[];
}

/** What a draft is made from, and what it becomes. */
export type DraftBase = Pick<Config, 'model' | 'quotas'>;

export interface DraftedConfig<Base extends DraftBase> {
  /** Undefined if any problem is an error. */
  readonly config: Base | undefined;
  /** Of the draft alone, not of what was there before. Paths are as `ingress[0].ports`. */
  readonly problems: readonly Problem[];
}

const FILE = 'draft';
const NOWHERE: Position = { file: FILE, line: 0, column: 0 };
const PEER_KEYS = { ingress: 'from', egress: 'to' } as const;

/** Never throws because of what the draft says. */
export function draftConfig<Base extends DraftBase>(
  config: Base,
  draft: GroupDraft,
): DraftedConfig<Base> {
  const { model, quotas } = config;
  const problems: Problem[] = [];
  const group = findGroup(model, draft.group, problems);
  if (group === undefined) return { config: undefined, problems };
  const context = makeContext(model, problems);
  const read = (direction: Direction): ReturnType<typeof readRules> =>
    readRules(context, makeNode(draft[direction], direction), direction, group.id);
  const [ingress, egress] = [read('ingress'), read('egress')];
  const audited = [...ingress.audited, ...egress.audited, ...groupAudit(group)];
  const { audited: had = [], ...rest } = group;
  const next: SecurityGroup = {
    ...rest,
    ingress: keepKnown(ingress.rules, group.ingress),
    egress: keepKnown(egress.rules, group.egress),
    ...(audited.length === 0 ? {} : { audited: keepKnown(audited, had) }),
  };
  const groups = new Map(model.groups).set(group.id, next);
  const drafted = { ...config, model: { ...model, groups } };
  problems.push(...refuseStrangers(group, next, model));
  const limits = (one: PolicyModel): readonly Problem[] => [
    ...checkQuotas(one, quotas),
    ...checkNames(one),
  ];
  const before = new Set(limits(model).map(({ message }) => message));
  problems.push(...limits(drafted.model).filter(({ message }) => !before.has(message)));
  return { config: hasErrors(problems) ? undefined : drafted, problems };
}

/** The rules of a group as a draft has them. @returns undefined, with a problem, if there is no such group */
export function draftOf(
  model: PolicyModel,
  text: string,
): { readonly draft: GroupDraft | undefined; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const group = findGroup(model, text, problems);
  if (group === undefined) return { draft: undefined, problems };
  const permissions = (direction: Direction): PermissionDraft[] =>
    [...group[direction], ...auditedRules(group, direction)].map((rule) =>
      permissionOf(rule, model),
    );
  const label = nameOf(group, model);
  return {
    draft: { group: label, ingress: permissions('ingress'), egress: permissions('egress') },
    problems,
  };
}

function permissionOf(rule: Rule, model: PolicyModel): PermissionDraft {
  const { protocol, peer, description, audit } = rule;
  return {
    protocol: protocol === PROTOCOL_ALL ? 'all' : protocolName(protocol),
    ...serviceOf(rule),
    peer: peerOf(rule, model),
    ...(description === '' ? {} : { description }),
    ...(peer.kind === 'dns' && peer.tlsName === true ? { tlsName: 'required' } : {}),
    ...(audit === true ? { audit } : {}),
  };
}

function serviceOf({
  protocol,
  fromPort,
  toPort,
}: Rule): Pick<PermissionDraft, 'ports' | 'type' | 'code'> {
  if (protocol === PROTOCOL_ALL) return {};
  if (hasPorts(protocol)) {
    if (fromPort === 0 && toPort === PORT_MAX) return { ports: 'all' };
    return { ports: fromPort === toPort ? `${fromPort}` : `${fromPort}-${toPort}` };
  }
  if (!hasIcmpType(protocol)) return {};
  const type = fromPort === ANY ? 'all' : `${fromPort}`;
  return { type, ...(toPort === ANY ? {} : { code: `${toPort}` }) };
}

function peerOf({ peer }: Rule, model: PolicyModel): string {
  switch (peer.kind) {
    case 'cidr':
      return formatCidr(peer.cidr);
    case 'group': {
      const group = model.groups.get(peer.groupId);
      return group === undefined ? peer.groupId : `sg:${nameOf(group, model)}`;
    }
    case 'prefixList': {
      const name = model.prefixLists.get(peer.prefixListId)?.name;
      const isOnly =
        [...model.prefixLists.values()].filter((one) => one.name === name).length === 1;
      return name !== undefined && isOnly ? `pl:${name}` : peer.prefixListId;
    }
    case 'dns':
      return `${DNS_PREFIX}${peer.name}`;
    default:
      return peer satisfies never;
  }
}

/** Its label, if that finds it and no other; else its id. */
function nameOf(group: SecurityGroup, { groups }: PolicyModel): string {
  const label = groupLabel(group);
  const found = findGroups([...groups.values()], label);
  return found.length === 1 && found[0].id === group.id ? label : group.id;
}

function findGroup(
  { groups }: PolicyModel,
  text: string,
  problems: Problem[],
): SecurityGroup | undefined {
  const all = [...groups.values()];
  const found = findGroups(all, text);
  if (found.length === 1) return found[0];
  const message =
    found.length > 1
      ? ambiguousGroupText(text, found)
      : `there is no security group '${text}'${didYouMean(text, all.map(groupLabel))}`;
  problems.push({
    severity: 'error',
    code: 'unknown-group',
    at: undefined,
    path: 'group',
    message,
  });
  return undefined;
}

function makeContext(model: PolicyModel, problems: Problem[]): RuleContext {
  const { groups, prefixLists } = model;
  // What the model has is in order, whatever it is called: names that two have are asked for with the VPC, or by id.
  const silent = makeReader([]);
  const fill = (directory: Directory, named: Iterable<SecurityGroup | ListOf>): Directory => {
    for (const one of named) {
      const vpc = 'vpc' in one ? one.vpc : undefined;
      const home = vpc === undefined ? {} : { vpcId: vpc.id, vpc };
      directory.add(silent, one, placeOf(one.origin), home);
    }
    return directory;
  };
  return {
    reader: makeReader(problems),
    groups: fill(makeGroupDirectory(), groups.values()),
    prefixLists: fill(makePrefixListDirectory(), prefixLists.values()),
    names: model,
  };
}

type ListOf = PolicyModel['prefixLists'] extends ReadonlyMap<string, infer One> ? One : never;

/** The rules as the tree of a file has them. */
function makeNode(rules: readonly PermissionDraft[], direction: Direction): Node {
  const items = rules.map((rule, i) => {
    const path = itemPath(direction, i);
    const at = { ...NOWHERE, line: i + 1 };
    const { peer, ...rest } = rule;
    const values = Object.entries({ ...rest, [PEER_KEYS[direction]]: peer });
    const entries = values.flatMap(([key, value]) => {
      if (value === undefined) return [];
      const node = makeScalar(at, keyPath(path, key), undefined, value, String(value));
      return [makeEntry(key, at, node, undefined)];
    });
    return makeMapping(at, path, undefined, entries);
  });
  return makeList(NOWHERE, direction, undefined, items);
}

/** Rules that say what a known one says are that one, unless what is told of it changes. */
function keepKnown(rules: readonly Rule[], known: readonly Rule[]): readonly Rule[] {
  const byKey = new Map(known.map((rule) => [`${rule.direction} ${ruleKey(rule)}`, rule]));
  return rules.map((rule) => {
    const had = byKey.get(`${rule.direction} ${ruleKey(rule)}`);
    if (had === undefined || rule.implied === true) return rule;
    const { description } = rule;
    return had.description === description ? had : { ...had, description };
  });
}

/** AWS refuses rules that name a group of another VPC. */
function refuseStrangers(
  group: SecurityGroup,
  next: SecurityGroup,
  { groups }: PolicyModel,
): readonly Problem[] {
  const known = new Set<Rule>([...group.ingress, ...group.egress, ...(group.audited ?? [])]);
  return findForeignReferences(new Map([...groups, [group.id, next]])).flatMap(
    ({ rule, ...reference }) => {
      if (reference.group !== next || known.has(rule)) return [];
      const { at, path } = placeOf(rule.origin);
      return [
        { severity: 'error', code: 'other-vpc', at, path, ...foreignReferenceText(reference) },
      ];
    },
  );
}

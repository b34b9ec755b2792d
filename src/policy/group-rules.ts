/**
 * Changes the rules of a group as the EC2 API does: AuthorizeSecurityGroupIngress and -Egress, the two Revoke
 * actions, ModifySecurityGroupRules, and the two UpdateSecurityGroupRuleDescriptions actions.
 *
 * The functions are pure. Each takes a group and returns a new one, or refusals and no group: a call is done as a
 * whole or not at all. Two rules are the same if direction, protocol, ports and peer are the same; descriptions don't
 * count. test/policy/group-rules.property.test.ts compares this with a plain list of rules.
 *
 * Source: EC2 API Reference, the actions named.
 */
import type { Direction, Origin, Rule, RuleId, SecurityGroup } from './model.ts';
import { malformedIdText, type Permission } from './permissions.ts';
import { checkRuleQuota, type PrefixListSource } from './quotas.ts';
import { makeRefusal, unlessRefused, type Checked, type Refusal } from './refusals.ts';
import { duplicateRuleText, ruleKey } from './rules.ts';

/** The facts that make two rules of a group the same. */
export type RuleFacts = Pick<Rule, 'direction' | 'protocol' | 'fromPort' | 'toPort' | 'peer'>;

/** A rule that has no id yet. */
export type UnnamedRule = Omit<Rule, 'id' | 'implied' | 'audit'>;

/**
 * Makes the id of a new rule.
 * @param key what the rule says (ruleKey), for ids that are made from it (policy/ids.ts)
 */
export type MakeRuleId = (key: string) => RuleId;

/** The most rules a group may have, and where to find prefix lists, which count by their size. */
export interface RuleQuota {
  /** Undefined: no limit. */
  readonly rulesPerGroup: number | undefined;
  readonly source: PrefixListSource;
}

export interface NewRuleOptions extends RuleQuota {
  readonly makeId: MakeRuleId;
  readonly origin: Origin;
}

/** The rules that are new, with their keys, in their order; and those that repeat another, with the first one. */
export interface Separated<T extends RuleFacts> {
  readonly fresh: readonly { readonly key: string; readonly rule: T }[];
  readonly repeated: readonly {
    readonly key: string;
    readonly rule: T;
    readonly first: T | Rule;
  }[];
}

const REPEATED_IN_CALL_TEXT = 'The same permission must not appear multiple times';

const NO_SUCH_RULE_TEXT = 'The specified rule does not exist in this security group.';

/**
 * Separates new rules from those that repeat each other or an existing rule.
 * @param existing existing rules, by ruleKey
 */
export function separateRepeated<T extends RuleFacts>(
  rules: readonly T[],
  existing: ReadonlyMap<string, Rule> = new Map(),
): Separated<T> {
  const known = new Map<string, T>();
  const fresh: { key: string; rule: T }[] = [];
  const repeated: { key: string; rule: T; first: T | Rule }[] = [];
  for (const rule of rules) {
    const key = ruleKey(rule);
    const first = existing.get(key) ?? known.get(key);
    if (first !== undefined) {
      repeated.push({ key, rule, first });
      continue;
    }
    known.set(key, rule);
    fresh.push({ key, rule });
  }
  return { fresh, repeated };
}

/** Gives each rule an id of its own. */
export function giveIds(
  fresh: Separated<UnnamedRule>['fresh'],
  makeId: MakeRuleId,
): readonly Rule[] {
  return fresh.map(({ key, rule }) => {
    const { direction, protocol, fromPort, toPort, peer, description, origin } = rule;
    // Written out, so that V8 gives all rules the same shape.
    return { id: makeId(key), direction, protocol, fromPort, toPort, peer, description, origin };
  });
}

/** Adds a rule for each permission, in their order. */
export function authorize(
  group: SecurityGroup,
  direction: Direction,
  permissions: readonly Permission[],
  { makeId, origin, rulesPerGroup, source }: NewRuleOptions,
): Checked<{ readonly group: SecurityGroup; readonly added: readonly Rule[] }> {
  const facts = permissions.map(({ description = '', ...permission }) => ({
    ...permission,
    direction,
    description,
    origin,
  }));
  const existing = new Set(group[direction].map(ruleKey));
  const { fresh, repeated } = separateRepeated(facts);
  // AWS checks the request before it checks the group.
  const refusals = repeated.map(({ key }) =>
    makeRefusal('InvalidParameterValue', REPEATED_IN_CALL_TEXT, `'${key}' is given twice`),
  );
  for (const { key, rule } of fresh)
    if (existing.has(key))
      refusals.push(makeRefusal('InvalidPermission.Duplicate', duplicateRuleText(rule)));
  const added = giveIds(
    fresh.filter(({ key }) => !existing.has(key)),
    makeId,
  );
  const changed = { ...group, [direction]: [...group[direction], ...added] };
  refusals.push(...checkRuleQuota(group, changed, rulesPerGroup, source));
  return unlessRefused({ group: changed, added }, refusals);
}

export interface Revoked {
  readonly group: SecurityGroup;
  /** In their order in the group. */
  readonly revoked: readonly Rule[];
}

/** Removes the rules with these ids. An id of the other direction counts as unknown. */
export function revokeByIds(
  group: SecurityGroup,
  direction: Direction,
  ids: readonly RuleId[],
): Checked<Revoked> {
  const known = new Set(group[direction].map(({ id }) => id));
  const refusals = ids.filter((id) => !known.has(id)).map(unknownRule);
  return unlessRefused(without(group, direction, new Set(ids)), refusals);
}

/**
 * Removes the rules that the permissions describe. Protocol, ports and peer must be exactly those of the rule, and so
 * must the description if one is given.
 * @param unknown what to do about a permission without a rule. AWS refuses the call; in the default VPC it lists the
 *   permission in `unknown`.
 */
export function revokeByPermissions(
  group: SecurityGroup,
  direction: Direction,
  permissions: readonly Permission[],
  unknown: 'refuse' | 'list',
): Checked<Revoked & { readonly unknown: readonly Permission[] }> {
  const find = finder(group, direction);
  const strangers = permissions.filter((permission) => find(permission) === undefined);
  const found = new Set(permissions.flatMap((permission) => find(permission)?.id ?? []));
  const revoked = { ...without(group, direction, found), unknown: strangers };
  return unlessRefused(revoked, unknown === 'list' ? [] : noSuchRules(direction, strangers));
}

/** The id of a rule, and its new content. */
export interface Replacement {
  readonly ruleId: RuleId;
  readonly permission: Permission;
}

/**
 * Replaces rules of both directions under their ids. A rule is replaced as a whole: without a description it loses
 * the old one. Only the result must be valid, so two rules may swap their contents. The kind of the peer can't
 * change.
 */
export function modifyRules(
  group: SecurityGroup,
  replacements: readonly Replacement[],
  { rulesPerGroup, source }: RuleQuota,
): Checked<{ readonly group: SecurityGroup; readonly modified: readonly Rule[] }> {
  const before = new Map([...group.ingress, ...group.egress].map((rule) => [rule.id, rule]));
  const after = new Map<RuleId, Rule>();
  const refusals: Refusal[] = [];
  for (const { ruleId, permission } of replacements) {
    const rule = before.get(ruleId);
    if (rule === undefined) {
      refusals.push(unknownRule(ruleId));
      continue;
    }
    // AWS does not document a rule that is named twice in a call. Nobody can tell which of the two counts, so refuse
    // it.
    if (after.has(ruleId))
      refusals.push(makeRefusal('InvalidParameterValue', `The rule ${ruleId} is named twice`));
    if (peerKind(rule) !== peerKind(permission)) refusals.push(otherKind(rule, permission));
    after.set(ruleId, { ...withoutImplied(rule), description: '', ...permission });
  }
  const changed = {
    ...group,
    ingress: group.ingress.map((rule) => after.get(rule.id) ?? rule),
    egress: group.egress.map((rule) => after.get(rule.id) ?? rule),
  };
  const { repeated } = separateRepeated([...changed.ingress, ...changed.egress]);
  for (const { rule } of repeated)
    refusals.push(makeRefusal('InvalidPermission.Duplicate', duplicateRuleText(rule)));
  refusals.push(...checkRuleQuota(group, changed, rulesPerGroup, source));
  return unlessRefused({ group: changed, modified: [...after.values()] }, refusals);
}

/** The id of a rule, and its new description; undefined clears it. */
export interface RuleDescription {
  readonly ruleId: RuleId;
  readonly description: string | undefined;
}

/** Changes the descriptions of the rules with these ids. */
export function describeByIds(
  group: SecurityGroup,
  direction: Direction,
  descriptions: readonly RuleDescription[],
): Checked<SecurityGroup> {
  const known = new Set(group[direction].map(({ id }) => id));
  const refusals = descriptions
    .filter(({ ruleId }) => !known.has(ruleId))
    .map(({ ruleId }) => unknownRule(ruleId));
  return unlessRefused(described(group, direction, descriptions), refusals);
}

/** Changes the descriptions of the rules that the permissions describe. A permission without one clears it. */
export function describeByPermissions(
  group: SecurityGroup,
  direction: Direction,
  permissions: readonly Permission[],
): Checked<SecurityGroup> {
  const find = finder(group, direction);
  const bare = permissions.map(({ description, ...permission }) => ({
    description,
    permission,
    ruleId: find(permission)?.id,
  }));
  const strangers = bare.flatMap(({ ruleId, permission }) =>
    ruleId === undefined ? [permission] : [],
  );
  const known = bare.flatMap(({ ruleId, description }) =>
    ruleId === undefined ? [] : [{ ruleId, description }],
  );
  return unlessRefused(described(group, direction, known), noSuchRules(direction, strangers));
}

/** Of several descriptions of one rule, the last counts. */
function described(
  group: SecurityGroup,
  direction: Direction,
  descriptions: readonly RuleDescription[],
): SecurityGroup {
  const texts = new Map(descriptions.map(({ ruleId, description = '' }) => [ruleId, description]));
  const rules = group[direction].map((rule) => {
    const description = texts.get(rule.id);
    return description === undefined ? rule : { ...withoutImplied(rule), description };
  });
  return { ...group, [direction]: rules };
}

function without(group: SecurityGroup, direction: Direction, ids: ReadonlySet<RuleId>): Revoked {
  const rules = group[direction];
  return {
    group: { ...group, [direction]: rules.filter(({ id }) => !ids.has(id)) },
    revoked: rules.filter(({ id }) => ids.has(id)),
  };
}

function finder(
  group: SecurityGroup,
  direction: Direction,
): (permission: Permission) => Rule | undefined {
  const byKey = new Map(group[direction].map((rule) => [ruleKey(rule), rule]));
  return (permission) => {
    const rule = byKey.get(ruleKey({ ...permission, direction }));
    const { description } = permission;
    return description === undefined || description === rule?.description ? rule : undefined;
  };
}

function noSuchRules(direction: Direction, strangers: readonly Permission[]): readonly Refusal[] {
  return strangers.map((permission) => {
    const hint = `no ${direction} rule of it is '${ruleKey({ ...permission, direction })}'`;
    return makeRefusal('InvalidPermission.NotFound', NO_SUCH_RULE_TEXT, hint);
  });
}

/**
 * AWS calls an id malformed only if it has another prefix or is too long (other implementations of the API agree).
 * Any other unknown id "does not exist".
 */
function unknownRule(id: RuleId): Refusal {
  return /^sgr-.{1,17}$/s.test(id)
    ? makeRefusal(
        'InvalidSecurityGroupRuleId.NotFound',
        `The security group rule ID '${id}' does not exist`,
      )
    : makeRefusal('InvalidSecurityGroupRuleId.Malformed', malformedIdText('sgr', id));
}

/** AWS's names for the kinds of peers: the parameter, and the kind of a rule with it. */
const PEER_KINDS = {
  cidr4: ['CidrIpv4', 'IPv4 CIDR'],
  cidr6: ['CidrIpv6', 'IPv6 CIDR'],
  prefixList: ['PrefixListId', 'prefix list'],
  group: ['ReferencedGroupId', 'security group'],
  // No call makes such a rule, and none changes one: groups of files are not changed by calls.
  dns: ['DnsName', 'DNS name'],
} as const;

function peerKind({ peer }: Pick<Rule, 'peer'>): keyof typeof PEER_KINDS {
  if (peer.kind !== 'cidr') return peer.kind;
  return peer.cidr.family === 4 ? 'cidr4' : 'cidr6';
}

function otherKind(rule: Rule, permission: Permission): Refusal {
  const [parameter] = PEER_KINDS[peerKind(permission)];
  const [, kind] = PEER_KINDS[peerKind(rule)];
  const message = `Invalid rule type for security group rule '${rule.id}'. You may not specify ${parameter} for an existing ${kind} rule.`;
  const hint = 'revoke the rule, and authorize another';
  return makeRefusal('InvalidParameterValue', message, hint);
}

/** Drops the mark `implied`: AWS alone adds rules with it, and somebody has changed this one. */
function withoutImplied({ implied: _, ...rule }: Rule): Rule {
  return rule;
}

/**
 * The groups of a template with their rules: inline ones, those of separate resources, and AWS's defaults.
 *
 * Egress decides by what is written, not by what could be read: a group whose one egress rule had
 * to be left out (unknown, or in error) does not fall back to "allow everything".
 * Source: AWS CloudFormation Template Reference, AWS::EC2::SecurityGroup and its rule resources.
 */
import { stableId } from '../policy/ids.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type Origin,
  type Peer,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { ruleKey, ruleText } from '../policy/rules.ts';
import { checkGroupDescription, checkGroupName } from '../policy/texts.ts';
import {
  decideExistence,
  idOf,
  KIND_EGRESS,
  KIND_GROUP,
  KIND_INGRESS,
  readGroupName,
} from './attributes.ts';
import { findEntry, readCall } from './calls.ts';
import {
  EGRESS_PROPERTIES,
  INGRESS_PROPERTIES,
  PROPERTIES_OF_KINDS,
  readText,
  warnOfUnknown,
  warnOfUnknownProperties,
} from './properties.ts';
import type { Directory } from './references.ts';
import { findPossibleTargets, findTarget } from './rule-targets.ts';
import { readRules, type WrittenRule } from './rules.ts';
import { fail, report, type Scope } from './scope.ts';
import type { Resource } from './template.ts';
import { abbreviate, describeKind, type Value, type Where } from './values.ts';

/** AWS's own messages, which quote the text they are about. */
const AWS_MESSAGE_CHARS_MAX = 400;

/** A rule for a group that is defined elsewhere. */
export interface OutsideRule {
  readonly groupId: GroupId;
  readonly rule: Rule;
}

export interface BuiltGroups {
  readonly groups: readonly SecurityGroup[];
  readonly outsideRules: readonly OutsideRule[];
  /**
   * Groups defined elsewhere that a resource of this template adds an egress rule to, or may add one
   * to, also if the rule itself is not known: what AWS gives a group without egress rules must go.
   */
  readonly outsideEgress: ReadonlySet<GroupId>;
  /** Groups that nothing in the template gives an egress rule. */
  readonly withDefaultEgress: ReadonlySet<GroupId>;
}

/** A group before its rules are read. */
export interface Draft {
  readonly resource: Resource;
  readonly id: GroupId;
  readonly name: string;
  readonly description: string;
  readonly origin: Origin;
  /** By rule key: two equal rules of one group are one. */
  readonly rules: Map<string, Rule>;
  hasOwnEgress: boolean;
}

export interface BuildOptions {
  readonly acceptsOutsideRules: boolean;
  /** Resources that may or may not exist, because their condition is not known. */
  readonly uncertain: readonly Resource[];
}

/** The groups among `resources`, which exist, by their ids. */
export function startGroups(scope: Scope, resources: readonly Resource[]): Map<GroupId, Draft> {
  const drafts = new Map<GroupId, Draft>();
  const byName = new Map<string, Draft>();
  for (const resource of resources) {
    if (resource.type !== KIND_GROUP) continue;
    const draft = startGroup(scope, resource);
    refuseSameName(scope, byName, draft);
    drafts.set(draft.id, draft);
  }
  return drafts;
}

/** `resources` are the groups and rule resources that exist, in the order of the template. */
export function buildGroups(
  scope: Scope,
  directory: Directory,
  drafts: ReadonlyMap<GroupId, Draft>,
  resources: readonly Resource[],
  options: BuildOptions,
): BuiltGroups {
  const outsideRules: OutsideRule[] = [];
  const outsideEgress = new Set<GroupId>();
  for (const draft of drafts.values()) {
    readInlineRules(scope, directory, draft, 'ingress');
    readInlineRules(scope, directory, draft, 'egress');
  }
  for (const resource of resources) {
    if (resource.type !== KIND_INGRESS && resource.type !== KIND_EGRESS) continue;
    const targets = readRuleResource(scope, directory, drafts, resource, (outside) => {
      if (options.acceptsOutsideRules) outsideRules.push(outside);
      return options.acceptsOutsideRules;
    });
    if (resource.type === KIND_EGRESS) noteEgress(drafts, outsideEgress, targets);
  }
  for (const resource of options.uncertain) {
    if (resource.type !== KIND_EGRESS) continue;
    const target = findTarget(scope, directory, resource, () => undefined);
    const targets =
      target === undefined ? findPossibleTargets(scope, directory, resource) : [target];
    noteEgress(drafts, outsideEgress, targets);
  }
  const plain = [...drafts.values()].filter((draft) => !draft.hasOwnEgress);
  return {
    groups: [...drafts.values()].map(finishGroup),
    outsideRules,
    outsideEgress,
    withDefaultEgress: new Set(plain.map((draft) => draft.id)),
  };
}

function noteEgress(
  drafts: ReadonlyMap<GroupId, Draft>,
  outside: Set<GroupId>,
  targets: readonly GroupId[],
): void {
  for (const groupId of targets) {
    const draft = drafts.get(groupId);
    if (draft === undefined) outside.add(groupId);
    else draft.hasOwnEgress = true;
  }
}

function startGroup(scope: Scope, resource: Resource): Draft {
  const { properties, logicalId, at, path } = resource;
  warnOfUnknownProperties(scope, properties, PROPERTIES_OF_KINDS.get(KIND_GROUP) ?? [], KIND_GROUP);
  return {
    resource,
    id: idOf(scope, resource),
    name: readName(scope, resource, `${scope.inputs.stackName}-${logicalId}`),
    description: readDescription(scope, resource),
    origin: { ...at, path, logicalId },
    rules: new Map(),
    hasOwnEgress: false,
  };
}

function readName(scope: Scope, resource: Resource, fallback: string): string {
  const value = readGroupName(scope, resource);
  if (value.kind === 'unknown')
    warnOfUnknown(scope, 'GroupName', value, value.path, `the group is called '${fallback}'`);
  if (value.kind !== 'text') return fallback;
  const wrong = checkGroupName(value.text);
  if (wrong === undefined) return value.text;
  fail(
    scope,
    'bad-name',
    value,
    abbreviate(wrong, AWS_MESSAGE_CHARS_MAX),
    'write a name of the characters a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
  );
  return fallback;
}

function readDescription(scope: Scope, resource: Resource): string {
  const value = readText(scope, resource.properties, 'GroupDescription');
  if (value === undefined) {
    const message = `the group '${resource.logicalId}' has no GroupDescription`;
    report(
      scope.problems,
      'warning',
      'missing-property',
      resource,
      message,
      'AWS refuses it: required key [GroupDescription] not found; say what the group is for',
    );
    return '';
  }
  if (value.kind === 'unknown')
    warnOfUnknown(scope, 'GroupDescription', value, value.path, 'it is left empty');
  if (value.kind !== 'text') return '';
  const wrong = checkGroupDescription(value.text);
  if (wrong === undefined) return value.text;
  fail(
    scope,
    'bad-description',
    value,
    abbreviate(wrong, AWS_MESSAGE_CHARS_MAX),
    `it has ${value.text.length} characters`,
  );
  return '';
}

function refuseSameName(scope: Scope, byName: Map<string, Draft>, draft: Draft): void {
  const key = draft.name.toLowerCase();
  const same = byName.get(key);
  byName.set(key, draft);
  if (same === undefined) return;
  const message = `'${draft.resource.logicalId}' and '${same.resource.logicalId}' have the same name '${abbreviate(draft.name)}'`;
  const hint =
    'AWS refuses it in one VPC, also if just the case differs, and everything here is one VPC';
  fail(scope, 'duplicate-group-name', draft.resource, message, hint);
}

function readInlineRules(
  scope: Scope,
  directory: Directory,
  draft: Draft,
  direction: Direction,
): void {
  const property = direction === 'ingress' ? 'SecurityGroupIngress' : 'SecurityGroupEgress';
  const node =
    draft.resource.properties === undefined
      ? undefined
      : findEntry(draft.resource.properties, property);
  if (node === undefined) return;
  if (node.kind === 'list' && node.tag === undefined) {
    for (const item of node.items) {
      const call = readCall(item);
      const rule =
        call?.name === 'Ref' && call.argument.kind === 'scalar'
          ? scope.template.resources.get(call.argument.text)
          : undefined;
      if (rule?.type === KIND_INGRESS || rule?.type === KIND_EGRESS)
        warnOfRuleReference(scope, directory, draft, property, rule, item);
      else readInlineRule(scope, directory, draft, direction, scope.evaluate(item));
    }
    return;
  }
  const value = scope.evaluate(node);
  if (value.kind === 'list') {
    for (const item of value.items) readInlineRule(scope, directory, draft, direction, item);
    return;
  }
  if (value.kind === 'map') {
    const message = `${property} is one rule, not a list of rules; it is taken as a list of one`;
    report(
      scope.problems,
      'warning',
      'bad-property',
      value,
      message,
      "AWS wants a list: put '- ' before the rule",
    );
  }
  readInlineRule(scope, directory, draft, direction, value);
}

function readInlineRule(
  scope: Scope,
  directory: Directory,
  draft: Draft,
  direction: Direction,
  item: Value,
): void {
  if (item.kind === 'absent') return;
  if (direction === 'egress') draft.hasOwnEgress = true;
  if (item.kind === 'unknown') {
    warnOfUnknown(scope, 'the rule', item, item.path, 'it is left out');
    return;
  }
  if (item.kind === 'invalid') return;
  if (item.kind !== 'map') {
    fail(
      scope,
      'bad-property',
      item,
      `a rule must be a mapping, not ${describeKind(item)}`,
      'give IpProtocol, FromPort, ToPort and one peer',
    );
    return;
  }
  const known = direction === 'ingress' ? INGRESS_PROPERTIES : EGRESS_PROPERTIES;
  warnOfUnknownProperties(scope, item.node, known, `an ${direction} rule`);
  const { logicalId } = draft.resource;
  addRules(
    scope,
    draft,
    readRules(scope, directory, draft.id, {
      direction,
      properties: item.node,
      logicalId,
      at: item.at,
      path: item.path,
    }),
    'inline',
  );
}

/** `SecurityGroupIngress: [!Ref Rule]`: AWS takes no references there, but what is meant is plain if the rule names this group. */
function warnOfRuleReference(
  scope: Scope,
  directory: Directory,
  draft: Draft,
  property: string,
  rule: Resource,
  where: Where,
): void {
  const { logicalId } = rule;
  const matches = (rule.type === KIND_INGRESS) === (property === 'SecurityGroupIngress');
  if (!matches || findTarget(scope, directory, rule, () => undefined) !== draft.id) {
    const hint = `${property} takes rules; write the rule here, or let ${logicalId} name this group as its GroupId and take the line out`;
    fail(
      scope,
      'rule-reference',
      where,
      `'${logicalId}' is not a rule for this list of '${draft.resource.logicalId}'`,
      hint,
    );
    return;
  }
  const message = `${property} refers to the rule '${logicalId}', which adds itself to this group already`;
  const hint =
    'AWS refuses it: the property takes rules, not references, and the two resources would wait for each other; take the line out';
  report(scope.problems, 'warning', 'rule-reference', where, message, hint);
}

/** Returns the groups that the rule is for: one, or all that it may be for if only AWS knows which. */
function readRuleResource(
  scope: Scope,
  directory: Directory,
  drafts: ReadonlyMap<GroupId, Draft>,
  resource: Resource,
  acceptOutside: (rule: OutsideRule) => boolean,
): readonly GroupId[] {
  const { properties, logicalId, type } = resource;
  warnOfUnknownProperties(scope, properties, PROPERTIES_OF_KINDS.get(type) ?? [], type);
  const direction = type === KIND_INGRESS ? 'ingress' : 'egress';
  let possible: readonly GroupId[] = [];
  const target = findTarget(scope, directory, resource, (name, value) => {
    if (value === undefined) {
      const hint =
        type === KIND_INGRESS
          ? 'give GroupId, as !GetAtt Group.GroupId, or GroupName'
          : 'give GroupId, as !GetAtt Group.GroupId';
      fail(scope, 'missing-property', resource, `'${logicalId}' names no group`, hint);
      return;
    }
    warnOfUnknown(scope, name, value, value.path, 'the rule is left out');
    possible = findPossibleTargets(scope, directory, resource);
  });
  if (target === undefined || properties === undefined) return possible;
  const written: WrittenRule = {
    direction,
    properties,
    logicalId,
    at: resource.at,
    path: resource.path,
  };
  const rules = readRules(scope, directory, target, written);
  const draft = drafts.get(target);
  if (draft !== undefined) {
    addRules(scope, draft, rules, 'resource');
    return [target];
  }
  for (const rule of rules) {
    if (acceptOutside({ groupId: target, rule })) continue;
    const hint =
      'define the group in the same template, or add the rule where the group is defined';
    fail(
      scope,
      'outside-group',
      resource,
      `'${logicalId}' adds a rule to a group that this template does not define`,
      hint,
    );
  }
  return [target];
}

function addRules(
  scope: Scope,
  draft: Draft,
  rules: readonly Rule[],
  origin: 'inline' | 'resource',
): void {
  for (const rule of rules) {
    const key = ruleKey(rule);
    const first = draft.rules.get(key);
    if (first === undefined) {
      draft.rules.set(key, rule);
      continue;
    }
    const text = ruleText(rule, { groups: new Map(), prefixLists: new Map() });
    const message = `${rule.direction} rule ${text} of '${draft.resource.logicalId}' is there already, from line ${first.origin.line}`;
    const hint =
      origin === 'resource'
        ? 'AWS refuses it: the specified rule already exists; take one of the two out'
        : 'AWS takes it, but taking one of the two out later removes the rule; take it out now';
    report(
      scope.problems,
      'warning',
      'duplicate-rule',
      { at: rule.origin, path: rule.origin.path },
      message,
      hint,
    );
  }
}

function finishGroup(draft: Draft): SecurityGroup {
  const rules = [...draft.rules.values()];
  const egress = rules.filter((rule) => rule.direction === 'egress');
  const { id, name, description, origin } = draft;
  return {
    id,
    name,
    description,
    ingress: rules.filter((rule) => rule.direction === 'ingress'),
    egress: draft.hasOwnEgress ? egress : makeDefaultEgress(draft),
    origin,
  };
}

const EVERYWHERE: readonly Peer[] = [
  { kind: 'cidr', cidr: { family: 4, words: [0], length: 0 } },
  { kind: 'cidr', cidr: { family: 6, words: [0, 0, 0, 0], length: 0 } },
];

/** What AWS adds to a group without egress rules. The rules point at the group, since nobody wrote them. */
function makeDefaultEgress({ id, origin }: Draft): Rule[] {
  return EVERYWHERE.map((peer) => {
    const body = {
      direction: 'egress' as const,
      protocol: PROTOCOL_ALL,
      fromPort: ANY,
      toPort: ANY,
      peer,
    };
    return {
      id: stableId('sgr', id, ruleKey(body)),
      ...body,
      description: '',
      origin,
    };
  });
}

/** Whether a resource takes part; one that may or may not exist is left out, with a warning. */
export function takesPart(scope: Scope, resource: Resource): boolean | 'unknown' {
  const truth = decideExistence(scope, resource);
  if (truth.kind === 'truth') return truth.value;
  if (truth.kind === 'unknown') {
    const name = `whether '${resource.logicalId}' exists`;
    warnOfUnknown(scope, name, truth, `${resource.path}.Condition`, 'it is left out');
  }
  return 'unknown';
}

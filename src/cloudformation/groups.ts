/**
 * This file builds the groups of a template with their rules: inline rules, those of separate resources, and AWS's
 * defaults.
 *
 * AWS's default egress depends on what is written, not on what could be read. If a group's only egress rule is unknown
 * or wrong, the group does not fall back to "allow everything" (policy/openness.ts).
 * Source: AWS CloudFormation Template Reference, AWS::EC2::SecurityGroup and its rule resources.
 */
import type { Direction, GroupId, Rule, SecurityGroup } from '../policy/model.ts';
import { decideExistence } from './attributes.ts';
import { findEntry, readCall } from './calls.ts';
import { addRules, finishGroup, stateEgress, type Draft } from './drafts.ts';
import { closeHandedGroups, findHandedIn } from './handed-groups.ts';
import {
  EGRESS_PROPERTIES,
  INGRESS_PROPERTIES,
  KIND_EGRESS,
  KIND_INGRESS,
  PROPERTIES_OF_KINDS,
} from './kinds.ts';
import type { Unseen } from './macros.ts';
import { checkProperties, warnOfUnknown } from './properties.ts';
import type { Directory } from './references.ts';
import type { Resource } from './resources.ts';
import { findPossibleTargets, findTarget } from './rule-targets.ts';
import { readRules, type WrittenRule } from './rules.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import { abbreviate, describeKind, type Value, type Where } from './values.ts';

const LEFT_OUT = 'the rule is left out';

/** A rule for a group that is defined elsewhere. */
export interface OutsideRule {
  readonly groupId: GroupId;
  readonly rule: Rule;
}

export interface BuiltGroups {
  readonly groups: readonly SecurityGroup[];
  readonly outsideRules: readonly OutsideRule[];
  /**
   * Groups defined elsewhere to which a resource of this template adds, or may add, an egress rule. They lose AWS's
   * default egress, even if the rule itself is unknown.
   */
  readonly outsideEgress: ReadonlySet<GroupId>;
  /** Groups defined elsewhere to which something unseen in this template may add rules, and why, each as a clause. */
  readonly outsideGaps: ReadonlyMap<GroupId, readonly string[]>;
}

export interface BuildOptions {
  readonly acceptsOutsideRules: boolean;
  /** Resources that may or may not exist, because their condition is unknown. */
  readonly uncertain: readonly Resource[];
}

/** `resources` are the existing groups and rule resources, in the order of the template. */
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
    if (draft.stated.has('egress') && draft.vpcId === undefined) warnWithoutVpc(scope, draft);
  }
  for (const resource of resources) {
    if (resource.type !== KIND_INGRESS && resource.type !== KIND_EGRESS) continue;
    const targets = readRuleResource(scope, directory, drafts, resource, (outside) => {
      if (options.acceptsOutsideRules) outsideRules.push(outside);
      return options.acceptsOutsideRules;
    });
    if (resource.type === KIND_EGRESS) noteEgress(scope, drafts, outsideEgress, resource, targets);
  }
  for (const resource of options.uncertain) {
    if (resource.type !== KIND_EGRESS) continue;
    const target = findTarget(scope, directory, resource, () => undefined);
    const targets =
      target === undefined ? findPossibleTargets(scope, directory, resource) : [target];
    noteEgress(scope, drafts, outsideEgress, resource, targets);
  }
  closeForUnseen(scope, [...drafts.values()]);
  const outsideGaps = new Map(closeHandedGroups(scope, directory, drafts));
  closeHandedIn(scope, directory, drafts, outsideGaps);
  return {
    groups: [...drafts.values()].map((draft) => finishGroup(scope, draft)),
    outsideRules,
    outsideEgress,
    outsideGaps,
  };
}

function noteEgress(
  scope: Scope,
  drafts: ReadonlyMap<GroupId, Draft>,
  outside: Set<GroupId>,
  resource: Resource,
  targets: readonly GroupId[],
): void {
  for (const groupId of targets) {
    const draft = drafts.get(groupId);
    if (draft === undefined) outside.add(groupId);
    else stateEgress(scope, draft, resource);
  }
}

function findUnseenEgress({ template }: Scope): Unseen | undefined {
  return template.unseen.find(({ mayAddEgress }) => mayAddEgress);
}

/** Closes the default egress of groups if a macro may add egress rules: the first rule would replace the default. */
function closeForUnseen(scope: Scope, drafts: readonly Draft[]): void {
  const unseen = findUnseenEgress(scope);
  const silent = drafts.filter(
    ({ stated, gaps }) => !stated.has('egress') && gaps.egress.length === 0,
  );
  if (unseen === undefined || silent.length === 0) return;
  for (const draft of silent) draft.gaps.egress.push(unseen.why);
  const names = abbreviate(silent.map(({ resource }) => resource.logicalId).join(', '));
  const message = `${names}: egress stays closed, since what may add rules to it is not seen: ${unseen.why.reason}`;
  const hint = `${unseen.why.hint}; or write the egress rules out, as SecurityGroupEgress`;
  report(scope.problems, 'warning', 'unknown-value', unseen.why, message, hint);
}

/** The same of groups that the template's parameters bring: what a macro writes may refer to those. */
function closeHandedIn(
  scope: Scope,
  directory: Directory,
  drafts: ReadonlyMap<GroupId, Draft>,
  gaps: Map<GroupId, readonly string[]>,
): void {
  const unseen = findUnseenEgress(scope);
  const handed = unseen === undefined ? [] : findHandedIn(scope, directory, drafts);
  if (unseen === undefined || handed.length === 0) return;
  const names = abbreviate(handed.map(({ parameter }) => parameter).join(', '));
  const message = `the group of the parameter ${names}: egress stays closed but for rules that are written out, since what may add rules to it is not seen: ${unseen.why.reason}`;
  report(scope.problems, 'warning', 'unknown-value', unseen.why, message, unseen.why.hint);
  for (const { id } of handed) gaps.set(id, [...(gaps.get(id) ?? []), unseen.why.reason]);
}

/**
 * Warns of inline egress in the default VPC, whose rules must be resources of their own.
 * Source: AWS CloudFormation User Guide, pull request 1277, with the message.
 */
function warnWithoutVpc(scope: Scope, { resource }: Draft): void {
  const where = findEntry(resource.properties!, 'SecurityGroupEgress')!;
  const message = `'${resource.logicalId}' has SecurityGroupEgress and no VpcId`;
  const hint =
    'AWS refuses it: SecurityGroupEgress cannot be specified without VpcId; give VpcId, or write the rules as AWS::EC2::SecurityGroupEgress';
  report(scope.problems, 'warning', 'missing-property', where, message, hint);
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
  draft.stated.add(direction);
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
  if (!checkProperties(scope, item.node, known, `an ${direction} rule`, LEFT_OUT)) return;
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

/**
 * Handles `SecurityGroupIngress: [!Ref Rule]`. AWS takes no references there, but the meaning is plain if the rule
 * names this group.
 */
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

/** Reads a rule resource. Returns its group, or all groups that it may be for if only AWS can tell. */
function readRuleResource(
  scope: Scope,
  directory: Directory,
  drafts: ReadonlyMap<GroupId, Draft>,
  resource: Resource,
  acceptOutside: (rule: OutsideRule) => boolean,
): readonly GroupId[] {
  const { properties, logicalId, type } = resource;
  const known = PROPERTIES_OF_KINDS.get(type)!;
  const isKnown = checkProperties(scope, properties, known, type, LEFT_OUT);
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
    warnOfUnknown(scope, name, value, value.path, LEFT_OUT);
    possible = findPossibleTargets(scope, directory, resource);
  });
  if (target === undefined || properties === undefined) return possible;
  if (resource.gap !== undefined)
    warnOfUnknown(scope, `all that '${logicalId}' says`, resource.gap, resource.gap.path, LEFT_OUT);
  if (resource.gap !== undefined || !isKnown) return [target];
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

/** Whether a resource exists. One that may or may not exist is left out, with a warning. */
export function takesPart(scope: Scope, resource: Resource): boolean | 'unknown' {
  const truth = decideExistence(scope, resource);
  if (truth.kind === 'truth') return truth.value;
  if (truth.kind === 'unknown') {
    const name = `whether '${resource.logicalId}' exists`;
    warnOfUnknown(scope, name, truth, `${resource.path}.Condition`, 'it is left out');
  }
  return 'unknown';
}

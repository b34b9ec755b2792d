/**
 * Resources that are handed a group and may change its rules in ways that are not seen here: nested stacks whose
 * template is not at hand, modules, custom resources.
 *
 * An egress rule from anywhere takes the place of AWS's own "everything out". So that does not stand in a group that
 * is handed to one of these. Rules that are written out stand: groups only allow, and nobody is expected to
 * take away what the template says (policy/openness.ts).
 *
 * A custom resource gets groups for two ends. In a list of groups, under the name that all of AWS's resources use for
 * it, they are the groups something is put into; that changes no rules. What the AWS CDK makes of a single call of
 * AWS's interface says which call it is. Anything else may do what it likes.
 */
import type { GroupId } from '../policy/model.ts';
import type { Mapping, Node } from '../source/yaml.ts';
import { decideExistence } from './attributes.ts';
import { readCall, type Call } from './calls.ts';
import { findMentions } from './dependencies.ts';
import type { Draft } from './drafts.ts';
import { KIND_GROUP, KIND_RESTRICT_DEFAULT, KIND_STACK, KIND_VPC } from './kinds.ts';
import { resolveGroup, type Directory } from './references.ts';
import type { Resource } from './resources.ts';
import { report, type Scope } from './scope.ts';
import { abbreviate, makeText, makeUnknown, type UnknownValue, type Value } from './values.ts';

/** Kinds that make resources out of a template that is not read here. */
const TEMPLATE_KINDS: ReadonlySet<string> = new Set([
  'AWS::CloudFormation::StackSet',
  'AWS::Serverless::Application',
  'AWS::ServiceCatalog::CloudFormationProvisionedProduct',
]);
const KIND_CUSTOM = 'AWS::CloudFormation::CustomResource';
/** A call of AWS's interface that the AWS CDK writes as a resource. */
const KIND_CALL = 'Custom::AWS';

/** `SecurityGroups`, `SecurityGroupIds`, `VpcSecurityGroupIds`: what something is a member of. */
const MEMBERSHIP = /^(?:vpc)?security(?:groups|groupids)$/i;
const CHANGES_RULES = /(?:authorize|revoke|modify|update)SecurityGroup/i;

/** `template`: it makes resources that are not read here. `call`: one call of AWS's interface. `custom`: anything. */
type Taker = 'template' | 'call' | 'custom';

/** Undefined: a kind that changes no rules. */
function takerOf({ type }: Resource): Taker | undefined {
  if (type === KIND_RESTRICT_DEFAULT) return undefined;
  if (type === KIND_STACK || TEMPLATE_KINDS.has(type) || type.endsWith('::MODULE'))
    return 'template';
  if (type === KIND_CALL) return 'call';
  return type === KIND_CUSTOM || !/^(?:AWS|Alexa)::/.test(type) ? 'custom' : undefined;
}

/** Why a resource may change the rules of groups it is handed; undefined if it does not. */
function whyMayChange(scope: Scope, resource: Resource, taker: Taker): UnknownValue | undefined {
  const reason = reasonOf(scope, resource, taker);
  if (reason === undefined) return undefined;
  const { logicalId, type } = resource;
  return makeUnknown(
    `'${logicalId}' (${abbreviate(type)}) is handed the group, and ${reason}`,
    'write its egress rules out, as SecurityGroupEgress',
    resource,
  );
}

function reasonOf(scope: Scope, resource: Resource, taker: Taker): string | undefined {
  switch (taker) {
    case 'template': {
      const { nested } = scope.inputs;
      if (resource.type !== KIND_STACK || nested === undefined) return 'its template is not read';
      return nested.whyUnread(scope, resource)?.reason;
    }
    case 'call':
      return CHANGES_RULES.test(textsOf(resource.properties!).join(' '))
        ? 'it changes rules of groups'
        : undefined;
    case 'custom':
      return 'what it does with it is known to its author alone';
    default:
      return taker satisfies never;
  }
}

/** Closes what may be said of groups by such resources; returns why, for groups that are defined elsewhere. */
export function closeHandedGroups(
  scope: Scope,
  directory: Directory,
  drafts: ReadonlyMap<GroupId, Draft>,
): ReadonlyMap<GroupId, readonly string[]> {
  const outside = new Map<GroupId, string[]>();
  for (const resource of scope.template.resources.values()) {
    const taker = takerOf(resource);
    if (resource.properties === undefined || taker === undefined) continue;
    const truth = decideExistence(scope, resource);
    const exists = truth.kind === 'truth' ? truth.value : truth.kind === 'unknown';
    const why = exists ? whyMayChange(scope, resource, taker) : undefined;
    if (why === undefined) continue;
    for (const id of findHanded(scope, directory, resource.properties, taker)) {
      const draft = drafts.get(id);
      if (draft === undefined) outside.set(id, [...(outside.get(id) ?? []), why.reason]);
      else closeDraft(scope, draft, why);
    }
  }
  return outside;
}

function closeDraft(
  { problems }: Scope,
  { resource, stated, gaps }: Draft,
  why: UnknownValue,
): void {
  if (gaps.egress.length === 0 && !stated.has('egress')) {
    const message = `${resource.logicalId}: egress stays closed, since what may add rules to it is not seen: ${why.reason}`;
    report(problems, 'warning', 'unknown-value', why, message, why.hint);
  }
  gaps.ingress.push(why);
  gaps.egress.push(why);
}

/** The groups that a resource is handed, but for those that a custom one is to put something into. */
function findHanded(
  scope: Scope,
  directory: Directory,
  properties: Mapping,
  taker: Taker,
): ReadonlySet<GroupId> {
  const values: Value[] = [];
  walk(scope, properties, taker === 'custom', values);
  const items = values.flatMap((value) => (value.kind === 'list' ? value.items : [value]));
  // A parameter of a stack may be a list that was joined.
  const ids = items.flatMap((value) =>
    value.kind === 'text'
      ? value.text.split(',').map((text) => resolveGroup(scope, directory, '', text.trim(), value))
      : [],
  );
  return new Set(ids.flatMap((id) => id ?? []));
}

function walk(scope: Scope, node: Node, skipsMembership: boolean, values: Value[]): void {
  const call = readCall(node);
  if (call !== undefined && mayBeGroup(scope, call)) {
    values.push(scope.evaluate(node));
    return;
  }
  if (call?.name === 'Fn::Sub') {
    for (const { name, at, path } of findMentions(scope, node)) {
      const isGroup = scope.template.resources.get(name)?.type === KIND_GROUP;
      if (isGroup) values.push(scope.readAttribute(name, 'GroupId', { at, path }));
      else if (scope.parameters.has(name)) values.push(scope.parameters.get(name)!);
    }
  }
  if (node.kind === 'scalar' && node.tag === undefined && /^sg-[0-9a-f]+$/.test(node.text))
    values.push(makeText(node.text, node));
  if (node.kind === 'list')
    for (const item of node.items) walk(scope, item, skipsMembership, values);
  if (node.kind !== 'mapping') return;
  for (const { key, value } of node.entries)
    if (!skipsMembership || !MEMBERSHIP.test(key)) walk(scope, value, skipsMembership, values);
}

/** Whether a call is worth evaluating: what it refers to is a group, or may be the id of one. */
function mayBeGroup({ template, parameters }: Scope, { name, argument }: Call): boolean {
  if (name === 'Fn::ImportValue') return true;
  if (name !== 'Ref' && name !== 'Fn::GetAtt') return false;
  const first = argument.kind === 'list' ? argument.items[0] : argument;
  if (first?.kind !== 'scalar' || first.tag !== undefined) return false;
  const target = name === 'Ref' ? first.text : first.text.split('.')[0];
  const type = template.resources.get(target)?.type;
  if (parameters.has(target)) return name === 'Ref';
  if (type === KIND_GROUP) return true;
  return name === 'Fn::GetAtt' && (type === KIND_STACK || type === KIND_VPC);
}

/** All texts in a node. */
function textsOf(node: Node): readonly string[] {
  switch (node.kind) {
    case 'scalar':
      return [node.text];
    case 'list':
      return node.items.flatMap(textsOf);
    case 'mapping':
      return node.entries.flatMap(({ value }) => textsOf(value));
    default:
      return node satisfies never;
  }
}

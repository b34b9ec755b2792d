/**
 * This file finds resources that receive a group and may change its rules unseen: nested stacks without their template,
 * modules, and custom resources.
 *
 * An egress rule from anywhere replaces AWS's default egress. So a group that one of these receives does not get the
 * default. Rules that are written stay: groups only allow, and nobody is expected to remove what the template says
 * (policy/openness.ts).
 *
 * A custom resource receives groups for one of two purposes. A list of groups under the name that all AWS resources use
 * holds the groups that something joins; that changes no rules. The resource that the AWS CDK makes for a single AWS
 * API call names the call. Anything else may do anything.
 */
import type { GroupId } from '../policy/model.ts';
import type { Mapping, Node } from '../source/yaml.ts';
import { decideExistence } from './attributes.ts';
import { readCall, readProperty, type Call } from './calls.ts';
import { findMentions } from './dependencies.ts';
import type { Draft } from './drafts.ts';
import { KIND_GROUP, KIND_RESTRICT_DEFAULT, KIND_STACK, KIND_VPC } from './kinds.ts';
import { resolveGroup, type Directory } from './references.ts';
import type { Resource } from './resources.ts';
import { report } from './reporting.ts';
import type { Scope } from './scope.ts';
import { abbreviate, makeText, makeUnknown, type UnknownValue, type Value } from './values.ts';

/** Kinds that make resources from a template that is not read here. */
const TEMPLATE_KINDS: ReadonlySet<string> = new Set([
  'AWS::CloudFormation::StackSet',
  'AWS::Serverless::Application',
  'AWS::ServiceCatalog::CloudFormationProvisionedProduct',
]);
const KIND_CUSTOM = 'AWS::CloudFormation::CustomResource';
/** The kind that the AWS CDK uses for a single AWS API call. */
const KIND_CALL = 'Custom::AWS';

/** Properties with the groups that something joins: `SecurityGroups`, `SecurityGroupIds`, `VpcSecurityGroupIds`. */
const MEMBERSHIP = /^(?:vpc)?security(?:groups|groupids)$/i;
const CHANGES_RULES = /(?:authorize|revoke|modify|update)SecurityGroup/i;

/** `template`: makes resources that are not read here. `call`: one call of AWS's API. `custom`: may do anything. */
type Taker = 'template' | 'call' | 'custom';

/** What a kind may do to groups. Undefined: it changes no rules. */
function takerOf({ type }: Resource): Taker | undefined {
  if (type === KIND_RESTRICT_DEFAULT) return undefined;
  if (type === KIND_STACK || TEMPLATE_KINDS.has(type) || type.endsWith('::MODULE'))
    return 'template';
  if (type === KIND_CALL) return 'call';
  return type === KIND_CUSTOM || !/^(?:AWS|Alexa)::/.test(type) ? 'custom' : undefined;
}

/** Why a resource may change the rules of groups it receives. Undefined if it does not. */
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
      const parameters = readProperty(scope, resource.properties, 'Parameters');
      if (parameters?.kind === 'unknown') return parameters.reason;
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

/** The groups defined elsewhere that the template's own parameters bring. */
export function findHandedIn(
  scope: Scope,
  directory: Directory,
  drafts: ReadonlyMap<GroupId, Draft>,
): readonly { readonly parameter: string; readonly id: GroupId }[] {
  return [...scope.parameters].flatMap(([parameter, value]) =>
    (value.kind === 'list' ? value.items : [value]).flatMap((item) => {
      if (item.kind !== 'text') return [];
      const id = resolveGroup(scope, directory, '', item.text, item);
      return id === undefined || drafts.has(id) ? [] : { parameter, id };
    }),
  );
}

/**
 * Closes the default egress of groups that such resources receive. Returns the reasons for groups that are defined
 * elsewhere.
 */
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

/** The groups that a resource receives. For a custom resource, the groups that something joins do not count. */
function findHanded(
  scope: Scope,
  directory: Directory,
  properties: Mapping,
  taker: Taker,
): ReadonlySet<GroupId> {
  const values: Value[] = [];
  walk(scope, properties, taker === 'custom', values);
  const items = values.flatMap((value) => (value.kind === 'list' ? value.items : [value]));
  // A stack's parameter may be a joined list.
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

/** Whether to evaluate a call: it refers to a group, or to something that may be a group's id. */
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

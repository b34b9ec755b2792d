/** A group of a template while its rules are gathered: what it is called, what is said of it, what was not understood. */
import {
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type Origin,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { openGroup, type Said } from '../policy/openness.ts';
import { ruleKey, ruleText } from '../policy/rules.ts';
import { checkGroupDescription, checkGroupName } from '../policy/texts.ts';
import { idOf, readGroupName } from './attributes.ts';
import { KIND_GROUP, PROPERTIES_OF_KINDS } from './kinds.ts';
import { checkProperties, readText, warnOfUnknown } from './properties.ts';
import type { Resource } from './resources.ts';
import { fail, report, type Scope } from './scope.ts';
import {
  abbreviate,
  makeUnknown,
  type TextValue,
  type UnknownValue,
  type Where,
} from './values.ts';

/** AWS's own messages, which quote the text they are about. */
const AWS_MESSAGE_CHARS_MAX = 400;

export interface Draft {
  readonly resource: Resource;
  readonly id: GroupId;
  readonly name: string;
  /** The id of its VPC, or why it is not known; undefined if nothing is said of it. */
  readonly vpcId: TextValue | UnknownValue | undefined;
  readonly description: string;
  readonly origin: Origin;
  /** By rule key: two equal rules of one group are one. */
  readonly rules: Map<string, Rule>;
  /** The directions that something is said of, whether it was understood or not. */
  readonly stated: Set<Direction>;
  /** Why something else may be said of it, by direction. */
  readonly gaps: Readonly<Record<Direction, UnknownValue[]>>;
}

/** The groups among `resources`, which exist, by their ids. */
export function startGroups(scope: Scope, resources: readonly Resource[]): Map<GroupId, Draft> {
  const drafts = new Map<GroupId, Draft>();
  for (const resource of resources) {
    if (resource.type !== KIND_GROUP) continue;
    const draft = startGroup(scope, resource);
    drafts.set(draft.id, draft);
  }
  refuseSameNames(scope, [...drafts.values()]);
  return drafts;
}

function startGroup(scope: Scope, resource: Resource): Draft {
  const { properties, logicalId, path } = resource;
  const { file, line, column } = resource.at;
  const known = PROPERTIES_OF_KINDS.get(KIND_GROUP)!;
  const loss = 'the group has the rules that are written out, and no others';
  const isKnown = checkProperties(scope, properties, known, KIND_GROUP, loss);
  const draft: Draft = {
    resource,
    id: idOf(scope, resource),
    name: readName(scope, resource, `${scope.inputs.stackName}-${logicalId}`),
    vpcId: readVpcId(scope, resource),
    description: readDescription(scope, resource),
    origin: { file, line, column, path, logicalId },
    rules: new Map(),
    stated: new Set(),
    gaps: { ingress: [], egress: [] },
  };
  if (!isKnown) addGap(draft, makeUnknown('not all of its properties are known', '', resource));
  if (resource.gap !== undefined) {
    warnOfUnknown(scope, `what else '${logicalId}' says`, resource.gap, resource.gap.path, loss);
    addGap(draft, resource.gap);
  }
  return draft;
}

/** Notes why something unknown may be said of the group, in both directions. */
function addGap(draft: Draft, why: UnknownValue): void {
  draft.gaps.ingress.push(why);
  draft.gaps.egress.push(why);
}

function readName(scope: Scope, resource: Resource, fallback: string): string {
  const value = readGroupName(scope, resource);
  if (value.kind === 'unknown')
    warnOfUnknown(scope, 'GroupName', value, value.path, `the group is called '${fallback}'`);
  if (value.kind !== 'text') return fallback;
  const wrong = checkGroupName(value.text);
  if (wrong === undefined) return value.text;
  if (value.text === fallback) {
    refuseStackName(scope, resource, fallback, wrong);
    return fallback;
  }
  fail(
    scope,
    'bad-name',
    value,
    abbreviate(wrong, AWS_MESSAGE_CHARS_MAX),
    'write a name of the characters a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
  );
  return fallback;
}

/** Of a stack it is told once: it is the stack's name that is wrong, not that of each of its groups. */
const refusedStacks = new WeakSet<Scope>();

function refuseStackName(scope: Scope, resource: Resource, name: string, wrong: string): void {
  if (refusedStacks.has(scope)) return;
  refusedStacks.add(scope);
  const stack = abbreviate(scope.inputs.stackName);
  const message = `the stack name '${stack}' can't begin the name of a group, as '${abbreviate(name)}': ${abbreviate(wrong, AWS_MESSAGE_CHARS_MAX)}`;
  const hint =
    'give the template another stackName in the configuration: it is its file name otherwise';
  fail(scope, 'bad-stack-name', resource, message, hint);
}

function readDescription(scope: Scope, resource: Resource): string {
  const value = readText(scope, resource.properties, 'GroupDescription');
  if (value === undefined) {
    const message = `the group '${resource.logicalId}' has no GroupDescription`;
    const hint =
      'AWS refuses it: required key [GroupDescription] not found; say what the group is for';
    report(scope.problems, 'warning', 'missing-property', resource, message, hint);
    return '';
  }
  // That a macro may give it is told of the whole group.
  if (value.kind === 'unknown' && resource.gap === undefined)
    warnOfUnknown(scope, 'GroupDescription', value, value.path, 'it is left empty');
  if (value.kind !== 'text') return '';
  const wrong = checkGroupDescription(value.text);
  if (wrong === undefined) return value.text;
  const message = abbreviate(wrong, AWS_MESSAGE_CHARS_MAX);
  const hint = `it has ${value.text.length} characters`;
  fail(scope, 'bad-description', value, message, hint);
  return '';
}

/** VpcId. One that is empty says nothing. */
function readVpcId(scope: Scope, resource: Resource): TextValue | UnknownValue | undefined {
  const value = readText(scope, resource.properties, 'VpcId');
  if (value?.kind === 'unusable' || (value?.kind === 'text' && value.text === '')) return undefined;
  return value;
}

/** Two groups of one VPC must not have one name; what doesn't say where it is, is where the others are. */
function refuseSameNames(scope: Scope, drafts: readonly Draft[]): void {
  const vpcs = new Set(drafts.flatMap(({ vpcId }) => (vpcId?.kind === 'text' ? vpcId.text : [])));
  const byName = new Map<string, Draft>();
  for (const draft of drafts) {
    const vpc = vpcs.size > 1 && draft.vpcId?.kind === 'text' ? draft.vpcId.text : '';
    const key = `${vpc} ${draft.name.toLowerCase()}`;
    const same = byName.get(key);
    byName.set(key, draft);
    if (same === undefined) continue;
    const message = `'${draft.resource.logicalId}' and '${same.resource.logicalId}' have the same name '${abbreviate(draft.name)}'`;
    const where = vpcs.size > 1 ? 'both are in one' : 'everything here is one VPC';
    const hint = `AWS refuses it in one VPC, also if just the case differs, and ${where}`;
    fail(scope, 'duplicate-group-name', draft.resource, message, hint);
  }
}

/** Adds rules that stand in the group itself, or in a resource of their own. */
export function addRules(
  scope: Scope,
  draft: Draft,
  rules: readonly Rule[],
  origin: 'inline' | 'resource',
): void {
  for (const rule of rules) {
    const key = ruleKey(rule);
    const first = draft.rules.get(key);
    if (first === undefined || (first.implied === true && origin === 'resource')) {
      // AWS can't tell a rule that is written like its own from its own.
      const isLikeOwn = origin === 'inline' && allowsEverythingOut(rule);
      draft.rules.set(key, isLikeOwn ? { ...rule, implied: true } : rule);
      continue;
    }
    const text = ruleText(rule, { groups: new Map(), prefixLists: new Map() });
    const message = `${rule.direction} rule ${text} of '${draft.resource.logicalId}' is there already, from line ${first.origin.line}`;
    const hint =
      origin === 'resource'
        ? 'AWS refuses it: the specified rule already exists; take one of the two out'
        : 'AWS takes it, but taking one of the two out later removes the rule; take it out now';
    const where: Where = { at: rule.origin, path: rule.origin.path };
    report(scope.problems, 'warning', 'duplicate-rule', where, message, hint);
  }
}

function allowsEverythingOut({ direction, protocol, peer }: Rule): boolean {
  return (
    direction === 'egress' &&
    protocol === PROTOCOL_ALL &&
    peer.kind === 'cidr' &&
    peer.cidr.length === 0
  );
}

/**
 * An egress resource for the group, or one that may be for it: AWS takes away the egress rules that it gives
 * a group by itself, and those that are written in the group in the same words.
 * Source: AWS CDK issue 987, with the rules that were found in the account.
 */
export function stateEgress(
  scope: Scope,
  draft: Draft,
  where: Where & { logicalId: string },
): void {
  draft.stated.add('egress');
  for (const [key, rule] of draft.rules) {
    if (rule.implied !== true) continue;
    draft.rules.delete(key);
    const text = ruleText(rule, { groups: new Map(), prefixLists: new Map() });
    const message = `the egress rule ${text} of '${draft.resource.logicalId}' goes: '${where.logicalId}' takes the place of it`;
    const hint = `AWS removes the rule that allows everything when a resource adds the first egress rule; write it as a resource of its own, or take '${where.logicalId}' out`;
    const at: Where = { at: rule.origin, path: rule.origin.path };
    report(scope.problems, 'warning', 'replaced-rule', at, message, hint);
  }
}

export function finishGroup(draft: Draft): SecurityGroup {
  const { id, name, description, origin } = draft;
  const rules = [...draft.rules.values()];
  const said = (direction: Direction): Said => ({
    rules: rules.filter((rule) => rule.direction === direction),
    isStated: draft.stated.has(direction),
    gaps: draft.gaps[direction].map(({ reason }) => reason),
  });
  return openGroup(
    { id, name, description, origin },
    { ingress: said('ingress'), egress: said('egress') },
  );
}

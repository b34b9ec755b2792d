/**
 * This file collects what a template says about a group: its name and properties, its rules, and what could not be
 * understood.
 */
import { makeAuditAll } from '../policy/audit.ts';
import { separateRepeated } from '../policy/group-rules.ts';
import {
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type Origin,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { openGroup, type Said } from '../policy/openness.ts';
import { checkGroupDescription, checkGroupName } from '../policy/texts.ts';
import { idOf, readGroupName } from './attributes.ts';
import { readAuditTag } from './audit-tag.ts';
import { KIND_GROUP, PROPERTIES_OF_KINDS } from './kinds.ts';
import { checkProperties, readText, warnOfUnknown } from './properties.ts';
import type { Resource } from './resources.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import {
  abbreviate,
  makeUnknown,
  type TextValue,
  type UnknownValue,
  type Where,
} from './values.ts';

/** The limit for AWS's messages, which quote the text they are about. */
const AWS_MESSAGE_CHARS_MAX = 400;

export interface Draft {
  readonly resource: Resource;
  readonly id: GroupId;
  readonly name: string;
  /** The id of its VPC, or why the id is unknown. Undefined if there is no VpcId. */
  readonly vpcId: TextValue | UnknownValue | undefined;
  readonly description: string;
  readonly origin: Origin;
  /** By rule key (ruleKey). Two equal rules of one group are one rule. */
  readonly rules: Map<string, Rule>;
  /** The directions that something is stated about, whether it was understood or not. */
  readonly stated: Set<Direction>;
  /** Why something more may be stated, by direction. */
  readonly gaps: Readonly<Record<Direction, UnknownValue[]>>;
}

/** Starts a draft for each group among `resources`, all of which exist. */
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

/** Records why something unknown may be stated about the group, in both directions. */
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
    refuseStackName(scope, resource, fallback, wrong.message);
    return fallback;
  }
  fail(
    scope,
    'bad-name',
    value,
    abbreviate(wrong.message, AWS_MESSAGE_CHARS_MAX),
    'write a name of the characters a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
  );
  return fallback;
}

/** The stacks whose name was reported. The stack's name is wrong then, so it is not reported again for each group. */
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
  // A macro that may give it is reported for the whole group.
  if (value.kind === 'unknown' && resource.gap === undefined)
    warnOfUnknown(scope, 'GroupDescription', value, value.path, 'it is left empty');
  if (value.kind !== 'text') return '';
  const wrong = checkGroupDescription(value.text);
  if (wrong === undefined) return value.text;
  const message = abbreviate(wrong.message, AWS_MESSAGE_CHARS_MAX);
  fail(scope, 'bad-description', value, message, wrong.hint);
  return '';
}

/** Reads VpcId. An empty one counts as absent, and one with an error as unknown. */
function readVpcId(scope: Scope, resource: Resource): TextValue | UnknownValue | undefined {
  const value = readText(scope, resource.properties, 'VpcId');
  if (value?.kind === 'unusable') return makeUnknown('it is in error', 'mend it', resource);
  return value?.kind === 'text' && value.text === '' ? undefined : value;
}

/** Reports groups of one VPC with the same name. A group without VpcId is in the VPC of the others. */
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

/** Adds rules that are written in the group itself, or in a resource of their own. Repetitions are reported. */
export function addRules(
  scope: Scope,
  draft: Draft,
  rules: readonly Rule[],
  origin: 'inline' | 'resource',
): void {
  const { fresh, repeated } = separateRepeated(rules, draft.rules);
  // AWS can't tell a rule that is written like its own from its own.
  for (const { key, rule } of fresh) {
    const isLikeOwn = origin === 'inline' && allowsEverythingOut(rule);
    draft.rules.set(key, isLikeOwn ? { ...rule, implied: true } : rule);
  }
  for (const { key, rule, first } of repeated) {
    if (origin === 'resource' && draft.rules.get(key)?.implied === true) {
      draft.rules.set(key, rule);
      continue;
    }
    const message = `${rule.direction} rule ${key} of '${draft.resource.logicalId}' is there already, from line ${first.origin.line}`;
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
 * Applies the existence of an egress resource that is, or may be, for the group. AWS then removes the egress rules that
 * it added by itself, and equal ones that are written in the group.
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
    const message = `the egress rule ${key} of '${draft.resource.logicalId}' goes: '${where.logicalId}' takes the place of it`;
    const hint = `AWS removes the rule that allows everything when a resource adds the first egress rule; write it as a resource of its own, or take '${where.logicalId}' out`;
    const at: Where = { at: rule.origin, path: rule.origin.path };
    report(scope.problems, 'warning', 'replaced-rule', at, message, hint);
  }
}

export function finishGroup(scope: Scope, draft: Draft): SecurityGroup {
  const { id, name, description, origin, resource } = draft;
  const rules = [...draft.rules.values()];
  const said = (direction: Direction): Said => ({
    rules: rules.filter((rule) => rule.direction === direction),
    isStated: draft.stated.has(direction),
    gaps: draft.gaps[direction].map(({ reason }) => reason),
  });
  const opened = openGroup(
    { id, name, description, origin },
    { ingress: said('ingress'), egress: said('egress') },
  );
  return readAuditTag(scope, resource) ? { ...opened, audited: makeAuditAll(id, origin) } : opened;
}

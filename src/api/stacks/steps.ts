/**
 * This file says by which calls of the estate a stack becomes what it is to be.
 *
 * The order is that of what names what: lists and networks, then groups without rules, then rules, then interfaces;
 * what goes, goes last and in the opposite order. A group changes all its rules in one step. Groups that a stack makes
 * are closed from the first step on, so if the steps take several commits, nothing is open between them that is not to
 * be open in the end.
 */
import type { CallContext } from '../../estate/calls.ts';
import type { Edit } from '../../estate/edit.ts';
import { deleteEstateGroup } from '../../estate/groups.ts';
import { deleteInterface } from '../../estate/interfaces.ts';
import { deletePrefixList } from '../../estate/prefix-lists.ts';
import { deleteSubnet } from '../../estate/subnets.ts';
import { createTags, deleteTags } from '../../estate/tags.ts';
import { deleteVpc, disassociateBlock } from '../../estate/vpcs.ts';
import type { Checked } from '../../policy/refusals.ts';
import { isAnother } from './difference.ts';
import { createResource, uniqueTags, updateResource, type MakeContext } from './make-resource.ts';
import type { DesiredResource, Spec } from './resource-specs.ts';
import { clearGroup, syncRules, type MadeRules } from './rule-steps.ts';
import type { MadeRule, StackResource } from './stack-rows.ts';

export type Verb = 'CREATE' | 'UPDATE' | 'DELETE';

export interface Step {
  readonly logicalId: string;
  readonly verb: Verb;
  readonly run: (edit: Edit, results: MadeRules) => Checked<unknown>;
}

type Kind = Exclude<Spec['kind'], 'none'>;

/** Rules come between groups and interfaces. */
const FIRST: readonly Kind[] = ['unreadable', 'prefixList', 'vpc', 'vpcBlock', 'subnet', 'group'];
const AFTER_RULES: readonly Kind[] = ['interface', 'emptied'];
const DONE = { ok: true, value: undefined } as const;

export function stepsOf(
  previous: readonly StackResource[],
  desired: readonly DesiredResource[],
  options: MakeContext,
): readonly Step[] {
  const before = new Map(previous.map((one) => [one.logicalId, one]));
  const after = new Map(desired.map((one) => [one.logicalId, one]));
  const make = (kinds: readonly Kind[]): readonly Step[] =>
    kinds.flatMap((kind) =>
      desired.flatMap((one) =>
        one.spec.kind === kind ? makeSteps(before.get(one.logicalId), one, options) : [],
      ),
    );
  const gone = previous.filter((one) => {
    const kept = after.get(one.logicalId);
    return !one.isRetained && (kept === undefined || isAnother(one, kept));
  });
  return [
    ...make(FIRST),
    ...ruleSteps(previous, desired, options),
    ...make(AFTER_RULES),
    ...deleteSteps(gone),
  ];
}

function makeSteps(
  before: StackResource | undefined,
  one: DesiredResource,
  options: MakeContext,
): readonly Step[] {
  const { logicalId, spec, physicalId } = one;
  if (before === undefined || isAnother(before, one)) {
    const verb = before === undefined ? 'CREATE' : 'UPDATE';
    return [{ logicalId, verb, run: (edit) => createResource(edit, one, options) }];
  }
  const steps: Step[] = [];
  if (before.fingerprint !== one.fingerprint)
    steps.push({ logicalId, verb: 'UPDATE', run: (edit) => updateResource(edit, one, options) });
  const isTagged = spec.kind !== 'vpcBlock' && spec.kind !== 'emptied';
  if (isTagged && JSON.stringify(before.tags) !== JSON.stringify(one.tags))
    steps.push({
      logicalId,
      verb: 'UPDATE',
      run: (edit) => retag(edit, physicalId, before.tags, one.tags),
    });
  return steps;
}

function retag(
  edit: Edit,
  id: string,
  before: DesiredResource['tags'],
  after: DesiredResource['tags'],
): Checked<unknown> {
  const kept = new Set(after.map(({ key }) => key));
  const gone = before.filter(({ key }) => !kept.has(key)).map(({ key }) => ({ key }));
  const removed = gone.length === 0 ? DONE : deleteTags(edit, [id], gone);
  if (!removed.ok || after.length === 0) return removed;
  return createTags(edit, [id], uniqueTags(after));
}

/** One step for each group in which the stack has, or is to have, rules. */
function ruleSteps(
  previous: readonly StackResource[],
  desired: readonly DesiredResource[],
  { context }: MakeContext,
): readonly Step[] {
  const known = new Map(previous.map(({ physicalId, type }) => [physicalId, type]));
  const own = new Map(
    desired.flatMap((one) => (one.spec.kind === 'group' ? [[one.physicalId, one] as const] : [])),
  );
  const made = groupBy(previous.flatMap(({ rules }) => rules));
  const wanted = groupBy(
    desired.flatMap(({ logicalId, rules }) => rules.map((one) => ({ ...one, logicalId }))),
  );
  const ids = new Set([...made.keys(), ...wanted.keys(), ...own.keys()]);
  return [...ids].flatMap((groupId): Step[] => {
    const group = own.get(groupId);
    // A group of the stack that goes is cleared when it goes.
    if (group === undefined && known.has(groupId)) return [];
    const isNew = group !== undefined && !known.has(groupId);
    const rules = wanted.get(groupId) ?? [];
    const before: readonly MadeRule[] = made.get(groupId) ?? [];
    const logicalId = blamed(group, rules) ?? '';
    const verb = isNew ? 'CREATE' : 'UPDATE';
    return [
      {
        logicalId,
        verb,
        run: (edit, results) =>
          syncRules(
            edit,
            groupId,
            isNew ? undefined : before,
            rules.map(({ rule }) => rule),
            { context, isOutside: group === undefined, results },
          ),
      },
    ];
  });
}

/** What is named if the rules of a group are refused: the resource of a rule, else the group. */
function blamed(
  group: DesiredResource | undefined,
  rules: readonly { readonly logicalId: string }[],
): string | undefined {
  return group?.logicalId ?? rules[0]?.logicalId;
}

function groupBy<T extends { readonly groupId: string }>(items: readonly T[]): Map<string, T[]> {
  const found = new Map<string, T[]>();
  for (const item of items) {
    const same = found.get(item.groupId);
    if (same === undefined) found.set(item.groupId, [item]);
    else same.push(item);
  }
  return found;
}

/** How what a stack made goes, by the prefix of its id, in this order. */
const DELETIONS: readonly (readonly [
  prefix: string,
  run: (edit: Edit, id: string) => Checked<unknown>,
])[] = [
  ['eni', deleteInterface],
  ['sg', clearGroup],
  ['sg', deleteEstateGroup],
  ['subnet', deleteSubnet],
  ['vpc-cidr-assoc', disassociateBlock],
  ['vpc', deleteVpc],
  ['pl', deletePrefixList],
];

/** @param gone resources; what a call has deleted meanwhile is gone already */
export function deleteSteps(gone: readonly StackResource[]): readonly Step[] {
  return DELETIONS.flatMap(([prefix, run]) =>
    gone.flatMap(({ logicalId, physicalId }): Step[] =>
      physicalId.replace(/-[0-9a-f]+$/, '') === prefix
        ? [
            {
              logicalId,
              verb: 'DELETE',
              run: (edit) => unlessGone(run(edit, physicalId)),
            },
          ]
        : [],
    ),
  );
}

/** Rules in groups of others, which go with the stack. */
export function outsideRuleSteps(
  previous: readonly StackResource[],
  context: CallContext,
): readonly Step[] {
  const own = new Set(previous.map(({ physicalId }) => physicalId));
  const made = previous.flatMap(({ logicalId, rules }) =>
    rules.map((rule) => ({ ...rule, logicalId })),
  );
  return [...groupBy(made)].flatMap(([groupId, rules]): Step[] => {
    if (own.has(groupId)) return [];
    const { logicalId } = rules[0];
    const run: Step['run'] = (edit, results) =>
      syncRules(edit, groupId, rules, [], { context, isOutside: true, results });
    return [{ logicalId, verb: 'DELETE', run }];
  });
}

function unlessGone(done: Checked<unknown>): Checked<unknown> {
  if (done.ok) return done;
  return done.refusals.every(({ code }) => code.endsWith('.NotFound')) ? DONE : done;
}

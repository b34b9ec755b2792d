/**
 * This file makes, changes and deletes stacks.
 *
 * Theory of operation. A call answers when its stack is done: the change is in force, or taken back. So a client that
 * polls finds the end at once. A template that no stack can be made of is refused before anything happens. What is
 * refused later, by a call of the estate or by a host, is a rollback: the rows of the estate are as they were, and the
 * stack's row and events say why.
 *
 * A large stack takes several commits, and its row says meanwhile that something is in progress, and until when the
 * next commit comes. After that, the server that was at work has ended, and the stack counts as failed. It can be
 * updated or deleted, since its row says what was made until then. The clocks of servers may be apart by less.
 */
import { randomUUID } from 'node:crypto';
import type { Edit } from '../../estate/edit.ts';
import type { ApiError } from '../action.ts';
import type { Managed } from '../managed.ts';
import { zonesOf } from '../zones.ts';
import { runBatches, type BatchOutcome } from './batches.ts';
import { compareStacks, isAnother } from './difference.ts';
import { changeEvents, failureEvents, stackEvent, type Failure } from './events.ts';
import { readStack, type DesiredStack } from './read-stack.ts';
import { madeKey, type MadeRules } from './rule-steps.ts';
import {
  findStack,
  listChangeSets,
  listStacks,
  removeChangeSet,
  removeStack,
  stackKey,
  writeChangeSet,
  writeEvents,
  writeProgress,
  writeStack,
  writeTemplate,
  type ChangeSet,
  type ResourceChange,
  type Stack,
  type StackOrder,
  type StackResource,
} from './stack-rows.ts';
import { deleteSteps, outsideRuleSteps, stepsOf, type Step } from './steps.ts';
import { invalid } from './template-checks.ts';
import { ruleKey } from '../../policy/rules.ts';

export const REVIEW = 'REVIEW_IN_PROGRESS';
const INTERRUPTED = 'The server ended before the operation did; update or delete the stack';

/** Between two commits of a stack hosts have ten seconds to put the first in force. */
const BUSY_MS = 60_000;

export type OnFailure = 'ROLLBACK' | 'DELETE' | 'DO_NOTHING';

export interface DeployOptions {
  readonly onFailure: OnFailure;
  readonly changeSet?: ChangeSet;
  readonly isProtected?: boolean;
}

export interface Preview {
  readonly stack: DesiredStack;
  readonly changes: readonly ResourceChange[];
  /** Whether tags or outputs differ, beside the resources. */
  readonly isChanged: boolean;
}

/** The stacks with which this server does something at the moment, by name. */
const busy = new Set<string>();

/** A stack as clients see it. */
export function settled(stack: Stack): Stack {
  const { status } = stack;
  if (!status.endsWith('_IN_PROGRESS') || status === REVIEW || isBusy(stack)) return stack;
  const [verb] = status.split('_');
  return { ...stack, status: `${verb}_FAILED`, reason: INTERRUPTED };
}

/** Whether this server, or another, is at work on it. */
function isBusy({ name, busyUntil = '' }: Stack): boolean {
  return busy.has(name) || Date.parse(busyUntil) > Date.now();
}

/** A stack that does not exist yet. */
export function newStack(
  my: Managed,
  name: string,
  { tags, capabilities, parameters }: StackOrder,
): Stack {
  const id = `arn:aws:cloudformation:${my.region}:${my.accountId}:stack/${name}/${randomUUID()}`;
  return {
    name,
    id,
    status: REVIEW,
    createdAt: new Date().toISOString(),
    parameters,
    tags,
    capabilities,
    isRollbackDisabled: false,
    isProtected: false,
    outputs: [],
    imports: [],
    resources: [],
  };
}

/** What a deploy would do. @throws ApiError if no stack can be made of it */
export function preview(my: Managed, stack: Stack, order: StackOrder): Preview {
  const { estate, region, accountId } = my;
  const others = listStacks(estate).filter(({ name }) => name !== stack.name);
  const exports = new Map(
    others.flatMap(({ outputs }) =>
      outputs.flatMap(({ exportName, value }) =>
        exportName === undefined ? [] : [[exportName, value] as const],
      ),
    ),
  );
  const place = { name: stack.name, id: stack.id, region, accountId };
  const desired = readStack(place, order, { estate, exports, previous: stack.resources });
  checkExports(stack, desired, others);
  const changes = compareStacks(stack.resources, desired.resources);
  const isChanged =
    changes.length > 0 ||
    JSON.stringify(stack.tags) !== JSON.stringify(order.tags) ||
    JSON.stringify(stack.outputs) !== JSON.stringify(desired.outputs);
  return { stack: desired, changes, isChanged };
}

/**
 * Makes or changes a stack.
 * @param before as it is; one that is in review is made
 * @returns the revision in which it is done, or taken back
 */
export function deploy(
  my: Managed,
  before: Stack,
  order: StackOrder,
  options: DeployOptions,
): Promise<number> {
  return alone(before, async () => {
    const verb = isNew(before) ? 'CREATE' : 'UPDATE';
    const { stack: desired, changes } = preview(my, before, order);
    const known = new Set([my.estate.textOf(stackKey(before.name))]);
    const steps = stepsOf(before.resources, desired.resources, {
      context: my.context,
      zones: zonesOf(my.region).map(({ name }) => name),
      stackName: before.name,
      stackId: before.id,
    });
    const now = new Date().toISOString();
    const head: Stack = {
      ...before,
      ...(verb === 'UPDATE' ? { updatedAt: now } : {}),
      ...(options.changeSet === undefined ? {} : { changeSetId: options.changeSet.id }),
      ...(options.isProtected === undefined ? {} : { isProtected: options.isProtected }),
    };
    const start = stackEvent(before, `${verb}_IN_PROGRESS`, 'User Initiated');
    const outcome = await runBatches(my, {
      steps,
      pause: (edit, results, count) => {
        checkUnchanged(edit, before.name, known);
        const resources = partly(before.resources, desired, steps.slice(0, count), results, now);
        writeProgress(edit, { ...head, status: `${verb}_IN_PROGRESS`, resources }, busyUntil());
        known.add(edit.text(stackKey(before.name)));
      },
      finish: (edit, results) => {
        checkUnchanged(edit, before.name, known);
        const resources = made(before.resources, desired, results, now, changes);
        const status = `${verb}_COMPLETE`;
        writeStack(edit, finished(head, order, desired, { status, resources }));
        writeTemplate(edit, before.name, order.template);
        const ids = new Map(resources.map((one) => [one.logicalId, one]));
        writeEvents(edit, before.name, [
          start,
          ...changeEvents(
            changes,
            (id) => ids.get(id)?.physicalId,
            (id) => ids.get(id)?.reason,
          ),
          stackEvent(before, status),
        ]);
        closeChangeSets(edit, before.name, options.changeSet);
      },
    });
    if (outcome.kind === 'done') return outcome.revision;
    return fail(my, head, { verb, order, changes, outcome, start, options });
  });
}

/** Deletes a stack with what it made. @param retained logical ids of what stays */
export function destroy(my: Managed, before: Stack, retained: readonly string[]): Promise<number> {
  return alone(before, async () => {
    const now = new Date().toISOString();
    const users = importersOf(my, before);
    const start = stackEvent(before, 'DELETE_IN_PROGRESS', 'User Initiated');
    const gone = before.resources.filter(
      ({ isRetained, logicalId }) => !isRetained && !retained.includes(logicalId),
    );
    const steps = [...outsideRuleSteps(gone, my.context), ...deleteSteps(gone)];
    const changes = gone.map(({ logicalId, type, physicalId }): ResourceChange => ({
      action: 'Remove',
      logicalId,
      type,
      physicalId,
      isReplaced: false,
    }));
    const outcome: BatchOutcome =
      users === undefined
        ? await runBatches(my, {
            steps,
            pause: (edit) =>
              writeProgress(edit, { ...before, status: 'DELETE_IN_PROGRESS' }, busyUntil()),
            finish: (edit) =>
              removeStack(edit, { ...before, status: 'DELETE_COMPLETE', deletedAt: now }),
          })
        : { kind: 'failed', failure: { logicalId: '', reason: users }, isBack: true };
    if (outcome.kind === 'done') return outcome.revision;
    const { failure } = outcome;
    const reason = reasonOf('delete', failure);
    return my.note((edit) => {
      const current = findStack(my.estate, before.name) ?? before;
      writeStack(edit, { ...current, status: 'DELETE_FAILED', reason });
      writeEvents(edit, before.name, [
        start,
        ...failureEvents(changes, failure),
        stackEvent(before, 'DELETE_FAILED', reason),
      ]);
    });
  });
}

interface FailedDeploy {
  readonly verb: 'CREATE' | 'UPDATE';
  readonly order: StackOrder;
  readonly changes: readonly ResourceChange[];
  readonly outcome: Extract<BatchOutcome, { readonly kind: 'failed' }>;
  readonly start: ReturnType<typeof stackEvent>;
  readonly options: DeployOptions;
}

/** Writes what became of a stack whose change was taken back. */
function fail(
  my: Managed,
  head: Stack,
  { verb, order, changes, outcome, start, options }: FailedDeploy,
): Promise<number> {
  const { failure, isBack } = outcome;
  const reason = reasonOf(verb === 'CREATE' ? 'create' : 'update', failure);
  const rollback = verb === 'CREATE' ? 'ROLLBACK' : 'UPDATE_ROLLBACK';
  const isKept = verb === 'CREATE' && options.onFailure === 'DO_NOTHING';
  const status = isKept ? 'CREATE_FAILED' : `${rollback}_${isBack ? 'COMPLETE' : 'FAILED'}`;
  return my.note((edit) => {
    const current = isBack ? undefined : findStack(my.estate, head.name);
    const resources = (current ?? head).resources;
    const { parameters, tags, capabilities } = verb === 'CREATE' ? order : head;
    const said = { parameters, tags, capabilities };
    const stack: Stack = { ...head, ...said, status, reason, resources };
    if (verb === 'CREATE' && isBack && options.onFailure === 'DELETE') {
      const deletedAt = new Date().toISOString();
      removeStack(edit, { ...stack, status: 'DELETE_COMPLETE', deletedAt });
      return;
    }
    writeStack(edit, stack);
    if (verb === 'CREATE') writeTemplate(edit, head.name, order.template);
    writeEvents(edit, head.name, [
      start,
      ...failureEvents(changes, failure),
      ...(isKept ? [] : [stackEvent(head, `${rollback}_IN_PROGRESS`, reason)]),
      stackEvent(head, status, isKept ? reason : undefined),
    ]);
    closeChangeSets(edit, head.name, options.changeSet);
  });
}

function reasonOf(what: string, { logicalId, reason }: Failure): string {
  if (logicalId === '') return reason;
  return `The following resource(s) failed to ${what}: [${logicalId}]. ${reason}`;
}

function isNew({ status }: Stack): boolean {
  return status === REVIEW;
}

/** The change sets of a stack go when one is executed; that one stays to be looked at, without its template. */
function closeChangeSets(edit: Edit, name: string, executed: ChangeSet | undefined): void {
  for (const set of listChangeSets(edit.estate, name))
    if (set.name !== executed?.name) removeChangeSet(edit, set);
  if (executed === undefined) return;
  const order = { ...executed.order, template: '' };
  writeChangeSet(edit, { ...executed, order, executionStatus: 'EXECUTE_COMPLETE' });
}

/**
 * @param known the texts of the stack's row that this deploy has read or written
 * @throws ApiError if it is another: somebody else changed the stack meanwhile
 */
function checkUnchanged(edit: Edit, name: string, known: ReadonlySet<string | undefined>): void {
  if (!known.has(edit.text(stackKey(name))))
    throw invalid(`Stack [${name}] was changed by another call meanwhile; try again`);
}

function busyUntil(): Date {
  return new Date(Date.now() + BUSY_MS);
}

async function alone<T>(stack: Stack, work: () => Promise<T>): Promise<T> {
  const { name } = stack;
  if (isBusy(stack))
    throw invalid(`Stack [${name}] is being changed by another call and can not be updated.`);
  busy.add(name);
  try {
    return await work();
  } finally {
    busy.delete(name);
  }
}

function finished(
  { reason: _, ...head }: Stack,
  order: StackOrder,
  { description, outputs, imports }: DesiredStack,
  { status, resources }: Pick<Stack, 'status' | 'resources'>,
): Stack {
  const { parameters, tags, capabilities, roleArn } = order;
  return {
    ...head,
    status,
    ...(description === undefined ? {} : { description }),
    parameters,
    tags,
    capabilities,
    ...(roleArn === undefined ? {} : { roleArn }),
    outputs,
    imports,
    resources,
  };
}

/** The resources of a stack that is what it is to be. */
function made(
  previous: readonly StackResource[],
  { resources }: DesiredStack,
  results: MadeRules,
  at: string,
  changes: readonly ResourceChange[],
): readonly StackResource[] {
  const before = new Map(previous.map((one) => [one.logicalId, one]));
  const changed = new Set(changes.map(({ logicalId }) => logicalId));
  return resources.map((one): StackResource => {
    const { logicalId, type, fingerprint, facts, tags, isRetained, note } = one;
    const known = before.get(logicalId);
    const isTouched = changed.has(logicalId);
    const status = known === undefined ? 'CREATE_COMPLETE' : 'UPDATE_COMPLETE';
    const rules = one.rules.flatMap(
      ({ groupId, rule }) => results.get(madeKey(groupId, ruleKey(rule))) ?? [],
    );
    return {
      logicalId,
      type,
      // A rule has the id that it got when it was made.
      physicalId: one.spec.kind === 'rule' ? (rules[0]?.id ?? one.physicalId) : one.physicalId,
      status: isTouched ? status : (known?.status ?? status),
      ...(note === undefined ? {} : { reason: note }),
      at: isTouched ? at : (known?.at ?? at),
      fingerprint,
      facts,
      rules,
      tags,
      isRetained,
    };
  });
}

/** The resources of a stack of which some steps are done: what it had, and what those made. */
function partly(
  previous: readonly StackResource[],
  desired: DesiredStack,
  done: readonly Step[],
  results: MadeRules,
  at: string,
): readonly StackResource[] {
  const before = new Map(previous.map((one) => [one.logicalId, one]));
  const touched = new Set(done.map(({ logicalId }) => logicalId));
  const wanted = made(previous, desired, results, at, []);
  const now = wanted.flatMap((one): StackResource[] => {
    const known = before.get(one.logicalId);
    const isFresh = known === undefined || isAnother(known, desiredOf(desired, one.logicalId));
    if (isFresh && !touched.has(one.logicalId) && one.rules.length === 0) return [];
    const rules = [...new Set([...(isFresh ? [] : known.rules), ...one.rules])];
    // Nothing has this fingerprint, so the next update looks at it again.
    return [{ ...one, fingerprint: '', rules }];
  });
  const kept = new Set(now.map(({ physicalId }) => physicalId));
  const old = previous.filter(({ physicalId }) => !kept.has(physicalId));
  const names = new Set(now.map(({ logicalId }) => logicalId));
  return [
    ...now,
    // One that is being replaced: no template has such a logical id, so it goes with the next update.
    ...old.map((one) =>
      names.has(one.logicalId) ? { ...one, logicalId: `${one.logicalId} (replaced)` } : one,
    ),
  ];
}

function desiredOf(
  { resources }: DesiredStack,
  logicalId: string,
): DesiredStack['resources'][number] {
  return resources.find((one) => one.logicalId === logicalId)!;
}

function checkExports(stack: Stack, { outputs }: DesiredStack, others: readonly Stack[]): void {
  const wanted = new Map(outputs.map((one) => [one.exportName ?? '', one.value]));
  for (const other of others)
    for (const { exportName } of other.outputs)
      if (exportName !== undefined && wanted.has(exportName))
        throw invalid(
          `Export with name ${exportName} is already exported by stack ${other.name}. Rolled back.`,
        );
  for (const { exportName, value } of stack.outputs) {
    if (exportName === undefined || wanted.get(exportName) === value) continue;
    const user = others.find(({ imports }) => imports.includes(exportName));
    if (user === undefined) continue;
    const what = wanted.has(exportName) ? 'updated' : 'deleted';
    throw invalid(`Export ${exportName} cannot be ${what} as it is in use by ${user.name}`);
  }
}

/** Why a stack can't go: another one uses its exports. */
function importersOf(my: Managed, { name, outputs }: Stack): string | undefined {
  const others = listStacks(my.estate).filter((other) => other.name !== name);
  for (const { exportName } of outputs) {
    if (exportName === undefined) continue;
    const user = others.find(({ imports }) => imports.includes(exportName));
    if (user !== undefined)
      return `Export ${exportName} cannot be deleted as it is in use by ${user.name}`;
  }
  return undefined;
}

/** What a client is told of a stack that is not there. */
export function noSuchStack(name: string): ApiError {
  return invalid(`Stack with id ${name} does not exist`);
}

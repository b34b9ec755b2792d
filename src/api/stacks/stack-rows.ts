/**
 * The rows of a stack in the store, and of its change sets.
 *
 * A stack has three rows: what it is and what it made (`stacks/NAME`), its template, and its events. The template and
 * the events stand apart since both are long and seldom asked for. A stack that was deleted leaves one row, by its id,
 * for whoever still waits for its end.
 */
import type { Edit } from '../../estate/edit.ts';
import type { Estate } from '../../estate/estate.ts';
import type { Direction, RuleId } from '../../policy/model.ts';
import type { Tag } from '../../policy/tags.ts';

const STACKS = 'stacks/';
const TEMPLATES = 'stack-templates/';
const EVENTS = 'stack-events/';
const DELETED = 'deleted-stacks/';
const CHANGE_SETS = 'change-sets/';

/** The last ones stay. A deploy of 500 resources has 1,000 and some. */
const EVENTS_MAX = 1_500;
/** Of their JSON, so that a commit has room for the rest (store/limits.ts). */
const EVENTS_CHARS_MAX = 250_000;
const DELETED_MAX = 100;

/** A rule that a stack made, and where. */
export interface MadeRule {
  readonly groupId: string;
  readonly direction: Direction;
  /** What it says (ruleKey). */
  readonly key: string;
  readonly id: RuleId;
  readonly description: string;
}

/** What a change replaces a resource for, or compares with, by the names of the properties. */
export type Facts = Readonly<Record<string, string>>;

export interface StackResource {
  readonly logicalId: string;
  readonly type: string;
  readonly physicalId: string;
  readonly status: string;
  readonly reason?: string;
  /** ISO 8601. */
  readonly at: string;
  /** Of all that the template says of it. */
  readonly fingerprint: string;
  /** Those that can't be changed: a resource with others is a new one. */
  readonly facts: Facts;
  readonly rules: readonly MadeRule[];
  readonly tags: readonly Tag[];
  /** It stays when the stack goes (DeletionPolicy). */
  readonly isRetained: boolean;
}

export interface StackParameter {
  readonly key: string;
  readonly value: string;
  /** Its value is not shown. */
  readonly isSecret: boolean;
}

export interface StackOutput {
  readonly key: string;
  readonly value: string;
  readonly description?: string;
  readonly exportName?: string;
}

export interface Stack {
  readonly name: string;
  /** An ARN. */
  readonly id: string;
  readonly status: string;
  readonly reason?: string;
  readonly description?: string;
  readonly createdAt: string;
  readonly updatedAt?: string;
  readonly deletedAt?: string;
  readonly changeSetId?: string;
  readonly parameters: readonly StackParameter[];
  readonly tags: readonly Tag[];
  readonly capabilities: readonly string[];
  readonly roleArn?: string;
  readonly isRollbackDisabled: boolean;
  readonly isProtected: boolean;
  readonly outputs: readonly StackOutput[];
  /** The exports of other stacks that it uses. */
  readonly imports: readonly string[];
  readonly resources: readonly StackResource[];
  /** ISO 8601. Until then a server is at work on it, for all that others know; only where its status says so. */
  readonly busyUntil?: string;
}

export interface StackEvent {
  readonly id: string;
  readonly at: string;
  readonly logicalId: string;
  readonly physicalId: string;
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
}

export interface ResourceChange {
  readonly action: 'Add' | 'Modify' | 'Remove';
  readonly logicalId: string;
  readonly type: string;
  /** Undefined: it is new. */
  readonly physicalId?: string;
  readonly isReplaced: boolean;
}

/** What a stack is to be made of. */
export interface StackOrder {
  readonly template: string;
  readonly parameters: readonly StackParameter[];
  readonly tags: readonly Tag[];
  readonly capabilities: readonly string[];
  readonly roleArn?: string;
}

export interface ChangeSet {
  readonly name: string;
  readonly id: string;
  readonly stackName: string;
  readonly stackId: string;
  readonly description?: string;
  readonly createdAt: string;
  readonly status: string;
  readonly reason?: string;
  readonly executionStatus: string;
  readonly onFailure?: string;
  readonly order: StackOrder;
  readonly changes: readonly ResourceChange[];
}

export function stackKey(name: string): string {
  return STACKS + name;
}

export function findStack(estate: Estate, name: string): Stack | undefined {
  return parse<Stack>(estate.textOf(stackKey(name)));
}

export function listStacks(estate: Estate): readonly Stack[] {
  return readAll<Stack>(estate, STACKS);
}

export function listDeleted(estate: Estate): readonly Stack[] {
  return readAll<Stack>(estate, DELETED);
}

export function templateOf(estate: Estate, name: string): string {
  return estate.textOf(TEMPLATES + name) ?? '';
}

/** The newest one first. */
export function eventsOf(estate: Estate, name: string): readonly StackEvent[] {
  return parse<readonly StackEvent[]>(estate.textOf(EVENTS + name)) ?? [];
}

export function findChangeSet(estate: Estate, stack: string, name: string): ChangeSet | undefined {
  return parse<ChangeSet>(estate.textOf(changeSetKey(stack, name)));
}

export function findChangeSetById(estate: Estate, id: string): ChangeSet | undefined {
  return readAll<ChangeSet>(estate, CHANGE_SETS).find((one) => one.id === id);
}

export function listChangeSets(estate: Estate, stack: string): readonly ChangeSet[] {
  return readAll<ChangeSet>(estate, `${CHANGE_SETS}${stack}/`);
}

/** Writes a stack with which nobody does anything any more. */
export function writeStack(edit: Edit, { busyUntil: _, ...stack }: Stack): void {
  edit.put(stackKey(stack.name), JSON.stringify(stack));
}

/** Writes how far a stack is. The server says so again before `busyUntil`, or has ended. */
export function writeProgress(edit: Edit, stack: Stack, busyUntil: Date): void {
  edit.put(stackKey(stack.name), JSON.stringify({ ...stack, busyUntil: busyUntil.toISOString() }));
}

export function writeTemplate(edit: Edit, name: string, template: string): void {
  edit.put(TEMPLATES + name, template);
}

/** @param fresh in the order in which they happened */
export function writeEvents(edit: Edit, name: string, fresh: readonly StackEvent[]): void {
  const known = parse<readonly StackEvent[]>(edit.text(EVENTS + name)) ?? [];
  let events = [...[...fresh].reverse(), ...known].slice(0, EVENTS_MAX);
  let text = JSON.stringify(events);
  while (text.length > EVENTS_CHARS_MAX) {
    events = events.slice(0, events.length >> 1);
    text = JSON.stringify(events);
  }
  edit.put(EVENTS + name, text);
}

export function writeChangeSet(edit: Edit, set: ChangeSet): void {
  edit.put(changeSetKey(set.stackName, set.name), JSON.stringify(set));
}

export function removeChangeSet(edit: Edit, { stackName, name }: ChangeSet): void {
  edit.remove(changeSetKey(stackName, name));
}

/** Removes a stack; what tells of its end is kept for a while. */
export function removeStack(edit: Edit, stack: Stack): void {
  for (const set of listChangeSets(edit.estate, stack.name)) removeChangeSet(edit, set);
  for (const key of [stackKey(stack.name), TEMPLATES + stack.name, EVENTS + stack.name])
    edit.remove(key);
  const kept = { ...stack, outputs: [], resources: [], imports: [] };
  edit.put(DELETED + uuidOf(stack.id), JSON.stringify(kept));
  const old = [...listDeleted(edit.estate)].sort((a, b) =>
    (a.deletedAt ?? '') < (b.deletedAt ?? '') ? -1 : 1,
  );
  const extra = old.slice(0, Math.max(0, old.length + 1 - DELETED_MAX));
  for (const { id } of extra) edit.remove(DELETED + uuidOf(id));
}

function changeSetKey(stack: string, name: string): string {
  return `${CHANGE_SETS}${stack}/${name}`;
}

function uuidOf(id: string): string {
  return id.slice(id.lastIndexOf('/') + 1);
}

function readAll<T>(estate: Estate, prefix: string): readonly T[] {
  return estate
    .keysBelow(prefix)
    .toSorted()
    .flatMap((key) => parse<T>(estate.textOf(key)) ?? []);
}

function parse<T>(text: string | undefined): T | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

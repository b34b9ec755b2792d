/**
 * This file keeps the history: who made the last changes, by which calls, and what each group was before and after.
 *
 * Theory of operation. The past that a store keeps is short (store/compaction.ts), and says nothing of who made it. So
 * the commit of a call has one row more, `changes/TIME-…`: there is a note of each change that there is, and of none
 * that was taken back. Its revision is that of the commit. With it goes the oldest of the notes beyond NOTES_MAX. No
 * host has any use for them.
 *
 * Of each group the note has both states, compressed together, which costs little more than one. Of many or large
 * groups only the first have theirs (GROUPS_BYTES): such a change is told of, and can't be gone back on here. What a
 * note would take beyond what a commit may have is left out, and at last the note itself: a change matters more.
 */
import { randomBytes } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { COMMIT_LIMITS } from '../store/limits.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import { CHANGES, parseValueKey, UNENFORCED_FOLDERS, valueKey } from './keys.ts';
import type { EstateGroup } from './model.ts';
import { RowError, RowReader } from './row-reader.ts';
import { ROW_FORMS } from './rows.ts';

export const NOTES_MAX = 500;
/** What the note of a commit takes of COMMIT_LIMITS.operations: itself, and those that it removes. */
export const NOTE_OPERATIONS = 3;
const REMOVED_MAX = NOTE_OPERATIONS - 1;
/** Of both states of a group, in base64; of all groups of a note. */
const GROUP_BYTES = 32 * 1024;
const GROUPS_BYTES = 64 * 1024;
const GROUPS_MAX = 100;
/** More than all rules that two states can have. */
const INFLATED_MAX = 16 << 20;
const TIME_DIGITS = 13;
const RANDOM_BYTES = 6;

export const AUTHORS_BY = ['api', 'console'] as const;
const WHAT_BECAME = ['made', 'deleted', 'changed'] as const;

export interface Author {
  readonly name: string;
  readonly accessKeyId: string;
  readonly arn: string;
  /** The actions that were called. */
  readonly actions: readonly string[];
  readonly by: (typeof AUTHORS_BY)[number];
}

export interface ChangeNote extends Author {
  readonly revision: number;
  readonly timeMs: number;
  readonly groups: readonly NotedGroup[];
  /** How many of other things were made, changed or deleted, by their folders. */
  readonly others: readonly { readonly kind: string; readonly count: number }[];
}

export class NotedGroup {
  readonly id: string;
  readonly name: string;
  readonly what: (typeof WHAT_BECAME)[number];
  private readonly kept: string | undefined;

  constructor(row: RowReader) {
    this.id = row.id('id');
    this.name = row.text('name');
    this.what = row.word('what', WHAT_BECAME);
    this.kept = row.optionalText('states');
  }

  /** Undefined: they were too large to keep. They are unpacked each time: most notes are only looked through. */
  get states(): NotedStates | undefined {
    return this.kept === undefined ? undefined : readStates(this.id, this.kept);
  }
}

/** Undefined: there was no such group. */
export interface NotedStates {
  readonly before: EstateGroup | undefined;
  readonly after: EstateGroup | undefined;
}

/** Adds the note of what an edit changes so far; none if that is nothing of the estate. */
export function noteChange(edit: Edit, author: Author, now: Date): void {
  const others = new Map<string, number>();
  const groups: object[] = [];
  let room = GROUPS_BYTES;
  for (const { key, before, after } of edit.changedRows()) {
    const place = parseValueKey(key);
    if (place === undefined || before === after || UNENFORCED_FOLDERS.includes(place.folder))
      continue;
    const { folder, id } = place;
    if (folder !== 'groups' || groups.length >= GROUPS_MAX) {
      others.set(folder, (others.get(folder) ?? 0) + 1);
      continue;
    }
    const states = deflate(JSON.stringify([before ?? null, after ?? null]));
    const isKept = states.length <= Math.min(GROUP_BYTES, room);
    if (isKept) room -= states.length;
    const { name } = JSON.parse(after ?? before ?? '{}') as { readonly name?: string };
    const what = before === undefined ? 'made' : after === undefined ? 'deleted' : 'changed';
    groups.push({ id, name: name ?? id, what, ...(isKept ? { states } : {}) });
  }
  if (groups.length === 0 && others.size === 0) return;
  const at = now.toISOString();
  const row = { ...author, at, groups, others: Object.fromEntries(others) };
  put(edit, row, now);
}

function put(edit: Edit, row: object, now: Date): void {
  const { conditions, puts, deletes } = edit.commit();
  const most = COMMIT_LIMITS.operations - NOTE_OPERATIONS;
  if (conditions.length > most || puts.length + deletes.length > most) return;
  const time = String(now.getTime()).padStart(TIME_DIGITS, '0');
  edit.put(`${CHANGES}${time}-${randomBytes(RANDOM_BYTES).toString('hex')}`, JSON.stringify(row));
  const { changes } = edit.estate;
  if (changes.size < NOTES_MAX) return;
  const oldest = [...changes].sort().slice(0, Math.min(REMOVED_MAX, changes.size - NOTES_MAX + 1));
  for (const key of oldest) edit.remove(key);
}

/**
 * Notes, the newest first. One that can't be read is left out.
 * @param revision those of it alone; absent: all
 */
export function readNotes(estate: Estate, revision?: number): readonly ChangeNote[] {
  return [...estate.changes]
    .filter((key) => revision === undefined || estate.revisionOf(key) === revision)
    .flatMap((key) => readNote(estate, key) ?? [])
    .sort((a, b) => b.revision - a.revision);
}

/** @returns undefined for a note that a newer version wrote, or nobody of ours */
function readNote(estate: Estate, key: string): ChangeNote | undefined {
  try {
    const row = RowReader.parse(key, estate.textOf(key) ?? '');
    const others = row.object('others');
    return {
      revision: estate.revisionOf(key),
      timeMs: Date.parse(row.text('at')),
      ...{ name: row.text('name'), accessKeyId: row.text('accessKeyId'), arn: row.text('arn') },
      ...{ actions: row.texts('actions'), by: row.word('by', AUTHORS_BY) },
      groups: row.objects('groups').map((one) => new NotedGroup(one)),
      others: others.names().map((kind) => ({ kind, count: others.integer(kind) })),
    };
  } catch (error) {
    if (error instanceof RowError) return undefined;
    throw error;
  }
}

function readStates(id: string, text: string): NotedStates | undefined {
  try {
    const inflated = inflateRawSync(Buffer.from(text, 'base64'), { maxOutputLength: INFLATED_MAX });
    const [before, after] = JSON.parse(inflated.toString('utf8')) as readonly (string | null)[];
    return { before: readState(id, before), after: readState(id, after) };
  } catch {
    return undefined;
  }
}

function readState(id: string, text: string | null): EstateGroup | undefined {
  if (text === null) return undefined;
  return ROW_FORMS.groups.decode(id, RowReader.parse(valueKey('groups', id), text));
}

function deflate(text: string): string {
  return deflateRawSync(text).toString('base64');
}

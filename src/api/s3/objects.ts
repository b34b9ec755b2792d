/**
 * The objects of the assets bucket, as rows of the store.
 *
 * They are what clients upload on the way to a stack: templates, and files for resources that are not made here. A
 * change set keeps its template, so an object is needed for the moment between the two calls. It is kept in the store
 * all the same: what was answered as kept is there after a restart, and every server of the store has it.
 *
 * The rows are bounded, since each process that watches the store has them in memory. When there are too many, the
 * oldest go: clients look whether an object is there, and upload it again.
 */
import { createHash } from 'node:crypto';
import type { Edit } from '../../estate/edit.ts';
import type { Estate } from '../../estate/estate.ts';
import { COMMIT_LIMITS } from '../../store/limits.ts';
import { ApiError } from '../action.ts';

const PREFIX = 'assets/';
/** Written as base64, it fits into a commit. */
export const OBJECT_BYTES_MAX = 512 << 10;
/** So that a commit has room to remove all of them. */
export const OBJECTS_MAX = 100;
/** Of the rows. */
export const ROWS_CHARS_MAX = 8 << 20;

export interface StoredObject {
  readonly key: string;
  readonly body: Uint8Array;
  readonly contentType: string;
  /** With quotation marks: the MD5 hash of the body. */
  readonly etag: string;
  readonly modifiedAt: Date;
}

interface ObjectRow {
  readonly contentType: string;
  readonly etag: string;
  /** ISO 8601. */
  readonly at: string;
  readonly size: number;
  /** Base64. */
  readonly body: string;
}

export type ObjectSummary = Omit<StoredObject, 'body' | 'contentType'> & { readonly size: number };

export function findObject(estate: Estate, key: string): StoredObject | undefined {
  const text = estate.textOf(rowKey(key));
  if (text === undefined) return undefined;
  const { contentType, etag, at, body } = JSON.parse(text) as ObjectRow;
  return { key, contentType, etag, modifiedAt: new Date(at), body: Buffer.from(body, 'base64') };
}

/** In the order of their keys. */
export function listObjects(estate: Estate, prefix = ''): readonly ObjectSummary[] {
  return rowKeys(estate)
    .map(keyOf)
    .filter((key) => key.startsWith(prefix))
    .sort((a, b) => (a < b ? -1 : 1))
    .map((key) => {
      const { etag, at, size } = JSON.parse(estate.textOf(rowKey(key))!) as ObjectRow;
      return { key, etag, modifiedAt: new Date(at), size };
    });
}

/** Writes an object, in place of another with its key. @throws ApiError if it is too large. @returns its etag */
export function putObject(
  edit: Edit,
  { key, body, contentType }: Pick<StoredObject, 'key' | 'body' | 'contentType'>,
): string {
  const row = checkedRowKey(key);
  if (body.length > OBJECT_BYTES_MAX)
    throw new ApiError(
      'EntityTooLarge',
      `Your proposed upload exceeds the maximum allowed size: an object has at most ${OBJECT_BYTES_MAX} bytes here.`,
    );
  const etag = `"${createHash('md5').update(body).digest('hex')}"`;
  const value: ObjectRow = {
    contentType,
    etag,
    at: new Date().toISOString(),
    size: body.length,
    body: Buffer.from(body).toString('base64'),
  };
  const text = JSON.stringify(value);
  makeRoom(edit, row, text.length);
  edit.put(row, text);
  return etag;
}

export function removeObject(edit: Edit, key: string): void {
  const row = checkedRowKey(key);
  if (edit.has(row)) edit.remove(row);
}

/** Removes the oldest objects until one more with so many characters fits. */
function makeRoom(edit: Edit, row: string, chars: number): void {
  const { estate } = edit;
  const others = rowKeys(estate)
    .filter((one) => one !== row)
    .map((one) => ({ one, revision: estate.revisionOf(one), chars: estate.textOf(one)!.length }))
    .sort((a, b) => b.revision - a.revision);
  let left = ROWS_CHARS_MAX - chars;
  others.forEach(({ one, chars: taken }, i) => {
    left -= taken;
    if (left < 0 || i >= OBJECTS_MAX - 1) edit.remove(one);
  });
}

function rowKeys(estate: Estate): readonly string[] {
  return estate.keysBelow(PREFIX);
}

function rowKey(key: string): string {
  return PREFIX + encodeURIComponent(key);
}

function keyOf(row: string): string {
  return decodeURIComponent(row.slice(PREFIX.length));
}

function checkedRowKey(key: string): string {
  const row = rowKey(key);
  if (row.length <= COMMIT_LIMITS.keyBytes) return row;
  throw new ApiError('KeyTooLongError', 'Your key is too long');
}

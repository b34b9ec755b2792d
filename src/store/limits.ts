/**
 * These are the bounds of keys, values and commits. Each backend refuses the same, so that what one store took another
 * takes too. The numbers are etcd's with some room: 128 operations a transaction (`--max-txn-ops`) and 1.5 MiB a
 * request (`--max-request-bytes`).
 */
import type { Commit } from './store.ts';

export const COMMIT_LIMITS = {
  /** Of conditions; and of puts and deletes together. */
  operations: 127,
  /** Of all keys and values together, in UTF-8. */
  bytes: 1 << 20,
  /** Of one key. */
  keyBytes: 1024,
} as const;

/**
 * Visible ASCII and blanks, so that order and prefix mean the same in JavaScript, in SQLite and in etcd. Encode other
 * characters (encodeURIComponent).
 */
const KEY = /^[\x20-\x7e]+$/;
/** Behind every character that a key may have. */
const AFTER_ALL = '\x7f';

/** The first text that is behind all keys with this prefix. */
export function endOfPrefix(prefix: string): string {
  return prefix + AFTER_ALL;
}

/** @throws RangeError for a prefix that no key can have */
export function assertPrefix(prefix: string): void {
  if (prefix !== '' && !KEY.test(prefix))
    throw new RangeError(`not a prefix of keys: ${JSON.stringify(prefix)}`);
}

/** @throws RangeError for no parts, or for one that no key can have */
export function assertParts(parts: readonly string[]): void {
  if (parts.length === 0) throw new RangeError('no parts to read');
  parts.forEach(assertPrefix);
}

/** @throws RangeError for a number that is no revision */
export function assertRevision(revision: number): void {
  if (!Number.isSafeInteger(revision) || revision < 0)
    throw new RangeError(`not a revision: ${revision}`);
}

/** @throws RangeError if this is more than a commit may hold, or something that it may not hold */
export function assertCommit({ conditions, puts, deletes }: Commit): void {
  const keys = [...puts.map(({ key }) => key), ...deletes];
  const most = COMMIT_LIMITS.operations;
  if (conditions.length > most)
    throw new RangeError(`a commit of ${conditions.length} conditions; it may have ${most}`);
  if (keys.length > most)
    throw new RangeError(`a commit of ${keys.length} puts and deletes; it may have ${most}`);
  for (const { revision } of conditions) assertRevision(revision);
  let bytes = 0;
  for (const key of [...keys, ...conditions.map((condition) => condition.key)]) {
    assertKey(key);
    bytes += key.length;
  }
  for (const { key, value } of puts) {
    assertValue(key, value);
    bytes += Buffer.byteLength(value);
  }
  if (bytes > COMMIT_LIMITS.bytes)
    throw new RangeError(`a commit of ${bytes} bytes; it may have ${COMMIT_LIMITS.bytes}`);
  const seen = new Set<string>();
  for (const key of keys) {
    if (seen.has(key)) throw new RangeError(`a commit that changes ${key} twice`);
    seen.add(key);
  }
}

function assertKey(key: string): void {
  if (!KEY.test(key))
    throw new RangeError(`not a key (visible ASCII and blanks): ${JSON.stringify(key)}`);
  if (key.length > COMMIT_LIMITS.keyBytes)
    throw new RangeError(
      `a key of ${key.length} bytes; it may have ${COMMIT_LIMITS.keyBytes}: ${key.slice(0, 40)}…`,
    );
}

/** Half a surrogate pair has no UTF-8, and programs that read the file end a text at its first NUL. */
const NO_TEXT = /[\0\p{Surrogate}]/u;

function assertValue(key: string, value: string): void {
  if (NO_TEXT.test(value))
    throw new RangeError(`the value of ${key} has a NUL character or half a surrogate pair`);
}

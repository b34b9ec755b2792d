/**
 * Carries what calls made from one store to another, as from the file of one host to an etcd that several share.
 *
 * What hosts say of themselves stays behind, and so do questions between calls: a host says it anew when it starts with
 * the new store, and no call is to wait for one that never does. Rows have other revisions in the new store. Nobody
 * counts on them but who watches, and nobody watches the new one yet. So up to which revision releases were forgotten
 * stays behind, too: by it a host would end all connections that it brings along. The history of changes goes by
 * revisions, and stays behind as well.
 */
import { COMMIT_LIMITS } from '../store/limits.ts';
import { openStore, openStoreThere } from '../store/open-store.ts';
import { StoreError, type Row, type Store } from '../store/store.ts';
import { CHANGES, isHostKey, isPreviewKey, RELEASES_FORGOTTEN } from './keys.ts';

/** Room for what a commit has beside keys and values. */
const COMMIT_BYTES = COMMIT_LIMITS.bytes / 2;

export interface Copied {
  readonly from: string;
  readonly to: string;
  /** The revision of the former store that was copied. */
  readonly revision: number;
  readonly rows: number;
  readonly leftOut: number;
}

/**
 * Copies a store. The former one is read, and not changed.
 * @param to made if it is not there; it must have no rows
 * @throws StoreError; a copy that was interrupted leaves rows behind
 */
export async function copyStore(from: string, to: string): Promise<Copied> {
  if (from === to) throw new StoreError('failed', `${from} and ${to} are one store; name another`);
  const former = await openStoreThere(from, () => undefined, 'name the one to copy');
  try {
    const next = await openStore(to, () => undefined);
    try {
      return await copyRows({ store: former, place: from }, { store: next, place: to });
    } finally {
      await next.close();
    }
  } finally {
    await former.close();
  }
}

interface Placed {
  readonly store: Store;
  readonly place: string;
}

async function copyRows(from: Placed, to: Placed): Promise<Copied> {
  const { revision, rows } = await from.store.read('');
  const there = await to.store.read('');
  if (there.rows.length > 0)
    throw new StoreError(
      'failed',
      `the store ${to.place} has rows already; name one that is empty, or remove what is there`,
    );
  const isOfHosts = (key: string): boolean => isHostKey(key) || isPreviewKey(key);
  const isOfPast = (key: string): boolean => key === RELEASES_FORGOTTEN || key.startsWith(CHANGES);
  const kept = rows.filter(({ key }) => !isOfHosts(key) && !isOfPast(key));
  for (const some of inCommits(kept)) {
    const conditions = some.map(({ key }) => ({ key, revision: 0 }));
    const puts = some.map(({ key, value }) => ({ key, value }));
    const outcome = await to.store.commit({ conditions, puts, deletes: [] });
    if (outcome.kind === 'conflict')
      throw new StoreError('failed', `somebody else writes to the store ${to.place}; stop that`);
  }
  await assertCopied(kept, to);
  return {
    ...{ from: from.place, to: to.place, revision },
    ...{ rows: kept.length, leftOut: rows.filter(({ key }) => isOfHosts(key)).length },
  };
}

/** Reads what was written. */
async function assertCopied(rows: readonly Row[], { store, place }: Placed): Promise<void> {
  const found = await store.read('');
  const values = new Map(found.rows.map(({ key, value }) => [key, value]));
  const isSame = rows.every(({ key, value }) => values.get(key) === value);
  if (!isSame || found.rows.length !== rows.length)
    throw new StoreError('failed', `the store ${place} has other rows than were copied`);
}

/** As many at a time as a commit may have. */
function* inCommits(rows: readonly Row[]): Generator<readonly Row[]> {
  let some: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    const more = 2 * row.key.length + Buffer.byteLength(row.value);
    if (
      some.length === COMMIT_LIMITS.operations ||
      (some.length > 0 && bytes + more > COMMIT_BYTES)
    ) {
      yield some;
      [some, bytes] = [[], 0];
    }
    some.push(row);
    bytes += more;
  }
  if (some.length > 0) yield some;
}

/** Opens a store, wherever it is. What one kind of place needs is loaded for that kind alone. */
import { StoreError, type Store } from './store.ts';
import { parsePlace } from './place.ts';

/**
 * Opens the store at a place; makes it, if there is nothing yet.
 * @param text as `parsePlace` takes it
 * @param say takes what a log should tell though no call fails: a connection that is lost, or there again
 * @param leaseClockMs by which leases are told of; it must not go back
 * @throws StoreError; RangeError if the text is no place
 */
export async function openStore(
  text: string,
  say: (message: string) => void,
  leaseClockMs = (): number => performance.now(),
): Promise<Store> {
  const place = parsePlace(text);
  switch (place.kind) {
    case 'file': {
      const { openSqliteStore } = await import('./sqlite-store.ts');
      return openSqliteStore(place.path);
    }
    case 'etcd': {
      const { openEtcdStore } = await import('./etcd/etcd-store.ts');
      return openEtcdStore(place, say, leaseClockMs);
    }
  }
}

/**
 * Opens a store that is there: who names a file that is not has made a slip, and must not make an empty store of it.
 * @param advice what to do then
 * @throws StoreError, also if there is none; RangeError if the text is no place
 */
export async function openStoreThere(
  text: string,
  say: (message: string) => void,
  advice: string,
): Promise<Store> {
  const place = parsePlace(text);
  if (place.kind === 'file') {
    const { isThere } = await import('./schema.ts');
    if (!isThere(place.path))
      throw new StoreError('absent', `there is no store ${place.path}; ${advice}`);
  }
  return openStore(text, say);
}

/**
 * A scope says which rows of the store an estate holds. Servers of the API hold all; a host may hold what it needs
 * (host-part.ts).
 */
import type { Change, Store } from '../store/store.ts';
import type { EditCommit } from './edit.ts';
import type { Estate, EstateChange, EstateRow } from './estate.ts';
import { isForHosts } from './keys.ts';

export interface Scope {
  /** What is watched. */
  readonly prefix: string;
  readonly isWhole: boolean;
  /** Keys of rows whose newest version can't be read, and why: the former one is held. */
  readonly kept: ReadonlyMap<string, string>;
  /** Reads all that the scope has, as a change of what is held. @throws StoreError, CompactedError */
  read(store: Store, held: Estate): Promise<EstateChange>;
  /** What of a change is in the scope, with what it brings into it. @throws StoreError, CompactedError */
  narrow(store: Store, held: Estate, change: Change): Promise<EstateChange> | EstateChange;
  /** Rows that are not held, and would be if this were committed. @throws StoreError, CompactedError */
  missing(store: Store, held: Estate, commit: EditCommit): Promise<readonly EstateRow[]>;
}

/** All rows but those that follow from others. */
export const WHOLE: Scope = {
  prefix: '',
  isWhole: true,
  kept: new Map(),

  async read(store, held) {
    const { revision, rows } = await store.read('');
    const puts = rows.filter(({ key }) => !isForHosts(key));
    const keys = new Set(puts.map(({ key }) => key));
    const deletes = held.keys().filter((key) => !keys.has(key));
    return { revision, puts, deletes, isContent: true };
  },

  narrow(_store, _held, { revision, puts, deletes }) {
    return {
      revision,
      puts: puts.filter(({ key }) => !isForHosts(key)),
      deletes: deletes.filter((key) => !isForHosts(key)),
    };
  },

  missing: () => Promise.resolve([]),
};

/** Reads parts one by one, for a store to which a question costs little. */
import { assertParts } from './limits.ts';
import { CompactedError, type Row, type Snapshot, type Store } from './store.ts';

/** How often a read of the present begins anew because its history was compacted under it. */
export const READ_TRIES = 3;

/** Whether a part is all rows whose key begins so, and not one row. */
export function isPrefixPart(part: string): boolean {
  return part.endsWith('/');
}

/** See `readParts` of Store. */
export async function readOneByOne(
  store: Pick<Store, 'read'>,
  parts: readonly string[],
  revision: number | undefined,
): Promise<Snapshot> {
  assertParts(parts);
  for (let tries = 1; ; tries++) {
    try {
      const rows: Row[] = [];
      let at = revision;
      for (const part of parts) {
        const found = await store.read(part, at);
        at = found.revision;
        // A key may be the beginning of another.
        for (const row of found.rows) if (isPrefixPart(part) || row.key === part) rows.push(row);
      }
      return { revision: at!, rows };
    } catch (error) {
      const mayRepeat = revision === undefined && tries < READ_TRIES;
      if (!(error instanceof CompactedError && mayRepeat)) throw error;
    }
  }
}

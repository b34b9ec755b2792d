/**
 * The rows by which a host hands over the tracked flows of an interface that was moved: `handover/HOST/ENI/PART`.
 *
 * The host that had the interface writes them, and nobody else may. The host that gets it reads those of the host that
 * the interface's row names, and of the move that the row counts. The flows are bytes here; they are in base64, in
 * parts that fit into a commit.
 */
import type { InterfaceId } from '../policy/model.ts';
import { handoverPrefix } from './keys.ts';
import { RowError, RowReader } from './row-reader.ts';
import type { Store } from '../store/store.ts';

/** A commit has a mebibyte; base64 makes four bytes of three. */
const PART_BYTES = 600_000;
/** More than any host hands over for an interface. */
const PARTS_MAX = 16;
const PART_DIGITS = 2;
/** Rows that one commit removes at most. */
const ROWS_MAX = 100;

export interface HandoverRow {
  readonly key: string;
  readonly value: string;
}

/** The rows of a handover. Each fits into a commit of its own. */
export function handoverRows(
  host: string,
  id: InterfaceId,
  generation: number,
  bytes: Buffer,
): readonly HandoverRow[] {
  const parts = Math.max(1, Math.ceil(bytes.length / PART_BYTES));
  if (parts > PARTS_MAX) throw new RangeError(`a handover has ${bytes.length} bytes`);
  return Array.from({ length: parts }, (_, part) => {
    const data = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES).toString('base64');
    const name = String(part).padStart(PART_DIGITS, '0');
    return {
      key: `${handoverPrefix(host, id)}${name}`,
      value: JSON.stringify({ generation, parts, data }),
    };
  });
}

/**
 * The bytes of a handover.
 * @param rows below its prefix, ordered by key
 * @returns undefined if there is none of this generation
 * @throws RowError if it is not whole
 */
export function readHandover(
  rows: readonly HandoverRow[],
  host: string,
  id: InterfaceId,
  generation: number,
): Buffer | undefined {
  const [first] = rows;
  if (first === undefined) return undefined;
  const found = rows.slice(0, PARTS_MAX).map(({ key, value }) => RowReader.parse(key, value));
  if (found.some((row) => row.integer('generation') !== generation)) return undefined;
  const parts = found[0].integer('parts');
  if (rows.length !== parts) throw new RowError(handoverPrefix(host, id), 'is not whole');
  return Buffer.concat(found.map((row) => Buffer.from(row.text('data'), 'base64')));
}

/**
 * Removes the rows of handovers.
 * @param prefix of an interface's, or of all of a host
 * @throws StoreError
 */
export async function removeHandover(store: Store, prefix: string): Promise<void> {
  const { rows } = await store.read(prefix);
  for (let at = 0; at < rows.length; at += ROWS_MAX) {
    const deletes = rows.slice(at, at + ROWS_MAX).map(({ key }) => key);
    await store.commit({ conditions: [], puts: [], deletes });
  }
}

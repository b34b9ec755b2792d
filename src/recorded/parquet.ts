/**
 * Makes the lines of a flow log out of a Parquet file, as AWS delivers them where it was asked to: a header line, then
 * a line for each row. Whoever reads flow logs reads these so without knowing.
 *
 * Only the columns that are read of a flow log are unpacked, one row group at a time. So memory grows with the largest
 * row group, which has a bound, and not with the file. It needs a regular file, since what is in it stands at its end.
 * The format is hyparquet's business; what it throws about a damaged file ends the reading, as damage elsewhere does.
 */
import type { FileHandle } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer } from 'hyparquet';

const MAGIC = 'PAR1';
/** AWS's files have some ten thousand rows in a group; others up to a million. */
const GROUP_ROWS_MAX = 4_000_000;
const GROUP_BYTES_MAX = 1 << 30;
/** Rows that become one piece of text. */
const PIECE_ROWS = 10_000;
const MS_PER_SECOND = 1000;

/** Whether a file that begins so is one. */
export function isParquet(first: Buffer): boolean {
  return first.toString('latin1', 0, MAGIC.length) === MAGIC;
}

/**
 * @param size of the file
 * @param wanted names of fields, as flow logs have them
 * @param onRead called with how many bytes have been read
 * @throws Error if the file is damaged, or packed in a way that is not read
 */
export async function* parquetLines(
  handle: FileHandle,
  size: number,
  wanted: readonly string[],
  onRead: (bytes: number) => void,
): AsyncGenerator<Buffer, undefined> {
  const file: AsyncBuffer = {
    byteLength: size,
    slice: async (start, end = size) => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
      onRead(bytesRead);
      return bytes.buffer.slice(0, bytesRead);
    },
  };
  const metadata = await parquetMetadataAsync(file);
  const names = metadata.schema.map(({ name }) => name);
  const columns = names.filter((name) => wanted.includes(name.replaceAll('_', '-')));
  yield Buffer.from(`${columns.join(' ')}\n`, 'latin1');
  let first = 0;
  for (const group of metadata.row_groups) {
    const rows = Number(group.num_rows);
    if (rows > GROUP_ROWS_MAX || Number(group.total_byte_size) > GROUP_BYTES_MAX)
      throw new Error(
        `a row group of ${rows} rows and ${group.total_byte_size} bytes is too large`,
      );
    const options = { file, metadata, columns, rowStart: first, rowEnd: first + rows };
    const read = await parquetReadObjects({ ...options, compressors: { GZIP: unzip } });
    first += rows;
    for (let at = 0; at < read.length; at += PIECE_ROWS)
      yield Buffer.from(
        read
          .slice(at, at + PIECE_ROWS)
          .map((row) => lineOf(row, columns))
          .join(''),
      );
  }
  return undefined;
}

function unzip(packed: Uint8Array, bytes: number): Uint8Array {
  return new Uint8Array(gunzipSync(packed, { maxOutputLength: Math.max(1, bytes) }));
}

function lineOf(row: Readonly<Record<string, unknown>>, columns: readonly string[]): string {
  return `${columns.map((name) => wordOf(row[name])).join(' ')}\n`;
}

/** A value as a flow log has it. Blanks would make two fields of one. */
function wordOf(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (value instanceof Date) return String(Math.floor(value.getTime() / MS_PER_SECOND));
  if (value instanceof Uint8Array) return wordOf(Buffer.from(value).toString('latin1'));
  if (typeof value === 'string') return value.replace(/\s/g, '?');
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : '?';
}

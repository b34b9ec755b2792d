/**
 * Reads a recording piece by piece, whatever its size: a file, a pipe or standard input, plain, packed by gzip, or a
 * flow log in Parquet, which is given out as lines.
 *
 * Only the piece in hand is in memory. What can't be read ends the source with `failure` and never throws, since
 * strangers make recordings, and a CI job may have cut one off.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { describeKind } from '../source/read-text.ts';
import { FIELD_NUMBERS } from './flow-log-fields.ts';
import { isParquet, parquetLines } from './parquet.ts';

/** How much is read at once. */
const CHUNK_BYTES = 1 << 20;
const STDIN = '-';
const GZIP_MAGIC = [0x1f, 0x8b];

export class ByteSource {
  /** As the person named it. */
  readonly file: string;
  /** Bytes of the file as it is stored; undefined for what is no regular file. */
  readonly size: number | undefined;
  /** Bytes of the file that have been read. */
  bytesRead = 0;
  /** Why it ended before its end, without a full stop. */
  failure: string | undefined;
  private readonly handle: FileHandle | undefined;
  private pieces: AsyncIterator<Buffer> | undefined;
  /** Read and not yet given out. */
  private held: Buffer | undefined;

  /** @param handle undefined: standard input */
  constructor(file: string, handle: FileHandle | undefined, size: number | undefined) {
    this.file = file;
    this.handle = handle;
    this.size = size;
  }

  /** The first bytes, at least so many if there are so many. They are given out again. */
  async peek(bytes: number): Promise<Buffer> {
    let held = (await this.next()) ?? Buffer.alloc(0);
    while (held.length < bytes) {
      const more = await this.next();
      if (more === undefined) break;
      held = Buffer.concat([held, more]);
    }
    this.held = held.length === 0 ? undefined : held;
    return held;
  }

  /** The next piece, which is the caller's from then on; undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    const { held } = this;
    if (held !== undefined) {
      this.held = undefined;
      return held;
    }
    try {
      this.pieces ??= await this.unpack();
      const next = await this.pieces.next();
      return next.done === true ? undefined : next.value;
    } catch (thrown) {
      this.failure = thrown instanceof Error ? thrown.message : String(thrown);
      this.pieces = Readable.from([])[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      return undefined;
    }
  }

  async close(): Promise<void> {
    await this.pieces?.return?.();
    await this.handle?.close().catch(() => undefined);
  }

  /** Looks whether it is packed. */
  private async unpack(): Promise<AsyncIterator<Buffer>> {
    const raw = this.rawPieces();
    const first = await raw.next();
    if (first.done === true) return raw;
    if (isParquet(first.value)) return this.openParquet();
    const all = withFirst(first.value, raw);
    if (!GZIP_MAGIC.every((byte, i) => first.value[i] === byte)) return all;
    const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
    // An error of either end ends the iteration below.
    pipeline(Readable.from(all), gunzip, () => undefined);
    return gunzip[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  private openParquet(): AsyncIterator<Buffer> {
    const { handle, size } = this;
    if (handle === undefined || size === undefined)
      throw new Error('a Parquet file is read from its end: it has to be a regular file');
    this.bytesRead = 0;
    return parquetLines(handle, size, [...FIELD_NUMBERS.keys()], (bytes) => {
      this.bytesRead += bytes;
    });
  }

  private async *rawPieces(): AsyncGenerator<Buffer, undefined> {
    const { handle } = this;
    const stream =
      handle === undefined
        ? process.stdin
        : handle.createReadStream({ highWaterMark: CHUNK_BYTES, autoClose: false });
    for await (const piece of stream) {
      this.bytesRead += (piece as Buffer).length;
      yield piece as Buffer;
    }
    return undefined;
  }
}

async function* withFirst(
  first: Buffer,
  rest: AsyncGenerator<Buffer, undefined>,
): AsyncGenerator<Buffer, undefined> {
  yield first;
  yield* rest;
  return undefined;
}

/** @returns the source, or why there is none, without a full stop */
export async function openSource(file: string): Promise<ByteSource | string> {
  if (file === STDIN) return new ByteSource(file, undefined, undefined);
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, 'r');
    const stat = await handle.stat();
    if (!stat.isDirectory())
      return new ByteSource(file, handle, stat.isFile() ? stat.size : undefined);
    await handle.close();
    return `it is ${describeKind(stat)}`;
  } catch (thrown) {
    await handle?.close().catch(() => undefined);
    const { code, message } = thrown as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'there is no such file' : message;
  }
}

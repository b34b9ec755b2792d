/**
 * This file has an answer as it is sent: written as JSON once, and packed at most once in each form, however many ask.
 *
 * Packing costs a large answer some milliseconds of another thread, and makes it a fifth of its size or less. Brotli
 * is asked for first: ids repeat over more than the 32 kB that gzip looks back.
 */
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/** Shorter answers are sent as they are. No answer with a secret in it is that long. */
export const PACKED_FROM_BYTES = 4096;
/** Higher ones take several times as long for some hundredths. */
const BROTLI_QUALITY = 4;
const GZIP_LEVEL = 6;

/** As `Content-Encoding` has them, the better first. */
export const PACKINGS = ['br', 'gzip'] as const;
export type Packing = (typeof PACKINGS)[number];

const [packBrotli, packGzip] = [promisify(brotliCompress), promisify(gzip)];

export class Written {
  readonly plain: Buffer;
  private readonly packed = new Map<Packing, Promise<Buffer>>();

  constructor(value: unknown) {
    this.plain = Buffer.from(JSON.stringify(value));
  }

  /** Whether packing is worth it. */
  get isLong(): boolean {
    return this.plain.length >= PACKED_FROM_BYTES;
  }

  as(packing: Packing): Promise<Buffer> {
    const known = this.packed.get(packing);
    if (known !== undefined) return known;
    const { plain } = this;
    const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY };
    const made =
      packing === 'br' ? packBrotli(plain, { params }) : packGzip(plain, { level: GZIP_LEVEL });
    this.packed.set(packing, made);
    return made;
  }
}

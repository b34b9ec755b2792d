/** Writes captures for tests, without anything of src/. */
import type { ByteSource } from '../../src/recorded/byte-source.ts';

export interface Frame {
  readonly bytes: Uint8Array;
  /** Ms since 1970. */
  readonly ms: number;
  /** How many of its bytes the capture has; absent: all. */
  readonly kept?: number;
}

export interface CaptureForm {
  readonly linkType: number;
  readonly isBig?: boolean;
  readonly isNano?: boolean;
}

export function writePcap(frames: readonly Frame[], form: CaptureForm): Buffer {
  const { linkType, isBig = false, isNano = false } = form;
  const words = wordsOf(isBig);
  const head = words(isNano ? 0xa1b23c4d : 0xa1b2c3d4, 0, 0, 0, 262_144, linkType);
  // Major and minor version are 16 bits each.
  if (isBig) head.set([0, 2, 0, 4], 4);
  else head.set([2, 0, 4, 0], 4);
  const records = frames.map(({ bytes, ms, kept = bytes.length }) => {
    const fraction = Math.round((ms % 1000) * (isNano ? 1e6 : 1e3));
    return Buffer.concat([
      words(Math.floor(ms / 1000), fraction, kept, bytes.length),
      bytes.subarray(0, kept),
    ]);
  });
  return Buffer.concat([head, ...records]);
}

/** A section, a block that nobody reads, an interface, the packets. @param dropped told in statistics at the end */
export function writePcapng(
  frames: readonly Frame[],
  { linkType, isBig = false, isNano = false }: CaptureForm,
  dropped = 0,
): Buffer {
  const words = wordsOf(isBig);
  const block = (type: number, ...parts: readonly Uint8Array[]): Buffer => {
    const body = Buffer.concat(parts);
    const padded = Buffer.concat([body, Buffer.alloc(-body.length & 3)]);
    const length = padded.length + 12;
    return Buffer.concat([words(type, length), padded, words(length)]);
  };
  const section = words(0x1a2b3c4d, 0, 0xffffffff, 0xffffffff);
  section.set(isBig ? [0, 1, 0, 0] : [1, 0, 0, 0], 4);
  const link = isBig
    ? [linkType >> 8, linkType & 255, 0, 0]
    : [linkType & 255, linkType >> 8, 0, 0];
  const option = (code: number, ...value: readonly number[]): Buffer => {
    const head = isBig ? [0, code, 0, value.length] : [code, 0, value.length, 0];
    const all = [...head, ...value];
    return Buffer.from([...all, ...new Array<number>(-all.length & 3).fill(0)]);
  };
  const resolution = isNano ? [option(9, 9)] : [];
  const unitsPerMs = isNano ? 1_000_000n : 1000n;
  const packets = frames.map(({ bytes, ms, kept = bytes.length }) => {
    const units = BigInt(Math.round(ms)) * unitsPerMs;
    const head = words(0, Number(units >> 32n), Number(units & 0xffffffffn), kept, bytes.length);
    return block(6, head, bytes.subarray(0, kept));
  });
  const lost = isBig ? [0, 0, 0, 0, 0, 0, 0, dropped] : [dropped, 0, 0, 0, 0, 0, 0, 0];
  const statistics = dropped === 0 ? [] : [block(5, words(0, 0, 0), option(5, ...lost))];
  return Buffer.concat([
    block(0x0a0d0d0a, section),
    block(0x0bad, Buffer.alloc(1000)),
    block(1, Buffer.from(link), words(262_144), ...resolution, option(0)),
    ...packets,
    ...statistics,
  ]);
}

function wordsOf(isBig: boolean): (...values: readonly number[]) => Buffer {
  return (...values) => {
    const bytes = Buffer.alloc(4 * values.length);
    values.forEach((value, i) => {
      if (isBig) bytes.writeUInt32BE(value, 4 * i);
      else bytes.writeUInt32LE(value, 4 * i);
    });
    return bytes;
  };
}

/** A source that gives out bytes in pieces of so many. */
export function sourceOf(bytes: Buffer, piece = bytes.length): ByteSource {
  let at = 0;
  const source = {
    file: 'test',
    size: bytes.length,
    bytesRead: 0,
    failure: undefined,
    next: (): Promise<Buffer | undefined> => {
      const next = bytes.subarray(at, at + piece);
      at += piece;
      return Promise.resolve(next.length === 0 ? undefined : Buffer.from(next));
    },
  };
  return source as unknown as ByteSource;
}

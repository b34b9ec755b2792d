/** What a reader of captures gives out, one packet at a time, and what its steps return. */

/** A packet was read. */
export const READ_ONE = 0;
/** Feed it first. */
export const READ_MORE = 1;
/** There is nothing more, or what comes can't be read. */
export const READ_END = 2;

/** Longer ones are not written by anybody (libpcap's MAXIMUM_SNAPLEN), so the file is damaged. */
export const CAPTURED_BYTES_MAX = 262_144;

/** The packet read last. It is valid until the reader is fed or takes another step. */
export class CapturedPacket {
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Of its link-layer header in `view`. */
  offset = 0;
  /** Bytes that the capture has of it. */
  captured = 0;
  /** Bytes that it had. */
  length = 0;
  /** LINKTYPE_… (recorded/link-types.ts). */
  linkType = 0;
  /** Ms since 1970, with fractions. */
  timeMs = 0;
}

/** Something is wrong with a file. */
export interface Damage {
  /** Which byte of the file (unpacked, if it was packed), from 0. */
  readonly at: number;
  /** Without a full stop. */
  readonly message: string;
  /** It ends in the middle of a packet, as when its writer is killed; all before that was read. */
  readonly isCutOff?: true;
}

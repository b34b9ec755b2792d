/**
 * Reads pcap, the older format of tcpdump: a header, then packets.
 *
 * Both byte orders, microseconds and nanoseconds. Source: draft-ietf-opsawg-pcap, sections 4 and 5. Our own, since
 * libpcap comes by `cap`, which reads devices alone, and what the registry has for it is unkept.
 */
import type { ByteWindow } from './byte-window.ts';
import {
  CAPTURED_BYTES_MAX,
  READ_END,
  READ_MORE,
  READ_ONE,
  type CapturedPacket,
  type Damage,
} from './captured-packet.ts';

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const HEADER_BYTES = 24;
const HEADER_LINK_TYPE = 20;
/** The other bits say whether frames end with a checksum. */
const LINK_TYPE_MASK = 0xffff;
const RECORD_BYTES = 16;
const RECORD_FRACTION = 4;
const RECORD_CAPTURED = 8;
const RECORD_LENGTH = 12;
const MS_PER_SECOND = 1000;
const MICROSECOND_MS = 1e-3;
const NANOSECOND_MS = 1e-6;

/** Whether a file that begins so is one. */
export function isPcap(first: Buffer): boolean {
  if (first.length < HEADER_BYTES) return false;
  return [first.readUInt32LE(0), first.readUInt32BE(0)].some(isMagic);
}

function isMagic(word: number): boolean {
  return word === MAGIC_MICROSECONDS || word === MAGIC_NANOSECONDS;
}

export class PcapFormat {
  damage: Damage | undefined;
  /** Packets that whoever wrote the file says it lost: this format has no place for them. */
  readonly lost = 0;
  private isLittle = true;
  private fractionMs = MICROSECOND_MS;
  private linkType = 0;
  private hasHeader = false;

  /** Reads the next packet into `packet`. @returns READ_… */
  step(window: ByteWindow, packet: CapturedPacket): number {
    if (!this.hasHeader && !this.readHeader(window)) return window.isLast ? READ_END : READ_MORE;
    const { view, at } = window;
    if (window.rest < RECORD_BYTES) return this.wait(window);
    const little = this.isLittle;
    const captured = view.getUint32(at + RECORD_CAPTURED, little);
    if (captured > CAPTURED_BYTES_MAX) {
      const message = `a packet of ${captured} bytes: the file is damaged, and nothing behind is read`;
      this.damage = { at: window.position, message };
      return READ_END;
    }
    if (window.rest < RECORD_BYTES + captured) return this.wait(window);
    packet.view = view;
    packet.offset = at + RECORD_BYTES;
    packet.captured = captured;
    packet.length = Math.max(captured, view.getUint32(at + RECORD_LENGTH, little));
    packet.linkType = this.linkType;
    const fraction = view.getUint32(at + RECORD_FRACTION, little);
    packet.timeMs = view.getUint32(at, little) * MS_PER_SECOND + fraction * this.fractionMs;
    window.at += RECORD_BYTES + captured;
    return READ_ONE;
  }

  private readHeader(window: ByteWindow): boolean {
    if (window.rest < HEADER_BYTES) return false;
    const { view, at } = window;
    this.isLittle = isMagic(view.getUint32(at, true));
    const magic = view.getUint32(at, this.isLittle);
    this.fractionMs = magic === MAGIC_NANOSECONDS ? NANOSECOND_MS : MICROSECOND_MS;
    this.linkType = view.getUint32(at + HEADER_LINK_TYPE, this.isLittle) & LINK_TYPE_MASK;
    window.at += HEADER_BYTES;
    this.hasHeader = true;
    return true;
  }

  private wait(window: ByteWindow): number {
    if (!window.isLast) return READ_MORE;
    if (window.rest > 0)
      this.damage = { at: window.position, message: 'the last packet is cut off', isCutOff: true };
    return READ_END;
  }
}

/**
 * Reads pcapng, the format of Wireshark and of `sgctl capture`: blocks, of which those with packets, and those that say
 * how to read them, count.
 *
 * Any byte order, several sections, any resolution of time. Blocks that are not asked for are passed over unread,
 * whatever their size. Source: draft-ietf-opsawg-pcapng, sections 3 and 4.
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

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const OLD_PACKET = 2;
const SIMPLE_PACKET = 3;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const VERSION_MAJOR = 1;

/** Type and length in front, length again behind. */
const FRAME_BYTES = 12;
const BODY = 8;
const SECTION_MAJOR = 12;
const SECTION_BYTES_MIN = 28;

/** In the bodies of blocks. */
const PACKET_TIME_HIGH = 4;
const PACKET_TIME_LOW = 8;
const PACKET_CAPTURED = 12;
const PACKET_LENGTH = 16;
const PACKET_DATA = 20;
const SIMPLE_DATA = 4;
const DESCRIPTION_OPTIONS = 8;
const STATISTICS_OPTIONS = 12;

const OPTION_HEAD_BYTES = 4;
const OPTION_END = 0;
const IF_TSRESOL = 9;
const IF_TSOFFSET = 14;
const EPB_DROPCOUNT = 4;
const ISB_IFDROP = 5;
const ISB_OSDROP = 7;

/** A block that is read as a whole: a packet, with options of some length. */
const BLOCK_BYTES_MAX = CAPTURED_BYTES_MAX + (1 << 20);
/** More interfaces in a section are nobody's capture. */
const INTERFACES_MAX = 4096;
const MS_PER_SECOND = 1000;
const WORD_RANGE = 2 ** 32;
const MICROSECONDS = 6;

/** How to read the packets of an interface. */
interface CapturedInterface {
  readonly linkType: number;
  /** Ms in a unit of its clock. */
  readonly unitMs: number;
  /** Ms to add. */
  readonly offsetMs: number;
}

/** Whether a file that begins so is one. */
export function isPcapng(first: Buffer): boolean {
  return first.length >= FRAME_BYTES && first.readUInt32BE(0) === SECTION_HEADER;
}

export class PcapngFormat {
  damage: Damage | undefined;
  /** Packets that whoever wrote the file says it lost. */
  lost = 0;
  private isLittle = true;
  private interfaces: CapturedInterface[] = [];
  /** Of the packet before: a simple packet has none of its own. */
  private timeMs = 0;

  /** Reads up to the next packet. @returns READ_… */
  step(window: ByteWindow, packet: CapturedPacket): number {
    for (;;) {
      if (window.isSkipping || window.rest < FRAME_BYTES) return this.wait(window);
      const { view, at } = window;
      const isSection = view.getUint32(at) === SECTION_HEADER;
      if (isSection && !this.readByteOrder(window)) return READ_END;
      const type = view.getUint32(at, this.isLittle);
      const length = view.getUint32(at + 4, this.isLittle);
      if (length < FRAME_BYTES || length % 4 !== 0)
        return this.end(window, `a block of ${length} bytes`);
      if (!isRead(type)) {
        window.skip(length);
        continue;
      }
      if (length > BLOCK_BYTES_MAX) return this.end(window, `a block of ${length} bytes`);
      if (window.rest < length) return this.wait(window);
      if (view.getUint32(at + length - 4, this.isLittle) !== length)
        return this.end(window, 'a block whose two lengths differ');
      const wrong = this.readBlock(type, view, at, length, packet);
      if (wrong !== undefined) return this.end(window, wrong);
      window.at += length;
      if (type === ENHANCED_PACKET || type === OLD_PACKET || type === SIMPLE_PACKET)
        return READ_ONE;
    }
  }

  /** @returns what is wrong with the block */
  private readBlock(
    type: number,
    view: DataView,
    at: number,
    length: number,
    packet: CapturedPacket,
  ): string | undefined {
    const body = at + BODY;
    const bytes = length - FRAME_BYTES;
    switch (type) {
      case SECTION_HEADER:
        if (length < SECTION_BYTES_MIN) return 'a section without its header';
        if (view.getUint16(at + SECTION_MAJOR, this.isLittle) !== VERSION_MAJOR)
          return 'a section of another version than 1';
        this.interfaces = [];
        return undefined;
      case INTERFACE_DESCRIPTION:
        if (bytes < DESCRIPTION_OPTIONS) return 'an interface without its description';
        if (this.interfaces.length === INTERFACES_MAX)
          return `more than ${INTERFACES_MAX} interfaces`;
        this.interfaces.push(this.readInterface(view, body, bytes));
        return undefined;
      case INTERFACE_STATISTICS:
        this.readLosses(view, body + STATISTICS_OPTIONS, body + bytes);
        return undefined;
      case SIMPLE_PACKET:
        return this.readSimplePacket(view, body, bytes, packet);
      default:
        return this.readPacket(type, view, body, bytes, packet);
    }
  }

  private readPacket(
    type: number,
    view: DataView,
    body: number,
    bytes: number,
    packet: CapturedPacket,
  ): string | undefined {
    const little = this.isLittle;
    if (bytes < PACKET_DATA) return 'a packet without its header';
    const number =
      type === OLD_PACKET ? view.getUint16(body, little) : view.getUint32(body, little);
    if (number >= this.interfaces.length)
      return `a packet of interface ${number}, which is not described`;
    const captured = view.getUint32(body + PACKET_CAPTURED, little);
    if (captured > bytes - PACKET_DATA) return 'a packet that is longer than its block';
    const { linkType, unitMs, offsetMs } = this.interfaces[number];
    const high = view.getUint32(body + PACKET_TIME_HIGH, little);
    const units = high * WORD_RANGE + view.getUint32(body + PACKET_TIME_LOW, little);
    this.timeMs = units * unitMs + offsetMs;
    packet.view = view;
    packet.offset = body + PACKET_DATA;
    packet.captured = captured;
    packet.length = Math.max(captured, view.getUint32(body + PACKET_LENGTH, little));
    packet.linkType = linkType;
    packet.timeMs = this.timeMs;
    const options = body + PACKET_DATA + ((captured + 3) & ~3);
    if (type === ENHANCED_PACKET) this.readLosses(view, options, body + bytes, EPB_DROPCOUNT);
    return undefined;
  }

  private readSimplePacket(
    view: DataView,
    body: number,
    bytes: number,
    packet: CapturedPacket,
  ): string | undefined {
    if (bytes < SIMPLE_DATA) return 'a packet without its header';
    if (this.interfaces.length === 0) return 'a packet of an interface that is not described';
    packet.view = view;
    packet.offset = body + SIMPLE_DATA;
    packet.length = view.getUint32(body, this.isLittle);
    packet.captured = Math.min(packet.length, bytes - SIMPLE_DATA);
    packet.linkType = this.interfaces[0].linkType;
    packet.timeMs = this.timeMs;
    return undefined;
  }

  private readInterface(view: DataView, body: number, bytes: number): CapturedInterface {
    let unitMs = MS_PER_SECOND * 10 ** -MICROSECONDS;
    let offsetMs = 0;
    const end = body + bytes;
    for (let at = body + DESCRIPTION_OPTIONS; at + OPTION_HEAD_BYTES <= end;) {
      const code = view.getUint16(at, this.isLittle);
      const length = view.getUint16(at + 2, this.isLittle);
      const value = at + OPTION_HEAD_BYTES;
      if (code === OPTION_END || value + length > end) break;
      if (code === IF_TSRESOL && length >= 1) {
        const resolution = view.getUint8(value);
        const base = (resolution & 0x80) === 0 ? 10 : 2;
        unitMs = MS_PER_SECOND * base ** -(resolution & 0x7f);
      }
      if (code === IF_TSOFFSET && length >= 8)
        offsetMs = MS_PER_SECOND * Number(view.getBigInt64(value, this.isLittle));
      at = value + ((length + 3) & ~3);
    }
    return { linkType: view.getUint16(body, this.isLittle), unitMs, offsetMs };
  }

  /** Adds up what options say was lost. @param only this option; undefined: those of statistics */
  private readLosses(view: DataView, from: number, end: number, only?: number): void {
    for (let at = from; at + OPTION_HEAD_BYTES <= end;) {
      const code = view.getUint16(at, this.isLittle);
      const length = view.getUint16(at + 2, this.isLittle);
      const value = at + OPTION_HEAD_BYTES;
      if (code === OPTION_END || value + length > end) return;
      const isLoss =
        only === undefined ? code === ISB_IFDROP || code === ISB_OSDROP : code === only;
      if (isLoss && length >= 8) this.lost += Number(view.getBigUint64(value, this.isLittle));
      at = value + ((length + 3) & ~3);
    }
  }

  private readByteOrder(window: ByteWindow): boolean {
    const { view, at } = window;
    this.isLittle = view.getUint32(at + BODY, true) === BYTE_ORDER_MAGIC;
    if (this.isLittle || view.getUint32(at + BODY) === BYTE_ORDER_MAGIC) return true;
    this.end(window, 'a section without a byte order');
    return false;
  }

  private wait(window: ByteWindow): number {
    if (!window.isLast) return READ_MORE;
    if (window.rest > 0 || window.isSkipping)
      this.damage = { at: window.position, message: 'the last block is cut off', isCutOff: true };
    return READ_END;
  }

  private end(window: ByteWindow, what: string): number {
    const message = `${what}: the file is damaged, and nothing behind is read`;
    this.damage = { at: window.position, message };
    return READ_END;
  }
}

function isRead(type: number): boolean {
  return (
    type === ENHANCED_PACKET ||
    type === SIMPLE_PACKET ||
    type === OLD_PACKET ||
    type === INTERFACE_DESCRIPTION ||
    type === INTERFACE_STATISTICS ||
    type === SECTION_HEADER
  );
}

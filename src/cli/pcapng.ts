/**
 * Writes pcapng, the file format of Wireshark: as much of it as a capture with comments takes.
 *
 * A section header, an interface description for each interface, then packets. Little-endian; lengths in bytes;
 * every block and option is padded to 4. Source: draft-ietf-opsawg-pcapng, sections 4.1 to 4.3;
 * LINKTYPE_LINUX_SLL in draft-ietf-opsawg-pcaplinktype.
 *
 * Each packet gets the header of a Linux cooked capture, as `tcpdump -i any` writes it. LINKTYPE_RAW would do
 * without, but libpcap (1.10) refuses a file of it with more than one interface, and so tcpdump would.
 */

const SECTION_HEADER_BLOCK = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION_BLOCK = 1;
const ENHANCED_PACKET_BLOCK = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const VERSION_MAJOR = 1;
const LINKTYPE_LINUX_SLL = 113;
/** Packet type, hardware type, length of an address, room for one, protocol: big-endian. */
const COOKED_BYTES = 16;
const COOKED_TO_US = 0;
const COOKED_FROM_US = 4;
const ARPHRD_NONE = 0xfffe;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const OPTION_END = 0;
const OPTION_COMMENT = 1;
const SHB_USERAPPL = 4;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const EPB_FLAGS = 2;
const EPB_DROPCOUNT = 4;
const FLAG_INBOUND = 1;
const FLAG_OUTBOUND = 2;
/** Of a block: type, length, and length again at its end. */
const BLOCK_BYTES = 12;
const TEXT_BYTES_MAX = 65_535;
const MICROSECONDS_PER_MS = 1000;
const WORD_RANGE = 2 ** 32;

export interface PcapngPacket {
  /** Number of its interface: they count from 0 in the order they were described. */
  readonly interfaceNumber: number;
  /** Ms since 1970; written to the microsecond. */
  readonly timeMs: number;
  /** From its IPv4 or IPv6 header on. */
  readonly data: Uint8Array;
  /** Bytes the packet had before it was cut. */
  readonly length: number;
  readonly direction: 'inbound' | 'outbound';
  readonly comment: string;
  /** Packets lost between this one and the one before it. */
  readonly lost: number;
}

/** The start of a file. @param application who writes it, `sgctl 1.2.3` */
export function sectionHeader(application: string): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  head.writeUInt16LE(VERSION_MAJOR, 4);
  // The section's length is not known beforehand: -1.
  head.writeBigInt64LE(-1n, 8);
  return block(SECTION_HEADER_BLOCK, [head, ...options([[SHB_USERAPPL, text(application)]])]);
}

export function interfaceDescription(
  name: string,
  description: string,
  snapLength: number,
): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(LINKTYPE_LINUX_SLL, 0);
  head.writeUInt32LE(COOKED_BYTES + snapLength, 4);
  const given: [number, Buffer][] = [[IF_NAME, text(name)]];
  if (description !== '') given.push([IF_DESCRIPTION, text(description)]);
  return block(INTERFACE_DESCRIPTION_BLOCK, [head, ...options(given)]);
}

export function enhancedPacket(packet: PcapngPacket): Buffer {
  const { data, length, interfaceNumber, direction, comment, lost } = packet;
  const head = Buffer.alloc(20);
  const time = Math.round(packet.timeMs * MICROSECONDS_PER_MS);
  head.writeUInt32LE(interfaceNumber, 0);
  head.writeUInt32LE(Math.floor(time / WORD_RANGE), 4);
  head.writeUInt32LE(time % WORD_RANGE, 8);
  head.writeUInt32LE(COOKED_BYTES + data.length, 12);
  head.writeUInt32LE(COOKED_BYTES + length, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(direction === 'inbound' ? FLAG_INBOUND : FLAG_OUTBOUND);
  const given: [number, Buffer][] = [
    [OPTION_COMMENT, text(comment)],
    [EPB_FLAGS, flags],
  ];
  if (lost > 0) {
    const count = Buffer.alloc(8);
    count.writeBigUInt64LE(BigInt(lost));
    given.push([EPB_DROPCOUNT, count]);
  }
  return block(ENHANCED_PACKET_BLOCK, [
    head,
    cookedHeader(data, direction),
    padded(data),
    ...options(given),
  ]);
}

function cookedHeader(data: Uint8Array, direction: PcapngPacket['direction']): Buffer {
  const header = Buffer.alloc(COOKED_BYTES);
  header.writeUInt16BE(direction === 'inbound' ? COOKED_TO_US : COOKED_FROM_US, 0);
  header.writeUInt16BE(ARPHRD_NONE, 2);
  const version = (data.at(0) ?? 0) >>> 4;
  const protocol = version === 4 ? ETHERTYPE_IPV4 : version === 6 ? ETHERTYPE_IPV6 : 0;
  header.writeUInt16BE(protocol, 14);
  return header;
}

function options(given: readonly (readonly [code: number, value: Buffer])[]): Buffer[] {
  const parts = given.flatMap(([code, value]) => [optionHead(code, value.length), padded(value)]);
  return [...parts, optionHead(OPTION_END, 0)];
}

function optionHead(code: number, length: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(length, 2);
  return head;
}

function block(type: number, parts: readonly Uint8Array[]): Buffer {
  const length = BLOCK_BYTES + parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, ...parts, tail], length);
}

function padded(bytes: Uint8Array): Buffer {
  const rest = (4 - (bytes.length & 3)) & 3;
  return Buffer.concat([bytes, Buffer.alloc(rest)]);
}

function text(value: string): Buffer {
  return Buffer.from(value, 'utf8').subarray(0, TEXT_BYTES_MAX);
}

/**
 * The twin's decoder: bytes to a plain object, or to the name of what is wrong with them.
 *
 * Written from the RFCs and docs/drop-reasons.md, with unsigned arithmetic on a byte array and nothing of
 * src/wire, so that the two can only agree by being right or by the same misunderstanding.
 */
export interface TwinPacket {
  family: 4 | 6;
  protocol: number;
  /** The address's bytes, a character each: equal strings are equal addresses. */
  src: string;
  dst: string;
  fragment: 'none' | 'first' | 'later';
  fragmentId: number;
  fragmentOffset: number;
  fragmentEnd: number;
  /** More fragments follow. */
  isMore: boolean;
  srcPort: number;
  dstPort: number;
  tcp: TwinSegment | undefined;
  /** TCP sequence number of a quotation. */
  quotedSeq: number;
  icmp: TwinMessage | undefined;
  /** Where the transport header starts and the packet ends, in bytes from the packet's start. */
  transportAt: number;
  end: number;
}

export interface TwinSegment {
  seq: number;
  ack: number;
  window: number;
  /** The letters of FSRA that are set, in this order. */
  flags: string;
  isUrgent: boolean;
  payloadBytes: number;
  /** It is the first fragment of a segment, whose end is not known. */
  isPart: boolean;
  /** Of a SYN: the window scale it offers; undefined if none. */
  scale: number | undefined;
}

export interface TwinMessage {
  type: number;
  code: number;
  kind: 'query' | 'reply' | 'error' | 'other';
  /** Of queries and replies. */
  id: number;
  /** The query's type, for the reply as well. */
  query: number;
}

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;

/** Decodes `bytes` from `start` to `captured`; a quotation may be cut short. */
export function decodePlainly(
  bytes: Uint8Array,
  start: number,
  captured: number,
  isQuoted: boolean,
): TwinPacket | string {
  if (captured <= start) return 'truncated';
  const version = Math.floor(bytes[start] / 16);
  if (version === 4) return decode4(bytes, start, captured, isQuoted);
  if (version === 6) return decode6(bytes, start, captured, isQuoted);
  return 'bad-ip-version';
}

function decode4(
  bytes: Uint8Array,
  start: number,
  captured: number,
  isQuoted: boolean,
): TwinPacket | string {
  const have = captured - start;
  if (have < 20) return 'truncated';
  const headerBytes = (bytes[start] % 16) * 4;
  let totalBytes = u16(bytes, start + 2);
  // A quotation's length fields are not believed where they leave no room for what is quoted.
  if (isQuoted && totalBytes < headerBytes + 8) totalBytes = have;
  if (headerBytes < 20 || totalBytes < headerBytes) return 'bad-ip-header-length';
  if (have < headerBytes) return 'truncated';
  if (have < totalBytes && !isQuoted) return 'truncated';
  const trouble = readOptions(bytes, start + 20, start + headerBytes);
  if (trouble !== undefined) return trouble;
  const word = u16(bytes, start + 6);
  const offset = (word % 0x2000) * 8;
  const packet = newPacket(4, bytes[start + 9]);
  packet.isMore = Math.floor(word / 0x2000) % 2 === 1;
  packet.src = text(bytes, start + 12, 4);
  packet.dst = text(bytes, start + 16, 4);
  packet.transportAt = start + headerBytes;
  packet.end = start + Math.min(totalBytes, have);
  if (packet.isMore || offset > 0) {
    packet.fragmentId = u16(bytes, start + 4);
    packet.fragmentOffset = offset;
    packet.fragmentEnd = offset + totalBytes - headerBytes;
    // The reassembled datagram has a header too, and its length field 16 bits.
    if (headerBytes + packet.fragmentEnd > 65535) return 'bad-fragment';
    if (!isFragmentSound(packet)) return 'bad-fragment';
    packet.fragment = offset === 0 ? 'first' : 'later';
    if (packet.fragment === 'later') return packet;
  }
  return decodeTransport(bytes, packet, isQuoted);
}

function decode6(
  bytes: Uint8Array,
  start: number,
  captured: number,
  isQuoted: boolean,
): TwinPacket | string {
  const have = captured - start;
  if (have < 40) return 'truncated';
  let payloadBytes = u16(bytes, start + 4);
  if (payloadBytes === 0 && bytes[start + 6] === 0) return 'ipv6-jumbogram';
  if (isQuoted && payloadBytes < 8) payloadBytes = have - 40;
  if (have < 40 + payloadBytes && !isQuoted) return 'truncated';
  const packet = newPacket(6, bytes[start + 6]);
  packet.src = text(bytes, start + 8, 16);
  packet.dst = text(bytes, start + 24, 16);
  packet.transportAt = start + 40;
  packet.end = start + Math.min(have, 40 + payloadBytes);
  const trouble = walkChain(bytes, packet, start + 40 + payloadBytes);
  if (trouble !== undefined) return trouble;
  if (packet.fragment === 'later') return packet;
  return decodeTransport(bytes, packet, isQuoted);
}

/** Hop-by-hop 0, routing 43, fragment 44, destination options 60; everything else is an upper protocol. */
function walkChain(bytes: Uint8Array, packet: TwinPacket, declaredEnd: number): string | undefined {
  const seen: number[] = [];
  const start = packet.transportAt;
  let fragmentHeaderAt = start;
  while ([0, 43, 44, 60].includes(packet.protocol)) {
    const kind = packet.protocol;
    const at = packet.transportAt;
    const cut = seen.includes(44) ? 'tiny-fragment' : 'truncated';
    if (packet.end - at < 8) return cut;
    if (kind === 44) {
      if (seen.includes(44)) return 'ipv6-extensions';
      const word = u16(bytes, at + 2);
      packet.isMore = word % 2 === 1;
      fragmentHeaderAt = at;
      packet.fragmentId = u32(bytes, at + 4);
      packet.fragmentOffset = Math.floor(word / 8) * 8;
      packet.fragmentEnd = packet.fragmentOffset + declaredEnd - (at + 8);
      packet.protocol = bytes[at];
      packet.transportAt = at + 8;
      seen.push(44);
      if (packet.fragmentOffset > 0) packet.fragment = 'later';
      else if (packet.isMore) packet.fragment = 'first';
      if (packet.fragment === 'later') break;
      continue;
    }
    if (kind === 0 && seen.length > 0) return 'ipv6-extensions';
    if (kind === 60 && seen.filter((one) => one === 60).length === 2) return 'ipv6-extensions';
    if (kind === 43 && seen.includes(43)) return 'ipv6-extensions';
    if (kind === 43 && bytes[at + 2] === 0) return 'ipv6-routing-0';
    const headerBytes = 8 + bytes[at + 1] * 8;
    if (packet.end - at < headerBytes) return cut;
    seen.push(kind);
    packet.protocol = bytes[at];
    packet.transportAt = at + headerBytes;
  }
  if (packet.fragment === 'none') return undefined;
  // What stands in front of the fragment header counts in the payload length of the whole as well.
  const wholeBytes = fragmentHeaderAt - start + packet.fragmentEnd;
  return wholeBytes > 65535 || !isFragmentSound(packet) ? 'bad-fragment' : undefined;
}

function isFragmentSound(packet: TwinPacket): boolean {
  const size = packet.fragmentEnd - packet.fragmentOffset;
  return size > 0 && (!packet.isMore || size % 8 === 0);
}

function decodeTransport(
  bytes: Uint8Array,
  packet: TwinPacket,
  isQuoted: boolean,
): TwinPacket | string {
  const at = packet.transportAt;
  const size = packet.end - at;
  const isFirst = packet.fragment === 'first';
  const isShort = isFirst ? 'tiny-fragment' : 'truncated';
  if (packet.protocol === TCP) {
    if (size < (isQuoted ? 8 : 20)) return isShort;
    packet.srcPort = u16(bytes, at);
    packet.dstPort = u16(bytes, at + 2);
    if (isQuoted) {
      packet.quotedSeq = u32(bytes, at + 4);
      return packet;
    }
    const headerBytes = Math.floor(bytes[at + 12] / 16) * 4;
    if (headerBytes < 20) return 'bad-tcp-header';
    if (headerBytes > size) return isFirst ? 'tiny-fragment' : 'bad-tcp-header';
    packet.tcp = readSegment(bytes, at, headerBytes, size, isFirst);
    return packet;
  }
  if (packet.protocol === UDP) {
    if (size < 8) return isShort;
    packet.srcPort = u16(bytes, at);
    packet.dstPort = u16(bytes, at + 2);
    if (isQuoted) return packet;
    const length = u16(bytes, at + 4);
    if (length < 8) return 'bad-udp-length';
    if (!isFirst && length > size) return 'bad-udp-length';
    return packet;
  }
  if (packet.protocol === ICMP || packet.protocol === ICMPV6) {
    if (packet.family !== (packet.protocol === ICMP ? 4 : 6)) return 'family-mismatch';
    if (size < 8) return isFirst ? 'tiny-fragment' : 'bad-icmp';
    packet.icmp = readMessage(bytes, at, packet.family);
  }
  return packet;
}

function readSegment(
  bytes: Uint8Array,
  at: number,
  headerBytes: number,
  size: number,
  isPart: boolean,
): TwinSegment {
  const marks = bytes[at + 13];
  const isSet = (bit: number): boolean => Math.floor(marks / bit) % 2 === 1;
  const flags =
    (isSet(1) ? 'F' : '') + (isSet(2) ? 'S' : '') + (isSet(4) ? 'R' : '') + (isSet(16) ? 'A' : '');
  return {
    seq: u32(bytes, at + 4),
    ack: u32(bytes, at + 8),
    window: u16(bytes, at + 14),
    flags,
    isUrgent: isSet(32),
    payloadBytes: size - headerBytes,
    isPart,
    scale: isSet(2) ? readScale(bytes, at + 20, at + headerBytes) : undefined,
  };
}

function readScale(bytes: Uint8Array, start: number, end: number): number | undefined {
  for (let at = start; at < end && bytes[at] !== 0;) {
    if (bytes[at] === 1) {
      at++;
      continue;
    }
    const size = at + 1 < end ? bytes[at + 1] : 0;
    if (size < 2 || at + size > end) return undefined;
    if (bytes[at] === 3 && size === 3) return Math.min(bytes[at + 2], 14);
    at += size;
  }
  return undefined;
}

const QUERY_OF_REPLY: Readonly<Record<number, number>> = { 0: 8, 14: 13, 16: 15, 18: 17 };

function readMessage(bytes: Uint8Array, at: number, family: 4 | 6): TwinMessage {
  const type = bytes[at];
  const message = { type, code: bytes[at + 1], id: u16(bytes, at + 4), query: type };
  if (family === 6) {
    if (type === 128) return { ...message, kind: 'query' };
    if (type === 129) return { ...message, kind: 'reply', query: 128 };
    return { ...message, kind: type >= 1 && type <= 4 ? 'error' : 'other' };
  }
  if (type === 8 || type === 13 || type === 15 || type === 17) return { ...message, kind: 'query' };
  if (type in QUERY_OF_REPLY) return { ...message, kind: 'reply', query: QUERY_OF_REPLY[type] };
  // A redirect and a source quench quote as well, but are not about the fate of a packet.
  const isError = type === 3 || type === 11 || type === 12;
  return { ...message, kind: isError ? 'error' : 'other' };
}

/** RFC 791 section 3.1; source routing is refused (RFC 7126). */
function readOptions(bytes: Uint8Array, start: number, end: number): string | undefined {
  for (let at = start; at < end && bytes[at] !== 0;) {
    if (bytes[at] === 1) {
      at++;
      continue;
    }
    const size = at + 1 < end ? bytes[at + 1] : 0;
    if (size < 2 || at + size > end) return 'bad-ip-options';
    if (bytes[at] === 131 || bytes[at] === 137) return 'ip-source-route';
    at += size;
  }
  return undefined;
}

function newPacket(family: 4 | 6, protocol: number): TwinPacket {
  return {
    family,
    protocol,
    src: '',
    dst: '',
    fragment: 'none',
    fragmentId: 0,
    fragmentOffset: 0,
    fragmentEnd: 0,
    isMore: false,
    srcPort: 0,
    dstPort: 0,
    tcp: undefined,
    quotedSeq: 0,
    icmp: undefined,
    transportAt: 0,
    end: 0,
  };
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at] * 256 + bytes[at + 1];
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 65536 + u16(bytes, at + 2);
}

function text(bytes: Uint8Array, at: number, size: number): string {
  let letters = '';
  for (let i = at; i < at + size; i++) letters += String.fromCharCode(bytes[i]);
  return letters;
}

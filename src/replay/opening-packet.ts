/**
 * Makes the packet that would open the flow of a flow log's record, so that the engine judges the record as it judges
 * packets.
 */
import type { FlowRecord } from '../recorded/flow-record.ts';
import {
  DESTINATION_PORT,
  ICMP_HEADER_BYTES,
  ICMP_TYPE,
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  SOURCE_PORT,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_SYN,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
} from '../wire/fields.ts';

const BYTES_MAX = IPV6_HEADER_BYTES + TCP_HEADER_BYTES;
const VERSION_4 = 0x45;
const VERSION_6 = 0x60;
/** In 32-bit words, in the high half of the byte. */
const TCP_WORDS = (TCP_HEADER_BYTES / 4) << 4;
const ECHO_REQUEST = 8;
const ECHO_REQUEST_6 = 128;

export class OpeningPacket {
  readonly view = new DataView(new ArrayBuffer(BYTES_MAX));
  length = 0;

  /** @param isFromSource whether the source of the record opens, not the destination */
  write(record: FlowRecord, isFromSource: boolean): void {
    const { view } = this;
    const { family, protocol } = record;
    const ip = family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    const transport = transportBytes(protocol);
    this.length = ip + transport;
    for (let i = 0; i < BYTES_MAX; i += 4) view.setInt32(i, 0);
    if (family === 4) {
      view.setUint8(0, VERSION_4);
      view.setUint16(IPV4_TOTAL_LENGTH, this.length);
      view.setUint8(IPV4_PROTOCOL, protocol);
      view.setInt32(isFromSource ? IPV4_SOURCE : IPV4_DESTINATION, record.src0);
      view.setInt32(isFromSource ? IPV4_DESTINATION : IPV4_SOURCE, record.dst0);
    } else {
      view.setUint8(0, VERSION_6);
      view.setUint16(IPV6_PAYLOAD_LENGTH, transport);
      view.setUint8(IPV6_NEXT_HEADER, protocol);
      const src = isFromSource ? IPV6_SOURCE : IPV6_DESTINATION;
      const dst = isFromSource ? IPV6_DESTINATION : IPV6_SOURCE;
      this.writeAddress(src, record.src0, record.src1, record.src2, record.src3);
      this.writeAddress(dst, record.dst0, record.dst1, record.dst2, record.dst3);
    }
    this.writeTransport(ip, record, isFromSource);
  }

  private writeTransport(at: number, record: FlowRecord, isFromSource: boolean): void {
    const { view } = this;
    const { protocol, srcPort, dstPort } = record;
    if (protocol === PROTO_ICMP) view.setUint8(at + ICMP_TYPE, ECHO_REQUEST);
    if (protocol === PROTO_ICMPV6) view.setUint8(at + ICMP_TYPE, ECHO_REQUEST_6);
    if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return;
    view.setUint16(at + SOURCE_PORT, isFromSource ? srcPort : dstPort);
    view.setUint16(at + DESTINATION_PORT, isFromSource ? dstPort : srcPort);
    if (protocol === PROTO_UDP) view.setUint16(at + UDP_LENGTH, UDP_HEADER_BYTES);
    else {
      view.setUint8(at + TCP_DATA_OFFSET, TCP_WORDS);
      view.setUint8(at + TCP_FLAGS, TCP_SYN);
    }
  }

  private writeAddress(at: number, a0: number, a1: number, a2: number, a3: number): void {
    const { view } = this;
    view.setInt32(at, a0);
    view.setInt32(at + 4, a1);
    view.setInt32(at + 8, a2);
    view.setInt32(at + 12, a3);
  }
}

function transportBytes(protocol: number): number {
  switch (protocol) {
    case PROTO_TCP:
      return TCP_HEADER_BYTES;
    case PROTO_UDP:
      return UDP_HEADER_BYTES;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
      return ICMP_HEADER_BYTES;
    default:
      return 0;
  }
}

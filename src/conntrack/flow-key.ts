/**
 * Builds the key under which a flow stands in the flow table. The key is as one interface sees the flow: local and
 * remote.
 */
import { ICMP_QUERY, ICMP_REPLY, type Packet } from '../wire/packet.ts';
import {
  KEY_ADDRESSES,
  KEY_ASKS_LOCALLY,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  KEY_WORDS_6,
  type FlowFamily,
} from './entry.ts';

export function createKey(family: FlowFamily): Int32Array {
  return new Int32Array(family === 4 ? KEY_WORDS_4 : KEY_WORDS_6);
}

/** Writes the key of a packet: 4 words for IPv4, 10 for IPv6. */
export function writeKey(key: Int32Array, packet: Packet, port: number, fromLocal: boolean): void {
  const localPort = fromLocal ? packet.srcPort : packet.dstPort;
  const remotePort = fromLocal ? packet.dstPort : packet.srcPort;
  key[KEY_META] = metaOf(packet, port, fromLocal);
  key[KEY_PORTS] = (localPort << 16) | remotePort;
  if (packet.family === 4) {
    key[KEY_ADDRESSES] = fromLocal ? packet.src0 : packet.dst0;
    key[KEY_ADDRESSES + 1] = fromLocal ? packet.dst0 : packet.src0;
    return;
  }
  const source = fromLocal ? KEY_ADDRESSES : KEY_ADDRESSES + 4;
  const destination = fromLocal ? KEY_ADDRESSES + 4 : KEY_ADDRESSES;
  key[source] = packet.src0;
  key[source + 1] = packet.src1;
  key[source + 2] = packet.src2;
  key[source + 3] = packet.src3;
  key[destination] = packet.dst0;
  key[destination + 1] = packet.dst1;
  key[destination + 2] = packet.dst2;
  key[destination + 3] = packet.dst3;
}

/** The first word of the key: interface, role and protocol. */
export function metaOf(packet: Packet, port: number, fromLocal: boolean): number {
  const role = asksFromLocal(packet, fromLocal) ? KEY_ASKS_LOCALLY : 0;
  return packMeta(port, packet.protocol) | role;
}

/** The first word of a key without the role bit. Only ICMP queries that the local side asks have that bit. */
export function packMeta(port: number, protocol: number): number {
  return (port << 16) | protocol;
}

/** Returns a view of the two addresses in a key: local, then remote. */
export function createAddressView(key: Int32Array): Int32Array {
  return key.subarray(KEY_ADDRESSES);
}

/**
 * Whether the local side asks, for an ICMP flow. Without it two hosts that query each other under one identifier
 * would share a flow.
 */
function asksFromLocal(packet: Packet, fromLocal: boolean): boolean {
  if (packet.icmpKind === ICMP_QUERY) return fromLocal;
  return packet.icmpKind === ICMP_REPLY && !fromLocal;
}

/** The key under which a packet's flow stands in the flow table, as the interface that sees the packet has it. */
import { KEY_ADDRESSES, KEY_ASKS_LOCALLY, KEY_META, KEY_PORTS } from '../conntrack/table.ts';
import { ICMP_QUERY, ICMP_REPLY, type Packet } from '../wire/packet.ts';

/** Writes the key of the packet's family. */
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

/** The KEY_META word. */
export function metaOf(packet: Packet, port: number, fromLocal: boolean): number {
  const role = asksFromLocal(packet, fromLocal) ? KEY_ASKS_LOCALLY : 0;
  return (port << 16) | role | packet.protocol;
}

/** The role bit of an ICMP flow: whether the local side asks. Two hosts may ask each other under one identifier. */
function asksFromLocal(packet: Packet, fromLocal: boolean): boolean {
  if (packet.icmpKind === ICMP_QUERY) return fromLocal;
  return packet.icmpKind === ICMP_REPLY && !fromLocal;
}

/**
 * Prepares packets ahead of their verdicts: everything about them that does not need the flow table.
 *
 * Theory of operation
 *
 * In a big table every lookup misses the cache: some 100 ns a miss, six cache lines a packet. If packets were judged
 * one by one, each would wait for its misses in turn. So a batch is processed in chunks of LOOKAHEAD packets. All
 * packets of a chunk are decoded, routed and hashed. Then their index slots are read, then the entries that those
 * name, in loops so tight that the processor has many reads under way at once. Then the packets are judged in order,
 * and find in the cache what they need. The prefetch decides nothing: judging looks everything up again, so it sees
 * what an earlier packet did to the table.
 *
 * A packet between the same addresses as the one before it, on the same port, has the same route. With the same ports
 * too, it has the same hash. That holds for nearly every packet where throughput counts.
 */
import { Packet } from '../wire/packet.ts';
import { PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';

/** Packets in a chunk. Their records fit the first-level cache, and the processor can't have more misses under way. */
export const LOOKAHEAD = 32;

/** Twice as many records as packets: a chunk's first packet is compared with the record before it. */
export const RECORDS = 2 * LOOKAHEAD;

/** A decoded packet, with what is known before it is judged. */
export class PreparedPacket {
  readonly packet = new Packet();
  /** Port it came in by; -1: the record is empty. */
  from = -1;
  /** Port it goes to, if `reason` is PASS. */
  to = 0;
  /** PASS, or the reason to drop it before any gate. */
  reason = 0;
  /** Hash of its tuple (conntrack/flow-hash.ts). */
  hash = 0;
  /** 1 if it is TCP or UDP with the same tuple as the packet before, from and to the same ports; else 0. */
  repeats = 0;
}

/** Whether both have the same addresses, and nothing else that decides their scope differs. */
export function hasSameEnds(packet: Packet, before: Packet): boolean {
  return (
    packet.src0 === before.src0 &&
    packet.dst0 === before.dst0 &&
    packet.family === before.family &&
    (packet.family === 4 || hasSameEnds6(packet, before))
  );
}

function hasSameEnds6(packet: Packet, before: Packet): boolean {
  return (
    packet.protocol !== PROTO_ICMPV6 &&
    packet.src1 === before.src1 &&
    packet.src2 === before.src2 &&
    packet.src3 === before.src3 &&
    packet.dst1 === before.dst1 &&
    packet.dst2 === before.dst2 &&
    packet.dst3 === before.dst3
  );
}

/** Whether packets between the same ends are sure to belong to the same flow. */
export function hasSamePorts(packet: Packet, before: Packet): boolean {
  const { protocol } = packet;
  return (
    packet.srcPort === before.srcPort &&
    packet.dstPort === before.dstPort &&
    protocol === before.protocol &&
    (protocol === PROTO_TCP || protocol === PROTO_UDP)
  );
}

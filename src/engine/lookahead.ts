/**
 * Packets that are decoded, but not judged yet: what can be known of them without the flow table.
 *
 * Theory of operation
 *
 * In a big table every lookup misses the cache: some 100 ns each, six cache lines a packet. Judged one by
 * one, packets wait for each of them in turn. So a batch is worked through in chunks of LOOKAHEAD: all are
 * decoded, routed and hashed; then their index slots are read, then the entries those name, in loops so
 * tight that the processor has many reads under way at once; and then they are judged in order, finding in
 * the cache what they ask for. The reads ahead decide nothing: judging looks everything up anew, so what a
 * packet before did to the table counts.
 *
 * A packet between the same addresses as the one before it on the same port has the same route, and one with the same
 * ports the same hash. That is nearly every packet where throughput counts.
 */
import { Packet } from '../wire/packet.ts';
import { PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';

/** Packets looked at together. Records of so many fit the nearest cache; the processor can't have more misses under way. */
export const LOOKAHEAD = 32;

/** A record before each chunk's first is needed to compare with. */
export const RECORDS = 2 * LOOKAHEAD;

export class Ahead {
  readonly packet = new Packet();
  /** Port it came in by; -1: nothing is known here. */
  from = -1;
  /** Port it is for, if `reason` is PASS. */
  to = 0;
  /** PASS, or why it gets to no gate. */
  reason = 0;
  /** Of its tuple (conntrack/flow-hash.ts). */
  hash = 0;
  /** 1 for TCP or UDP of the same tuple as the packet before, from the same port, to the same one; else 0. */
  repeats = 0;
}

/** Whether both go between the same addresses, and nothing else that decides their scope differs. */
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

/** Whether packets between the same ends belong to the same flow for sure. */
export function hasSamePorts(packet: Packet, before: Packet): boolean {
  const { protocol } = packet;
  return (
    packet.srcPort === before.srcPort &&
    packet.dstPort === before.dstPort &&
    protocol === before.protocol &&
    (protocol === PROTO_TCP || protocol === PROTO_UDP)
  );
}

/**
 * Guesses who opened the flow of a record, which a flow log does not say.
 *
 * Theory of operation. Rules, the first that fits:
 * 1. TCP flags, where the log has them: a SYN alone comes from who opened, a SYN-ACK goes to them.
 * 2. An earlier record of the same flow told it by flags.
 * 3. Ports: one below 1024 and one not, or one below 32768 and one not: the lower is the service's.
 * 4. Order: whose record of the two came first.
 * The first two are sure. The third is right for all but odd clients (NFS, some name servers ask from a low port). The
 * fourth is a guess, and who judges by it says so.
 *
 * What earlier records told is remembered within bounds (flow-memory.ts), so of very many flows the second and the
 * fourth rule know less.
 */
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, TCP_SYN, TCP_ACK } from '../wire/fields.ts';
import { FlowMemory, hashDestination, hashSource } from './flow-memory.ts';
import { NOT_TOLD, type FlowRecord } from './flow-record.ts';

export const BY_FLAGS = 0;
export const BY_PORTS = 1;
export const BY_ORDER = 2;

const WELL_KNOWN_END = 1024;
/** Linux takes ports of its own from here on (ip_local_port_range); others from 49152 on (RFC 6335). */
export const EPHEMERAL_START = 32_768;

/** Marks of what is remembered. */
const TOLD_BY_FLAGS = 1;
const TOLD_BY_ORDER = 2;

export class Opener {
  /** What the last `isSource` rests on: BY_…. */
  basis = BY_ORDER;
  private readonly memory = new FlowMemory();

  /** Whether the source of the record opened its flow, not the destination. */
  isSource(record: FlowRecord): boolean {
    const { protocol, tcpFlags, srcPort, dstPort } = record;
    const src = hashSource(record);
    const dst = hashDestination(record);
    const { memory } = this;
    if (protocol === PROTO_TCP && tcpFlags !== NOT_TOLD && (tcpFlags & TCP_SYN) !== 0) {
      const isSource = (tcpFlags & TCP_ACK) === 0;
      memory.note(isSource ? src : dst, isSource ? dst : src, TOLD_BY_FLAGS);
      this.basis = BY_FLAGS;
      return isSource;
    }
    const isKnown = memory.knows(src, dst);
    if (isKnown && memory.markOf(src, dst) === TOLD_BY_FLAGS) {
      this.basis = BY_FLAGS;
      return memory.isOpenedBy(src, dst);
    }
    const lower = lowerIsService(srcPort, dstPort);
    if (lower !== 0) {
      this.basis = BY_PORTS;
      return lower > 0;
    }
    if (!isKnown) memory.note(src, dst, TOLD_BY_ORDER);
    this.basis = BY_ORDER;
    return memory.isOpenedBy(src, dst);
  }
}

/** Positive if the destination port is the service's, negative if the source port is, 0 if they don't tell. */
export function lowerIsService(srcPort: number, dstPort: number): number {
  for (const border of [WELL_KNOWN_END, EPHEMERAL_START]) {
    const isSrcLow = srcPort < border;
    const isDstLow = dstPort < border;
    if (isSrcLow !== isDstLow) return isDstLow ? 1 : -1;
  }
  return 0;
}

/** Whether the log has no ports for this protocol, and so does not say what was sent either. */
export function lacksPorts(protocol: number): boolean {
  return protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
}

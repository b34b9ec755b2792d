/**
 * Tells the control plane what happened to packets and flows, by a ring of records in shared memory.
 *
 * Theory of operation
 *
 * Problem. Flow logs, `sgctl trace`, `drops` and `top` need events of single packets and flows. The packet loop can
 * neither wait nor allocate for them.
 *
 * Shape. The ring has EVENTS_MAX records of EVENT_WORDS int32 words. The loop writes and the control plane reads. The
 * writer owns HEAD, the reader TAIL; both only grow, modulo 2^32. The writer writes a record before it moves HEAD.
 * When the ring is full, the record is lost and counted: packets never wait for a reader. Where every flow must be
 * recorded, conntrack.exceptions.eventsFull is set to drop. Then no flow opens while the ring is full
 * (`events-full`).
 *
 * The reader chooses what is recorded: WANTED is a set of WANT_… bits, which the loop reads once a round. With no bit
 * set, the ring costs one comparison a packet.
 *
 * A reader that finds the ring empty may sleep (ASLEEP). The next record wakes it, and only that one. The reader
 * first says that it sleeps and then looks for records again. The writer first adds a record and then looks whether
 * the reader sleeps. So at least one of them sees the other, and no record is left lying.
 *
 * Rejected: messages between threads (each allocates, and wakes the other side). Rejected: a ring that overwrites the
 * oldest records (a reader could read one while it is overwritten). Rejected: a reader that polls (an idle daemon
 * woke up four times a second for nothing).
 */
import type { FlowAccounts } from '../conntrack/accounts.ts';
import { ACCOUNT_WORDS } from '../conntrack/accounts.ts';
import {
  type FlowIndex,
  addressWordsOf,
  localAddressAt,
  localPortOf,
  portOf,
  protocolOf,
  remoteAddressAt,
  remotePortOf,
  ruleWordOf,
  seenOf,
  stateWordOf,
} from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import {
  ARP_OPERATION,
  ARP_SENDER_ADDRESS,
  ARP_TARGET_ADDRESS,
  ICMP_TYPE,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  NEIGHBOUR_TARGET,
  PROTO_ICMPV6,
} from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';

// Header words: those that the writer writes, then, on a cache line of their own, those that the reader writes.
const HEAD = 0;
const LOST = 1;
const TAIL = 16;
const WANTED = 17;
const INTERVAL = 18;
/** 1: the reader sleeps, and the next record must wake it. */
const ASLEEP = 19;
const HEADER_WORDS = 32;

export const EVENTS_MAX = 16384;

/** Dropped packets. */
export const WANT_DROPS = 1;
/** Flows that open and end. */
export const WANT_FLOWS = 2;
/** Packets that passed a gate and belong to no tracked flow. */
export const WANT_UNTRACKED = 4;
/** Every packet that passed a gate. */
export const WANT_PASSES = 8;
/** Copies of packets, in the capture ring (capture-ring.ts). */
export const WANT_CAPTURE = 16;
/** The first packet of a flow that passes by audit alone (audit-counts.ts). */
export const WANT_AUDITS = 32;

export const EVENT_DROP = 1;
export const EVENT_PASS = 2;
export const EVENT_FLOW_OPENED = 3;
export const EVENT_FLOW_ENDED = 4;
export const EVENT_AUDIT = 5;

/** Words of a record; even, so that doubles in it are aligned. */
export const EVENT_WORDS = 24;
/**
 * Kind in bits 0–7. In bits 8–15 a drop reason, for EVENT_AUDIT what it would be, or why a flow ended. Gate's
 * direction in bit 16. TCP flags in bits 24–31.
 */
export const EVENT_KIND = 0;
export const EVENT_REASON_SHIFT = 8;
export const EVENT_DIRECTION_BIT = 1 << 16;
/** Addresses, ports and protocol are valid. Not set for a packet that could not be decoded. */
export const EVENT_HAS_TUPLE = 1 << 17;
export const EVENT_IS_IPV6 = 1 << 18;
/** A dropped ARP message. EVENT_LOCAL holds its sender, EVENT_REMOTE its target, EVENT_ACCOUNT its operation. */
export const EVENT_IS_ARP = 1 << 19;
/**
 * A dropped neighbour solicitation or advertisement. EVENT_LOCAL and EVENT_REMOTE hold its source and destination, as
 * the direction has it. The four words from EVENT_TARGET hold its target. Neither this nor ARP has EVENT_HAS_TUPLE,
 * since no gate has judged them.
 */
export const EVENT_HAS_TARGET = 1 << 20;
export const EVENT_FLAGS_SHIFT = 24;
/** port << 16 | protocol */
export const EVENT_META = 1;
/** For a packet: number of the rule that admitted it, or EVENT_NO_RULE. For a flow: its rule word. */
export const EVENT_RULE = 2;
/** local port << 16 | remote port. */
export const EVENT_PORTS = 3;
/** Entry in the flow table of its family, or NO_FLOW (-1). */
export const EVENT_FLOW = 4;
/** When it happened (nowMs). */
export const EVENT_TIME = 5;
export const EVENT_BYTES = 6;
export const EVENT_PACKETS = 7;
/** Four words each. An IPv4 address is in the first. */
export const EVENT_LOCAL = 8;
export const EVENT_REMOTE = 12;
/**
 * For a flow: its account (conntrack/accounts.ts), all 0 without accounting. For a packet: ICMP type << 8 | code in
 * the first word.
 */
export const EVENT_ACCOUNT = 16;
export const EVENT_TARGET = 17;
/** For a flow, in place of EVENT_BYTES and EVENT_PACKETS: when its last packet came (nowMs), and its state word. */
export const EVENT_SEEN = 6;
export const EVENT_STATE = 7;

export const EVENT_NO_RULE = -1;

/** Why a flow ended. */
export const ENDED_BY_TIMEOUT = 1;
/** It was half-open, ended or revoked, and made room for another flow. */
export const ENDED_BY_EVICTION = 2;
/** A new connection with the same addresses and ports began. */
export const ENDED_BY_REOPENING = 3;
/** A change of rules, or a command, ended it. */
export const ENDED_BY_REVOCATION = 4;
export const ENDED_NAMES: readonly string[] = ['', 'timeout', 'evicted', 'reopened', 'revoked'];

export function eventRingBytes(): number {
  return 4 * (HEADER_WORDS + EVENTS_MAX * EVENT_WORDS);
}

/** The packet loop's side. */
export class EventRing {
  /** The WANT_… bits of this round. */
  wanted = 0;
  /** Number of the flow log's aggregation interval in this round. */
  interval = 0;
  /** The loop's clock in this round. */
  nowMs = 0;
  private readonly words: Int32Array;

  /** @param buffer eventRingBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
  }

  /** Reads what the reader wants. Call it once before the packets of a round. */
  beginRound(nowMs: number): void {
    this.nowMs = nowMs;
    this.wanted = Atomics.load(this.words, WANTED);
    this.interval = this.words[INTERVAL];
  }

  get isFull(): boolean {
    const { words } = this;
    return ((words[HEAD] - Atomics.load(words, TAIL)) | 0) >= EVENTS_MAX;
  }

  /**
   * Records what happened to a packet at a gate.
   * @param kind EVENT_DROP, EVENT_PASS or EVENT_AUDIT
   * @param reason drop reason, for EVENT_AUDIT what it would be, or 0
   * @param hasTuple whether `packet` was decoded
   */
  tellPacket(
    kind: number,
    reason: number,
    packet: Packet,
    hasTuple: boolean,
    port: number,
    direction: number,
    rule: number,
    flow: FlowIndex,
    packets: number,
    bytes: number,
  ): void {
    const at = this.claim();
    if (at < 0) return;
    const { words } = this;
    const directionBit = direction === 0 ? 0 : EVENT_DIRECTION_BIT;
    words[at + EVENT_RULE] = rule;
    words[at + EVENT_FLOW] = flow;
    words[at + EVENT_TIME] = this.nowMs;
    words[at + EVENT_BYTES] = bytes;
    words[at + EVENT_PACKETS] = packets;
    if (hasTuple) {
      const family = packet.family === 6 ? EVENT_IS_IPV6 : 0;
      words[at + EVENT_KIND] =
        kind |
        (reason << EVENT_REASON_SHIFT) |
        directionBit |
        EVENT_HAS_TUPLE |
        family |
        (packet.tcpFlags << EVENT_FLAGS_SHIFT);
      words[at + EVENT_META] = (port << 16) | packet.protocol;
      this.writeTuple(at, packet, direction !== 0);
    } else {
      words[at + EVENT_KIND] = kind | (reason << EVENT_REASON_SHIFT) | directionBit;
      words[at + EVENT_META] = port << 16;
    }
    this.commit();
  }

  /**
   * Records the drop of a neighbour's message at `offset`: ARP for Ethernet and IPv4, or a neighbour solicitation or
   * advertisement. The caller has checked that it is long enough.
   */
  tellNeighbour(
    isArp: boolean,
    reason: number,
    view: DataView,
    offset: number,
    port: number,
    direction: number,
    bytes: number,
  ): void {
    const at = this.claim();
    if (at < 0) return;
    const { words } = this;
    const isLocal = direction !== 0;
    const what = isArp ? EVENT_IS_ARP : EVENT_HAS_TARGET;
    words[at + EVENT_KIND] =
      EVENT_DROP | (reason << EVENT_REASON_SHIFT) | (isLocal ? EVENT_DIRECTION_BIT : 0) | what;
    words[at + EVENT_META] = isArp ? port << 16 : (port << 16) | PROTO_ICMPV6;
    words[at + EVENT_RULE] = EVENT_NO_RULE;
    words[at + EVENT_PORTS] = 0;
    words[at + EVENT_FLOW] = -1;
    words[at + EVENT_TIME] = this.nowMs;
    words[at + EVENT_BYTES] = bytes;
    words[at + EVENT_PACKETS] = 1;
    if (isArp) {
      words[at + EVENT_LOCAL] = view.getInt32(offset + ARP_SENDER_ADDRESS);
      words[at + EVENT_REMOTE] = view.getInt32(offset + ARP_TARGET_ADDRESS);
      words[at + EVENT_ACCOUNT] = view.getUint16(offset + ARP_OPERATION);
    } else {
      const icmp = offset + IPV6_HEADER_BYTES;
      const source = at + (isLocal ? EVENT_LOCAL : EVENT_REMOTE);
      const destination = at + (isLocal ? EVENT_REMOTE : EVENT_LOCAL);
      for (let i = 0; i < 4; i++) {
        words[source + i] = view.getInt32(offset + IPV6_SOURCE + 4 * i);
        words[destination + i] = view.getInt32(offset + IPV6_DESTINATION + 4 * i);
        words[at + EVENT_TARGET + i] = view.getInt32(icmp + NEIGHBOUR_TARGET + 4 * i);
      }
      words[at + EVENT_ACCOUNT] = view.getUint16(icmp + ICMP_TYPE);
    }
    this.commit();
  }

  /** Records that a flow opened or ended. @param why ENDED_BY_…, or 0 for a flow that opened */
  tellFlow(
    kind: number,
    why: number,
    table: FlowTable,
    flow: FlowIndex,
    accounts: FlowAccounts | null,
  ): void {
    const at = this.claim();
    if (at < 0) return;
    const { words } = this;
    const isIpv4 = table.family === 4;
    const addressWords = addressWordsOf(table);
    const local = localAddressAt(table, flow);
    const remote = remoteAddressAt(table, flow);
    words[at + EVENT_KIND] =
      kind | (why << EVENT_REASON_SHIFT) | EVENT_HAS_TUPLE | (isIpv4 ? 0 : EVENT_IS_IPV6);
    words[at + EVENT_META] = (portOf(table, flow) << 16) | protocolOf(table, flow);
    words[at + EVENT_RULE] = ruleWordOf(table, flow);
    words[at + EVENT_PORTS] = (localPortOf(table, flow) << 16) | remotePortOf(table, flow);
    words[at + EVENT_FLOW] = flow;
    words[at + EVENT_TIME] = this.nowMs;
    words[at + EVENT_SEEN] = seenOf(table, flow);
    words[at + EVENT_STATE] = stateWordOf(table, flow);
    for (let i = 0; i < 4; i++) {
      const isUsed = i < addressWords;
      words[at + EVENT_LOCAL + i] = isUsed ? table.words[local + i] : 0;
      words[at + EVENT_REMOTE + i] = isUsed ? table.words[remote + i] : 0;
    }
    for (let i = 0; i < ACCOUNT_WORDS; i++)
      words[at + EVENT_ACCOUNT + i] =
        accounts === null ? 0 : accounts.words[flow * ACCOUNT_WORDS + i];
    this.commit();
  }

  private writeTuple(at: number, packet: Packet, fromLocal: boolean): void {
    const { words } = this;
    const source = at + (fromLocal ? EVENT_LOCAL : EVENT_REMOTE);
    const destination = at + (fromLocal ? EVENT_REMOTE : EVENT_LOCAL);
    words[at + EVENT_PORTS] = fromLocal
      ? (packet.srcPort << 16) | packet.dstPort
      : (packet.dstPort << 16) | packet.srcPort;
    words[source] = packet.src0;
    words[source + 1] = packet.src1;
    words[source + 2] = packet.src2;
    words[source + 3] = packet.src3;
    words[destination] = packet.dst0;
    words[destination + 1] = packet.dst1;
    words[destination + 2] = packet.dst2;
    words[destination + 3] = packet.dst3;
    words[at + EVENT_ACCOUNT] = (packet.icmpType << 8) | packet.icmpCode;
  }

  /** First word of the next record, or -1 if the ring is full. */
  private claim(): number {
    const { words } = this;
    if (this.isFull) {
      words[LOST] = (words[LOST] + 1) | 0;
      return -1;
    }
    return HEADER_WORDS + (words[HEAD] & (EVENTS_MAX - 1)) * EVENT_WORDS;
  }

  private commit(): void {
    const { words } = this;
    Atomics.store(words, HEAD, (words[HEAD] + 1) | 0);
    if (Atomics.load(words, ASLEEP) === 0) return;
    Atomics.store(words, ASLEEP, 0);
    Atomics.notify(words, ASLEEP);
  }
}

/** The control plane's side. */
export class EventReader {
  /** All records. `take` gets the word where one starts. */
  readonly words: Int32Array;
  /** The same memory as doubles, for the bytes in an account. */
  readonly doubles: Float64Array;

  /** @param buffer eventRingBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }

  /** Sets what the loop records from its next round on: WANT_… bits. */
  want(bits: number): void {
    Atomics.store(this.words, WANTED, bits);
  }

  /** Starts a new aggregation interval. @returns its number modulo 256 */
  nextInterval(): number {
    this.words[INTERVAL] = (this.words[INTERVAL] + 1) & 0xff;
    return this.words[INTERVAL];
  }

  /** Records lost since the start, modulo 2^32. */
  get lost(): number {
    return this.words[LOST] >>> 0;
  }

  get isEmpty(): boolean {
    return Atomics.load(this.words, HEAD) === this.words[TAIL];
  }

  /** Waits for the next record. @returns a promise that resolves with it; undefined if there is a record already */
  sleep(): Promise<unknown> | undefined {
    const { words } = this;
    Atomics.store(words, ASLEEP, 1);
    const woken = this.isEmpty ? Atomics.waitAsync(words, ASLEEP, 1) : undefined;
    if (woken?.async === true) return woken.value;
    Atomics.store(words, ASLEEP, 0);
    return undefined;
  }

  nextMoment(): number | undefined {
    const { words } = this;
    if (this.isEmpty) return undefined;
    return words[HEADER_WORDS + (words[TAIL] & (EVENTS_MAX - 1)) * EVENT_WORDS + EVENT_TIME];
  }

  /**
   * Calls `take` with the first word of each record, oldest first, for at most `most` records.
   * @returns how many it took
   */
  drain(take: (at: number) => void, most: number): number {
    const { words } = this;
    const head = Atomics.load(words, HEAD);
    let tail = words[TAIL];
    let taken = 0;
    for (; taken < most && tail !== head; taken++) {
      take(HEADER_WORDS + (tail & (EVENTS_MAX - 1)) * EVENT_WORDS);
      tail = (tail + 1) | 0;
      Atomics.store(words, TAIL, tail);
    }
    return taken;
  }
}

/**
 * What happened, told to the control plane: a ring of records in shared memory.
 *
 * Theory of operation
 *
 * Problem. Flow logs, `sgctl trace`, `drops` and `top` want to know of single packets and flows. The packet
 * loop can neither wait for them nor allocate for them.
 *
 * Shape. EVENTS_MAX records of EVENT_WORDS int32 words, one writer (the loop), one reader (the control
 * plane). The writer owns HEAD, the reader TAIL; both only grow, modulo 2^32. A record is written before
 * HEAD tells of it. When the ring is full the record is lost and counted: packets never wait for a reader.
 * Whoever must not have unrecorded flows sets conntrack.exceptions.eventsFull to drop; then what would
 * open one is refused for as long as the ring is full (`events-full`).
 *
 * What is told is chosen by the reader: WANTED is a set of WANT_… bits, looked at once a round. With none
 * set, telling costs one comparison a packet.
 *
 * A reader that has found the ring empty may sleep until there is something (ASLEEP): the next record wakes it, and
 * only that one. It says that it sleeps and then looks once more; the writer adds a record and then looks
 * whether the reader sleeps. So one of the two sees the other, and nothing is left lying.
 *
 * Rejected: messages between threads (each allocates and wakes the other side), a ring that overwrites
 * the oldest (the reader could not tell what it is reading while it is being written), a reader that looks
 * every so often (an idle daemon woke up four times a second for nothing).
 */
import type { FlowAccounts } from '../conntrack/accounts.ts';
import { ACCOUNT_WORDS } from '../conntrack/accounts.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  type FlowIndex,
  type FlowTable,
} from '../conntrack/table.ts';
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

// Header words: what the writer writes, then on a cache line of its own what the reader writes.
const HEAD = 0;
const LOST = 1;
const TAIL = 16;
const WANTED = 17;
const INTERVAL = 18;
/** 1: the reader sleeps, and wants to be woken by the next record. */
const ASLEEP = 19;
const HEADER_WORDS = 32;

export const EVENTS_MAX = 16384;

/** Packets dropped. */
export const WANT_DROPS = 1;
/** Flows opened and ended. */
export const WANT_FLOWS = 2;
/** Packets that passed a gate and belong to no tracked flow. */
export const WANT_UNTRACKED = 4;
/** Every packet that passed a gate. */
export const WANT_PASSES = 8;
/** Copies of packets, in the capture ring (capture-ring.ts). */
export const WANT_CAPTURE = 16;

export const EVENT_DROP = 1;
export const EVENT_PASS = 2;
export const EVENT_FLOW_OPENED = 3;
export const EVENT_FLOW_ENDED = 4;

/** Words of a record; even, so that doubles in it are aligned. */
export const EVENT_WORDS = 24;
/** Kind in bits 0–7; drop reason, or why a flow ended, in 8–15; direction of the gate in 16; TCP flags in 24–31. */
export const EVENT_KIND = 0;
export const EVENT_REASON_SHIFT = 8;
export const EVENT_DIRECTION_BIT = 1 << 16;
/** Addresses, ports and protocol are valid: not of a packet that could not be decoded. */
export const EVENT_HAS_TUPLE = 1 << 17;
export const EVENT_IS_IPV6 = 1 << 18;
/** Of a dropped ARP message: its sender is in EVENT_LOCAL, its target in EVENT_REMOTE, the operation in EVENT_ACCOUNT. */
export const EVENT_IS_ARP = 1 << 19;
/**
 * Of a neighbour solicitation or advertisement: its source and destination are in EVENT_LOCAL and EVENT_REMOTE, its target in the
 * four words from EVENT_TARGET. EVENT_HAS_TUPLE is set of neither: no gate has judged them.
 */
export const EVENT_HAS_TARGET = 1 << 20;
export const EVENT_FLAGS_SHIFT = 24;
/** port << 16 | protocol */
export const EVENT_META = 1;
/** Number of the rule that admitted it; EVENT_NO_RULE for none. */
export const EVENT_RULE = 2;
/** local port << 16 | remote port. */
export const EVENT_PORTS = 3;
/** Entry in the flow table of its family; NO_FLOW (-1) if it has none. */
export const EVENT_FLOW = 4;
/** nowMs. */
export const EVENT_TIME = 5;
export const EVENT_BYTES = 6;
export const EVENT_PACKETS = 7;
/** Four words each; IPv4 in the first. */
export const EVENT_LOCAL = 8;
export const EVENT_REMOTE = 12;
/**
 * Of a flow: its account (conntrack/accounts.ts), zeros without accounting. Of a packet: ICMP type << 8 |
 * code in the first word.
 */
export const EVENT_ACCOUNT = 16;
export const EVENT_TARGET = 17;
/** Of a flow, in place of EVENT_BYTES and EVENT_PACKETS: nowMs of its last packet, its FLOW_STATE word. */
export const EVENT_SEEN = 6;
export const EVENT_STATE = 7;

export const EVENT_NO_RULE = -1;

/** Why a flow ended. */
export const ENDED_BY_TIMEOUT = 1;
/** For another flow, being half-open. */
export const ENDED_BY_EVICTION = 2;
/** A new connection of the same addresses and ports began. */
export const ENDED_BY_REOPENING = 3;
/** By a change of rules, or by hand. */
export const ENDED_BY_REVOCATION = 4;
export const ENDED_NAMES: readonly string[] = ['', 'timeout', 'evicted', 'reopened', 'revoked'];

export function eventRingBytes(): number {
  return 4 * (HEADER_WORDS + EVENTS_MAX * EVENT_WORDS);
}

/** The packet loop's side. */
export class EventRing {
  /** WANT_… bits of this round. */
  wanted = 0;
  /** Number of the flow log's aggregation interval, of this round. */
  interval = 0;
  /** Clock of this round. */
  nowMs = 0;
  private readonly words: Int32Array;

  /** @param buffer eventRingBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
  }

  /** Looks what the reader wants; once before the packets of a round. */
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
   * Tells of a packet at a gate.
   * @param kind EVENT_DROP or EVENT_PASS  @param reason drop reason or 0
   * @param hasTuple whether `packet` has been decoded
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
   * Tells of the drop of an ARP message (for Ethernet and IPv4), or of a neighbour solicitation or advertisement, at
   * `offset`; it has been found to be long enough.
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

  /** Tells of a flow that was opened or has ended. @param why ENDED_BY_…; 0 for one that was opened */
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
    const key = flow * table.stride;
    const state = key + table.keyWords;
    const isIpv4 = table.keyWords === KEY_WORDS_4;
    const addressWords = isIpv4 ? 1 : 4;
    const meta = table.words[key + KEY_META];
    words[at + EVENT_KIND] =
      kind | (why << EVENT_REASON_SHIFT) | EVENT_HAS_TUPLE | (isIpv4 ? 0 : EVENT_IS_IPV6);
    words[at + EVENT_META] = (meta & 0xffff0000) | (meta & 0xff);
    words[at + EVENT_RULE] = table.words[state + FLOW_RULE];
    words[at + EVENT_PORTS] = table.words[key + KEY_PORTS];
    words[at + EVENT_FLOW] = flow;
    words[at + EVENT_TIME] = this.nowMs;
    words[at + EVENT_SEEN] = table.words[state + FLOW_SEEN];
    words[at + EVENT_STATE] = table.words[state + FLOW_STATE];
    for (let i = 0; i < 4; i++) {
      const isUsed = i < addressWords;
      const local = key + KEY_ADDRESSES + i;
      words[at + EVENT_LOCAL + i] = isUsed ? table.words[local] : 0;
      words[at + EVENT_REMOTE + i] = isUsed ? table.words[local + addressWords] : 0;
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
  /** Records; `take` gives where one starts. */
  readonly words: Int32Array;
  /** The same memory as doubles, for an account's bytes. */
  readonly doubles: Float64Array;

  /** @param buffer eventRingBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }

  /** Chooses what is told from the loop's next round on: WANT_… bits. */
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

  /** @returns what resolves with the next record; undefined if there is one already */
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

  /** Calls `take` with the first word of each record there is, at most `most`, oldest first. @returns how many */
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

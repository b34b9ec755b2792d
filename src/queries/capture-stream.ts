/**
 * This file answers `sgctl capture`: copies of packets with their verdicts, for any number of clients from one ring.
 *
 * While somebody captures, the packet loop copies every packet that a gate judges. It copies as many bytes as the
 * largest request asks for. The ring is emptied 50 times a second, at most PACKETS_PER_POLL packets at a time. Each
 * client gets the packets that match its filter, cut to the length it asked for. Packets that found no room in the
 * ring are lost and counted.
 */
import { ruleIn } from '../conntrack/entry.ts';
import {
  CAPTURE_COPIED,
  CAPTURE_LENGTH,
  CAPTURE_META,
  CAPTURE_RULE,
  CAPTURE_SEC,
  CAPTURE_USEC,
  SNAP_LENGTH_MAX,
} from '../engine/capture-ring.ts';
import { EGRESS } from '../engine/counters.ts';
import { WANT_CAPTURE } from '../engine/events.ts';
import { takeInOrder } from '../engine/merge-rings.ts';
import { REASONS } from '../engine/reasons.ts';
import { decode } from '../wire/decode.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { CaptureClock } from '../telemetry/capture-clock.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook, RuleView } from './rule-book.ts';
import type { Sink } from './stream.ts';
import { DIRECTIONS, VERDICTS } from './trace-stream.ts';
import {
  LiveFilter,
  readChoice,
  readNumber,
  readWords,
  type CompiledFilter,
  type TrafficFilter,
} from './traffic-filter.ts';
import { REASON_NAMES } from './verdict-view.ts';

export const SNAP_LENGTH_DEFAULT = 2048;
export { SNAP_LENGTH_MAX };

export interface CaptureQuestion extends TrafficFilter {
  /** Most bytes of a packet. */
  readonly snapLength?: number;
  readonly verdict?: (typeof VERDICTS)[number];
  readonly direction?: (typeof DIRECTIONS)[number];
  readonly reasons?: readonly string[];
}

export interface CapturedPacket {
  /** Ms since 1970 with a fraction. */
  readonly timeMs: number;
  readonly interface: string;
  readonly direction: 'ingress' | 'egress';
  /** Drop reason; absent: it passed. */
  readonly reason?: string;
  readonly rule?: RuleView;
  /** Bytes of the IP packet; a GSO superpacket is one. */
  readonly length: number;
  /** The first of them, in base64. */
  readonly data: string;
}

export interface CaptureAnswer {
  readonly packets: readonly CapturedPacket[];
  /** Copies that the ring had no room for since the answer before, whether or not they would have matched. */
  readonly lost: number;
}

const INTERVAL_MS = 20;
const PACKETS_PER_POLL = 2000;
/** An answer carries at most about this many bytes of packets. One poll may send several answers. */
const ANSWER_BYTES = 256 * 1024;

/** Enough bytes for the headers of any packet worth filtering. They are always copied, whatever length is asked for. */
const HEADER_BYTES = 128;
/** The longest IP packet there is, IPv6 with its header. */
const SCRATCH_BYTES = 65_535 + 40;

interface Client {
  readonly filter: LiveFilter;
  readonly snapLength: number;
  readonly verdict: (typeof VERDICTS)[number] | undefined;
  readonly direction: (typeof DIRECTIONS)[number] | undefined;
  readonly reasons: readonly string[];
  readonly sink: Sink<CaptureAnswer>;
  pending: CapturedPacket[];
  pendingBytes: number;
  lost: number;
}

export class CaptureHub {
  private readonly observatory: Observatory;
  private readonly book: RuleBook;
  private readonly clients = new Set<Client>();
  private readonly packet = new Packet();
  private readonly addresses = new Int32Array(8);
  private readonly scratch = new Uint8Array(SCRATCH_BYTES);
  private readonly scratchView = new DataView(this.scratch.buffer);
  private unsubscribe: (() => void) | undefined;
  private timer: NodeJS.Timeout | undefined;
  private lostBefore = 0;
  private clock: CaptureClock;

  constructor(observatory: Observatory, book: RuleBook) {
    this.observatory = observatory;
    this.book = book;
    this.clock = new CaptureClock(observatory.dataplane);
  }

  /** Starts a capture for one client. @returns a function that ends it  @throws RequestError */
  follow(question: CaptureQuestion, sink: Sink<CaptureAnswer>): () => void {
    const limits = { min: 1, max: SNAP_LENGTH_MAX, fallback: SNAP_LENGTH_DEFAULT };
    const client: Client = {
      filter: new LiveFilter(question, this.observatory),
      snapLength: readNumber(question.snapLength, 'snapLength', limits),
      verdict: readChoice(question.verdict, 'verdict', VERDICTS),
      direction: readChoice(question.direction, 'direction', DIRECTIONS),
      reasons: readWords(question.reasons, 'reasons').map((word) =>
        readChoice(word, 'reasons', REASON_NAMES)!,
      ),
      sink,
      pending: [],
      pendingBytes: 0,
      lost: 0,
    };
    if (this.clients.size > 0) this.look();
    this.clients.add(client);
    this.setSnapLength();
    if (this.clients.size === 1) this.start();
    return () => {
      if (!this.clients.delete(client)) return;
      if (this.clients.size === 0) this.stop();
      else this.setSnapLength();
    };
  }

  stop(): void {
    clearInterval(this.timer);
    this.unsubscribe?.();
    this.unsubscribe = undefined;
  }

  private start(): void {
    const { dataplane, pump } = this.observatory;
    for (const capture of dataplane.captures) capture.clear();
    this.lostBefore = this.lost;
    this.clock = new CaptureClock(dataplane);
    this.unsubscribe = pump.listen({ wants: WANT_CAPTURE, take: () => undefined });
    this.timer = setInterval(() => this.look(), INTERVAL_MS);
  }

  private setSnapLength(): void {
    const lengths = [...this.clients].map(({ snapLength }) => snapLength);
    for (const capture of this.observatory.dataplane.captures)
      capture.snapLength = Math.max(HEADER_BYTES, ...lengths);
  }

  private look(): void {
    const { captures } = this.observatory.dataplane;
    this.clock.follow();
    const names = this.observatory.portNames();
    takeInOrder(
      captures,
      (loop) => {
        const { words, bytes } = captures[loop];
        captures[loop].drain((at, data) => this.take(words, at, bytes, data, names), 1);
      },
      PACKETS_PER_POLL,
    );
    const { lost: lostNow } = this;
    const lost = (lostNow - this.lostBefore) >>> 0;
    this.lostBefore = lostNow;
    for (const client of this.clients) {
      client.lost += lost;
      if (client.pending.length > 0 || client.lost > 0) flush(client);
    }
  }

  /** Copies lost since the start, modulo 2^32. */
  private get lost(): number {
    const { captures } = this.observatory.dataplane;
    return captures.reduce((lost, capture) => lost + capture.lost, 0) >>> 0;
  }

  private take(
    words: Int32Array,
    at: number,
    bytes: Uint8Array,
    data: number,
    names: ReadonlyMap<number, string>,
  ): void {
    const meta = words[at + CAPTURE_META];
    const copied = words[at + CAPTURE_COPIED];
    const port = meta >>> 16;
    const direction = ((meta >>> 8) & 0xff) === EGRESS ? 'egress' : 'ingress';
    const reason = (meta & 0xff) === 0 ? undefined : REASONS[meta & 0xff][0];
    const number = words[at + CAPTURE_RULE];
    const timeMs = this.clock.wallMs(words[at + CAPTURE_SEC], words[at + CAPTURE_USEC]);
    const headers = bytes.subarray(data, data + Math.min(copied, HEADER_BYTES));
    const isDecoded = this.decode(headers, words[at + CAPTURE_LENGTH], direction === 'egress');
    const rule = number < 0 ? undefined : this.book.view(ruleIn(number));
    for (const client of this.clients) {
      if (client.verdict !== undefined && (client.verdict === 'dropped') !== (reason !== undefined))
        continue;
      if (client.direction !== undefined && client.direction !== direction) continue;
      if (client.reasons.length > 0 && !client.reasons.includes(reason ?? '')) continue;
      if (!this.matches(client.filter.current, isDecoded, port, direction === 'egress', number))
        continue;
      const length = Math.min(copied, client.snapLength);
      client.pending.push({
        timeMs,
        interface: names.get(port) ?? `port ${port}`,
        direction,
        ...(reason === undefined ? {} : { reason }),
        ...(rule === undefined ? {} : { rule }),
        length: words[at + CAPTURE_LENGTH],
        data: Buffer.from(bytes.buffer, data, length).toString('base64'),
      });
      client.pendingBytes += length;
      if (client.pendingBytes >= ANSWER_BYTES) flush(client);
    }
  }

  /** Decodes the headers of a packet of `length` bytes. If the copy is shorter, the missing bytes count as zeros. */
  private decode(headers: Uint8Array, length: number, isEgress: boolean): boolean {
    const { packet, addresses, scratch } = this;
    scratch.fill(0, headers.length, HEADER_BYTES);
    scratch.set(headers);
    if (decode(this.scratchView, 0, Math.min(length, scratch.length), packet) !== DECODE_OK)
      return false;
    const source = isEgress ? 0 : 4;
    const destination = isEgress ? 4 : 0;
    addresses[source] = packet.src0;
    addresses[source + 1] = packet.src1;
    addresses[source + 2] = packet.src2;
    addresses[source + 3] = packet.src3;
    addresses[destination] = packet.dst0;
    addresses[destination + 1] = packet.dst1;
    addresses[destination + 2] = packet.dst2;
    addresses[destination + 3] = packet.dst3;
    return true;
  }

  private matches(
    filter: CompiledFilter | undefined,
    isDecoded: boolean,
    port: number,
    isEgress: boolean,
    rule: number,
  ): boolean {
    if (filter === undefined) return false;
    if (filter.isEmpty) return true;
    if (!isDecoded) return filter.matchesUndecoded(port);
    const { family, protocol, srcPort, dstPort } = this.packet;
    return filter.matches(
      port,
      protocol,
      isEgress ? srcPort : dstPort,
      isEgress ? dstPort : srcPort,
      family,
      this.addresses,
      0,
      4,
      rule < 0 ? -1 : ruleIn(rule),
    );
  }
}

function flush(client: Client): void {
  const { pending, lost } = client;
  client.pending = [];
  client.pendingBytes = 0;
  client.lost = 0;
  client.sink.send({ packets: pending, lost }, pending.length);
}

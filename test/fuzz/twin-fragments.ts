/**
 * The twin's fragments: every datagram with the list of its pieces, in a Map in the order in which they began.
 *
 * Source: docs/conntrack.md, "Fragments", line by line; for who makes room of several that hold the most, the
 * comment of Shares.largestFor (src/conntrack/shares.ts).
 *
 * A datagram past its time is forgotten when it is asked for, no sooner. Where room can run out, time must
 * not: the engine frees those that have expired one at a time, and which ones is not to be told from outside.
 */
import type { TwinPacket } from './twin-decode.ts';

interface Datagram {
  fate: 'admitted' | 'refused' | 'spoilt';
  readonly key: string;
  readonly begunMs: number;
  /** The port it came in by, whose share it counts in; none if it was refused. */
  readonly sender: number | undefined;
  readonly pieces: { readonly from: number; readonly to: number; readonly isLast: boolean }[];
}

const TIME_MS = 30_000;
const PIECES_MAX = 128;

export class TwinFragments {
  /** Set if time ran out for one while room did: what the engine does then is not known here. */
  isUnsure = false;
  private readonly datagrams = new Map<string, Datagram>();
  /** How many each sender has. */
  private readonly shares = new Map<number, number>();
  private readonly room: number;

  constructor(room: number) {
    this.room = room;
  }

  /**
   * Judges a fragment that came in by port `sender`. `judge` is asked about a first one that begins a datagram.
   * @returns why it drops, or undefined
   */
  pass(
    key: string,
    sender: number,
    packet: TwinPacket,
    nowMs: number,
    judge: () => string | undefined,
  ): string | undefined {
    let datagram = this.datagrams.get(key);
    if (datagram !== undefined && nowMs - datagram.begunMs > TIME_MS) {
      this.forget(datagram);
      datagram = undefined;
    }
    if (packet.fragment === 'first' && (datagram === undefined || datagram.fate === 'refused')) {
      if (datagram !== undefined) this.forget(datagram);
      const refusal = judge();
      this.begin(key, sender, refusal === undefined, packet.fragmentEnd, nowMs);
      return refusal;
    }
    if (datagram === undefined) return 'fragment-early';
    if (datagram.fate !== 'admitted') return 'fragment-refused';
    return this.add(datagram, packet);
  }

  private begin(key: string, from: number, passes: boolean, end: number, nowMs: number): void {
    if (this.datagrams.size === this.room) {
      const all = [...this.datagrams.values()];
      if (all.some(({ begunMs }) => nowMs - begunMs > TIME_MS)) this.isUnsure = true;
      const refused = all.find(({ fate }) => fate === 'refused');
      // A refused one takes nobody's place.
      if (refused === undefined && !passes) return;
      const loser = refused === undefined ? this.largestFor(from) : undefined;
      this.forget(refused ?? all.find(({ sender }) => sender === loser)!);
    }
    const sender = passes ? from : undefined;
    this.datagrams.set(key, {
      fate: passes ? 'admitted' : 'refused',
      key,
      begunMs: nowMs,
      sender,
      pieces: [{ from: 0, to: end, isLast: false }],
    });
    this.count(sender, 1);
  }

  private add(datagram: Datagram, packet: TwinPacket): string | undefined {
    const { pieces } = datagram;
    const from = packet.fragmentOffset;
    const to = packet.fragmentEnd;
    const isLast = !packet.isMore;
    for (const piece of pieces) {
      if (piece.from === from && piece.to === to && piece.isLast === isLast)
        return 'fragment-duplicate';
      if (from < piece.to && piece.from < to) return spoil(datagram, 'fragment-overlap');
    }
    const end = pieces.find((piece) => piece.isLast)?.to;
    const contradicts = isLast
      ? end !== undefined || pieces.some((piece) => piece.to > to)
      : end !== undefined && to > end;
    if (contradicts) return spoil(datagram, 'fragment-overlap');
    if (pieces.length === PIECES_MAX) return spoil(datagram, 'fragment-limit');
    pieces.push({ from, to, isLast });
    const whole = pieces.find((piece) => piece.isLast)?.to;
    const bytes = pieces.reduce((sum, piece) => sum + piece.to - piece.from, 0);
    if (bytes === whole) this.forget(datagram);
    return undefined;
  }

  private forget(datagram: Datagram): void {
    this.datagrams.delete(datagram.key);
    this.count(datagram.sender, -1);
  }

  private count(sender: number | undefined, change: number): void {
    if (sender === undefined) return;
    this.shares.set(sender, (this.shares.get(sender) ?? 0) + change);
  }

  /** Itself, unless others have more; then whoever has the most, of several the first port. */
  private largestFor(sender: number): number {
    const most = Math.max(...this.shares.values());
    if (this.shares.get(sender) === most) return sender;
    return Math.min(
      ...[...this.shares].filter(([, count]) => count === most).map(([port]) => port),
    );
  }
}

function spoil(datagram: Datagram, why: string): string {
  datagram.fate = 'spoilt';
  return why;
}

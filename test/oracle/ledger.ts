/**
 * What both ends of the TCP connection of a sequence have shown so far, worked out from the packets that passed and
 * from nothing of the engine's own. The predicates of differences.ts judge by it: if they took the engine's numbers, a
 * number that the engine has wrong would excuse itself.
 *
 * Only the state (which the engine names) says what a SYN was taken for.
 */
import type { Place } from './steps.ts';
import { distance, type Segment } from './segment.ts';

const DATAGRAM_BYTES_MAX = 65_535;
const BEHIND_MAX = 66_000;

export interface SideView {
  /** Behind the highest byte it sent. */
  readonly end: number;
  /** Behind the highest byte it may send. */
  readonly maxEnd: number;
  /** Highest byte it acknowledged. */
  readonly ack: number;
  /** Largest window it offered, in bytes. */
  readonly maxWindow: number;
  readonly scale: number;
}

interface Side {
  end: number;
  maxEnd: number;
  ack: number;
  maxWindow: number;
  scale: number | undefined;
}

export class Ledger {
  /** Sides that have sent a FIN. */
  readonly finished = new Set<Place>();
  /** An RST has ended the connection, or FINs from both sides. */
  hasEnded = false;
  private readonly sides: Record<Place, Side> = { in: newSide(), out: newSide() };
  private opener: Place = 'in';
  /** Behind the opener's SYN, without the data in it. */
  private behindSyn = 0;
  /** Room that the opener's SYN offered. */
  private offered = 1;
  /** A SYN of the opener passed over the open connection, and nothing after it. */
  private hasSynPassed = false;

  view(place: Place): SideView {
    return { ...this.sides[place], scale: this.sides[place].scale ?? 0 };
  }

  /**
   * Takes down a packet that passed. Of a first fragment, the engine does not know the `bytesToCome`. `before` and `after`: the engine's state,
   * undefined without an entry.
   */
  enter(
    from: Place,
    segment: Segment,
    bytesToCome: number,
    before: string | undefined,
    after: string | undefined,
  ): void {
    const { flags } = segment;
    const isAck = flags.includes('A');
    if (flags.includes('S')) {
      if (!isAck && after === 'syn-sent') this.open(from, segment, before === 'syn-sent');
      else if (after === 'syn-received' && before !== 'syn-received')
        this.answer(from, segment, before);
      else if (isAck && before === 'closed' && after === 'established') this.pickUp(from, segment);
      else if (!isAck && before === 'established') {
        this.hasSynPassed = true;
        this.opener = from;
      }
    } else if (before === undefined) this.pickUp(from, segment);
    else if (flags.includes('R')) this.reset(from, segment, before);
    else if (before === 'syn-sent' && after === 'syn-sent') this.sides[from].ack = segment.ack;
    else if (before === 'syn-sent') this.join(from, segment);
    else this.move(from, segment, bytesToCome);
  }

  private open(from: Place, segment: Segment, isAgain: boolean): void {
    const { seq, window, scale } = segment;
    const other = opposite(from);
    const isSame = isAgain && ((seq + 1) | 0) === this.behindSyn;
    // The same SYN may come without the data that it had.
    const end = isSame ? later(this.sides[from].end, segment.end) : segment.end;
    this.opener = from;
    this.behindSyn = (seq + 1) | 0;
    this.begin();
    this.sides[from] = { end, maxEnd: end, ack: 0, maxWindow: Math.max(1, window), scale };
    const challenge = isAgain ? this.sides[other].ack : 0;
    this.sides[other] = { ...newSide(), ack: challenge };
    this.offered = Math.max(1, window);
  }

  private answer(from: Place, segment: Segment, before: string | undefined): void {
    const { seq, end, ack, window, scale, flags } = segment;
    const isAck = flags.includes('A');
    const opener = this.sides[this.opener];
    this.begin();
    // Over an open connection: the answer tells what the SYN had.
    if (before !== 'syn-sent') opener.end = opener.maxEnd = ack;
    this.sides[from] = {
      end,
      maxEnd: (end + this.offered) | 0,
      ack: isAck ? ack : this.behindSyn,
      maxWindow: Math.max(1, window),
      scale,
    };
    opener.ack = (seq + 1) | 0;
    opener.maxEnd = later(opener.maxEnd, (this.sides[from].ack + Math.max(1, window)) | 0);
    if (opener.scale === undefined || scale === undefined)
      this.sides[from].scale = opener.scale = undefined;
  }

  /** What follows a SYN whose answer was not seen. */
  private join(from: Place, { seq, end, ack, flags }: Segment): void {
    const [sender, receiver] = [this.sides[from], this.sides[opposite(from)]];
    sender.end = end;
    sender.ack = ack;
    receiver.end = ack;
    receiver.ack = seq;
    if (flags.includes('F')) this.finished.add(from);
  }

  private answersSyn(ack: number): boolean {
    const { end } = this.sides[this.opener];
    return distance(ack, this.behindSyn) >= 0 && distance(ack, end) <= 0;
  }

  private begin(): void {
    this.finished.clear();
    this.hasEnded = false;
    this.hasSynPassed = false;
  }

  private pickUp(from: Place, { seq, end, ack, flags }: Segment): void {
    this.opener = from;
    this.begin();
    this.sides[from] = { ...newSide(), end, ack };
    this.sides[opposite(from)] = { ...newSide(), end: ack, ack: seq };
    if (flags.includes('F')) this.finished.add(from);
    if (flags.includes('R')) this.hasEnded = true;
  }

  private move(from: Place, segment: Segment, bytesToCome: number): void {
    const { end, ack, window, flags } = segment;
    const sender = this.sides[from];
    const receiver = this.sides[opposite(from)];
    const bytes = window << (sender.scale ?? 0);
    this.hasSynPassed = false;
    sender.maxWindow = Math.max(sender.maxWindow, bytes);
    let known = (end - bytesToCome) | 0;
    if (bytesToCome > 0)
      known =
        (known + Math.max(0, Math.min(distance(sender.maxEnd, known), DATAGRAM_BYTES_MAX))) | 0;
    sender.end = later(sender.end, known);
    sender.ack = later(sender.ack, ack);
    receiver.maxEnd = later(receiver.maxEnd, (ack + Math.max(1, bytes)) | 0);
    if (flags.includes('F')) this.finished.add(from);
    if (this.finished.size === 2) this.hasEnded = true;
  }

  /** An RST that passed: whether it ends the connection (RFC 5961 section 3, RFC 9293 section 3.10.7.3). */
  private reset(from: Place, { seq, ack, flags }: Segment, before: string): void {
    const sender = this.sides[from];
    const receiver = this.sides[opposite(from)];
    const isAnswer = from !== this.opener && flags.includes('A');
    if (before === 'syn-sent') {
      const behind = -distance(seq, sender.end);
      const isGivenUp = (behind >= 0 && behind <= BEHIND_MAX) || seq === receiver.ack;
      if (from === this.opener ? isGivenUp : isAnswer && this.answersSyn(ack)) this.hasEnded = true;
      return;
    }
    if (seq === receiver.ack || seq === sender.end || (isAnswer && this.hasSynPassed))
      this.hasEnded = true;
  }
}

function newSide(): Side {
  return { end: 0, maxEnd: 0, ack: 0, maxWindow: 1, scale: undefined };
}

function opposite(place: Place): Place {
  return place === 'in' ? 'out' : 'in';
}

function later(a: number, b: number): number {
  return distance(b, a) > 0 ? b : a;
}

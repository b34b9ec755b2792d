/**
 * The twin's TCP: the table of states in src/conntrack/tcp.ts, its footnotes and conditions I to IV, written
 * down again in plain objects with unsigned sequence numbers; nothing of that file's code.
 */
import type { TwinSegment } from './twin-decode.ts';

export type TcpState = 'syn-sent' | 'syn-received' | 'established' | 'closing' | 'closed';
export type TcpVerdict =
  'passes' | 'unchanged' | 'reopens' | 'asks' | 'tcp-closed' | 'tcp-state' | 'tcp-window';

interface Side {
  /** Behind the highest byte it sent. */
  end: number;
  /** Behind the highest byte it may send. */
  maxEnd: number;
  /** Highest byte it acknowledged. */
  ack: number;
  /** Largest window it offered, as a number before scaling. */
  window: number;
  scale: number | undefined;
  hasFinished: boolean;
}

export interface TcpFlow {
  state: TcpState;
  opener: Side;
  other: Side;
  /** Behind the opener's SYN alone, without the data in it; known until it is answered. */
  behindSyn: number;
  /** The side that sent the RST. */
  resetBy: Side | undefined;
  /** Room the opener's SYN offered, in bytes. */
  offered: number;
  /** Windows aren't judged. */
  isLiberal: boolean;
  /** The other side has said something that counts. */
  hasReplied: boolean;
  /** The other side answered SYN with SYN. */
  isSimultaneous: boolean;
  /** A SYN of the opener passed while the connection was open. */
  hasSynPassed: boolean;
}

const SEQUENCES = 2 ** 32;
/** Of a segment in fragments only the first is seen: it may reach to what was offered, as far as a datagram can. */
const DATAGRAM_MAX = 65_535;
/** How far behind an acknowledgment or a quoted sequence number may lie at least. */
const BEHIND = 66_000;

export function openTcpPlainly(segment: TwinSegment, checksWindow: boolean): TcpFlow {
  const flow: TcpFlow = {
    state: 'established',
    opener: newSide(),
    other: newSide(),
    behindSyn: 0,
    resetBy: undefined,
    offered: 0,
    isLiberal: true,
    hasReplied: false,
    isSimultaneous: false,
    hasSynPassed: false,
  };
  if (segment.flags === 'S') {
    startOpener(flow, segment);
    flow.state = 'syn-sent';
    flow.isLiberal = !checksWindow;
  } else {
    if (segment.flags.includes('R')) flow.state = 'closed';
    flow.opener.end = endOf(segment);
    flow.opener.ack = segment.ack;
    flow.other.end = segment.ack;
    flow.other.ack = segment.seq;
  }
  flow.opener.hasFinished = segment.flags.includes('F');
  return flow;
}

export function advanceTcpPlainly(
  flow: TcpFlow,
  segment: TwinSegment,
  isFromOpener: boolean,
): TcpVerdict {
  const { flags } = segment;
  if (flags === 'S' && (flow.state === 'closing' || flow.state === 'closed')) return 'reopens';
  if (flow.state === 'closed') return judgeAfterEnd(flow, segment, isFromOpener);
  if (flags.includes('R')) return reset(flow, segment, isFromOpener);
  if (flags.includes('S')) {
    return flow.state === 'syn-sent'
      ? synToUnanswered(flow, segment, isFromOpener)
      : synToAnswered(flow, segment, isFromOpener);
  }
  if (flow.state === 'syn-sent') return challenge(flow, segment, isFromOpener);
  // SYN against SYN: either has to acknowledge the other's before anything else.
  if (flow.state === 'syn-received' && flow.isSimultaneous) return 'tcp-state';
  if (!flow.isLiberal && !fits(flow, segment, isFromOpener)) return 'tcp-window';
  move(flow, segment, isFromOpener);
  flow.hasSynPassed = false;
  if (!isFromOpener) flow.hasReplied = true;
  const isFin = flags.includes('F');
  if (flow.state === 'syn-received' && (isFromOpener || isFin)) flow.state = 'established';
  if (isFin) (isFromOpener ? flow.opener : flow.other).hasFinished = true;
  if (isFin && flow.opener.hasFinished && flow.other.hasFinished) flow.state = 'closing';
  return 'passes';
}

/** Whether the connection can have sent a segment with this number, which an ICMP error quotes. */
export function canHaveSent(flow: TcpFlow, seq: number, isFromOpener: boolean): boolean {
  if (flow.isLiberal) return true;
  const sender = isFromOpener ? flow.opener : flow.other;
  const receiver = isFromOpener ? flow.other : flow.opener;
  const acknowledged = flow.hasReplied ? receiver.ack : sender.end;
  return distance(sender.end, seq) <= 0 && distance(acknowledged, seq) >= -BEHIND;
}

/** Whoever sent the RST is gone; the other side may not have had it, and goes on. */
function judgeAfterEnd(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): TcpVerdict {
  const { flags } = segment;
  if (!flow.hasReplied) return flow.isLiberal && flags === 'SA' ? 'reopens' : 'tcp-closed';
  const sender = isFromOpener ? flow.opener : flow.other;
  if (flags.includes('R'))
    return flow.isLiberal || fitsReset(flow, segment, isFromOpener) ? 'unchanged' : 'tcp-window';
  if (sender === flow.resetBy) return 'tcp-closed';
  if (flags.includes('S'))
    return !isFromOpener && endOf(segment) === sender.end ? 'unchanged' : 'tcp-closed';
  if (!flow.isLiberal && !fits(flow, segment, isFromOpener)) return 'tcp-window';
  move(flow, segment, isFromOpener);
  return 'unchanged';
}

/** The other side still has an older connection, and says so. */
function challenge(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): TcpVerdict {
  // Whether the first fragment of a segment is all of it that bears data can't be told.
  const isBare = segment.flags === 'A' && segment.payloadBytes === 0 && !segment.isPart;
  if (isFromOpener || !isBare) return 'asks';
  flow.other.ack = segment.ack;
  return 'unchanged';
}

function synToUnanswered(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): TcpVerdict {
  const acknowledges = segment.flags.includes('A');
  if (isFromOpener) {
    if (acknowledges) return 'tcp-state';
    if (plus(segment.seq, 1) !== flow.behindSyn) return 'asks';
    const { end } = flow.opener;
    startOpener(flow, segment);
    flow.opener.end = later(flow.opener.end, end);
    flow.opener.maxEnd = later(flow.opener.maxEnd, end);
    return 'passes';
  }
  if (acknowledges && !answersSyn(flow, segment))
    return distance(plus(flow.opener.end, 1), segment.ack) < 0 ? 'unchanged' : 'tcp-window';
  answer(flow, segment);
  flow.other.maxEnd = later(flow.other.maxEnd, plus(flow.other.end, flow.offered));
  return 'passes';
}

/** It acknowledges the SYN, and none, some or all of the data in it. */
function answersSyn({ behindSyn, opener }: TcpFlow, { ack }: TwinSegment): boolean {
  const ahead = distance(behindSyn, ack);
  return ahead >= 0 && ahead <= distance(behindSyn, opener.end);
}

function synToAnswered(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): TcpVerdict {
  const acknowledges = segment.flags.includes('A');
  if (flow.state === 'closing') return 'tcp-state';
  if (flow.state === 'syn-received') return synInHandshake(flow, segment, isFromOpener);
  // Only an opener sends SYN and only the other side answers it; who opened a liberal one may not be known.
  if (acknowledges === isFromOpener) return flow.isLiberal ? 'asks' : 'tcp-state';
  if (!acknowledges) return 'asks';
  if (!flow.hasSynPassed) return 'unchanged';
  flow.opener.end = segment.ack;
  flow.opener.maxEnd = segment.ack;
  flow.isLiberal = true;
  answer(flow, segment);
  return 'passes';
}

/** Before the handshake is done: one sent again, one of a new connection, or one of a simultaneous open. */
function synInHandshake(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): TcpVerdict {
  const sender = isFromOpener ? flow.opener : flow.other;
  const receiver = isFromOpener ? flow.other : flow.opener;
  const isAgain = plus(segment.seq, 1) === receiver.ack;
  if (!segment.flags.includes('A')) {
    if (flow.isSimultaneous) return isAgain ? 'unchanged' : 'tcp-state';
    if (!isFromOpener) return 'tcp-state';
    const behind = distance(plus(segment.seq, 1), sender.end);
    return behind >= 0 && behind <= DATAGRAM_MAX ? 'unchanged' : 'asks';
  }
  if (!flow.isSimultaneous && !isFromOpener) return 'unchanged';
  const ahead = distance(sender.ack, segment.ack);
  if (!isAgain || ahead < 0 || ahead > distance(sender.ack, receiver.end)) return 'tcp-state';
  flow.isSimultaneous = false;
  return 'unchanged';
}

/** What `asks` asked about, once the rules have admitted it. @returns whether it keeps the flow alive */
export function takeAdmittedPlainly(
  flow: TcpFlow,
  segment: TwinSegment,
  isFromOpener: boolean,
): 'passes' | 'unchanged' | 'turned' {
  const { flags } = segment;
  if (!flags.includes('S')) {
    // Picked up in mid-stream.
    const sender = isFromOpener ? flow.opener : flow.other;
    const receiver = isFromOpener ? flow.other : flow.opener;
    sender.end = endOf(segment);
    sender.ack = segment.ack;
    receiver.end = segment.ack;
    receiver.ack = segment.seq;
    if (flags.includes('F')) sender.hasFinished = true;
    if (!isFromOpener) flow.hasReplied = true;
    flow.isLiberal = true;
    flow.state = 'established';
    return 'passes';
  }
  if (flow.state === 'syn-sent') {
    startOpener(flow, segment);
    return 'passes';
  }
  if (flow.state !== 'established' || flags !== 'S') return 'unchanged';
  flow.hasSynPassed = true;
  if (isFromOpener) return 'unchanged';
  [flow.opener, flow.other] = [flow.other, flow.opener];
  return 'turned';
}

/** The other side has spoken: its SYN, with or without ACK. */
function answer(flow: TcpFlow, segment: TwinSegment): void {
  const { opener, other } = flow;
  const acknowledges = segment.flags.includes('A');
  startSide(other, segment);
  if (opener.scale === undefined || other.scale === undefined) {
    // Then they count in bytes: the opener's as its SYN had it, if that is known still.
    opener.scale = undefined;
    opener.window = flow.state === 'syn-sent' ? flow.offered : 65_535;
    other.scale = undefined;
    other.window = Math.max(1, segment.window);
  }
  flow.isSimultaneous = !acknowledges;
  other.ack = acknowledges ? segment.ack : flow.behindSyn;
  opener.ack = plus(segment.seq, 1);
  opener.maxEnd = later(opener.maxEnd, plus(other.ack, Math.max(1, segment.window)));
  opener.hasFinished = false;
  other.hasFinished = false;
  flow.hasSynPassed = false;
  flow.hasReplied = true;
  flow.state = 'syn-received';
}

function reset(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): TcpVerdict {
  const { opener, other } = flow;
  const acknowledges = segment.flags.includes('A');
  const isAnswer = !isFromOpener && acknowledges;
  if (flow.state === 'syn-sent') {
    const behind = -distance(opener.end, segment.seq);
    const isGivenUp =
      (!acknowledges || segment.ack === 0) &&
      ((behind >= 0 && behind <= BEHIND) || segment.seq === other.ack);
    const isRefused = acknowledges && answersSyn(flow, segment);
    if (!(isFromOpener ? isGivenUp : isRefused)) return 'tcp-window';
  } else if (!(isAnswer && flow.hasSynPassed)) {
    if (!flow.isLiberal && !fitsReset(flow, segment, isFromOpener)) return 'tcp-window';
    const isExact = isFromOpener
      ? segment.seq === other.ack || segment.seq === opener.end
      : segment.seq === opener.ack || segment.seq === other.end;
    if (!isExact) return 'unchanged';
  }
  flow.state = 'closed';
  flow.resetBy = isFromOpener ? opener : other;
  flow.hasSynPassed = false;
  return 'passes';
}

function fitsReset(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): boolean {
  const sender = isFromOpener ? flow.opener : flow.other;
  const receiver = isFromOpener ? flow.other : flow.opener;
  const ahead = distance(receiver.ack, segment.seq);
  if (ahead < 0 || ahead > distance(receiver.ack, sender.maxEnd)) return false;
  return !segment.flags.includes('A') || segment.ack === 0 || fitsAck(sender, receiver, segment);
}

/** Conditions I to IV. */
function fits(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): boolean {
  const sender = isFromOpener ? flow.opener : flow.other;
  const receiver = isFromOpener ? flow.other : flow.opener;
  const room = distance(sender.end, sender.maxEnd);
  const isOffered = distance(sender.end, segment.seq) <= room;
  const reach = plus(endOf(segment), segment.isPart ? DATAGRAM_MAX : 0);
  const isRecent = distance(sender.end, reach) >= -windowOf(receiver);
  return isOffered && isRecent && fitsAck(sender, receiver, segment);
}

/** III: it was sent; IV: not too long ago. */
function fitsAck(sender: Side, receiver: Side, { ack }: TwinSegment): boolean {
  const ahead = distance(receiver.end, ack);
  return ahead <= 0 && ahead >= -Math.max(BEHIND, windowOf(sender));
}

function move(flow: TcpFlow, segment: TwinSegment, isFromOpener: boolean): void {
  const sender = isFromOpener ? flow.opener : flow.other;
  const receiver = isFromOpener ? flow.other : flow.opener;
  sender.window = Math.max(sender.window, segment.window);
  let end = endOf(segment);
  if (segment.isPart) {
    const room = distance(end, sender.maxEnd);
    end = plus(end, Math.max(0, Math.min(room, DATAGRAM_MAX)));
  }
  sender.end = later(sender.end, end);
  sender.ack = later(sender.ack, segment.ack);
  // A closed window is probed with one byte.
  const offered = segment.window === 0 ? 1 : segment.window * 2 ** (sender.scale ?? 0);
  receiver.maxEnd = later(receiver.maxEnd, plus(segment.ack, offered));
}

function newSide(): Side {
  return { end: 0, maxEnd: 0, ack: 0, window: 0, scale: undefined, hasFinished: false };
}

function startOpener(flow: TcpFlow, segment: TwinSegment): void {
  startSide(flow.opener, segment);
  flow.behindSyn = plus(segment.seq, 1);
  flow.offered = Math.max(1, segment.window);
}

/** The window in a SYN is never scaled, but is kept in units of the scale it offers, rounded up; none counts as a byte. */
function startSide(side: Side, segment: TwinSegment): void {
  side.end = endOf(segment);
  side.maxEnd = side.end;
  side.scale = segment.scale;
  side.window = Math.ceil(segment.window / 2 ** (segment.scale ?? 0));
}

function windowOf(side: Side): number {
  return Math.max(1, side.window * 2 ** (side.scale ?? 0));
}

function endOf({ seq, payloadBytes, flags }: TwinSegment): number {
  return plus(seq, payloadBytes + (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0));
}

function plus(sequence: number, count: number): number {
  return (sequence + count) % SEQUENCES;
}

/** How far `to` lies ahead of `from`, the short way round: -2^31 to 2^31 - 1. */
function distance(from: number, to: number): number {
  const ahead = (to - from + SEQUENCES) % SEQUENCES;
  return ahead >= SEQUENCES / 2 ? ahead - SEQUENCES : ahead;
}

function later(a: number, b: number): number {
  return distance(a, b) > 0 ? b : a;
}

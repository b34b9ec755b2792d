/**
 * Where we differ from nf_conntrack on purpose: the rows of the table in docs/conntrack.md, each as a predicate that
 * recognises nothing else.
 */
import type { Judged } from './compare.ts';
import type { Sequence } from './steps.ts';
import {
  brokenBounds,
  distance,
  segmentOf,
  type Bound,
  type Segment,
  type TcpView,
} from './tcp-view.ts';

export interface Difference {
  /** As the table in docs/conntrack.md calls it. */
  readonly name: string;
  /** Whether what the two know of the flow may differ from here on, so that later verdicts can't be compared. */
  readonly splitsStates: boolean;
  /** Whether packet `at`, on which the verdicts differ, is a case of this row. */
  covers(judged: readonly Judged[], at: number, sequence: Sequence): boolean;
}

interface TcpCase {
  readonly ours: string;
  readonly kernelPasses: boolean;
  readonly segment: Segment;
  readonly view: TcpView;
  readonly fromOpener: boolean;
  readonly outside: readonly Bound[];
}

/** A row about a TCP packet of a connection that we know. */
function tcpRow(
  name: string,
  splitsStates: boolean,
  covers: (tcp: TcpCase, judged: readonly Judged[], at: number) => boolean,
): Difference {
  return {
    name,
    splitsStates,
    covers(judged, at) {
      const { sent, ours, kernelPasses, tcp: view } = judged[at];
      const segment = segmentOf(sent);
      if (segment === undefined || view === undefined) return false;
      const outside = brokenBounds(view, sent.from, segment);
      const fromOpener = sent.from === view.openedFrom;
      return covers({ ours, kernelPasses, segment, view, fromOpener, outside }, judged, at);
    },
  };
}

function hasBeenIn(judged: readonly Judged[], at: number, state: string): boolean {
  return judged.slice(0, at + 1).some(({ before }) => before.includes(state));
}

function isSyn({ flags }: Segment): boolean {
  return flags.includes('S') && !flags.includes('A');
}

function isSynAck({ flags }: Segment): boolean {
  return flags.includes('S') && flags.includes('A');
}

/** Neither SYN nor RST. */
function isPlain({ flags }: Segment): boolean {
  return !/[SR]/.test(flags);
}

/** A SYN has opened the connection anew before packet `at`. */
function wasReopened(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(({ before, after }) => /clos/.test(before.join()) && after.includes('syn-sent'));
}

/** Whether we passed such a segment before packet `at`. */
function hasPassed(
  judged: readonly Judged[],
  at: number,
  isSuch: (segment: Segment, judged: Judged, index: number) => boolean,
): boolean {
  return judged.slice(0, at).some((one, i) => {
    const segment = segmentOf(one.sent);
    return one.ours === 'passed' && segment !== undefined && isSuch(segment, one, i);
  });
}

/** Whether packet `at` is an RST-ACK that we took for the answer to a SYN over an open connection. */
function endsByAnswerToSyn(judged: readonly Judged[], at: number): boolean {
  const { before, after } = judged[at];
  return (
    before.includes('established') &&
    after.includes('closed') &&
    hasPassed(judged, at, (earlier, one) => isSyn(earlier) && one.before.includes('established'))
  );
}

/** Whether the kernel let a packet move the windows of a connection that had ended. */
function hasRefusedClosed(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(({ ours, kernelPasses }) => ours === 'tcp-closed' && kernelPasses);
}

/** Whether we refused a SYN or SYN-ACK of a connection that was open or about to be. */
function hasRefusedHandshake(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(
      ({ sent, ours, tcp }) =>
        ours === 'tcp-state' &&
        /^(syn-received|established)$/.test(tcp?.state ?? '') &&
        segmentOf(sent)?.flags.includes('S') === true,
    );
}

/** Whether the answer to a SYN lies within the window that stood in the SYN. */
function fitsRoomOfSyn(segment: Segment, judged: readonly Judged[], at: number): boolean {
  const ofHandshake = judged
    .slice(0, at)
    .filter(({ ours }) => ours === 'passed')
    .map(({ sent }) => ({ from: sent.from, segment: segmentOf(sent) }))
    .filter(({ segment }) => segment?.flags.includes('S') === true);
  const here = judged[at].sent.from;
  const syn = ofHandshake.findLast(({ from }) => from !== here)?.segment;
  return ofHandshake.some(
    ({ from, segment: answer }) =>
      from === here &&
      answer !== undefined &&
      syn !== undefined &&
      distance(segment.seq, answer.end) <= Math.max(1, syn.window),
  );
}

/** Whether it needs that window: what the opener has offered since does not reach as far. */
function usesRoomOfSyn(segment: Segment, judged: readonly Judged[], at: number): boolean {
  if (segment.flags.includes('S') || !fitsRoomOfSyn(segment, judged, at)) return false;
  const view = judged[at].tcp;
  if (view === undefined) return false;
  return !judged.slice(0, at).some(({ sent, ours }) => {
    const earlier = segmentOf(sent);
    const isOffer =
      earlier !== undefined &&
      ours === 'passed' &&
      sent.from === view.openedFrom &&
      /A/.test(earlier.flags) &&
      !earlier.flags.includes('S');
    return (
      isOffer &&
      distance(segment.seq, (earlier.ack + (earlier.window << view.openerScale)) | 0) <= 0
    );
  });
}

/** The sequence number that an ICMP error about TCP quotes; undefined if the packet is none. */
function quotedSequence({ packet }: Judged['sent']): number | undefined {
  const is4 = packet[0] >>> 4 === 4;
  if (packet[is4 ? 9 : 6] !== (is4 ? 1 : 58)) return undefined;
  const inner = (is4 ? 20 : 40) + 8;
  const at = inner + (is4 ? 20 : 40) + 4;
  if (packet[inner + (is4 ? 9 : 6)] !== 6 || packet.length < at + 4) return undefined;
  return new DataView(packet.buffer, packet.byteOffset, packet.byteLength).getInt32(at);
}

/** The code of the ICMP message that an ICMP error quotes; undefined if the packet is none. */
function quotedIcmpCode({ packet }: Judged['sent']): number | undefined {
  const is4 = packet[0] >>> 4 === 4;
  const icmp = is4 ? 1 : 58;
  const inner = (is4 ? 20 : 40) + 8;
  const isAboutIcmp =
    packet[is4 ? 9 : 6] === icmp && packet.length > inner && packet[inner + (is4 ? 9 : 6)] === icmp;
  return isAboutIcmp ? packet[inner + (is4 ? 20 : 40) + 1] : undefined;
}

/** Bytes of the transport header that an ICMP error quotes; undefined if the packet is none. */
function quotedBytes({ packet, text }: Judged['sent']): number | undefined {
  if (!/icmp (unreachable|too-big|time-exceeded|parameter|redirect)/.test(text)) return undefined;
  return packet.length - (packet[0] >>> 4 === 4 ? 20 + 8 + 20 : 40 + 8 + 40);
}

export const DIFFERENCES: readonly Difference[] = [
  tcpRow(
    'packet of a connection that was refused',
    true,
    ({ ours, view }) => ours === 'tcp-closed' && view.state === 'closed' && !view.replied,
  ),
  tcpRow(
    'packet of a connection that was reset',
    false,
    ({ ours, kernelPasses, view, segment }, judged, at) =>
      view.state === 'closed' &&
      view.replied &&
      (!segment.flags.includes('R')
        ? ours === 'tcp-closed'
        : kernelPasses
          ? ours === 'tcp-window'
          : hasRefusedClosed(judged, at)),
  ),
  tcpRow(
    'old duplicate',
    false,
    ({ ours, segment, outside }) =>
      ours === 'tcp-window' &&
      isPlain(segment) &&
      /^(behind|ack-behind|behind,ack-behind)$/.test(outside.join()),
  ),
  tcpRow(
    'data beyond the window',
    true,
    ({ ours, segment, outside }) =>
      ours === 'tcp-window' &&
      isPlain(segment) &&
      outside.includes('beyond') &&
      !outside.includes('ack-beyond'),
  ),
  tcpRow(
    'RST outside the window',
    true,
    ({ ours, segment, view, fromOpener, outside }) =>
      ours === 'tcp-window' &&
      segment.flags.includes('R') &&
      view.state !== 'syn-sent' &&
      (/beyond|ack-behind/.test(outside.join()) ||
        distance(segment.seq, (fromOpener ? view.other : view.opener).ack) < 0),
  ),
  tcpRow(
    'RST that answers no SYN',
    true,
    ({ ours, segment, view }) =>
      ours === 'tcp-window' && segment.flags.includes('R') && view.state === 'syn-sent',
  ),
  tcpRow(
    'SACK taken for an acknowledgment',
    true,
    ({ ours, segment, view, fromOpener, outside }) =>
      segment.sackAhead > 0 &&
      (ours === 'passed'
        ? distance(segment.ack + segment.sackAhead, (fromOpener ? view.other : view.opener).end) > 0
        : ours === 'tcp-window' && /ack/.test(outside.join())),
  ),
  tcpRow(
    'answer to a SYN that is no bare acknowledgment',
    true,
    ({ ours, segment, view }) =>
      ours === 'tcp-state' && view.state === 'syn-sent' && !segment.flags.includes('S'),
  ),
  tcpRow(
    'SYN-ACK of a connection that is closing',
    false,
    ({ ours, segment, view }) =>
      ours === 'tcp-state' && view.state === 'closing' && isSynAck(segment),
  ),
  tcpRow(
    'SYN over an ended connection',
    true,
    ({ ours, kernelPasses, segment, view }) =>
      ours === 'passed' && !kernelPasses && /^clos/.test(view.state) && isSyn(segment),
  ),
  tcpRow(
    'handshake over an ended connection',
    true,
    ({ view }, judged, at) => /^syn-/.test(view.state) && wasReopened(judged, at),
  ),
  tcpRow('SYN-ACK that acknowledges less than the SYN', true, (_, judged, at) =>
    hasPassed(
      judged,
      at,
      (earlier, { before, after }) =>
        isSynAck(earlier) && before.includes('syn-sent') && after.includes('syn-sent'),
    ),
  ),
  tcpRow(
    'handshake with other numbers',
    true,
    ({ ours, kernelPasses, segment }, judged, at) =>
      (ours === 'tcp-state' &&
        kernelPasses &&
        segment.flags.includes('S') &&
        hasBeenIn(judged, at, 'syn-received')) ||
      hasRefusedHandshake(judged, at) ||
      hasPassed(
        judged,
        at,
        (earlier, { before }) => isSyn(earlier) && before.includes('syn-received'),
      ),
  ),
  tcpRow(
    'acknowledgment before the SYN-ACK of a simultaneous open',
    false,
    ({ ours, kernelPasses, segment, view, fromOpener }) =>
      ours === 'tcp-state' &&
      kernelPasses &&
      view.state === 'syn-received' &&
      !fromOpener &&
      isPlain(segment),
  ),
  tcpRow(
    'room that the SYN offered',
    true,
    ({ ours, kernelPasses, segment, view, fromOpener, outside }, judged, at) =>
      ours === 'passed' &&
      !kernelPasses &&
      !segment.flags.includes('S') &&
      !/beyond/.test(outside.join()) &&
      (fromOpener
        ? hasPassed(
            judged,
            at,
            (earlier, { sent }, i) =>
              sent.from !== view.openedFrom && usesRoomOfSyn(earlier, judged, i),
          )
        : fitsRoomOfSyn(segment, judged, at)),
  ),
  tcpRow(
    'SYN sent again with another number',
    true,
    ({ ours, segment, view }) =>
      ours === 'tcp-window' && view.state === 'syn-sent' && isSynAck(segment),
  ),
  tcpRow(
    'RST that answers a challenge',
    true,
    ({ ours, kernelPasses, segment, view, fromOpener }) =>
      ours === 'passed' &&
      !kernelPasses &&
      fromOpener &&
      view.state === 'syn-sent' &&
      segment.flags.includes('R') &&
      segment.seq === view.other.ack,
  ),
  tcpRow(
    'window offered in a simultaneous open',
    true,
    ({ ours, kernelPasses, outside }, judged, at) =>
      ours === 'passed' &&
      !kernelPasses &&
      outside.length === 0 &&
      hasPassed(
        judged,
        at,
        (earlier, { before, after }) =>
          isSyn(earlier) && before.includes('syn-sent') && after.includes('syn-received'),
      ),
  ),
  tcpRow(
    'inexact RST of a connection picked up in mid-stream',
    true,
    ({ ours, kernelPasses, segment, view }) =>
      ours === 'passed' && !kernelPasses && view.liberal && segment.flags.includes('R'),
  ),
  tcpRow(
    'RST that answers a SYN over an open connection',
    true,
    ({ ours, kernelPasses, segment, fromOpener }, judged, at) =>
      ours === 'passed' &&
      !kernelPasses &&
      (judged[at].before.includes('closed')
        ? hasPassed(judged, at, (_, __, i) => endsByAnswerToSyn(judged, i))
        : !fromOpener && /R.*A/.test(segment.flags) && endsByAnswerToSyn(judged, at)),
  ),
  tcpRow(
    'acknowledgment of what only the kernel took in',
    true,
    ({ ours, kernelPasses, segment, outside }, judged, at) =>
      ours === 'tcp-window' &&
      kernelPasses &&
      outside.includes('ack-beyond') &&
      judged.slice(0, at).some((earlier) => {
        const { flags = '', end = 0 } = segmentOf(earlier.sent) ?? {};
        return (
          earlier.kernelPasses &&
          earlier.sent.from !== judged[at].sent.from &&
          (earlier.ours === 'tcp-window' || flags.includes('R')) &&
          distance(segment.ack, end) <= 0
        );
      }),
  ),
  {
    name: 'inexact RST of a connection not fully open',
    splitsStates: true,
    covers: (judged, at) =>
      hasPassed(
        judged,
        at,
        ({ flags }, { after, kernelPasses }, i) =>
          flags.includes('R') &&
          kernelPasses &&
          !after.includes('closed') &&
          (after.includes('syn-received') ||
            judged[i].tcp?.liberal === true ||
            hasPassed(judged, i, (earlier) => earlier.flags.includes('F') || isSyn(earlier))),
      ),
  },
  {
    name: 'SYN over a half-closed connection',
    splitsStates: true,
    covers: (judged, at) =>
      judged.slice(0, at).some(({ sent, before }, i) => {
        const segment = segmentOf(sent);
        return (
          segment !== undefined &&
          isSyn(segment) &&
          before.includes('established') &&
          hasPassed(judged, i, (earlier) => earlier.flags.includes('F'))
        );
      }),
  },
  tcpRow(
    'connection opened anew over one still open',
    true,
    ({ ours, kernelPasses, view }, judged, at) =>
      ours === 'passed' &&
      !kernelPasses &&
      view.liberal &&
      judged
        .slice(0, at)
        .some(
          ({ before, after }) => before.includes('established') && after.includes('syn-received'),
        ),
  ),
  {
    name: 'first packet in mid-stream is no bare ACK',
    splitsStates: true,
    covers(judged, at, sequence) {
      const { sent, ours, kernelPasses, tcp } = judged[at];
      const segment = segmentOf(sent);
      return (
        sequence.midstream &&
        ours === 'passed' &&
        !kernelPasses &&
        tcp === undefined &&
        segment !== undefined &&
        (/[FR]/.test(segment.flags) || isSynAck(segment))
      );
    },
  },
  {
    name: 'ICMP error that quotes less than 8 bytes',
    splitsStates: false,
    covers(judged, at) {
      const { sent, ours, kernelPasses } = judged[at];
      const bytes = quotedBytes(sent);
      return /^(in|e)gress-rules$/.test(ours) && kernelPasses && bytes !== undefined && bytes < 8;
    },
  },
  {
    name: 'ICMP error about a segment that was not sent',
    splitsStates: false,
    covers(judged, at) {
      const { sent, ours, kernelPasses, tcp } = judged[at];
      const sequence = quotedSequence(sent);
      if (!/^(in|e)gress-rules$/.test(ours) || !kernelPasses) return false;
      if (sequence === undefined || tcp === undefined) return false;
      // An error goes to the sender of what it quotes.
      const isAboutOpener = sent.from !== tcp.openedFrom;
      const sender = isAboutOpener ? tcp.opener : tcp.other;
      const receiver = isAboutOpener ? tcp.other : tcp.opener;
      if (!tcp.replied) return sequence !== sender.end;
      return distance(sequence, sender.end) > 0 || distance(sequence, receiver.ack) < 0;
    },
  },
  {
    name: 'ICMP redirect',
    splitsStates: false,
    covers(judged, at) {
      const { sent, ours, kernelPasses } = judged[at];
      const { packet } = sent;
      const isRedirect = packet[0] >>> 4 === 4 && packet[9] === 1 && packet[20] === 5;
      return isRedirect && /^(in|e)gress-rules$/.test(ours) && kernelPasses;
    },
  },
  {
    name: 'ICMP error about a query with another code',
    splitsStates: false,
    covers(judged, at) {
      const { sent, ours, kernelPasses } = judged[at];
      const code = quotedIcmpCode(sent);
      return ours === 'passed' && !kernelPasses && code !== undefined && code !== 0;
    },
  },
  {
    name: 'SYN that the rules refuse ends what we remember',
    splitsStates: true,
    covers: (judged, at) =>
      judged
        .slice(0, at)
        .some(
          ({ ours, before, after }) =>
            /^(in|e)gress-rules$/.test(ours) && before.length > after.length,
        ),
  },
  {
    name: 'ICMP error about a connection that was refused',
    splitsStates: false,
    covers(judged, at) {
      const { sent, ours, kernelPasses, tcp } = judged[at];
      return (
        ours === 'passed' &&
        !kernelPasses &&
        quotedSequence(sent) !== undefined &&
        tcp?.state === 'closed' &&
        !tcp.replied
      );
    },
  },
];

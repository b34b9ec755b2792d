/**
 * Where we differ from nf_conntrack on purpose: the rows of the table in docs/conntrack.md, each as a predicate that
 * recognises nothing else.
 */
import type { Judged } from './compare.ts';
import {
  endsByAnswerToSyn,
  fitsRoomOfSyn,
  hasBeenIn,
  fellBehindExactly,
  hasPassed,
  hasRefusedAnswer,
  hasRefusedClosed,
  hasRefusedHandshake,
  isPlain,
  isSyn,
  isSynAck,
  protocolsOf,
  quotedBytes,
  quotedIcmpCode,
  quotedSequence,
  usesRoomOfSyn,
  wasReopened,
} from './history.ts';
import { FRAGMENT_DIFFERENCES } from './fragment-differences.ts';
import type { Sequence } from './steps.ts';
import { distance, segmentOf, type Segment } from './segment.ts';
import { brokenBounds, type Bound, type TcpView } from './tcp-view.ts';

const PROTO_TCP = 6;

export interface Difference {
  /** As the table in docs/conntrack.md calls it. */
  readonly name: string;
  /** Whether what the two know of the flow may differ from here on, so that later verdicts can't be compared. */
  readonly splitsStates: boolean;
  /** Looks at fragments; any other row takes a fragment for its datagram. */
  readonly ofFragments?: true;
  /** Whether packet `at`, on which the verdicts differ, is a case of this row. */
  readonly covers: (judged: readonly Judged[], at: number, sequence: Sequence) => boolean;
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

/** A row about an ICMP message of IPv4 that quotes a packet and is no error. */
function icmpRow(name: string, type: number): Difference {
  return {
    name,
    splitsStates: false,
    covers(judged, at) {
      const { sent, ours, kernelPasses } = judged[at];
      const { packet } = sent;
      const isSuch = packet[0] >>> 4 === 4 && packet[9] === 1 && packet[20] === type;
      return isSuch && /^(in|e)gress-rules$/.test(ours) && kernelPasses;
    },
  };
}

export const DIFFERENCES: readonly Difference[] = [
  tcpRow(
    'packet of a connection that was refused',
    true,
    ({ ours, view }) =>
      ours === 'tcp-closed' && view.state === 'closed' && view.hasEnded && !view.replied,
  ),
  tcpRow(
    'packet of a connection that was reset',
    false,
    ({ ours, kernelPasses, view, segment }, judged, at) =>
      view.state === 'closed' &&
      view.hasEnded &&
      view.replied &&
      (!segment.flags.includes('R')
        ? kernelPasses
          ? /^tcp-(closed|window)$/.test(ours)
          : hasRefusedClosed(judged, at)
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
  {
    name: 'what follows a SYN whose answer was not seen',
    splitsStates: true,
    covers: (judged, at) =>
      hasPassed(
        judged,
        at + 1,
        (segment, { before, after }) =>
          isPlain(segment) && before.includes('syn-sent') && !after.includes('syn-sent'),
      ),
  },
  {
    name: 'SYN or SYN-ACK from the wrong side of a connection picked up in mid-stream',
    splitsStates: true,
    covers: (judged, at) =>
      hasPassed(
        judged,
        at + 1,
        (segment, { sent, tcp, before }) =>
          before.includes('established') &&
          tcp?.liberal === true &&
          (isSyn(segment)
            ? sent.from !== tcp.openedFrom
            : isSynAck(segment) && sent.from === tcp.openedFrom),
      ),
  },
  tcpRow(
    'SYN-ACK of a connection that is closing',
    false,
    ({ ours, segment, view }) =>
      ours === 'tcp-state' && view.state === 'closing' && view.hasEnded && isSynAck(segment),
  ),
  tcpRow(
    'SYN over an ended connection',
    true,
    ({ ours, kernelPasses, segment, view }) =>
      ours === 'passed' &&
      !kernelPasses &&
      /^clos/.test(view.state) &&
      view.hasEnded &&
      isSyn(segment),
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
      hasRefusedAnswer(judged, at) ||
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
      !isSyn(segment) &&
      !/beyond/.test(outside.join()) &&
      (fromOpener
        ? judged.slice(0, at).some(({ sent, kernelPasses: passed }, i) => {
            const earlier = segmentOf(sent);
            // Each such segment sets how far the kernel takes data to have come, even back: a later SYN-ACK misfits then.
            return (
              passed &&
              earlier !== undefined &&
              sent.from !== view.openedFrom &&
              usesRoomOfSyn(earlier, judged, i) &&
              (!isSynAck(segment) || distance(segment.ack, earlier.end) > 0)
            );
          })
        : !isSynAck(segment) && fitsRoomOfSyn(segment, judged, at)),
  ),
  tcpRow('window in units of its scale', true, (_, judged, at) =>
    fellBehindExactly(judged, at + 1),
  ),
  tcpRow(
    'SYN sent again with another number',
    true,
    ({ ours, kernelPasses, segment, view, fromOpener }) =>
      view.state === 'syn-sent' &&
      (fromOpener
        ? ours === 'passed' && !kernelPasses && isSyn(segment) && segment.end !== view.opener.end
        : ours === 'tcp-window' &&
          kernelPasses &&
          isSynAck(segment) &&
          segment.ack !== view.opener.end),
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
      !outside.includes('beyond') &&
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
      judged.slice(0, at + 1).some(({ sent, before, tcp }) => {
        const segment = segmentOf(sent);
        return (
          segment !== undefined &&
          isSyn(segment) &&
          before.includes('established') &&
          tcp?.finished === 1
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
      if (!sequence.midstream || ours !== 'passed' || kernelPasses || segment === undefined)
        return false;
      // Of a connection of which one direction alone came by here, and that was reset: a SYN-ACK is of the next one.
      if (tcp !== undefined)
        return isSynAck(segment) && tcp.state === 'closed' && tcp.liberal && !tcp.replied;
      return /[FR]/.test(segment.flags) || isSynAck(segment);
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
  tcpRow(
    'length of a segment in fragments',
    true,
    ({ ours, kernelPasses, segment, outside }, judged, at) => {
      const isTooLong = ours === 'tcp-window' && kernelPasses && outside.includes('ack-beyond');
      if (!isTooLong && (ours !== 'passed' || kernelPasses)) return false;
      const here = judged[at].sent.from;
      // Named by an acknowledgment or an RST: what was not sent, but could have been; or was, beyond the room.
      return judged.slice(0, at).some(({ sent, ours: oursBefore, tcp }) => {
        const cut = sent.whole === undefined ? undefined : segmentOf(sent);
        if (cut === undefined || oursBefore !== 'passed' || tcp === undefined) return false;
        const { maxEnd } = sent.from === tcp.openedFrom ? tcp.opener : tcp.other;
        const named = sent.from === here ? segment.seq : (segment.ack + segment.sackAhead) | 0;
        const [least, most] = isTooLong ? [maxEnd, cut.end] : [cut.end, maxEnd];
        return distance(named, least) > 0 && distance(named, most) <= 0;
      });
    },
  ),
  icmpRow('ICMP redirect', 5),
  icmpRow('ICMP source quench', 4),
  ...FRAGMENT_DIFFERENCES,
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
    name: 'refused SYN over an ended connection',
    splitsStates: true,
    covers: (judged, at) =>
      protocolsOf(judged[at].sent).includes(PROTO_TCP) &&
      judged.slice(0, at).some(({ sent, ours, kernelPasses, tcp }) => {
        const segment = segmentOf(sent);
        return (
          tcp?.hasEnded === true &&
          segment !== undefined &&
          isSyn(segment) &&
          /^(in|e)gress-rules$/.test(ours) &&
          !kernelPasses
        );
      }),
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

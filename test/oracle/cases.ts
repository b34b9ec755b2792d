/** For each row of the table of differences, a sequence or more that show it and nothing else. */
import {
  HANDSHAKE,
  sequence,
  tcpStep,
  type EchoStep,
  type ErrorStep,
  type FragmentsStep,
  type Sequence,
  type UdpStep,
} from './steps.ts';

export interface Case {
  /** As in differences.ts and docs/conntrack.md. */
  readonly row: string;
  readonly sequence: Sequence;
  /** What we answer to the packet on which we differ; the kernel says the opposite. */
  readonly ours: string;
}

const [SYN, SYN_ACK, ACK] = HANDSHAKE;
const OTHER_SYN = tcpStep('server', 'S');
const SIMULTANEOUS = [
  SYN,
  OTHER_SYN,
  tcpStep('client', 'SA', { seqFrom: 'initial' }),
  tcpStep('server', 'SA', { seqFrom: 'initial' }),
];
const GOOD_END = [
  tcpStep('client', 'FA'),
  tcpStep('server', 'A'),
  tcpStep('server', 'FA'),
  tcpStep('client', 'A'),
];
const REFUSAL = tcpStep('server', 'RA', { seqFrom: 'zero' });
const SMALL = { initial: 1000, scale: undefined, window: 1 };
const PLAIN = { initial: 900_000, scale: undefined, window: 500 };

function errorStep(more: Partial<Omit<ErrorStep, 'kind'>> = {}): ErrorStep {
  return {
    kind: 'error',
    from: 'out',
    what: 'unreachable',
    back: 0,
    lie: 'none',
    shift: 0,
    quotedBytes: 8,
    byRouter: true,
    astray: false,
    ...more,
  };
}

const ECHO: EchoStep = { kind: 'echo', from: 'in', what: 'echo', id: 1, bytes: 28 };

const UDP: UdpStep = { kind: 'udp', from: 'in', ports: [40_000, 1053], bytes: 36 };

/** Fragments of one cut, of an echo in three unless `more` says otherwise. */
function fragmentsStep(
  order: readonly number[],
  more: Partial<Pick<FragmentsStep, 'of' | 'cuts'>> = {},
): FragmentsStep {
  return {
    kind: 'fragments',
    of: ECHO,
    cuts: [2, 2],
    order: order.map((number) => [0, number]),
    id: 0,
    ...more,
  };
}

export const CASES: readonly Case[] = [
  {
    row: 'packet of a connection that was refused',
    sequence: sequence([SYN, REFUSAL, tcpStep('server', 'A')], {
      midstream: true,
      openBothWays: true,
    }),
    ours: 'tcp-closed',
  },
  {
    row: 'packet of a connection that was reset',
    sequence: sequence([...HANDSHAKE, tcpStep('server', 'RA'), tcpStep('server', 'A')]),
    ours: 'tcp-closed',
  },
  {
    row: 'old duplicate',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'A', { seqFrom: 'oldest', seqOffset: -1 }),
    ]),
    ours: 'tcp-window',
  },
  {
    row: 'data beyond the window',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'PA', { seqFrom: 'edge', seqOffset: 11, bytes: 10 }),
    ]),
    ours: 'tcp-window',
  },
  {
    row: 'RST outside the window',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'FA'),
      tcpStep('server', 'RA', { seqOffset: -5 }),
    ]),
    ours: 'tcp-window',
  },
  {
    row: 'RST that answers no SYN',
    sequence: sequence([SYN, tcpStep('server', 'R')]),
    ours: 'tcp-window',
  },
  {
    row: 'SACK taken for an acknowledgment',
    sequence: sequence([...HANDSHAKE, tcpStep('client', 'A', { sackAhead: 1 })]),
    ours: 'passed',
  },
  {
    row: 'answer to a SYN that is no bare acknowledgment',
    sequence: sequence([SYN, tcpStep('server', 'PA', { bytes: 3 })]),
    ours: 'tcp-state',
  },
  {
    row: 'what follows a SYN whose answer was not seen',
    sequence: sequence([SYN, tcpStep('client', 'PA', { bytes: 3 })], { midstream: true }),
    ours: 'passed',
  },
  {
    row: 'SYN or SYN-ACK from the wrong side of a connection picked up in mid-stream',
    sequence: sequence([tcpStep('client', 'A'), tcpStep('server', 'A'), OTHER_SYN], {
      midstream: true,
      openBothWays: true,
    }),
    ours: 'passed',
  },
  {
    row: 'SYN-ACK of a connection that is closing',
    sequence: sequence([...HANDSHAKE, ...GOOD_END, tcpStep('server', 'SA')]),
    ours: 'tcp-state',
  },
  {
    row: 'SYN over an ended connection',
    sequence: sequence([...HANDSHAKE, tcpStep('client', 'RA'), tcpStep('server', 'S')], {
      openBothWays: true,
    }),
    ours: 'passed',
  },
  {
    row: 'handshake over an ended connection',
    sequence: sequence([...HANDSHAKE, tcpStep('server', 'RA'), tcpStep('client', 'S'), OTHER_SYN]),
    ours: 'passed',
  },
  {
    row: 'SYN-ACK that acknowledges less than the SYN',
    sequence: sequence([SYN, tcpStep('server', 'SA', { ackOffset: -1 }), OTHER_SYN]),
    ours: 'passed',
  },
  {
    row: 'handshake with other numbers',
    sequence: sequence([...SIMULTANEOUS, tcpStep('client', 'SA')]),
    ours: 'tcp-state',
  },
  {
    row: 'acknowledgment before the SYN-ACK of a simultaneous open',
    sequence: sequence([SYN, OTHER_SYN, tcpStep('server', 'A')]),
    ours: 'tcp-state',
  },
  {
    row: 'room that the SYN offered',
    sequence: sequence([...HANDSHAKE, tcpStep('server', 'PA', { seqOffset: 2, bytes: 500 })], {
      client: SMALL,
      server: PLAIN,
    }),
    ours: 'passed',
  },
  {
    // The bare acknowledgment lies behind the data, and the kernel takes the data to end there.
    row: 'room that the SYN offered',
    sequence: sequence([
      SYN,
      SYN_ACK,
      tcpStep('server', 'PA', { bytes: 500 }),
      tcpStep('server', 'A', { seqOffset: -1 }),
      ACK,
    ]),
    ours: 'passed',
  },
  {
    // The same, met by the opener's SYN-ACK of a simultaneous open.
    row: 'room that the SYN offered',
    sequence: sequence([
      SYN,
      SYN_ACK,
      tcpStep('server', 'PA', { bytes: 500 }),
      tcpStep('server', 'A', { seqOffset: -1 }),
      tcpStep('client', 'SA', { seqFrom: 'initial' }),
    ]),
    ours: 'passed',
  },
  {
    row: 'window in units of its scale',
    sequence: sequence(
      [
        SYN,
        SYN_ACK,
        tcpStep('server', 'A', { seqOffset: -300, window: 256 }),
        tcpStep('client', 'A', { seqOffset: 20_000 }),
      ],
      {
        client: { initial: 1000, scale: 14, window: 1 },
        server: { initial: 900_000, scale: 7, window: 1 },
      },
    ),
    ours: 'passed',
  },
  {
    row: 'SYN sent again with another number',
    sequence: sequence([
      SYN,
      tcpStep('client', 'S', { seqFrom: 'initial', seqOffset: -900 }),
      SYN_ACK,
    ]),
    ours: 'tcp-window',
  },
  {
    row: 'RST that answers a challenge',
    sequence: sequence([
      SYN,
      tcpStep('server', 'A', { ackOffset: 2 }),
      tcpStep('client', 'S', { seqFrom: 'initial' }),
      tcpStep('client', 'R', { seqOffset: 2 }),
    ]),
    ours: 'passed',
  },
  {
    row: 'window offered in a simultaneous open',
    sequence: sequence(
      [
        ...SIMULTANEOUS,
        tcpStep('client', 'PA', { bytes: 1 }),
        tcpStep('client', 'PA', { bytes: 500 }),
      ],
      { client: PLAIN, server: SMALL },
    ),
    ours: 'passed',
  },
  {
    row: 'inexact RST of a connection picked up in mid-stream',
    sequence: sequence(
      [
        tcpStep('client', 'PA', { bytes: 10 }),
        tcpStep('server', 'PA', { bytes: 10 }),
        tcpStep('client', 'R', { seqFrom: 'initial' }),
      ],
      { midstream: true },
    ),
    ours: 'passed',
  },
  {
    row: 'RST that answers a SYN over an open connection',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'S'),
      tcpStep('server', 'RA', { ackOffset: 1 }),
    ]),
    ours: 'passed',
  },
  {
    row: 'acknowledgment of what only the kernel took in',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('server', 'RA', { seqOffset: 1 }),
      tcpStep('client', 'A', { ackOffset: 1 }),
    ]),
    ours: 'tcp-window',
  },
  {
    row: 'inexact RST of a connection not fully open',
    sequence: sequence([ACK, tcpStep('client', 'R', { seqOffset: -1 }), tcpStep('server', 'A')], {
      midstream: true,
    }),
    ours: 'passed',
  },
  {
    row: 'SYN over a half-closed connection',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'FA'),
      { kind: 'replay', back: 0, mirrored: false },
      tcpStep('client', 'A'),
      tcpStep('client', 'S'),
      tcpStep('client', 'A'),
    ]),
    ours: 'passed',
  },
  {
    row: 'connection opened anew over one still open',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'S'),
      tcpStep('server', 'SA'),
      tcpStep('server', 'PA', { seqOffset: 1_000_000, bytes: 1 }),
    ]),
    ours: 'passed',
  },
  {
    row: 'first packet in mid-stream is no bare ACK',
    sequence: sequence([tcpStep('client', 'FA')], { midstream: true }),
    ours: 'passed',
  },
  {
    row: 'ICMP error that quotes less than 8 bytes',
    sequence: sequence([...HANDSHAKE, errorStep({ quotedBytes: 4 })]),
    ours: 'ingress-rules',
  },
  {
    row: 'ICMP error about a segment that was not sent',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'A', { seqOffset: 1_000_000 }),
      errorStep(),
    ]),
    ours: 'ingress-rules',
  },
  {
    row: 'ICMP redirect',
    sequence: sequence([...HANDSHAKE, errorStep({ what: 'redirect' })]),
    ours: 'ingress-rules',
  },
  {
    row: 'ICMP error about a query with another code',
    sequence: sequence([
      { kind: 'echo', from: 'in', what: 'echo', id: 1, bytes: 0 },
      errorStep({ lie: 'port' }),
    ]),
    ours: 'passed',
  },
  {
    row: 'refused SYN over an ended connection',
    sequence: sequence([
      ...HANDSHAKE,
      ...GOOD_END,
      tcpStep('server', 'S'),
      tcpStep('client', 'A', { seqOffset: -1, ackOffset: -1 }),
    ]),
    ours: 'passed',
  },
  {
    row: 'ICMP source quench',
    sequence: sequence([...HANDSHAKE, errorStep({ what: 'source-quench' })]),
    ours: 'ingress-rules',
  },
  {
    row: 'fragment before the first one',
    sequence: sequence([fragmentsStep([1, 0, 2])]),
    ours: 'passed',
  },
  {
    row: 'first fragment without the transport header',
    sequence: sequence([
      ...HANDSHAKE,
      fragmentsStep([0, 1, 2, 3], { of: tcpStep('client', 'PA', { bytes: 10 }), cuts: [1, 1] }),
    ]),
    ours: 'fragment-early',
  },
  {
    row: 'fragments that overlap',
    sequence: sequence([
      {
        ...fragmentsStep([]),
        cuts: [2, 3],
        order: [
          [0, 0],
          [1, 0],
          [0, 0],
          [0, 1],
          [0, 2],
        ],
      },
    ]),
    ours: 'fragment-refused',
  },
  {
    row: 'atomic fragment among others of its identification',
    sequence: sequence([
      fragmentsStep([0]),
      { ...fragmentsStep([0]), of: { ...ECHO, bytes: 0 }, cuts: [20, 20] },
    ]),
    ours: 'passed',
  },
  {
    row: 'two datagrams with one identification',
    sequence: sequence([
      fragmentsStep([0], { of: { ...UDP, ports: [40_000, 40_000] } }),
      fragmentsStep([0, 1, 2], { of: UDP }),
    ]),
    ours: 'passed',
  },
  {
    row: 'datagram that never comes whole',
    sequence: sequence([
      { ...fragmentsStep([0]) },
      { kind: 'echo', from: 'out', what: 'echo-reply', id: 1, bytes: 0 },
    ]),
    ours: 'passed',
  },
  {
    row: 'length of a segment in fragments',
    sequence: sequence([
      ...HANDSHAKE,
      fragmentsStep([0, 1, 2], { of: tcpStep('client', 'PA', { bytes: 100 }), cuts: [5, 5] }),
      tcpStep('server', 'A', { ackOffset: 1 }),
    ]),
    ours: 'passed',
  },
  {
    row: 'ICMP error about a connection that was refused',
    sequence: sequence([SYN, REFUSAL, errorStep({ back: 1 })]),
    ours: 'passed',
  },
];

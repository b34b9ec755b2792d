/** For each row of the table of differences, a sequence that shows it and nothing else. */
import { HANDSHAKE, sequence, tcpStep, type ErrorStep, type Sequence } from './steps.ts';

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
    quotedBytes: 8,
    byRouter: true,
    astray: false,
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
    sequence: sequence([...HANDSHAKE, tcpStep('server', 'RA'), tcpStep('client', 'A')]),
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
      { kind: 'echo', from: 'in', what: 'echo', id: 1 },
      errorStep({ lie: 'port' }),
    ]),
    ours: 'passed',
  },
  {
    row: 'SYN that the rules refuse ends what we remember',
    sequence: sequence([
      ...HANDSHAKE,
      tcpStep('client', 'RA'),
      tcpStep('server', 'S'),
      tcpStep('client', 'A', { ackOffset: -1 }),
    ]),
    ours: 'tcp-midstream',
  },
  {
    row: 'ICMP error about a connection that was refused',
    sequence: sequence([SYN, REFUSAL, errorStep({ back: 1 })]),
    ours: 'passed',
  },
];

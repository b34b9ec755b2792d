/**
 * Sequences of packets as short descriptions: "the client acknowledges a byte too much". A description says how
 * a packet differs from what its conversation calls for, so that a sequence still makes sense when shrinking takes
 * steps out of it.
 */

/** `in`: the instance, behind the firewall. `out`: the world. */
export type Place = 'in' | 'out';

/** From where a sequence number is counted. */
export type SequenceAnchor =
  /** What the sender would send next. */
  | 'next'
  /** Its initial sequence number. */
  | 'initial'
  /** What the other side has acknowledged. */
  | 'acked'
  /** The end of the room that the other side has offered. */
  | 'edge'
  /** The other side's largest window behind what the sender sent last. */
  | 'oldest'
  | 'zero';

/** From where an acknowledgment is counted. */
export type AckAnchor =
  /** All that the other side has sent. */
  | 'next'
  | 'initial'
  /** The lowest that van Rooij's fourth bound allows. */
  | 'oldest'
  | 'zero';

export interface TcpStep {
  readonly kind: 'tcp';
  readonly side: 'client' | 'server';
  /** Letters of FSRPAUEC. */
  readonly flags: string;
  readonly bytes: number;
  readonly seqFrom: SequenceAnchor;
  readonly seqOffset: number;
  readonly ackFrom: AckAnchor;
  readonly ackOffset: number;
  /** As it stands in the header; undefined: the side's usual one. */
  readonly window: number | undefined;
  /** A SACK block that ends this far ahead of the acknowledgment; 0: none. */
  readonly sackAhead: number;
  /** Sent, but lost before the firewall. */
  readonly lost: boolean;
  /** Overtaken by this many packets. */
  readonly delay: number;
}

export interface UdpStep {
  readonly kind: 'udp';
  readonly from: Place;
  /** Local port, remote port. */
  readonly ports: readonly [local: number, remote: number];
  readonly bytes: number;
}

export interface EchoStep {
  readonly kind: 'echo';
  readonly from: Place;
  /** A query (echo, timestamp) or its reply. */
  readonly what: 'echo' | 'echo-reply' | 'timestamp' | 'timestamp-reply';
  readonly id: number;
  readonly bytes: number;
}

/** An ICMP error about a packet that was sent before. */
export interface ErrorStep {
  readonly kind: 'error';
  readonly from: Place;
  readonly what:
    'unreachable' | 'too-big' | 'time-exceeded' | 'parameter' | 'redirect' | 'source-quench';
  /** Which packet it quotes, counted back from the last one. */
  readonly back: number;
  /** What is wrong with the quotation. */
  readonly lie: 'none' | 'source' | 'destination' | 'port' | 'protocol' | 'turned' | 'sequence';
  /** Added to the quoted sequence number by the lie of that name. */
  readonly shift: number;
  /** Transport bytes quoted. */
  readonly quotedBytes: number;
  /** Sent by the other end of the flow, or by a router on the way. */
  readonly byRouter: boolean;
  /** To the sender of the quoted packet, or to somebody else. */
  readonly astray: boolean;
}

export interface OtherStep {
  readonly kind: 'other';
  readonly from: Place;
  readonly protocol: number;
  readonly bytes: number;
}

/** A datagram in fragments. */
export interface FragmentsStep {
  readonly kind: 'fragments';
  readonly of: TcpStep | UdpStep | EchoStep | OtherStep;
  /** The datagram is cut twice, into fragments of so many bytes (in 8-byte units). */
  readonly cuts: readonly [usual: number, other: number];
  /** What is sent: numbers of fragments of either cut. Those that are not there are left out. */
  readonly order: readonly (readonly [cut: 0 | 1, fragment: number])[];
  /** Datagrams with the same one have the same identification. */
  readonly id: number;
}

/** A packet that was sent before, once more. */
export interface ReplayStep {
  readonly kind: 'replay';
  readonly back: number;
  /** By the other end: source and destination change places. */
  readonly mirrored: boolean;
}

export type Step =
  TcpStep | UdpStep | EchoStep | ErrorStep | OtherStep | FragmentsStep | ReplayStep;

export interface Side {
  readonly initial: number;
  /** Window scale it offers; undefined: none. */
  readonly scale: number | undefined;
  readonly window: number;
}

export interface Sequence {
  readonly family: 4 | 6;
  /** TCP packets of no known connection open one (kernel: tcp_loose). */
  readonly midstream: boolean;
  /** Who opens the TCP connection. */
  readonly opener: Place;
  /** No rule admits the TCP connection. */
  readonly forbidden: boolean;
  /** The rules of the other direction admit the server's packets as well, so that only tracking can refuse them. */
  readonly openBothWays: boolean;
  readonly client: Side;
  readonly server: Side;
  readonly steps: readonly Step[];
}

/** A packet on its way into the firewall. */
export interface Sent {
  readonly from: Place;
  readonly packet: Uint8Array;
  /** For people. */
  readonly text: string;
  readonly step: Step;
  /** The datagram, if the packet is a fragment of it. */
  readonly whole?: Uint8Array;
}

/** Numbers from here on (IPv4 identification, IPv6 flow label) are datagrams in fragments, below it packets. */
export const FRAGMENTED = 0xc000;

const RIGHT_TCP = {
  kind: 'tcp',
  bytes: 0,
  seqFrom: 'next',
  seqOffset: 0,
  ackFrom: 'next',
  ackOffset: 0,
  window: undefined,
  sackAhead: 0,
  lost: false,
  delay: 0,
} as const;

/** A TCP packet that its conversation calls for, but for what `more` says. */
export function tcpStep(
  side: TcpStep['side'],
  flags: string,
  more: Partial<Omit<TcpStep, 'kind' | 'side' | 'flags'>> = {},
): TcpStep {
  return { ...RIGHT_TCP, side, flags, ...more };
}

/** SYN, SYN-ACK, ACK. */
export const HANDSHAKE: readonly TcpStep[] = [
  tcpStep('client', 'S'),
  tcpStep('server', 'SA'),
  tcpStep('client', 'A'),
];

/** A connection the instance opens, IPv4, scaling, strict about midstream; `more` says what is different. */
export function sequence(
  steps: readonly Step[],
  more: Partial<Omit<Sequence, 'steps'>> = {},
): Sequence {
  return {
    family: 4,
    midstream: false,
    opener: 'in',
    forbidden: false,
    openBothWays: false,
    client: { initial: 1000, scale: 7, window: 500 },
    server: { initial: 900_000, scale: 7, window: 500 },
    steps,
    ...more,
  };
}

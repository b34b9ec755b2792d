/**
 * From descriptions (steps.ts) to packets: keeps both ends of the conversation and counts their sequence numbers.
 *
 * What the firewall makes of the packets has no influence: a sequence is the same whoever judges it.
 */
import * as build from '../packets/build.ts';
import type {
  EchoStep,
  ErrorStep,
  FragmentsStep,
  OtherStep,
  Place,
  ReplayStep,
  Sent,
  Sequence,
  Step,
  TcpStep,
  UdpStep,
} from './steps.ts';
import { FRAGMENTED } from './steps.ts';
import { fragmentsOf, labelled, withHeaderChecksum } from './datagrams.ts';

/** Least distance an acknowledgment may lie behind; both trackers have it from van Rooij. */
const ACK_WINDOW_MIN = 66_000;
const SCALE_MAX = 14;
const FRAGMENTS_MAX = 6;

/** Addresses by place: each sequence has a peer of its own, so that no sequence finds what an earlier one left. */
export const INSTANCE_4 = '10.0.0.5';
export const INSTANCE_6 = 'fd00:5::5';
/** On the way to the peer; not an end of any flow. */
const ROUTER_4 = '198.19.255.1';
const ROUTER_6 = '2001:db8:ffff::1';
export const PEER_COUNT = 1 << 16;

export const PORT_OUT = 1443;
export const PORT_IN = 443;
const PORT_FORBIDDEN = 7777;
const PORT_CLIENT = 40_000;

export function peerAddress(family: 4 | 6, peer: number): string {
  return family === 4
    ? `198.18.${(peer >>> 8) & 0xff}.${peer & 0xff}`
    : `2001:db8::${peer.toString(16)}`;
}

interface TcpEnd {
  next: number;
  /** Highest acknowledgment it sent, and the end of the room it offered. */
  acked: number;
  edge: number;
  /** Largest window offered, in bytes. */
  widest: number;
}

/** All packets of a sequence, in the order in which they meet the firewall. */
export function play(sequence: Sequence, peer: number): Sent[] {
  return new Player(sequence, peer).play();
}

class Player {
  private readonly sequence: Sequence;
  private readonly addresses: Readonly<Record<Place, string>>;
  private readonly router: string;
  private readonly ends: Readonly<Record<'client' | 'server', TcpEnd>>;
  private readonly ports: Readonly<Record<'client' | 'server', number>>;
  private readonly scaled: boolean;
  private readonly sent: { readonly sent: Sent; readonly order: number }[] = [];

  constructor(sequence: Sequence, peer: number) {
    const { family, client, server, opener } = sequence;
    this.sequence = sequence;
    this.addresses = {
      in: family === 4 ? INSTANCE_4 : INSTANCE_6,
      out: peerAddress(family, peer),
    };
    this.router = family === 4 ? ROUTER_4 : ROUTER_6;
    this.scaled = client.scale !== undefined && server.scale !== undefined;
    const end = (initial: number): TcpEnd => ({
      next: initial,
      acked: initial,
      edge: initial,
      widest: 1,
    });
    this.ends = { client: end(client.initial), server: end(server.initial) };
    const right = opener === 'in' ? PORT_OUT : PORT_IN;
    const openClient = opener === 'in' ? PORT_IN : PORT_OUT;
    this.ports = {
      client: sequence.openBothWays ? openClient : PORT_CLIENT,
      server: sequence.forbidden ? PORT_FORBIDDEN : right,
    };
  }

  play(): Sent[] {
    this.sequence.steps.forEach((step, i) => {
      const delay = step.kind === 'tcp' ? step.delay + (step.delay > 0 ? 0.5 : 0) : 0;
      const made = step.kind === 'fragments' ? this.fragments(step) : [this.make(step)];
      for (const one of made) {
        if (one !== undefined) this.sent.push({ sent: { ...one, step }, order: i + delay });
      }
    });
    return this.sent
      .toSorted((a, b) => a.order - b.order)
      .map(({ sent }, i) =>
        sent.whole === undefined ? { ...sent, packet: labelled(sent.packet, i) } : sent,
      );
  }

  private make(step: Exclude<Step, FragmentsStep>): Omit<Sent, 'step'> | undefined {
    switch (step.kind) {
      case 'tcp':
        return this.tcp(step);
      case 'udp':
        return this.udp(step);
      case 'echo':
        return this.echo(step);
      case 'error':
        return this.error(step);
      case 'other':
        return this.other(step);
      case 'replay':
        return this.replay(step);
    }
  }

  private tcp(step: TcpStep): Omit<Sent, 'step'> | undefined {
    const { sequence, ends, ports, addresses } = this;
    const otherSide = step.side === 'client' ? 'server' : 'client';
    const [sender, receiver] = [ends[step.side], ends[otherSide]];
    const own = sequence[step.side];
    const isSyn = step.flags.includes('S');
    const hasAck = step.flags.includes('A');
    const shift = !isSyn && this.scaled ? Math.min(own.scale ?? 0, SCALE_MAX) : 0;
    const window = step.window ?? (isSyn ? Math.min(65535, own.window << 7) : own.window);
    const offered = window << shift;

    const seqBase = {
      next: sender.next,
      initial: own.initial,
      acked: receiver.acked,
      edge: receiver.edge - step.bytes,
      oldest: sender.next - receiver.widest,
      zero: 0,
    }[step.seqFrom];
    const ackBase = {
      next: receiver.next,
      initial: sequence[otherSide].initial,
      oldest: receiver.next - Math.max(ACK_WINDOW_MIN, sender.widest),
      zero: 0,
    }[step.ackFrom];
    const seq = (seqBase + step.seqOffset) >>> 0;
    const ack = hasAck ? (ackBase + step.ackOffset) >>> 0 : 0;

    if (step.seqFrom === 'next' && step.seqOffset === 0 && !step.flags.includes('R'))
      sender.next = (seq + step.bytes + (isSyn ? 1 : 0) + (step.flags.includes('F') ? 1 : 0)) >>> 0;
    if (hasAck && step.ackFrom === 'next' && step.ackOffset === 0) {
      sender.acked = ack;
      sender.edge = (ack + offered) >>> 0;
    }
    sender.widest = Math.max(sender.widest, offered);
    if (step.lost) return undefined;

    const from: Place = step.side === 'client' ? sequence.opener : opposite(sequence.opener);
    const make = sequence.family === 4 ? build.tcp4 : build.tcp6;
    const packet = make(addresses[from], addresses[opposite(from)], {
      srcPort: ports[step.side],
      dstPort: ports[otherSide],
      seq,
      ack,
      flags: step.flags,
      window,
      ...(isSyn ? { mss: 1460, sackPermitted: true } : {}),
      ...(isSyn && own.scale !== undefined ? { windowScale: own.scale } : {}),
      ...(step.sackAhead > 0 && !isSyn
        ? { rawOptions: sackBlock((ack + step.sackAhead) >>> 0) }
        : {}),
      payload: build.counting(step.bytes),
    });
    const numbers = `seq ${this.relative(step.side, seq)}, ack ${hasAck ? this.relative(otherSide, ack) : '-'}`;
    const sack = step.sackAhead > 0 && !isSyn ? `, sack +${step.sackAhead}` : '';
    const text = `tcp ${ports[step.side]} > ${ports[otherSide]} ${step.flags || 'none'} ${numbers}, ${step.bytes} bytes, window ${window}${sack}`;
    return { from, packet, text };
  }

  /** Sequence numbers as people read them: from the side's initial one, unless it is far away. */
  private relative(side: 'client' | 'server', number: number): string {
    const distance = (number - this.sequence[side].initial) | 0;
    return Math.abs(distance) < 100_000_000 ? String(distance) : `${number} (absolute)`;
  }

  private udp({ from, ports: [local, remote], bytes }: UdpStep): Omit<Sent, 'step'> {
    const make = this.sequence.family === 4 ? build.udp4 : build.udp6;
    const [srcPort, dstPort] = from === 'in' ? [local, remote] : [remote, local];
    const packet = make(this.addresses[from], this.addresses[opposite(from)], {
      srcPort,
      dstPort,
      payload: build.counting(bytes),
    });
    return { from, packet, text: `udp ${srcPort} > ${dstPort}, ${bytes} bytes` };
  }

  private echo({ from, what, id, bytes }: EchoStep): Omit<Sent, 'step'> {
    const { family, addresses } = this;
    const types =
      family === 4
        ? { echo: 8, 'echo-reply': 0, timestamp: 13, 'timestamp-reply': 14 }
        : { echo: 128, 'echo-reply': 129, timestamp: 128, 'timestamp-reply': 129 };
    const make = family === 4 ? build.icmp4 : build.icmp6;
    // A timestamp message has three time stamps behind it.
    const packet = make(addresses[from], addresses[opposite(from)], {
      type: types[what],
      id,
      payload: build.counting(12 + bytes),
    });
    return { from, packet, text: `icmp ${what} ${id}` };
  }

  private get family(): 4 | 6 {
    return this.sequence.family;
  }

  private error(step: ErrorStep): Omit<Sent, 'step'> | undefined {
    const quoted = this.sentBack(step.back);
    if (quoted === undefined) return undefined;
    const { family, addresses, router } = this;
    // Redirects of IPv6 are neighbour discovery, which is not forwarded at all, and it has no source quench.
    if (family === 6 && /redirect|source-quench/.test(step.what)) return undefined;
    const [type, code] = (family === 4 ? ERRORS_4 : ERRORS_6)[step.what];
    const make = family === 4 ? build.icmpError4 : build.icmpError6;
    const source = step.byRouter && step.from === 'out' ? router : addresses[step.from];
    const right = step.from === 'out' ? addresses.in : addresses.out;
    const packet = make(source, step.astray ? astrayFrom(step.from, family) : right, {
      type,
      code,
      quoted: bend(quoted.packet, step.lie, step.shift),
      quotedBytes: (family === 4 ? 20 : 40) + step.quotedBytes,
    });
    const other = step.lie === 'sequence' ? `sequence (${step.shift})` : step.lie;
    const lie = step.lie === 'none' ? '' : `, quotation with another ${other}`;
    const astray = step.astray ? ', to somebody else' : '';
    const by = step.byRouter ? ' by a router' : '';
    return {
      from: step.from,
      packet,
      text: `icmp ${step.what}${by} about [${quoted.text}]${lie}, ${step.quotedBytes} bytes${astray}`,
    };
  }

  private other({ from, protocol, bytes }: OtherStep): Omit<Sent, 'step'> {
    const { family, addresses } = this;
    const [src, dst] = [addresses[from], addresses[opposite(from)]];
    const payload = build.counting(16 + bytes);
    const packet =
      family === 4
        ? build.ipv4({ src, dst, protocol, payload })
        : build.ipv6({ src, dst, nextHeader: protocol, payload });
    return { from, packet, text: `protocol ${protocol}` };
  }

  private fragments({ of, cuts, order, id }: FragmentsStep): Omit<Sent, 'step'>[] {
    const made = this.make({ ...of, ...(of.kind === 'tcp' ? { delay: 0 } : {}) });
    if (made === undefined) return [];
    const { from, packet, text } = made;
    const whole = labelled(packet, FRAGMENTED + id);
    const leastBytes = 8 * Math.ceil(whole.length / 8 / FRAGMENTS_MAX);
    const cut = cuts.map((units) =>
      fragmentsOf(whole, Math.max(8 * units, leastBytes), FRAGMENTED + id),
    );
    return order.flatMap(([which, number]) => {
      const fragment = cut[which].at(number);
      if (fragment === undefined) return [];
      const size = `${fragment.start}-${fragment.end}${fragment.more ? '' : ' (last)'}`;
      return [
        { from, packet: fragment.packet, text: `fragment ${id}: ${size} of [${text}]`, whole },
      ];
    });
  }

  private replay(step: ReplayStep): Omit<Sent, 'step'> | undefined {
    const before = this.sentBack(step.back);
    if (before === undefined) return undefined;
    if (!step.mirrored) return { ...before, text: `again: ${before.text}` };
    // A later fragment has no ports to turn round, and what it carries must stay as it is.
    if (before.whole !== undefined) return undefined;
    return {
      from: opposite(before.from),
      packet: bend(before.packet, 'turned'),
      text: `mirrored: ${before.text}`,
    };
  }

  private sentBack(back: number): Sent | undefined {
    return this.sent.at(-1 - back)?.sent;
  }
}

const ERRORS_4: Readonly<Record<ErrorStep['what'], readonly [type: number, code: number]>> = {
  unreachable: [3, 3],
  'too-big': [3, 4],
  'time-exceeded': [11, 0],
  parameter: [12, 0],
  redirect: [5, 1],
  'source-quench': [4, 0],
};

const ERRORS_6: Readonly<Record<string, readonly [type: number, code: number]>> = {
  unreachable: [1, 4],
  'too-big': [2, 0],
  'time-exceeded': [3, 0],
  parameter: [4, 0],
};

function opposite(place: Place): Place {
  return place === 'in' ? 'out' : 'in';
}

/** Nobody's, but on the same side of the firewall as the right one. */
function astrayFrom(from: Place, family: 4 | 6): string {
  if (from === 'in') return family === 4 ? '198.19.0.99' : '2001:db8::99:99';
  return family === 4 ? '10.0.0.5' : 'fd00:5::5';
}

function sackBlock(end: number): Uint8Array {
  return build.concat(build.bytes(1, 1, 5, 10), build.uint((end - 1) >>> 0, 4), build.uint(end, 4));
}

/** The packet with one thing of it changed, into what no other sequence has; its transport checksum may be wrong then, but for `turned`. */
function bend(packet: Uint8Array, lie: ErrorStep['lie'], shift = 0): Uint8Array {
  const copy = Uint8Array.from(packet);
  const is4 = copy[0] >>> 4 === 4;
  const [source, bytes] = is4 ? [12, 4] : [8, 16];
  const destination = source + bytes;
  const transport = is4 ? 20 : 40;
  // The last fragment of a datagram may be too short to lie about.
  if (copy.length < transport + 8) return copy;
  switch (lie) {
    case 'none':
      return copy;
    case 'source':
      copy[source + 1] ^= 1;
      break;
    case 'destination':
      copy[destination + 1] ^= 1;
      break;
    case 'port':
      copy[transport + 1] ^= 0x55;
      break;
    case 'protocol':
      copy[is4 ? 9 : 6] = copy[is4 ? 9 : 6] === 17 ? 6 : 17;
      break;
    case 'sequence': {
      if (copy[is4 ? 9 : 6] !== 6) break;
      const view = new DataView(copy.buffer);
      view.setInt32(transport + 4, view.getInt32(transport + 4) + shift);
      break;
    }
    case 'turned':
      // Sums of the same words: every checksum stays right.
      copy.copyWithin(source, destination, destination + bytes);
      copy.set(packet.subarray(source, source + bytes), destination);
      if ([6, 17].includes(copy[is4 ? 9 : 6])) {
        copy.set(packet.subarray(transport + 2, transport + 4), transport);
        copy.set(packet.subarray(transport, transport + 2), transport + 2);
      }
      break;
  }
  return is4 ? withHeaderChecksum(copy) : copy;
}

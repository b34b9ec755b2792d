/**
 * Conversations that go on: connections between two interfaces that open, carry data both ways in plain packets, and
 * end. Most traffic is that, and little of what chance makes of the corpus.
 *
 * Each side's numbers are those of a sender who got everything, whatever became of its packets. Some packets come
 * again, are at the edge of the window or beyond it. What rules admit depends on the world; some of each is admitted in
 * each.
 */
import { tcp4, tcp6, udp4, udp6, type TcpOptions } from '../packets/build.ts';
import { APP, APP6, DB, DB6, WEB, WEB6 } from './policies.ts';
import type { Random } from './random.ts';

const CONVERSATIONS = 5;
const PLAIN_MAX = 120;
const PAYLOAD_MAX = 400;
const WINDOW = 8192;
const [WEB_PORT, APP_PORT, DB_PORT] = [1, 2, 3] as const;

type Port = typeof WEB_PORT | typeof APP_PORT | typeof DB_PORT;

const ADDRESSES: Readonly<Record<Port, readonly [ipv4: string, ipv6: string]>> = {
  [WEB_PORT]: [WEB, WEB6],
  [APP_PORT]: [APP, APP6],
  [DB_PORT]: [DB, DB6],
};

/** Who asks whom. */
const SERVICES: readonly (readonly [
  from: Port,
  to: Port,
  protocol: 'tcp' | 'udp',
  port: number,
])[] = [
  [WEB_PORT, APP_PORT, 'tcp', 8080],
  [APP_PORT, WEB_PORT, 'tcp', 80],
  [WEB_PORT, DB_PORT, 'tcp', 5432],
  [APP_PORT, DB_PORT, 'tcp', 5432],
  [APP_PORT, WEB_PORT, 'udp', 7000],
  [WEB_PORT, DB_PORT, 'udp', 7000],
  [APP_PORT, DB_PORT, 'udp', 5353],
];

interface Side {
  readonly port: Port;
  readonly number: number;
  readonly scale: number;
  /** The sequence number of its next byte, and how many bytes its last segment had. */
  next: number;
  lastBytes: number;
}

interface Conversation {
  readonly isIpv6: boolean;
  readonly protocol: 'tcp' | 'udp';
  readonly sides: readonly [client: Side, server: Side];
  /** Packets so far, and after how many it ends. */
  sent: number;
  readonly lasts: number;
}

export interface Said {
  readonly port: Port;
  readonly bytes: Uint8Array;
}

export class Chatter {
  private readonly random: Random;
  private readonly conversations: Conversation[];

  constructor(random: Random) {
    this.random = random;
    this.conversations = Array.from({ length: CONVERSATIONS }, () => this.begin());
  }

  /** The next packet of some conversation. */
  next(): Said {
    const { random } = this;
    const at = random.below(CONVERSATIONS);
    const one = this.conversations[at];
    const turn = this.turnOf(one);
    const sender = turn ?? random.below(2);
    const said = one.protocol === 'tcp' ? this.sayTcp(one, sender) : this.sayUdp(one, sender);
    one.sent++;
    if (one.sent >= one.lasts) this.conversations[at] = this.begin();
    return said;
  }

  private begin(): Conversation {
    const { random } = this;
    const [from, to, protocol, service] = SERVICES[random.below(SERVICES.length)];
    const side = (port: Port, number: number): Side => ({
      ...{ port, number },
      ...{ scale: random.below(4), next: random.next() >>> 0, lastBytes: 0 },
    });
    return {
      isIpv6: random.oneIn(2),
      protocol,
      sides: [side(from, 1024 + random.below(60_000)), side(to, service)],
      sent: 0,
      lasts: 4 + random.below(PLAIN_MAX),
    };
  }

  /** Whose packet is next, where that is fixed: client and server open by turns. */
  private turnOf({ sent }: Conversation): 0 | 1 | undefined {
    return sent < 3 ? ((sent % 2) as 0 | 1) : undefined;
  }

  private sayUdp({ isIpv6, sides }: Conversation, sender: number): Said {
    const [from, to] = [sides[sender], sides[1 - sender]];
    const options = {
      ...{ srcPort: from.number, dstPort: to.number },
      payload: new Uint8Array(this.random.below(PAYLOAD_MAX)),
    };
    const [source, target] = [addressOf(from, isIpv6), addressOf(to, isIpv6)];
    const bytes = isIpv6 ? udp6(source, target, options) : udp4(source, target, options);
    return { port: from.port, bytes };
  }

  private sayTcp(conversation: Conversation, sender: number): Said {
    const { isIpv6, sides, sent, lasts } = conversation;
    const [from, to] = [sides[sender], sides[1 - sender]];
    const options = {
      ...{ srcPort: from.number, dstPort: to.number, window: WINDOW },
      ...this.segment(from, to, sent, sent === lasts - 1),
    };
    const [source, target] = [addressOf(from, isIpv6), addressOf(to, isIpv6)];
    const bytes = isIpv6 ? tcp6(source, target, options) : tcp4(source, target, options);
    return { port: from.port, bytes };
  }

  private segment(
    from: Side,
    to: Side,
    sent: number,
    isLast: boolean,
  ): Omit<TcpOptions, 'srcPort' | 'dstPort'> {
    const { random } = this;
    if (sent < 2) {
      const seq = from.next;
      from.next = (seq + 1) >>> 0;
      return { seq, ack: to.next, flags: sent === 0 ? 'S' : 'SA', windowScale: from.scale };
    }
    const plain = { seq: from.next, ack: to.next };
    if (isLast) return { ...plain, flags: random.oneIn(4) ? 'RA' : 'FA' };
    const roll = random.below(32);
    if (sent === 2 || roll < 8) return plain;
    if (roll < 10) return { ...plain, seq: (from.next - from.lastBytes) >>> 0 };
    if (roll === 10) return { ...plain, seq: (from.next - 1) >>> 0 };
    if (roll === 11) {
      const edge = WINDOW * 2 ** to.scale + random.below(5) - 2;
      return { ...plain, seq: (from.next + (random.oneIn(2) ? edge : -edge)) >>> 0 };
    }
    if (roll === 12) return { ...plain, ack: (to.next + random.below(5) - 2) >>> 0 };
    if (roll === 13) return { ...plain, window: random.below(WINDOW) };
    const payload = new Uint8Array(1 + random.below(PAYLOAD_MAX));
    from.lastBytes = payload.length;
    from.next = (from.next + payload.length) >>> 0;
    return { ...plain, payload, flags: random.oneIn(2) ? 'PA' : 'A' };
  }
}

function addressOf({ port }: Side, isIpv6: boolean): string {
  return ADDRESSES[port][isIpv6 ? 1 : 0];
}

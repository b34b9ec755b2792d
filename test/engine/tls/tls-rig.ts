/** A rig whose agent may reach two names by TLS, and connections of the agent that tests drive segment by segment. */
import { tcp4, tcp6 } from '../../packets/build.ts';
import { a, aaaa, dnsAnswer, dnsQuestion, TYPE_AAAA } from '../../packets/dns.ts';
import { udp4 } from '../../packets/build.ts';
import { clientHello, records } from '../../packets/tls.ts';
import type { ModelText } from '../../support/policy.ts';
import { Rig, type RigOptions } from '../rig.ts';

export const AGENT = '10.0.0.11';
export const AGENT6 = 'fd00:10::11';
export const RESOLVER = '198.51.100.53';
export const API = '203.0.113.10';
export const API6 = '2001:db8:a::10';
export const NAME = 'api.example.com';

export const TEXT: ModelText = {
  groups: {
    agent: {
      egress: [
        `udp 53 to ${RESOLVER}/32`,
        `tcp 443 to dns:${NAME} by TLS`,
        'tcp 443 to dns:*.example.org by TLS',
      ],
    },
  },
  interfaces: { agent: { addresses: [AGENT, AGENT6], groups: ['agent'] } },
};

/** The rig, which has learnt the addresses of these names. */
export function makeRig(
  options: RigOptions = {},
  names: readonly string[] = [NAME],
  text: ModelText = TEXT,
): Rig {
  const rig = new Rig(text, options);
  names.forEach((name, i) => learn(rig, name, i));
  return rig;
}

export function learn(rig: Rig, name: string, id = 0, address = API, atMs = 0): void {
  const ports = { srcPort: 40_000, dstPort: 53 };
  const back = { srcPort: 53, dstPort: 40_000 };
  for (const isIpv6 of [false, true]) {
    const more = { name, id: 2 * id + (isIpv6 ? 1 : 0), ...(isIpv6 ? { type: TYPE_AAAA } : {}) };
    const question = dnsQuestion(name, more.type, more.id);
    rig.send('agent', udp4(AGENT, RESOLVER, { ...ports, payload: question }), atMs);
    const record = isIpv6 ? aaaa([0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10]) : a(address);
    const answer = dnsAnswer({ ...more, records: [record] });
    rig.send('uplink', udp4(RESOLVER, AGENT, { ...back, payload: answer }), atMs);
  }
}

export interface SegmentOptions {
  readonly flags?: string;
  readonly atMs?: number;
}

/** The sequence number of the client's SYN, and of the server's. Both wrap. */
const CLIENT = 0xffffff00;
const SERVER = 0xfffffffe;

/** A connection of the agent to the server. */
export class Connection {
  readonly rig: Rig;
  private readonly srcPort: number;
  private readonly server: string;
  private readonly isIpv6: boolean;

  constructor(rig: Rig, srcPort = 50_000, server = API) {
    this.rig = rig;
    this.srcPort = srcPort;
    this.server = server;
    this.isIpv6 = server.includes(':');
  }

  /** @returns what became of the SYN, the SYN-ACK and the ACK */
  open(atMs = 0): readonly string[] {
    return [this.syn(undefined, atMs), this.synAck(atMs), this.send(0, '', { atMs })];
  }

  syn(payload?: Uint8Array, atMs = 0): string {
    return this.fromClient({ flags: 'S', seq: CLIENT, ...(payload === undefined ? {} : { payload }) }, atMs); // prettier-ignore
  }

  synAck(atMs = 0): string {
    return this.fromServer({ flags: 'SA', seq: SERVER, ack: wrap(CLIENT + 1) }, atMs);
  }

  /** Data of the client. @param offset in its stream */
  send(
    offset: number,
    data: Uint8Array | string,
    { flags = 'A', atMs = 0 }: SegmentOptions = {},
  ): string {
    const payload = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    const seq = wrap(CLIENT + 1 + offset);
    return this.fromClient({ flags, seq, ack: wrap(SERVER + 1), payload }, atMs);
  }

  /** The server's packet that acknowledges so many bytes of the client. */
  answer(bytes: number, data = '', { flags = 'A', atMs = 0 }: SegmentOptions = {}): string {
    const payload = Buffer.from(data, 'latin1');
    const ack = wrap(CLIENT + 1 + bytes);
    return this.fromServer({ flags, seq: wrap(SERVER + 1), ack, payload }, atMs);
  }

  private fromClient(
    o: Omit<Parameters<typeof tcp4>[2], 'srcPort' | 'dstPort'>,
    atMs: number,
  ): string {
    const ports = { srcPort: this.srcPort, dstPort: 443, ...o };
    return this.rig.send('agent', this.isIpv6 ? tcp6(AGENT6, this.server, ports) : tcp4(AGENT, this.server, ports), atMs); // prettier-ignore
  }

  private fromServer(
    o: Omit<Parameters<typeof tcp4>[2], 'srcPort' | 'dstPort'>,
    atMs: number,
  ): string {
    const ports = { srcPort: 443, dstPort: this.srcPort, ...o };
    return this.rig.send('uplink', this.isIpv6 ? tcp6(this.server, AGENT6, ports) : tcp4(this.server, AGENT, ports), atMs); // prettier-ignore
  }
}

function wrap(sequence: number): number {
  return sequence % 2 ** 32;
}

/** The first bytes of a connection that says this name. */
export function hello(name = NAME, ...cuts: readonly number[]): Uint8Array {
  return records(clientHello({ name }), ...cuts);
}

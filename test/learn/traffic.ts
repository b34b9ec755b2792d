/** Generates what an application, its clients and strangers send: scripts of packets in the order of time. */
import fc from 'fast-check';
import { Conversation } from '../engine/conversation.ts';
import { icmp4, icmp6, tcp4, tcp6, udp4, udp6, type TcpOptions } from '../packets/build.ts';
import type { Step } from './support.ts';

export const INSIDE_4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'] as const;
export const INSIDE_6 = ['fd00::1', 'fd00::2', 'fd00::3', 'fd00::4'] as const;
const OUTSIDE_4 = [
  '203.0.113.6',
  '203.0.113.7',
  '203.0.113.9',
  '203.0.113.12',
  '198.51.100.1',
  '10.9.0.1',
];
const OUTSIDE_6 = ['2001:db8::7', '2001:db8::8', '2001:db8:0:1::7'];

interface Script {
  readonly at: number;
  readonly packets: readonly Step[];
}

const ends4 = fc.tuple(fc.constantFrom(...INSIDE_4, ...OUTSIDE_4), fc.constantFrom(...INSIDE_4));
const ends6 = fc.tuple(fc.constantFrom(...INSIDE_6, ...OUTSIDE_6), fc.constantFrom(...INSIDE_6));
const ends = fc
  .tuple(fc.oneof({ weight: 3, arbitrary: ends4 }, { weight: 1, arbitrary: ends6 }), fc.boolean())
  .map(([[one, other], isBack]): readonly [string, string] =>
    isBack ? [other, one] : [one, other],
  )
  .filter(([one, other]) => one !== other);
const service = fc.constantFrom(53, 80, 81, 443);
const ephemeral = fc.integer({ min: 32_768, max: 32_790 });
const gap = fc.constantFrom(0, 1, 20, 500, 20_000, 29_000);

const tcpTalk = fc
  .record({
    ends,
    service,
    ephemeral,
    gap,
    fate: fc.constantFrom('whole', 'open', 'reset', 'refused', 'silent', 'midway', 'midway-back'),
  }) // prettier-ignore
  .map(({ ends: [client, server], service: port, ephemeral: from, gap: wait, fate }) => {
    const talk = new Conversation(client, from, server, port);
    const open = [talk.syn(), talk.synAck(), talk.ack('client')];
    // Made whatever becomes of it, so that the numbers go on.
    const body = [talk.data('client'), talk.data('server'), talk.ack('client')];
    switch (fate) {
      case 'whole':
        return spaced(wait, [
          ...open,
          ...body,
          talk.fin('client'),
          talk.fin('server'),
          talk.ack('client'),
        ]);
      case 'open':
        return spaced(wait, [...open, ...body]);
      case 'reset':
        return spaced(wait, [...open, ...body, talk.rst('server')]);
      case 'refused':
        return spaced(wait, [open[0], makeTcp(server, client, { srcPort: port, dstPort: from, flags: 'RA', ack: 1001 })]); // prettier-ignore
      case 'silent':
        return spaced(wait, [open[0], open[0], open[0]]);
      case 'midway':
        return spaced(wait, body);
      default:
        return spaced(wait, [body[1], body[2]]);
    }
  });

const udpTalk = fc
  .record({
    ends,
    service,
    ephemeral,
    gap,
    answers: fc.integer({ min: 0, max: 2 }),
    waits: fc.constantFrom(1, 1000, 31_000, 200_000),
  }) // prettier-ignore
  .map(({ ends: [client, server], service: port, ephemeral: from, gap: wait, answers, waits }) => {
    const make = client.includes(':') ? udp6 : udp4;
    const ask = make(client, server, { srcPort: from, dstPort: port, payload: 'ask' });
    const answer = make(server, client, { srcPort: port, dstPort: from, payload: 'answer' });
    const steps: Step[] = [[0, ask]];
    for (let i = 0; i < answers; i++) steps.push([waits * (i + 1), answer]);
    return [...steps, [waits * answers + wait, ask] as Step];
  });

/** Both ports are a service's: who opens the ports don't tell. */
const peerTalk = fc
  .record({ ends, service, waits: fc.constantFrom(1, 31_000, 200_000) })
  .map(({ ends: [one, other], service: port, waits }): readonly Step[] => {
    const make = one.includes(':') ? udp6 : udp4;
    const ports = { srcPort: port, dstPort: port, payload: 'hello' };
    return [[0, make(one, other, ports)], [waits, make(other, one, ports)], [2 * waits, make(one, other, ports)]]; // prettier-ignore
  });

const ping = fc
  .record({ ends, id: fc.nat(3), gap, isAnswered: fc.boolean() })
  .map(({ ends: [one, other], id, gap: wait, isAnswered }): readonly Step[] => {
    const is6 = one.includes(':');
    const make = is6 ? icmp6 : icmp4;
    const [query, reply] = is6 ? [128, 129] : [8, 0];
    const ask = make(one, other, { type: query, code: 0, id });
    const answer = make(other, one, { type: reply, code: 0, id });
    return isAnswered
      ? [
          [0, ask],
          [wait, answer],
        ]
      : [[0, ask]];
  });

/** Passive FTP: a port is taken anew for each file, of more than there are. */
const ftp = fc
  .record({
    ends,
    ports: fc.uniqueArray(fc.integer({ min: 50_000, max: 50_100 }), {
      minLength: 3,
      maxLength: 12,
    }),
    ephemeral,
    fate: fc.constantFrom('whole', 'refused'),
  }) // prettier-ignore
  .map(({ ends: [client, server], ports, ephemeral: from, fate }): readonly Step[] =>
    ports.flatMap((port, i): readonly Step[] => {
      const talk = new Conversation(client, from + i, server, port);
      const syn: Step = [i * 100, talk.syn()];
      if (fate === 'refused')
        return [syn, [i * 100, makeTcp(server, client, { srcPort: port, dstPort: from + i, flags: 'RA', ack: 1001 })]]; // prettier-ignore
      return [syn, ...[talk.synAck(), talk.ack('client'), talk.data('server')].map((packet, k): Step => [i * 100 + k, packet])]; // prettier-ignore
    }),
  );

/** One address asks at many places, of which few answer. */
const scan = fc
  .record({
    from: fc.constantFrom(...OUTSIDE_4),
    to: fc.constantFrom(...INSIDE_4),
    first: fc.integer({ min: 1, max: 400 }),
  }) // prettier-ignore
  .map(
    ({ from, to, first }): readonly Step[] =>
    Array.from({ length: 25 }, (_, i): Step => [i, makeTcp(from, to, { srcPort: 40_000, dstPort: first + i, flags: 'S', seq: 1 })]), // prettier-ignore
  );

const script = fc.record({
  at: fc.integer({ min: 0, max: 400_000 }),
  packets: fc.oneof(
    { weight: 6, arbitrary: tcpTalk },
    { weight: 4, arbitrary: udpTalk },
    { weight: 1, arbitrary: peerTalk },
    { weight: 2, arbitrary: ping },
    { weight: 1, arbitrary: scan },
    { weight: 2, arbitrary: ftp },
  ),
});

/** Some dialogues, interleaved. */
export const traffic: fc.Arbitrary<readonly Step[]> = fc
  .array(script, { minLength: 1, maxLength: 25 })
  .map((scripts: readonly Script[]) =>
    scripts
      .flatMap(({ at, packets }) => packets.map(([ms, packet]): Step => [at + ms, packet]))
      .sort(([a], [b]) => a - b),
  );

function spaced(wait: number, packets: readonly Uint8Array[]): readonly Step[] {
  return packets.map((packet, i): Step => [i * wait, packet]);
}

function makeTcp(src: string, dst: string, options: TcpOptions): Uint8Array {
  return (src.includes(':') ? tcp6 : tcp4)(src, dst, options);
}

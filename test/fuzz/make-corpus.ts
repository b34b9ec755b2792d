/**
 * Writes test/fuzz/corpus/ from the packet builders: conversations that get far into the engine, one of each
 * kind, so that mutations start where it is interesting. Run once; the files are kept, and what the fuzzer
 * finds is added to them by hand (node build/test/fuzz/make-corpus.js FOLDER).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Conversation } from '../engine/conversation.ts';
import {
  authentication,
  destinationOptions,
  fragment6,
  fragments4,
  fragments6,
  hex,
  hopByHop,
  icmp4,
  icmp6,
  icmpError4,
  icmpError6,
  ipv4,
  ipv6,
  ndNeighborSolicitation,
  PROTOCOL,
  routing,
  tcp,
  tcp4,
  tcp6,
  udp,
  udp4,
  udp6,
} from '../packets/build.ts';
import { corpusLine } from './corpus.ts';
import {
  APP,
  APP6,
  DB,
  DB6,
  FAR,
  FAR6,
  OUT,
  OUT6,
  PLATFORM,
  PLATFORM6,
  ROUTER,
  ROUTER6,
  WEB,
  WEB6,
} from './policies.ts';
import { PORT_NAMES, type PortName } from './world.ts';

type Step = readonly [port: PortName, bytes: Uint8Array];

function connection(ports: readonly [PortName, PortName], talk: Conversation): Step[] {
  const [client, server] = ports;
  return [
    [client, talk.syn()],
    [server, talk.synAck()],
    [client, talk.ack('client')],
    [client, talk.data('client', 40)],
    [server, talk.ack('server')],
    [server, talk.data('server', 120)],
    [client, talk.ack('client')],
    [client, talk.fin('client')],
    [server, talk.fin('server')],
    [client, talk.ack('client')],
  ];
}

function tcpTalks(): Step[][] {
  const scaled = {
    client: { scale: 7, next: 4_294_967_200 },
    server: { scale: 2, next: 3_000_000_000 },
  };
  const ended = new Conversation(WEB, 40004, APP, 8080);
  const both = new Conversation(WEB, 8080, APP, 8080);
  return [
    connection(['web', 'app'], new Conversation(WEB, 40000, APP, 8080)),
    connection(['web', 'app'], new Conversation(WEB, 40001, APP, 8080, scaled)),
    connection(['web', 'db'], new Conversation(WEB, 40002, DB, 5432)),
    connection(['uplink', 'web'], new Conversation(OUT, 40003, WEB, 80)),
    connection(['uplink', 'web'], new Conversation(FAR, 50000, WEB, 22, scaled)),
    connection(['uplink', 'app'], new Conversation(FAR, 50001, APP, 1024)),
    connection(['db', 'uplink'], new Conversation(DB, 50002, OUT, 443)),
    connection(['web', 'app'], new Conversation(WEB6, 40000, APP6, 8080, scaled)),
    connection(['uplink', 'web'], new Conversation(OUT6, 40001, WEB6, 80)),
    connection(['app', 'uplink'], new Conversation(APP6, 40002, OUT6, 443)),
    connection(['web', 'uplink'], new Conversation(WEB, 40005, PLATFORM, 80)),
    connection(['db', 'uplink'], new Conversation(DB6, 40006, PLATFORM6, 80)),
    connection(['web', 'db'], new Conversation(WEB6, 40008, PLATFORM6, 80)),
    [
      ['web', ended.syn()],
      ['app', ended.synAck()],
      ['web', ended.ack('client')],
      ['app', ended.data('server', 1000)],
      ['web', ended.rst('client')],
      ['app', ended.data('server', 10)],
    ],
    [
      ['web', both.send('client', { flags: 'S' })],
      ['app', both.send('server', { flags: 'S' })],
      ['web', both.send('client', { flags: 'SA' })],
      ['app', both.send('server', { flags: 'SA' })],
      ['web', both.ack('client')],
      ['app', both.data('server')],
    ],
    [
      ['web', tcp4(WEB, APP, { srcPort: 40007, dstPort: 8080, flags: 'S', seq: 5 })],
      ['app', tcp4(APP, WEB, { srcPort: 8080, dstPort: 40007, flags: 'RA', ack: 6 })],
      ['web', tcp4(WEB, APP, { srcPort: 40007, dstPort: 8080, flags: 'S', seq: 9 })],
    ],
    ['', 'SF', 'FPU', 'F', 'SR', 'A', 'FA', 'R'].map((flags): Step => [
      'uplink',
      tcp4(FAR, WEB, { srcPort: 60000, dstPort: 22, flags }),
    ]),
  ];
}

function udpTalks(): Step[][] {
  const stream = (a: PortName, b: PortName, ask: Uint8Array, answer: Uint8Array): Step[] => [
    [a, ask],
    [b, answer],
    [a, ask],
    [b, answer],
    [a, ask],
  ];
  const one = (srcPort: number, dstPort: number) => ({ srcPort, dstPort, payload: 'question' });
  return [
    stream('web', 'app', udp4(WEB, APP, one(5000, 53)), udp4(APP, WEB, one(53, 5000))),
    stream('web', 'app', udp6(WEB6, APP6, one(5000, 53)), udp6(APP6, WEB6, one(53, 5000))),
    stream('app', 'uplink', udp4(APP, OUT, one(5001, 123)), udp4(OUT, APP, one(123, 5001))),
    stream('uplink', 'app', udp6(FAR6, APP6, one(5353, 5353)), udp6(APP6, FAR6, one(5353, 5353))),
    stream('uplink', 'web', udp4(OUT, WEB, one(9, 10)), udp4(WEB, OUT, one(10, 9))),
    stream('web', 'web', udp4(WEB, WEB, one(7, 53)), udp4(WEB, WEB, one(53, 7))),
    [
      ['web', udp4(WEB, APP, { srcPort: 1, dstPort: 53 })],
      ['web', udp4('0.0.0.0', '255.255.255.255', { srcPort: 68, dstPort: 67 })],
      ['uplink', udp4(APP, WEB, { srcPort: 53, dstPort: 1 })],
      ['web', udp4(WEB, PLATFORM, { srcPort: 2, dstPort: 53 })],
      ['uplink', udp4(PLATFORM, WEB, { srcPort: 53, dstPort: 2 })],
      ['db', udp4(PLATFORM, WEB, { srcPort: 53, dstPort: 2 })],
      ['db', udp4(PLATFORM, APP, { srcPort: 53, dstPort: 53 })],
      ['db', udp4('192.0.2.55', OUT, { srcPort: 3, dstPort: 4 })],
    ],
  ];
}

function icmpTalks(): Step[][] {
  const sent = tcp4(DB, OUT, { srcPort: 40100, dstPort: 443, flags: 'S', payload: 'x'.repeat(20) });
  const asked = udp4(WEB, APP, { srcPort: 5100, dstPort: 53, payload: 'x' });
  const sent6 = tcp6(APP6, OUT6, { srcPort: 40101, dstPort: 443, flags: 'S' });
  const ping = icmp4(WEB, OUT, { type: 8, id: 77 });
  return [
    [
      ['web', icmp4(WEB, APP, { type: 8, id: 7 })],
      ['app', icmp4(APP, WEB, { type: 0, id: 7 })],
      ['app', icmp4(APP, WEB, { type: 8, id: 7 })],
      ['web', icmp4(WEB, APP, { type: 13, id: 7 })],
      ['app', icmp4(APP, WEB, { type: 14, id: 7 })],
    ],
    [
      ['web', icmp6(WEB6, APP6, { type: 128, id: 8 })],
      ['app', icmp6(APP6, WEB6, { type: 129, id: 8 })],
      ['web', ndNeighborSolicitation({ src: WEB6, target: APP6, sourceMac: '02:00:00:00:00:01' })],
      ['web', icmp6('::', 'ff02::16', { type: 143 })],
    ],
    [
      ['db', sent],
      ['uplink', icmpError4(ROUTER, DB, { type: 3, code: 4, rest: 1400, quoted: sent })],
      ['uplink', icmpError4(OUT, DB, { type: 3, code: 3, quoted: sent, quotedBytes: 60 })],
      ['uplink', icmpError4(ROUTER, WEB, { type: 11, code: 0, quoted: sent })],
    ],
    [
      ['web', asked],
      ['app', icmpError4(APP, WEB, { type: 3, code: 3, quoted: asked })],
      ['web', ping],
      ['uplink', icmpError4(ROUTER, WEB, { type: 11, code: 0, quoted: ping })],
      [
        'uplink',
        icmpError4(ROUTER, WEB, {
          type: 3,
          code: 1,
          quoted: icmpError4(WEB, ROUTER, { type: 3, quoted: ping }),
        }),
      ],
    ],
    [
      ['app', sent6],
      ['uplink', icmpError6(ROUTER6, APP6, { type: 2, rest: 1280, quoted: sent6 })],
      ['uplink', icmpError6(ROUTER6, APP6, { type: 1, code: 4, quoted: sent6, quotedBytes: 48 })],
      ['uplink', icmpError6(ROUTER6, WEB6, { type: 3, quoted: sent6 })],
    ],
  ];
}

function fragmentTalks(): Step[][] {
  const datagram = udp4(
    WEB,
    APP,
    { srcPort: 5200, dstPort: 53, payload: 'y'.repeat(100) },
    { id: 99 },
  );
  const refused = udp4(
    WEB,
    APP,
    { srcPort: 5200, dstPort: 54, payload: 'y'.repeat(60) },
    { id: 98 },
  );
  const segment = tcp4(
    WEB,
    APP,
    { srcPort: 40200, dstPort: 8080, flags: 'S', payload: 'z'.repeat(50) },
    { id: 97 },
  );
  const many = udp4(
    WEB,
    APP,
    { srcPort: 5200, dstPort: 53, payload: 'y'.repeat(1064) },
    { id: 95 },
  );
  const from = (port: PortName, packets: readonly Uint8Array[]): Step[] =>
    packets.map((one): Step => [port, one]);
  const pieces = fragments4(datagram, 48);
  const rest6 = { src: WEB6, dst: APP6, nextHeader: PROTOCOL.udp };
  const udp6bytes = udp(WEB6, APP6, { srcPort: 5200, dstPort: 53, payload: 'y'.repeat(100) });
  return [
    from('web', pieces),
    from('web', [pieces[2], pieces[0], pieces[1], pieces[1]]),
    from('web', fragments4(refused, 24)),
    from('web', fragments4(segment, 24)),
    from('web', fragments4(segment, 8)),
    // More pieces than a datagram may have.
    from('web', fragments4(many, 8)),
    from(
      'uplink',
      fragments4(icmp4(OUT, WEB, { type: 8, payload: 'p'.repeat(200) }, { id: 96 }), 64),
    ),
    from('web', fragments6({ ...rest6, payload: udp6bytes }, 48, 0xdeadbeef)),
    from(
      'web',
      fragments6({ ...rest6, extensionHeaders: [hopByHop()], payload: udp6bytes }, 56, 5),
    ),
    from('web', [ipv6({ ...rest6, extensionHeaders: [fragment6({ id: 6 })], payload: udp6bytes })]),
    from('web', [
      ipv6({
        ...rest6,
        extensionHeaders: [fragment6({ id: 7 }), fragment6({ id: 7 })],
        payload: udp6bytes,
      }),
      ipv6({
        ...rest6,
        extensionHeaders: [fragment6({ id: 8, more: true }), destinationOptions()],
        payload: udp6bytes,
      }),
      ipv4({
        src: WEB,
        dst: APP,
        protocol: 17,
        mf: false,
        fragmentOffset: 65528,
        payload: new Uint8Array(8),
        id: 9,
      }),
    ]),
  ];
}

function otherTalks(): Step[][] {
  const chain = [hopByHop(), destinationOptions(), routing(2), destinationOptions()];
  const payload = tcp(WEB6, APP6, { srcPort: 40300, dstPort: 8080, flags: 'S' });
  const wrap = (extensionHeaders: Parameters<typeof ipv6>[0]['extensionHeaders'] = []): Step => [
    'web',
    ipv6({ src: WEB6, dst: APP6, nextHeader: 6, extensionHeaders, payload }),
  ];
  return [
    [
      ['web', ipv4({ src: WEB, dst: APP, protocol: 47, payload: hex('0000080045000000') })],
      ['app', ipv4({ src: APP, dst: WEB, protocol: 47, payload: hex('0000080045000000') })],
    ],
    [
      ['uplink', ipv6({ src: FAR6, dst: APP6, nextHeader: 50, payload: new Uint8Array(24) })],
      ['app', ipv6({ src: APP6, dst: FAR6, nextHeader: 50, payload: new Uint8Array(24) })],
      ['db', ipv4({ src: DB, dst: OUT, protocol: 132, payload: new Uint8Array(16) })],
    ],
    [['web', hex(`60000000 0000 00 40 ${'fd00'.repeat(16)} 3b00 c204 00010000`)], wrap()],
    [
      wrap(),
      wrap(chain),
      wrap([authentication()]),
      wrap([routing(0)]),
      wrap([routing(4), hopByHop()]),
    ],
    [
      ['web', udp4(WEB, APP, { srcPort: 5300, dstPort: 53 }, { options: hex('94040000') })],
      [
        'web',
        udp4(WEB, APP, { srcPort: 5300, dstPort: 53 }, { options: hex('8307040a000001 01') }),
      ],
      ['web', ipv4({ src: WEB, dst: APP, protocol: 58, payload: new Uint8Array(8) })],
    ],
  ];
}

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
/** What only a DHCP server or a router sends, from an instance and from outside. */
function serverTalks(): Step[][] {
  const reply = { srcPort: 67, dstPort: 68, payload: 'offer' };
  const reply6 = { srcPort: 547, dstPort: 546, payload: 'reply' };
  const advertisement = icmp6('fe80::1', 'ff02::1', { type: 134 }, { hopLimit: 255 });
  return [
    [
      ['web', udp4(WEB, APP, { srcPort: 5000, dstPort: 53 })],
      ['web', udp4(WEB, APP, reply)],
    ],
    [['web', udp4(WEB, '255.255.255.255', reply)]],
    [['web', udp6(WEB6, APP6, reply6)]],
    [
      ['web', advertisement],
      ['uplink', advertisement],
    ],
    [
      ['web', udp4(WEB, OUT, reply)],
      ['uplink', udp4(OUT, APP, reply)],
    ],
  ];
}

const files = {
  tcp: tcpTalks(),
  udp: udpTalks(),
  icmp: icmpTalks(),
  fragments: fragmentTalks(),
  other: otherTalks(),
  servers: serverTalks(),
};
for (const [name, talks] of Object.entries(files)) {
  const text = talks.map((talk) =>
    talk
      .map(([port, bytes]) => corpusLine({ port: PORT_NAMES.indexOf(port), bytes, afterMs: 0 }))
      .join('\n'),
  );
  writeFileSync(
    join(folder, `${name}.hex`),
    `# ${name}; written by make-corpus.ts\n\n${text.join('\n\n')}\n`,
  );
}

/** IPv6: chains of extension headers, and what of it ends at the link, as sent through the two gates. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Rig } from '../engine/rig.ts';
import {
  addressBytes,
  authentication,
  bytes,
  concat,
  destinationOptions,
  fragment6,
  hopByHop,
  ICMP6,
  icmp6,
  ipv6,
  ndNeighborAdvertisement,
  ndNeighborSolicitation,
  padN,
  PROTOCOL,
  routing,
  tcp,
  tcp6,
  uint,
  udp,
  udp6,
  type ExtensionHeader,
  type Ipv6Options,
} from '../packets/build.ts';

const WEB = 'fd00:10::11';
const APP = 'fd00:10::12';
const OUT = '2001:db8:51::7';

const POLICY = {
  groups: {
    web: {},
    // Everything a stranger may be let in for by a rule for everywhere, so that what drops drops for another reason.
    app: { ingress: ['all from ::/0'] },
    tcp: { ingress: ['tcp 8080 from ::/0'] },
  },
  interfaces: {
    web: { addresses: [WEB], groups: ['web'] },
    app: { addresses: [APP], groups: ['app'] },
    tcp: { addresses: ['fd00:10::13'], groups: ['tcp'] },
  },
};

const segment = tcp(WEB, APP, { srcPort: 40000, dstPort: 8080, flags: 'S' });

function chained(
  extensionHeaders: readonly ExtensionHeader[],
  more: Partial<Ipv6Options> = {},
): Uint8Array {
  return ipv6({
    src: WEB,
    dst: APP,
    nextHeader: PROTOCOL.tcp,
    payload: segment,
    extensionHeaders,
    ...more,
  });
}

const fate = (packet: Uint8Array, from = 'web'): string => new Rig(POLICY).send(from, packet);

test('the longest chain there is passes, in any order of what may stand in any', () => {
  const [hop, dst, rt, frag] = [hopByHop(), destinationOptions(), routing(2), fragment6({})];
  for (const chain of [
    [],
    [hop],
    [dst],
    [rt],
    [frag],
    [hop, dst, rt, frag, dst],
    [hop, frag, rt, dst, dst],
    [dst, dst],
  ])
    assert.equal(fate(chained(chain)), 'app', chain.map((header) => header.number).join());
});

test('headers of the greatest length are walked over, and one that goes beyond the packet is cut short', () => {
  const long = destinationOptions({
    options: concat(...Array.from({ length: 9 }, () => padN(226)), padN(12)),
  });
  assert.equal(chained([long]).length, 40 + 2048 + 20);
  assert.equal(fate(chained([hopByHop(), long, routing(2), long])), 'app');
  for (const length of [5, 200, 255])
    assert.equal(fate(chained([destinationOptions({ length })])), 'truncated', `${length}`);
  assert.equal(
    fate(
      chained([destinationOptions({ length: 1 })], {
        payload: concat(segment, new Uint8Array(40)),
      }),
    ),
    'bad-tcp-header',
    'one that swallows part of what follows leaves something else to be judged',
  );
});

/** Refused by name, whatever follows. */
const REFUSED: readonly (readonly [
  name: string,
  chain: readonly ExtensionHeader[],
  fate: string,
])[] = [
  ['hop-by-hop options second', [destinationOptions(), hopByHop()], 'ipv6-extensions'],
  ['hop-by-hop options twice', [hopByHop(), hopByHop()], 'ipv6-extensions'],
  ['hop-by-hop options inside a fragment', [fragment6({}), hopByHop()], 'ipv6-extensions'],
  [
    'destination options three times',
    [destinationOptions(), destinationOptions(), destinationOptions()],
    'ipv6-extensions',
  ],
  ['two routing headers', [routing(2), routing(4)], 'ipv6-extensions'],
  ['a fragment inside a fragment', [fragment6({}), fragment6({})], 'ipv6-extensions'],
  [
    'a first fragment inside a first fragment',
    [fragment6({ more: true }), fragment6({ more: true })],
    'ipv6-extensions',
  ],
  [
    'a later fragment inside a first one',
    [fragment6({ more: true }), fragment6({ offset: 8 })],
    'ipv6-extensions',
  ],
  ['a routing header of type 0', [routing(0)], 'ipv6-routing-0'],
  ['the same with no segment left', [routing(0, { segmentsLeft: 0 })], 'ipv6-routing-0'],
  [
    'the same behind other headers',
    [hopByHop(), destinationOptions(), routing(0, { segmentsLeft: 1 })],
    'ipv6-routing-0',
  ],
];

for (const [name, chain, expected] of REFUSED)
  test(`refused: ${name}`, () => {
    // Of a multiple of 8 bytes, so that nothing is wrong with it as a fragment.
    const packet = chained(chain, { payload: new Uint8Array(64) });
    assert.equal(fate(packet), expected);
    const last = chained(chain, { nextHeader: PROTOCOL.esp, payload: new Uint8Array(64) });
    assert.equal(fate(last), expected, 'the same before ESP');
  });

test('other routing headers pass: Mobile IPv6, RPL, segment routing, and types nobody knows', () => {
  for (const type of [1, 2, 3, 4, 253])
    assert.equal(fate(chained([routing(type, { segmentsLeft: 1 })])), 'app', `${type}`);
  const path = concat(bytes(1, 0, 0, 0), new Uint8Array(2), addressBytes(OUT), addressBytes(APP));
  assert.equal(fate(chained([routing(4, { segmentsLeft: 1, data: path })])), 'app');
});

test('what is no extension header to us is a protocol: ESP, AH, none, and numbers nobody knows', () => {
  for (const number of [
    PROTOCOL.esp,
    PROTOCOL.ah,
    PROTOCOL.noNext,
    PROTOCOL.gre,
    135,
    139,
    140,
    253,
    254,
    255,
  ]) {
    const packet = (dst: string): Uint8Array =>
      chained([hopByHop()], { dst, nextHeader: number, payload: new Uint8Array(24) });
    assert.equal(fate(packet(APP)), 'app', `${number} to who lets everything in`);
    assert.equal(fate(packet('fd00:10::13')), 'ingress-rules', `${number} to who lets TCP in`);
  }
  const behindAh = chained([authentication()], { dst: 'fd00:10::13' });
  assert.equal(fate(behindAh), 'ingress-rules', 'TCP behind AH is protocol 51');
  assert.equal(fate(chained([destinationOptions(), authentication()])), 'app');
  const rig = new Rig({
    groups: { vpn: { ingress: ['50 from ::/0', '51 from ::/0'] } },
    interfaces: { vpn: { addresses: [APP], groups: ['vpn'] } },
  });
  for (const nextHeader of [PROTOCOL.esp, PROTOCOL.ah])
    assert.equal(
      rig.send('uplink', ipv6({ src: OUT, dst: APP, nextHeader, payload: new Uint8Array(24) })),
      'vpn',
    );
});

test('ICMP in IPv6 is refused, as ICMPv6 in IPv4 is', () => {
  assert.equal(
    fate(chained([], { nextHeader: PROTOCOL.icmp, payload: new Uint8Array(8) })),
    'family-mismatch',
  );
});

test('a first fragment holds the whole chain, or drops (RFC 7112)', () => {
  const first = fragment6({ more: true });
  const cut = (chain: readonly ExtensionHeader[], of: number): Uint8Array => {
    const whole = chained(chain, { payload: new Uint8Array(64) });
    const packet = whole.slice(0, 48 + of);
    packet.set(uint(8 + of, 2), 4);
    return packet;
  };
  assert.equal(
    fate(cut([first, destinationOptions()], 8)),
    'tiny-fragment',
    'nothing behind the options',
  );
  const long = destinationOptions({ options: padN(30) });
  for (const of of [8, 16, 24])
    assert.equal(fate(cut([first, long], of)), 'tiny-fragment', `options cut after ${of} bytes`);
  assert.equal(fate(cut([first, routing(2)], 8)), 'tiny-fragment');
  assert.equal(fate(cut([first, destinationOptions(), destinationOptions()], 8)), 'tiny-fragment');
  const ports = udp(WEB, APP, { srcPort: 5000, dstPort: 53, payload: 'sixteen bytes...' });
  const withPorts = chained([first, destinationOptions()], {
    nextHeader: PROTOCOL.udp,
    payload: ports.subarray(0, 8),
  });
  assert.equal(fate(withPorts), 'app', 'chain and ports, and no more');
  const syn = chained([first], { payload: concat(segment, new Uint8Array(4)) });
  assert.equal(fate(syn), 'app');
  assert.equal(
    fate(chained([first], { payload: segment.subarray(0, 16) })),
    'tiny-fragment',
    'a TCP header cut',
  );
});

test('a later fragment is none of the chain: its next header is not looked into', () => {
  const later = chained([fragment6({ offset: 64, id: 3 })], { nextHeader: PROTOCOL.hopByHop });
  assert.equal(fate(later), 'fragment-early');
  const routed = chained([routing(0), fragment6({ offset: 64, id: 3 })]);
  assert.equal(fate(routed), 'ipv6-routing-0', 'what stands in front of the fragment header is');
});

test('jumbograms drop: no length, and options that would have one (RFC 2675)', () => {
  const jumbo = hopByHop({ options: concat(bytes(0xc2, 4), uint(70_000, 4)) });
  assert.equal(fate(chained([jumbo], { payloadLength: 0 })), 'ipv6-jumbogram');
  assert.equal(
    fate(chained([hopByHop()], { payloadLength: 0 })),
    'ipv6-jumbogram',
    'even without the option',
  );
  assert.equal(
    fate(chained([], { payloadLength: 0 })),
    'truncated',
    'a length of 0 without options: nothing there',
  );
  assert.equal(fate(chained([jumbo])), 'app', 'with a length of its own the option is one of many');
});

test('the declared length bounds the chain, not what was captured', () => {
  assert.equal(fate(chained([destinationOptions()], { payloadLength: 7 })), 'truncated');
  assert.equal(
    fate(chained([destinationOptions()], { payloadLength: 8 })),
    'truncated',
    'ports behind the end',
  );
  assert.equal(fate(chained([destinationOptions()], { payloadLength: 9000 })), 'truncated');
});

test('neighbour and router discovery, and listener reports, end at the link, whatever addresses they bear', () => {
  const messages: [string, Uint8Array][] = [
    [
      'router solicitation from no address',
      icmp6('::', 'ff02::2', { type: ICMP6.routerSolicitation }),
    ],
    ['duplicate address detection', ndNeighborSolicitation({ src: '::', target: WEB })],
    ['solicitation', ndNeighborSolicitation({ src: WEB, target: APP })],
    [
      'solicitation of a neighbour known already',
      ndNeighborSolicitation({ src: WEB, dst: APP, target: APP }),
    ],
    ['advertisement', ndNeighborAdvertisement({ src: WEB, dst: APP, target: OUT })],
    ['advertisement to all', ndNeighborAdvertisement({ src: WEB, dst: 'ff02::1', target: WEB })],
    ['redirect', icmp6(WEB, APP, { type: 137, payload: new Uint8Array(32) }, { hopLimit: 255 })],
    ['listener query to one host', icmp6(WEB, APP, { type: 130, payload: new Uint8Array(16) })],
    ['listener report', icmp6(WEB, 'ff02::16', { type: ICMP6.mld2Report })],
    [
      'listener report behind a router alert, as it is sent',
      ipv6({
        ...{
          src: WEB,
          dst: 'ff02::16',
          nextHeader: PROTOCOL.icmp6,
          payload: bytes(143, 0, 0, 0, 0, 0, 0, 0),
        },
        extensionHeaders: [hopByHop({ options: concat(bytes(5, 2, 0, 0), padN(2)) })],
      }),
    ],
  ];
  const advertisement = icmp6('fe80::1', 'ff02::1', { type: ICMP6.routerAdvertisement });
  assert.equal(new Rig(POLICY).send('web', advertisement), 'rogue-server');
  assert.equal(new Rig(POLICY).send('uplink', advertisement), 'link-scope');
  for (const [name, packet] of messages) {
    const rig = new Rig(POLICY);
    assert.equal(rig.send('web', packet), 'link-scope', name);
    assert.deepEqual(rig.states, [], 'no flow is made of it');
  }
  const inFragments = ipv6({
    ...{ src: WEB, dst: APP, nextHeader: PROTOCOL.icmp6, payload: bytes(136, 0, 0, 0, 0, 0, 0, 0) },
    extensionHeaders: [fragment6({ more: true })],
  });
  assert.equal(fate(inFragments), 'link-scope', 'in fragments (RFC 6980)');
  assert.equal(
    fate(icmp6(WEB, APP, { type: ICMP6.echo })),
    'app',
    'an echo request does not end there',
  );
});

test('link-local addresses are for the link, as source and as destination', () => {
  const packet = (src: string, dst: string): Uint8Array =>
    udp6(src, dst, { srcPort: 5000, dstPort: 53 });
  assert.equal(fate(packet('fe80::1', 'fe80::2')), 'link-scope');
  assert.equal(fate(packet(WEB, 'fe80::2')), 'link-scope');
  assert.equal(fate(packet('fe80::1', APP)), 'link-scope', 'a source that nobody could answer');
  assert.equal(
    fate(packet('fe80::1', APP), 'uplink'),
    'link-scope',
    'which a rule for ::/0 would let in',
  );
  assert.equal(fate(packet('febf:ffff::1', APP), 'uplink'), 'link-scope', 'all of fe80::/10');
  assert.equal(fate(packet('fec0::1', APP), 'uplink'), 'app', 'and no more');
});

test('multicast goes nowhere, whatever its scope: a VPC has none', () => {
  for (const group of ['ff01::1', 'ff02::1', 'ff05::2', 'ff0e::101', 'ff3e::8000:1', 'ffff::'])
    assert.equal(fate(udp6(WEB, group, { srcPort: 5000, dstPort: 5353 })), 'link-scope', group);
  assert.equal(
    fate(udp6('ff02::1', APP, { srcPort: 1, dstPort: 2 }), 'uplink'),
    'martian',
    'and comes from nowhere',
  );
});

test('no address, loopback and IPv4 in disguise are on no wire', () => {
  for (const bad of ['::', '::1', '::ffff:a00:b']) {
    assert.equal(
      fate(tcp6(bad, APP, { srcPort: 1, dstPort: 8080 }), 'uplink'),
      'martian',
      `from ${bad}`,
    );
    assert.equal(fate(tcp6(WEB, bad, { srcPort: 1, dstPort: 8080 })), 'martian', `to ${bad}`);
  }
  for (const other of ['::2', '64:ff9b::a00:b', '2002:a00:b::1'])
    assert.equal(
      fate(tcp6(other, APP, { srcPort: 1, dstPort: 8080, flags: 'S' }), 'uplink'),
      'app',
      other,
    );
});

test('flows are the same with extension headers and without', () => {
  const rig = new Rig({
    groups: { web: {}, app: { ingress: ['tcp 8080 from sg:web'], egress: [] } },
    interfaces: {
      web: { addresses: [WEB], groups: ['web'] },
      app: { addresses: [APP], groups: ['app'] },
    },
  });
  assert.equal(rig.send('web', chained([hopByHop(), destinationOptions()])), 'app');
  const answer = tcp(APP, WEB, { srcPort: 8080, dstPort: 40000, flags: 'SA', ack: 1 });
  assert.equal(
    rig.send(
      'app',
      ipv6({
        src: APP,
        dst: WEB,
        nextHeader: PROTOCOL.tcp,
        extensionHeaders: [routing(2)],
        payload: answer,
      }),
    ),
    'web',
  );
  assert.deepEqual(rig.states, ['syn-received', 'syn-received']);
});

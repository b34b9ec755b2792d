/** Fragments between two gates, written as what is sent and what becomes of it; and the table under flood. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAGMENT_TO_JUDGE, FragmentTable } from '../../src/conntrack/fragments.ts';
import { FRAGMENT_FIRST, Packet } from '../../src/wire/packet.ts';
import { Rig } from '../engine/rig.ts';
import {
  destinationOptions,
  fragment6,
  fragments4,
  fragments6,
  hopByHop,
  ICMP,
  ICMP6,
  icmp,
  icmp6Message,
  ipv4,
  ipv6,
  PROTOCOL,
  tcp,
  udp,
} from '../packets/build.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const DB = '10.0.0.13';
const WEB6 = 'fd00:10::11';
const APP6 = 'fd00:10::12';
const OUT = '198.51.100.7';

const POLICY = {
  groups: {
    web: { ingress: ['udp 53 from 0.0.0.0/0'] },
    app: {
      ingress: [
        'udp 53 from sg:web',
        'tcp 8080 from sg:web',
        'icmp -1/-1 from sg:web',
        'icmpv6 -1/-1 from sg:web',
      ],
    },
    db: {},
  },
  interfaces: {
    web: { addresses: [WEB, WEB6], groups: ['web'] },
    app: { addresses: [APP, APP6], groups: ['app'] },
    db: { addresses: [DB], groups: ['db'] },
  },
};

/** A datagram's pieces, cut where the test likes: `[0, 16, 24]` are bytes 0–15, 16–23 and 24 to the end. */
function cut4(
  payload: Uint8Array,
  at: readonly number[],
  id = 1,
  protocol: number = PROTOCOL.udp,
): Uint8Array[] {
  return at.map((start, i) =>
    piece4(
      payload.subarray(start, at.at(i + 1) ?? payload.length),
      start,
      i < at.length - 1,
      id,
      protocol,
    ),
  );
}

function piece4(
  payload: Uint8Array,
  start: number,
  more: boolean,
  id = 1,
  protocol: number = PROTOCOL.udp,
): Uint8Array {
  return ipv4({ src: WEB, dst: APP, protocol, id, fragmentOffset: start, mf: more, payload });
}

function piece6(
  payload: Uint8Array,
  start: number,
  more: boolean,
  id = 1,
  nextHeader: number = PROTOCOL.udp,
): Uint8Array {
  const extensionHeaders = [fragment6({ offset: start, more, id })];
  return ipv6({ src: WEB6, dst: APP6, nextHeader, extensionHeaders, payload });
}

const ask = (bytes: number, dst: string = APP): Uint8Array =>
  udp(WEB, dst, { srcPort: 5000, dstPort: 53, payload: 'y'.repeat(bytes - 8) });

/** Sends all of them by `web`; what became of each. */
function fates(rig: Rig, packets: readonly Uint8Array[], nowMs = 0): string[] {
  return packets.map((packet) => rig.send('web', packet, nowMs));
}

test('a datagram in order passes, and its identification can be used again at once', () => {
  const rig = new Rig(POLICY);
  const pieces = cut4(ask(40), [0, 16, 24]);
  for (let round = 0; round < 3; round++)
    assert.deepEqual(fates(rig, pieces), ['app', 'app', 'app']);
});

test('behind the first one, order does not matter', () => {
  const [first, second, third, last] = cut4(ask(64), [0, 16, 32, 48]);
  const rig = new Rig(POLICY);
  assert.deepEqual(fates(rig, [first, last, second, third]), ['app', 'app', 'app', 'app']);
  assert.deepEqual(fates(rig, [first, third, last, second]), ['app', 'app', 'app', 'app']);
});

test('before the first one, a later one is not held back but dropped; the rest follows the first', () => {
  const [first, second, last] = cut4(ask(48), [0, 16, 32]);
  const rig = new Rig(POLICY);
  assert.deepEqual(fates(rig, [second, first, last]), ['fragment-early', 'app', 'app']);
  assert.equal(fates(rig, [second])[0], 'app', 'sent again, it completes the datagram');
  assert.deepEqual(fates(new Rig(POLICY), [last, second, first]), [
    'fragment-early',
    'fragment-early',
    'app',
  ]);
  const [a, b] = fragments6(
    { src: WEB6, dst: APP6, nextHeader: PROTOCOL.udp, payload: ask6(32) },
    16,
  );
  assert.deepEqual(fates(rig, [b, a, b]), ['fragment-early', 'app', 'app']);
});

function ask6(bytes: number): Uint8Array {
  return udp(WEB6, APP6, { srcPort: 5000, dstPort: 53, payload: 'y'.repeat(bytes - 8) });
}

test('a copy of a fragment drops alone, the first one included, and whatever its bytes say', () => {
  const [first, second, last] = cut4(ask(48), [0, 16, 32]);
  const rig = new Rig(POLICY);
  const otherPorts = piece4(
    udp(WEB, APP, { srcPort: 5000, dstPort: 22, payload: '8 bytes.' }),
    0,
    true,
  );
  assert.deepEqual(fates(rig, [first, first, otherPorts, second, second, last]), [
    'app',
    'fragment-duplicate',
    'fragment-duplicate',
    'app',
    'fragment-duplicate',
    'app',
  ]);
});

/** Behind a first fragment of bytes 0–31 and a later one of 48–63, both of which passed. */
const OVERLAPS: readonly (readonly [name: string, start: number, end: number, more: boolean])[] = [
  ['the first one, longer', 0, 40, true],
  ['the first one, shorter', 0, 24, true],
  ['inside the first one', 8, 16, true],
  ['the end of the first one, as teardrop does', 24, 40, true],
  ['the end of the first one, without going further', 24, 32, true],
  ['one byte range with another', 40, 56, true],
  ['inside a later one', 48, 56, true],
  ['around a later one', 40, 72, true],
  ['the same as a later one, but the last', 48, 64, false],
  ['an end before what has passed', 32, 40, false],
];

for (const [name, start, end, more] of OVERLAPS) {
  test(`an overlap spoils the datagram: ${name}`, () => {
    for (const piece of [piece4, piece6]) {
      const rig = new Rig(POLICY);
      const whole = piece === piece4 ? ask(96) : ask6(96);
      const of = (from: number, to: number, hasMore = true): Uint8Array =>
        piece(whole.subarray(from, to), from, hasMore);
      const sent = [
        of(0, 32),
        of(48, 64),
        of(start, end, more),
        of(64, 96, false),
        of(0, 32),
        of(32, 48),
      ];
      assert.deepEqual(fates(rig, sent), [
        'app',
        'app',
        'fragment-overlap',
        'fragment-refused',
        'fragment-refused',
        'fragment-refused',
      ]);
      assert.equal(fates(rig, [of(0, 32)], 30_000)[0], 'fragment-refused', 'for 30 s');
      assert.equal(fates(rig, [of(0, 32)], 30_001)[0], 'app', 'then it may begin anew');
    }
  });
}

test('a second end, or bytes beyond the end, spoil the datagram', () => {
  const whole = ask(96);
  const of = (from: number, to: number, more: boolean): Uint8Array =>
    piece4(whole.subarray(from, to), from, more);
  const secondEnd = [of(0, 16, true), of(64, 80, false), of(80, 96, false), of(16, 64, true)];
  assert.deepEqual(fates(new Rig(POLICY), secondEnd), [
    'app',
    'app',
    'fragment-overlap',
    'fragment-refused',
  ]);
  const beyond = [of(0, 16, true), of(64, 80, false), of(80, 96, true), of(16, 64, true)];
  assert.deepEqual(fates(new Rig(POLICY), beyond), [
    'app',
    'app',
    'fragment-overlap',
    'fragment-refused',
  ]);
});

test('TCP flags and ports can not be written over: tiny first fragments, and tiny second ones', () => {
  const segment = tcp(WEB, APP, {
    srcPort: 40000,
    dstPort: 8080,
    flags: 'S',
    mss: 1460,
    payload: 'z'.repeat(40),
  });
  for (const bytes of [8, 16])
    assert.deepEqual(
      fates(new Rig(POLICY), cut4(segment, [0, bytes], 1, PROTOCOL.tcp)),
      ['tiny-fragment', 'fragment-early'],
      `a header cut after ${bytes} bytes (RFC 1858)`,
    );
  assert.deepEqual(
    fates(new Rig(POLICY), cut4(segment, [0, 24], 1, PROTOCOL.tcp)),
    ['app', 'app'],
    'header and options',
  );
  const rewrite = piece4(segment.subarray(8, 24), 8, true, 1, PROTOCOL.tcp);
  assert.deepEqual(
    fates(new Rig(POLICY), [cut4(segment, [0, 24], 1, PROTOCOL.tcp)[0], rewrite]),
    ['app', 'fragment-overlap'],
    'the flags again, in a second fragment at offset 8 (RFC 3128)',
  );
  const longHeader = tcp(WEB, APP, {
    srcPort: 40000,
    dstPort: 8080,
    flags: 'S',
    dataOffset: 8,
    payload: 'z'.repeat(40),
  });
  assert.equal(
    fates(new Rig(POLICY), cut4(longHeader, [0, 24], 1, PROTOCOL.tcp))[0],
    'tiny-fragment',
    'options cut off',
  );
});

test('lengths that no sender makes: ping of death, no multiple of 8, nothing in it', () => {
  const rig = new Rig(POLICY);
  const of = (start: number, bytes: number, more: boolean): Uint8Array =>
    piece4(new Uint8Array(bytes), start, more);
  assert.equal(
    fates(rig, [of(65_512, 8, false)])[0],
    'bad-fragment',
    '20 + 65,520 are more than 65,535',
  );
  assert.equal(fates(rig, [of(65_504, 12, false)])[0], 'bad-fragment', 'one byte too many');
  assert.equal(fates(rig, [of(65_504, 11, false)])[0], 'fragment-early', 'just so');
  assert.equal(fates(rig, [of(65_528, 1480, true)])[0], 'bad-fragment');
  assert.equal(fates(rig, [of(16, 15, true)])[0], 'bad-fragment', 'cut in the middle of 8 bytes');
  assert.equal(fates(rig, [of(16, 0, true)])[0], 'bad-fragment', 'empty');
  assert.equal(fates(rig, [of(16, 0, false)])[0], 'bad-fragment', 'empty, and the last');
  const of6 = (start: number, bytes: number, more: boolean): Uint8Array =>
    piece6(new Uint8Array(bytes), start, more);
  assert.equal(
    fates(rig, [of6(65_528, 7, false)])[0],
    'fragment-early',
    '65,535 bytes behind the header',
  );
  assert.equal(fates(rig, [of6(65_528, 8, false)])[0], 'bad-fragment');
  assert.equal(fates(rig, [of6(16, 9, true)])[0], 'bad-fragment');
  const withOptions = ipv6({
    ...{ src: WEB6, dst: APP6, nextHeader: PROTOCOL.udp, payload: new Uint8Array(7) },
    extensionHeaders: [hopByHop(), fragment6({ offset: 65_528, id: 1 })],
  });
  assert.equal(
    fates(rig, [withOptions])[0],
    'bad-fragment',
    'the options of each fragment count as well',
  );
});

test('64 KB in 45 fragments of an MTU of 1500, and in 119 of one of 576', () => {
  const rig = new Rig(POLICY);
  const echo = (payload: Uint8Array): Uint8Array => icmp({ type: ICMP.echo, payload });
  for (const [bytes, count] of [
    [1480, 45],
    [552, 119],
  ] as const) {
    const whole = ipv4({
      src: WEB,
      dst: APP,
      protocol: PROTOCOL.icmp,
      payload: echo(new Uint8Array(65_507)),
    });
    const pieces = fragments4(whole, bytes);
    assert.equal(pieces.length, count);
    assert.deepEqual(new Set(fates(rig, pieces)), new Set(['app']));
    const [first, ...rest] = pieces;
    assert.deepEqual(
      new Set(fates(rig, [first, ...rest.reverse()])),
      new Set(['app']),
      'the rest backwards',
    );
  }
  const payload = icmp6Message(WEB6, APP6, { type: ICMP6.echo, payload: new Uint8Array(65_527) });
  const pieces6 = fragments6({ src: WEB6, dst: APP6, nextHeader: PROTOCOL.icmp6, payload }, 1232);
  assert.equal(pieces6.length, 54);
  assert.deepEqual(new Set(fates(rig, pieces6)), new Set(['app']));
});

test('a datagram of more than 128 fragments is given up', () => {
  const rig = new Rig(POLICY);
  const pieces = fragments4(
    ipv4({ src: WEB, dst: APP, protocol: PROTOCOL.udp, payload: ask(8 * 131) }),
    8,
  );
  const seen = fates(rig, pieces);
  assert.deepEqual(new Set(seen.slice(0, 128)), new Set(['app']));
  assert.deepEqual(seen.slice(128), ['fragment-limit', 'fragment-refused', 'fragment-refused']);
});

test('a refused first fragment: the rest drops by its name, and another first one begins anew', () => {
  const rig = new Rig(POLICY);
  const toDb = fragments4(
    ipv4({ src: WEB, dst: DB, protocol: PROTOCOL.udp, payload: ask(48, DB) }),
    16,
  );
  assert.deepEqual(fates(rig, toDb), ['ingress-rules', 'fragment-refused', 'fragment-refused']);
  const ssh = udp(WEB, APP, { srcPort: 5000, dstPort: 22, payload: 'y'.repeat(40) });
  const [refused, rest] = cut4(ssh, [0, 24]);
  const [admitted, more] = cut4(ask(48), [0, 16]);
  assert.deepEqual(fates(rig, [refused, rest]), ['ingress-rules', 'fragment-refused']);
  assert.deepEqual(fates(rig, [admitted, more]), ['app', 'app']);
  assert.deepEqual(rig.counts, [
    'web egress: 7 passed, 0 dropped',
    'app ingress: 2 passed, 2 dropped (ingress-rules 1, fragment-refused 1)',
    'db ingress: 0 passed, 3 dropped (ingress-rules 1, fragment-refused 2)',
  ]);
});

test('a datagram is its identification, addresses, family, gate, and in IPv4 its protocol', () => {
  const rig = new Rig(POLICY);
  const [first, last] = cut4(ask(32), [0, 16], 7);
  assert.equal(fates(rig, [first])[0], 'app');
  assert.equal(
    fates(rig, [cut4(ask(32), [0, 16], 8)[1]])[0],
    'fragment-early',
    'another identification',
  );
  assert.equal(
    fates(rig, [cut4(ask(32), [0, 16], 7, PROTOCOL.tcp)[1]])[0],
    'fragment-early',
    'another protocol',
  );
  const elsewhere = ipv4({
    src: WEB,
    dst: OUT,
    protocol: PROTOCOL.udp,
    id: 7,
    fragmentOffset: 16,
    payload: new Uint8Array(16),
  });
  assert.equal(fates(rig, [elsewhere])[0], 'fragment-early', 'another destination');
  assert.equal(
    fates(rig, [piece6(new Uint8Array(16), 16, false, 7)])[0],
    'fragment-early',
    'another family',
  );
  assert.equal(fates(rig, [last])[0], 'app');
  // Only the first fragment's next header counts in IPv6: here there are options in front of UDP.
  const chain = ipv6({
    ...{ src: WEB6, dst: APP6, nextHeader: PROTOCOL.udp, payload: ask6(24) },
    extensionHeaders: [fragment6({ more: true, id: 9 }), destinationOptions()],
  });
  assert.deepEqual(fates(rig, [chain, piece6(new Uint8Array(8), 32, false, 9)]), ['app', 'app']);
});

test('an atomic fragment is a whole packet, whatever else has its identification (RFC 6946)', () => {
  const rig = new Rig(POLICY);
  const atomic = piece6(ask6(16), 0, false, 5);
  const [first, last] = [
    piece6(ask6(32).subarray(0, 16), 0, true, 5),
    piece6(ask6(32).subarray(16), 16, false, 5),
  ];
  assert.deepEqual(
    fates(rig, [atomic, atomic, first, atomic, last, atomic]),
    new Array(6).fill('app'),
  );
});

test('fragments of an untracked flow and of a tracked one leave the same flows as whole packets', () => {
  const rig = new Rig(POLICY);
  const query = ipv4({ src: OUT, dst: WEB, protocol: PROTOCOL.udp, payload: ask(48, WEB) });
  assert.deepEqual(
    fragments4(query, 16).map((piece) => rig.send('uplink', piece)),
    ['web', 'web', 'web'],
  );
  assert.deepEqual(rig.states, []);
  fates(rig, cut4(ask(48), [0, 16, 32]));
  assert.deepEqual(rig.states, ['udp', 'udp']);
});

test('a fragmented answer passes because of its flow, without a rule', () => {
  const rig = new Rig(POLICY);
  assert.equal(
    rig.send('web', ipv4({ src: WEB, dst: APP, protocol: PROTOCOL.udp, payload: ask(16) })),
    'app',
  );
  const answer = udp(APP, WEB, { srcPort: 53, dstPort: 5000, payload: 'z'.repeat(40) });
  const pieces = fragments4(
    ipv4({ src: APP, dst: WEB, protocol: PROTOCOL.udp, payload: answer }),
    16,
  );
  assert.deepEqual(
    pieces.map((piece) => rig.send('app', piece)),
    ['web', 'web', 'web'],
  );
});

const SECRET = { k0: 1, k1: 2 };
const packet = new Packet();

/** A first fragment under a number that tells it apart, admitted. */
function begin(
  table: FragmentTable,
  sender: number,
  number: number,
  passes = true,
  nowMs = 0,
): void {
  packet.family = 4;
  packet.fragment = FRAGMENT_FIRST;
  packet.fragmentEnd = 8;
  packet.fragmentMore = 1;
  packet.fragmentId = number & 0xffff;
  packet.src0 = number >>> 16;
  if (table.offer(0, sender, packet, nowMs) === FRAGMENT_TO_JUDGE)
    table.settle(packet, passes, nowMs);
}

test('a flood of first fragments is worth the room there is, and takes it only from those above their share', () => {
  const table = new FragmentTable(SECRET, 4, 400);
  for (let i = 0; i < 100; i++) begin(table, 1, i);
  for (let i = 0; i < 50_000; i++) begin(table, 0, 1_000_000 + i);
  assert.deepEqual(
    [0, 1].map((sender) => table.countOf(sender)),
    [300, 100],
  );
  for (let i = 0; i < 50_000; i++) begin(table, 2, 2_000_000 + i);
  assert.deepEqual(
    [0, 1, 2].map((sender) => table.countOf(sender)),
    [150, 100, 150],
  );
});

test("refused datagrams take nobody's room, and make room before any other", () => {
  const table = new FragmentTable(SECRET, 4, 100);
  for (let i = 0; i < 60; i++) begin(table, 0, i);
  for (let i = 0; i < 1000; i++) begin(table, 1, 1000 + i, false);
  assert.equal(table.countOf(0), 60);
  for (let i = 0; i < 40; i++) begin(table, 0, 100 + i);
  assert.equal(table.countOf(0), 100);
  for (let i = 0; i < 10; i++) begin(table, 1, 9000 + i);
  assert.deepEqual(
    [0, 1].map((sender) => table.countOf(sender)),
    [90, 10],
  );
});

test('what is out of time is found and freed, as many first fragments later as there is room', () => {
  const table = new FragmentTable(SECRET, 4, 100);
  for (let i = 0; i < 80; i++) begin(table, 0, i);
  for (let i = 0; i < 100; i++) begin(table, 1, 1000, true, 30_001 + i * 40_000);
  assert.deepEqual(
    [0, 1].map((sender) => table.countOf(sender)),
    [0, 1],
  );
});

test('time wraps after 24 days without anybody noticing', () => {
  const late = 0x7fffffff;
  const [first, second, last] = cut4(ask(48), [0, 16, 32]);
  const rig = new Rig(POLICY);
  assert.equal(rig.send('web', first, late), 'app');
  assert.equal(rig.send('web', second, (late + 30_000) | 0), 'app');
  assert.equal(rig.send('web', last, (late + 30_001) | 0), 'fragment-early');
});

/** Which packets are joined into one write, and which are not: a case a reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RUN_PACKETS_MAX } from '../../src/engine/coalesce.ts';
import {
  bytes,
  concat,
  counting,
  fragments4,
  icmp4,
  ICMP,
  tcp4,
  tcp6,
  toHex,
  udp4,
  udp6,
} from '../packets/build.ts';
import type { Ipv4Rest, TcpOptions, UdpOptions } from '../packets/build.ts';
import {
  OLD_PORT,
  packetsOf,
  TAP_PORT,
  TUN_PORT,
  withPartialChecksum,
  writesOf,
  type Outgoing,
} from './coalescing.ts';
import { GSO, NEEDS_CSUM } from './frames.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const A6 = 'fd00:10::1';
const B6 = 'fd00:10::2';

/** The i-th datagram of a flow: 64 bytes, identification 100 + i. */
function datagram(i: number, more: Partial<UdpOptions> = {}, ip: Ipv4Rest = {}): Uint8Array {
  const content = { srcPort: 4000, dstPort: 5000, payload: counting(64), ...more };
  return udp4(A, B, content, { id: 100 + i, df: true, ...ip });
}

/** The i-th segment of a flow: 100 bytes. */
function segmentAt(i: number, more: Partial<TcpOptions> = {}, ip: Ipv4Rest = {}): Uint8Array {
  const content = { srcPort: 4000, dstPort: 5000, payload: counting(100), seq: 100 * i, ack: 1 };
  return tcp4(A, B, { ...content, ...more }, { id: 100 + i, ...ip });
}

function datagram6(i: number, ip: object = {}): Uint8Array {
  const payload = counting(64).map((byte) => byte ^ i);
  return udp6(A6, B6, { srcPort: 4000, dstPort: 5000, payload }, { flowLabel: 7, ...ip });
}

function segment6(i: number, ip: object = {}): Uint8Array {
  const content = { srcPort: 4000, dstPort: 5000, payload: counting(100), seq: 100 * i };
  return tcp6(A6, B6, content, { flowLabel: 7, ...ip });
}

function partial(packets: readonly Uint8Array[], to = TUN_PORT): Outgoing[] {
  return packets.map((packet) => ({ to, ...withPartialChecksum(packet) }));
}

function complete(packets: readonly Uint8Array[], to = TUN_PORT): Outgoing[] {
  return packets.map((packet) => ({ to, packet }));
}

/** Slots by write: `0+1+2 3`. */
function shape(packets: readonly Outgoing[]): string {
  return writesOf(packets)
    .map(({ slots }) => slots.join('+'))
    .join(' ');
}

const JOINED: readonly [what: string, expected: string, packets: Outgoing[]][] = [
  ['UDP, partial checksums', '0+1+2', partial([0, 1, 2].map((i) => datagram(i)))],
  ['UDP, complete checksums', '0+1+2', complete([0, 1, 2].map((i) => datagram(i)))],
  ['UDP over IPv6', '0+1+2', partial([0, 1, 2].map((i) => datagram6(i)))],
  ['to a TAP', '0+1+2', partial([0, 1, 2].map((i) => datagram(i)), TAP_PORT)],
  ['TCP', '0+1+2', partial([0, 1, 2].map((i) => segmentAt(i)))],
  ['TCP, complete checksums', '0+1+2', complete([0, 1, 2].map((i) => segmentAt(i)))],
  ['TCP over IPv6', '0+1+2', partial([0, 1, 2].map((i) => segment6(i)))],
  ['a shorter one ends the run', '0+1 2', partial([datagram(0), datagram(1, { payload: 'x' }), datagram(2)])],
  ['a longer one begins another', '0 1+2', partial([datagram(0, { payload: 'x' }), datagram(1), datagram(2)])],
  ['PSH ends the run', '0+1 2+3', partial([segmentAt(0), segmentAt(1, { flags: 'AP' }), segmentAt(2), segmentAt(3)])],
  ['between another flow', '0+2 1+3', partial([0, 0, 1, 1].map((id, i) => datagram(id, { srcPort: 4000 + (i % 2) })))],
  ['what was dropped between is no gap of its own', '0+2', [...partial([datagram(0)]), { to: -1, packet: datagram(9) }, ...partial([datagram(1)])]],
]; // prettier-ignore

const APART: readonly [what: string, packets: Outgoing[]][] = [
  ['one identification', partial([datagram(0), datagram(0)])],
  ['a gap in the identification', partial([datagram(0), datagram(2)])],
  ['other TTL', partial([datagram(0), datagram(1, {}, { ttl: 9 })])],
  ['other TOS', partial([datagram(0), datagram(1, {}, { tos: 1 })])],
  ['other DF', partial([datagram(0), datagram(1, {}, { df: false })])],
  ['the reserved bit', partial([0, 1].map((i) => datagram(i, {}, { reserved: true })))],
  ['IP options', partial([0, 1].map((i) => datagram(i, {}, { options: Uint8Array.of(1, 1, 1, 0) })))],
  ['other hop limit', partial([datagram6(0), datagram6(1, { hopLimit: 9 })])],
  ['other flow label', partial([datagram6(0), datagram6(1, { flowLabel: 8 })])],
  ['other traffic class', partial([datagram6(0), datagram6(1, { trafficClass: 8 })])],
  ['other source port', partial([datagram(0), datagram(1, { srcPort: 4001 })])],
  ['other destination port', partial([datagram(0), datagram(1, { dstPort: 5001 })])],
  ['empty datagrams, which would vanish', partial([0, 1].map((i) => datagram(i, { payload: '' })))],
  ['no UDP checksum', complete([0, 1].map((i) => datagram(i, { checksum: 0 })))],
  ['wrong UDP checksums', complete([0, 1].map((i) => datagram(i, { checksum: 0x1234 })))],
  ['wrong TCP checksums', complete([0, 1].map((i) => segmentAt(i, { checksum: 0x1234 })))],
  ['a wrong partial checksum', partial([datagram(0), datagram(1)]).map((one) => ({ ...one, packet: one.packet.map((byte, at) => (at === 27 ? byte ^ 1 : byte)) }))],
  ['wrong IP checksums', partial([0, 1].map((i) => datagram(i, {}, { checksum: 0x1234 })))],
  ['checksums of both kinds', [...partial([datagram(0)]), ...complete([datagram(1)])]],
  ['a UDP length short of the packet', partial([0, 1].map((i) => datagram(i, { length: 60 })))],
  ['to different ports', [...partial([datagram(0)]), ...partial([datagram(1)], TAP_PORT)]],
  ['UDP to a kernel without USO', partial([datagram(0), datagram(1)], OLD_PORT)],
  ['a gap in the sequence', partial([segmentAt(0), segmentAt(1, { seq: 101 })])],
  ['a segment twice', partial([segmentAt(0), segmentAt(1, { seq: 0 })])],
  ['other acknowledgment', partial([segmentAt(0), segmentAt(1, { ack: 2 })])],
  ['other window', partial([segmentAt(0), segmentAt(1, { window: 2 })])],
  ['other timestamps', partial([0, 1].map((i) => segmentAt(i, { timestamps: [i, 0] })))],
  ['other TCP options', partial([segmentAt(0, { timestamps: [1, 1] }), segmentAt(1, { sackPermitted: true, mss: 9, windowScale: 3 })])],
  ['pure acknowledgments', partial([0, 1].map((i) => segmentAt(i, { payload: '' })))],
  ...['S', 'AF', 'AR', 'AU', 'AE', 'AC', 'P', ''].map((flags): [string, Outgoing[]] => [`the TCP flags ${flags}`, partial([0, 1].map((i) => segmentAt(i, { flags })))]),
  ['other urgent pointer', partial([segmentAt(0), segmentAt(1, { urgent: 5 })])],
  ['pushed each', partial([0, 1].map((i) => segmentAt(i, { flags: 'AP' })))],
  ['reserved bits of TCP', partial([0, 1].map((i) => segmentAt(i)).map((packet) => packet.map((byte, at) => (at === 32 ? byte | 1 : byte))))],
  ['fragments', complete(fragments4(datagram(0), 32))],
  ['a fragment between them', [...partial([datagram(0)]), ...complete([fragments4(datagram(5), 32)[1]]), ...partial([datagram(1)])]],
  ['another protocol between them', [...partial([datagram(0)]), ...complete([icmp4(A, B, { type: ICMP.echo })]), ...partial([datagram(1)])]],
  ['a pure acknowledgment between them', partial([segmentAt(0), segmentAt(1, { payload: '' }), segmentAt(1)])],
]; // prettier-ignore

for (const [what, expected, packets] of JOINED)
  test(`joined: ${what}`, () => {
    assert.equal(shape(packets), expected);
    const before = packetsOf(
      packets.filter(({ to }) => to >= 0).map((one) => ({ vnet: {}, ...one, slots: [] })),
    );
    const lines = (list: typeof before): string[] => list.map(({ packet }) => toHex(packet)).sort();
    assert.deepEqual(lines(packetsOf(writesOf(packets))), lines(before));
  });

for (const [what, packets] of APART)
  test(`left alone: ${what}`, () => {
    assert.equal(shape(packets), packets.map((_, i) => i).join(' '));
    for (const [i, write] of writesOf(packets).entries())
      assert.equal(toHex(write.packet), toHex(packets[i].packet));
  });

test('the virtio header of a superpacket', () => {
  const [udp] = writesOf(complete([datagram(0), datagram(1, { payload: 'x' })]));
  assert.deepEqual(udp.vnet, {
    flags: NEEDS_CSUM,
    gsoType: GSO.udp,
    hdrLen: 28,
    gsoSize: 64,
    csumStart: 20,
    csumOffset: 6,
  });
  const [tcp] = writesOf(
    partial(
      [0, 1].map((i) => segment6(i)),
      TAP_PORT,
    ),
  );
  assert.deepEqual(tcp.vnet, {
    flags: NEEDS_CSUM,
    gsoType: GSO.tcp6,
    hdrLen: 60,
    gsoSize: 100,
    csumStart: 40,
    csumOffset: 16,
  });
});

test('a superpacket that came as one is left as it is, and nothing joins it', () => {
  const [first] = partial([segmentAt(0, { payload: counting(200) })]);
  const whole = { ...first, vnet: { ...first.vnet, gsoType: GSO.tcp4, gsoSize: 100, hdrLen: 40 } };
  const before = segmentAt(-1, { seq: 2 ** 32 - 200, payload: counting(200) });
  const packets = [...partial([before]), whole, ...partial([segmentAt(1, { seq: 200 })])];
  assert.equal(shape(packets), '0 1 2');
  assert.deepEqual(writesOf(packets)[1].vnet, whole.vnet);
});

test('packets whose partial checksum is that of a packet inside are left alone', () => {
  const inner = partial([0, 1, 2].map((i) => datagram(i))).map((one) => ({
    ...one,
    vnet: { ...one.vnet, csumStart: 20 + 8 + 20 },
  }));
  assert.deepEqual(
    writesOf(inner).map(({ slots, vnet }) => [slots, vnet.csumStart]),
    [0, 1, 2].map((i) => [[i], 48]),
  );
});

test('flows are told apart where their runs share a place in the table', () => {
  const count = 200;
  const numbers = Array.from({ length: count }, (_, i) => i);
  const payload = counting(64);
  const ports = { srcPort: 4000, dstPort: 5000, payload };
  for (const packets of [
    numbers.map((i) => datagram(i, { srcPort: 4000 + i })),
    numbers.map((i) => datagram(i, { dstPort: 5000 + i })),
    numbers.map((i) => udp4(`10.0.0.${1 + i}`, B, ports, { id: i })),
    numbers.map((i) => udp4(A, `10.0.0.${1 + i}`, ports, { id: i })),
    numbers.map((i) => udp6(`fd00:10::${1 + i}`, B6, ports)),
    numbers.map((i) => udp6(`fd00:${1 + i}::1`, B6, ports)),
    numbers.map((i) => udp6(A6, `fd00:${1 + i}::2`, ports)),
    numbers.flatMap((i) => [datagram(i), segmentAt(i + 1)]),
  ])
    assert.equal(writesOf(partial(packets)).length, packets.length);
});

test('what ends a run by its flags does not end up in it', () => {
  for (const flags of ['AF', 'AR', 'AE', 'AC', 'AU', 'SA', 'P', ''])
    assert.equal(shape(partial([segmentAt(0), segmentAt(1, { flags })])), '0 1', flags);
});

test('bytes behind a packet are not taken for payload', () => {
  const padded = (packet: Uint8Array): Uint8Array => concat(packet, bytes(0));
  assert.equal(shape(complete([datagram(0), padded(datagram(1))])), '0 1');
  assert.equal(
    shape(complete([segmentAt(0), padded(segmentAt(1, { payload: counting(99) }))])),
    '0 1',
  );
  assert.equal(shape(complete([segment6(0), padded(segment6(1))])), '0 1');
});

/** A packet whose checksum, the 16 bits at `at`, comes out as `sum`. */
function withSum(at: number, sum: number, make: (i: number) => Uint8Array): Uint8Array {
  for (let i = 0; i < 65_536; i++) {
    const packet = make(i);
    if (packet[at] * 256 + packet[at + 1] === sum) return packet;
  }
  throw new Error('no such packet');
}

test('a checksum of 0 written in the other way, which segmentation would not, is left alone', () => {
  const number = (i: number): Uint8Array => bytes(i >>> 8, i & 255, 1, 2);
  const header = withSum(10, 0, (i) => datagram(i % 65_000));
  const id = header[4] * 256 + header[5] - 100;
  assert.equal(shape(complete([datagram(id), datagram(id + 1)])), '0+1');
  assert.equal(shape(complete([datagram(id, {}, { checksum: 0xffff }), datagram(id + 1)])), '0 1');

  const tcp = (i: number, checksum?: number): Uint8Array =>
    segmentAt(0, { payload: number(i), ...(checksum === undefined ? {} : { checksum }) });
  const segment = withSum(36, 0, tcp).subarray(40);
  const i = segment[0] * 256 + segment[1];
  const follow = segmentAt(1, { seq: 4, payload: number(7) });
  assert.equal(shape(complete([tcp(i), follow])), '0+1');
  assert.equal(shape(complete([tcp(i, 0xffff), follow])), '0 1');
});

test(`at most ${RUN_PACKETS_MAX} packets, and 65,535 bytes`, () => {
  const small = partial(Array.from({ length: 130 }, (_, i) => datagram(i)));
  assert.deepEqual(
    writesOf(small).map(({ slots }) => slots.length),
    [64, 64, 2],
  );
  const large = partial(
    Array.from({ length: 46 }, (_, i) => datagram(i, { payload: counting(1472) })),
  );
  assert.deepEqual(
    writesOf(large).map(({ slots, packet }) => [slots.length, packet.length]),
    [
      [44, 28 + 44 * 1472],
      [2, 28 + 2 * 1472],
    ],
  );
  const exact = (last: number): Outgoing[] =>
    partial([32000, 32000, last].map((bytes, i) => datagram(i, { payload: counting(bytes) })));
  assert.equal(shape(exact(65535 - 28 - 64000)), '0+1+2');
  assert.equal(shape(exact(65535 - 28 - 64000 + 1)), '0+1 2');
});

/** Packets larger than the device they are for: fragments that make the same packet, or an error as a router sends it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CUT, SLOT_PORT } from '../../src/engine/batch.ts';
import {
  counting,
  fragment6,
  fragments4,
  icmp4,
  icmpError4,
  icmpError6,
  ICMP,
  ipv4,
  ipv6,
  MAC_BROADCAST,
  PROTOCOL,
  tcp4,
  tcp6,
  toHex,
  udp,
  udp4,
  udp6,
} from '../packets/build.ts';
import type { Ipv4Rest } from '../packets/build.ts';
import { withPartialChecksum } from './coalescing.ts';
import { DROPPED, frame, GATEWAY, GSO, NEEDS_CSUM, vnetHeader, Wire, type Vnet } from './frames.ts';
import { finish, segment } from './segment-twin.ts';

const A = ['10.0.0.1', 'fd00:10::1'] as const;
const B = ['10.0.0.2', 'fd00:10::2'] as const;
const TAP = ['10.0.0.3', 'fd00:10::3'] as const;
const OUT = ['198.51.100.7', '2001:db8::7'] as const;
const MAC = '06:00:00:00:00:0c';
const PLAIN = toHex(vnetHeader());

function wire(mtu: number): Wire {
  const w = new Wire(
    {
      groups: { open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] }, shut: { ingress: [] } },
      interfaces: {
        a: { addresses: [...A], groups: ['open'] },
        b: { addresses: [...B], groups: ['open'] },
        tap: { addresses: [...TAP], groups: ['open'] },
        shut: { addresses: ['10.0.0.4'], groups: ['shut'] },
      },
    },
    ['tap'],
  );
  for (const name of ['uplink', 'b', 'shut']) w.setMtu(name, mtu);
  return w;
}

function datagram(dst: string, bytes: number, ip: Ipv4Rest = {}, src: string = A[0]): Uint8Array {
  const headers = 28 + (ip.options?.length ?? 0);
  const content = { srcPort: 1, dstPort: 53, payload: counting(bytes - headers) };
  return udp4(src, dst, content, { id: 77, ...ip });
}

function datagram6(dst: string, bytes: number, src: string = A[1]): Uint8Array {
  return udp6(src, dst, { srcPort: 1, dstPort: 53, payload: counting(bytes - 48) });
}

/** The error about a packet, as RFC 1191 and RFC 4443 have it, by the packet builders. */
function errorAbout(packet: Uint8Array, src: string, dst: string, mtu: number): string {
  if (src.includes(':')) return toHex(icmpError6(dst, src, { type: 2, quoted: packet, rest: mtu }));
  const about = { type: 3, code: 4, quoted: packet, quotedBytes: 576 - 28, rest: mtu };
  return toHex(icmpError4(dst, src, about, { tos: 0xc0, id: 0, df: true }));
}

test('what fits goes on, to the byte', () => {
  for (const [packet, to] of [
    [datagram(B[0], 1000, { df: true }), 'b'],
    [datagram(B[0], 1000), 'b'],
    [datagram6(B[1], 1000), 'b'],
    [datagram(OUT[0], 1000, { df: true }), 'uplink'],
    [datagram(TAP[0], 9000, { df: true }), 'tap'],
  ] as const) {
    const w = wire(1000);
    assert.equal(w.pass('a', packet).to, to);
    assert.deepEqual(w.takeBehind(), []);
  }
});

test('a byte more, and the sender is told by the port it sent by', () => {
  for (const [packet, dst, src, to, from] of [
    [datagram(B[0], 1001, { df: true }), B[0], A[0], 'b', 'a'],
    [datagram6(B[1], 1001), B[1], A[1], 'b', 'a'],
    [datagram(OUT[0], 1001, { df: true }), OUT[0], A[0], 'uplink', 'a'],
    [datagram6(OUT[1], 3000), OUT[1], A[1], 'uplink', 'a'],
    [datagram(B[0], 2000, { df: true }, OUT[0]), B[0], OUT[0], 'b', 'uplink'],
    [
      tcp4(A[0], B[0], { srcPort: 1, dstPort: 2, payload: counting(2000) }, { df: true }),
      B[0],
      A[0],
      'b',
      'a',
    ],
    [tcp6(A[1], B[1], { srcPort: 1, dstPort: 2, payload: counting(2000) }), B[1], A[1], 'b', 'a'],
    [
      icmp4(A[0], B[0], { type: ICMP.echo, payload: counting(2000) }, { df: true }),
      B[0],
      A[0],
      'b',
      'a',
    ],
  ] as const) {
    const w = wire(1000);
    assert.equal(w.pass(from, packet).to, DROPPED);
    assert.deepEqual(w.takeBehind(), [
      { to: from, vnet: PLAIN, frame: errorAbout(packet, src, dst, 1000) },
    ]);
    const [entry, exit] = [
      `${from} ${from === 'uplink' ? 'ingress' : 'egress'}`,
      `${to} ${to === 'uplink' ? 'egress' : 'ingress'}`,
    ];
    assert.deepEqual(
      [...w.rig.counts].sort(),
      [`${entry}: 1 passed, 0 dropped`, `${exit}: 0 passed, 1 dropped (packet-too-big 1)`].sort(),
    );
  }
});

test('a TAP is told behind an Ethernet header, at the address it spoke from', () => {
  const w = wire(1000);
  const packet = datagram(B[0], 1200, { df: true }, TAP[0]);
  assert.equal(w.pass('tap', frame(packet, MAC, GATEWAY)).to, DROPPED);
  const error = Buffer.from(errorAbout(packet, TAP[0], B[0], 1000), 'hex');
  assert.deepEqual(w.takeBehind(), [
    { to: 'tap', vnet: PLAIN, frame: toHex(frame(error, GATEWAY, MAC)) },
  ]);
  assert.equal(w.pass('tap', frame(packet, MAC, MAC_BROADCAST)).to, DROPPED);
  assert.deepEqual(w.takeBehind(), [], 'not about a frame to everybody');
});

test('nobody is told of what the rules refuse', () => {
  const w = wire(1000);
  assert.equal(w.pass('a', datagram('10.0.0.4', 1200, { df: true })).to, DROPPED);
  assert.deepEqual(w.takeBehind(), []);
  assert.deepEqual(w.rig.counts, [
    'a egress: 1 passed, 0 dropped',
    'shut ingress: 0 passed, 1 dropped (ingress-rules 1)',
  ]);
});

test('nobody is told of errors, or of fragments but the first', () => {
  const quoted = datagram(A[0], 1400, { df: true }, B[0]);
  const quoted6 = datagram6(A[1], 1400, B[1]);
  const whole = datagram(B[0], 3000);
  const parts = fragments4(whole, 1400).map((part) =>
    ipv4({
      src: A[0],
      dst: B[0],
      protocol: PROTOCOL.udp,
      id: 77,
      df: true,
      mf: part[6] >= 0x20,
      fragmentOffset: ((part[6] & 0x1f) * 256 + part[7]) * 8,
      payload: part.subarray(20),
    }),
  );
  const parts6 = [0, 1400].map((offset) =>
    ipv6({
      src: A[1],
      dst: B[1],
      extensionHeaders: [fragment6({ offset, more: offset === 0, id: 9 })],
      nextHeader: PROTOCOL.udp,
      payload: udp(A[1], B[1], { srcPort: 1, dstPort: 53, payload: counting(2792) }).subarray(
        offset,
        offset + 1400,
      ),
    }),
  );
  for (const [packets, errors] of [
    [[icmpError4(A[0], B[0], { type: 3, code: 1, quoted, quotedBytes: 1200 }, { df: true })], 0],
    [[icmpError4(A[0], B[0], { type: 5, quoted, quotedBytes: 1200 }, { df: true })], 0],
    [[icmpError6(A[1], B[1], { type: 1, quoted: quoted6 })], 0],
    [[icmpError6(A[1], B[1], { type: 100, quoted: quoted6 })], 0],
    [parts.slice(0, 1), 1],
    [parts.slice(0, 2), 1],
    [parts6.slice(0, 1), 1],
    [parts6, 1],
  ] as const) {
    const w = wire(1000);
    const sent = w.receive('a', packets);
    assert.deepEqual(
      sent.map(({ to }) => to),
      packets.map(() => DROPPED),
    );
    assert.equal(w.takeBehind().length, errors);
    const dropped = w.rig.counts.find((line) => line.startsWith('b ingress'))!;
    assert.match(dropped, /^b ingress: 0 passed, \d dropped \(packet-too-big \d\)$/);
  }
});

test('errors are bounded by port, 50 at once and one a millisecond', () => {
  const w = wire(1000);
  const packet = datagram(B[0], 1200, { df: true });
  const burst = (from: string, nowMs: number, one = packet): number => {
    for (let i = 0; i < 3; i++)
      w.receive(
        from,
        Array.from({ length: 30 }, () => one),
        nowMs,
      );
    return w.takeBehind().length;
  };
  assert.equal(burst('a', 1000), 50);
  assert.equal(burst('a', 1000), 0);
  assert.equal(burst('uplink', 1000, datagram(B[0], 1200, { df: true }, OUT[0])), 50);
  assert.equal(burst('a', 1007), 7);
  assert.equal(burst('a', 900_000), 50);
  // The clock is int32 and goes round.
  assert.equal(burst('a', 2 ** 31 - 1), 50);
  assert.equal(burst('a', -(2 ** 31) + 4), 5);
  assert.equal(burst('a', -(2 ** 31) + 4 + 60), 50);
});

/** Puts fragments together again, and nothing else. */
function reassemble(pieces: readonly Uint8Array[], mtu: number): Uint8Array {
  const headerBytes = (pieces[0][0] % 16) * 4;
  const parts = pieces.map((piece) => {
    assert.ok(piece.length <= mtu, `a fragment of ${piece.length} bytes`);
    assert.equal(piece[2] * 256 + piece[3], piece.length);
    const word = piece[6] * 256 + piece[7];
    return { at: (word & 0x1fff) * 8, more: (word & 0x2000) !== 0, piece };
  });
  const last = parts[parts.length - 1];
  const data = new Uint8Array(last.at + last.piece.length - headerBytes);
  let at = 0;
  for (const [i, { piece, more, at: offset }] of parts.entries()) {
    assert.equal(offset, at);
    assert.equal(more, i < parts.length - 1);
    data.set(piece.subarray(headerBytes), offset);
    at += piece.length - headerBytes;
  }
  const first = pieces[0];
  return ipv4({
    src: first.subarray(12, 16),
    dst: first.subarray(16, 20),
    protocol: first[9],
    id: first[4] * 256 + first[5],
    tos: first[1],
    ttl: first[8],
    options: first.subarray(20, headerBytes),
    payload: data,
  });
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

test('IPv4 without DF is cut, and put together is what it was', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 576, max: 1500 }),
      fc.integer({ min: 1, max: 9000 }),
      fc.constantFrom(0, 4, 40),
      fc.boolean(),
      fc.boolean(),
      (mtu, more, optionBytes, isPartial, isToTap) => {
        const w = wire(mtu);
        w.setMtu('tap', mtu);
        const dst = isToTap ? TAP[0] : B[0];
        const options = new Uint8Array(optionBytes).fill(1);
        const whole = datagram(dst, mtu + more, { options, tos: 0x2e, ttl: 9 });
        const { packet, vnet } = isPartial
          ? withPartialChecksum(whole)
          : { packet: whole, vnet: undefined };
        const [sent] = w.receive('a', [[vnet ?? {}, packet]]);
        assert.equal(sent.to, DROPPED);
        assert.equal(w.batch.portOf(0), CUT);
        const pieces = w.takeBehind();
        assert.ok(
          pieces.every(({ to, vnet: head }) => to === (isToTap ? 'tap' : 'b') && head === PLAIN),
        );
        const link = isToTap ? 14 : 0;
        const ip = pieces.map((piece) => fromHex(piece.frame).subarray(link));
        assert.equal(toHex(reassemble(ip, mtu)), toHex(finish(vnet ?? {}, packet)));
        assert.deepEqual(
          [...w.rig.counts].sort(),
          [
            'a egress: 1 passed, 0 dropped',
            `${isToTap ? 'tap' : 'b'} ingress: 1 passed, 0 dropped`,
          ].sort(),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('a fragment is cut into fragments, and options that are for the first are blank in the others', () => {
  // Record route (7), not copied; router alert (148), copied.
  const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0);
  const whole = datagram(B[0], 2700, { options });
  const header = 32;
  const part = (offset: number, bytes: number, mf: boolean): Uint8Array =>
    ipv4({
      src: A[0],
      dst: B[0],
      protocol: PROTOCOL.udp,
      id: 77,
      options,
      mf,
      fragmentOffset: offset,
      payload: whole.subarray(header + offset, header + offset + bytes),
    });
  const w = wire(1000);
  w.receive('a', [part(0, 1600, true), part(1600, 1068, false)]);
  const pieces = w.takeBehind().map((piece) => fromHex(piece.frame));
  assert.deepEqual(
    pieces.map((piece) => [
      ((piece[6] * 256 + piece[7]) & 0x1fff) * 8,
      piece[6] & 0x20,
      piece.length,
    ]),
    [
      [0, 0x20, header + 968],
      [968, 0x20, header + 632],
      [1600, 0x20, header + 968],
      [2568, 0, header + 100],
    ],
  );
  assert.equal(toHex(pieces[0].subarray(20, header)), toHex(options));
  for (const i of [1, 3])
    assert.equal(toHex(pieces[i].subarray(20, header)), `${'01'.repeat(7)}9404000000`.slice(0, 24));
  assert.equal(
    toHex(Buffer.concat(pieces.map((piece) => piece.subarray(header)))),
    toHex(whole.subarray(header)),
  );
});

/** A superpacket from `a`, and its virtio header. */
function superpacket(
  dst: string,
  gsoSize: number,
  isTcp: boolean,
  df: boolean,
): [Vnet, Uint8Array] {
  const is6 = dst.includes(':');
  const payload = counting(3 * gsoSize);
  const src = A[is6 ? 1 : 0];
  const content = { srcPort: 1, dstPort: 2, payload };
  const built = isTcp
    ? is6
      ? tcp6(src, dst, content)
      : tcp4(src, dst, content, { df })
    : is6
      ? udp6(src, dst, content)
      : udp4(src, dst, content, { df });
  const { packet, vnet } = withPartialChecksum(built);
  const gsoType = isTcp ? (is6 ? GSO.tcp6 : GSO.tcp4) : GSO.udp;
  const hdrLen = (is6 ? 40 : 20) + (isTcp ? 20 : 8);
  return [{ ...vnet, flags: NEEDS_CSUM, gsoType, gsoSize, hdrLen }, packet];
}

test('superpackets go by their segments', () => {
  for (const family of [0, 1])
    for (const isTcp of [true, false]) {
      const headers = (family === 0 ? 20 : 40) + (isTcp ? 20 : 8);
      const fits = superpacket(B[family], 1000 - headers, isTcp, true);
      const w = wire(1000);
      assert.deepEqual(w.receive('a', [fits])[0], {
        to: 'b',
        vnet: toHex(vnetHeader(fits[0])),
        frame: toHex(fits[1]),
      });
      const isTooLong = superpacket(B[family], 1001 - headers, isTcp, true);
      assert.equal(w.receive('a', [isTooLong])[0].to, DROPPED);
      const error = errorAbout(isTooLong[1], A[family], B[family], 1000);
      assert.deepEqual(w.takeBehind(), [{ to: 'a', vnet: PLAIN, frame: error }]);
      assert.deepEqual(w.rig.counts, [
        'a egress: 6 passed, 0 dropped',
        'b ingress: 3 passed, 3 dropped (packet-too-big 3)',
      ]);
    }
});

test('a superpacket of TCP without DF is cut into smaller segments; one of UDP is told of', () => {
  const w = wire(1000);
  const [vnet, packet] = superpacket(B[0], 1200, true, false);
  const [sent] = w.receive('a', [[vnet, packet]]);
  assert.equal(sent.to, 'b');
  assert.equal(sent.frame, toHex(packet));
  assert.equal(sent.vnet, toHex(vnetHeader({ ...vnet, gsoSize: 960 })));
  const pieces = segment({ ...vnet, gsoSize: 960 }, packet);
  assert.ok(pieces.every(({ length }) => length <= 1000));
  const [udpVnet, udpPacket] = superpacket(B[0], 1200, false, false);
  assert.equal(w.receive('a', [[udpVnet, udpPacket]])[0].to, DROPPED);
  assert.equal(w.takeBehind().length, 1);
});

test('what has no room to be cut drops, and is counted', () => {
  const w = wire(576);
  const packet = datagram(B[0], 60_000);
  let cut = 0;
  for (let i = 0; i < 40; i++) {
    w.pass('a', packet);
    if (w.batch.portOf(0) === CUT) cut++;
  }
  const pieces = Math.ceil(59_980 / 552);
  assert.equal(cut, Math.floor(1024 / pieces));
  assert.deepEqual(w.rig.counts, [
    'a egress: 40 passed, 0 dropped',
    `b ingress: ${cut} passed, ${40 - cut} dropped (packet-too-big ${40 - cut})`,
  ]);
});

test('a datagram of which a device refuses a fragment was not delivered', () => {
  const w = wire(1000);
  w.receive('a', [datagram(B[0], 2900), datagram(B[0], 1400), datagram6(B[1], 1400)]);
  const { tooBig } = w.batch;
  const EIO = 5;
  assert.equal(tooBig.count, 6);
  for (const slot of [1, 2, 5]) tooBig.slots[3 * slot + SLOT_PORT] = -EIO;
  tooBig.countFailures(w.rig.engine.counters);
  assert.deepEqual(w.rig.counts, [
    'a egress: 3 passed, 0 dropped',
    'b ingress: 1 passed, 2 dropped (write-failed 1, packet-too-big 1)',
  ]);
});

/** Batches: packets change from port to port in headers alone, and are counted as what they are on the wire. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOT_SENT, SLOT_PORT, SLOT_WORDS } from '../../src/engine/batch.ts';
import { counterRow, EGRESS, INGRESS, PASSED_BYTES } from '../../src/engine/counters.ts';
import {
  bytes,
  concat,
  counting,
  ethernet,
  ETHER_TYPE,
  icmp4,
  ICMP,
  MAC_BROADCAST,
  tcp4,
  tcp6,
  toHex,
  udp4,
  udp6,
} from '../packets/build.ts';
import {
  DROPPED,
  etherTypeOf,
  frame,
  GATEWAY,
  GSO,
  NEEDS_CSUM,
  vnetHeader,
  Wire,
  INSTANCE_MAC,
} from './frames.ts';
import type { Vnet } from './frames.ts';

const TUN_A = '10.0.0.1';
const TUN_B = '10.0.0.2';
const TAP_C = '10.0.0.3';
const TAP_D = '10.0.0.4';
const TUN_A6 = 'fd00:10::1';
const TUN_B6 = 'fd00:10::2';
const TAP_C6 = 'fd00:10::3';
const TAP_D6 = 'fd00:10::4';
const OUT = '198.51.100.7';
const MAC_C = '06:00:00:00:00:0c';
const MAC_D = '06:00:00:00:00:0d';

const OPEN = {
  groups: {
    open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] },
    shut: { egress: [] },
  },
  interfaces: {
    a: { addresses: [TUN_A, TUN_A6], groups: ['open'] },
    b: { addresses: [TUN_B, TUN_B6], groups: ['open'] },
    c: { addresses: [TAP_C, TAP_C6], groups: ['open'] },
    d: { addresses: [TAP_D, TAP_D6], groups: ['open'] },
    shut: { addresses: ['10.0.0.5'], groups: ['shut'] },
  },
};

function wire(): Wire {
  return new Wire(OPEN, ['c', 'd']);
}

/** A TCP superpacket and its virtio header, counted from the start of the IP header. */
function superpacket(src: string, dst: string, payloadBytes: number): [Vnet, Uint8Array] {
  const is6 = src.includes(':');
  const header = { srcPort: 40000, dstPort: 5001, flags: 'A', timestamps: [1, 2] } as const;
  const content = { ...header, payload: counting(payloadBytes) };
  const packet = is6 ? tcp6(src, dst, content) : tcp4(src, dst, content);
  const ipBytes = is6 ? 40 : 20;
  return [
    {
      flags: NEEDS_CSUM,
      gsoType: is6 ? GSO.tcp6 : GSO.tcp4,
      hdrLen: ipBytes + 32,
      gsoSize: is6 ? 1428 : 1448,
      csumStart: ipBytes,
      csumOffset: 16,
    },
    packet,
  ];
}

function shifted(vnet: Vnet, by: number): string {
  return toHex(vnetHeader({ ...vnet, hdrLen: vnet.hdrLen! + by, csumStart: vnet.csumStart! + by }));
}

test('TUN to TUN: nothing changes, virtio header and all', () => {
  for (const [src, dst] of [
    [TUN_A, TUN_B],
    [TUN_A6, TUN_B6],
  ]) {
    const [vnet, packet] = superpacket(src, dst, 20000);
    assert.deepEqual(wire().pass('a', packet, vnet), {
      to: 'b',
      vnet: toHex(vnetHeader(vnet)),
      frame: toHex(packet),
    });
  }
});

test('TUN to TAP: an Ethernet header comes on, and what counts from the start moves by 14', () => {
  for (const [src, dst] of [
    [TUN_A, TAP_C],
    [TUN_A6, TAP_C6],
  ]) {
    const [vnet, packet] = superpacket(src, dst, 20000);
    assert.deepEqual(wire().pass('a', packet, vnet), {
      to: 'c',
      vnet: shifted(vnet, 14),
      frame: toHex(frame(packet, GATEWAY, INSTANCE_MAC)),
    });
  }
});

test('TAP to TUN: the Ethernet header comes off, and what counts from the start moves back', () => {
  for (const [src, dst] of [
    [TAP_C, TUN_A],
    [TAP_C6, TUN_A6],
  ]) {
    const [vnet, packet] = superpacket(src, dst, 20000);
    const inFrame = { ...vnet, hdrLen: vnet.hdrLen! + 14, csumStart: vnet.csumStart! + 14 };
    assert.deepEqual(wire().pass('c', frame(packet, MAC_C, GATEWAY), inFrame), {
      to: 'a',
      vnet: toHex(vnetHeader(vnet)),
      frame: toHex(packet),
    });
  }
});

test('TAP to TAP: new addresses, the same offsets; the answer goes to the address that was learned', () => {
  const w = wire();
  const [vnet, packet] = superpacket(TAP_C, TAP_D, 20000);
  const inFrame = { ...vnet, hdrLen: vnet.hdrLen! + 14, csumStart: vnet.csumStart! + 14 };
  assert.deepEqual(w.pass('c', frame(packet, MAC_C, GATEWAY), inFrame), {
    to: 'd',
    vnet: shifted(vnet, 14),
    frame: toHex(frame(packet, GATEWAY, INSTANCE_MAC)),
  });
  const answer = tcp4(TAP_D, TAP_C, { srcPort: 5001, dstPort: 40000, flags: 'A' });
  assert.deepEqual(w.pass('d', frame(answer, MAC_D, GATEWAY)), {
    to: 'c',
    vnet: toHex(vnetHeader()),
    frame: toHex(frame(answer, GATEWAY, MAC_C)),
  });
  assert.equal(
    w.pass('c', frame(packet, MAC_C, GATEWAY), inFrame).frame,
    toHex(frame(packet, GATEWAY, MAC_D)),
  );
});

test('a priority-tagged frame (VLAN id 0) goes on without its tag: everything moves by 18', () => {
  const tagged = (packet: Uint8Array): Uint8Array =>
    ethernet({
      src: MAC_C,
      dst: GATEWAY,
      vlan: { id: 0, priority: 5 },
      etherType: etherTypeOf(packet),
      payload: packet,
    });
  for (const [src, tun, tap] of [
    [TAP_C, TUN_A, TAP_D],
    [TAP_C6, TUN_A6, TAP_D6],
  ]) {
    const [vnet, toTun] = superpacket(src, tun, 5000);
    const inFrame = { ...vnet, hdrLen: vnet.hdrLen! + 18, csumStart: vnet.csumStart! + 18 };
    assert.deepEqual(wire().pass('c', tagged(toTun), inFrame), {
      to: 'a',
      vnet: toHex(vnetHeader(vnet)),
      frame: toHex(toTun),
    });
    const [, toTap] = superpacket(src, tap, 5000);
    assert.deepEqual(wire().pass('c', tagged(toTap), inFrame), {
      to: 'd',
      vnet: shifted(vnet, 14),
      frame: toHex(frame(toTap, GATEWAY, INSTANCE_MAC)),
    });
  }
});

test('a virtio header that asks for nothing stays empty', () => {
  const w = wire();
  const packet = udp4(TUN_A, TAP_C, { srcPort: 1, dstPort: 2, payload: 'abc' });
  assert.equal(w.pass('a', packet).vnet, toHex(vnetHeader()));
  const back = udp4(TAP_C, TUN_A, { srcPort: 2, dstPort: 1, payload: 'abc' });
  assert.equal(w.pass('c', frame(back, MAC_C, GATEWAY)).vnet, toHex(vnetHeader()));
});

test('the padding of short frames, and whatever is behind a packet, is cut off', () => {
  const padding = concat(bytes(0xde, 0xad, 0xbe, 0xef), new Uint8Array(20));
  const cases: readonly [string, string, Uint8Array][] = [
    ['c', 'a', udp4(TAP_C, TUN_A, { srcPort: 1, dstPort: 2 })],
    ['c', 'a', udp6(TAP_C6, TUN_A6, { srcPort: 1, dstPort: 2 })],
    ['c', 'd', udp4(TAP_C, TAP_D, { srcPort: 1, dstPort: 2 })],
    ['a', 'b', udp4(TUN_A, TUN_B, { srcPort: 1, dstPort: 2 })],
    ['a', 'c', udp6(TUN_A6, TAP_C6, { srcPort: 1, dstPort: 2 })],
  ];
  for (const [from, to, packet] of cases) {
    const padded = concat(packet, padding);
    const [content, expected] = [
      from === 'c' ? frame(padded, MAC_C, GATEWAY) : padded,
      to === 'c' || to === 'd' ? frame(packet, GATEWAY, INSTANCE_MAC) : packet,
    ];
    assert.deepEqual(wire().pass(from, content), {
      to,
      vnet: toHex(vnetHeader()),
      frame: toHex(expected),
    });
  }
});

test('a batch is judged in order, slot by slot, and drops leave their neighbours alone', () => {
  const packets = [
    udp4(TUN_A, TUN_B, { srcPort: 1, dstPort: 1, payload: counting(7) }),
    udp4(TUN_B, TUN_A, { srcPort: 1, dstPort: 1 }),
    udp6(TUN_A6, TAP_C6, { srcPort: 1, dstPort: 1 }),
    bytes(0x45),
    icmp4(TUN_A, TAP_D, { type: ICMP.echo, payload: counting(1001) }),
    udp4(TUN_A, OUT, { srcPort: 1, dstPort: 1 }),
  ];
  const w = wire();
  const sent = w.receive('a', packets);
  assert.deepEqual(
    sent.map(({ to }) => to),
    ['b', DROPPED, 'c', DROPPED, 'd', 'uplink'],
  );
  assert.deepEqual(
    [0, 2, 4, 5].map((i) => sent[i].frame),
    [
      toHex(packets[0]),
      toHex(frame(packets[2], GATEWAY, INSTANCE_MAC)),
      toHex(frame(packets[4], GATEWAY, INSTANCE_MAC)),
      toHex(packets[5]),
    ],
  );
  assert.deepEqual([...w.rig.counts].sort(), [
    'a egress: 4 passed, 2 dropped (truncated 1, source-check 1)',
    'b ingress: 1 passed, 0 dropped',
    'c ingress: 1 passed, 0 dropped',
    'd ingress: 1 passed, 0 dropped',
    'uplink egress: 1 passed, 0 dropped',
  ]);
});

test('a superpacket counts as the packets it will be on the wire', () => {
  const from = { src: TUN_A, dst: TUN_B };
  const udpVnet = { flags: NEEDS_CSUM, gsoType: GSO.udp, gsoSize: 1000, csumOffset: 6 };
  const udpSuper = (payloadBytes: number): [Vnet, Uint8Array] => [
    { ...udpVnet, csumStart: 20 },
    udp4(from.src, from.dst, { srcPort: 1, dstPort: 2, payload: counting(payloadBytes) }),
  ];
  const udpSuper6: [Vnet, Uint8Array] = [
    { ...udpVnet, csumStart: 40 },
    udp6(TUN_A6, TUN_B6, { srcPort: 1, dstPort: 2, payload: counting(3500) }),
  ];
  const cases: readonly [string, number, [Vnet, Uint8Array]][] = [
    ['TCP over IPv4', 14, superpacket(TUN_A, TUN_B, 14 * 1448)],
    ['a byte more', 15, superpacket(TUN_A, TUN_B, 14 * 1448 + 1)],
    ['TCP over IPv6', 3, superpacket(TUN_A6, TUN_B6, 2 * 1428 + 5)],
    ['UDP', 3, udpSuper(3000)],
    ['UDP, a byte more', 4, udpSuper(3001)],
    ['UDP over IPv6', 4, udpSuper6],
    ['no GSO', 1, [{ gsoType: 0, gsoSize: 1448 }, superpacket(TUN_A, TUN_B, 5000)[1]]],
  ];
  for (const [what, packets, [vnet, packet]] of cases) {
    const w = wire();
    assert.equal(w.pass('a', packet, vnet).to, 'b', what);
    assert.deepEqual(
      w.rig.counts,
      [`a egress: ${packets} passed, 0 dropped`, `b ingress: ${packets} passed, 0 dropped`],
      what,
    );
  }
});

test('a superpacket that is dropped counts as its packets, too', () => {
  const w = wire();
  const [vnet, packet] = superpacket(TUN_B, TUN_A, 2 * 1448);
  assert.equal(w.pass('a', packet, vnet).to, DROPPED);
  assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 2 dropped (source-check 2)']);
});

test('a superpacket in a frame is measured behind the frame header', () => {
  const w = wire();
  const [vnet, packet] = superpacket(TAP_C, TUN_A, 3 * 1448);
  const inFrame = { ...vnet, hdrLen: vnet.hdrLen! + 14, csumStart: vnet.csumStart! + 14 };
  assert.equal(w.pass('c', frame(packet, MAC_C, GATEWAY), inFrame).to, 'a');
  assert.deepEqual(w.rig.counts, [
    'a ingress: 3 passed, 0 dropped',
    'c egress: 3 passed, 0 dropped',
  ]);
});

test('what can not be decoded counts as one packet, whatever its virtio header says', () => {
  const whole = tcp4(TUN_A, TUN_B, { srcPort: 1, dstPort: 2, payload: counting(100) });
  for (const packet of [whole.subarray(0, 20), whole.subarray(0, 60), bytes(0x4f), bytes()]) {
    const w = wire();
    assert.equal(w.pass('a', packet, { gsoType: GSO.tcp6, gsoSize: 1 }).to, DROPPED);
    assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 1 dropped (truncated 1)']);
  }
});

test('what a device refuses was not passed: the count moves to write-failed', () => {
  const w = wire();
  const [vnet, packet] = superpacket(TUN_A, TAP_C, 3 * 1448);
  const small = udp4(TUN_A, TUN_B, { srcPort: 1, dstPort: 2, payload: counting(30) });
  const out = udp4(TUN_A, OUT, { srcPort: 1, dstPort: 2 });
  const refused = tcp4(TUN_A, '10.0.0.5', { srcPort: 1, dstPort: 2 });
  w.receive('a', [[vnet, packet], small, out, small, refused]);
  w.refuse(5, [0, 1, 2]);
  assert.deepEqual([...w.rig.counts].sort(), [
    'a egress: 7 passed, 0 dropped',
    'b ingress: 1 passed, 1 dropped (write-failed 1)',
    'c ingress: 0 passed, 3 dropped (write-failed 3)',
    'shut ingress: 0 passed, 1 dropped (ingress-rules 1)',
    'uplink egress: 0 passed, 1 dropped (write-failed 1)',
  ]);
  assert.deepEqual(passedBytes(w, 'b', INGRESS), small.length);
  assert.deepEqual(passedBytes(w, 'c', INGRESS), 0);
  assert.deepEqual(passedBytes(w, 'uplink', EGRESS), 0);
});

test('what its own write carried, and what failed with the write of another slot, is told apart', () => {
  const w = wire();
  const datagrams = [1, 2, 3].map((i) => udp4(TUN_A, TUN_B, { srcPort: 1, dstPort: i }));
  w.receive('a', datagrams);
  // Slots 0 and 2 went in one write, which was refused; slot 1 went alone.
  w.batch.slots[SLOT_PORT] = -5;
  w.batch.slots[2 * SLOT_WORDS + SLOT_PORT] = NOT_SENT;
  w.batch.countFailures(w.rig.engine, 3, Int32Array.of(0, 1, 0));
  assert.deepEqual([...w.rig.counts].sort(), [
    'a egress: 3 passed, 0 dropped',
    'b ingress: 1 passed, 2 dropped (write-failed 2)',
  ]);
});

test('an answer of the link layer that can not be written takes nothing from the counts', () => {
  const w = wire();
  const request = ethernet({
    src: MAC_C,
    dst: MAC_BROADCAST,
    etherType: ETHER_TYPE.arp,
    payload: concat(
      bytes(0, 1, 8, 0, 6, 4, 0, 1, 6, 0, 0, 0, 0, 12, 10, 0, 0, 3),
      new Uint8Array(6),
      bytes(10, 0, 0, 1),
    ),
  });
  assert.equal(w.pass('c', request).to, 'c');
  w.refuse(1, [0]);
  assert.deepEqual(w.rig.counts, []);
  assert.equal(passedBytes(w, 'c', INGRESS), 0);
});

function passedBytes(w: Wire, name: string, direction: number): number {
  return w.rig.engine.counters[counterRow(w.portOf(name), direction) + PASSED_BYTES];
}

/** The virtio header: what may go on to the kernel, and each thing that may not, by every kind of device. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TCP_SEGMENTS_MAX, UDP_SEGMENTS_MAX } from '../../src/engine/offload.ts';
import {
  concat,
  counting,
  destinationOptions,
  ethernet,
  fragment6,
  fragments4,
  hopByHop,
  icmp4,
  icmp6,
  ICMP,
  ipv4,
  ipv6,
  PROTOCOL,
  tcp,
  tcp4,
  tcp6,
  toHex,
  udp,
  udp4,
  udp6,
} from '../packets/build.ts';
import { packetsOf, TAP_PORT, TUN_PORT, withPartialChecksum, writesOf } from './coalescing.ts';
import {
  DROPPED,
  etherTypeOf,
  frame,
  GATEWAY,
  INSTANCE_MAC,
  GSO,
  NEEDS_CSUM,
  vnetHeader,
  Wire,
  type Vnet,
} from './frames.ts';

const DATA_VALID = 2;
const ECN = 0x80;
const UFO = 3;
const TCP_FIELD = 16;
const UDP_FIELD = 6;

/** By family: a TUN, a TAP, and a host beyond the uplink. */
const A = ['10.0.0.1', 'fd00:10::1'] as const;
const C = ['10.0.0.3', 'fd00:10::3'] as const;
const OUT = ['198.51.100.7', '2001:db8::7'] as const;
const MAC = '06:00:00:00:00:0c';

const OPEN = {
  groups: { open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] } },
  interfaces: {
    a: { addresses: [...A], groups: ['open'] },
    c: { addresses: [...C], groups: ['open'] },
  },
};

/** What becomes of a packet from a device of each kind; offsets in `vnet` count from the IP header. */
interface Way {
  readonly name: string;
  readonly taps: readonly string[];
  readonly from: string;
  readonly to: string;
  readonly linkBytes: number;
}
const WAYS: readonly Way[] = [
  { name: 'TUN to TAP', taps: ['c'], from: 'a', to: 'c', linkBytes: 0 },
  { name: 'TAP to TUN', taps: ['a'], from: 'a', to: 'c', linkBytes: 14 },
  { name: 'TAP with a priority tag to TAP', taps: ['a', 'c'], from: 'a', to: 'c', linkBytes: 18 },
  { name: 'TUN to uplink', taps: [], from: 'a', to: 'uplink', linkBytes: 0 },
  { name: 'uplink to TAP', taps: ['c'], from: 'uplink', to: 'c', linkBytes: 0 },
  { name: 'TAP uplink to TUN', taps: ['uplink'], from: 'uplink', to: 'c', linkBytes: 14 },
];

/** Builds the packet of a case between two hosts. */
type Make = (src: string, dst: string, is6: boolean) => Uint8Array;
/** @param ip bytes of the headers before the transport's  @param bytes of the packet */
type MakeVnet = (ip: number, bytes: number, is6: boolean) => Vnet;

interface Case {
  readonly what: string;
  readonly packet: Make;
  readonly vnet: MakeVnet;
  /** Packets on the wire; 0: dropped. */
  readonly segments: number;
  /** Header bytes before the transport, by family, where there are others than those of IP. */
  readonly ipBytes?: readonly [number, number];
}

const udpOf =
  (payloadBytes: number): Make =>
  (src, dst, is6) =>
    (is6 ? udp6 : udp4)(src, dst, { srcPort: 1, dstPort: 53, payload: counting(payloadBytes) });
const tcpOf =
  (payloadBytes: number, flags = 'A', timestamps?: readonly [number, number]): Make =>
  (src, dst, is6) =>
    (is6 ? tcp6 : tcp4)(src, dst, {
      srcPort: 1,
      dstPort: 80,
      flags,
      payload: counting(payloadBytes),
      ...(timestamps === undefined ? {} : { timestamps }),
    });
const otherOf =
  (protocol: number): Make =>
  (src, dst, is6) =>
    is6
      ? ipv6({ src, dst, nextHeader: protocol, payload: counting(60) })
      : ipv4({ src, dst, protocol, payload: counting(60) });

const sum = (start: number, offset: number): Vnet => ({
  flags: NEEDS_CSUM,
  csumStart: start,
  csumOffset: offset,
});
const tcpGso = (ip: number, is6: boolean, gsoSize: number): Vnet => ({
  ...sum(ip, TCP_FIELD),
  gsoType: is6 ? GSO.tcp6 : GSO.tcp4,
  hdrLen: ip + 20,
  gsoSize,
});
const udpGso = (ip: number, gsoSize: number): Vnet => ({
  ...sum(ip, UDP_FIELD),
  gsoType: GSO.udp,
  hdrLen: ip + 8,
  gsoSize,
});

const CHECKSUMS: readonly Case[] = [
  { what: 'nothing', packet: udpOf(20), vnet: () => ({}), segments: 1 },
  {
    what: 'numbers without a flag that gives them a meaning',
    packet: udpOf(20),
    vnet: () => ({ csumStart: 2, csumOffset: 3, gsoSize: 5 }),
    segments: 1,
  },
  {
    what: 'a checksum that has been found right',
    packet: udpOf(20),
    vnet: () => ({ flags: DATA_VALID }),
    segments: 1,
  },
  {
    what: 'right and missing at once',
    packet: udpOf(20),
    vnet: (ip) => ({ ...sum(ip, UDP_FIELD), flags: NEEDS_CSUM + DATA_VALID }),
    segments: 0,
  },
  ...[4, 8, 0x80, 0xff].map((flags): Case => ({
    what: `flags ${flags}`,
    packet: udpOf(20),
    vnet: () => ({ flags }),
    segments: 0,
  })),
  { what: 'UDP', packet: udpOf(20), vnet: (ip) => sum(ip, UDP_FIELD), segments: 1 },
  { what: 'TCP', packet: tcpOf(20), vnet: (ip) => sum(ip, TCP_FIELD), segments: 1 },
  {
    what: 'the field of UDP in TCP, its sequence number',
    packet: tcpOf(20),
    vnet: (ip) => sum(ip, UDP_FIELD),
    segments: 0,
  },
  {
    what: 'the field of TCP in UDP, its payload, from the header on',
    packet: udpOf(20),
    vnet: (ip) => sum(ip, TCP_FIELD),
    segments: 0,
  },
  ...[0, 1, 2, 3, 4, 5, 7].map((offset): Case => ({
    what: `byte ${offset} of UDP`,
    packet: udpOf(20),
    vnet: (ip) => sum(ip, offset),
    segments: 0,
  })),
  ...[0, 1, 2, 3, 4, 12, 13, 14, 15, 17, 18, 20, 28].map((offset): Case => ({
    what: `byte ${offset} of TCP`,
    packet: tcpOf(20, 'A', [1, 2]),
    vnet: (ip) => sum(ip, offset),
    segments: 0,
  })),
  {
    what: 'the destination port of TCP, summed from there',
    packet: tcpOf(20),
    vnet: (ip) => sum(ip + 2, 0),
    segments: 0,
  },
  {
    what: 'the right field of TCP, not summed from where TCP starts',
    packet: tcpOf(20),
    vnet: (ip) => sum(ip + 2, TCP_FIELD - 2),
    segments: 0,
  },
  {
    what: 'the right field of UDP, summed from the IP header on',
    packet: udpOf(20),
    vnet: (ip) => sum(0, ip + UDP_FIELD),
    segments: 0,
  },
  {
    what: 'the last word of the source address',
    packet: udpOf(20),
    vnet: (ip) => sum(2, (ip === 20 ? 14 : 22) - 2),
    segments: 0,
  },
  { what: 'the start of the frame', packet: udpOf(20), vnet: () => sum(0, 0), segments: 0 },
  {
    what: 'an offset that wraps to the port',
    packet: udpOf(20),
    vnet: (ip) => sum(0xfff0, 0x10 + ip + 2),
    segments: 0,
  },
  {
    what: 'a word in the payload, summed from the UDP header on',
    packet: udpOf(60),
    vnet: (ip) => sum(ip, 8 + 26),
    segments: 0,
  },
  {
    what: 'a word in the payload, as of a packet inside',
    packet: udpOf(60),
    vnet: (ip) => sum(ip + 8 + 28, UDP_FIELD),
    segments: 1,
  },
  {
    what: 'the first word behind the options of TCP',
    packet: tcpOf(20, 'A', [1, 2]),
    vnet: (ip) => sum(ip + 32, 0),
    segments: 1,
  },
  {
    what: 'the last word',
    packet: udpOf(20),
    vnet: (_, bytes) => sum(bytes - 2, 0),
    segments: 1,
  },
  {
    what: 'a word half beyond the end',
    packet: udpOf(20),
    vnet: (_, bytes) => sum(bytes - 2, 1),
    segments: 0,
  },
  {
    what: "GRE's checksum",
    packet: otherOf(47),
    vnet: (ip) => sum(ip, 4),
    segments: 1,
  },
  {
    what: 'the IP header of what is no TCP',
    packet: otherOf(47),
    vnet: (ip) => sum(ip - 2, 4),
    segments: 0,
  },
  {
    what: 'ICMP, which Linux sums up itself',
    packet: (src, dst, is6) =>
      is6
        ? ipv6({
            src,
            dst,
            nextHeader: PROTOCOL.icmp6,
            payload: icmp6(src, dst, { type: 128, payload: counting(40) }),
          })
        : icmp4(src, dst, { type: ICMP.echo, payload: counting(40) }),
    vnet: (ip) => sum(ip, 2),
    segments: 0,
  },
  {
    what: 'the payload of ICMP, which may quote',
    packet: (src, dst, is6) =>
      is6
        ? ipv6({
            src,
            dst,
            nextHeader: PROTOCOL.icmp6,
            payload: icmp6(src, dst, { type: 128, payload: counting(40) }),
          })
        : icmp4(src, dst, { type: ICMP.echo, payload: counting(40) }),
    vnet: (ip) => sum(ip + 8, 10),
    segments: 0,
  },
];

const HINTS: readonly Case[] = [
  [0, 1],
  ['ip', 1],
  ['ip less 1', 0],
  [1, 0],
  ['end', 1],
  ['end and 1', 0],
  [0xffff, 0],
].map(([hint, segments]): Case => ({
  what: `hdr_len ${hint}`,
  packet: udpOf(20),
  vnet: (ip, bytes) => ({
    ...sum(ip, UDP_FIELD),
    hdrLen:
      typeof hint === 'number'
        ? hint
        : { ip, 'ip less 1': ip - 1, end: bytes, 'end and 1': bytes + 1 }[hint]!,
  }),
  segments: Number(segments),
}));

const SEGMENTS: readonly Case[] = [
  { what: 'TSO', packet: tcpOf(3000), vnet: (ip, _, is6) => tcpGso(ip, is6, 1000), segments: 3 },
  {
    what: 'TSO, a byte more',
    packet: tcpOf(3001, 'PFA', [1, 2]),
    vnet: (ip, _, is6) => tcpGso(ip, is6, 1000),
    segments: 4,
  },
  {
    what: 'TSO without a hint',
    packet: tcpOf(3000),
    vnet: (ip, _, is6) => ({ ...tcpGso(ip, is6, 1000), hdrLen: 0 }),
    segments: 3,
  },
  {
    what: 'TSO with ECN',
    packet: tcpOf(3000, 'AC'),
    vnet: (ip, _, is6) => ({ ...tcpGso(ip, is6, 1000), gsoType: (is6 ? 4 : 1) + ECN }),
    segments: 3,
  },
  {
    what: 'TSO of the other family',
    packet: tcpOf(3000),
    vnet: (ip, _, is6) => tcpGso(ip, !is6, 1000),
    segments: 0,
  },
  {
    what: 'TSO without a partial checksum',
    packet: tcpOf(3000),
    vnet: (ip, _, is6) => ({ ...tcpGso(ip, is6, 1000), flags: 0 }),
    segments: 0,
  },
  {
    what: 'TSO of what has been found right',
    packet: tcpOf(3000),
    vnet: (ip, _, is6) => ({ ...tcpGso(ip, is6, 1000), flags: DATA_VALID }),
    segments: 0,
  },
  {
    what: 'TSO with a checksum in the payload',
    packet: tcpOf(3000),
    vnet: (ip, _, is6) => ({ ...tcpGso(ip, is6, 1000), csumStart: ip + 40 }),
    segments: 0,
  },
  ...['S', 'SA', 'R', 'RA'].map((flags): Case => ({
    what: `TSO of ${flags}`,
    packet: tcpOf(3000, flags),
    vnet: (ip, _, is6) => tcpGso(ip, is6, 1000),
    segments: 0,
  })),
  { what: 'USO', packet: udpOf(3000), vnet: (ip) => udpGso(ip, 1000), segments: 3 },
  {
    what: 'USO with ECN',
    packet: udpOf(3000),
    vnet: (ip) => ({ ...udpGso(ip, 1000), gsoType: GSO.udp + ECN }),
    segments: 0,
  },
  {
    what: 'USO of TCP',
    packet: tcpOf(3000),
    vnet: (ip) => ({ ...udpGso(ip, 1000), csumOffset: TCP_FIELD }),
    segments: 0,
  },
  {
    what: 'TSO of UDP',
    packet: udpOf(3000),
    vnet: (ip, _, is6) => ({ ...tcpGso(ip, is6, 1000), csumOffset: UDP_FIELD }),
    segments: 0,
  },
  {
    what: 'USO of a datagram whose length says less',
    packet: (src, dst, is6) => {
      const payload = concat(
        udp(src, dst, { srcPort: 1, dstPort: 53, payload: counting(2000) }),
        counting(1000),
      );
      return is6
        ? ipv6({ src, dst, nextHeader: PROTOCOL.udp, payload })
        : ipv4({ src, dst, protocol: PROTOCOL.udp, payload });
    },
    vnet: (ip) => udpGso(ip, 1000),
    segments: 0,
  },
  {
    what: 'segmentation of what is neither',
    packet: otherOf(47),
    vnet: (ip, _, is6) => ({ ...sum(ip, 4), gsoType: is6 ? 4 : 1, gsoSize: 10 }),
    segments: 0,
  },
  ...[2, UFO, 6, 7, 0x40, ECN, UFO + ECN, 0xff].map((gsoType): Case => ({
    what: `gso_type ${gsoType}`,
    packet: udpOf(3000),
    vnet: (ip) => ({ ...udpGso(ip, 1000), gsoType }),
    segments: 0,
  })),
  ...(
    [
      [0, 0],
      [3000, 0],
      [3001, 0],
      [0xffff, 0],
      [2999, 2],
      [3, 1000],
      [2, 0],
      [1, 0],
    ] as const
  ).map(([size, segments]): Case => ({
    what: `TSO of 3,000 bytes by ${size}`,
    packet: tcpOf(3000),
    vnet: (ip, _, is6) => tcpGso(ip, is6, size),
    segments,
  })),
  {
    what: 'as many TCP segments as may be',
    packet: tcpOf(2 * TCP_SEGMENTS_MAX),
    vnet: (ip, _, is6) => tcpGso(ip, is6, 2),
    segments: TCP_SEGMENTS_MAX,
  },
  {
    what: 'one TCP segment more',
    packet: tcpOf(2 * TCP_SEGMENTS_MAX + 1),
    vnet: (ip, _, is6) => tcpGso(ip, is6, 2),
    segments: 0,
  },
  {
    what: 'as many UDP segments as may be',
    packet: udpOf(3 * UDP_SEGMENTS_MAX),
    vnet: (ip) => udpGso(ip, 3),
    segments: UDP_SEGMENTS_MAX,
  },
  {
    what: 'one UDP segment more',
    packet: udpOf(3 * UDP_SEGMENTS_MAX + 1),
    vnet: (ip) => udpGso(ip, 3),
    segments: 0,
  },
];

/** Options and extension headers: the transport header is where they end. */
const withHeaders =
  (payload: (src: string, dst: string) => Uint8Array, protocol: number): Make =>
  (src, dst, is6) =>
    is6
      ? ipv6({
          src,
          dst,
          extensionHeaders: [hopByHop(), destinationOptions()],
          nextHeader: protocol,
          payload: payload(src, dst),
        })
      : ipv4({
          src,
          dst,
          options: Uint8Array.of(1, 1, 1, 0),
          protocol,
          payload: payload(src, dst),
        });
const BEHIND_HEADERS = [24, 40 + 16] as const;
const tcpPart = (src: string, dst: string): Uint8Array =>
  tcp(src, dst, { srcPort: 1, dstPort: 80, flags: 'A', payload: counting(3000) });
const udpPart = (src: string, dst: string): Uint8Array =>
  udp(src, dst, { srcPort: 1, dstPort: 53, payload: counting(30) });

const HEADERS: readonly Case[] = [
  {
    what: 'UDP behind options or extension headers',
    packet: withHeaders(udpPart, PROTOCOL.udp),
    ipBytes: BEHIND_HEADERS,
    vnet: (ip) => sum(ip, UDP_FIELD),
    segments: 1,
  },
  {
    what: 'the field as if there were none',
    packet: withHeaders(udpPart, PROTOCOL.udp),
    ipBytes: BEHIND_HEADERS,
    vnet: (ip, _, is6) => sum(is6 ? 40 : 20, ip - (is6 ? 40 : 20) + UDP_FIELD),
    segments: 0,
  },
  {
    what: 'the extension header',
    packet: withHeaders(udpPart, PROTOCOL.udp),
    ipBytes: BEHIND_HEADERS,
    vnet: (_, __, is6) => sum(is6 ? 40 : 20, 2),
    segments: 0,
  },
  {
    what: 'TSO behind options or extension headers',
    packet: withHeaders(tcpPart, PROTOCOL.tcp),
    ipBytes: BEHIND_HEADERS,
    vnet: (ip, _, is6) => tcpGso(ip, is6, 1000),
    segments: 3,
  },
  {
    what: 'a fragment that asks for nothing',
    packet: firstFragment,
    vnet: () => ({}),
    segments: 1,
  },
  ...[UDP_FIELD, 100].map((offset): Case => ({
    what: `a fragment, byte ${offset}`,
    packet: firstFragment,
    ipBytes: [20, 48],
    vnet: (ip) => sum(ip, offset),
    segments: 0,
  })),
  {
    what: 'a fragment that is to be cut',
    packet: firstFragment,
    ipBytes: [20, 48],
    vnet: (ip) => udpGso(ip, 100),
    segments: 0,
  },
];

function firstFragment(src: string, dst: string, is6: boolean): Uint8Array {
  if (!is6)
    return fragments4(
      udp4(src, dst, { srcPort: 1, dstPort: 53, payload: counting(2000) }),
      1000,
    )[0];
  const payload = udp(src, dst, { srcPort: 1, dstPort: 53, payload: counting(2000) });
  return ipv6({
    src,
    dst,
    extensionHeaders: [fragment6({ offset: 0, more: true, id: 7 })],
    nextHeader: PROTOCOL.udp,
    payload: payload.subarray(0, 1000),
  });
}

const ATOMIC: Case = {
  what: 'a partial checksum behind an atomic fragment header',
  packet: (src, dst) =>
    ipv6({
      src,
      dst,
      extensionHeaders: [fragment6({ offset: 0, more: false, id: 7 })],
      nextHeader: PROTOCOL.udp,
      payload: udpPart(src, dst),
    }),
  ipBytes: [0, 48],
  vnet: (ip) => sum(ip, UDP_FIELD),
  segments: 0,
};

/** The packet as the device of the way hands it over. */
function framed(packet: Uint8Array, linkBytes: number): Uint8Array {
  if (linkBytes === 0) return packet;
  if (linkBytes === 14) return frame(packet, MAC, GATEWAY);
  return ethernet({
    src: MAC,
    dst: GATEWAY,
    vlan: { id: 0, priority: 3 },
    etherType: etherTypeOf(packet),
    payload: packet,
  });
}

function moved(vnet: Vnet, by: number): Vnet {
  const { flags = 0, hdrLen = 0, csumStart = 0 } = vnet;
  const isPartial = flags % 2 === 1;
  return {
    ...vnet,
    hdrLen: hdrLen === 0 ? 0 : Math.min(hdrLen + by, 0xffff),
    csumStart: isPartial ? Math.min(csumStart + by, 0xffff) : csumStart,
  };
}

function tryCase(one: Case, way: Way, is6: boolean): void {
  const family = is6 ? 1 : 0;
  const [src, dst] = [
    way.from === 'uplink' ? OUT[family] : A[family],
    way.to === 'uplink' ? OUT[family] : C[family],
  ];
  const packet = one.packet(src, dst, is6);
  const ip = one.ipBytes?.[family] ?? (is6 ? 40 : 20);
  const vnet = one.vnet(ip, packet.length, is6);
  const w = new Wire(OPEN, way.taps);
  const what = `${way.name}, IPv${is6 ? 6 : 4}: ${one.what}`;
  const sent = w.pass(way.from, framed(packet, way.linkBytes), moved(vnet, way.linkBytes));
  const isUp = way.from === 'uplink';
  const entry = `${way.from} ${isUp ? 'ingress' : 'egress'}`;
  if (one.segments === 0) {
    assert.equal(sent.to, DROPPED, what);
    assert.deepEqual(w.rig.counts, [`${entry}: 0 passed, 1 dropped (bad-offload 1)`], what);
    assert.deepEqual(w.rig.states, [], `${what}: no flow comes of it`);
    return;
  }
  assert.equal(sent.to, way.to, what);
  const toTap = way.taps.includes(way.to);
  assert.equal(sent.vnet, toHex(vnetHeader(moved(vnet, toTap ? 14 : 0))), what);
  assert.ok(w.rig.counts.includes(`${entry}: ${one.segments} passed, 0 dropped`), what);
}

for (const [name, cases] of [
  ['the checksum', CHECKSUMS],
  ['the hint of the header length', HINTS],
  ['segmentation', SEGMENTS],
  ['options, extension headers and fragments', HEADERS],
] as const)
  test(`${name}, on every kind of device`, () => {
    for (const one of cases)
      for (const way of WAYS) for (const is6 of [false, true]) tryCase(one, way, is6);
  });

test('an atomic fragment asks for nothing either', () => {
  for (const way of WAYS) tryCase(ATOMIC, way, true);
});

test('offsets that fit 16 bits now, and would not behind an Ethernet header, do not go on', () => {
  const packet = udpOf(65_500)('10.0.0.1', '10.0.0.3', false);
  for (const [last, isSent] of [
    [0xffff - 14, true],
    [0xffff - 13, false],
  ] as const)
    for (const vnet of [{ hdrLen: last }, sum(last, 0)]) {
      const w = new Wire(OPEN, ['c']);
      assert.equal(packet.length, 65_528);
      assert.equal(w.pass('a', packet, vnet).to, isSent ? 'c' : DROPPED, JSON.stringify(vnet));
    }
});

test('a word in the padding of a frame is not in the packet', () => {
  const packet = udpOf(10)(A[0], C[0], false);
  const padded = frame(concat(packet, counting(20)), MAC, GATEWAY);
  const w = new Wire(OPEN, ['a']);
  assert.equal(w.pass('a', padded, sum(14 + packet.length - 2, 0)).to, 'c');
  assert.equal(w.pass('a', padded, sum(14 + packet.length - 1, 0)).to, DROPPED);
  assert.equal(w.pass('a', padded, { hdrLen: 14 + packet.length + 1 }).to, DROPPED);
});

test('an instance whose virtio header lies teaches no MAC address', () => {
  const w = new Wire(OPEN, ['a']);
  const packet = udpOf(20)(A[0], C[0], false);
  assert.equal(w.pass('a', frame(packet, MAC, GATEWAY), sum(14 + 20, 2)).to, DROPPED);
  const back = w.pass('c', udpOf(20)(C[0], A[0], false));
  assert.equal(back.frame.slice(0, 12), INSTANCE_MAC.replaceAll(':', ''));
});

test('whatever the coalescer writes would pass here, and counts as what it was made of', () => {
  const flow = fc.record({
    is6: fc.boolean(),
    isTcp: fc.boolean(),
    isTap: fc.boolean(),
    isPartial: fc.boolean(),
    sizes: fc.array(fc.constantFrom(1, 64, 64, 64, 1448), { minLength: 1, maxLength: 80 }),
  });
  fc.assert(
    fc.property(flow, ({ is6, isTcp, isTap, isPartial, sizes }) => {
      let seq = 1;
      const packets = sizes.map((size, i) => {
        const payload = counting(size);
        const header = isTcp
          ? { srcPort: 1, dstPort: 80, flags: 'A', seq, payload }
          : { srcPort: 1, dstPort: 53, payload };
        seq += size;
        const family = is6 ? 1 : 0;
        const ip = is6 ? {} : { id: i };
        const build = isTcp ? (is6 ? tcp6 : tcp4) : is6 ? udp6 : udp4;
        return build(A[family], C[family], header, ip);
      });
      const to = isTap ? TAP_PORT : TUN_PORT;
      const writes = writesOf(
        packets.map((packet) =>
          isPartial ? { to, ...withPartialChecksum(packet) } : { to, packet },
        ),
      );
      for (const { vnet, packet, slots } of writes) {
        const w = new Wire(OPEN, []);
        assert.equal(w.pass('a', packet, vnet).to, 'c');
        const segments = packetsOf([{ to, vnet, packet, slots }]).length;
        assert.equal(segments, slots.length);
        assert.ok(w.rig.counts.includes(`a egress: ${segments} passed, 0 dropped`));
      }
    }),
    { numRuns: 100 },
  );
});

/** The decoder: fields of good packets, every header cut at every length, and arbitrary bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode, decodeAny, decodeQuoted } from '../../src/wire/decode.ts';
import { foldChecksum, sumWords } from '../../src/wire/checksum.ts';
import { etherPayload, etherType, isArpIpv4 } from '../../src/wire/ethernet.ts';
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  ICMP_ERROR,
  ICMP_QUERY,
  ICMP_REPLY,
  Packet,
} from '../../src/wire/packet.ts';
import {
  BAD_ICMP,
  BAD_IP_HEADER_LENGTH,
  BAD_TCP_HEADER,
  BAD_UDP_LENGTH,
  DECODE_OK,
  DECODE_STATUS_COUNT,
  DECODE_STATUSES,
  FAMILY_MISMATCH,
  TRUNCATED,
} from '../../src/wire/status.ts';
import { anyFrame, anyPacket, validPacket } from '../packets/arbitrary.ts';
import {
  arp,
  authentication,
  checksum,
  concat,
  destinationOptions,
  ETHER_TYPE,
  ethernet,
  fragment6,
  hopByHop,
  ICMP,
  ICMP6,
  icmp4,
  icmp6,
  icmpError4,
  ipv4,
  ipv6,
  PROTOCOL,
  routing,
  tcp,
  tcp4,
  tcp6,
  udp4,
  udp6,
} from '../packets/build.ts';

const packet = new Packet();

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decoded(bytes: Uint8Array): Packet {
  decode(viewOf(bytes), 0, bytes.length, packet);
  return packet;
}

test('fields of TCP, UDP and ICMP in both families', () => {
  const t = decoded(
    tcp4('10.0.0.1', '192.0.2.255', {
      srcPort: 40000,
      dstPort: 443,
      flags: 'SAFE',
      seq: 0xfffffffe,
      ack: 7,
      window: 512,
    }),
  );
  assert.equal(t.status, DECODE_OK);
  assert.deepEqual(
    [t.family, t.protocol, t.src0 >>> 0, t.dst0 >>> 0, t.srcPort, t.dstPort],
    [4, 6, 0x0a000001, 0xc00002ff, 40000, 443],
  );
  assert.deepEqual(
    [t.tcpFlags, t.tcpSequence >>> 0, t.tcpAcknowledgment, t.tcpWindow],
    [0x53, 0xfffffffe, 7, 512],
  );
  const u = decoded(
    udp6('fd00:10::11', '2001:db8::1', { srcPort: 1, dstPort: 65535, payload: 'hello' }),
  );
  assert.deepEqual(
    [u.status, u.family, u.protocol, u.srcPort, u.dstPort, u.endOffset],
    [DECODE_OK, 6, 17, 1, 65535, 53],
  );
  assert.deepEqual(
    [u.src0, u.src1, u.src2, u.src3].map((word) => word >>> 0),
    [0xfd000010, 0, 0, 0x11],
  );
  assert.deepEqual(
    [u.dst0, u.dst3].map((word) => word >>> 0),
    [0x20010db8, 1],
  );
  const echo = decoded(icmp4('10.0.0.1', '10.0.0.2', { type: ICMP.echo, id: 0xbeef }));
  assert.deepEqual(
    [echo.icmpKind, echo.icmpType, echo.icmpCode, echo.srcPort, echo.dstPort],
    [ICMP_QUERY, 8, 0, 0xbeef, 8],
  );
  const reply = decoded(icmp6('fd00::2', 'fd00::1', { type: ICMP6.echoReply, id: 0xbeef }));
  assert.deepEqual(
    [reply.icmpKind, reply.icmpType, reply.srcPort, reply.dstPort],
    [ICMP_REPLY, 129, 128, 0xbeef],
  );
  assert.deepEqual([echo.tcpFlags, echo.tcpSequence], [0, 0], 'nothing of the packet before');
});

test('the declared length bounds the packet, not the captured one', () => {
  const padded = concat(
    tcp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2 }),
    new Uint8Array(20),
  );
  assert.equal(decoded(padded).endOffset, 40);
  const hidden = ipv4({
    src: '10.0.0.1',
    dst: '10.0.0.2',
    protocol: 6,
    totalLength: 24,
    payload: tcp('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2 }),
  });
  assert.equal(decoded(hidden).status, TRUNCATED, 'ports beyond the declared end are not there');
});

test('IPv6 extension headers are walked to the upper protocol; AH, ESP and unknown ones are protocols', () => {
  const cases: [number, Parameters<typeof ipv6>[0]['extensionHeaders']][] = [
    [PROTOCOL.tcp, [hopByHop()]],
    [PROTOCOL.tcp, [hopByHop(), destinationOptions(), routing(2), destinationOptions()]],
    [PROTOCOL.tcp, [fragment6({ offset: 0, more: false, id: 1 })]],
  ];
  for (const [protocol, extensionHeaders] of cases) {
    const p = decoded(
      ipv6({
        src: 'fd00::1',
        dst: 'fd00::2',
        nextHeader: 6,
        extensionHeaders: extensionHeaders!,
        payload: tcp('fd00::1', 'fd00::2', { srcPort: 5, dstPort: 6 }),
      }),
    );
    assert.deepEqual(
      [p.status, p.protocol, p.srcPort, p.dstPort, p.fragment],
      [DECODE_OK, protocol, 5, 6, FRAGMENT_NONE],
    );
  }
  const ah = decoded(
    ipv6({
      src: 'fd00::1',
      dst: 'fd00::2',
      nextHeader: 6,
      extensionHeaders: [authentication()],
      payload: new Uint8Array(20),
    }),
  );
  assert.deepEqual([ah.status, ah.protocol, ah.srcPort], [DECODE_OK, 51, 0]);
  for (const number of [50, 59, 135, 253]) {
    const p = decoded(
      ipv6({ src: 'fd00::1', dst: 'fd00::2', nextHeader: number, payload: new Uint8Array(20) }),
    );
    assert.deepEqual([p.status, p.protocol, p.srcPort], [DECODE_OK, number, 0]);
  }
});

test('fragments: first has ports, later ones do not, both know their place', () => {
  const first = decoded(
    ipv4({
      src: '10.0.0.1',
      dst: '10.0.0.2',
      protocol: 17,
      id: 77,
      mf: true,
      payload: new Uint8Array([0, 5, 0, 6, 0, 99, 0, 0]),
    }),
  );
  assert.deepEqual(
    [
      first.status,
      first.fragment,
      first.srcPort,
      first.dstPort,
      first.fragmentId,
      first.fragmentEnd,
    ],
    [DECODE_OK, FRAGMENT_FIRST, 5, 6, 77, 8],
  );
  const later = decoded(
    ipv4({
      src: '10.0.0.1',
      dst: '10.0.0.2',
      protocol: 17,
      id: 77,
      fragmentOffset: 8,
      payload: new Uint8Array([0, 5, 0]),
    }),
  );
  assert.deepEqual(
    [later.status, later.fragment, later.srcPort, later.fragmentOffset, later.fragmentEnd],
    [DECODE_OK, FRAGMENT_LATER, 0, 8, 11],
  );
  const later6 = decoded(
    ipv6({
      src: 'fd00::1',
      dst: 'fd00::2',
      nextHeader: 17,
      extensionHeaders: [fragment6({ offset: 16, more: true, id: 0xffffffff })],
      payload: new Uint8Array(8),
    }),
  );
  assert.deepEqual(
    [later6.fragment, later6.fragmentOffset, later6.fragmentEnd, later6.fragmentId],
    [FRAGMENT_LATER, 16, 24, -1],
  );
});

test('every header, cut at every length, is truncated and never read past', () => {
  const packets = [
    tcp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2, mss: 1460, windowScale: 7 }),
    udp6('fd00::1', 'fd00::2', { srcPort: 1, dstPort: 2 }),
    icmp4('10.0.0.1', '10.0.0.2', { type: 8 }),
    ipv6({
      src: 'fd00::1',
      dst: 'fd00::2',
      nextHeader: 6,
      extensionHeaders: [hopByHop(), routing(2), fragment6({ id: 1 })],
      payload: tcp('fd00::1', 'fd00::2', { srcPort: 1, dstPort: 2 }),
    }),
  ];
  for (const whole of packets) {
    assert.equal(decoded(whole).status, DECODE_OK);
    for (let length = 0; length < whole.length; length++) {
      // A copy of its own, so that a read beyond it throws.
      assert.equal(
        decoded(whole.slice(0, length)).status,
        TRUNCATED,
        `${length} of ${whole.length} bytes`,
      );
    }
  }
});

test('every lower header length and every transport length lie is named', () => {
  for (let ihl = 0; ihl < 5; ihl++)
    assert.equal(
      decoded(
        ipv4({
          src: '10.0.0.1',
          dst: '10.0.0.2',
          protocol: 6,
          headerLength: ihl,
          payload: new Uint8Array(40),
        }),
      ).status,
      BAD_IP_HEADER_LENGTH,
    );
  for (let words = 0; words < 5; words++)
    assert.equal(
      decoded(tcp6('fd00::1', 'fd00::2', { srcPort: 1, dstPort: 2, dataOffset: words })).status,
      BAD_TCP_HEADER,
    );
  for (const length of [0, 7, 9, 65535])
    assert.equal(
      decoded(udp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2, length })).status,
      BAD_UDP_LENGTH,
    );
  assert.equal(
    decoded(ipv4({ src: '10.0.0.1', dst: '10.0.0.2', protocol: 1, payload: new Uint8Array(4) }))
      .status,
    BAD_ICMP,
  );
  assert.equal(
    decoded(ipv6({ src: 'fd00::1', dst: 'fd00::2', nextHeader: 1, payload: new Uint8Array(8) }))
      .status,
    FAMILY_MISMATCH,
  );
});

test('the packet quoted in an ICMP error is decoded though cut short', () => {
  const quotation = tcp4('10.0.0.1', '10.0.0.2', {
    srcPort: 1234,
    dstPort: 443,
    seq: 99,
    payload: 'x'.repeat(500),
  });
  const error = icmpError4('192.0.2.1', '10.0.0.1', { type: 3, code: 4, quoted: quotation });
  const quoted = new Packet();
  assert.equal(decoded(error).icmpKind, ICMP_ERROR);
  assert.equal(decodeQuoted(viewOf(error), packet, quoted), DECODE_OK);
  assert.deepEqual(
    [quoted.srcPort, quoted.dstPort, quoted.tcpSequence, quoted.dst0 >>> 0],
    [1234, 443, 99, 0x0a000002],
  );
});

test('valid packets of every kind decode', () => {
  fc.assert(
    fc.property(validPacket(), (bytes) => assert.equal(decoded(bytes).status, DECODE_OK)),
    { numRuns: 2000 },
  );
});

test('arbitrary and mutated bytes give a status, never a throw or a read out of bounds', () => {
  const seen = new Set<number>();
  const quoted = new Packet();
  fc.assert(
    fc.property(anyPacket, (bytes) => {
      const own = bytes.slice();
      const status = decode(viewOf(own), 0, own.length, packet);
      assert.ok(status >= 0 && status < DECODE_STATUS_COUNT);
      seen.add(status);
      if (status !== DECODE_OK) return;
      assert.ok(packet.transportOffset <= packet.endOffset && packet.endOffset <= own.length);
      if (packet.icmpKind === ICMP_ERROR) decodeQuoted(viewOf(own), packet, quoted);
    }),
    { numRuns: 20_000 },
  );
  assert.ok(
    seen.size > 8,
    `only saw ${[...seen].map((status) => DECODE_STATUSES[status][0]).join()}`,
  );
});

test('the short way for plain packets finds what the long one does, whatever was decoded before', () => {
  const short = new Packet();
  const long = new Packet();
  let plain = 0;
  fc.assert(
    fc.property(fc.oneof(validPacket(), anyPacket), fc.nat(3), (bytes, padding) => {
      const own = new Uint8Array(bytes.length + padding);
      own.set(bytes);
      const status = decodeAny(viewOf(own), 0, own.length, long);
      assert.equal(decode(viewOf(own), 0, own.length, short), status);
      plain += short.isSparse;
      // What is not valid is not compared.
      if (status === DECODE_OK) assert.deepEqual({ ...short, isSparse: 0 }, { ...long });
    }),
    { numRuns: 20_000 },
  );
  assert.ok(plain > 2000, `${plain} went the short way`);
});

test('frames: payload, VLAN tags, ARP, and arbitrary bytes', () => {
  const mac = { src: '02:00:00:00:00:01', dst: '02:00:00:00:00:02' };
  const ip = tcp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2 });
  const plain = ethernet({ ...mac, etherType: ETHER_TYPE.ipv4, payload: ip });
  assert.equal(etherPayload(viewOf(plain), 0, plain.length), 14);
  assert.equal(etherType(viewOf(plain), 0, 14), 0x0800);
  const priority = ethernet({ ...mac, etherType: ETHER_TYPE.ipv4, vlan: { id: 0 }, payload: ip });
  assert.equal(etherPayload(viewOf(priority), 0, priority.length), 18);
  const tagged = ethernet({ ...mac, etherType: ETHER_TYPE.ipv4, vlan: { id: 5 }, payload: ip });
  assert.equal(DECODE_STATUSES[-etherPayload(viewOf(tagged), 0, tagged.length)][0], 'vlan-tagged');
  const ask = arp({
    operation: 'request',
    senderMac: mac.src,
    senderIp: '10.0.0.1',
    targetMac: '00:00:00:00:00:00',
    targetIp: '10.0.0.2',
  });
  assert.equal(isArpIpv4(viewOf(ask), 0, ask.length), true);
  assert.equal(isArpIpv4(viewOf(ask), 0, 27), false);
  fc.assert(
    fc.property(anyFrame, (bytes) => {
      const own = bytes.slice();
      const payload = etherPayload(viewOf(own), 0, own.length);
      if (payload > 0) etherType(viewOf(own), 0, payload);
    }),
    { numRuns: 5000 },
  );
});

test('our checksum is the plain one, for every length', () => {
  const bytes = Uint8Array.from({ length: 600 }, (_, i) => (i * 199) & 0xff);
  for (let length = 0; length <= bytes.length; length++) {
    assert.equal(
      foldChecksum(sumWords(viewOf(bytes), 0, length, 0)),
      checksum(bytes.subarray(0, length)),
      `${length} bytes`,
    );
  }
});

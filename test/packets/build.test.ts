/** The builders, against bytes from elsewhere: Scapy's, and headers written out by hand. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../support/process.ts';
import { requireScapy } from '../support/scapy.ts';
import { repositoryRoot } from '../support/repository.ts';
import * as build from './build.ts';

const { PROTOCOL, ETHER_TYPE, hex, toHex } = build;

const A4 = '10.0.0.1';
const B4 = '192.168.200.254';
const A6 = 'fd00:10::1';
const B6 = '2001:db8:0:1:ffff:fffe:8000:7';
const IP = `IP(src="${A4}", dst="${B4}"`;
const IPV6 = `IPv6(src="${A6}", dst="${B6}"`;
const PORTS = { srcPort: 40000, dstPort: 443 };
const quoted4 = build.tcp4(B4, A4, { ...PORTS, payload: 'hello' });
const quoted6 = build.udp6(B6, A6, { ...PORTS, payload: 'hello' });

/** The same packet in our words and in Scapy's. Scapy's defaults differ (TCP window 8192, flags S), so they are written out. */
const SAME: readonly (readonly [name: string, ours: Uint8Array, scapy: string])[] = [
  ['IPv4 alone', build.ipv4({ src: A4, dst: B4, protocol: PROTOCOL.gre }), `${IP}, proto=47)`],
  [
    'IPv4 with every field',
    build.ipv4({
      src: A4,
      dst: B4,
      protocol: 253,
      tos: 0xb8,
      id: 0xabcd,
      df: true,
      ttl: 3,
      payload: hex('010203'),
    }),
    `${IP}, proto=253, tos=0xb8, id=0xabcd, flags="DF", ttl=3) / Raw(b"\\1\\2\\3")`,
  ],
  [
    'IPv4 options',
    build.udp4(A4, B4, { srcPort: 1, dstPort: 2 }, { options: hex('94040000') }),
    `${IP}, options=[IPOption_Router_Alert()]) / UDP(sport=1, dport=2)`,
  ],
  [
    'IPv4 fragment in the middle',
    build.ipv4({
      src: A4,
      dst: B4,
      protocol: PROTOCOL.udp,
      id: 7,
      mf: true,
      fragmentOffset: 1480,
      payload: hex('61'),
    }),
    `${IP}, proto=17, id=7, flags="MF", frag=185) / Raw(b"a")`,
  ],
  [
    'IPv4 evil bit',
    build.ipv4({ src: A4, dst: B4, protocol: 6, reserved: true }),
    `${IP}, proto=6, flags="evil")`,
  ],
  [
    'IPv4 lies',
    build.ipv4({
      src: A4,
      dst: B4,
      protocol: 6,
      totalLength: 1000,
      headerLength: 15,
      version: 5,
      checksum: 1,
    }),
    `${IP}, proto=6, len=1000, ihl=15, version=5, chksum=1)`,
  ],
  [
    'TCP SYN with options',
    build.tcp4(A4, B4, { ...PORTS, flags: 'S', seq: 0x80000001, mss: 1460, windowScale: 7 }),
    `${IP}) / TCP(sport=40000, dport=443, flags="S", seq=0x80000001, window=65535, options=[("MSS", 1460), ("NOP", None), ("WScale", 7)])`,
  ],
  [
    'TCP SYN as Linux sends it',
    build.tcp4(A4, B4, {
      ...PORTS,
      flags: 'S',
      window: 64240,
      mss: 1460,
      sackPermitted: true,
      timestamps: [5, 0],
      windowScale: 7,
    }),
    `${IP}) / TCP(sport=40000, dport=443, flags="S", window=64240, options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5, 0)), ("NOP", None), ("WScale", 7)])`,
  ],
  [
    'TCP data of odd length, urgent, all flags',
    build.tcp4(A4, B4, {
      ...PORTS,
      flags: 'FSRPAUEC',
      ack: 0xffffffff,
      window: 0,
      urgent: 9,
      payload: 'odd',
    }),
    `${IP}) / TCP(sport=40000, dport=443, flags="FSRPAUEC", ack=0xffffffff, window=0, urgptr=9) / Raw(b"odd")`,
  ],
  [
    'TCP lies',
    build.tcp4(A4, B4, { ...PORTS, dataOffset: 4, checksum: 0xbeef }),
    `${IP}) / TCP(sport=40000, dport=443, flags="A", window=65535, dataofs=4, chksum=0xbeef)`,
  ],
  [
    'UDP',
    build.udp4(A4, B4, { srcPort: 53, dstPort: 65535, payload: 'abc' }),
    `${IP}) / UDP(sport=53, dport=65535) / Raw(b"abc")`,
  ],
  [
    'UDP whose checksum comes out as 0',
    build.udp4('0.0.0.0', '0.0.0.0', { srcPort: 0, dstPort: 0, payload: hex('ffda') }),
    'IP(src="0.0.0.0", dst="0.0.0.0") / UDP(sport=0, dport=0) / Raw(b"\\xff\\xda")',
  ],
  [
    'UDP without a checksum, of wrong length',
    build.udp4(A4, B4, { srcPort: 53, dstPort: 53, checksum: 0, length: 7 }),
    `${IP}) / UDP(sport=53, dport=53, chksum=0, len=7)`,
  ],
  [
    'ICMP echo',
    build.icmp4(A4, B4, { type: 8, id: 0x1234, seq: 3, payload: 'ping' }),
    `${IP}) / ICMP(type=8, id=0x1234, seq=3) / Raw(b"ping")`,
  ],
  [
    'ICMP fragmentation needed',
    build.icmpError4(A4, B4, { type: 3, code: 4, rest: 1400, quoted: quoted4 }),
    `${IP}) / ICMP(type=3, code=4, nexthopmtu=1400) / Raw(bytes.fromhex("${toHex(quoted4)}")[:28])`,
  ],
  [
    'IPv6 with every field',
    build.ipv6({
      src: A6,
      dst: B6,
      nextHeader: 59,
      trafficClass: 0xa5,
      flowLabel: 0xfedcb,
      hopLimit: 2,
      payloadLength: 9,
    }),
    `${IPV6}, nh=59, tc=0xa5, fl=0xfedcb, hlim=2, plen=9)`,
  ],
  [
    'TCP over IPv6',
    build.tcp6(A6, B6, { ...PORTS, flags: 'PA', payload: 'x' }),
    `${IPV6}) / TCP(sport=40000, dport=443, flags="PA", window=65535) / Raw(b"x")`,
  ],
  [
    'UDP over IPv6',
    build.udp6(A6, B6, { srcPort: 1, dstPort: 2, payload: 'abc' }),
    `${IPV6}) / UDP(sport=1, dport=2) / Raw(b"abc")`,
  ],
  [
    'ICMPv6 echo',
    build.icmp6(A6, B6, { type: 128, id: 9, seq: 8, payload: 'p' }),
    `${IPV6}) / ICMPv6EchoRequest(id=9, seq=8, data=b"p")`,
  ],
  [
    'ICMPv6 packet too big',
    build.icmpError6(A6, B6, { type: 2, rest: 1280, quoted: quoted6 }),
    `${IPV6}) / ICMPv6PacketTooBig(mtu=1280) / Raw(bytes.fromhex("${toHex(quoted6)}"))`,
  ],
  [
    'three extension headers',
    build.udp6(
      A6,
      B6,
      { srcPort: 1, dstPort: 2 },
      {
        extensionHeaders: [
          build.hopByHop(),
          build.destinationOptions(),
          build.fragment6({ id: 77 }),
        ],
      },
    ),
    `${IPV6}) / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrFragment(id=77) / UDP(sport=1, dport=2)`,
  ],
  [
    'routing header',
    build.tcp6(
      A6,
      B6,
      { ...PORTS, flags: 'S' },
      {
        extensionHeaders: [
          build.routing(2, { data: build.concat(new Uint8Array(4), build.addressBytes(B6)) }),
        ],
      },
    ),
    `${IPV6}) / IPv6ExtHdrRouting(type=2, segleft=0, addresses=["${B6}"]) / TCP(sport=40000, dport=443, flags="S", window=65535)`,
  ],
  [
    'IPv6 fragment in the middle',
    build.ipv6({
      src: A6,
      dst: B6,
      nextHeader: 17,
      extensionHeaders: [build.fragment6({ offset: 1232, more: true, id: 0xdeadbeef })],
      payload: hex('aa'),
    }),
    `${IPV6}) / IPv6ExtHdrFragment(nh=17, offset=154, m=1, id=0xdeadbeef) / Raw(b"\\xaa")`,
  ],
  [
    'authentication header',
    build.ipv6({
      src: A6,
      dst: B6,
      nextHeader: 59,
      extensionHeaders: [build.authentication({ spi: 5, sequence: 6, icv: build.counting(12) })],
    }),
    `${IPV6}, nh=51) / AH(nh=59, payloadlen=4, spi=5, seq=6, icv=bytes(range(12)))`,
  ],
  [
    'neighbour solicitation',
    build.ndNeighborSolicitation({ src: 'fe80::1', target: B6, sourceMac: '02:00:00:00:00:01' }),
    `IPv6(src="fe80::1", dst="ff02::1:ff00:7", hlim=255) / ICMPv6ND_NS(tgt="${B6}") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")`,
  ],
  [
    'neighbour advertisement',
    build.ndNeighborAdvertisement({
      src: B6,
      dst: A6,
      target: B6,
      targetMac: '02:00:00:00:00:02',
      router: true,
    }),
    `IPv6(src="${B6}", dst="${A6}", hlim=255) / ICMPv6ND_NA(tgt="${B6}", R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:02")`,
  ],
  [
    'ARP request with a VLAN tag',
    build.ethernet({
      src: '02:00:00:00:00:01',
      dst: build.MAC_BROADCAST,
      vlan: { id: 100, priority: 5, dropEligible: true },
      etherType: ETHER_TYPE.arp,
      payload: build.arp({
        operation: 'request',
        senderMac: '02:00:00:00:00:01',
        senderIp: A4,
        targetIp: B4,
      }),
    }),
    `Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=100, prio=5, id=1) / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="${A4}", hwdst="00:00:00:00:00:00", pdst="${B4}")`,
  ],
  [
    'IPv4 in two VLAN tags',
    build.ethernet({
      src: '02:00:00:00:00:01',
      dst: '02:00:00:00:00:02',
      vlan: [{ id: 7, tagProtocol: ETHER_TYPE.serviceVlan }, { id: 8 }],
      etherType: ETHER_TYPE.ipv4,
      payload: build.udp4(A4, B4, { srcPort: 1, dstPort: 2 }),
    }),
    `Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88a8) / Dot1AD(vlan=7) / Dot1Q(vlan=8) / ${IP}) / UDP(sport=1, dport=2)`,
  ],
];

describe('builders and Scapy make the same bytes', () => {
  test(`of ${SAME.length} packets`, async (t) => {
    const python = await requireScapy(t);
    if (python === undefined) return;
    const input = SAME.map(([, , scapy]) => `${scapy}\n`).join('');
    const script = join(repositoryRoot(), 'test', 'packets', 'scapy-vectors.py');
    const result = await run(python, [script], { input });
    assert.equal(result.code, 0, result.stderr);
    const lines = result.stdout.trimEnd().split('\n');
    assert.equal(lines.length, SAME.length);
    for (const [i, [name, ours]] of SAME.entries()) {
      await t.test(name, () => {
        assert.equal(toHex(ours), lines[i]);
      });
    }
  });
});

describe('builders and headers written out by hand', () => {
  test('TCP SYN', () => {
    const expected = hex(`
      45 00 00 2c   # version 4, 5 words, 44 bytes in all
      00 01 40 00   # identification 1, don't fragment
      40 06 26 c9   # TTL 64, TCP, checksum
      0a 00 00 01   # from 10.0.0.1
      0a 00 00 02   # to 10.0.0.2
      9c 40 01 bb   # 40000 to 443
      00 00 00 64   # sequence 100
      00 00 00 00
      60 02 ff ff   # 6 words, SYN, window 65535
      e5 c4 00 00   # checksum
      02 04 05 b4   # MSS 1460
    `);
    const ours = build.tcp4(
      A4,
      '10.0.0.2',
      { ...PORTS, flags: 'S', seq: 100, mss: 1460 },
      { df: true },
    );
    assert.equal(toHex(ours), toHex(expected));
  });

  test('ICMPv6 echo behind a hop-by-hop header', () => {
    const expected = hex(`
      60 00 00 00   # version 6
      00 10 00 ff   # 16 bytes follow, hop-by-hop, hop limit 255
      fe 80 00 00 00 00 00 00  00 00 00 00 00 00 00 01
      ff 02 00 00 00 00 00 00  00 00 00 00 00 00 00 01
      3a 00 05 02 00 00 01 00  # ICMPv6 follows, 8 bytes, router alert, PadN of 2
      80 00 82 34   # echo request, checksum
      00 01 00 02   # identifier 1, sequence 2
    `);
    const extensionHeaders = [build.hopByHop({ options: hex('05020000 0100') })];
    const ours = build.icmp6(
      'fe80::1',
      'ff02::1',
      { type: 128, id: 1, seq: 2 },
      { hopLimit: 255, extensionHeaders },
    );
    assert.equal(toHex(ours), toHex(expected));
  });

  test('the example of RFC 1071 section 3', () => {
    // Its sum is ddf2; the checksum is the complement.
    assert.equal(build.checksum(hex('0001 f203 f4f5 f6f7')), 0xffff - 0xddf2);
  });

  test('fragments of IPv4 carry the pieces, the offsets and the options', () => {
    const whole = build.udp4(
      A4,
      B4,
      { srcPort: 1, dstPort: 2, payload: build.counting(20) },
      { id: 9, options: hex('01010101') },
    );
    const parts = build.fragments4(whole, 16);
    const header = { src: A4, dst: B4, protocol: 17, id: 9, options: hex('01010101') };
    assert.deepEqual(parts, [
      build.ipv4({ ...header, mf: true, payload: whole.subarray(24, 40) }),
      build.ipv4({ ...header, fragmentOffset: 16, payload: whole.subarray(40) }),
    ]);
  });

  test('fragments of IPv6 carry the pieces, behind the headers given', () => {
    const whole = {
      src: A6,
      dst: B6,
      nextHeader: 17,
      extensionHeaders: [build.hopByHop()],
      payload: build.counting(20),
    };
    const parts = build.fragments6(whole, 8, 5);
    assert.deepEqual(
      parts.map((part) => toHex(part.subarray(40 + 8))),
      [
        '11000001' + '00000005' + '0001020304050607',
        '11000009' + '00000005' + '08090a0b0c0d0e0f',
        '11000010' + '00000005' + '10111213',
      ],
    );
  });

  test('values that do not fit are refused, not cut', () => {
    assert.throws(() => build.udp4(A4, B4, { srcPort: 65536, dstPort: 1 }), {
      message: '65536 is not an unsigned number of 2 bytes',
    });
    assert.throws(() => build.ipv4({ src: A4, dst: '10.0.0.256', protocol: 6 }), RangeError);
    assert.throws(() => build.fragment6({ offset: 4 }), {
      message: 'fragment offset 4 is not a multiple of 8',
    });
    assert.throws(() => build.addressBytes('1:2:3'), { message: "'1:2:3' is not an IPv6 address" });
    assert.throws(() => build.tcpFlags('SX'), { message: "'X' is not a TCP flag, FSRPAUEC are" });
  });
});

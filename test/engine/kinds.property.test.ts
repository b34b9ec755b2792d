/**
 * Every pair of kinds of port: what comes out is what went in, or fragments that reassemble to it, or the sender is told
 * the right MTU. Nothing longer than its device takes leaves, and each checksum is right where it leaves.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadNative, STREAM_OUT_BYTES } from '../../src/ports/native.ts';
import { portKind, PORT_KIND_NAMES, type PortKindName } from '../../src/ports/port-kind.ts';
import { checksum, concat, counting, hex, pseudoHeader, tcp4, tcp6, toHex, udp4, udp6, with16 } from '../packets/build.ts'; // prettier-ignore
import { DROPPED, frame, GATEWAY, GSO, INSTANCE_MAC, NEEDS_CSUM, Wire, type Sent, type Vnet } from './frames.ts'; // prettier-ignore
import { finish, partialChecksum, segment } from './segment-twin.ts';

const native = loadNative();
const LINK_BYTES = 14;
const TCP = 6;
const A = ['10.0.0.1', 'fd00:10::1'] as const;
const B = ['10.0.0.2', 'fd00:10::2'] as const;
const RUNS = 25;

interface Case {
  readonly isTcp: boolean;
  readonly is6: boolean;
  readonly isOpen: boolean;
  readonly mayCut: boolean;
  /** Payload bytes of a packet, or of each segment. */
  readonly size: number;
  readonly segments: number;
  readonly mtu: number;
}

const aCase: fc.Arbitrary<Case> = fc.record({
  isTcp: fc.boolean(),
  is6: fc.boolean(),
  isOpen: fc.boolean(),
  mayCut: fc.boolean(),
  size: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.constantFrom(1232, 1240, 1440, 1452, 1460, 1472, 1473)), // prettier-ignore
  segments: fc.oneof({ weight: 2, arbitrary: fc.constant(1) }, fc.integer({ min: 2, max: 20 })),
  mtu: fc.constantFrom(1280, 1281, 1400, 1500, 9000),
});

/** The packet, and what its sender leaves to the device; a stream's sender leaves nothing, and cuts itself. */
function packetOf(one: Case, from: PortKindName): readonly [Vnet, Uint8Array] {
  const { isTcp, is6, isOpen, mayCut, size } = one;
  const segments = portKind(from).isStream ? 1 : one.segments;
  const payload = counting(size * segments);
  const content = { srcPort: 40000, dstPort: 443, payload };
  const ip = { df: !mayCut, id: 4711 };
  const packet = is6
    ? (isTcp ? tcp6 : udp6)(A[1], B[1], content)
    : (isTcp ? tcp4 : udp4)(A[0], B[0], content, ip);
  if (portKind(from).isStream || (!isOpen && segments === 1)) return [{}, packet];
  const csumStart = is6 ? 40 : 20;
  const csumOffset = isTcp ? 16 : 6;
  const gsoType = isTcp ? (is6 ? GSO.tcp6 : GSO.tcp4) : GSO.udp;
  const cut = { gsoType, gsoSize: size, hdrLen: csumStart + (isTcp ? 20 : 8) };
  const vnet = { flags: NEEDS_CSUM, csumStart, csumOffset, ...(segments > 1 ? cut : {}) };
  return [vnet, with16(packet, csumStart + csumOffset, partialChecksum(packet))];
}

function withLink(
  from: PortKindName,
  [vnet, packet]: readonly [Vnet, Uint8Array],
): readonly [Vnet, Uint8Array] {
  if (!portKind(from).hasEthernet) return [vnet, packet];
  const { csumStart, hdrLen } = vnet;
  const shifted = {
    ...vnet,
    ...(csumStart === undefined ? {} : { csumStart: csumStart + LINK_BYTES }),
    ...(hdrLen === undefined ? {} : { hdrLen: hdrLen + LINK_BYTES }),
  };
  return [shifted, frame(packet, INSTANCE_MAC, GATEWAY)];
}

/** What is on the wire behind a port: a kernel does what the virtio header says (the twin), or we do. */
function onTheWire(kind: PortKindName, sent: Sent): Uint8Array[] {
  if (portKind(kind).isStream) return throughStream(sent);
  const linkBytes = portKind(kind).hasEthernet ? LINK_BYTES : 0;
  const header = new DataView(hex(sent.vnet).buffer);
  const less = (value: number): number => (value === 0 ? 0 : value - linkBytes);
  const vnet = {
    flags: header.getUint8(0),
    gsoType: header.getUint8(1),
    hdrLen: less(header.getUint16(2, true)),
    gsoSize: header.getUint16(4, true),
    csumStart: less(header.getUint16(6, true)),
    csumOffset: header.getUint16(8, true),
  };
  const packet = hex(sent.frame).subarray(linkBytes);
  return vnet.gsoType === 0 ? [finish(vnet, packet)] : segment(vnet, packet);
}

/** By the addon. The descriptor takes nothing, so all stays in the buffer. */
function throughStream(sent: Sent): Uint8Array[] {
  const arena = concat(hex(sent.vnet), hex(sent.frame));
  const output = new Uint8Array(STREAM_OUT_BYTES);
  const state = new Int32Array(6);
  const fd = native.eventfd();
  const slots = Int32Array.of(0, arena.length, 1);
  assert.equal(native.writeStream(fd, state, output, arena, slots, 1, 1), 1);
  native.closeFd(fd);
  const packets: Uint8Array[] = [];
  for (let at = 0; at < state[3];) {
    const length = new DataView(output.buffer).getUint32(at);
    packets.push(output.slice(at + 4 + LINK_BYTES, at + 4 + length));
    at += 4 + length;
  }
  return packets;
}

const at16 = (bytes: Uint8Array, at: number): number => bytes[at] * 256 + bytes[at + 1];

/** A transport checksum, of the whole packet. */
function isRight(packet: Uint8Array): boolean {
  const is6 = packet[0] >>> 4 === 6;
  if (!is6 && checksum(packet.subarray(0, 20)) !== 0) return false;
  const [src, dst] = is6
    ? [packet.subarray(8, 24), packet.subarray(24, 40)]
    : [packet.subarray(12, 16), packet.subarray(16, 20)];
  const transport = packet.subarray(is6 ? 40 : 20);
  const protocol = packet[is6 ? 6 : 9];
  return checksum(pseudoHeader(src, dst, protocol, transport.length), transport) === 0;
}

function payloadOf(packet: Uint8Array): Uint8Array {
  const transport = packet[0] >>> 4 === 6 ? 40 : 20;
  return packet.subarray(transport + (packet[transport === 40 ? 6 : 9] === TCP ? 20 : 8));
}

function reassemble(fragments: readonly Uint8Array[]): Uint8Array {
  const parts = [...fragments].sort((a, b) => (at16(a, 6) & 0x1fff) - (at16(b, 6) & 0x1fff));
  let end = 0;
  for (const [i, part] of parts.entries()) {
    assert.equal(checksum(part.subarray(0, 20)), 0, 'the IP checksum of a fragment');
    assert.equal((at16(part, 6) & 0x1fff) * 8, end, 'a gap');
    assert.equal((at16(part, 6) & 0x2000) !== 0, i < parts.length - 1, 'more fragments');
    end += part.length - 20;
  }
  const whole = concat(parts[0].subarray(0, 20), ...parts.map((part) => part.subarray(20)));
  const unsummed = with16(with16(with16(whole, 2, whole.length), 6, 0), 10, 0);
  return with16(unsummed, 10, checksum(unsummed.subarray(0, 20)));
}

/** That an error about the packet tells the MTU to its sender. */
function checkError(kind: PortKindName, sent: Sent, { is6, mtu }: Case): void {
  const [error] = onTheWire(kind, sent);
  const icmp = error.subarray(is6 ? 40 : 20);
  assert.deepEqual([icmp[0], icmp[1]], is6 ? [2, 0] : [3, 4]);
  assert.equal(is6 ? at16(icmp, 4) * 65536 + at16(icmp, 6) : at16(icmp, 6), mtu);
  if (is6) assert.ok(isRight(error));
  else assert.equal(checksum(icmp), 0);
}

function check(from: PortKindName, to: PortKindName, one: Case): void {
  const names = { a: from, b: to };
  const taps = (['a', 'b'] as const).filter((name) => portKind(names[name]).hasEthernet);
  const groups = { open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] } };
  const interfaces = { a: { addresses: [...A], groups: ['open'] }, b: { addresses: [...B], groups: ['open'] } }; // prettier-ignore
  const wire = new Wire({ groups, interfaces }, taps);
  wire.setMtu('b', one.mtu);
  const [vnet, packet] = packetOf(one, from);
  const [sent] = wire.receive('a', [withLink(from, [vnet, packet])]);
  const behind = wire.takeBehind();
  const isCut = (vnet.gsoType ?? 0) !== 0;
  const plain = isCut ? segment(vnet, packet) : [finish(vnet, packet)];
  const fits = plain.every(({ length }) => length <= one.mtu);
  const mayCut = one.mayCut && !one.is6;
  if (fits) {
    assert.deepEqual(onTheWire(to, sent).map(toHex), plain.map(toHex));
  } else if (isCut && one.isTcp && mayCut) {
    const packets = onTheWire(to, sent);
    assert.ok(packets.every((each) => each.length <= one.mtu && isRight(each)));
    assert.equal(toHex(concat(...packets.map(payloadOf))), toHex(payloadOf(packet)));
  } else if (mayCut && !isCut) {
    assert.equal(sent.to, DROPPED);
    const fragments = behind.flatMap((each) => onTheWire(to, each));
    assert.ok(behind.every((each) => each.to === 'b'));
    assert.ok(fragments.every(({ length }) => length <= one.mtu));
    const whole = reassemble(fragments);
    assert.ok(isRight(whole));
    assert.equal(toHex(whole), toHex(with16(with16(plain[0], 6, 0), 10, at16(whole, 10))));
  } else {
    assert.deepEqual([sent.to, behind.map((each) => each.to)], [DROPPED, ['a']]);
    checkError(from, behind[0], one);
  }
  if (fits || (isCut && one.isTcp && mayCut)) {
    assert.deepEqual(behind, []);
    assert.ok(onTheWire(to, sent).every(isRight));
  }
}

for (const from of PORT_KIND_NAMES)
  for (const to of PORT_KIND_NAMES)
    test(`${from} to ${to}`, () => {
      fc.assert(
        fc.property(aCase, (one) => check(from, to, one)),
        { numRuns: RUNS },
      );
    });

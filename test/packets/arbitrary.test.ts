/** The arbitraries make what they promise: valid packets are valid, every kind comes up, mutations change things. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  PACKET_KINDS,
  anyFrame,
  anyPacket,
  mutate,
  mutatedPacket,
  namedPacket,
  validFrame,
} from './arbitrary.ts';
import { PROTOCOL, checksum, hex, pseudoHeader, tcp4, toHex, udp4 } from './build.ts';

// A checksum that is right makes the sum over everything it covers all ones, so that its complement is 0.
function isSumRight(...parts: readonly Uint8Array[]): boolean {
  return checksum(...parts) === 0;
}

function read16(packet: Uint8Array, offset: number): number {
  return packet[offset] * 256 + packet[offset + 1];
}

describe('valid packets', () => {
  test('of IPv4 have right lengths and checksums', () => {
    fc.assert(
      fc.property(
        namedPacket(['tcp4', 'udp4', 'icmp4', 'icmpError4', 'fragment4', 'other4']),
        ({ kind, packet }) => {
          const headerBytes = (packet[0] & 0x0f) * 4;
          const rest = packet.subarray(headerBytes);
          assert.equal(packet[0] >> 4, 4);
          assert.equal(read16(packet, 2), packet.length);
          assert.equal(isSumRight(packet.subarray(0, headerBytes)), true, 'header checksum');
          const pseudo = pseudoHeader(
            packet.slice(12, 16),
            packet.slice(16, 20),
            packet[9],
            rest.length,
          );
          if (kind === 'tcp4' || kind === 'udp4')
            assert.equal(isSumRight(pseudo, rest), true, 'transport checksum');
          if (kind === 'icmp4' || kind === 'icmpError4')
            assert.equal(isSumRight(rest), true, 'ICMP checksum');
          if (kind === 'udp4') assert.equal(read16(rest, 4), rest.length);
          if (kind === 'tcp4') assert.ok((rest[12] >> 4) * 4 <= rest.length, 'data offset');
        },
      ),
    );
  });

  test('of IPv6 have right lengths and checksums, and a chain that ends at the payload', () => {
    fc.assert(
      fc.property(
        namedPacket(['tcp6', 'udp6', 'icmp6', 'icmpError6', 'other6', 'nd']),
        ({ kind, packet }) => {
          assert.equal(packet[0] >> 4, 6);
          assert.equal(read16(packet, 4), packet.length - 40);
          let protocol = packet[6];
          let at = 40;
          while (
            [
              PROTOCOL.hopByHop,
              PROTOCOL.routing,
              PROTOCOL.destinationOptions,
              PROTOCOL.fragment,
              PROTOCOL.ah,
            ].some((known) => known === protocol)
          ) {
            const units = packet[at + 1];
            const length =
              protocol === PROTOCOL.ah
                ? (units + 2) * 4
                : protocol === PROTOCOL.fragment
                  ? 8
                  : (units + 1) * 8;
            protocol = packet[at];
            at += length;
          }
          const rest = packet.subarray(at);
          if (kind === 'other6') return;
          assert.equal(
            protocol,
            kind === 'tcp6' ? PROTOCOL.tcp : kind === 'udp6' ? PROTOCOL.udp : PROTOCOL.icmp6,
          );
          const pseudo = pseudoHeader(
            packet.slice(8, 24),
            packet.slice(24, 40),
            protocol,
            rest.length,
          );
          assert.equal(isSumRight(pseudo, rest), true, 'transport checksum');
        },
      ),
    );
  });

  test('of every kind come up', () => {
    const seen = new Set(
      fc.sample(namedPacket(), { numRuns: 500, seed: 1 }).map(({ kind }) => kind),
    );
    assert.deepEqual([...seen].sort(), [...PACKET_KINDS].sort());
  });

  test('fragments: first, middle and last come up', () => {
    const packets = fc
      .sample(namedPacket(['fragment4']), { numRuns: 300, seed: 1 })
      .map(({ packet }) => read16(packet, 6));
    assert.ok(
      packets.some((word) => word === 0x2000),
      'first',
    );
    assert.ok(
      packets.some((word) => (word & 0x2000) !== 0 && (word & 0x1fff) > 0),
      'middle',
    );
    assert.ok(
      packets.some((word) => (word & 0x2000) === 0 && (word & 0x1fff) > 0),
      'last',
    );
  });

  test('frames carry IP or ARP, tagged or not', () => {
    const types = new Set(
      fc.sample(validFrame, { numRuns: 300, seed: 1 }).map((frame) => read16(frame, 12)),
    );
    assert.deepEqual(
      [...types].sort((a, b) => a - b),
      [0x0800, 0x0806, 0x8100, 0x86dd],
    );
  });
});

describe('mutations', () => {
  const packet = udp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2, payload: 'ab' });

  test('do what they say to a copy', () => {
    const before = toHex(packet);
    assert.equal(toHex(mutate(packet, { kind: 'flip', bit: 7 })), `c5${before.slice(2)}`);
    assert.equal(
      toHex(mutate(packet, { kind: 'set', at: 30 + 8, value: 255 })),
      `${before.slice(0, 16)}ff${before.slice(18)}`,
    );
    assert.equal(toHex(mutate(packet, { kind: 'truncate', length: 34 })), before.slice(0, 8));
    assert.equal(toHex(mutate(packet, { kind: 'extend', by: hex('0102') })), `${before}0102`);
    assert.equal(
      toHex(mutate(packet, { kind: 'lie', field: 'headerLength', value: 4 })),
      `44${before.slice(2)}`,
    );
    assert.equal(
      toHex(mutate(packet, { kind: 'lie', field: 'totalLength', value: 0xffff })),
      `${before.slice(0, 4)}ffff${before.slice(8)}`,
    );
    assert.equal(
      toHex(mutate(packet, { kind: 'lie', field: 'inner', value: 3 })),
      `${before.slice(0, 50)}03${before.slice(52)}`,
    );
    assert.equal(toHex(packet), before);
  });

  test('reach the TCP data offset', () => {
    const segment = tcp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2 });
    assert.equal(mutate(segment, { kind: 'lie', field: 'inner', value: 0xf0 })[32], 0xf0);
  });

  test('hold on packets of no length', () => {
    assert.equal(mutate(new Uint8Array(0), { kind: 'flip', bit: 3 }).length, 0);
    assert.equal(mutate(new Uint8Array(0), { kind: 'lie', field: 'inner', value: 3 }).length, 0);
  });

  test('give bytes for any packet, shorter and longer than whole ones too', () => {
    const mutated = fc.sample(mutatedPacket(['udp4']), { numRuns: 300, seed: 1 });
    assert.ok(
      mutated.some((one) => one.length < 20),
      'cut inside the IP header',
    );
    assert.ok(
      mutated.some((one) => one.length > read16(one, 2)),
      'bytes after the end',
    );
    assert.ok(
      mutated.some((one) => one.length < read16(one, 2)),
      'bytes missing at the end',
    );
    fc.assert(
      fc.property(
        anyPacket,
        anyFrame,
        (one, frame) => one instanceof Uint8Array && frame instanceof Uint8Array,
      ),
    );
  });
});

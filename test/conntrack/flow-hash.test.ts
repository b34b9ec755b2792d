/** The tuple hash: the same for either direction, for packets and for keys, and by the short way and the long one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TupleHash } from '../../src/conntrack/flow-hash.ts';
import { hashThreeAndByte, hashWordsAndByte } from '../../src/conntrack/hash.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';
import { Packet } from '../../src/wire/packet.ts';

const KEY = { k0: 0x0badcafe, k1: 0x7ea5e1f };
const word = fc.oneof(fc.constantFrom(0, 1, -1, 0x7fffffff, -0x80000000), fc.integer());
const port = fc.oneof(fc.constantFrom(0, 1, 65535), fc.nat(65535));
const address = fc.tuple(word, word, word, word);

function packetOf(
  family: number,
  from: readonly number[],
  to: readonly number[],
  ports: readonly number[],
): Packet {
  const packet = new Packet();
  packet.family = family;
  packet.protocol = 17;
  packet.src0 = from[0];
  packet.dst0 = to[0];
  [packet.srcPort, packet.dstPort] = ports as [number, number];
  if (family === 4) return packet;
  [, packet.src1, packet.src2, packet.src3] = from as [number, number, number, number];
  [, packet.dst1, packet.dst2, packet.dst3] = to as [number, number, number, number];
  return packet;
}

for (const family of [4, 6] as const) {
  test(`IPv${family}: both directions, and the keys of both gates, hash alike`, () => {
    const layout = { capacity: 1, family };
    const table = new FlowTable(layout, KEY, new SharedArrayBuffer(flowTableBytes(layout)));
    const hash = new TupleHash(KEY);
    const second = fc.option(address, { nil: undefined });
    fc.assert(
      fc.property(address, second, port, port, fc.nat(3), (a, other, aPort, bPort, shared) => {
        // Ends that agree in their first words, or are the same.
        const b = other === undefined ? a : a.map((own, i) => (i < shared ? own : other[i]));
        const there = hash.ofPacket(packetOf(family, a, b, [aPort, bPort]));
        assert.equal(hash.ofPacket(packetOf(family, b, a, [bPort, aPort])), there);
        const words = family === 4 ? 1 : 4;
        const keyOf = (
          local: readonly number[],
          remote: readonly number[],
          ports: number,
          gate: number,
        ): Int32Array =>
          Int32Array.from([
            (gate << 16) | 17,
            ports,
            ...local.slice(0, words),
            ...remote.slice(0, words),
          ]);
        assert.equal(table.hashTuple(keyOf(a, b, (aPort << 16) | bPort, 1), 0), there);
        assert.equal(table.hashTuple(keyOf(b, a, (bPort << 16) | aPort, 2), 0), there);
      }),
      { numRuns: 2000 },
    );
  });
}

test('three words and a byte hash as they do from memory', () => {
  fc.assert(
    fc.property(word, word, word, fc.nat(255), (a, b, c, byte) => {
      assert.equal(
        hashThreeAndByte(a, b, c, byte, KEY.k0, KEY.k1),
        hashWordsAndByte(Int32Array.of(9, a, b, c), 1, 3, byte, KEY.k0, KEY.k1),
      );
    }),
  );
});

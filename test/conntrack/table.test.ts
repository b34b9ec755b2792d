/** The flow table against a Map, by random operations on few keys, and with keys that all hash alike. */
import { createKey } from '../../src/conntrack/flow-key.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type FlowFamily,
  KEY_META,
  KEY_PORTS,
  NO_FLOW,
  setStateWordOf,
  stateWordOf,
} from '../../src/conntrack/entry.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';

const SECRET = { k0: 0x01234567, k1: 0x89abcdef | 0 };

function makeTable(capacity: number, family: FlowFamily, Table = FlowTable): FlowTable {
  const layout = { capacity, family };
  return new Table(layout, SECRET, new SharedArrayBuffer(flowTableBytes(layout)));
}

/** Any state, and flags that tell whose it is. */
function wordOf(key: number): number {
  return (key << 8) | 1;
}

function keyOf(family: FlowFamily, number: number): Int32Array {
  const key = createKey(family).map((_, i) => Math.imul(number + 1, 0x9e3779b1) ^ i);
  // One interface: it is mixed into the hash behind what CollidingTable makes of the rest.
  key[KEY_META] = (1 << 16) | (number & 0xff);
  return key;
}

/** All keys have one of two homes next to each other, whatever they are: the worst that strangers could bring about. */
class CollidingTable extends FlowTable {
  override hashTuple(words: Int32Array, base: number): number {
    return words[base + KEY_PORTS] & 1;
  }
}

type Operation = { readonly kind: 'insert' | 'remove' | 'find'; readonly key: number };

for (const [family, Table] of [
  [4, FlowTable],
  [6, FlowTable],
  [4, CollidingTable],
  [6, CollidingTable],
] as const) {
  test(`a ${Table.name} of IPv${family} flows does what a Map does`, () => {
    const operations: fc.Arbitrary<Operation[]> = fc.array(
      fc.record({
        kind: fc.constantFrom(
          'insert' as const,
          'insert' as const,
          'remove' as const,
          'find' as const,
        ),
        key: fc.nat(40),
      }),
      { maxLength: 300, size: 'max' },
    );
    let crowded = 0;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 36 }), operations, (capacity, list) => {
        const table = makeTable(capacity, family, Table);
        const twin = new Map<number, number>();
        for (const { kind, key } of list) {
          const words = keyOf(family, key);
          const { changes } = table;
          const before = table.find(words);
          if (kind === 'insert' && !twin.has(key)) {
            const entry = table.insert(words);
            assert.equal(
              entry === NO_FLOW,
              twin.size === capacity,
              'refuses if and only if it is full',
            );
            if (entry === NO_FLOW) continue;
            assert.ok(![...twin.values()].includes(entry), 'an entry has one owner');
            setStateWordOf(table, entry, wordOf(key));
            twin.set(key, entry);
          } else if (kind === 'remove' && twin.has(key)) {
            table.remove(twin.get(key)!);
            twin.delete(key);
          }
          assert.equal(table.find(words), twin.get(key) ?? NO_FLOW);
          if (family === 4) {
            const [meta, ports, local, remote] = words;
            const hash = table.hashTuple(words, 0);
            assert.equal(
              table.findHashed4(meta, ports, local, remote, hash),
              twin.get(key) ?? NO_FLOW,
            );
          }
          assert.equal(table.changes === changes, table.find(words) === before, 'changes tells');
          if (twin.size > 16) crowded++;
        }
        assert.equal(table.count, twin.size);
        for (const [key, entry] of twin) {
          assert.equal(table.find(keyOf(family, key)), entry);
          assert.equal(stateWordOf(table, entry), wordOf(key), 'state stays with its flow');
        }
        const swept = new Set<number>();
        for (let i = 0; i < table.highWater; i++) {
          const entry = table.nextToSweep();
          if (entry !== NO_FLOW) swept.add(entry);
        }
        assert.deepEqual(
          [...swept].sort(),
          [...twin.values()].sort(),
          'a round of the sweep sees every flow',
        );
      }),
      { numRuns: 500 },
    );
    assert.ok(crowded > 100, 'so many with one home that their distance does not fit a slot');
  });
}

test('filled to capacity, emptied in another order and filled again, nothing is lost', () => {
  const capacity = 5000;
  const table = makeTable(capacity, 4);
  for (let round = 0; round < 3; round++) {
    const entries = Array.from({ length: capacity }, (_, i) => {
      const entry = table.insert(keyOf(4, i));
      setStateWordOf(table, entry, 1);
      return entry;
    });
    assert.equal(table.insert(keyOf(4, capacity)), NO_FLOW);
    for (let i = 0; i < capacity; i++) assert.equal(table.find(keyOf(4, i)), entries[i]);
    for (let i = 0; i < capacity; i++) table.remove(entries[(i * 7919) % capacity]);
    assert.equal(table.count, 0);
    assert.equal(table.find(keyOf(4, 0)), NO_FLOW);
  }
  assert.equal(table.highWater, capacity, 'memory is used again');
});

test('an IPv4 flow takes 64 bytes and an IPv6 flow 88, index counted', () => {
  const capacity = 1 << 20;
  const headerBytes = 16;
  const bytesEach = (family: FlowFamily): number =>
    (flowTableBytes({ capacity, family }) - headerBytes) / capacity;
  assert.equal(bytesEach(4), 64);
  assert.equal(bytesEach(6), 88);
});

test('a capacity the index cannot name is refused', () => {
  assert.throws(() => makeTable(0, 4), /holds 1 to 16777214 flows, not 0/);
  assert.throws(() => makeTable(1 << 24, 4), RangeError);
});

/** The table of learnt addresses against a plain map, with its bounds, and with readers beside the writer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readLearnt } from '../../../src/dataplane/learnt-names.ts';
import { LearntAddresses, learntBytes } from '../../../src/engine/names/learnt-addresses.ts';
import {
  NAME_INTERFACE_FULL,
  NAME_LEARNT,
  NAME_RENEWED,
  NAME_TABLE_FULL,
} from '../../../src/engine/names/outcomes.ts';
import { RIG_KEY } from '../rig.ts';

const PORTS = 4;
const PORT_MAX = 6;

/** Until when, by port, address and name. */
class Twin {
  readonly entries = new Map<string, number>();

  learn(port: number, address: number, name: number, untilMs: number, nowMs: number): number {
    const key = `${port} ${address} ${name}`;
    const known = this.entries.get(key);
    if (known !== undefined && known > nowMs) {
      this.entries.set(key, Math.max(known, untilMs));
      return NAME_RENEWED;
    }
    const own = [...this.entries].filter(([one]) => one.startsWith(`${port} `));
    if (own.filter(([one, until]) => until > nowMs && one !== key).length >= PORT_MAX)
      return NAME_INTERFACE_FULL;
    this.entries.set(key, untilMs);
    return NAME_LEARNT;
  }

  names(port: number, address: number, nowMs: number): readonly number[] {
    return [...this.entries]
      .filter(([key, until]) => key.startsWith(`${port} ${address} `) && until > nowMs)
      .map(([key]) => Number(key.split(' ')[2]))
      .sort();
  }
}

function namesOf(table: LearntAddresses, port: number, address: number, nowMs: number): number[] {
  const found: number[] = [];
  table.look(port, 4, address, 0, 0, 0);
  while (table.next(nowMs)) {
    assert.equal(table.name1, -table.name0);
    found.push(table.name0);
  }
  return found.sort();
}

const step = fc.record({
  port: fc.nat(PORTS - 1),
  address: fc.nat(3),
  name: fc.integer({ min: 1, max: 3 }),
  lifetime: fc.constantFrom(1, 10, 100),
  wait: fc.constantFrom(0, 0, 1, 9, 60),
});

test('it knows what a map would, and a reader of another loop sees the same', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom(0, 0x7fffffff - 50),
      (steps, start) => {
        const memory = new SharedArrayBuffer(learntBytes());
        const table = new LearntAddresses(memory, RIG_KEY, PORTS);
        const reader = new LearntAddresses(memory, RIG_KEY, 0);
        const twin = new Twin();
        let nowMs = start;
        for (const { port, address, name, lifetime, wait } of steps) {
          nowMs += wait;
          // The sweep has met everything, so that the table counts what the twin does.
          table.sweep(1 << 15, nowMs | 0);
          table.look(port, 4, address, 0, 0, 0);
          const learnt = table.learn(name, -name, (nowMs + lifetime) | 0, PORT_MAX, nowMs | 0);
          assert.equal(learnt, twin.learn(port, address, name, nowMs + lifetime, nowMs));
          const right = twin.names(port, address, nowMs);
          assert.deepEqual(namesOf(table, port, address, nowMs | 0), right);
          assert.deepEqual(namesOf(reader, port, address, nowMs | 0), right);
        }
        const all = readLearnt(memory, RIG_KEY, nowMs | 0).map(
          ({ port, words, identity }) => `${port} ${words.join()} ${identity[0]}`,
        );
        const live = [...twin.entries].filter(([, until]) => until > nowMs).map(([key]) => key);
        assert.deepEqual(all.sort(), live.sort());
      },
    ),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 150) },
  );
});

test('a full window takes no other address before the time of one is over', () => {
  const table = new LearntAddresses(new SharedArrayBuffer(learntBytes()), RIG_KEY, PORTS);
  // All names of an address have one window.
  table.look(1, 4, 77, 0, 0, 0);
  for (let name = 1; name <= 32; name++)
    assert.equal(table.learn(name, -name, 100 + name, 1000, 0), NAME_LEARNT);
  assert.equal(table.learn(33, -33, 500, 1000, 50), NAME_TABLE_FULL);
  assert.equal(table.learn(32, -32, 600, 1000, 50), NAME_RENEWED);
  assert.equal(namesOf(table, 1, 77, 50).length, 32);
  table.look(1, 4, 77, 0, 0, 0);
  assert.equal(table.learn(33, -33, 500, 1000, 101), NAME_LEARNT, 'one is over');
  assert.equal(table.count, 32);
});

test('a later answer that is good for less takes nothing from an earlier one', () => {
  const table = new LearntAddresses(new SharedArrayBuffer(learntBytes()), RIG_KEY, PORTS);
  table.look(1, 6, 1, 2, 3, 4);
  table.learn(1, -1, 1000, 10, 0);
  table.learn(1, -1, 100, 10, 10);
  table.look(1, 6, 1, 2, 3, 4);
  assert.equal(table.next(999), true);
  assert.deepEqual([table.untilMs, table.answers, [...table.address]], [1000, 2, [1, 2, 3, 4]]);
  table.look(1, 6, 1, 2, 3, 4);
  assert.equal(table.next(1000), false);
});

test('a place that is being written is not read', () => {
  const memory = new SharedArrayBuffer(learntBytes());
  const table = new LearntAddresses(memory, RIG_KEY, PORTS);
  table.look(1, 4, 5, 0, 0, 0);
  table.learn(1, -1, 1000, 10, 0);
  const words = new Int32Array(memory);
  const at = words.indexOf((1 << 4) | 4) - 1;
  assert.deepEqual(namesOf(table, 1, 5, 0), [1]);
  words[at]++;
  assert.deepEqual(namesOf(table, 1, 5, 0), []);
  words[at]++;
  assert.deepEqual(namesOf(table, 1, 5, 0), [1]);
});

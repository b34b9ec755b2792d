/** The neighbour table: against a plain twin, and what an attacker, a scan and a crowded table do to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ANSWER_MS,
  ASK_ALL,
  ASK_MS,
  ASK_NEIGHBOUR,
  ASK_NOBODY,
  CREATED_BURST,
  CREATED_MS,
  createNeighbours,
  Neighbours,
  PROBES_MAX,
  REACHABLE_MS,
  SETS,
  WAYS,
} from '../../src/engine/neighbours.ts';
import { NeighboursTwin, type Asked } from './neighbours-twin.ts';

const PORTS = 4;
const ASKED: readonly Asked[] = ['nobody', 'all', 'neighbour'];

function makeTable(): Neighbours {
  return new Neighbours(createNeighbours(), PORTS);
}

/** IPv4 host `n`. */
function lookUp(table: Neighbours, n: number, nowMs: number, port = 1): string | undefined {
  return table.lookUp(4, n, 0, 0, 0, port, nowMs) ? String(table.macLow) : undefined;
}

function answer(table: Neighbours, n: number, mac: number, nowMs: number): boolean {
  return table.answer(4, n, 0, 0, 0, 0x0600, mac, nowMs);
}

type Step = readonly [
  what: 'look' | 'answer' | 'announce',
  host: number,
  mac: number,
  port: number,
  laterMs: number,
];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('look', 'look', 'answer', 'announce'),
  fc.integer({ min: 0, max: 5 }),
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: PORTS - 1 }),
  fc.oneof(
    fc.constantFrom(0, 1, CREATED_MS, ASK_MS - 1, ASK_MS, ANSWER_MS, ANSWER_MS + 1, REACHABLE_MS),
    fc.integer({ min: 0, max: 40_000 }),
  ),
);

test('the table and its twin agree, also over the turn of the clock', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 80 }),
      fc.constantFrom(0, 0x7fffffff - 50_000, 0xffffffff - 50_000),
      (steps, startMs) => {
        const table = makeTable();
        const twin = new NeighboursTwin();
        let nowMs = startMs;
        for (const [what, host, mac, port, laterMs] of steps) {
          nowMs += laterMs;
          const now = nowMs | 0;
          // Hosts 3 … 5 are IPv6, and differ in their last word only.
          const a: [number, number, number, number, number] =
            host < 3 ? [4, host, 0, 0, 0] : [6, 0x20010db8, 0, 0, host];
          if (what === 'look') {
            const isKnown = table.lookUp(...a, port, now);
            const found = {
              mac: isKnown ? `${table.macHigh} ${table.macLow}` : undefined,
              ask: ASKED[table.ask],
            };
            assert.deepEqual(found, twin.lookUp(String(a), port, nowMs));
          } else if (what === 'answer')
            assert.equal(
              table.answer(...a, 0x0600, mac, now),
              twin.answer(String(a), `${0x0600} ${mac}`, nowMs),
            );
          else {
            table.announce(...a, 0x0600, mac, now);
            twin.announce(String(a), `${0x0600} ${mac}`, nowMs);
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('just before the clock turns to 0, a port that made no entry yet has its whole share', () => {
  const table = makeTable();
  lookUp(table, 1, -1);
  assert.equal(table.ask, ASK_ALL);
});

test('what nobody asked for is not believed, and makes no entry', () => {
  const table = makeTable();
  assert.equal(answer(table, 1, 11, 0), false);
  table.announce(4, 1, 0, 0, 0, 0x0600, 11, 0);
  assert.equal(lookUp(table, 1, 0), undefined);
  assert.equal(table.ask, ASK_ALL);
  assert.equal(answer(table, 1, 11, ANSWER_MS + 1), false, 'too late');
  assert.equal(lookUp(table, 1, ANSWER_MS + 1), undefined);
  assert.equal(answer(table, 1, 11, ANSWER_MS + 1), true);
  assert.equal(lookUp(table, 1, ANSWER_MS + 2), '11');
});

test('another MAC address is taken only once the known one stays silent', () => {
  const table = makeTable();
  lookUp(table, 1, 0);
  answer(table, 1, 11, 0);
  table.announce(4, 1, 0, 0, 0, 0x0600, 66, 10);
  assert.equal(answer(table, 1, 66, 10), false);
  let nowMs = 20;
  for (let probe = 0; probe < PROBES_MAX; probe++) {
    assert.equal(lookUp(table, 1, (nowMs += ASK_MS)), '11');
    assert.equal(
      table.ask,
      ASK_NEIGHBOUR,
      'the known one is asked, and goes on to get the packets',
    );
    assert.equal(answer(table, 1, 66, nowMs), false);
  }
  assert.equal(lookUp(table, 1, (nowMs += ASK_MS)), undefined);
  assert.equal(table.ask, ASK_ALL);
  assert.equal(answer(table, 1, 66, nowMs), true, 'it has moved');
  assert.equal(lookUp(table, 1, nowMs), '66');
  assert.equal(table.ask, ASK_NOBODY);
});

test('a port that scans a network makes so many entries at a time, and others theirs', () => {
  const table = makeTable();
  let made = 0;
  for (let n = 0; n < 10_000; n++) {
    lookUp(table, n, 0, 1);
    if (table.ask === ASK_ALL) made++;
  }
  assert.equal(made, CREATED_BURST);
  lookUp(table, 20_000, 0, 2);
  assert.equal(table.ask, ASK_ALL);
  lookUp(table, 20_001, CREATED_MS, 1);
  assert.equal(table.ask, ASK_ALL, 'its share comes back');
});

test('in a full table, what is in use stays, and what nobody answered for goes first', () => {
  const table = makeTable();
  let nowMs = 0;
  lookUp(table, -1, nowMs, 2);
  answer(table, -1, 11, nowMs);
  for (let n = 0; n < 20 * SETS * WAYS; n++) {
    nowMs += CREATED_MS;
    lookUp(table, n, nowMs);
    if (n % 300 !== 0) continue;
    const known = lookUp(table, -1, nowMs, 2);
    assert.equal(known, '11');
    if (table.ask === ASK_NEIGHBOUR) answer(table, -1, 11, nowMs);
  }
});

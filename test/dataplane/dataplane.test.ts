/** Real packet loops on threads of their own, without devices: whose flows are whose, and what is read of all together. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { REPLIED, REVOKED_FLOW, UDP_STREAM } from '../../src/conntrack/states.ts';
import {
  KEY_META,
  KEY_WORDS_4,
  NO_FLOW,
  incarnationIn,
  setRuleWordOf,
  setSeenOf,
  setStateWordOf,
  stateOf,
  stateWordOf,
} from '../../src/conntrack/entry.ts';
import type { FlowTable } from '../../src/conntrack/table.ts';
import { Dataplane } from '../../src/dataplane/dataplane.ts';
import { loopOfPair } from '../../src/dataplane/steering.ts';
import { GAUGE_LAST_ROUND_MS, GAUGE_ROUNDS } from '../../src/engine/counters.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { NO_SPECIAL_ADDRESSES } from '../../src/policy/special-addresses.ts';
import { loadNative } from '../../src/ports/native.ts';
import { model } from '../support/policy.ts';
import { until } from '../support/until.ts';

const NAME_SETTINGS = {
  minLifetimeMs: 60_000,
  maxLifetimeMs: 86_400_000,
  maxAddresses: 1024,
  acceptsPrivate: false,
};
const WORKERS = 3;
const MAX_FLOWS = 1024;
const UDP = 17;
const PORT = 1;
const NO_DEVICE = { fds: [], kind: 'tun', takesUso: false, label: 'none' } as const;

/** @param port of the one interface */
function makePolicy(generation: number, port = PORT): ReturnType<typeof compilePolicy> {
  const built = model({
    groups: { web: { ingress: ['udp 53 from 0.0.0.0/1', 'udp 53 from ::/1'] } },
    interfaces: { web: { addresses: ['10.0.0.11', 'fd00::11'], groups: ['web'] } },
  });
  const ports = new Map([...built.interfaces.keys()].map((id) => [id, port]));
  const ruleNumbers = new RuleNumbers();
  return compilePolicy({
    model: built,
    ports,
    ruleNumbers,
    special: NO_SPECIAL_ADDRESSES,
    generation,
  });
}

async function start(t: TestContext, prepare: (dataplane: Dataplane) => void): Promise<Dataplane> {
  const failures: Error[] = [];
  const dataplane = await Dataplane.start(loadNative(), {
    ports: [NO_DEVICE, NO_DEVICE],
    policy: makePolicy(1),
    hasUplink: true,
    settings: {
      workers: WORKERS,
      busyPollUs: 0,
      maxFlows: MAX_FLOWS,
      maxHalfOpen: 256,
      timeScale: 1,
      acceptsMidstream: true,
      checksWindow: true,
      accounting: true,
      names: NAME_SETTINGS,
      passes: { tableFull: false, invalid: false, fragment: false, eventsFull: true },
    },
    onFailure: (error) => failures.push(error),
    onLost: () => undefined,
    onGuest: () => undefined,
    prepare: (made) => {
      made.setTimeouts(PORT, { tcpEstablishedSec: 432_000, udpSec: 30, udpStreamSec: 180 });
      prepare(made);
    },
  });
  t.after(async () => {
    await dataplane.stop();
    assert.deepEqual(failures, []);
  });
  return dataplane;
}

type Key = Int32Array & { readonly length: number };

/** Keys of UDP flows of the interface with hosts of both families, by number. */
function keyOf(n: number): Key {
  const meta = (PORT << 16) | UDP;
  const ports = (53 << 16) | 4000;
  if (n % 2 === 0) return Int32Array.of(meta, ports, 0x0a00000b, 0x09000000 + n);
  return Int32Array.of(meta, ports, 0xfd000000 | 0, 0, 0, 0x11, 0x10000000, 0, 0, n);
}

/** Puts flows into the tables as a restart does. @returns (table, entry) of each */
function fill(dataplane: Dataplane, count: number): [table: number, flow: number][] {
  return Array.from({ length: count }, (_, n) => {
    const key = keyOf(n);
    const number = dataplane.tableOf(key);
    const table = dataplane.flows[number];
    const flow = table.insert(key);
    assert.notEqual(flow, NO_FLOW);
    setStateWordOf(table, flow, stateWordOf(table, flow) | UDP_STREAM | REPLIED);
    setSeenOf(table, flow, 0);
    setRuleWordOf(table, flow, 0);
    return [number, flow];
  });
}

function incarnationOf(table: FlowTable, flow: number): number {
  return incarnationIn(stateWordOf(table, flow));
}

test('a table is a loop and a family; flows go to the loop of their pair', async (t) => {
  const dataplane = await start(t, () => undefined);
  assert.deepEqual(
    dataplane.flows.map(({ family }) => family),
    [4, 6, 4, 6, 4, 6],
  );
  assert.deepEqual([dataplane.accounts.length, dataplane.events.length, dataplane.captures.length], [6, 3, 3]); // prettier-ignore
  fc.assert(
    fc.property(fc.nat(1 << 20), (n) => {
      const key = keyOf(n);
      const isIpv4 = key.length === KEY_WORDS_4;
      const loop = loopOfPair(key, 2, isIpv4 ? 1 : 4, WORKERS);
      assert.equal(dataplane.tableOf(key), 2 * loop + (isIpv4 ? 0 : 1));
    }),
  );
});

test('flows of before are taken over by every loop, counted and ended together', async (t) => {
  const COUNT = 90;
  let placed: [number, number][] = [];
  const dataplane = await start(t, (made) => {
    placed = fill(made, COUNT);
  });
  assert.deepEqual(dataplane.adopted, { restored: COUNT, aged: 0 });
  assert.equal(dataplane.flowCount, COUNT);
  const used = new Set(placed.map(([table]) => table));
  assert.equal(used.size, 2 * WORKERS, 'every table has some');

  // Some of each table, one that is another flow by now, and one that is not there.
  const ended = placed.filter((_, i) => i % 3 === 0);
  const triples = ended.flatMap(([number, flow]) => [
    number,
    flow,
    incarnationOf(dataplane.flows[number], flow),
  ]);
  const [otherTable, otherFlow] = placed[1];
  const stale = [otherTable, otherFlow, incarnationOf(dataplane.flows[otherTable], otherFlow) ^ 1];
  assert.equal(await dataplane.endFlows([...triples, ...stale, 5, 900, 0]), ended.length);
  for (const [i, [number, flow]] of placed.entries())
    assert.equal(
      stateOf(dataplane.flows[number], flow),
      i % 3 === 0 ? REVOKED_FLOW : UDP_STREAM,
      `flow ${i}`,
    );
  assert.equal(
    dataplane.flowCount,
    COUNT,
    'what was ended is kept, so that nothing brings it back',
  );
  assert.equal(await dataplane.endFlows([]), 0);
});

test('a policy is in force in all loops, and what they end for it is summed', async (t) => {
  const COUNT = 30;
  const dataplane = await start(t, (made) => void fill(made, COUNT));
  const ports = [NO_DEVICE, NO_DEVICE, NO_DEVICE];
  const kept = await dataplane.assign({ ports, policy: makePolicy(2), hasUplink: true });
  assert.equal(await kept.rechecked, 0);
  assert.equal(dataplane.flowCount, COUNT);
  // The interface is gone from its port.
  const moved = await dataplane.assign({
    ports,
    policy: makePolicy(3, PORT + 1),
    hasUplink: true,
  });
  assert.equal(await moved.rechecked, COUNT);
  assert.equal(dataplane.flowCount, 0);
});

test('counters, gauges and rule hits are those of all loops', async (t) => {
  const dataplane = await start(t, () => undefined);
  // What a loop that has no packets does not write.
  const { threads } = dataplane as unknown as {
    threads: readonly {
      readonly counters: Float64Array;
      readonly gauges: Float64Array;
      readonly ruleHits: { readonly hits: Float64Array; readonly lastHitSec: Int32Array };
    }[];
  };
  threads.forEach(({ counters, ruleHits }, loop) => {
    counters[10] = 10 ** loop;
    counters[11] = loop;
    ruleHits.hits[4] = 2 ** loop;
    ruleHits.lastHitSec[4] = [0, 50, 30][loop];
  });
  const counters = dataplane.readCounters();
  assert.deepEqual([counters[10], counters[11], counters[12]], [111, 3, 0]);
  assert.deepEqual([threads[0].counters[10], threads[2].counters[10]], [1, 100], 'left alone');
  assert.equal(dataplane.hitsOf(4), 7);
  assert.equal(dataplane.lastHitAt(5), undefined);
  // 49 seconds on a clock that began with the process: of those the latest counts.
  const sinceStartMs = Date.now() - dataplane.lastHitAt(4)! + 49_000;
  const isSince = sinceStartMs >= 0 && sinceStartMs <= 1000 * (process.uptime() + 1);
  assert.ok(isSince, `${sinceStartMs} ms`);

  const before = threads.map(({ gauges }) => gauges[GAUGE_ROUNDS]);
  const { pulse } = dataplane;
  dataplane.nudge();
  // A round begins with the pulse and ends with the count.
  const haveAllTurned = (): boolean =>
    threads.every(({ gauges }, i) => gauges[GAUGE_ROUNDS] > before[i]);
  await until('every loop goes a round', haveAllTurned);
  assert.ok(dataplane.pulse > pulse, 'every loop has gone a round');
  assert.equal(
    dataplane.pulse,
    Math.min(...threads.map(({ gauges }) => gauges[GAUGE_LAST_ROUND_MS])),
  );
  assert.deepEqual(
    dataplane.readGauges(GAUGE_ROUNDS),
    threads.map(({ gauges }) => gauges[GAUGE_ROUNDS]),
  );
  assert.ok(dataplane.readGauge(GAUGE_ROUNDS) >= before.reduce((a, b) => a + b) + WORKERS);
});

test('the pulse is that of the slowest loop', async (t) => {
  const dataplane = await start(t, () => undefined);
  const { threads } = dataplane as unknown as { threads: readonly { nudge(): void }[] };
  const { pulse } = dataplane;
  for (let i = 0; i < 20; i++) {
    threads[0].nudge();
    threads[2].nudge();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal(dataplane.pulse, pulse, 'one that is stuck keeps it');
});

test('an interval begins in every loop', async (t) => {
  const dataplane = await start(t, () => undefined);
  const [first, second] = [dataplane.nextInterval(), dataplane.nextInterval()];
  assert.deepEqual([first, second], [1, 2]);
  assert.deepEqual(
    dataplane.events.map((reader) => reader.nextInterval()),
    [3, 3, 3],
  );
});

test('a key of a flow says nothing of the interface when its loop is chosen', async (t) => {
  const dataplane = await start(t, () => undefined);
  fc.assert(
    fc.property(fc.nat(1 << 20), fc.nat(1000), (n, port) => {
      const key = keyOf(n);
      const elsewhere = key.slice();
      elsewhere[KEY_META] = (port << 16) | 6;
      assert.equal(dataplane.tableOf(elsewhere), dataplane.tableOf(key));
      // The other side's interface sees the addresses the other way round.
      const half = (key.length - 2) / 2;
      const turned = key.slice();
      turned.set(key.subarray(2 + half), 2);
      turned.set(key.subarray(2, 2 + half), 2 + half);
      assert.equal(dataplane.tableOf(turned), dataplane.tableOf(key));
    }),
  );
});

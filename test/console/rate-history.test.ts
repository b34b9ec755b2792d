/** The history of rates: averages of steps, gaps, and bounds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TopAnswer, Traffic } from '../../src/console/contract.ts';
import { RateKeeper } from '../../src/console/rate-history.ts';

function traffic(passedBytes: number, droppedPackets = 0): Traffic {
  return { passedPackets: passedBytes / 100, passedBytes, droppedPackets, droppedBytes: 0 };
}

function look(
  interfaces: Readonly<Record<string, readonly [ingress: Traffic, egress: Traffic]>>,
  drops: Readonly<Record<string, number>> = {},
): TopAnswer {
  return {
    ...{ timeMs: 1, intervalMs: 1000, flows: 0, maxFlows: 10, flowsOpenedRate: 0 },
    ...{ hasAccounts: true, topFlows: [], topRules: [] },
    interfaces: Object.entries(interfaces).map(([name, [ingress, egress]]) => ({
      ...{ name, ingress, egress },
    })),
    topDrops: Object.entries(drops).map(([reason, packetsRate]) => ({
      ...{ interface: 'a', direction: 'ingress', reason, meaning: '', packets: 9, packetsRate },
    })),
  };
}

test('a step is the average of its looks, and a step without one is a gap', () => {
  const rates = new RateKeeper(5000, 60_000);
  rates.take(look({ a: [traffic(100), traffic(300)], b: [traffic(0), traffic(0)] }));
  rates.take(look({ a: [traffic(500), traffic(100, 4)] }, { 'ingress-rules': 4 }));
  const sample = rates.endStep(5000);
  assert.deepEqual(sample, {
    timeMs: 5000,
    total: { ...traffic(500, 2) },
    drops: [{ reason: 'ingress-rules', packets: 2 }],
    interfaces: [{ name: 'a', ...traffic(500, 2) }],
  });
  assert.deepEqual(rates.endStep(10_000), {
    timeMs: 10_000,
    total: null,
    drops: [],
    interfaces: [],
  });
  rates.take(look({ a: [traffic(0), traffic(0)], c: [traffic(200), traffic(0)] }));
  rates.endStep(15_000);
  const { stepMs, timesMs, total, drops, interfaces } = rates.history();
  assert.deepEqual([stepMs, timesMs], [5000, [5000, 10_000, 15_000]]);
  assert.deepEqual(total.passedBytes, [500, null, 200]);
  assert.deepEqual(total.droppedPackets, [2, null, 0]);
  assert.deepEqual(drops, [{ reason: 'ingress-rules', packets: [2, null, 0] }]);
  assert.deepEqual(
    interfaces.map(({ name, passedBytes }) => [name, passedBytes]),
    [
      ['a', [500, null, 0]],
      ['c', [0, null, 200]],
    ],
  );
});

test('an hour is kept, and of a thousand interfaces those that count', () => {
  const rates = new RateKeeper(5000);
  const busy = Object.fromEntries(
    Array.from({ length: 1000 }, (_, i) => [`eni-${i}`, [traffic(100 * i), traffic(0)] as const]),
  );
  for (let step = 1; step <= 800; step++) {
    rates.take(look(step === 800 ? { 'eni-999': [traffic(100), traffic(0)] } : busy));
    const { interfaces } = rates.endStep(5000 * step);
    assert.ok(interfaces.length <= 20);
  }
  const { timesMs, total, interfaces } = rates.history();
  assert.equal(timesMs.length, 720);
  assert.equal(timesMs.at(-1), 4_000_000);
  assert.equal(total.passedBytes.at(0), (100 * (999 * 1000)) / 2);
  assert.deepEqual(
    interfaces.map(({ name }) => name),
    Array.from({ length: 10 }, (_, i) => `eni-${999 - i}`),
  );
  // In the last step it was known that all others were silent.
  assert.equal(interfaces[1].passedBytes.at(-1), 0);
});

test('an interface that was not among the kept ones of a full step is unknown there, not silent', () => {
  const rates = new RateKeeper(5000);
  const many = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`eni-${i}`, [traffic(1000), traffic(0)] as const]),
  );
  rates.take(look({ ...many, small: [traffic(100), traffic(0)] }));
  rates.endStep(5000);
  rates.take(look({ small: [traffic(1_000_000), traffic(0)] }));
  rates.endStep(10_000);
  const [first] = rates.history().interfaces;
  assert.deepEqual([first.name, first.passedBytes], ['small', [null, 1_000_000]]);
});

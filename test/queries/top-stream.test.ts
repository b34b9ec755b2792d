/** What `sgctl top` makes of two looks at counters, flows and rules, a known time apart. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  ACCOUNT_BYTES_OUT,
  ACCOUNT_PACKETS_OUT,
  ACCOUNT_WORDS,
} from '../../src/conntrack/accounts.ts';
import { count, EGRESS, INGRESS } from '../../src/engine/counters.ts';
import { INGRESS_RULES, LINK_SCOPE, SOURCE_CHECK } from '../../src/engine/reasons.ts';
import { FlowsView } from '../../src/queries/flows-view.ts';
import { TopSampler, type TopAnswer, type TopQuestion } from '../../src/queries/top-stream.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import type { Observatory } from '../../src/telemetry/observatory.ts';
import { Seeing } from '../telemetry/seeing.ts';

const WEB = 1;
const PASS = 0;

interface Sampling {
  readonly seeing: Seeing;
  readonly sampler: TopSampler;
  readonly errors: unknown[];
  readonly hits: Map<number, number>;
  /** Flows opened since the start; undefined: reading it fails. */
  opened: number | undefined;
  readonly follow: (question?: TopQuestion) => {
    readonly answers: TopAnswer[];
    readonly stop: () => void;
  };
  /** Lets so much time pass, and the scan that is due be done. */
  readonly pass: (ms: number) => Promise<void>;
  /** Adds to what a flow has sent. */
  readonly carry: (flow: number, packets: number, bytes: number) => void;
}

function makeSampling(t: TestContext): Sampling {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let nowMs = 50_000;
  t.mock.method(performance, 'now', () => nowMs);
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const hits = new Map<number, number>();
  const dataplane = Object.create(seeing.observatory.dataplane, {
    readGauge: {
      value: () => {
        if (sampling.opened === undefined) throw new Error('no gauges');
        return sampling.opened;
      },
    },
    flowCount: { get: () => seeing.tables[0].count },
    hitsOf: { value: (rule: number) => hits.get(rule) ?? 0 },
  }) as Observatory['dataplane'];
  const observatory = Object.create(seeing.observatory, {
    dataplane: { value: dataplane },
  }) as Observatory;
  const errors: unknown[] = [];
  const view = new FlowsView(observatory, seeing.book);
  const sampler = new TopSampler(observatory, seeing.book, view, (error) => errors.push(error));
  t.after(() => sampler.stop());
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const [{ words, doubles }] = seeing.accounts;
  const sampling: Sampling = {
    ...{ seeing, sampler, errors, hits, opened: 0 },
    follow: (question = {}) => {
      const answers: TopAnswer[] = [];
      const sink = { send: (one: TopAnswer) => answers.push(one) > 0, miss: () => undefined };
      return { answers, stop: sampler.follow(question, sink) };
    },
    pass: async (ms) => {
      await settle();
      nowMs += ms;
      t.mock.timers.tick(ms);
      await settle();
    },
    carry: (flow, packets, bytes) => {
      words[flow * ACCOUNT_WORDS + ACCOUNT_PACKETS_OUT] += packets;
      doubles[(flow * ACCOUNT_WORDS + ACCOUNT_BYTES_OUT) / 2] += bytes;
    },
  };
  return sampling;
}

function rates({ topFlows }: TopAnswer): number[][] {
  return topFlows.map((flow) => [flow.remotePort, flow.bytesOutRate, flow.packetsOutRate]);
}

test('flows with traffic, the fastest first, by bytes or by packets, over the time that has passed', async (t) => {
  const sampling = makeSampling(t);
  const { seeing, carry, pass } = sampling;
  const large = seeing.open({ remotePort: 1, bytesOut: 100, packetsOut: 1 });
  const small = seeing.open({ remotePort: 2 });
  seeing.open({ remotePort: 3, bytesOut: 9e9, packetsOut: 9000 });
  const bytes = sampling.follow();
  const packets = sampling.follow({ sort: 'packets' });
  const one = sampling.follow({ limit: 1 });
  await pass(0);
  assert.deepEqual(bytes.answers, [], 'a rate takes two looks');
  carry(large, 2, 4000);
  carry(small, 50, 1000);
  await pass(2000);
  assert.deepEqual(rates(bytes.answers[0]), [
    [1, 2000, 1],
    [2, 500, 25],
  ]);
  assert.deepEqual(rates(packets.answers[0]), [
    [2, 500, 25],
    [1, 2000, 1],
  ]);
  assert.deepEqual(rates(one.answers[0]), [[1, 2000, 1]]);
  const { intervalMs, flows, maxFlows, hasAccounts } = bytes.answers[0];
  assert.deepEqual([intervalMs, flows, maxFlows, hasAccounts], [2000, 3, 262_144, true]);
  await pass(1000);
  assert.deepEqual(rates(bytes.answers[1]), [], 'nothing has moved since');
});

test('of many flows, the fastest are found', async (t) => {
  const sampling = makeSampling(t);
  const flows = Array.from({ length: 900 }, (_, i) => sampling.seeing.open({ remotePort: i }));
  const bytes = sampling.follow({ limit: 2 });
  const packets = sampling.follow({ limit: 200, sort: 'packets' });
  await sampling.pass(0);
  // Neither sorted nor the other way round.
  for (const [i, flow] of flows.entries()) sampling.carry(flow, 1000 - i, 1 + ((i * 7) % 900));
  await sampling.pass(1000);
  const ranks = flows.map((_, i) => [(i * 7) % 900, i]).sort(([a], [b]) => b - a);
  assert.deepEqual(
    rates(bytes.answers[0]).map(([port]) => port),
    ranks.slice(0, 2).map(([, i]) => i),
  );
  assert.deepEqual(
    rates(packets.answers[0]).map(([port]) => port),
    Array.from({ length: 200 }, (_, i) => i),
  );
});

test('a flow in the entry of another has carried nothing before', async (t) => {
  const sampling = makeSampling(t);
  const { seeing } = sampling;
  const before = seeing.open({ remotePort: 1, bytesOut: 5000, packetsOut: 50 });
  const { answers } = sampling.follow();
  await sampling.pass(0);
  seeing.tables[0].remove(before);
  assert.equal(seeing.open({ remotePort: 2, bytesOut: 6000, packetsOut: 60 }), before);
  await sampling.pass(1000);
  assert.deepEqual(rates(answers[0]), [[2, 6000, 60]]);
});

test('interfaces, reasons of drops, rules and opened flows have rates', async (t) => {
  const sampling = makeSampling(t);
  const { counters } = sampling.seeing;
  count(counters, WEB, INGRESS, INGRESS_RULES, 100, 6000);
  sampling.opened = 10;
  sampling.hits.set(0, 5).set(1, 1);
  const { answers } = sampling.follow();
  await sampling.pass(0);
  count(counters, WEB, EGRESS, PASS, 4, 400);
  count(counters, WEB, INGRESS, INGRESS_RULES, 8, 480);
  count(counters, WEB, EGRESS, SOURCE_CHECK, 20, 1200);
  count(counters, WEB, EGRESS, LINK_SCOPE, 90, 9000);
  sampling.opened = 16;
  sampling.hits.set(0, 9).set(1, 21);
  await sampling.pass(2000);
  const [answer] = answers;
  assert.equal(answer.flowsOpenedRate, 3);
  const web = answer.interfaces.find(({ name }) => name === 'eni-web-1');
  assert.deepEqual(web?.egress, {
    passedPackets: 2,
    passedBytes: 200,
    droppedPackets: 10,
    droppedBytes: 600,
  });
  assert.deepEqual(
    answer.topDrops.map((one) => [one.direction, one.reason, one.packets, one.packetsRate]),
    [
      ['egress', 'source-check', 20, 10],
      ['ingress', 'ingress-rules', 108, 4],
    ],
    'without the noise of the link',
  );
  assert.deepEqual(
    answer.topRules.map(({ hits, hitsRate }) => [hits, hitsRate]),
    [
      [21, 10],
      [9, 2],
    ],
  );
});

test('without clients there are no scans, and a later one begins anew', async (t) => {
  const sampling = makeSampling(t);
  const { seeing, carry } = sampling;
  const flow = seeing.open({ remotePort: 1 });
  const first = sampling.follow();
  await sampling.pass(0);
  first.stop();
  await sampling.pass(1000);
  assert.deepEqual(first.answers, []);
  carry(flow, 100, 10_000);
  const second = sampling.follow();
  await sampling.pass(0);
  carry(flow, 1, 50);
  await sampling.pass(1000);
  assert.deepEqual(rates(second.answers[0]), [[1, 50, 1]]);
});

test('a scan that fails is told of, and the next client is answered again', async (t) => {
  const sampling = makeSampling(t);
  sampling.opened = undefined;
  const first = sampling.follow();
  await sampling.pass(0);
  assert.equal(String(sampling.errors[0]), 'Error: no gauges');
  sampling.opened = 0;
  const second = sampling.follow();
  await sampling.pass(0);
  await sampling.pass(1000);
  assert.deepEqual([first.answers.length, second.answers.length], [1, 1]);
});

test('a question that makes no sense is refused', (t) => {
  const { follow } = makeSampling(t);
  assert.throws(() => follow({ sort: 'size' as never }), RequestError);
  assert.throws(() => follow({ limit: 201 }), RequestError);
});

/** The benchmark's own arithmetic: medians, ratios, the search for a rate, the command line, the targets. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readArguments, UsageError } from './arguments.ts';
import { highestRate, type SearchOptions, type Trial } from './loads/search.ts';
import { Collector } from './results.ts';
import { formatNumber, ratios, summarise } from './stats.ts';
import { judgeTargets } from './targets.ts';

describe('figures', () => {
  test('median and spread', () => {
    assert.deepEqual(summarise([3, 1, 2]), { median: 2, low: 1, high: 3 });
    assert.deepEqual(summarise([4, 1, 2, 3]), { median: 2.5, low: 1, high: 4 });
    assert.throws(() => summarise([]), RangeError);
  });

  test('ratios pair the rounds', () => {
    assert.deepEqual(ratios([10, 30, 5], [5, 10]), [2, 3]);
  });

  test('three digits', () => {
    assert.deepEqual(
      [0, 0.01234, 1.234, 12.34, 123.4, 12345, NaN].map((value) => formatNumber(value)),
      ['0', '0.0123', '1.23', '12.3', '123', '12345', '–'],
    );
  });
});

describe('the search for the highest rate', () => {
  const OPTIONS: SearchOptions = { guess: 100, step: 1.5, precision: 0.02, trialsMax: 40 };

  /** A device that passes up to `capacity`, behind a sender that can offer up to `ceiling`. */
  function device(capacity: number, ceiling = Infinity): (rate: number) => Promise<Trial> {
    return async (rate) => {
      const offered = Math.min(rate, ceiling);
      const fellShort = offered < 0.98 * rate;
      return { offered, fellShort, passed: offered <= capacity };
    };
  }

  for (const capacity of [3, 100, 4321]) {
    test(`finds ${capacity} from below and from above`, async () => {
      for (const guess of [1, 100, 100_000]) {
        const { rate, limit } = await highestRate(device(capacity), { ...OPTIONS, guess });
        assert.ok(rate <= capacity && rate >= capacity / 1.02, `${rate}`);
        assert.equal(limit, 'loss');
      }
    });
  }

  test('credits no rate that the sender did not offer', async () => {
    const { rate, limit } = await highestRate(device(Infinity, 500), OPTIONS);
    assert.ok(rate <= 500 && rate >= 480, `${rate}`);
    assert.equal(limit, 'sender');
  });

  test('tries a rate again before it counts as lost', async () => {
    let trials = 0;
    const flaky = device(1000);
    const { rate } = await highestRate(async (rate) => {
      const outcome = await flaky(rate);
      return trials++ === 0 ? { ...outcome, passed: false } : outcome;
    }, OPTIONS);
    assert.ok(rate >= 980, `${rate}`);
  });

  test('asks a sender again before it counts as at its limit', async () => {
    let trials = 0;
    const steady = device(1000);
    const { rate, limit } = await highestRate(async (rate) => {
      const outcome = await steady(rate);
      return trials++ === 0 ? { offered: rate / 2, fellShort: true, passed: true } : outcome;
    }, OPTIONS);
    assert.ok(rate >= 980, `${rate}`);
    assert.equal(limit, 'loss');
  });

  test('ends on a device that passes nothing', async () => {
    const { rate } = await highestRate(device(0), OPTIONS);
    assert.equal(rate, 0);
  });
});

describe('the command line', () => {
  const NAMES = ['tcp-1', 'decision'];

  test('all by itself', () => {
    assert.deepEqual(readArguments([], NAMES), {
      isQuick: false,
      json: undefined,
      markdown: undefined,
      only: [],
      rounds: undefined,
      lists: false,
      rivals: ['secgroupd', 'busy-poll', 'fast-path', 'relay', 'kernel', 'ovs'],
    });
  });

  test('lists of names, and us among the rivals always', () => {
    const args = ['--only', 'tcp-1,decision', '--rivals', 'kernel', '--rounds', '3'];
    const { only, rivals, rounds } = readArguments(args, NAMES);
    assert.deepEqual([only, rivals, rounds], [NAMES, ['secgroupd', 'kernel'], 3]);
  });

  for (const [args, message] of [
    [['--only', 'udp'], "there is no benchmark 'udp'; there are tcp-1, decision"],
    [
      ['--rivals', 'bpf'],
      "there is no rival 'bpf'; there are secgroupd, busy-poll, fast-path, relay, kernel, ovs",
    ],
    [['--rounds', '0'], '--rounds goes from 1 to 100'],
  ] as const) {
    test(args.join(' '), () => {
      assert.throws(
        () => readArguments(args, NAMES),
        (error: unknown) => error instanceof UsageError && error.message === message,
      );
    });
  }
});

test('a target is judged by the median of the rounds’ ratios', () => {
  const collector = new Collector();
  for (const [ours, theirs] of [
    [12, 10],
    [13, 10],
    [1, 10],
  ]) {
    collector.add('tcp-1', 'throughput', 'secgroupd', 'Gb/s', ours);
    collector.add('tcp-1', 'throughput', 'kernel', 'Gb/s', theirs);
  }
  const [kernel, relay] = judgeTargets(collector);
  assert.deepEqual(kernel, {
    what: 'TCP, one flow',
    target: '≥ 1.2 × kernel',
    result: { median: 1.2, low: 0.1, high: 1.3 },
    verdict: 'reached',
  });
  assert.equal(relay.verdict, 'not measured');
  // Something else ran: whatever came out, the target is not reached by that.
  const [onBusyMachine, notMeasured] = judgeTargets(collector, true);
  assert.deepEqual(onBusyMachine, { ...kernel, verdict: 'hint only' });
  assert.equal(notMeasured.verdict, 'not measured');
});

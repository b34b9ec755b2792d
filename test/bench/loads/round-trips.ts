/**
 * Round-trip times of single datagrams, with nothing else on the way, and while small packets pass at half the
 * highest rate that the kernel was found to have: the same load for every rival.
 */
import { sleep, type Bench } from '../bench.ts';
import { ECHO_PORT, listenAt, titleOf, type Rival } from '../rivals/rival.ts';
import type { Load } from './load.ts';
import { halfOfKernel, sendLoad } from './small-packets.ts';

const INTERVAL_US = 250;
const BENCHMARK = 'round-trip';
/** The load is there before the first question and after the last. */
const MARGIN_SEC = 0.3;

interface Answers {
  readonly samples: number;
  readonly lost: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly longest: number;
}

let halfLoad = 0;

export const roundTrips: Load = {
  name: BENCHMARK,
  about: 'UDP round-trip times, idle and at half load: p50, p99, p99.9',
  rounds: [5, 1],
  async prepare(bench, rivals) {
    halfLoad = await halfOfKernel(bench, rivals);
    if (halfLoad === 0) return;
    bench.say(`half load is ${halfLoad.toFixed(0)} datagrams a second`);
    bench.collector.note(
      `half load: ${halfLoad.toFixed(0)} datagrams a second, half of what the kernel passed`,
    );
  },
  async measure(bench, rival) {
    const seconds = bench.pick(3, 1.5);
    record(bench, rival, 'idle', await ask(bench, rival, seconds));
    if (halfLoad === 0 || rival.door !== undefined) return;
    const load = sendLoad(bench, rival, halfLoad, {
      warmUpSec: MARGIN_SEC,
      seconds: seconds + 2 * MARGIN_SEC,
    });
    await sleep(2 * MARGIN_SEC * 1000);
    const [answers, { offered, loss }] = await Promise.all([ask(bench, rival, seconds), load]);
    record(bench, rival, 'half load', answers);
    bench.record(rival, BENCHMARK, 'half load, lost', '%', 100 * loss);
    if (offered < 0.98 * halfLoad)
      bench.collector.note(
        `${BENCHMARK} ${titleOf(rival)}: in a round the sender offered only ${offered.toFixed(0)} datagrams a second as half load`,
      );
  },
};

async function ask(bench: Bench, rival: Rival, seconds: number): Promise<Answers> {
  const tool = bench.tool('round-trip');
  const place = [rival.serverAddress, String(ECHO_PORT)];
  const echo = await rival.server.start(tool, ['echo', ...listenAt(rival, ECHO_PORT)]);
  await echo.waitFor(/ready/);
  const text = await rival.client.mustRun(tool, [
    'ask',
    ...place,
    String(INTERVAL_US),
    String(seconds),
  ]);
  await echo.stop();
  return JSON.parse(text) as Answers;
}

function record(bench: Bench, rival: Rival, when: string, answers: Answers): void {
  for (const [metric, key] of [
    ['p50', 'p50'],
    ['p99', 'p99'],
    ['p99.9', 'p999'],
    ['longest', 'longest'],
  ] as const)
    bench.record(rival, BENCHMARK, `${when}, ${metric}`, 'µs', answers[key]);
  const { p50, p99, p999, lost, samples } = answers;
  bench.say(
    `${BENCHMARK} ${titleOf(rival)}, ${when}: p50 ${p50} µs, p99 ${p99} µs, p99.9 ${p999} µs, ${lost} of ${samples + lost} lost`,
  );
  if (lost > 0)
    bench.collector.note(
      `${BENCHMARK} ${titleOf(rival)}, ${when}: up to ${lost} questions of a round unanswered`,
    );
}

/**
 * Processor time that the whole machine takes for a gigabit and for a small packet, at a rate that is the same for all
 * rivals: half of what the kernel has without a limit. At full speed each would take all there is.
 */
import { sleep, type Bench } from '../bench.ts';
import { ProcessorClock } from '../processor-clock.ts';
import { titleOf, type Rival } from '../rivals/rival.ts';
import { summarise } from '../stats.ts';
import type { Load } from './load.ts';
import { halfOfKernel, sendLoad } from './small-packets.ts';
import { streamAt, throughput } from './streams.ts';

const BENCHMARK = 'cpu';
const STREAMS = [
  [1, 'TCP, one flow'],
  [8, 'TCP, 8 flows'],
] as const;
/** Of the rate asked for. */
const REACHED_MIN = 0.95;
/** Processors' time a second, of nothing that is measured. */
const STRANGERS_MAX = 0.05;
const WARM_UP_SEC = 1;
/** A search for the rate takes longer than all the rest of a quick run. */
const QUICK_DATAGRAMS = 20_000;

let gigabits = 0;
let datagrams = 0;

export const processorTime: Load = {
  name: BENCHMARK,
  about: 'processor time of the whole machine for a Gb and a packet, all rivals at one rate',
  rounds: [3, 1],
  async prepare(bench, rivals) {
    const kernel = rivals.find(({ name }) => name === 'kernel');
    if (kernel === undefined) {
      bench.collector.note(`${BENCHMARK}: left out, the kernel is not there to say the rate`);
      return;
    }
    await lookForStrangers(bench);
    const known = bench.collector.values('tcp-1', 'throughput', 'kernel');
    gigabits =
      (known.length > 0 ? summarise(known).median : await throughput(bench, kernel, 1)) / 2;
    datagrams = bench.isQuick ? QUICK_DATAGRAMS : await halfOfKernel(bench, rivals);
    bench.collector.note(
      `${BENCHMARK}: at ${gigabits.toFixed(2)} Gb/s and ${datagrams.toFixed(0)} datagrams a second`,
    );
    for (const rival of rivals) await streamAt(rival, 1, gigabits, WARM_UP_SEC);
  },
  async measure(bench, rival) {
    if (gigabits === 0) return;
    const seconds = bench.pick(2, 1);
    for (const [flows, metric] of STREAMS) {
      const passed = await streamAt(rival, flows, gigabits, seconds);
      const rate = passed.gigabits / seconds;
      if (rate < REACHED_MIN * gigabits) noteShort(bench, rival, metric, `${rate.toFixed(2)} Gb/s`);
      add(bench, rival, metric, 'ms/Gb', (1000 * passed.processorSec) / passed.gigabits);
    }
    const { unique, processorSec } = await sendLoad(bench, rival, datagrams, {
      warmUpSec: 0,
      seconds,
    });
    const rate = unique / seconds;
    if (rate < REACHED_MIN * datagrams)
      noteShort(bench, rival, 'UDP 64 B', `${rate.toFixed(0)} datagrams a second`);
    add(bench, rival, 'UDP 64 B', 'µs/packet', (1e6 * processorSec) / unique);
  },
};

function add(bench: Bench, rival: Rival, metric: string, unit: string, value: number): void {
  bench.record(rival, BENCHMARK, metric, unit, value);
  bench.say(`${BENCHMARK} ${titleOf(rival)}, ${metric}: ${value.toFixed(2)} ${unit}`);
}

function noteShort(bench: Bench, rival: Rival, metric: string, rate: string): void {
  bench.collector.note(
    `${BENCHMARK} ${titleOf(rival)}, ${metric}: in a round no more than ${rate} came through`,
  );
}

/** What others take counts as everybody's. */
async function lookForStrangers(bench: Bench): Promise<void> {
  const clock = new ProcessorClock();
  await sleep(1000);
  const taken = clock.seconds();
  if (taken <= STRANGERS_MAX) return;
  const note = `${BENCHMARK}: something else took ${(100 * taken).toFixed(0)} % of a processor: take its figures for a hint only`;
  bench.say(note);
  bench.collector.note(note);
}

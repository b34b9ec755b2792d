/** UDP datagrams of 18 bytes (Ethernet frames of 64): the highest rate with at most 0.1 % of them lost. */
import type { Bench } from '../bench.ts';
import { LOAD_PORT, listenAt, titleOf, type Rival } from '../rivals/rival.ts';
import { sleep } from '../bench.ts';
import { ProcessorClock } from '../processor-clock.ts';
import { summarise } from '../stats.ts';
import type { Load } from './load.ts';
import { highestRate, type Trial } from './search.ts';

const LOSS_MAX = 0.001;
/** Of the rate asked for, what the sender must have offered for the trial to be one. */
const OFFERED_MIN = 0.98;
/** For what is still on its way when the sender is done. */
const SETTLE_MS = 200;
const FIRST_GUESS = 80_000;
const TRIALS_MAX = 16;
const BENCHMARK = 'udp-64';

interface Sent {
  readonly sent: number;
  readonly refused: number;
  readonly seconds: number;
  /** When it ended, in ms of CLOCK_MONOTONIC. */
  readonly endMs: number;
}

interface Received {
  readonly unique: number;
  readonly duplicates: number;
  readonly reordered: number;
  readonly corrupt: number;
  /** When the last of them came, in ms of CLOCK_MONOTONIC; 0: none came. */
  readonly lastMs: number;
}

export interface LoadResult extends Sent, Received {
  /** A second. */
  readonly offered: number;
  /** Share that did not arrive. */
  readonly loss: number;
  /** What the whole machine took meanwhile. */
  readonly processorSec: number;
}

let runs = 0;

/**
 * Sends for so long at a rate, and counts what arrives. `receiverFirst`: the receiver has the sender's priority,
 * so that nothing is lost between the rival and it; else it takes its turn, and takes nobody else's.
 */
export async function sendLoad(
  bench: Bench,
  rival: Rival,
  rate: number,
  times: { readonly warmUpSec: number; readonly seconds: number; readonly receiverFirst?: boolean },
): Promise<LoadResult> {
  const tool = bench.tool('udp-load');
  const place = [rival.serverAddress, String(LOAD_PORT)];
  const run = String(++runs);
  const receiver = await rival.server.start(tool, [
    ...['receive', ...listenAt(rival, LOAD_PORT), run],
    ...(times.receiverFirst === true ? ['first'] : []),
  ]);
  await receiver.waitFor(/ready/);
  const { warmUpSec, seconds } = times;
  const clock = new ProcessorClock();
  const text = await rival.client.mustRun(tool, [
    'send',
    ...place,
    rate.toFixed(0),
    String(warmUpSec),
    String(seconds),
    run,
  ]);
  await sleep(SETTLE_MS);
  const processorSec = clock.seconds();
  const { stdout } = await receiver.stop();
  const sent = JSON.parse(text) as Sent;
  const received = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Received;
  const result = {
    ...sent,
    ...received,
    offered: sent.sent / sent.seconds,
    loss: 1 - received.unique / Math.max(1, sent.sent),
    processorSec,
  };
  checkIntegrity(bench, rival, result);
  return result;
}

/** What arrives must be what was sent; a rival that breaks that has no rate worth telling. */
function checkIntegrity(bench: Bench, rival: Rival, result: LoadResult): void {
  const { corrupt, duplicates, reordered } = result;
  if (corrupt + duplicates + reordered === 0) return;
  const note = `${titleOf(rival)}: of ${result.sent} datagrams, ${corrupt} came changed, ${duplicates} twice, ${reordered} out of order`;
  bench.say(note);
  bench.collector.note(note);
}

async function tryRate(bench: Bench, rival: Rival, rate: number): Promise<Trial> {
  const result = await sendLoad(bench, rival, rate, {
    warmUpSec: bench.pick(0.3, 0.1),
    seconds: bench.pick(1.5, 0.7),
    receiverFirst: true,
  });
  const { offered, loss } = result;
  const fellShort = offered < OFFERED_MIN * rate;
  const passed = loss <= LOSS_MAX;
  const mark = fellShort ? 'the sender could not offer it' : passed ? 'passed' : 'lost too much';
  bench.say(
    `${BENCHMARK} ${titleOf(rival)}: ${kilo(rate)} asked, ${kilo(offered)} offered, ${(100 * loss).toFixed(3)} % lost: ${mark}`,
  );
  return { offered, passed, fellShort };
}

function kilo(rate: number): string {
  return `${(rate / 1000).toFixed(1)}k`;
}

/** One search; begins near the rate that the round before found. */
export async function findRate(bench: Bench, rival: Rival): Promise<number> {
  const earlier = bench.recorded(rival, BENCHMARK, 'rate').at(-1);
  const { rate, limit } = await highestRate((rate) => tryRate(bench, rival, rate), {
    guess: earlier === undefined || earlier === 0 ? FIRST_GUESS : earlier * 1000,
    step: earlier === undefined ? 1.5 : 1.15,
    precision: bench.pick(0.04, 0.08),
    trialsMax: TRIALS_MAX,
  });
  bench.record(rival, BENCHMARK, 'rate', 'kpps', rate / 1000);
  if (limit === 'sender')
    bench.collector.note(
      `${BENCHMARK} ${titleOf(rival)}: nothing was lost at its highest rate; the sender could offer no more (the kernel forwards within the sender's system call)`,
    );
  bench.say(`${BENCHMARK} ${titleOf(rival)}: ${kilo(rate)} a second, limited by ${limit}`);
  return rate;
}

/** Datagrams a second: half of what the kernel passes, as it was or is now found to; 0 if it is no rival. */
export async function halfOfKernel(bench: Bench, rivals: readonly Rival[]): Promise<number> {
  const kernel = rivals.find(({ name }) => name === 'kernel');
  const known = bench.collector.values(BENCHMARK, 'rate', 'kernel');
  if (known.length > 0) return 500 * summarise(known).median;
  return kernel === undefined ? 0 : (await findRate(bench, kernel)) / 2;
}

export const smallPackets: Load = {
  name: BENCHMARK,
  about: 'UDP, 64-byte frames: highest rate with at most 0.1 % lost (RFC 2544)',
  rounds: [3, 1],
  async measure(bench, rival) {
    await findRate(bench, rival);
  },
};

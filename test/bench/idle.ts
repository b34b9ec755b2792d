/** What a daemon with nothing to do costs: resident memory, and how often its threads wake up. */
import { readdirSync, readFileSync } from 'node:fs';
import { sleep, type Bench } from './bench.ts';
import type { Rival } from './rivals/rival.ts';

const BENCHMARK = 'idle';
/** For what start-up leaves behind. */
const SETTLE_MS = 3000;

/**
 * All rivals over the same seconds, before anything has passed: what they take when idle, not what they took
 * when they were busy. The kernel has no process of its own.
 */
export async function measureIdle(bench: Bench, rivals: readonly Rival[]): Promise<void> {
  const seconds = bench.pick(10, 3);
  bench.say(`idle: watching for ${seconds} s`);
  await sleep(SETTLE_MS);
  const watched = rivals.flatMap(({ name, pid }) =>
    pid === undefined ? [] : [{ name, pid, before: wakeUps(pid) }],
  );
  await sleep(seconds * 1000);
  for (const { name, pid, before } of watched) {
    const rate = (wakeUps(pid) - before) / seconds;
    const megabytes = residentBytes(pid) / 1e6;
    bench.collector.add(BENCHMARK, 'resident', name, 'MB', megabytes);
    bench.collector.add(BENCHMARK, 'wake-ups', name, 'a second', rate);
    bench.say(`idle ${name}: ${megabytes.toFixed(1)} MB, ${rate.toFixed(1)} wake-ups a second`);
  }
}

/** Voluntary context switches of all threads so far: a thread that waits has made one, and wakes up for the next. */
function wakeUps(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce(
    (sum, thread) =>
      sum + field(`/proc/${pid}/task/${thread}/status`, /^voluntary_ctxt_switches:\s*(\d+)/m),
    0,
  );
}

function residentBytes(pid: number): number {
  return 1024 * field(`/proc/${pid}/status`, /^VmRSS:\s*(\d+) kB/m);
}

function field(file: string, pattern: RegExp): number {
  const match = pattern.exec(readFileSync(file, 'utf8'));
  if (match === null) throw new Error(`${file} has no ${String(pattern)}`);
  return Number(match[1]);
}

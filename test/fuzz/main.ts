/** The command behind scripts/fuzz: episodes until the packets or the seconds are used up, or what coverage leads to. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { REASONS } from '../../src/engine/reasons.ts';
import { caseText, corpusLine, readTalks, type Talk } from './corpus.ts';
import { Difference, EPISODE_PACKETS, replay, runEpisode, tallyIndex } from './episode.ts';
import { GuidedFuzzer } from './guided.ts';
import { minimise } from './minimise.ts';
import { runJobs, runShare, type Progress, type Share } from './run.ts';
import { nameVerdict } from './pair.ts';
import { PORT_NAMES } from './world.ts';

/** What a device says when it is written to, which nothing is here. */
const NOT_FUZZED = ['write-failed'];

function fail(text: string): never {
  process.stderr.write(`fuzz: ${text} (see scripts/fuzz --help)\n`);
  process.exit(2);
}

function readNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  fail(`--${name} takes a whole number, not '${text}'`);
}

function readArguments() {
  const number = { type: 'string' } as const;
  try {
    return parseArgs({
      options: {
        packets: number,
        seconds: number,
        seed: number,
        jobs: number,
        episode: number,
        guided: { type: 'boolean', default: false },
        guard: { type: 'boolean', default: false },
        offload: { type: 'boolean', default: false },
        keep: { type: 'string' },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

function say(text: string): void {
  process.stdout.write(`fuzz: ${text}\n`);
}

async function main(): Promise<number> {
  const given = readArguments();
  const seed = (readNumber('seed', given.seed) ?? Date.now()) % 2 ** 32;
  const seconds = readNumber('seconds', given.seconds);
  const packets = readNumber('packets', given.packets) ?? (seconds === undefined ? 1e6 : Infinity);
  const only = readNumber('episode', given.episode);
  const talks = readTalks();
  say(`seed ${seed}, ${talks.length} conversations to start from`);
  if (given.guided) return followCoverage(talks, seed, seconds ?? 60, given.keep);
  const share: Share = {
    seed,
    packets: only === undefined ? packets : EPISODE_PACKETS,
    seconds: seconds ?? Infinity,
    job: only ?? 0,
    jobs: only === undefined ? Math.max(1, readNumber('jobs', given.jobs) ?? 1) : 1,
    isGuarded: given.guard,
    isOffloaded: given.offload,
  };
  const startMs = performance.now();
  const tell = (so: Progress): void => {
    const rate = Math.round(so.packets / ((performance.now() - startMs) / 1000));
    const heapMb = Math.round(process.memoryUsage().rss / 2 ** 20);
    say(`${so.packets} packets, ${rate} a second, ${heapMb} MB (seed ${seed})`);
  };
  let result: Progress | undefined;
  if (share.jobs === 1) {
    runShare(talks, share, (so) => {
      result = so;
      if (!so.isOver) tell(so);
    });
  } else result = await runJobs(share, tell);
  return conclude(talks, share, result!, (performance.now() - startMs) / 1000);
}

function conclude(
  talks: readonly Talk[],
  share: Share,
  { packets, judged, forwarded, tally, failed }: Progress,
  elapsedSec: number,
): number {
  if (failed !== undefined) {
    explain(talks, share, failed.episode, failed.what);
    return 1;
  }
  showVerdicts(tally);
  const rate = Math.round(packets / elapsedSec);
  say(`judged by the twin: ${judged} of ${packets}`);
  if (share.isOffloaded) say(`forwarded by the fast path: ${forwarded} of ${packets}`);
  say(`${packets} packets, ${rate} a second, no difference (seed ${share.seed})`);
  return 0;
}

function showVerdicts(tally: Float64Array): void {
  const counts = [
    ...PORT_NAMES.map((_, port) => port),
    ...REASONS.slice(1).map((_, i) => -1 - i),
  ].map((verdict) => ({ name: nameVerdict(verdict), count: tally[tallyIndex(verdict)] }));
  for (const { name, count } of counts
    .filter((one) => one.count > 0)
    .sort((a, b) => b.count - a.count))
    process.stdout.write(`${String(count).padStart(12)} ${name}\n`);
  const reasons = counts.slice(PORT_NAMES.length).filter(({ name }) => !NOT_FUZZED.includes(name));
  const missing = reasons.filter(({ count }) => count === 0).map(({ name }) => name);
  say(
    `drop reasons reached: ${reasons.length - missing.length} of ${reasons.length}` +
      (missing.length === 0 ? '' : `; not ${missing.join(', ')}`) +
      ` (not fuzzed: ${NOT_FUZZED.join(', ')})`,
  );
}

/** @param keep file for what was found */
function followCoverage(
  talks: readonly Talk[],
  seed: number,
  seconds: number,
  keep: string | undefined,
): number {
  const endMs = performance.now() + 1000 * seconds;
  try {
    const { inputs, reached, kept, found } = new GuidedFuzzer(talks, seed).run(
      () => performance.now() >= endMs,
    );
    say(
      `${inputs} conversations, ${reached} blocks reached, ${kept} kept, ${found.length} of them found new code, no difference (seed ${seed})`,
    );
    if (keep !== undefined)
      writeFileSync(keep, found.map((talk) => `${talk.map(corpusLine).join('\n')}\n\n`).join(''));
    return 0;
  } catch (error) {
    if (!(error instanceof Difference)) throw error;
    say(error.message);
    showSmall(error.options, error.packets);
    return 1;
  }
}

function explain(talks: readonly Talk[], share: Share, episode: number, what: string): void {
  say(what);
  const { isGuarded, isOffloaded } = share;
  const more = (isGuarded ? ' --guard' : '') + (isOffloaded ? ' --offload' : '');
  say(`again with --seed ${share.seed} --episode ${episode}${more}`);
  try {
    runEpisode(talks, share.seed, episode, { records: true, isGuarded, isOffloaded });
  } catch (error) {
    if (!(error instanceof Difference)) throw error;
    const { options, packets, hasTwin } = error;
    if (hasTwin && replay(options, packets) !== undefined) showSmall(options, packets);
    else
      say(
        'packets alone do not show it (it takes frames, the sweep, margins, or a world without twin)',
      );
  }
}

function showSmall(options: Difference['options'], packets: Difference['packets']): void {
  const few = minimise(options, packets);
  say(`${few.length} packets are enough: ${replay(options, few)?.what}`);
  process.stdout.write(caseText(options, few));
}

process.exitCode = await main();

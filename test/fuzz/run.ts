/** A run of episodes, or one job's share of them: which ones, and what is told of them on the way. */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { REASON_COUNT } from '../../src/engine/reasons.ts';
import { readTalks, type Talk } from './corpus.ts';
import { Difference, EPISODE_PACKETS, hasTwin, runEpisode } from './episode.ts';
import { PORT_NAMES } from './world.ts';

export const TALLIES = PORT_NAMES.length + REASON_COUNT;
const PROGRESS_SEC = 10;

export interface Share {
  readonly seed: number;
  /** Packets of this share. */
  readonly packets: number;
  readonly seconds: number;
  /** Episodes `job`, `job + jobs`, … are its. */
  readonly job: number;
  readonly jobs: number;
  readonly isGuarded: boolean;
  /** With the fast path (WorldOptions). */
  readonly isOffloaded: boolean;
}

export interface Progress {
  readonly packets: number;
  /** Those of them that the twin has judged. */
  readonly judged: number;
  /** Those that the fast path has forwarded. */
  readonly forwarded: number;
  /** Verdicts by tallyIndex. */
  readonly tally: Float64Array;
  readonly isOver: boolean;
  /** The episode that showed a difference, and what it is. */
  readonly failed?: { readonly episode: number; readonly what: string };
}

/** Runs a share; `tell` is called now and then, and at the end. */
export function runShare(talks: readonly Talk[], share: Share, tell: (so: Progress) => void): void {
  const { seed, seconds, job, jobs, isGuarded, isOffloaded } = share;
  const start = performance.now();
  const tally = new Float64Array(TALLIES);
  let packets = 0;
  let judged = 0;
  let forwarded = 0;
  let toldMs = start;
  for (let episode = job; packets < share.packets; episode += jobs) {
    try {
      forwarded += runEpisode(talks, seed, episode, { tally, isGuarded, isOffloaded });
    } catch (error) {
      if (!(error instanceof Difference)) throw error;
      const failed = { episode, what: error.message };
      tell({ packets, judged, forwarded, tally, isOver: true, failed });
      return;
    }
    packets += EPISODE_PACKETS;
    if (hasTwin(episode)) judged += EPISODE_PACKETS;
    const nowMs = performance.now();
    if (nowMs - start >= seconds * 1000) break;
    if (nowMs - toldMs < PROGRESS_SEC * 1000) continue;
    toldMs = nowMs;
    tell({ packets, judged, forwarded, tally, isOver: false });
  }
  tell({ packets, judged, forwarded, tally, isOver: true });
}

/** Runs the jobs of a run side by side, a thread each. @returns what all of them have done together */
export async function runJobs(all: Share, tell: (so: Progress) => void): Promise<Progress> {
  const latest: Progress[] = [];
  const sum = (): Progress => {
    const tally = new Float64Array(TALLIES);
    for (const one of latest) one.tally.forEach((count, i) => (tally[i] += count));
    const total = (what: 'packets' | 'judged' | 'forwarded'): number =>
      latest.reduce((so, one) => so + one[what], 0);
    const failed = latest.find((one) => one.failed !== undefined)?.failed;
    const isOver = failed !== undefined || latest.every((one) => one.isOver);
    const so = {
      packets: total('packets'),
      judged: total('judged'),
      forwarded: total('forwarded'),
      tally,
      isOver,
    };
    return failed === undefined ? so : { ...so, failed };
  };
  const workers: Worker[] = [];
  await new Promise<void>((resolve, reject) => {
    for (let job = 0; job < all.jobs; job++) {
      const none = { packets: 0, judged: 0, forwarded: 0 };
      latest.push({ ...none, tally: new Float64Array(TALLIES), isOver: false });
      const share: Share = { ...all, job, packets: all.packets / all.jobs };
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: share });
      workers.push(worker);
      worker.on('error', reject);
      worker.on('message', (so: Progress) => {
        latest[job] = so;
        const { isOver, failed } = sum();
        if (failed !== undefined || isOver) resolve();
        else if (job === 0) tell(sum());
      });
    }
  });
  await Promise.all(workers.map((worker) => worker.terminate()));
  return sum();
}

if (!isMainThread) runShare(readTalks(), workerData as Share, (so) => parentPort?.postMessage(so));

/**
 * Threads for packet loops, and one that is started before anybody knows what for.
 *
 * A thread takes some 40 ms to come to its first line. While the program itself loads and the configuration is
 * read, that time costs nothing on a second core; after it, packets would wait for it.
 */
import { Worker } from 'node:worker_threads';

let early: Worker | undefined;

/** Starts the thread of the first loop. Until it is taken it keeps nothing running, and waits for its input. */
export function startEarlyThread(): void {
  early = startThread(0);
  early.unref();
}

/** A thread that waits for its input (worker.ts). @param number of the loop that will run there */
export function takeThread(number: number): Worker {
  const thread = early ?? startThread(number);
  early = undefined;
  thread.ref();
  return thread;
}

function startThread(number: number): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), {
    name: `packet-loop-${number}`,
    // It makes no garbage but at its start, and would keep the room for it: 6 MB.
    resourceLimits: { maxYoungGenerationSizeMb: 1 },
  });
}

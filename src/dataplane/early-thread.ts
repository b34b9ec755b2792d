/**
 * Starts threads for packet loops. It starts the first one early, before its input is known.
 *
 * A thread needs some 40 ms to reach its first line. While the program loads and reads the configuration, a second
 * core does that for free. Later, packets would wait for it.
 */
import { Worker } from 'node:worker_threads';

let early: Worker | undefined;

/**
 * Starts the thread of the first loop. It waits for its input. Until it is taken it does not keep the process
 * running.
 */
export function startEarlyThread(): void {
  const thread = startThread(0);
  thread.unref();
  // Memory or descriptors are short. The thread that is started in its place fails too, and then somebody can report
  // it.
  thread.once('error', () => {
    if (early === thread) early = undefined;
  });
  early = thread;
}

/** Returns a thread that waits for its input (worker.ts). @param number of the loop that will run there */
export function takeThread(number: number): Worker {
  const thread = early ?? startThread(number);
  early = undefined;
  thread.ref();
  return thread;
}

function startThread(number: number): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), {
    name: `packet-loop-${number}`,
    // The loop makes garbage only at its start. It would keep the memory for it: 6 MB.
    resourceLimits: { maxYoungGenerationSizeMb: 1 },
  });
}

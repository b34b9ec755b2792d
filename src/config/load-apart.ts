/**
 * This file reads a large configuration on another thread, because it takes seconds to read and check.
 *
 * The result comes back in parts (config-parts.ts). Each is asked for, so that the calling thread can do other work
 * between two of them.
 *
 * A small one is read on the calling thread, in some milliseconds: to start a thread and load its code takes hundreds.
 * For the same reason the other thread is kept for a moment. A program that writes configurations reloads often.
 */
import { Worker } from 'node:worker_threads';
import { readingAtMost } from '../source/read-text.ts';
import { Assembler, type Fragment, type ReadRequest } from './config-parts.ts';
import { loadConfig, type LoadedConfig, type LoadOptions } from './load-config.ts';

/** Of the configuration and all files that it names. */
export const READ_HERE_BYTES = 64 * 1024;

const KEPT_MS = 5_000;

interface Kept {
  readonly worker: Worker;
  readonly timer: NodeJS.Timeout;
  /** Ends the thread. Listens for its end as well. */
  readonly end: () => void;
}

/** The idle thread. */
let kept: Kept | undefined;

/**
 * Does what loadConfig does, and lets others have their turn while a large configuration is read.
 * @throws what ended the thread, if it could not read at all (out of memory)
 */
export async function loadConfigApart(file: string, options: LoadOptions): Promise<LoadedConfig> {
  const small = readingAtMost(READ_HERE_BYTES, () => loadConfig(file, options));
  if (small !== undefined) return small;
  const worker = takeKept() ?? startThread();
  try {
    const loaded = await readBy(worker, file, options);
    keep(worker);
    return loaded;
  } catch (error) {
    void worker.terminate();
    throw error;
  }
}

function startThread(): Worker {
  return new Worker(new URL('./load-thread.js', import.meta.url), { name: 'load-config' });
}

function readBy(worker: Worker, file: string, options: LoadOptions): Promise<LoadedConfig> {
  const assembler = new Assembler();
  const ask = (question: ReadRequest): void => worker.postMessage(question);
  return new Promise<LoadedConfig>((resolve, reject) => {
    const take = (message: readonly Fragment[]): void => {
      const whole = assembler.take(message);
      if (whole === undefined) setImmediate(() => ask('next'));
      else settle(() => resolve(whole.value as LoadedConfig));
    };
    const fail = (error: Error): void => settle(() => reject(error));
    const end = (code: number): void =>
      fail(new Error(`the thread that reads ${file} ended (${code})`));
    const settle = (how: () => void): void => {
      worker.off('message', take).off('error', fail).off('exit', end);
      how();
    };
    worker.on('message', take).on('error', fail).on('exit', end);
    ask({ file, options });
  });
}

function takeKept(): Worker | undefined {
  if (kept === undefined) return undefined;
  const { worker, timer, end } = kept;
  clearTimeout(timer);
  kept = undefined;
  worker.off('error', end).off('exit', end);
  worker.ref();
  return worker;
}

function keep(worker: Worker): void {
  const end = (): void => {
    if (kept?.worker === worker) kept = undefined;
    void worker.terminate();
  };
  if (kept !== undefined) return end();
  worker.unref();
  worker.on('error', end).on('exit', end);
  kept = { worker, timer: setTimeout(end, KEPT_MS).unref(), end };
}

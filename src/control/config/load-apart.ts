/**
 * Reads a configuration without holding up the caller's thread: a large one takes seconds to read and check.
 *
 * What was read comes back in parts (config-parts.ts), one for each that is asked for, so that whatever else the thread
 * has to do gets its turn between two of them.
 *
 * A thread that has read is kept for a moment, for whoever reads next: to start one and load its code takes longer than
 * to read most files, and a program that writes configurations has them read often.
 */
import { Worker } from 'node:worker_threads';
import { Assembler, type Fragment } from './config-parts.ts';
import type { LoadedConfig, LoadOptions } from './load-config.ts';

const KEPT_MS = 5_000;

/** What a thread is asked: to read, then for each next part of what it read. */
export type Question = { readonly file: string; readonly options: LoadOptions } | 'next';

interface Kept {
  readonly worker: Worker;
  readonly timer: NodeJS.Timeout;
  /** Ends it; listens for its end as well. */
  readonly end: () => void;
}

/** The thread that has nothing to do. */
let kept: Kept | undefined;

/**
 * As loadConfig.
 * @throws what ended the thread, if it could not even read (out of memory)
 */
export async function loadConfigApart(file: string, options: LoadOptions): Promise<LoadedConfig> {
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
  const ask = (question: Question): void => worker.postMessage(question);
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

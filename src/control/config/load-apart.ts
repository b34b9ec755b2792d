/**
 * Reads a configuration without holding up the caller's thread: a large one takes seconds to read and check.
 *
 * What was read comes back in parts (config-parts.ts), one for each that is asked for, so that whatever else the thread
 * has to do gets its turn between two of them.
 */
import { Worker } from 'node:worker_threads';
import { Assembler, type Fragment } from './config-parts.ts';
import type { LoadedConfig, LoadOptions } from './load-config.ts';

/**
 * As loadConfig.
 * @throws what ended the thread, if it could not even read (out of memory)
 */
export function loadConfigApart(file: string, options: LoadOptions): Promise<LoadedConfig> {
  const worker = new Worker(new URL('./load-thread.js', import.meta.url), {
    name: 'load-config',
    workerData: { file, options },
  });
  const assembler = new Assembler();
  return new Promise<LoadedConfig>((resolve, reject) => {
    worker.on('message', (message: readonly Fragment[]) => {
      const whole = assembler.take(message);
      if (whole === undefined) {
        setImmediate(() => worker.postMessage('next'));
        return;
      }
      resolve(whole.value as LoadedConfig);
      void worker.terminate();
    });
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`the thread that reads ${file} ended (${code})`)));
    worker.postMessage('next');
  });
}

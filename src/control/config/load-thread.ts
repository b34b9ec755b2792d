/** Reads one configuration on a thread of its own, for load-apart.ts: sends what came of it, a message for each that is asked for. */
import { parentPort, workerData } from 'node:worker_threads';
import { toMessages } from './config-parts.ts';
import { loadConfig, type LoadOptions } from './load-config.ts';

if (parentPort === null) throw new Error('config/load-thread.ts runs as a worker thread only');
const port = parentPort;
const { file, options } = workerData as { readonly file: string; readonly options: LoadOptions };

const messages = toMessages(loadConfig(file, options)).values();
port.on('message', () => {
  const { done, value } = messages.next();
  if (done === true) port.close();
  else port.postMessage(value);
});

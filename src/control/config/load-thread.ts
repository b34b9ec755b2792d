/** Reads configurations on a thread of its own, for load-apart.ts: sends what came of one, a message for each that is asked for. */
import { parentPort } from 'node:worker_threads';
import { toMessages, type Fragment } from './config-parts.ts';
import type { Question } from './load-apart.ts';
import { loadConfig } from './load-config.ts';

if (parentPort === null) throw new Error('config/load-thread.ts runs as a worker thread only');
const port = parentPort;

let messages: Iterator<readonly Fragment[]> = [].values();
port.on('message', (question: Question) => {
  if (question !== 'next')
    messages = toMessages(loadConfig(question.file, question.options)).values();
  port.postMessage(messages.next().value);
});

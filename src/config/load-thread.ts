/**
 * This file runs on a thread of its own and reads configurations for load-apart.ts. It sends the result in messages,
 * one each time it is asked.
 */
import { parentPort } from 'node:worker_threads';
import { toMessages, type Fragment, type ReadRequest } from './config-parts.ts';
import { loadConfig } from './load-config.ts';

if (parentPort === null) throw new Error('config/load-thread.ts runs as a worker thread only');
const port = parentPort;

let messages: Iterator<readonly Fragment[]> = [].values();
port.on('message', (question: ReadRequest) => {
  if (question !== 'next')
    messages = toMessages(loadConfig(question.file, question.options)).values();
  port.postMessage(messages.next().value);
});

/** A worker thread that waits for the eventfd it is given, then ends. */
import { parentPort, workerData } from 'node:worker_threads';

import { loadNative } from '../../src/ports/native.ts';

const native = loadNative();
const fd = workerData as number;
const ready = new Uint8Array(1);
parentPort?.postMessage('polling');
const count = native.poll(Int32Array.of(fd), 1, ready, 5000);
parentPort?.postMessage({ count, ready: ready[0], drained: native.drainEventfd(fd) });

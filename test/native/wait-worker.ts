/** A worker thread that waits for the eventfd it is given, then ends. */
import { parentPort, workerData } from 'node:worker_threads';

import { loadNative } from '../../src/ports/native.ts';

const native = loadNative();
const fd = workerData as number;
const poller = native.createPoller();
native.watch(poller, fd, 7);
const events = new Int32Array(2);
parentPort?.postMessage('waiting');
const count = native.wait(poller, events, 5000);
native.closeFd(poller);
parentPort?.postMessage({ count, events: [...events], drained: native.drainEventfd(fd) });

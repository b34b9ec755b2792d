/** A thread that tells of one dropped packet each time it is asked to (event-pump.test.ts). */
import { parentPort, workerData } from 'node:worker_threads';
import { EventRing } from '../../src/engine/events.ts';
import { tellDrop } from './tell-drop.ts';

const ring = new EventRing(workerData as SharedArrayBuffer);
parentPort?.on('message', (port: number) => tellDrop(ring, port));

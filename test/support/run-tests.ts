/**
 * Runs test files: `node run-tests.js SUMMARY FILE...`. The output of each test goes to standard output, the summary
 * of summary-reporter.ts to the file SUMMARY. The exit code is 0 if no test failed.
 *
 * Each file is run by a process of its own (run-file.ts), those that make namespaces in a box. Several run at a time, of
 * either kind from the start: what waits for packets and what computes get on well. Then those that must be alone run one after the
 * other (placement.ts decides). What a file told is reported when it has ended, so that no two files are mixed up.
 */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { availableParallelism } from 'node:os';
import { finished, pipeline } from 'node:stream/promises';
import { spec, type TestEvent } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { STORE_VARIABLE } from './api-program.ts';
import { canHaveBoxes, inBox } from './box.ts';
import { Etcd } from './etcd.ts';
import { removeLeftOver } from './left-over.ts';
import { placementOf, type Placement } from './placement.ts';
import summaryReporter from './summary-reporter.ts';
import { fileFailure, unpackEvent, type SentEvent } from './test-events.ts';

const PROCESSORS = availableParallelism();
/**
 * So many in boxes run at a time, beside one of the others for each processor. They mostly wait: of twelve of them, each
 * kept a processor busy for 37 % of its time.
 */
const BOXES = 2 * PROCESSORS;
const RUN_FILE = fileURLToPath(new URL('./run-file.js', import.meta.url));

const [summaryFile, ...files] = process.argv.slice(2);

async function* runAll(hasBoxes: boolean): AsyncGenerator<TestEvent> {
  const placements = files.map((file) => placementOf(file, hasBoxes));
  const together = placements.filter(({ isAlone }) => !isAlone);
  yield* runSome(
    together.sort((a, b) => a.rank - b.rank),
    PROCESSORS + BOXES,
  );
  yield* runSome(
    placements.filter(({ isAlone }) => isAlone),
    1,
  );
}

async function* runSome(some: readonly Placement[], atOnce: number): AsyncGenerator<TestEvent> {
  const waiting = [...some];
  const running = new Map<Placement, Promise<readonly TestEvent[]>>();
  for (;;) {
    while (running.size < atOnce && waiting.length > 0) {
      const [placement] = waiting.splice(nextOf(waiting, [...running.keys()]), 1);
      running.set(placement, runFile(placement));
    }
    if (running.size === 0) return;
    const ended = [...running].map(async ([one, events]) => ({ one, events: await events }));
    const { one, events } = await Promise.race(ended);
    running.delete(one);
    yield* events;
  }
}

/** The index of the first of the kind that is to run now, else of the first. */
function nextOf(waiting: readonly Placement[], running: readonly Placement[]): number {
  const wantsBox = running.filter(({ isBoxed }) => isBoxed).length < BOXES;
  return Math.max(
    0,
    waiting.findIndex(({ isBoxed }) => isBoxed === wantsBox),
  );
}

function runFile({ file, isBoxed }: Placement): Promise<readonly TestEvent[]> {
  const node = [process.execPath, ...process.execArgv, RUN_FILE, file];
  const [command, ...args] = isBoxed ? inBox(node) : node;
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  const events: TestEvent[] = [];
  let isDone = false;
  child.on('message', (message) => {
    if (message === 'done') isDone = true;
    else events.push(unpackEvent(message as SentEvent));
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve([fileFailure(file, error.message)]));
    child.once('close', (code, signal) => {
      if (!isDone) events.push(fileFailure(file, `it ended in the middle: ${signal ?? code}`));
      resolve(events);
    });
  });
}

/** Hands each event to the reporter of what tests say, and on. */
async function* reported(events: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  const reporter = new spec();
  reporter.pipe(process.stdout);
  for await (const event of events) {
    if (event.type === 'test:fail' && (event.data.todo ?? false) === false) process.exitCode = 1;
    reporter.write(event);
    yield event;
  }
  reporter.end();
  await finished(reporter);
}

const removed = await removeLeftOver();
if (removed.length > 0) console.log(`test: removed what a killed run left: ${removed.join(' ')}`);
const etcd = process.env[STORE_VARIABLE] === 'etcd' ? await Etcd.start() : undefined;
if (etcd !== undefined) process.env[STORE_VARIABLE] = `etcd://${etcd.hosts}`;
try {
  // An etcd for all is out of reach from a box.
  const hasBoxes = etcd === undefined && canHaveBoxes();
  await pipeline(summaryReporter(reported(runAll(hasBoxes))), createWriteStream(summaryFile));
} finally {
  await etcd?.end();
}

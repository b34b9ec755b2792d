/**
 * Runs test files: `node run-tests.js SUMMARY FILE...`. The output of each test goes to standard output, the summary
 * of summary-reporter.ts to the file SUMMARY. The exit code is 0 if no test failed.
 *
 * Files that can run beside each other come first, one more at a time than there are processors: those that mostly wait
 * are the first of them, and the others have the processors meanwhile. Then the rest run one at a time. Tests with real traffic would disturb each other's timing on a small machine, and a test that measures
 * memory or speed would measure what runs beside it (run-alone.ts decides).
 */
import { createWriteStream } from 'node:fs';
import { availableParallelism } from 'node:os';
import { finished, pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { STORE_VARIABLE } from './api-program.ts';
import { Etcd } from './etcd.ts';
import { removeLeftOver } from './left-over.ts';
import { isPatient, mustRunAlone } from './run-alone.ts';
import summaryReporter from './summary-reporter.ts';

const [summaryFile, ...files] = process.argv.slice(2);

async function* runAll(): AsyncGenerator<TestEvent> {
  const alone = files.filter(mustRunAlone);
  const together = files.filter((file) => !alone.includes(file));
  const patient = together.filter(isPatient);
  const busy = together.filter((file) => !patient.includes(file));
  const groups = [
    { files: [...patient, ...busy], concurrency: availableParallelism() + 1 },
    { files: alone, concurrency: 1 },
  ];
  for (const group of groups) if (group.files.length > 0) yield* run(group);
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
  await pipeline(summaryReporter(reported(runAll())), createWriteStream(summaryFile));
} finally {
  await etcd?.end();
}

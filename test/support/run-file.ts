/**
 * Runs one test file, and sends what node:test tells of it to the process that started this one (run-tests.ts), which may
 * have put it into a box: `node run-file.js FILE`. It ends when that process does.
 */
import { run } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { packEvent } from './test-events.ts';

const file = process.argv[2];
if (process.send === undefined) throw new Error('it is started by run-tests.js');
process.once('disconnect', () => process.exit(1));

/** One that hangs must not keep the others from being told of. The longest took 14 minutes on a slow and busy machine. */
const LIMIT_S = Number(process.env['SECGROUPD_TEST_FILE_LIMIT_S'] ?? 40 * 60);

const events: AsyncIterable<TestEvent> = run({
  files: [file],
  concurrency: 1,
  timeout: 1000 * LIMIT_S,
});
for await (const event of events) {
  const packed = packEvent(event);
  if (packed !== undefined) process.send(packed);
}
process.send('done', () => process.exit(0));

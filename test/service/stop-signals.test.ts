/** What a program does that is told to stop twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { start } from '../support/process.ts';

const MODULE = new URL('../../src/service/stop-signals.js', import.meta.url).href;

for (const [first, second] of [
  ['SIGTERM', 'SIGTERM'],
  ['SIGTERM', 'SIGINT'],
  ['SIGINT', 'SIGTERM'],
] as const)
  test(`${second} after ${first}: it stops once, and ends what it has begun`, async () => {
    const program = `import { onStopSignal } from '${MODULE}';
      onStopSignal((signal) => {
        process.once('SIGUSR2', () => { console.log('written'); process.exit(0); });
        console.log('stopping by ' + signal);
      });
      setInterval(() => {}, 1000);
      console.log('runs');`;
    const child = await start(process.execPath, ['--input-type=module', '-e', program]);
    await child.waitFor(/^runs$/m);
    process.kill(child.pid, first);
    await child.waitFor(/^stopping by /m);
    process.kill(child.pid, second);
    process.kill(child.pid, 'SIGUSR2');
    const { stdout } = await child.ended;
    assert.equal(stdout, `runs\nstopping by ${first}\nwritten\n`);
  });

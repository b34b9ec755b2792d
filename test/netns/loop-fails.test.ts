/**
 * Fail closed: a packet loop that fails ends the daemon, even where other loops wait for packets in the kernel.
 *
 * Runs beside others: the clock in it is one that fails.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { requireTools } from '../support/require.ts';
import { ServiceManager } from '../support/service-manager.ts';
import { canRunWorkers } from './workers-world.ts';
import { canRun, MAIN, makeNamespaces, temporaryFile } from './world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const WATCHDOG_MS = 2000;

/**
 * Loaded into every thread of the daemon. Once the file is there the first loop throws where it reads the clock, as it
 * does where an invariant is broken; the others go on.
 */
const BREAKER = `
const { isMainThread, threadId } = require('node:worker_threads');
const { existsSync } = require('node:fs');
if (!isMainThread && threadId === 1) {
  const now = performance.now.bind(performance);
  performance.now = () => {
    if (existsSync(process.env.SGT_BREAK)) throw new Error('broken by the test');
    return now();
  };
}
`;

for (const workers of [1, 2, 3])
  test(`one of ${workers} loops fails: the daemon ends with 1, and says why first`, async (t) => {
    if (!(workers === 1 ? canRun(t) : canRunWorkers(t)) || !requireTools(t, 'python3')) return;
    const { a, b } = await makeNamespaces(t, ['a', 'b']);
    // Not one packet may come: it would wake up a loop that waits.
    for (const netns of [a, b])
      await netns.mustRun('sh', [
        '-c',
        'for all in all default; do echo 1 > /proc/sys/net/ipv6/conf/$all/disable_ipv6; done',
      ]);
    const file = temporaryFile(
      t,
      'secgroupd.yaml',
      `workers: ${workers}
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }
`,
    );
    const breaker = join(dirname(file), 'breaker.cjs');
    const sign = join(dirname(file), 'break-now');
    writeFileSync(breaker, BREAKER);
    const service = ServiceManager.make(t, [process.execPath, MAIN, '--config', file], {
      NODE_OPTIONS: `--require=${breaker}`,
      SGT_BREAK: sign,
      // Twice an interval every loop is made to go a round; in between they wait.
      WATCHDOG_USEC: String(1000 * WATCHDOG_MS),
    });
    await service.startReady();
    writeFileSync(sign, '');
    assert.equal(await service.ended(), 1);
    assert.match(service.output, /"msg":"the packet loop failed: broken by the test"/);
  });

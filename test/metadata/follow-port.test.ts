/** The platform's port has other addresses while the program runs. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { followPort } from '../../src/metadata/follow-port.ts';

const BEFORE = { netns: '/run/netns/p', addresses: ['169.254.169.253', '10.0.0.2'] };
const AFTER = { ...BEFORE, addresses: [...BEFORE.addresses, '10.1.0.2'] };

function world(t: TestContext, isStartedAgain: boolean) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const seen = { ends: 0, warnings: [] as string[] };
  let port: typeof BEFORE | undefined = BEFORE;
  const stop = followPort(BEFORE, {
    find: () => (port === undefined ? Promise.reject(new Error('down')) : Promise.resolve(port)),
    isStartedAgain,
    end: () => void seen.ends++,
    log: {
      warn: (_: unknown, text?: string) => void seen.warnings.push(text!),
      debug: () => undefined,
    },
  });
  t.after(stop);
  const look = async (now: typeof port): Promise<void> => {
    port = now;
    t.mock.timers.tick(5000);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { seen, look };
}

test('it ends where it is started again, and only for other addresses', async (t) => {
  const { seen, look } = world(t, true);
  await look({ ...BEFORE });
  await look(undefined);
  assert.deepEqual(seen, { ends: 0, warnings: [] });
  await look(AFTER);
  assert.equal(seen.ends, 1);
});

test('elsewhere it goes on, and says once what is wrong', async (t) => {
  const { seen, look } = world(t, false);
  await look(AFTER);
  await look(AFTER);
  assert.equal(seen.ends, 0);
  assert.deepEqual(seen.warnings.length, 1);
  assert.match(seen.warnings[0], /other addresses than those that are served; start it again/);
  await look(BEFORE);
  await look(AFTER);
  assert.equal(seen.warnings.length, 2);
});

/** An application meets its five days in seconds: the real daemon runs with a faster clock. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const TICKER = fileURLToPath(new URL('./ticker.js', import.meta.url));
const SCALE = 1000;

/** Idle for `idleMs` of real time, then the server speaks; what the client got of it. */
async function speakAfter(t: TestContext, idleMs: number, timeoutSec: number): Promise<boolean> {
  const names = await makeNamespaces(t, ['web', 'app']);
  const file = temporaryFile(
    t,
    'scale.yaml',
    `
securityGroups:
  web: { egress: [{ protocol: tcp, ports: 8080, to: "sg:app" }] }
  app: { ingress: [{ protocol: tcp, ports: 8080, from: "sg:web" }], egress: [] }
interfaces:
  web: { device: { netns: ${names.web.path}, name: eth0 }, addresses: [10.0.0.11], securityGroups: [web], connectionTracking: { tcpEstablishedTimeout: ${timeoutSec} } }
  app: { device: { netns: ${names.app.path}, name: eth0 }, addresses: [10.0.0.12], securityGroups: [app], connectionTracking: { tcpEstablishedTimeout: ${timeoutSec} } }
`,
  );
  const daemon = await Daemon.start(t, file, ['--time-scale', String(SCALE)]);
  const server = await names.app.start(process.execPath, [
    TICKER,
    'serve-after',
    '8080',
    String(idleMs),
  ]);
  await server.waitFor(/ready/);
  const client = await names.web.start(process.execPath, [TICKER, 'listen', '10.0.0.12', '8080']);
  await sleep(idleMs + 600);
  const heard = /ready/.test(client.stdout());
  await daemon.stop();
  return heard;
}

test('at 1000 times real time, a connection outlives 250 s of silence and not 450 s, with 350 s set', async (t) => {
  if (!canRun(t)) return;
  assert.equal(await speakAfter(t, 250, 350), true);
  assert.equal(await speakAfter(t, 450, 350), false);
});

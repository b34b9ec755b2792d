/**
 * A thousand connections work during a flood of SYNs, at whatever rate the machine gives. FLOOD_SECONDS=60 makes a
 * long run.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const ECHO = fileURLToPath(new URL('./echo.js', import.meta.url));
const SECONDS = Number(process.env['FLOOD_SECONDS'] ?? 4);
const CONNECTIONS = 1000;
const MAX_FLOWS = 20_000;

test(`${CONNECTIONS} established connections work across ${SECONDS} s of SYN flood`, async (t) => {
  if (!canRun(t) || !requireTools(t, 'hping3')) return;
  const names = await makeNamespaces(t, ['world', 'web', 'app']);
  const file = temporaryFile(
    t,
    'flood.yaml',
    `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [198.51.100.7/24] }
securityGroups:
  web: {}
  app: { ingress: [{ protocol: tcp, ports: 8080, from: [0.0.0.0/1, 128.0.0.0/1] }] }
interfaces:
  web: { device: { netns: ${names.web.path}, name: eth0 }, addresses: [10.0.0.11], securityGroups: [web] }
  app: { device: { netns: ${names.app.path}, name: eth0 }, addresses: [10.0.0.12], securityGroups: [app] }
conntrack: { maxFlows: ${MAX_FLOWS} }
metrics: { listen: 127.0.0.1:0 }
`,
  );
  const daemon = await Daemon.start(t, file);
  const server = await names.app.start(process.execPath, [ECHO, 'serve', '8080']);
  await server.waitFor(/ready/);
  const client = await names.web.start(process.execPath, [
    ECHO,
    'ask',
    '10.0.0.12',
    '8080',
    String(CONNECTIONS),
    String(SECONDS),
  ]);
  await client.waitFor(/ready/, 20_000);
  const flood = await names.world.run(
    'timeout',
    [
      '-s',
      'INT',
      String(SECONDS),
      'hping3',
      '-q',
      '--flood',
      '--rand-source',
      '-S',
      '-p',
      '8080',
      '10.0.0.12',
    ],
    { timeoutMs: (SECONDS + 10) * 1000 },
  );
  const sent = Number(/(\d+) packets transmitted/.exec(flood.stdout + flood.stderr)?.[1] ?? 0);
  assert.ok(sent > 1000, `the flood was one: ${flood.stderr}`);
  const [, text] = await client.waitFor(/(\{.*\})/, 15_000);
  const seen = JSON.parse(text) as { broken: number; answers: number; longestMs: number };
  const metrics = await daemon.scrape();
  const evicted = Number(/^secgroupd_conntrack_evicted_flows_total (\d+)/m.exec(metrics)?.[1]);
  const flows = Number(/^secgroupd_conntrack_flows (\d+)/m.exec(metrics)?.[1]);
  t.diagnostic(
    `${sent} SYNs sent, ${evicted} half-open flows evicted, ${flows} flows tracked, ${seen.answers} answers, longest wait ${seen.longestMs} ms`,
  );
  assert.equal(seen.broken, 0);
  // How long one waits depends on the machine: flood, both ends and daemon share its processors, and what is lost in
  // the instances' own queues is sent again after TCP's time-outs. But all are answered, and nobody waits for the end.
  assert.ok(seen.answers >= CONNECTIONS, `${seen.answers} answers`);
  assert.ok(seen.longestMs < SECONDS * 1000, `${seen.longestMs} ms`);
  assert.ok(evicted > 0, 'the flood competed with itself');
  assert.ok(flows <= MAX_FLOWS);
});

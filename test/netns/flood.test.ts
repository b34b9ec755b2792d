/**
 * A thousand connections work during a flood of SYNs, at whatever rate the machine gives: it lasts until each of them
 * has been answered. FLOOD_SECONDS=60 makes a long run.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GUARD_MS } from '../support/guard-time.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const ECHO = fileURLToPath(new URL('./echo.js', import.meta.url));
const SECONDS = Number(process.env['FLOOD_SECONDS'] ?? 4);
const CONNECTIONS = 1000;
const MAX_FLOWS = 20_000;

interface Seen {
  readonly broken: number;
  readonly silent: number;
  readonly answers: number;
  readonly longestMs: number;
}

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
  await client.waitFor(/ready/);
  // It goes on until the client is through, and not much longer, whatever becomes of this test.
  const limit = ['-s', 'INT', String(SECONDS + GUARD_MS / 1000)];
  const hping = ['hping3', '-q', '--flood', '--rand-source', '-S', '-p', '8080', '10.0.0.12'];
  const flood = await names.world.start('timeout', [...limit, ...hping]);
  const [, text] = await client.waitFor(/(\{.*\})/);
  const { stdout, stderr } = await flood.stop('SIGINT');
  const sent = Number(/(\d+) packets transmitted/.exec(stdout + stderr)?.[1] ?? 0);
  assert.ok(sent > 1000, `the flood was one: ${stderr}`);
  const seen = JSON.parse(text) as Seen;
  const metrics = await daemon.scrape();
  const evicted = Number(/^secgroupd_conntrack_evicted_flows_total (\d+)/m.exec(metrics)?.[1]);
  const flows = Number(/^secgroupd_conntrack_flows (\d+)/m.exec(metrics)?.[1]);
  t.diagnostic(
    `${sent} SYNs sent, ${evicted} half-open flows evicted, ${flows} flows tracked, ${seen.answers} answers, longest wait ${seen.longestMs} ms`,
  );
  assert.equal(seen.broken, 0);
  // How long one waits depends on the machine: flood, both ends and daemon share its processors, and what is lost in
  // the instances' own queues is sent again after TCP's time-outs. But each is answered while the flood lasts.
  assert.equal(seen.silent, 0);
  assert.ok(evicted > 0, 'the flood competed with itself');
  assert.ok(flows <= MAX_FLOWS);
});

/**
 * A real Prometheus scrapes the daemon, and an alert fires when the conntrack allowance is exceeded.
 *
 * Runs beside others: its clock only says when to give up.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GUARD_MS } from '../support/guard-time.ts';
import { repositoryRoot } from '../support/repository.ts';
import { start } from '../support/process.ts';
import { findTool, requireTools } from '../support/require.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const ECHO = fileURLToPath(new URL('./echo.js', import.meta.url));
const MAX_FLOWS = 16;
const RULES = join(repositoryRoot(), 'config', 'prometheus', 'secgroupd.rules.yml');

interface Alert {
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts a Prometheus over the daemon, with our alert rules. @returns how to ask it */
async function startPrometheus(
  t: TestContext,
  target: string,
): Promise<(path: string) => Promise<unknown>> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-prometheus-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const config = join(folder, 'prometheus.yml');
  writeFileSync(
    config,
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [${RULES}]
scrape_configs: [{ job_name: secgroupd, static_configs: [{ targets: ['${target}'] }] }]
`,
  );
  const port = await freePort();
  const running = await start(findTool('prometheus')!, [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  t.after(() => running.stop());
  await running.waitFor(/Server is ready/);
  return async (path) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    return ((await response.json()) as { readonly data: unknown }).data;
  };
}

async function until<Value>(what: string, look: () => Promise<Value | undefined>): Promise<Value> {
  const deadline = performance.now() + GUARD_MS;
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test('a real Prometheus scrapes, and tells when the conntrack allowance is exceeded', async (t) => {
  assert.match(readFileSync(RULES, 'utf8'), /SecgroupdConntrackAllowanceExceeded/);
  if (!canRun(t) || !requireTools(t, 'prometheus')) return;
  const names = await makeNamespaces(t, ['web', 'app']);
  const file = temporaryFile(
    t,
    'allowance.yaml',
    `
securityGroups:
  web: {}
  app: { ingress: [{ protocol: tcp, ports: 8080, from: 10.0.0.0/24 }] }
interfaces:
  web: { device: { netns: ${names.web.path}, name: eth0 }, addresses: [10.0.0.11], securityGroups: [web] }
  app: { device: { netns: ${names.app.path}, name: eth0 }, addresses: [10.0.0.12], securityGroups: [app] }
conntrack: { maxFlows: ${MAX_FLOWS} }
metrics: { listen: 127.0.0.1:0 }
`,
  );
  const daemon = await Daemon.start(t, file);
  const target = /"url":"http:\/\/([^/]+)\//.exec(daemon.output)![1];
  const ask = await startPrometheus(t, target);
  await until('the first scrape', async () => {
    const { activeTargets } = (await ask('targets')) as {
      readonly activeTargets: readonly { readonly health: string }[];
    };
    return activeTargets.some(({ health }) => health === 'up') ? true : undefined;
  });
  const server = await names.app.start(process.execPath, [ECHO, 'serve', '8080']);
  await server.waitFor(/ready/);
  // Each connection takes a flow at either gate. Established ones are never given up: there is no room for more.
  const held = MAX_FLOWS / 2;
  const args = [ECHO, 'ask', '10.0.0.12', '8080', String(held), '30'];
  const client = await names.web.start(process.execPath, args);
  await client.waitFor(/ready/);
  const before = (await ask('alerts')) as { readonly alerts: readonly Alert[] };
  assert.deepEqual(
    before.alerts.filter(({ labels }) => labels['severity'] === 'critical'),
    [],
  );
  const refused = await names.web.run('curl', ['-sS', '-m', '1', 'http://10.0.0.12:8080/']);
  assert.equal(refused.code, 28, 'a connection more than there is room for times out');
  const alert = await until('the alert', async () => {
    const { alerts } = (await ask('alerts')) as { readonly alerts: readonly Alert[] };
    return alerts.find(
      ({ state, labels }) =>
        state === 'firing' && labels['alertname'] === 'SecgroupdConntrackAllowanceExceeded',
    );
  });
  const loop = await daemon.metrics();
  const of = (name: string): number => loop.get(name) ?? NaN;
  const read = of('secgroupd_read_packets_total');
  const written = of('secgroupd_writes_total') + of('secgroupd_coalesced_packets_total');
  // What is read and not dropped is written, by itself or with others.
  assert.ok(read > 0 && written > 0 && written <= read, `${read} read, ${written} written`);
  assert.ok(of('secgroupd_read_batches_total') <= read);
  assert.ok(of('secgroupd_loop_rounds_total') > 0 && of('secgroupd_loop_busy_seconds_total') > 0);
  assert.equal(alert.labels['interface'], 'web');
  assert.match(alert.annotations['summary'], /Connections of web are refused/);
});

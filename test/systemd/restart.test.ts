/**
 * Restarts that cut nothing, in a real systemd: ten of them under iperf3, idle connections and a stream of
 * datagrams; then kill -9, then an upgrade.
 *
 * The server may start nothing (egress: []) and the client takes nothing (no ingress). So when the server
 * speaks first after a restart, only a flow that was saved and restored lets its packet through.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Running } from '../support/process.ts';
import { until } from '../support/until.ts';
import { bootContainer, type Container } from './container.ts';
import { buildDeb, installDeb } from './deb.ts';

const RESTARTS = 10;
/** Of the issue: for a machine that has nothing else to do. It is printed; what is asserted leaves room for others. */
const GAP_TARGET_MS = 300;
const GAP_LIMIT_MS = 60_000;
/** Between restarts, as systemd would else refuse the eleventh within a minute; also some traffic. */
const PAUSE_MS = 300;

const FOLDER = '/srv/agents';
const NODE = '/usr/lib/secgroupd/bin/node';
const DROP_IN = '/etc/systemd/system/secgroupd.service.d';
const SERVER = '10.0.0.12';
const CONFIG = `securityGroups:
  client:
    description: Starts everything, takes nothing
    ingress: []
  server:
    description: Takes three ports, starts nothing
    ingress:
      - { protocol: tcp, ports: [5201, 7000], from: 'sg:client' }
      - { protocol: udp, ports: 7001, from: 'sg:client' }
    egress: []
interfaces:
  eni-client:
    device: { kind: tun, netns: client, name: eth0 }
    addresses: [10.0.0.11]
    securityGroups: [client]
  eni-server:
    device: { kind: tun, netns: server, name: eth0 }
    addresses: [${SERVER}]
    securityGroups: [server]
`;

interface Traffic {
  readonly container: Container;
  readonly iperf: Running;
  /** Of the last question on the idle connections. */
  round: number;
}

async function waitForFile(container: Container, name: string): Promise<string> {
  const path = join(container.root, FOLDER, name);
  await until(
    async () => `the file ${name}\n${await container.journal()}`,
    () => existsSync(path),
  );
  return readFileSync(path, 'utf8');
}

async function install(t: TestContext, container: Container): Promise<void> {
  await installDeb(container, await buildDeb(t, '1.0.0-1'));
  await container.sh(`ip netns add client; ip netns add server
    install -D -m 644 /usr/share/doc/secgroupd/examples/namespaces.conf ${DROP_IN}/namespaces.conf
    systemctl daemon-reload`);
  // Ten restarts in a minute are no failure here.
  container.write(`${DROP_IN}/test.conf`, '[Unit]\nStartLimitIntervalSec=0\n');
  container.write('/etc/secgroupd/secgroupd.yaml', CONFIG);
  await container.sh('systemctl daemon-reload; systemctl restart secgroupd');
}

async function startTraffic(container: Container): Promise<Traffic> {
  mkdirSync(join(container.root, FOLDER));
  container.copyIn(fileURLToPath(new URL('./agent.js', import.meta.url)), `${FOLDER}/agent.mjs`);
  const inside = (netns: string, ...command: string[]): Promise<Running> =>
    container.start('ip', ['netns', 'exec', netns, ...command]);
  const agent = (netns: string, role: string, port: number): Promise<Running> =>
    inside(netns, NODE, `${FOLDER}/agent.mjs`, role, SERVER, String(port), FOLDER);
  await agent('server', 'listen', 7000);
  await waitForFile(container, 'listening');
  await agent('client', 'connect', 7000);
  await waitForFile(container, 'connected');
  await agent('server', 'receive', 7001);
  await waitForFile(container, 'gap');
  await agent('client', 'send', 7001);
  const server = await inside('server', 'iperf3', '--server', '--one-off', '--forceflush');
  await server.waitFor(/Server listening/);
  const iperf = await inside(
    'client',
    ...['iperf3', '--client', SERVER, '--time', '600', '--bitrate', '100M'],
    ...['--interval', '0.2', '--forceflush'],
  );
  await iperf.waitFor(/\/sec/);
  return { container, iperf, round: 0 };
}

/** Lets one side speak on every idle connection; all must be answered. */
async function speak(traffic: Traffic, who: 'listen' | 'connect'): Promise<void> {
  traffic.round++;
  traffic.container.write(`${FOLDER}/round`, `${traffic.round} ${who}`);
  const answers = await waitForFile(traffic.container, `answers-${traffic.round}`);
  assert.equal(answers, '20');
}

/** iperf3 goes on sending: an interval that begins now reports more than nothing. */
async function assertIperfRuns({ iperf }: Traffic): Promise<void> {
  const before = iperf.stdout().length;
  await until(
    () => `iperf3 goes on:\n${iperf.stdout().slice(-1000)}${iperf.stderr()}`,
    () => {
      const rates = iperf
        .stdout()
        .slice(before)
        .matchAll(/ ([\d.]+) [KMG]?bits\/sec/g);
      return [...rates].some(([, rate]) => Number(rate) > 0);
    },
  );
}

function assertNoneLost(container: Container): void {
  for (const role of ['listen', 'connect'])
    assert.equal(existsSync(join(container.root, FOLDER, `lost-${role}`)), false, role);
}

interface Gap {
  readonly longestMs: number;
  readonly packets: number;
}

function readGap(container: Container): Gap {
  return JSON.parse(readFileSync(join(container.root, FOLDER, 'gap'), 'utf8')) as Gap;
}

function indexes(container: Container): Promise<string> {
  return container.sh(`for ns in client server; do
    ip netns exec $ns cat /sys/class/net/eth0/ifindex /sys/class/net/eth0/carrier; done`);
}

test('restarts cut no connection', async (t) => {
  const container = await bootContainer(t);
  if (container === undefined) return;
  await install(t, container);
  const traffic = await startTraffic(container);
  await speak(traffic, 'listen');
  const devices = await indexes(container);

  await t.test(`${RESTARTS} restarts`, async (t) => {
    for (let i = 0; i < RESTARTS; i++) {
      await container.mustRun('systemctl', ['restart', 'secgroupd']);
      await speak(traffic, 'listen');
      await assertIperfRuns(traffic);
      await sleep(PAUSE_MS);
    }
    assertNoneLost(container);
    assert.equal(await indexes(container), devices, 'the devices are the same');
    const { longestMs, packets } = readGap(container);
    const sent = Number(readFileSync(join(container.root, FOLDER, 'sent'), 'utf8'));
    t.diagnostic(
      `longest gap ${Math.round(longestMs)} ms (target: ${GAP_TARGET_MS} ms on an idle machine), ` +
        `${packets} of about ${sent} datagrams arrived, no connection lost`,
    );
    assert.ok(longestMs < GAP_LIMIT_MS, `the longest gap was ${longestMs} ms`);
    // What comes while nobody reads waits in the device's queue, as long as there is room: iperf3's are among them. The rest of a
    // long pause is lost, as on any wire; what must not be is the stream.
    await until('datagrams go on', () => readGap(container).packets > packets);
  });

  await t.test('kill -9 keeps the devices, and connections by midstream: accept', async () => {
    const pid = await container.property('MainPID');
    await container.mustRun('kill', ['-KILL', pid]);
    await container.sh(
      'until [ "$(systemctl show --value -p NRestarts secgroupd)" = 1 ] && systemctl is-active --quiet secgroupd; do sleep 0.1; done',
    );
    assert.equal(await indexes(container), devices);
    // The flow is gone with the process: the side that the rules let speak must speak first.
    await speak(traffic, 'connect');
    await speak(traffic, 'listen');
    await assertIperfRuns(traffic);
    assertNoneLost(container);
  });

  await t.test('an upgrade keeps them as well', async () => {
    await installDeb(container, await buildDeb(t, '1.0.0-2'));
    assert.match(await container.mustRun('dpkg-query', ['-W', 'secgroupd']), /1\.0\.0-2/);
    await speak(traffic, 'listen');
    await assertIperfRuns(traffic);
    assertNoneLost(container);
    assert.equal(await indexes(container), devices);
  });
});

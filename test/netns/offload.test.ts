/**
 * The kernel's fast path with real devices: veth pairs of instances, and one whose ends are in one namespace. Whole
 * connections pass with few packets by the daemon; rules, the daemon's end and a capture hold at once.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import { requireOffload } from '../offload/kernel-rig.ts';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { runSgctl } from '../support/sgctl.ts';
import { until } from '../support/until.ts';
import { download, plugIn } from './attach-world.ts';
import { blob } from './blob.ts';
import { canRun, Daemon, makeNamespaces, serve, temporaryFile } from './world.ts';

const WEB = ['10.0.0.11', 'fd00:10::11'] as const;
const DB = ['10.0.0.12', 'fd00:10::12'] as const;
const MAC_WEB = '02:00:00:00:00:11';
const BLOB_BYTES = blob().length;
/** Of a download of 20 MB in packets of 64 KB at most: far less than each, far more than what opens and ends it. */
const SEEN_MAX = 200;
const DOWNLOADS_MAX = 10;

interface World {
  readonly host: Netns;
  readonly web: Netns;
  readonly db: Netns;
}

function configuration({ host }: World, ports: string, more = ''): string {
  const attach = (name: string): string => `{ kind: attach, netns: ${host.path}, name: ${name} }`;
  const quoted = (addresses: readonly string[]): string =>
    addresses.map((one) => `'${one}'`).join();
  return `
offload: on
securityGroups:
  all:
    revocation: recheck
    ingress:
      - { protocol: tcp, ports: ${ports}, from: self }
      - { protocol: udp, ports: all, from: self }
interfaces:
  web: { device: ${attach('veth-web')}, addresses: [${quoted(WEB)}], securityGroups: [all] }
  db: { device: ${attach('veth-db')}, addresses: [${quoted(DB)}], securityGroups: [all] }
  ours: { device: { netns: ${host.path}, name: ours }, addresses: [10.0.0.13], securityGroups: [all] }
  away: { device: ${attach('veth-away')}, addresses: [10.0.0.14], securityGroups: [all] }
metrics: { listen: '127.0.0.1:0' }
${more}`;
}

async function makeWorld(t: TestContext): Promise<World> {
  const world = await makeNamespaces(t, ['host', 'web', 'db']);
  await plugIn(world.host, 'veth-web', world.web, MAC_WEB, WEB);
  await plugIn(world.host, 'veth-db', world.db, '02:00:00:00:00:12', DB);
  return world;
}

async function valueOf(daemon: Daemon, metric: string): Promise<number> {
  return (await daemon.metrics()).get(metric)!;
}

const bytesOf = (direction: string): string =>
  `secgroupd_bytes_total{interface="db",direction="${direction}",verdict="pass"}`;

/** A stream that says how much of it has come: a byte a millisecond. */
const STREAM = `
import socket, sys, threading, time
s = socket.create_connection((sys.argv[1], 8080))
s.sendall(b'GET /ticks HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
n = 0
while True:
    n += len(s.recv(65536))
    open(sys.argv[2], 'w').write(str(n))
`;

test('the fast path', async (t) => {
  if (!canRun(t) || !requireTools(t, 'curl', 'sha256sum', 'python3', 'nft')) return;
  if (requireOffload(t) === undefined) return;
  const world = await makeWorld(t);
  const { web, db } = world;
  const control = temporaryFile(t, 'control.sock', '');
  const file = temporaryFile(t, 'offload.yaml', configuration(world, '8080'));
  let daemon = await Daemon.start(t, file, ['--control', `${control}.real`]);
  await serve(web, 'web');

  await t.test('a whole connection passes, and the daemon sees little of it', async () => {
    for (const family of [0, 1] as const) {
      let seen = Infinity;
      // On a machine so busy that a packet loop waits for half a second, packets go by the daemon meanwhile.
      for (let i = 0; i < DOWNLOADS_MAX && seen >= SEEN_MAX; i++) {
        const before = await valueOf(daemon, 'secgroupd_read_packets_total');
        await download(db, WEB[family]);
        seen = (await valueOf(daemon, 'secgroupd_read_packets_total')) - before;
      }
      assert.ok(seen < SEEN_MAX, `the daemon has read ${seen} packets`);
    }
  });

  await t.test('what passed in the kernel is counted', async () => {
    await until('the counters have it', async () => {
      return (await valueOf(daemon, bytesOf('ingress'))) > 2 * BLOB_BYTES;
    });
    const flows = runSgctl(['flows', '--socket', `${control}.real`, '--json']);
    const [most] = (JSON.parse(flows.stdout) as { flows: { bytesIn: number }[] }).flows
      .map(({ bytesIn }) => bytesIn)
      .sort((a, b) => b - a);
    assert.ok(most > BLOB_BYTES, `a flow has ${most} bytes of ${BLOB_BYTES}`);
    const status = runSgctl(['status', '--socket', `${control}.real`]);
    assert.match(status.stdout, /fast path +2 interfaces, \d+ flows? in the kernel/);
  });

  await t.test('sgctl says who takes part, and why others do not', async () => {
    const interfaces = (await ask(`${control}.real`, 'interfaces', {})) as InterfaceView[];
    assert.deepEqual(Object.fromEntries(interfaces.map((one) => [one.name, one.fastPath])), {
      web: { forwards: 'both' },
      db: { forwards: 'both' },
      ours: { forwards: 'none', why: 'a device of the kind tun ends in the daemon' },
      away: { forwards: 'none', why: 'its device is not open' },
    });
    const { stdout } = runSgctl(['interfaces', '--socket', `${control}.real`]);
    assert.match(stdout, /^fast path of web, db: yes$/m);
  });

  const progress = temporaryFile(t, 'progress', '0');
  const follow = async (): Promise<number> => Number((await db.mustRun('cat', [progress])) || 0);
  const stream = async (): Promise<void> => {
    await db.start('python3', ['-c', STREAM, WEB[0], progress]);
    await until('the stream runs', async () => (await follow()) > 100);
  };
  const stands = async (why: string): Promise<void> => {
    const before = await follow();
    await sleep(500);
    assert.equal(await follow(), before, why);
  };

  await t.test('a capture sees packets that passed in the kernel before', async () => {
    await stream();
    const inKernel = await valueOf(daemon, 'secgroupd_offloaded_packets_total');
    assert.ok(inKernel > 0);
    const trace = ['trace', '--all', '--socket', `${control}.real`, '--count', '5', '--json'];
    const { stdout, code } = runSgctl(trace);
    assert.equal(code, 0);
    assert.equal(stdout.trim().split('\n').length, 5);
    const before = await follow();
    await until('the stream goes on', async () => (await follow()) > before);
  });

  await t.test('a rule that goes takes its connections with it at once', async () => {
    writeFileSync(file, configuration(world, '9'));
    const { code, stderr } = runSgctl(['reload', '--socket', `${control}.real`]);
    assert.equal(code, 0, stderr);
    await stands('the stream was revoked');
    writeFileSync(file, configuration(world, '8080'));
    assert.equal(runSgctl(['reload', '--socket', `${control}.real`]).code, 0);
  });

  await t.test('a daemon that hangs, or dies, lets nothing pass', async () => {
    await stream();
    daemon.pause();
    await sleep(1000);
    await stands('the daemon hangs');
    daemon.pause('SIGCONT');
    const before = await follow();
    await until('the stream goes on', async () => (await follow()) > before);
    await daemon.kill();
    await sleep(1000);
    await stands('the daemon is dead');
    daemon = await Daemon.start(t, file, ['--control', `${control}.real`]);
    // What the daemon before had put at the devices gives way.
    await download(db, WEB[0]);
    await stream();
    assert.equal(await daemon.stop(), 0);
    await stands('the daemon has stopped');
    const filters = await world.host.mustRun('tc', [
      'filter',
      'show',
      'dev',
      'veth-web',
      'ingress',
    ]);
    assert.equal(filters, '', 'nothing is left at the device');
  });
});

/** Reloads while traffic flows: the real daemon, real connections, hundreds of reloads. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ask } from '../../src/control-socket/control-client.ts';
import type { ReloadResult } from '../../src/queries/reload-result.ts';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import { asOffloaded } from './offload-key.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain, temporaryFile } from './world.ts';

const TICKER = fileURLToPath(new URL('./ticker.js', import.meta.url));
const RELOADS = 200;
/** Longer than the ticker waits for another tick before it says that there is none. */
const SILENCE_MS = 2000;

type Names = Record<'web' | 'app' | 'db', Netns>;

interface Variant {
  readonly appIngress?: readonly string[];
  readonly revocation?: string;
  readonly webAddresses?: string;
  readonly interfaces?: readonly (keyof Names)[];
}

const ALLOW = [
  '{ protocol: tcp, ports: 1-65535, from: "sg:web" }',
  '{ protocol: udp, ports: 1-65535, from: "sg:web" }',
  '{ protocol: icmp, type: 8, from: "sg:web" }',
];
const ADDRESSES = { web: '10.0.0.11', app: '10.0.0.12', db: '10.0.0.13' } as const;

function configuration(
  names: Names,
  {
    appIngress = ALLOW,
    revocation = 'aws',
    webAddresses = ADDRESSES.web,
    interfaces = ['web', 'app'],
  }: Variant = {},
): string {
  const lines = interfaces.map(
    (name) =>
      `  ${name}: { device: { netns: ${names[name].path}, name: eth0 }, addresses: [${name === 'web' ? webAddresses : ADDRESSES[name]}], securityGroups: [${name === 'web' ? 'web' : 'app'}] }`,
  );
  return `
securityGroups:
  web: {}
  app: { revocation: ${revocation}, ingress: [${appIngress.join(', ')}] }
interfaces:
${lines.join('\n')}
metrics: { listen: 127.0.0.1:0 }
`;
}

interface World {
  readonly names: Names;
  readonly daemon: Daemon;
  write(variant?: Variant): void;
  reload(): Promise<ReloadResult>;
  /** Until the daemon's log has it. */
  wrote(text: RegExp): Promise<void>;
  readonly file: string;
  readonly socket: string;
}

async function makeWorld(
  t: TestContext,
  variant: Variant = {},
  more: readonly string[] = [],
): Promise<World> {
  const names = await makeNamespaces(t, ['web', 'app', 'db']);
  const file = temporaryFile(t, 'reload.yaml', configuration(names, variant));
  const socket = join(dirname(file), 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', socket, ...more]);
  return {
    names,
    daemon,
    socket,
    write: (next) => writeFileSync(file, asOffloaded(configuration(names, next))),
    reload: () => ask(socket, 'reload', {}),
    wrote: async (text) => {
      for (let i = 0; i < 200 && !text.test(daemon.output); i++) await sleep(50);
      assert.match(daemon.output, text);
    },
    file,
  };
}

async function dropped(daemon: Daemon): Promise<string[]> {
  const text = await daemon.scrape();
  return text
    .split('\n')
    .filter(
      (line) => line.startsWith('secgroupd_dropped_packets_total') && !line.includes('link-scope'),
    );
}

/** Packets that an instance sent and that found no room in the queue of its device. */
async function lostAtDevice(netns: Netns): Promise<number> {
  const text = await netns.mustRun('ip', ['-j', '-s', 'link', 'show', 'eth0']);
  const [link] = JSON.parse(text) as { stats64: { tx: { dropped: number } } }[];
  return link.stats64.tx.dropped;
}

/** Datagrams that reached the namespace and found no room in the buffer of their socket. */
async function lostAtSocket(netns: Netns): Promise<number> {
  const text = await netns.mustRun('cat', ['/proc/net/snmp']);
  const [names, values] = text
    .split('\n')
    .filter((line) => line.startsWith('Udp: '))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('RcvbufErrors')]);
}

/** What the packet counters of an interface say, but for those at 0. */
async function countedAt(daemon: Daemon, name: string): Promise<string[]> {
  return [...(await daemon.metrics())].flatMap(([sample, value]) =>
    value !== 0 && /_packets_total\{/.test(sample) && sample.includes(`interface="${name}"`)
      ? [`${sample} ${value}`]
      : [],
  );
}

/** Sums in iperf3's report. */
type End = Record<string, { bytes: number; lost_packets: number; packets: number }>;

test(`${RELOADS} reloads under load lose no packet and cut no connection`, async (t) => {
  if (!canRun(t) || !requireTools(t, 'iperf3')) return;
  const world = await makeWorld(t);
  const { names } = world;
  for (const port of ['5201', '5202']) {
    const server = await names.app.start('iperf3', ['-s', '--forceflush', '-p', port]);
    t.after(() => server.stop());
    await server.waitFor(/listening/i);
  }
  const client = (port: number, more: readonly string[]): Promise<string> =>
    names.web.mustRun('iperf3', [
      '-c',
      ADDRESSES.app,
      '-p',
      String(port),
      '-t',
      '6',
      '-J',
      ...more,
    ]);
  let isOver = false;
  const totals = { tcpBytes: 0, udpPackets: 0, udpLost: 0 };
  // A greedy stream makes load, and a paced one counts its datagrams. Both run again and again while reloads go on.
  const streams = (async () => {
    do {
      const texts = await Promise.all([
        client(5201, ['-b', '500M']),
        client(5202, ['-u', '-b', '4M', '-l', '200']),
      ]);
      const [tcp, udp] = texts.map((text) => (JSON.parse(text) as { end: End }).end);
      totals.tcpBytes += tcp['sum_received'].bytes;
      totals.udpPackets += udp['sum'].packets;
      totals.udpLost += udp['sum'].lost_packets;
    } while (!isOver);
  })();
  await sleep(500);
  const outcomes = new Set<string>();
  for (let i = 0; i < RELOADS; i++) {
    // Every other reload adds a rule, so that each one is a change.
    world.write({
      appIngress:
        i % 2 === 0 ? [...ALLOW, '{ protocol: tcp, ports: 22, from: 10.0.0.0/8 }'] : ALLOW,
    });
    outcomes.add((await world.reload()).outcome);
  }
  assert.deepEqual([...outcomes], ['changed']);
  isOver = true;
  await streams;
  assert.ok(totals.tcpBytes > 10_000_000, `the stream went on: ${totals.tcpBytes} bytes`);
  assert.ok(totals.udpPackets > 10_000);
  assert.deepEqual(await dropped(world.daemon), []);
  assert.deepEqual(await lostAtDevice(names.web), 0);
  // On a busy machine the receiver may be asleep for so long that its socket overflows. That is no loss of ours, and
  // the kernel counts it.
  assert.equal(totals.udpLost, await lostAtSocket(names.app));
  assert.equal((await ask(world.socket, 'status', {})).generation, RELOADS + 1);
});

test('a rule that goes: aws keeps the connection, recheck and cut let nothing pass from the answer on', async (t) => {
  if (!canRun(t)) return;
  for (const revocation of ['aws', 'recheck', 'cut'] as const) {
    const world = await makeWorld(t, { revocation });
    const { names } = world;
    const server = await names.app.start(process.execPath, [TICKER, 'serve', '8080']);
    await server.waitFor(/ready/);
    const listener = await names.web.start(process.execPath, [
      TICKER,
      'listen',
      ADDRESSES.app,
      '8080',
    ]);
    await listener.waitFor(/ready/);
    world.write({ revocation, appIngress: [] });
    const beforeMs = Date.now();
    assert.equal((await ask(world.socket, 'reload', { dryRun: true })).outcome, 'planned');
    assert.equal((await world.reload()).outcome, 'changed');
    const afterMs = Date.now();
    if (revocation === 'aws') {
      await sleep(SILENCE_MS);
      assert.doesNotMatch(listener.stdout(), /last/, 'it still ticks');
    } else {
      await listener.waitFor(/last \d+/);
      const last = Number(/last (\d+)/.exec(listener.stdout())![1]);
      assert.ok(last >= beforeMs, 'a dry run cuts nothing');
      assert.ok(last <= afterMs, `what was sent ${last - afterMs} ms after the reload arrived`);
    }
    await world.daemon.stop();
  }
});

test('dry run: which connections a change would cut, without cutting them', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t, { revocation: 'cut' });
  await ping(world.names.web, ADDRESSES.app);
  world.write({ revocation: 'cut', appIngress: [] });
  const plan = await ask(world.socket, 'reload', { dryRun: true });
  assert.equal(plan.outcome, 'planned');
  if (plan.outcome !== 'planned') return;
  assert.deepEqual(plan.changes.rules.removed, [
    'app ingress: tcp 1-65535 from sg:web',
    'app ingress: udp 1-65535 from sg:web',
    'app ingress: icmp type 8 from sg:web',
  ]);
  assert.deepEqual(
    plan.impact.cutConnections.map(
      ({ interface: name, protocol, openedBy }) => `${name} ${protocol} ${openedBy}`,
    ),
    ['app icmp remote'],
  );
  assert.equal(plan.impact.cut, 1);
  await ping(world.names.web, ADDRESSES.app);
});

test('interfaces come and go, addresses change, an interface is renamed, and the others notice nothing', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { names } = world;
  await ping(names.web, ADDRESSES.app);
  await pingInVain(names.web, ADDRESSES.db);
  world.write({ interfaces: ['web', 'app', 'db'] });
  const added = await world.reload();
  assert.deepEqual(added.outcome === 'changed' && added.changes.interfaces, {
    added: ['db'],
    removed: [],
    changed: [],
  });
  await ping(names.web, ADDRESSES.db);
  world.write({ interfaces: ['web', 'db'] });
  assert.equal((await world.reload()).outcome, 'changed');
  await pingInVain(names.web, ADDRESSES.app);
  assert.doesNotMatch(
    (await names.app.run('ip', ['-o', 'link'])).stdout,
    /eth0/,
    'its device is gone',
  );
  await ping(names.web, ADDRESSES.db);
  // Another interface at the port of one that went starts to count at nothing.
  await names.app.mustRun('sysctl', ['-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  await world.wrote(/connections held against the change/);
  world.write({ interfaces: ['web', 'db', 'app'] });
  assert.equal((await world.reload()).outcome, 'changed');
  assert.deepEqual(await countedAt(world.daemon, 'app'), []);
  await ping(names.web, ADDRESSES.app);
  assert.notDeepEqual(await countedAt(world.daemon, 'app'), []);
  world.write({ interfaces: ['web', 'db'] });
  assert.equal((await world.reload()).outcome, 'changed');
  world.write({ interfaces: ['web', 'db'], webAddresses: '10.0.0.21' });
  assert.equal((await world.reload()).outcome, 'changed');
  const addresses = (await names.web.run('ip', ['-o', '-4', 'address'])).stdout;
  assert.match(addresses, /10\.0\.0\.21/);
  assert.doesNotMatch(addresses, /10\.0\.0\.11/);
  await ping(names.web, ADDRESSES.db);
});

test('the second interface of a namespace gets the default route when the first one goes', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const device = (netns: Netns, name: string): string => `{ netns: ${netns.path}, name: ${name} }`;
  const lines = {
    first: `  first: { device: ${device(a, 'eth0')}, addresses: [10.0.0.1, 'fd00::1'], securityGroups: [any] }\n`,
    second: `  second: { device: ${device(a, 'eth1')}, addresses: [10.0.0.2, 'fd00::2'], securityGroups: [any] }\n`,
    other: `  other: { device: ${device(b, 'eth0')}, addresses: [10.0.0.3, 'fd00::3'], securityGroups: [any] }\n`,
  };
  const text = (...names: readonly (keyof typeof lines)[]): string =>
    `securityGroups: { any: { ingress: [{ protocol: icmp, type: 8, from: 0.0.0.0/0 }] } }\ninterfaces:\n${names.map((name) => lines[name]).join('')}`;
  const file = temporaryFile(t, 'two.yaml', text('first', 'second', 'other'));
  const daemon = await Daemon.start(t, file);
  const routes = async (): Promise<(string | undefined)[]> =>
    Promise.all(
      ['-4', '-6'].map(
        async (family) =>
          / dev (\S+)/.exec(await a.mustRun('ip', [family, 'route', 'show', 'default']))?.[1],
      ),
    );
  const reloaded = async (...names: readonly (keyof typeof lines)[]): Promise<void> => {
    const before = daemon.output.length;
    writeFileSync(file, asOffloaded(text(...names)));
    daemon.hangUp();
    for (let i = 0; i < 400 && !/"outcome":/.test(daemon.output.slice(before)); i++)
      await sleep(50);
  };
  assert.deepEqual(await routes(), ['eth0', 'eth0']);
  await reloaded('second', 'other');
  assert.deepEqual(await routes(), ['eth1', 'eth1']);
  await ping(a, '10.0.0.3');
  await reloaded('second', 'first', 'other');
  assert.deepEqual(await routes(), ['eth1', 'eth1']);
  // By their order alone it goes from one that stays to another.
  await reloaded('first', 'second', 'other');
  assert.deepEqual(await routes(), ['eth0', 'eth0']);
  assert.doesNotMatch(daemon.output, /could not be/);
});

test('a prefix list that changes gets a new version, and its rules follow it', async (t) => {
  if (!canRun(t)) return;
  const names = await makeNamespaces(t, ['web', 'app', 'db']);
  const text = (entries: string): string => `
prefixLists: { clients: { entries: [${entries}], maxEntries: 5 } }
${configuration(names, { appIngress: ['{ protocol: icmp, type: 8, from: "pl:clients" }'] })}`;
  const file = temporaryFile(t, 'lists.yaml', text('10.9.0.0/16'));
  const socket = join(dirname(file), 'control.sock');
  await Daemon.start(t, file, ['--control', socket]);
  const version = async (): Promise<number> =>
    (await ask(socket, 'status', {})).prefixLists[0].version;
  assert.equal(await version(), 1);
  await pingInVain(names.web, ADDRESSES.app);
  writeFileSync(file, asOffloaded(text('10.9.0.0/16, 10.0.0.11/32')));
  assert.equal((await ask(socket, 'reload', {})).outcome, 'changed');
  assert.equal(await version(), 2);
  await ping(names.web, ADDRESSES.app);
  assert.equal((await ask(socket, 'reload', {})).outcome, 'unchanged');
  assert.equal(await version(), 2);
});

test('what is wrong is refused with its place, and what ran keeps running', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  world.write({ appIngress: ['{ protocol: tcp, ports: 70000, from: "sg:nobody" }'] });
  const refused = await world.reload();
  assert.equal(refused.outcome, 'refused');
  assert.deepEqual(
    refused.problems.map(({ at }) => at?.line),
    [4, 4],
  );
  await ping(world.names.web, ADDRESSES.app);
  assert.match(world.daemon.output, /configuration refused; what ran keeps running/);
});

test('SIGHUP and a watched file reload as well', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t, {}, ['--watch']);
  world.write({ appIngress: [] });
  await waitForGeneration(world, 2);
  world.daemon.hangUp();
  await world.wrote(/"cause":"SIGHUP","outcome":"unchanged","generation":2,/);
});

test('the generation goes up with changes only', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const generation = async (): Promise<number | undefined> =>
    (await world.daemon.metrics()).get('secgroupd_policy_generation');
  const since = async (): Promise<number> =>
    (await ask(world.socket, 'status', {})).health.policySinceMs;
  const sinceMs = await since();
  for (let i = 0; i < 3; i++) {
    const result = await world.reload();
    assert.ok(result.outcome === 'unchanged' && result.generation === 1);
  }
  assert.equal(await generation(), 1);
  assert.equal(await since(), sinceMs);
  // Another order of the same rules is another policy: hits are counted by the first that admits.
  const [first, ...rest] = ALLOW;
  world.write({ appIngress: [...rest, first] });
  const turned = await world.reload();
  assert.ok(turned.outcome === 'changed' && turned.generation === 2);
  assert.deepEqual(turned.changes.order, ['rules of app']);
  assert.equal(await generation(), 2);
  world.write({ appIngress: [...rest, first], interfaces: ['web', 'app', 'db'] });
  const added = await world.reload();
  assert.ok(added.outcome === 'changed' && added.generation === 3);
  assert.equal(
    (await world.daemon.metrics()).get('secgroupd_config_reloads_total{outcome="unchanged"}'),
    3,
  );
});

test('--watch sees what a refused configuration names', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t, {}, ['--watch']);
  const template = join(dirname(world.file), 'new.yaml');
  const text = (port: number): string =>
    `Resources: { G: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: d, SecurityGroupIngress: [ { IpProtocol: tcp, FromPort: ${port}, ToPort: ${port}, CidrIp: 10.0.0.0/8 } ] } } }\n`;
  writeFileSync(world.file, `templates: [new.yaml]\n${readFileSync(world.file, 'utf8')}`);
  await world.wrote(/configuration refused/);
  writeFileSync(template, text(443));
  await waitForGeneration(world, 2);
  // Still watched, now as a part of what is in force.
  writeFileSync(template, text(8443));
  await waitForGeneration(world, 3);
  // Also a configuration that can't even be read ends no watch.
  writeFileSync(template, 'Resources: [');
  await world.wrote(/new\.yaml changed","errors"/);
  writeFileSync(template, text(443));
  await waitForGeneration(world, 4);
});

test('a template that becomes a pipe or has no end is refused; the daemon answers and stays small', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t, {}, ['--watch']);
  const folder = dirname(world.file);
  const template = join(folder, 't.yaml');
  const text =
    'Resources: { G: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: d } } }\n';
  writeFileSync(template, text);
  writeFileSync(world.file, `templates: [t.yaml]\n${readFileSync(world.file, 'utf8')}`);
  await waitForGeneration(world, 2);
  const rssKb = (): number =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${world.daemon.pid}/status`, 'utf8'))![1]);
  const before = rssKb();
  const kinds: [told: string, make: () => void][] = [
    ["the file can't be read: it is a pipe", () => execFileSync('mkfifo', [template])],
    ["the file can't be read: it is a device", () => symlinkSync('/dev/zero', template)],
    ['the folder is no cloud assembly', () => mkdirSync(template)],
  ];
  for (const [told, make] of kinds) {
    rmSync(template, { recursive: true });
    make();
    await world.wrote(new RegExp(told));
    assert.equal((await ask(world.socket, 'status', {}, 3000)).generation, 2);
    const refused = await world.reload();
    assert.ok(refused.outcome === 'refused', told);
  }
  await ping(world.names.web, ADDRESSES.app);
  assert.ok(rssKb() - before < 100_000, 'memory stays bounded');
  assert.equal(await world.daemon.stop(), 0);
});

async function waitForGeneration(world: World, generation: number): Promise<void> {
  await until(
    () => `generation ${generation}:\n${world.daemon.output}`,
    async () => (await ask(world.socket, 'status', {})).generation >= generation,
  );
}

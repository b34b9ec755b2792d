/**
 * The Docker door with a real dockerd: containers under groups, published ports, and each part started again.
 * Starts early: it takes minutes.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { DoorsReport } from '../../src/cli/doors.ts';
import { ping, pingInVain } from '../netns/world.ts';
import { mustRun } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';
import { rootOfContainer } from './docker-root.ts';
import {
  canRunDocker,
  CLIENT,
  CLIENT6,
  DockerWorld,
  eventually,
  HOST,
  HOST6,
  IMAGE,
} from './docker-world.ts';

const PARALLEL = 100;
/** Where no answer is to come: an admitted connection takes a few milliseconds. */
const IN_VAIN_S = 1;
const SLEEP = [IMAGE, 'sleep', '1000'];

test('Docker', async (t) => {
  if (!canRunDocker(t)) return;
  const world = await DockerWorld.make(t);
  if (world === undefined) return;
  for (const [name, part] of PARTS) await t.test(name, () => part(world, t));
});

const PARTS: readonly (readonly [
  name: string,
  part: (world: DockerWorld, t: TestContext) => Promise<void>,
])[] = [
  ['a group judges the client of a published port, by its own address', publishedPorts],
  ['containers find each other by name, and groups say who answers', betweenContainers],
  ['sgctl doors knows whose interfaces are guarded', survey],
  ['root of a container gets nothing that its groups do not admit', rootOfContainer],
  ["what can't be had is refused with a sentence, and leaves nothing", refusals],
  ['one connection outlives each part', partsRestart],
  ['a container that starts again has an interface of its own', containerRestarts],
  ['without live-restore containers come back with dockerd', dockerdRestarts],
  ['a hundred containers at once', manyAtOnce],
  ['without a daemon no container starts', withoutDaemon],
  ['a network with veth pairs', vethNetwork],
  ['what was written down is lost', stateLost],
  ['all of it as a managed plugin', managedPlugin],
];

async function publishedPorts(world: DockerWorld): Promise<void> {
  const { host, client } = world;
  await world.serve('web', 'web,ping', '-p', '8080:80');
  await world.serve('closed', 'app', '-p', '8081:80');
  assert.equal(await world.whoAsks(client, `${HOST}:8080`), CLIENT);
  assert.equal(await world.whoAsks(client, `[${HOST6}]:8080`), CLIENT6);
  const [closed, ofHost] = await Promise.all([
    world.whoAsks(client, `${HOST}:8081`, IN_VAIN_S),
    // By the same port, and from an address that no rule names.
    world.whoAsks(host, `${HOST}:8080`, IN_VAIN_S),
  ]);
  assert.deepEqual([closed, ofHost], ['', '']);
  await client.mustRun('ip', ['route', 'add', '10.77.0.0/24', 'via', HOST]);
  const web = await world.addressOf('web');
  await pingInVain(client, web);
  assert.equal((await ping(host, web)).code, 0);
  const links = await world.docker('exec', 'web', 'ip', '-o', 'link');
  assert.deepEqual(
    links.split('\n').map((line) => /^\d+: (\S+?):/.exec(line)?.[1]),
    ['lo', 'eth0'],
    'no second interface',
  );
}

async function betweenContainers(world: DockerWorld): Promise<void> {
  // Debian's static busybox has a wget that crashes.
  const ask = async (from: string, at: string, port = 80): Promise<string | undefined> => {
    const request = `printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w ${IN_VAIN_S} ${at} ${port}`;
    const { stdout } = await world.tryDocker('exec', from, 'sh', '-c', request);
    return /^\[.*\]$/m.exec(stdout)?.[0];
  };
  const closed = await world.addressOf('closed');
  const closed6 = await world.addressOf('closed', 'GlobalIPv6');
  // `closed` is in the group app, whose members the group web admits.
  assert.equal(await ask('closed', 'web'), `[${closed6}]`);
  const web = await world.addressOf('web');
  assert.equal(await ask('closed', web), `[::ffff:${closed}]`);
  assert.equal(await ask('web', 'closed'), undefined);
  // Further than the host containers have its address.
  const listener = await world.client.start('nc', ['-l', '-v', '-n', '8000']);
  await listener.waitFor(/Listening/);
  await ask('closed', CLIENT, 8000);
  await listener.waitFor(new RegExp(`received on ${HOST.replaceAll('.', '\\.')} `));
  await listener.stop();
}

async function survey(world: DockerWorld): Promise<void> {
  const find = async (): Promise<readonly (readonly [owner: string, verdict: string])[]> => {
    const args = [SGCTL, 'doors', '--socket', world.control, '--json'];
    const { stdout } = await world.host.run(process.execPath, args);
    const { interfaces } = JSON.parse(stdout) as DoorsReport;
    return interfaces.map(({ owner, verdict }) => [owner.name, verdict]);
  };
  const ids = await world.docker('ps', '--quiet');
  const guarded = ids.split('\n').map((id) => [id, 'guarded'] as const);
  const isContainer = ([owner]: readonly [string, string]): boolean => ids.includes(owner);
  assert.deepEqual((await find()).filter(isContainer).sort(), guarded.sort());
}

async function refusals(world: DockerWorld): Promise<void> {
  const before = (await world.interfaces()).length;
  const vpc = (option: string): string[] => ['--network', `name=vpc,driver-opt=${option}`];
  const refused = async (args: readonly string[], why: RegExp): Promise<void> => {
    const { code, stderr } = await world.tryDocker(...args);
    assert.notEqual(code, 0);
    assert.match(stderr, why);
    assert.equal((await world.tryDocker('rm', 'wrong')).code === 0, args[0] === 'run');
  };
  const run = (network: readonly string[], ...more: string[]): string[] => [
    ...['run', '-d', '--name', 'wrong', ...network, ...more, ...SLEEP],
  ];
  await refused(run(vpc('sg=wbe')), /security group 'wbe' does not exist/);
  await refused(run(['--network', 'vpc']), /no security group is named: write sg=web,db/);
  await refused(run(vpc('group=web')), /group is no option of secgroupd/);
  await refused(run(vpc('eni=eni-00000000000000001')), /'eni-00000000000000001' does not exist/);
  await refused(run(vpc('sg=web'), '--mac-address', '02:00:00:00:00:07'), /no MAC address/);
  await refused(run(vpc('sg=web'), '-p', '80'), /without a port of the host.*-p 8080:80/);
  await refused(run(vpc('sg=web'), '-p', '127.0.0.1:90:80'), /no packet can reach a container/);
  await refused(run(vpc('sg=web'), '-p', '8080:80'), /another container has 8080\/tcp/);
  const create = (...more: string[]): string[] => ['network', 'create', '-d', 'secgroupd', ...more];
  await refused(create('--internal', 'vpc2'), /is never --internal/);
  await refused(create('-o', 'mtu=9000', 'vpc2'), /mtu is no option of a network of secgroupd/);
  assert.equal((await world.interfaces()).length, before);
}

async function partsRestart(world: DockerWorld): Promise<void> {
  const { client, service } = world;
  const ticks = await client.start('curl', ['-gsSN', `http://${HOST}:8080/cgi-bin/ticks`]);
  const last = (): number => Number(/tick (\d+)\n$/.exec(ticks.stdout())?.[1] ?? 0);
  const goesOn = async (): Promise<void> => {
    const before = last();
    await eventually(async () => {
      assert.ok(last() > before + 1, `${before}: ${service.output}`);
      await Promise.resolve();
    });
  };
  await goesOn();
  for (const signal of ['KILL', 'TERM'] as const) {
    await service.end(signal);
    await service.startReady();
    await goesOn();
  }
  await world.stopDoor('SIGKILL');
  await goesOn();
  await world.startDoor();
  await world.stopDockerd('SIGKILL');
  await goesOn();
  assert.ok(await world.startDockerd());
  await goesOn();
  await ticks.stop();
  // All of them know what there was.
  assert.equal(await world.whoAsks(client, `${HOST}:8080`), CLIENT);
  await world.docker('rm', '-f', 'closed');
  assert.equal((await world.interfaces()).length, 1);
}

async function containerRestarts(world: DockerWorld): Promise<void> {
  const [before] = await world.interfaces();
  await world.docker('restart', '-t', '0', 'web');
  const [after, ...others] = await world.interfaces();
  assert.deepEqual([after.id === before.id, others], [false, []]);
  assert.equal(await world.whoAsks(world.client, `${HOST}:8080`), CLIENT);
}

async function dockerdRestarts(world: DockerWorld): Promise<void> {
  await world.docker('update', '--restart', 'always', 'web');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await world.stopDockerd(signal);
    assert.ok(await world.startDockerd(false));
    await eventually(async () => {
      const who = await world.whoAsks(world.client, `${HOST}:8080`, IN_VAIN_S);
      assert.equal(who, CLIENT, world.doorLog);
    });
    assert.equal((await world.interfaces()).length, 1);
  }
  await world.docker('rm', '-f', 'web');
  assert.deepEqual(await world.interfaces(), []);
}

async function manyAtOnce(world: DockerWorld): Promise<void> {
  // Of a network that names groups itself.
  const subnet = ['--subnet', '10.78.0.0/24'];
  await world.docker('network', 'create', '-d', 'secgroupd', '-o', 'sg=ping', ...subnet, 'many');
  const names = Array.from({ length: PARALLEL }, (_, n) => `many-${n}`);
  await Promise.all(
    names.map((name) => world.docker('run', '-d', '--name', name, '--network', 'many', ...SLEEP)),
  );
  const all = await world.interfaces();
  assert.equal(new Set(all.flatMap(({ addresses }) => addresses)).size, PARALLEL);
  const answers = await Promise.all(
    all.map(({ addresses: [address] }) => ping(world.host, address)),
  );
  assert.deepEqual(
    answers.filter(({ code }) => code !== 0).map(({ stdout }) => stdout),
    [],
  );
  await world.docker('rm', '-f', ...names);
  // A daemon that so many ask at a time may be too busy for one of them, which is tried again.
  await until('all are gone', async () => (await world.interfaces()).length === 0);
  await world.docker('network', 'rm', 'many');
}

async function vethNetwork(world: DockerWorld): Promise<void> {
  const { client, service, host } = world;
  const options = ['-o', 'kind=veth', '-o', 'sg=web,ping', '--subnet', '10.79.0.0/24'];
  await world.docker('network', 'create', '-d', 'secgroupd', ...options, 'pairs');
  const run = ['run', '-d', '--network', 'pairs', '--stop-signal', 'SIGKILL', '--name', 'paired'];
  await world.docker(...run, '-p', '8090:80', IMAGE, 'httpd', '-f', '-p', '80', '-h', '/www');
  const asks = async (): Promise<void> => {
    await eventually(async () => {
      assert.equal(await world.whoAsks(client, `${HOST}:8090`, IN_VAIN_S), CLIENT);
    });
    assert.equal(await world.whoAsks(host, `${HOST}:8090`, IN_VAIN_S), '');
  };
  const ends = async (): Promise<string> =>
    (await host.mustRun('ip', ['-o', 'link', 'show', 'type', 'veth']))
      .split('\n')
      .flatMap((line) => /^\d+: (sgv[0-9a-f]{12})@/.exec(line)?.[1] ?? [])
      .join();
  await asks();
  assert.match(await ends(), /^sgv[0-9a-f]{12}$/);
  assert.match(await world.docker('exec', 'paired', 'ip', '-o', 'link'), /eth0@.* link\/ether/);
  await survey(world);
  const before = await ends();
  for (const signal of ['KILL', 'TERM'] as const) {
    await service.end(signal);
    assert.equal(await world.whoAsks(client, `${HOST}:8090`, IN_VAIN_S), '', signal);
    assert.equal(await ends(), before, signal);
    await service.startReady();
    await asks();
  }
  await world.docker('restart', '-t', '0', 'paired');
  await asks();
  await world.docker('rm', '-f', 'paired');
  assert.equal(await ends(), '');
  await world.docker('network', 'rm', 'pairs');
}

async function withoutDaemon(world: DockerWorld): Promise<void> {
  await world.service.end('TERM');
  const network = ['--network', 'name=vpc,driver-opt=sg=web'];
  const { code, stderr } = await world.tryDocker(
    'run',
    '-d',
    '--name',
    'late',
    ...network,
    ...SLEEP,
  );
  assert.notEqual(code, 0);
  assert.match(stderr, /secgroupd: no daemon listens at /);
  const state = await world.docker('inspect', '-f', '{{.State.Running}}', 'late');
  assert.equal(state, 'false');
  await world.service.startReady();
  await world.docker('start', 'late');
  assert.equal((await world.interfaces()).length, 1);
  await world.docker('rm', '-f', 'late');
}

async function stateLost(world: DockerWorld): Promise<void> {
  await world.docker(
    'run',
    '-d',
    '--name',
    'old',
    '--network',
    'name=vpc,driver-opt=sg=web',
    ...SLEEP,
  );
  await world.stopDoor();
  rmSync(world.path('door'), { recursive: true });
  await world.startDoor();
  const args = ['--network', 'name=vpc,driver-opt=sg=ping', ...SLEEP];
  const { stderr } = await world.tryDocker('run', '-d', '--name', 'new', ...args);
  assert.match(stderr, /is not known here.*remove it, and create it again/);
  // What there was is taken away all the same.
  await world.docker('rm', '-f', 'old', 'new');
  assert.deepEqual(await world.interfaces(), []);
  await world.docker('network', 'rm', 'vpc');
  const tables = await world.host.mustRun('nft', ['list', 'tables']);
  assert.doesNotMatch(tables, /secgroupd_docker/);
  assert.match(await world.host.mustRun('ip', ['-o', 'link']), /up0/);
}

async function managedPlugin(world: DockerWorld): Promise<void> {
  await world.stopDoor();
  await world.service.end('TERM');
  // It holds the uplink's device for the next start.
  for (const name of await world.service.names()) world.service.forget(name);
  const folder = world.path('plugin');
  await mustRun(join(repositoryRoot(), 'scripts/docker-plugin'), [folder]);
  await world.docker('plugin', 'create', 'sgt/net', folder);
  await world.docker('plugin', 'set', 'sgt/net', `config.source=${world.path('configuration')}`);
  await world.docker('plugin', 'enable', 'sgt/net');
  // Its store has no subnet: no call of the EC2 API has made one.
  const ipam = ['--ipam-driver', 'sgt/net:latest', '--subnet', '10.82.0.0/24', 'leased'];
  const refused = await world.tryDocker('network', 'create', '-d', 'sgt/net:latest', ...ipam);
  assert.match(
    refused.stderr,
    /secgroupd: There is no subnet 10\.82\.0\.0\/24 in any VPC: make it by/,
  );
  const subnet = ['--subnet', '10.79.0.0/24'];
  await world.docker(
    'network',
    'create',
    '-d',
    'sgt/net:latest',
    '-o',
    'sg=ping',
    ...subnet,
    'managed',
  );
  const server = ['httpd', '-f', '-p', '80', '-h', '/www'];
  const network = ['--network', 'managed', '-p', '8082:80'];
  await world.docker('run', '-d', '--name', 'pinged', ...network, IMAGE, ...server);
  assert.equal((await ping(world.host, '10.79.0.2')).code, 0);
  assert.equal(await world.whoAsks(world.client, `${HOST}:8082`, IN_VAIN_S), '');
  await world.docker('rm', '-f', 'pinged');
  const guarded = ['--network', 'name=managed,driver-opt=sg=web', '-p', '8082:80'];
  await world.docker('run', '-d', '--name', 'served', ...guarded, IMAGE, ...server);
  assert.equal(await world.whoAsks(world.client, `${HOST}:8082`), CLIENT);
  await world.docker('rm', '-f', 'served');
  await world.docker('network', 'rm', 'managed');
  await world.docker('plugin', 'disable', 'sgt/net');
  await world.docker('plugin', 'rm', 'sgt/net');
}

/**
 * What podman.test.ts runs in network, mount and process namespaces of its own: /run, the runtime's state and the host's
 * network are this program's alone, and the kernel ends whatever is left of the containers with it.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
  EC2Client,
  ModifyNetworkInterfaceAttributeCommand,
} from '@aws-sdk/client-ec2';
import { ask } from '../../src/control-socket/control-client.ts';
import { Daemon } from '../netns/world.ts';
import { startApiProgram } from '../support/api-program.ts';
import { mustRun, run, type CommandResult } from '../support/process.ts';
import { findTool } from '../support/require.ts';
import { until } from '../support/until.ts';

const PLUGIN = fileURLToPath(new URL('../../src/doors/cni/secgroupd-cni.js', import.meta.url));
const MANY = 20;
const HTTP = 8080;
const ECHO = 8081;

const ROOT = '/run/rootfs';
const SOCKET = '/run/control.sock';
const LEASES = '/run/leases';
/** The folder of secgroup-api: its keys and the store. */
const API = '/run/api';
const ENV = {
  ...process.env,
  CONTAINERS_CONF: '/run/containers.conf',
  CONTAINERS_STORAGE_CONF: '/run/storage.conf',
};
const CONFIG = `
uplink: { tun: up0, addresses: [10.9.0.1/24, "fd00:9::1/64"] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 8080-8081, from: 10.9.0.0/24 }
      - { protocol: tcp, ports: 8080-8081, from: "fd00:9::/64" }
      - { protocol: tcp, ports: 8080, from: sg:app }
  app: { ingress: [] }
`;
const CONTAINERS_CONF = `
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "cni"
network_config_dir = "/run/net.d"
cni_plugin_dirs = ["/run/cni"]
`;
const STORAGE_CONF = `
[storage]
driver = "vfs"
graphroot = "/run/p/graph"
runroot = "/run/p/run"
`;

interface Network {
  readonly name: string;
  /** Of its containers. */
  readonly group: string;
  /** `77` of 10.77.0.0/24 and fd00:77::/64. */
  readonly subnet: number;
  /** The part of the subnet that it gives addresses of. */
  readonly from: number;
  /** What makes the interface, where that is another plugin. */
  readonly before?: { readonly type: string } & Readonly<Record<string, unknown>>;
}

const BRIDGE = { type: 'bridge', bridge: 'br9', isGateway: true };
const NETWORKS: readonly Network[] = [
  { name: 'web', group: 'web', subnet: 77, from: 10 },
  { name: 'app', group: 'app', subnet: 77, from: 100 },
  { name: 'bridged-web', group: 'web', subnet: 88, from: 10, before: BRIDGE },
  { name: 'bridged-app', group: 'app', subnet: 88, from: 100, before: BRIDGE },
  { name: 'ptp-web', group: 'web', subnet: 99, from: 10, before: { type: 'ptp' } },
];

function conflist({ name, group, subnet, from, before }: Network): object {
  const range = (prefix: string, length: number) => [
    {
      subnet: `${prefix}0/${length}`.replace('::0', '::'),
      rangeStart: `${prefix}${from}`,
      rangeEnd: `${prefix}${from + 89}`,
      gateway: `${prefix}1`,
    },
  ];
  const ranges = [range(`10.${subnet}.0.`, 24), range(`fd00:${subnet}::`, 64)];
  const routes = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }];
  const ipam = { type: 'host-local', dataDir: LEASES, ranges, routes };
  const own = { type: 'secgroupd', socket: SOCKET, securityGroups: [group] };
  const plugins = before === undefined ? [{ ...own, ipam }] : [{ ...before, ipam }, own];
  return { cniVersion: '0.4.0', name, plugins };
}

async function prepare(): Promise<void> {
  await mustRun('mount', ['--make-rprivate', '/']);
  mkdirSync('/var/lib/cni', { recursive: true });
  for (const place of ['/run', '/var/lib/cni', '/dev/shm'])
    await mustRun('mount', ['-t', 'tmpfs', 'none', place]);
  await mustRun('ip', ['link', 'set', 'lo', 'up']);
  for (const folder of ['/run/netns', '/run/net.d', '/run/cni', LEASES, API]) mkdirSync(folder);
  for (const folder of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'www'])
    mkdirSync(`${ROOT}/${folder}`, { recursive: true });
  copyFileSync(findTool('busybox')!, `${ROOT}/bin/busybox`);
  for (const name of ['sh', 'httpd', 'nc', 'cat', 'sleep'])
    symlinkSync('busybox', `${ROOT}/bin/${name}`);
  writeFileSync(`${ROOT}/www/index.html`, 'here\n');
  for (const plugin of ['host-local', 'bridge', 'ptp'])
    symlinkSync(`/usr/lib/cni/${plugin}`, `/run/cni/${plugin}`);
  symlinkSync(PLUGIN, '/run/cni/secgroupd');
  for (const one of NETWORKS)
    writeFileSync(`/run/net.d/${one.name}.conflist`, JSON.stringify(conflist(one)));
  writeFileSync('/run/c.yaml', CONFIG);
  writeFileSync(ENV.CONTAINERS_CONF, CONTAINERS_CONF);
  writeFileSync(ENV.CONTAINERS_STORAGE_CONF, STORAGE_CONF);
}

const podman = (...args: readonly string[]): Promise<CommandResult> =>
  run('podman', ['--tmpdir', '/run/p/tmp', ...args], { env: ENV });

async function mustPodman(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await podman(...args);
  assert.equal(code, 0, `podman ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

const SERVERS = `httpd -p ${HTTP} -h /www; exec nc -ll -p ${ECHO} -e cat`;
const runArgs = (name: string, group: string): readonly string[] => [
  ...['run', '--detach', '--name', name, '--network', group, '--stop-signal', 'KILL'],
  ...['--rootfs', `${ROOT}:O`, '/bin/sh', '-c', SERVERS],
];

const startDaemon = (t: TestContext): Promise<Daemon> =>
  Daemon.start(t, '/run/c.yaml', [
    ...['--control', SOCKET, '--store', `${API}/store/store.db`, '--host', 'here'],
  ]);

/** The addresses of a container, of each family. */
async function addressesOf(name: string): Promise<readonly [string, string]> {
  const all = await ask(SOCKET, 'listInterfaces', {});
  const found = all.filter(({ tags }) => tags['Name'] === name);
  assert.equal(found.length, 1, `${name} has one interface`);
  const [four, six] = found[0].addresses;
  return [four, `[${six}]`];
}

async function enter(name: string): Promise<readonly string[]> {
  const pid = await mustPodman('inspect', '--format', '{{.State.Pid}}', name);
  return ['nsenter', '--net', '--target', pid];
}

const command = ([first, ...args]: readonly string[]): Promise<CommandResult> => run(first, args);

/** Asks the web server, from the host or from within a container, until it answers. */
async function answers(address: string, from: readonly string[] = []): Promise<void> {
  const curl = ['curl', '-gsS', '-m', '10', `http://${address}:${HTTP}/index.html`];
  let said = '';
  await until(
    () => `${address} answers: ${said}`,
    async () => {
      const { stdout, stderr } = await command([...from, ...curl]);
      said = stderr;
      return stdout === 'here\n';
    },
  );
}

async function pingsInVain(address: string, from: readonly string[] = []): Promise<void> {
  const plain = address.replace(/[[\]]/g, '');
  const { code, stdout } = await command([...from, 'ping', '-c', '1', '-W', '1', plain]);
  assert.match(stdout, / 100% packet loss/);
  assert.equal(code, 1);
}

class Echo {
  private readonly socket: Socket;
  private said = '';
  private sent = '';
  failure: Error | undefined;

  constructor(host: string) {
    this.socket = connect(ECHO, host);
    this.socket.on('data', (chunk) => (this.said += chunk.toString()));
    this.socket.on('error', (error) => (this.failure = error));
  }

  send(text: string): void {
    this.sent += text;
    this.socket.write(text);
  }

  /** All that was sent has come back. */
  async settles(): Promise<void> {
    await until(
      () => `${this.sent} comes back; so far ${this.said}`,
      () => {
        assert.equal(this.failure, undefined);
        return this.said === this.sent;
      },
    );
  }

  end(): void {
    this.socket.destroy();
  }
}

await prepare();

test('containers', async (t) => {
  let daemon = await startDaemon(t);

  await t.test('are guarded by the groups of their network, in both families', async () => {
    await mustPodman(...runArgs('web1', 'web'));
    await mustPodman(...runArgs('app1', 'app'));
    const [web, app] = [await enter('web1'), await enter('app1')];
    const appAddresses = await addressesOf('app1');
    for (const [i, address] of (await addressesOf('web1')).entries()) {
      await answers(address);
      await pingsInVain(address);
      await answers(address, app);
      await pingsInVain(address, app);
      await pingsInVain(appAddresses[i], web);
    }
  });

  await t.test('keep their groups over a restart', async () => {
    await mustPodman('restart', 'web1');
    for (const address of await addressesOf('web1')) {
      await answers(address);
      await pingsInVain(address);
    }
  });

  await t.test(
    'keep connections when the daemon is killed, and do not start without it',
    async () => {
      const [web] = await addressesOf('web1');
      const echo = new Echo(web);
      echo.send('before ');
      await echo.settles();
      await daemon.kill();
      echo.send('between ');
      const device = await command([...(await enter('web1')), 'ip', '-o', 'addr', 'show', 'eth0']);
      assert.match(device.stdout, new RegExp(` inet ${web}/32 `));
      const refused = await podman(...runArgs('late', 'web'));
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /secgroupd: no daemon listens at \/run\/control\.sock/);
      assert.equal(await mustPodman('ps', '--quiet', '--filter', 'name=late'), '');
      await podman('rm', '--force', 'late');
      daemon = await startDaemon(t);
      await echo.settles();
      echo.send('after');
      await echo.settles();
      echo.end();
      for (const address of await addressesOf('web1')) {
        await answers(address);
        await pingsInVain(address);
      }
    },
  );

  await t.test('that stop while the daemon is away start again', async () => {
    await daemon.kill();
    await podman('stop', 'app1');
    daemon = await startDaemon(t);
    await mustPodman('start', 'app1');
    const [address] = await addressesOf('web1');
    await answers(address, await enter('app1'));
  });

  await t.test('twenty at once are all guarded, and leave nothing behind', async () => {
    const names = Array.from({ length: MANY }, (_, n) => `many${n}`);
    await Promise.all(names.map((name) => mustPodman(...runArgs(name, 'web'))));
    for (const name of names) await answers((await addressesOf(name))[0]);
    await mustPodman('rm', '--force', '--all');
    assert.deepEqual(await ask(SOCKET, 'listInterfaces', {}), []);
    const leases = ['web', 'app'].flatMap((name) => readdirSync(`${LEASES}/${name}`));
    assert.deepEqual(
      leases.filter((name) => /^[0-9a-f.:]+$/.test(name)),
      [],
    );
    assert.deepEqual(readdirSync('/run/netns'), []);
  });
});

test('containers whose interface another plugin made', async (t) => {
  let daemon = await startDaemon(t);

  for (const kind of ['bridged', 'ptp'])
    await t.test(`are guarded by their groups, in both families: ${kind}`, async () => {
      await mustPodman(...runArgs(`${kind}1`, `${kind}-web`));
      for (const address of await addressesOf(`${kind}1`)) {
        await answers(address);
        await pingsInVain(address);
      }
    });

  await t.test('are guarded from each other on one bridge, and from the host on it', async () => {
    await mustPodman(...runArgs('bridged2', 'bridged-app'));
    const [web, app] = [await enter('bridged1'), await enter('bridged2')];
    const appAddresses = await addressesOf('bridged2');
    for (const [i, address] of (await addressesOf('bridged1')).entries()) {
      await answers(address, app);
      await pingsInVain(address, app);
      await pingsInVain(appAddresses[i], web);
    }
    const [address] = await addressesOf('bridged1');
    const past = ['curl', '-sS', '-m', '2', '--interface', 'br9', `http://${address}:${HTTP}/`];
    assert.notEqual((await command(past)).code, 0);
  });

  await t.test('are cut off while the daemon is dead, and guarded when it is back', async () => {
    const [address] = await addressesOf('bridged1');
    await daemon.kill();
    const asks = ['curl', '-sS', '-m', '2', `http://${address}:${HTTP}/`];
    assert.notEqual((await command(asks)).code, 0);
    const refused = await podman(...runArgs('late', 'bridged-web'));
    assert.match(refused.stderr, /secgroupd: no daemon listens at \/run\/control\.sock/);
    await podman('rm', '--force', 'late');
    daemon = await startDaemon(t);
    await answers(address);
    await pingsInVain(address);
  });

  await t.test('leave nothing open and nothing behind', async () => {
    const [address] = await addressesOf('bridged1');
    await mustPodman('network', 'disconnect', 'bridged-web', 'bridged1');
    assert.notEqual(
      (await command(['curl', '-sS', '-m', '2', `http://${address}:${HTTP}/`])).code,
      0,
    );
    await mustPodman('rm', '--force', '--all');
    assert.deepEqual(await ask(SOCKET, 'listInterfaces', {}), []);
    assert.equal((await command(['nft', 'list', 'tables', 'netdev'])).stdout, '');
    assert.deepEqual(readdirSync('/run/netns'), []);
  });
});

/** An interface that a client of AWS's made, in a group that admits the host to the web server. */
async function makeCloud(t: TestContext) {
  const { server, url: endpoint, key } = await startApiProgram(API, { policy: 'write' });
  t.after(() => server.stop());
  const client = new EC2Client({ endpoint, region: 'us-east-1', credentials: key, maxAttempts: 1 });
  t.after(() => client.destroy());
  const makeGroup = async (name: string): Promise<string> => {
    const asked = { GroupName: name, Description: name };
    return (await client.send(new CreateSecurityGroupCommand(asked))).GroupId!;
  };
  const [open, closed] = [await makeGroup('open'), await makeGroup('closed')];
  await client.send(
    new AuthorizeSecurityGroupIngressCommand({
      ...{ GroupId: open, IpProtocol: 'tcp', FromPort: HTTP, ToPort: HTTP },
      CidrIp: '10.9.0.1/32',
    }),
  );
  const { Subnets } = await client.send(new DescribeSubnetsCommand({}));
  const { NetworkInterface } = await client.send(
    new CreateNetworkInterfaceCommand({ SubnetId: Subnets![0].SubnetId, Groups: [open] }),
  );
  const { NetworkInterfaceId: id = '', PrivateIpAddress: address = '' } = NetworkInterface!;
  return {
    ...{ id, address, open, closed },
    status: async (): Promise<string | undefined> => {
      const asked = { NetworkInterfaceIds: [id] };
      const { NetworkInterfaces } = await client.send(new DescribeNetworkInterfacesCommand(asked));
      return NetworkInterfaces![0].Status;
    },
    setGroup: (group: string) => {
      const asked = { NetworkInterfaceId: id, Groups: [group] };
      return client.send(new ModifyNetworkInterfaceAttributeCommand(asked));
    },
    remove: () => client.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id })),
  };
}

test('a container that is an interface of the EC2 API', async (t) => {
  let daemon = await startDaemon(t);
  const cloud = await makeCloud(t);
  const { id: eni, address } = cloud;
  // Podman hands on no arguments of CNI but its own, so a network names the interface.
  const plugin = { type: 'secgroupd', socket: SOCKET, args: { cni: { eni } } };
  for (const name of ['eni', 'eni-too'])
    writeFileSync(
      `/run/net.d/${name}.conflist`,
      JSON.stringify({ cniVersion: '0.4.0', name, plugins: [plugin] }),
    );

  await t.test('has its address and its groups, which calls change', async () => {
    await mustPodman(...runArgs('eni1', 'eni'));
    await answers(address);
    await pingsInVain(address);
    assert.equal(await cloud.status(), 'in-use');
    await cloud.setGroup(cloud.closed);
    const asks = ['curl', '-sS', '-m', '1', `http://${address}:${HTTP}/`];
    assert.notEqual((await command(asks)).code, 0);
    await cloud.setGroup(cloud.open);
    await answers(address);
    await assert.rejects(cloud.remove(), { name: 'InvalidNetworkInterface.InUse' });
  });

  await t.test('has it alone', async () => {
    const { code, stderr } = await podman(...runArgs('eni2', 'eni-too'));
    assert.notEqual(code, 0);
    assert.match(stderr, /is currently in use: cni\.eni has it, as eth0 in .* on the host here/);
    await podman('rm', '--force', 'eni2');
    await answers(address);
  });

  await t.test('keeps it when it is started again, and when the daemon is killed', async () => {
    await mustPodman('restart', 'eni1');
    await answers(address);
    await daemon.kill();
    daemon = await startDaemon(t);
    await answers(address);
    // Its end did not reach the daemon: its namespace is gone, so the interface is another's if one asks.
    await daemon.kill();
    await podman('rm', '--force', 'eni1');
    daemon = await startDaemon(t);
    await mustPodman(...runArgs('eni2', 'eni-too'));
    await answers(address);
    await pingsInVain(address);
  });

  await t.test('leaves it as it was', async () => {
    await mustPodman('rm', '--force', '--all');
    assert.equal(await cloud.status(), 'available');
    assert.deepEqual(await ask(SOCKET, 'listInterfaces', {}), []);
    await cloud.remove();
  });
});

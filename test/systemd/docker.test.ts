/**
 * The Docker driver in a real systemd: the socket before dockerd, the unit's bounds, and what outlives a restart of
 * each part. The calls are dockerd's, and so is what is done with the device.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { bootContainer, type Container } from './container.ts';
import { buildDeb, installDeb } from './deb.ts';

const CONFIG = `uplink: { tun: sg-up, addresses: [10.9.0.1/24] }
securityGroups:
  ping: { ingress: [{ protocol: icmp, type: 8, from: 10.9.0.1/32 }] }
`;
const SOCKET = '/run/docker/plugins/secgroupd.sock';
const NODE = '/usr/lib/secgroupd/bin/node';
/** What starts after the socket is there, and fails if it is not. */
const DOCKER = `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/test -S ${SOCKET}
`;
const ADDRESS = '10.77.0.2';
const ENDPOINT = { NetworkID: 'ab'.repeat(32), EndpointID: '12'.repeat(32) };
const CAP_NET_ADMIN = '0000000000001000';

/** A call of the plugin protocol, from inside. */
async function call(container: Container, method: string, body: object): Promise<object> {
  const program = `require('http').request(
    { socketPath: '${SOCKET}', path: '/${method}', method: 'POST' },
    (answer) => answer.pipe(process.stdout),
  ).end(${JSON.stringify(JSON.stringify(body))})`;
  return JSON.parse(await container.mustRun(NODE, ['-e', program])) as object;
}

async function eventually(container: Container, command: string): Promise<void> {
  let last = '';
  const units = ['-u', 'secgroupd', '-u', 'secgroupd-docker', '--no-pager', '-o', 'cat'];
  await until(
    async () => `${command}: ${last}\n${await container.mustRun('journalctl', units)}`,
    async () => {
      const { code, stdout, stderr } = await container.run('/bin/sh', ['-ec', command]);
      last = stdout + stderr;
      return code === 0;
    },
  );
}

test('the Docker driver as a service', async (t) => {
  const container = await bootContainer(t);
  if (container === undefined) return;
  await installDeb(container, await buildDeb(t, '1.0.0-1'));
  container.write('/etc/secgroupd/secgroupd.yaml', CONFIG);
  container.write('/etc/systemd/system/docker.service', DOCKER);
  const property = async (name: string, unit = 'secgroupd-docker'): Promise<string> =>
    (await container.mustRun('systemctl', ['show', '--value', '-p', name, unit])).trim();
  const isReached = (): Promise<void> => eventually(container, `ping -c 1 -W 1 ${ADDRESS}`);

  await t.test('the socket is there before dockerd, and nothing runs behind it yet', async () => {
    await container.sh(
      `examples=/usr/share/doc/secgroupd/examples
       install -D -m 644 $examples/store.conf /etc/systemd/system/secgroupd.service.d/store.conf
       systemctl daemon-reload
       systemctl restart secgroupd
       systemctl enable secgroupd-docker.socket 2>&1
       systemctl start secgroupd-docker.socket docker`,
    );
    const after = (await property('After', 'docker')).split(' ');
    for (const unit of ['secgroupd-docker.socket', 'secgroupd-docker.service'])
      assert.ok(after.includes(unit), after.join(' '));
    assert.equal(await property('Result', 'docker'), 'success');
    assert.equal(await property('ActiveState'), 'inactive');
  });

  await t.test('a call starts it, as a user of its own that may change the network', async () => {
    assert.deepEqual(await call(container, 'Plugin.Activate', {}), {
      Implements: ['NetworkDriver', 'IpamDriver'],
    });
    const status = await container.sh(`cat /proc/${await property('MainPID')}/status`);
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1];
    assert.notEqual(field('Uid'), '0');
    assert.deepEqual(['CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp'].map(field), [
      ...[CAP_NET_ADMIN, CAP_NET_ADMIN, '1', '2'],
    ]);
  });

  await t.test('within its bounds a container gets its device, and its port', async () => {
    const network = {
      NetworkID: ENDPOINT.NetworkID,
      IPv4Data: [{ Pool: '10.77.0.0/24', Gateway: '10.77.0.1/24' }],
    };
    assert.deepEqual(await call(container, 'NetworkDriver.CreateNetwork', network), {});
    const port = { Proto: 6, Port: 80, HostPort: 8080, HostPortEnd: 8080 };
    const endpoint = {
      ...ENDPOINT,
      Interface: { Address: `${ADDRESS}/24` },
      Options: { sg: 'ping', 'com.docker.network.portmap': [port] },
    };
    const made = await call(container, 'NetworkDriver.CreateEndpoint', endpoint);
    assert.deepEqual(made, { Interface: {} });
    const rules = await container.sh('nft list table inet secgroupd_docker');
    assert.match(rules, /tcp dport 8080 dnat ip to 10\.77\.0\.2:80/);
    assert.match(rules, /ip saddr 10\.77\.0\.0\/24 masquerade/);
    const joined = (await call(container, 'NetworkDriver.Join', ENDPOINT)) as {
      readonly InterfaceName: { readonly SrcName: string };
    };
    await container.sh(
      `ip netns add c
       ip link set ${joined.InterfaceName.SrcName} netns c name eth0
       ip -n c address add ${ADDRESS}/24 dev eth0
       ip -n c link set eth0 up
       ip -n c route add default via 10.77.0.1`,
    );
    await isReached();
  });

  await t.test('each part starts again, and the container keeps its device', async () => {
    const link = (): Promise<string> =>
      container.sh('ip netns exec c cat /sys/class/net/eth0/ifindex');
    const before = await link();
    for (const command of [
      'systemctl restart secgroupd-docker',
      'systemctl kill -s KILL secgroupd-docker',
      'systemctl restart secgroupd',
      'systemctl kill -s KILL secgroupd',
    ]) {
      await container.sh(command);
      await isReached();
      assert.equal(await link(), before, command);
      // It knows the endpoint still.
      const { InterfaceName } = (await call(container, 'NetworkDriver.Join', ENDPOINT)) as {
        readonly InterfaceName?: object;
      };
      assert.notEqual(InterfaceName, undefined, command);
    }
  });

  await t.test('the container goes, and with it all that was made for it', async () => {
    for (const method of ['Leave', 'DeleteEndpoint', 'DeleteNetwork'])
      assert.deepEqual(await call(container, `NetworkDriver.${method}`, ENDPOINT), {}, method);
    assert.equal((await container.run('ip', ['-n', 'c', 'link', 'show', 'eth0'])).code, 1);
    assert.doesNotMatch(await container.sh('nft list tables'), /secgroupd_docker/);
    assert.match(await container.sh('sgctl interface ls'), /There are none\./);
    const failed = await container.sh('systemctl list-units --failed --plain --no-legend');
    assert.doesNotMatch(failed, /secgroupd/);
  });
});

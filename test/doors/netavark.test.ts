/** The plugin for netavark, called by hand as netavark calls it, with a daemon that remembers what it was asked. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { interfaceId } from '../../src/doors/names.ts';
import { attachmentId } from '../../src/policy/ids.ts';
import { run } from '../support/process.ts';
import { ENI, ENI_ADDRESSES, fakeDaemon } from './fake-daemon.ts';

const PROGRAM = fileURLToPath(
  new URL('../../src/doors/netavark/secgroupd-netavark.js', import.meta.url),
);
const NETNS = '/run/netns/netns-1';

async function plugin(args: readonly string[], input: unknown = ''): Promise<unknown> {
  const text = typeof input === 'string' ? input : JSON.stringify(input);
  const options = { input: text };
  const { code, stdout, stderr } = await run(process.execPath, [PROGRAM, ...args], options);
  assert.equal(stderr, '');
  const answer: unknown = stdout === '' ? undefined : JSON.parse(stdout);
  assert.equal(code, answer !== undefined && 'error' in (answer as object) ? 1 : 0);
  return answer;
}

async function makeWorld(t: TestContext) {
  const daemon = await fakeDaemon(t);
  const network = (options: object = {}) => ({
    ...{ dns_enabled: false, driver: 'secgroupd', id: 'a'.repeat(64), internal: false },
    ...{ ipv6_enabled: true, name: 'vpc', network_interface: '', routes: null },
    options: { socket: daemon.socket, ...options },
    ipam_options: { driver: 'host-local' },
    subnets: [{ gateway: '10.77.0.1', subnet: '10.77.0.0/24' }],
    network_dns_servers: [],
  });
  const joining = (options: object, own: object = {}, more: object = {}) => ({
    ...{ container_id: 'c1', container_name: 'shop', port_mappings: null },
    network: network(options),
    network_options: {
      ...{ aliases: ['shop'], interface_name: 'eth0', static_mac: null, options: null },
      ...{ static_ips: ['10.77.0.5', 'fd00:77::5'], ...own },
    },
    ...more,
  });
  return { daemon, network, joining, id: interfaceId('netavark', 'a'.repeat(64), 'c1', 'eth0') };
}

test('info and create keep the contract', async (t) => {
  const { network } = await makeWorld(t);
  const info = (await plugin(['info'])) as { readonly version: string };
  assert.deepEqual(info, { version: info.version, api_version: '1.0.0' });
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  const asked = network({ sg: 'web', mtu: '1400' });
  assert.deepEqual(await plugin(['create'], asked), asked);
  assert.deepEqual(await plugin(['create'], network({ gruop: 'web' })), {
    error:
      'secgroupd: gruop is no option of secgroupd: write sg=web,db with names or ids of groups, or eni=eni-…',
  });
});

test('setup and teardown, each twice', async (t) => {
  const { daemon, joining, id } = await makeWorld(t);
  for (let times = 0; times < 2; times++) {
    const answer = await plugin(['setup', NETNS], joining({ sg: 'web,db', mtu: '1400' }));
    const added = daemon.there.get(id)!;
    assert.deepEqual(answer, {
      interfaces: {
        eth0: {
          mac_address: added.macAddress,
          subnets: [{ ipnet: '10.77.0.5/32' }, { ipnet: 'fd00:77::5/128' }],
        },
      },
      dns_server_ips: [],
      dns_search_domains: [],
    });
    assert.deepEqual(
      [added.owner, added.tags, added.securityGroups.map(({ name }) => name), added.device],
      [
        'netavark.vpc',
        { Name: 'shop' },
        ['web', 'db'],
        {
          ...{ kind: 'tun', name: 'eth0', netns: NETNS, mtu: 1400 },
          ...{ configure: true, persist: true },
        },
      ],
    );
  }
  for (let times = 0; times < 2; times++)
    assert.equal(await plugin(['teardown', NETNS], joining({ sg: 'web' })), undefined);
  assert.equal(daemon.there.size, 0);
});

test('a network says of which kind its devices are', async (t) => {
  const { daemon, joining, id } = await makeWorld(t);
  await plugin(['setup', NETNS], joining({ sg: 'web', kind: 'veth' }));
  assert.equal(daemon.there.get(id)!.device.kind, 'veth');
});

test('the options of a container are before those of the network', async (t) => {
  const { daemon, joining, id } = await makeWorld(t);
  await plugin(['setup', NETNS], joining({ sg: 'web' }, { options: { sg: 'db' } }));
  assert.equal(daemon.there.get(id)!.securityGroups[0].name, 'db');
});

test('an interface that a call made is attached, with its addresses where Podman gives none', async (t) => {
  const { daemon, joining, id } = await makeWorld(t);
  for (const [given, addresses] of [
    [['10.77.0.40'], ['10.77.0.40/32']],
    [null, ENI_ADDRESSES.map((text) => `${text}/${text.includes(':') ? 128 : 32}`)],
  ] as const) {
    const container = joining({ sg: 'web' }, { options: { eni: ENI }, static_ips: given });
    const { interfaces } = (await plugin(['setup', NETNS], container)) as {
      readonly interfaces: { readonly eth0: { readonly subnets: readonly object[] } };
    };
    assert.deepEqual(
      interfaces.eth0.subnets,
      addresses.map((ipnet) => ({ ipnet })),
    );
    // Without what setup had.
    await plugin(['teardown', NETNS], joining({ sg: 'web' }));
    assert.equal(daemon.there.size, 0);
  }
  const attachment = attachmentId(id);
  const once = [`attach ${ENI} ${attachment}`, `remove ${id}`, `detach ${attachment}`];
  assert.deepEqual(daemon.asked, [...once, ...once]);
});

test('setup in another namespace removes what a teardown without a daemon left', async (t) => {
  const { daemon, joining, id } = await makeWorld(t);
  await plugin(['setup', '/run/netns/netns-0'], joining({ sg: 'web' }));
  await plugin(['setup', NETNS], joining({ sg: 'web' }));
  assert.deepEqual(daemon.asked, [`add ${id}`, `remove ${id}`, `add ${id}`]);
});

test('what is not done is refused with a sentence', async (t) => {
  const { daemon, joining } = await makeWorld(t);
  const ports = [{ container_port: 80, host_ip: '', host_port: 8080, protocol: 'tcp', range: 1 }];
  for (const [words, input, args = ['setup', NETNS]] of [
    [/^no security group is named/, joining({})],
    [/^ports are not published/, joining({ sg: 'web' }, {}, { port_mappings: ports })],
    [
      /^a MAC address can not be given/,
      joining({ sg: 'web' }, { static_mac: '02:00:00:00:00:01' }),
    ],
    [/^Podman gives no address/, joining({ sg: 'web' }, { static_ips: null })],
    [/^eni=web is no id of an interface/, joining({ eni: 'web' })],
    [/^sg and eni are both given/, joining({ eni: ENI, sg: 'web' })],
    [/^the option mtu is a number/, joining({ sg: 'web', mtu: 'big' })],
    [/^kind is one of tun, tap, veth, and not vlan/, joining({ sg: 'web', kind: 'vlan' })],
    [/^interface_name is missing/, joining({ sg: 'web' }, { interface_name: '' })],
    [/^the input is not JSON/, '{'],
    [/^setup takes the absolute path/, joining({ sg: 'web' }), ['setup']],
    [/^a subcommand is one of info, create/, '', ['hop']],
  ] as const) {
    const { error } = (await plugin(args, input)) as { readonly error: string };
    assert.match(error.replace(/^secgroupd: /, ''), words);
  }
  assert.deepEqual(daemon.asked, []);
  await daemon.stop();
  const { error } = (await plugin(['setup', NETNS], joining({ sg: 'web' }))) as {
    readonly error: string;
  };
  assert.match(error, /no daemon listens at/);
});

/** CNI's bridge, with us behind it. Native: the firewall plugin behind it, with its rules for iptables. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connect, makeNetns, type Netns } from '../../support/netns.ts';
import { mustRun } from '../../support/process.ts';
import type { Bench } from '../bench.ts';
import { makeEnds, type Rival } from '../rivals/rival.ts';
import { ingressFrom, startDaemon } from '../rivals/secgroupd.ts';
import type { Door } from './door.ts';

const NAME = 'cni';
const PLUGINS = '/usr/lib/cni';
const OURS = fileURLToPath(new URL('../../../src/doors/cni/secgroupd-cni.js', import.meta.url));
const CLIENT = '198.51.100.7';
const HOST = '198.51.100.1';
const STARTS = 10;

type Json = Readonly<Record<string, unknown>>;

export const cni: Door = {
  name: NAME,
  about: "a container on CNI's bridge; beside the bridge with its firewall plugin",
  tools: ['nft', 'iptables', `${PLUGINS}/bridge`, `${PLUGINS}/firewall`],
  start: async (bench) => [await startOurs(bench), await startNative(bench)],
  /** What a runtime waits for before any plugin does something. */
  async measure(bench) {
    for (const [name, plugin] of [
      ['secgroupd', OURS],
      ['firewall', `${PLUGINS}/firewall`],
    ] as const)
      for (let i = 0; i < STARTS; i++) {
        const began = performance.now();
        await mustRun(plugin, [], {
          input: '{"cniVersion":"1.0.0"}',
          env: { ...process.env, CNI_COMMAND: 'VERSION' },
        });
        bench.collector.add(NAME, 'start of the plugin', name, 'ms', performance.now() - began);
      }
  },
};

async function startOurs(bench: Bench): Promise<Rival> {
  const world = await makeWorld(bench, 'ours');
  const file = bench.path('cni.yaml');
  writeFileSync(
    file,
    `uplink: { tun: up0, addresses: [10.9.0.1/24] }
securityGroups:
  bench:
    ${ingressFrom(`${CLIENT}/32`)}
`,
  );
  const control = bench.path('cni.sock');
  const store = ['--store', bench.path('cni.db'), '--host', 'here'];
  const options = ['--config', file, '--control', control, ...store];
  await startDaemon(bench, options, { host: world.host });
  const own = { type: 'secgroupd', socket: control, securityGroups: ['bench'] };
  return finish(world, 'secgroupd', true, await add(world, OURS, own));
}

async function startNative(bench: Bench): Promise<Rival> {
  const world = await makeWorld(bench, 'native');
  const own = { type: 'firewall', backend: 'iptables' };
  // It has rules for answers and for what its containers send. Who may ask them it has no word for.
  return finish(world, 'firewall', false, await add(world, `${PLUGINS}/firewall`, own));
}

interface World {
  readonly host: Netns;
  readonly client: Netns;
  readonly server: Netns;
  /** What each plugin is told of the network. */
  readonly network: Json;
  /** Of the bridge plugin. */
  readonly result: Json;
}

/** A host with a container on its bridge, and a client outside. */
async function makeWorld(bench: Bench, id: string): Promise<World> {
  const { client, server } = await makeEnds(bench);
  const host = await makeNetns(bench.scope);
  await connect(
    { netns: host, interfaceName: 'eth0', addresses: [`${HOST}/24`] },
    { netns: client, interfaceName: 'eth0', addresses: [`${CLIENT}/24`] },
  );
  await client.mustRun('ip', ['route', 'add', 'default', 'via', HOST]);
  await host.mustRun('sysctl', ['-q', '-w', 'net.ipv4.ip_forward=1']);
  const network = { cniVersion: '1.0.0', name: id };
  const ranges = [[{ subnet: '10.88.0.0/24' }]];
  const ipam = {
    ...{ type: 'host-local', dataDir: bench.path(`leases-${id}`), ranges },
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipam };
  const result = await call(host, server, `${PLUGINS}/bridge`, { ...network, ...bridge });
  return { host, client, server, network, result };
}

function add(world: World, plugin: string, own: Json): Promise<Json> {
  const { host, server, network, result: prevResult } = world;
  return call(host, server, plugin, { ...network, ...own, prevResult });
}

async function call(host: Netns, server: Netns, plugin: string, config: Json): Promise<Json> {
  const attachment = { CNI_CONTAINERID: 'bench', CNI_IFNAME: 'eth0', CNI_NETNS: server.path };
  const text = await host.mustRun(plugin, [], {
    input: JSON.stringify(config),
    env: { ...process.env, CNI_COMMAND: 'ADD', CNI_PATH: PLUGINS, ...attachment },
  });
  return JSON.parse(text) as Json;
}

function finish({ client, server }: World, name: string, refuses: boolean, result: Json): Rival {
  const [{ address }] = result['ips'] as [{ address: string }];
  return {
    ...{ name, door: NAME, client, server, refuses },
    ...{ clientAddress: CLIENT, serverAddress: address.replace(/\/.*/, '') },
  };
}

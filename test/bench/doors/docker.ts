/** Docker's containers with published ports. Native: a bridge of dockerd's, with its rules for iptables. */
import { CLIENT, DockerWorld, HOST, IMAGE } from '../../doors/docker-world.ts';
import { netnsAt, type Netns } from '../../support/netns.ts';
import { start } from '../../support/process.ts';
import { FIRST_PORT, LAST_PORT, type Rival } from '../rivals/rival.ts';
import { ingressFrom } from '../rivals/secgroupd.ts';
import type { Door } from './door.ts';

const NAME = 'docker';
/** A second address of the host, at which the ports of the bridge's container are published. */
const HOST2 = '198.51.100.2';
const RUNS = 5;
/** More than the client's own network, which has none of its own. */
const KINDS = [
  { name: 'secgroupd', host: HOST, network: ['--network', 'name=vpc,"driver-opt=sg=bench"'] },
  { name: 'bridge', host: HOST2, network: ['--network', 'plain'] },
] as const;

let world: DockerWorld | undefined;

export const docker: Door = {
  name: NAME,
  about: "a container with published ports; beside dockerd's own bridge",
  tools: ['dockerd', 'docker', 'busybox', 'nft', 'iptables', 'unshare', 'nsenter'],
  async start(bench) {
    const groups = `  bench:\n    ${ingressFrom(`${CLIENT}/32`)}\n`;
    const made = await DockerWorld.make(bench.scope, { groups, hasBridges: true });
    if (made === undefined) throw new Error('dockerd does not start here');
    world = made;
    const { host, client } = world;
    await host.mustRun('ip', ['address', 'add', `${HOST2}/24`, 'dev', 'eth0']);
    await world.docker('network', 'create', '-d', 'bridge', '--subnet', '10.88.0.0/24', 'plain');
    // As docs/howto/docker.md says: dockerd forbids the host to forward what is not of its own bridges.
    for (const way of ['-i', '-o'])
      await host.mustRun('iptables', ['-I', 'DOCKER-USER', way, 'up0', '-j', 'ACCEPT']);
    const [ours, native] = await Promise.all(KINDS.map((kind) => serve(made, client, kind)));
    return [ours, native];
  },
  /** From the command to the container's first answer. */
  async measure(bench) {
    for (let i = 0; i < RUNS; i++)
      for (const { name, network } of KINDS) {
        const ms = await firstAnswer(world!, network);
        bench.collector.add(NAME, 'docker run to first answer', name, 'ms', ms);
        bench.say(`${NAME} ${name}: ${ms.toFixed(0)} ms from docker run to the first answer`);
      }
  },
};

async function serve(
  made: DockerWorld,
  client: Netns,
  { name, host, network }: (typeof KINDS)[number],
): Promise<Rival> {
  const ports = `${FIRST_PORT}-${LAST_PORT}`;
  const published = ['tcp', 'udp'].flatMap((kind) => ['-p', `${host}:${ports}:${ports}/${kind}`]);
  const options = ['-d', '--name', name, ...network, ...published, '--stop-signal', 'SIGKILL'];
  await made.docker('run', ...options, IMAGE, 'sleep', '100000');
  return {
    ...{ name, door: NAME, client, server: netnsAt(await made.netnsOf(name)) },
    ...{ clientAddress: CLIENT, serverAddress: host, ownAddress: '0.0.0.0', refuses: true },
  };
}

async function firstAnswer(made: DockerWorld, network: readonly string[]): Promise<number> {
  const ping = ['ping', '-c', '1', '-W', '10', CLIENT];
  const began = performance.now();
  const running = await start(...made.command('run', '--rm', ...network, IMAGE, ...ping));
  await running.waitFor(/bytes from/);
  const took = performance.now() - began;
  await running.ended;
  return took;
}

/**
 * A world for a daemon with two packet loops. The instances' addresses are chosen so that their traffic with the
 * server goes to one loop or the other. A router on the uplink has two hosts behind it, one of each loop.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { loopOfPair } from '../../src/dataplane/steering.ts';
import { addressBytes } from '../packets/build.ts';
import { connect, type Netns } from '../support/netns.ts';
import { run, type CommandResult } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, makeNamespaces, serve, temporaryFile } from './world.ts';
import { SGCTL } from '../support/sgctl.ts';

export const LOOPS = 2;
export const FAR_MTU = 1300;

/** The loop that packets between two hosts belong to. */
export function loopOf(a: string, b: string, loops = LOOPS): number {
  const bytes = [...addressBytes(a), ...addressBytes(b)];
  const view = new DataView(Uint8Array.from(bytes).buffer);
  const words = Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i));
  return loopOfPair(words, 0, words.length / 2, loops);
}

/** The first address of a network, from `prefix`10 on, whose traffic with `peer` belongs to a loop. */
export function addressOn(loop: number, prefix: string, peer: string, loops = LOOPS): string {
  for (let host = 10; ; host++)
    if (loopOf(`${prefix}${host}`, peer, loops) === loop) return `${prefix}${host}`;
}

export const SERVER = '10.0.0.5';
export const SERVER6 = 'fd00:10::5';
export const ROUTER = '198.51.100.7';
export const ROUTER6 = '2001:db8:51::7';
/** By loop: the clients, the hosts behind the router, and hosts that the router knows it can't reach. */
export const CLIENTS = [0, 1].map((loop) => addressOn(loop, '10.0.1.', SERVER));
export const CLIENTS6 = [0, 1].map((loop) => addressOn(loop, 'fd00:11::', SERVER6));
export const FAR = [0, 1].map((loop) => addressOn(loop, '203.0.113.', SERVER));
export const FAR6 = [0, 1].map((loop) => addressOn(loop, '2001:db8:203::', SERVER6));
export const GONE = [0, 1].map((loop) => addressOn(loop, '192.0.2.', SERVER));
export const GONE6 = [0, 1].map((loop) => addressOn(loop, '2001:db8:dead::', SERVER6));
/** A TAP that nobody configured: its MAC address has to be learned. */
export const QUIET = '10.0.2.9';
/** Clients of either loop with the quiet one. */
const ASKING = [0, 1].map((loop) => addressOn(loop, '10.0.3.', QUIET));

const NAMES = [
  'world',
  'far',
  'server',
  'client0',
  'client1',
  'quiet',
  'asking0',
  'asking1',
] as const;
export type Names = Record<(typeof NAMES)[number], Netns>;

export const RULES = `
  server:
    ingress:
      - { protocol: tcp, ports: 80, from: 'sg:client' }
      - { protocol: tcp, ports: 7000, from: 'sg:client' }
      - { protocol: udp, ports: 5353, from: 'sg:client' }
      - { protocol: icmp, type: 8, from: 'sg:client' }
      - { protocol: icmpv6, type: 128, from: 'sg:client' }
`;

export interface Variant {
  /** Lines at the top level. */
  readonly more?: string;
  /** Of the group of the server. */
  readonly rules?: string;
  /** Of the interface of the server. */
  readonly serverConntrack?: string;
}

export function configuration(names: Names, variant: Variant = {}): string {
  const { more = '', rules = RULES, serverConntrack = '' } = variant;
  const device = (name: keyof Names, kind: string, rest = ''): string =>
    `device: { kind: ${kind}, netns: ${names[name].path}, name: eth0${rest} }`;
  const client = (loop: 0 | 1): string =>
    `  client${loop}: { ${device(`client${loop}`, 'tun')}, addresses: [${CLIENTS[loop]}, '${CLIENTS6[loop]}'], securityGroups: [client] }
  asking${loop}: { ${device(`asking${loop}`, 'tun')}, addresses: [${ASKING[loop]}], securityGroups: [client] }`;
  return `
workers: ${LOOPS}
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${ROUTER}/24, '${ROUTER6}/64'] }
securityGroups:
  client:
    ingress: [{ protocol: tcp, ports: 80, from: 'sg:server' }, { protocol: icmp, type: 8, from: 'sg:server' }]
${rules}
interfaces:
  server: { ${device('server', 'tap')}, addresses: [${SERVER}, '${SERVER6}'], securityGroups: [server]${serverConntrack} }
  quiet: { ${device('quiet', 'tap', ', configure: false')}, addresses: [${QUIET}], securityGroups: [server] }
${client(0)}
${client(1)}
metrics: { listen: '127.0.0.1:0' }
${more}`;
}

/** Behind `world` lies `far`, on a link with a smaller MTU; other hosts are unreachable from there. */
async function connectFar({ world, far }: Names): Promise<void> {
  await connect(
    { netns: world, interfaceName: 'far0', addresses: ['203.0.113.1/24', '2001:db8:203::1/64'] },
    {
      netns: far,
      interfaceName: 'far0',
      addresses: [...FAR.map((host) => `${host}/24`), ...FAR6.map((host) => `${host}/64`)],
    },
  );
  for (const end of [world, far])
    await end.mustRun('ip', ['link', 'set', 'far0', 'mtu', String(FAR_MTU)]);
  await far.mustRun('ip', ['route', 'add', 'default', 'via', '203.0.113.1']);
  await far.mustRun('ip', ['-6', 'route', 'add', 'default', 'via', '2001:db8:203::1']);
  await world.mustRun('ip', ['route', 'add', 'unreachable', '192.0.2.0/24']);
  await world.mustRun('ip', ['-6', 'route', 'add', 'unreachable', '2001:db8:dead::/64']);
  const forward = `
    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    # Every error is waited for.
    echo 0 >/proc/sys/net/ipv4/icmp_ratemask; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit`;
  await world.mustRun('sh', ['-c', forward]);
}

export interface World extends Names {
  readonly clients: readonly Netns[];
  readonly asking: readonly Netns[];
  readonly file: string;
  readonly socket: string;
  readonly daemon: Daemon;
}

export function canRunWorkers(t: TestContext): boolean {
  return canRun(t) && requireTools(t, 'python3', 'tc');
}

/** @param variant given the names of the namespaces, where it needs them */
export async function makeWorld(
  t: TestContext,
  variant: Variant = {},
  options: readonly string[] = [],
): Promise<World> {
  const names = await makeNamespaces(t, NAMES);
  await connectFar(names);
  const file = temporaryFile(t, 'workers.yaml', configuration(names, variant));
  const socket = join(dirname(file), 'control.sock');
  const [daemon] = await Promise.all([
    Daemon.start(t, file, ['--control', socket, ...options]),
    ...(['far', 'server', 'client0', 'client1'] as const).map((name) => serve(names[name], name)),
  ]);
  const { client0, client1, asking0, asking1 } = names;
  return {
    ...names,
    clients: [client0, client1],
    asking: [asking0, asking1],
    file,
    socket,
    daemon,
  };
}

export function sgctl(world: World, ...args: readonly string[]): Promise<CommandResult> {
  const [command, ...more] = args;
  return run(process.execPath, [SGCTL, command, ...more, '--socket', world.socket]);
}

/** The arguments for one that goes on: `start(process.execPath, following(...))`. */
export function following(world: World, ...args: readonly string[]): string[] {
  return [SGCTL, ...args, '--socket', world.socket];
}

export async function json<Answer>(world: World, ...args: readonly string[]): Promise<Answer> {
  const { code, stdout, stderr } = await sgctl(world, ...args, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Answer;
}

/** How many packets the kernel has handed to each of the loops by a device: the queueing discipline counts by queue. */
export async function packetsByLoop(netns: Netns, device = 'eth0'): Promise<number[]> {
  const shown = await netns.mustRun('tc', ['-s', 'class', 'show', 'dev', device]);
  const classes = [...shown.matchAll(/^class mq :([0-9a-f]+) .*\n Sent \d+ bytes (\d+) pkt/gm)];
  assert.ok(classes.length >= LOOPS, shown);
  return Array.from({ length: LOOPS }, (_, loop) =>
    Number(classes.find(([, number]) => parseInt(number, 16) === loop + 1)?.[2]),
  );
}

/** What came to each loop by a device while `action` ran. */
export async function packetsDuring(
  netns: Netns,
  action: () => Promise<unknown>,
  device = 'eth0',
): Promise<number[]> {
  const before = await packetsByLoop(netns, device);
  await action();
  return (await packetsByLoop(netns, device)).map((packets, loop) => packets - before[loop]);
}

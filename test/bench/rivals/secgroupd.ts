/** The daemon itself between two interfaces, TUN devices mostly, and the relay: the same process with nothing decided (relay.ts). */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Netns } from '../../support/netns.ts';
import { start, type Running } from '../../support/process.ts';
import type { Bench } from '../bench.ts';
import { FIRST_PORT, LAST_PORT, makeEnds, type Rival } from './rival.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.js', import.meta.url));
/** The daemon in single modules, inlined as well: in the bundle (scripts/bundle) there is no Engine of its own to change. */
const MODULES = fileURLToPath(new URL('../../../src/daemon/start.js', import.meta.url));
const RELAY = new URL('../relay.js', import.meta.url).href;
const CLIENT = '10.1.0.2';
const SERVER = '10.2.0.2';

/** The rules of a server's group: its client may open the ports of the bench. */
export function ingressFrom(peer: string): string {
  return `ingress: [
      { protocol: tcp, ports: ${FIRST_PORT}-${LAST_PORT}, from: "${peer}" },
      { protocol: udp, ports: ${FIRST_PORT}-${LAST_PORT}, from: "${peer}" },
    ]`;
}

/** What is between a client and a server. */
interface Between {
  readonly client: Netns;
  readonly server: Netns;
  /** The keys of their devices: `{ netns: …, name: eth0 }`. */
  readonly devices: readonly [client: string, server: string];
  /** Where the daemon runs; in the bench's own namespace otherwise. */
  readonly host?: Netns;
  readonly door?: string;
}

export async function startSecgroupd(bench: Bench): Promise<Rival> {
  return startBetween(bench, await tunEnds(bench));
}

/** With packet loops that ask for packets before they sleep. */
export async function startBusyPoll(bench: Bench): Promise<Rival> {
  const ends = await tunEnds(bench);
  const rival = await startBetween(bench, ends, [MAIN], undefined, 'busyPollUs: 50');
  return { ...rival, name: 'busy-poll' };
}

/** With the fast path (docs/offload.md): the same two namespaces, each with one end of a veth pair of ours. */
export async function startFastPath(bench: Bench): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const pair = ({ path }: Netns): string => `{ kind: veth, netns: ${path}, name: eth0 }`;
  const between = { client, server, devices: [pair(client), pair(server)] as const };
  const rival = await startBetween(bench, between, [MAIN], undefined, 'offload: on');
  return { ...rival, name: 'fast-path' };
}

export async function startRelay(bench: Bench): Promise<Rival> {
  const program = ['--import', RELAY, MODULES];
  const rival = await startBetween(bench, await tunEnds(bench), program, 'ingress: []');
  return { ...rival, name: 'relay', refuses: false };
}

async function tunEnds(bench: Bench): Promise<Between> {
  const { client, server } = await makeEnds(bench);
  return { client, server, devices: [tun(client), tun(server)] };
}

export function tun({ path }: Netns): string {
  return `{ netns: ${path}, name: eth0 }`;
}

/** The daemon between these two, of which the client may open the ports of the server. */
export async function startBetween(
  bench: Bench,
  { client, server, devices, host, door }: Between,
  program: readonly string[] = [MAIN],
  ingress = ingressFrom('sg:client'),
  more = '',
): Promise<Rival> {
  const file = bench.path(`${client.name}.yaml`);
  writeFileSync(
    file,
    `${more}
securityGroups:
  client: {}
  server:
    ${ingress}
interfaces:
  client: { device: ${devices[0]}, addresses: [${CLIENT}], securityGroups: [client] }
  server: { device: ${devices[1]}, addresses: [${SERVER}], securityGroups: [server] }
`,
  );
  const { pid } = await startDaemon(bench, ['--config', file], { program, host });
  const addresses = { clientAddress: CLIENT, serverAddress: SERVER };
  return {
    ...{ name: 'secgroupd', client, server, ...addresses, refuses: true, pid },
    ...(door === undefined ? {} : { door }),
  };
}

/** Returns when packets flow. */
export async function startDaemon(
  bench: Bench,
  options: readonly string[],
  {
    program = [MAIN],
    host,
  }: {
    readonly program?: readonly string[];
    readonly host?: Netns | undefined;
  } = {},
): Promise<Running> {
  const args = [...interpreterOptions(), ...program, ...options];
  const daemon = await (host === undefined
    ? start(process.execPath, args)
    : host.start(process.execPath, args));
  bench.scope.after(() => daemon.stop());
  await daemon.waitFor(/"packets flow"/);
  failWithIt(daemon, program.join(' '));
  return daemon;
}

/** Those of the daemon's first line, with which it runs where it is installed. */
function interpreterOptions(): string[] {
  const [line] = readFileSync(MAIN, 'utf8').split('\n', 1);
  return (/^#!.* node (.*)$/.exec(line)?.[1] ?? '').split(' ').filter((option) => option !== '');
}

/** A daemon that ends in the middle would show as a rival that loses everything. */
function failWithIt(daemon: Running, name: string): void {
  void daemon.ended.then(({ code, signal, stderr }) => {
    if (code === 0 || signal === 'SIGKILL') return;
    process.stderr.write(`bench: ${name} ended with ${code ?? signal}:\n${stderr}`);
    process.exit(1);
  });
}

/**
 * A daemon between a client and a server, which is asked and told things while packets pass: with a control socket,
 * with metrics, and with as many rules, interfaces and loops as are asked for.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { ask } from '../../../src/control-socket/control-client.ts';
import { makeNetns, type Netns } from '../../support/netns.ts';
import type { Running } from '../../support/process.ts';
import type { Bench } from '../bench.ts';
import { FIRST_PORT, LAST_PORT, makeEnds, type Rival } from '../rivals/rival.ts';
import { startDaemon } from '../rivals/secgroupd.ts';

export const CLIENT = '10.1.0.2';
export const SERVER = '10.2.0.2';
const METRICS_URL = /"url":"(http:[^"]+metrics)"/;

export interface Setting {
  /** Of the server's group. */
  readonly rules: number;
  /** Those that nobody sends by included. */
  readonly interfaces: number;
  readonly loops: number;
  readonly isOffloaded: boolean;
  /** Either gate lets anybody in, so neither tracks. Default: both do. */
  readonly isUntracked?: boolean;
}

/** Two interfaces with two rules, and the fast path. */
export const PLAIN: Setting = { rules: 2, interfaces: 2, loops: 1, isOffloaded: true };

export interface World extends Rival {
  readonly daemon: Running;
  /** Where the daemon's metrics are. */
  readonly metricsUrl: string;
  /** How its rules are changed: for tables. */
  readonly change: 'reload' | 'API';
  /**
   * Prepares a change of rules: whether UDP is let in to the server. Flows that are let in no more end with it.
   * @returns what has it come into force, and returns when it is
   */
  readonly prepare: (admitsUdp: boolean) => () => Promise<unknown>;
}

/** The namespaces of a world's devices. */
export interface Places {
  readonly client: Pick<Netns, 'path'>;
  readonly server: Pick<Netns, 'path'>;
  /** Of the interfaces that nobody sends by. */
  readonly crowd: Pick<Netns, 'path'>;
}

export function configuration(
  { client, server, crowd }: Places,
  { rules, interfaces, loops, isOffloaded, isUntracked = false }: Setting,
  admitsUdp: boolean,
): string {
  const device = ({ path }: Pick<Netns, 'path'>, name: string, more = ''): string =>
    `{ kind: ${isOffloaded ? 'veth' : 'tun'}, netns: ${path}, name: ${name}${more} }`;
  const from = isUntracked ? '0.0.0.0/0' : `${CLIENT}/32`;
  const open = (protocol: string): string =>
    `      - { protocol: ${protocol}, ports: ${FIRST_PORT}-${LAST_PORT}, from: ${from} }`;
  const others = Array.from(
    { length: rules - 2 },
    (_, i) =>
      `      - { protocol: udp, ports: ${10_000 + (i % 50_000)}, from: 172.16.${i >>> 8}.${i & 255}/32 }`,
  );
  const idle = Array.from(
    { length: interfaces - 2 },
    (_, i) =>
      `  idle-${i}: { device: ${device(crowd, `t${i}`, ', configure: false')}, addresses: [10.${16 + (i >> 8)}.${i & 255}.1], securityGroups: [client] }`,
  );
  return `workers: ${loops}
offload: ${isOffloaded ? 'on' : 'off'}
metrics: { listen: '127.0.0.1:0' }
securityGroups:
  client: { ingress: [${isUntracked ? '{ protocol: all, from: 0.0.0.0/0 }' : ''}] }
  server:
    revocation: recheck
    ingress:
${[open('tcp'), ...(admitsUdp ? [open('udp')] : []), ...others].join('\n')}
interfaces:
  client: { device: ${device(client, 'eth0')}, addresses: [${CLIENT}], securityGroups: [client] }
  server: { device: ${device(server, 'eth0')}, addresses: [${SERVER}], securityGroups: [server] }
${idle.join('\n')}
`;
}

export async function startWorld(
  bench: Bench,
  setting: Setting,
  { name, door }: { readonly name: string; readonly door?: string },
): Promise<World> {
  const { client, server } = await makeEnds(bench);
  const crowd = setting.interfaces > 2 ? await makeCrowd(bench) : client;
  const folder = mkdtempSync(bench.path('world-'));
  const file = `${folder}/secgroupd.yaml`;
  const control = `${folder}/control.sock`;
  const write = (admitsUdp: boolean): void =>
    writeFileSync(file, configuration({ client, server, crowd }, setting, admitsUdp));
  write(true);
  return {
    ...(await startAsked(bench, ['--config', file, '--control', control])),
    ...{ name, client, server, clientAddress: CLIENT, serverAddress: SERVER, refuses: true },
    ...(door === undefined ? {} : { door }),
    change: 'reload',
    prepare: (admitsUdp) => {
      write(admitsUdp);
      return async () => {
        const { outcome } = await ask(control, 'reload', {});
        if (outcome !== 'changed') throw new Error(`the reload was ${outcome}`);
      };
    },
  };
}

/** Starts a daemon whose configuration has metrics. */
export async function startAsked(
  bench: Bench,
  options: readonly string[],
): Promise<Pick<World, 'daemon' | 'pid' | 'metricsUrl'>> {
  const daemon = await startDaemon(bench, options);
  const [, metricsUrl] = await daemon.waitFor(METRICS_URL);
  return { daemon, pid: daemon.pid, metricsUrl };
}

async function makeCrowd(bench: Bench): Promise<Netns> {
  const crowd = await makeNetns(bench.scope);
  await crowd.mustRun('sysctl', ['-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  return crowd;
}

/** A sample of the daemon's metrics, without labels. */
export async function readMetric({ metricsUrl }: World, name: string): Promise<number> {
  const response = await fetch(metricsUrl);
  const text = await response.text();
  const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1];
  if (found === undefined) throw new Error(`${metricsUrl} has no ${name}`);
  return Number(found);
}

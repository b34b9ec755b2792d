/**
 * What tests of attached interfaces and of the daemon's own pairs share: veth pairs as runtimes make them, and what is
 * seen of the host's end.
 */
import assert from 'node:assert/strict';
import { pairMark } from '../../src/config/host-ends.ts';
import type { Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { blobHash } from './blob.ts';
import { get, type Daemon } from './world.ts';

const WAITING = 'secgroupd_interface_waiting';

/** As a container runtime makes it: one end for the instance, which has the addresses, the other for the host. */
export async function plugIn(
  host: Netns,
  name: string,
  instance: Netns,
  mac: string,
  addresses: readonly string[],
  mtu = 1500,
): Promise<void> {
  const peer = ['peer', 'name', 'eth0', 'netns', instance.path, 'address', mac];
  await host.mustRun('ip', ['link', 'add', name, 'type', 'veth', ...peer]);
  for (const address of addresses) {
    const is6 = address.includes(':');
    const more = is6 ? ['nodad'] : [];
    const length = is6 ? 64 : 24;
    await instance.mustRun('ip', [
      'address',
      'add',
      `${address}/${length}`,
      'dev',
      'eth0',
      ...more,
    ]);
  }
  await instance.mustRun('ip', ['link', 'set', 'eth0', 'mtu', String(mtu), 'up']);
  await host.mustRun('ip', ['link', 'set', name, 'mtu', String(mtu), 'up']);
  await instance.mustRun('ip', ['route', 'add', 'default', 'via', '10.0.0.1', 'advmss', '1460']);
  await instance.mustRun('ip', [
    '-6',
    'route',
    'add',
    'default',
    'via',
    'fd00:10::1',
    'dev',
    'eth0',
    'advmss',
    '1440',
  ]);
}

export interface HostEnd {
  readonly ifname: string;
  readonly ifalias: string;
  readonly ifindex: number;
  readonly link_index: number;
  readonly mtu: number;
  readonly txqlen: number;
  readonly flags: readonly string[];
}

/** The host's ends of pairs of a daemon with this configuration, by the interfaces' names. */
export async function hostEnds(file: string): Promise<ReadonlyMap<string, HostEnd>> {
  const { stdout } = await run('ip', ['-json', 'link', 'show', 'type', 'veth']);
  const links = (JSON.parse(stdout || '[]') as HostEnd[]).filter(({ ifalias = '' }) =>
    ifalias.startsWith(pairMark({ file })),
  );
  return new Map(links.map((link) => [link.ifalias.split(' ').at(-1)!, link]));
}

/** The names of host's ends that the host is kept from, there or not, of any daemon. */
export async function guardedEnds(): Promise<string[]> {
  const { stdout } = await run('nft', ['list', 'tables', 'netdev']);
  return [...stdout.matchAll(/^table netdev secgroupd_attach_(sgv\S+)$/gm)].map(([, name]) => name);
}

/**
 * Removes what a daemon that was killed leaves: its pairs, and guards of ends that are gone. To be called at the end of
 * a test, when its daemons have ended.
 */
export async function removePairs(file: string): Promise<void> {
  for (const { ifname } of (await hostEnds(file)).values())
    await run('ip', ['link', 'delete', ifname]);
  for (const ifname of await guardedEnds())
    if ((await run('ip', ['link', 'show', ifname])).code !== 0)
      await run('nft', ['delete', 'table', 'netdev', `secgroupd_attach_${ifname}`]);
}

export const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** How many interfaces wait for their device. */
export async function waiting(daemon: Daemon): Promise<number> {
  const samples = [...(await daemon.metrics())].filter(([name]) => name.startsWith(WAITING));
  return samples.reduce((sum, [, value]) => sum + value, 0);
}

export async function tables(host: Netns): Promise<string[]> {
  const text = await host.mustRun('nft', ['list', 'tables', 'netdev']);
  return [...text.matchAll(/^table netdev (\S+)$/gm)].map(([, name]) => name);
}

/** A known 20 MB arrive whole. */
export async function download(to: Netns, host: string): Promise<void> {
  const command = `curl -gsS http://${inUrl(host)}:8080/blob | sha256sum`;
  const hash = await to.mustRun('sh', ['-c', command]);
  assert.equal(hash, `${blobHash()}  -\n`, host);
}

export async function reaches(from: Netns, host: string, name: string): Promise<void> {
  assert.equal(await get(from, `${inUrl(host)}:8080`), `${name}\n`, host);
}

/** Datagrams of the host by an interface, past routes and neighbours: what any program may send (SO_BINDTODEVICE). */
const HOST_SENDS = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode())
for _ in range(int(sys.argv[3])):
    s.sendto(b'from the host', (sys.argv[2], 5353))
`;
/** More than the last segments of a connection that has just ended, which are counted too. */
const SENT = 40;

/** Whether datagrams of the host, sent by its end of the pair, come out at the instance. */
export async function hostReaches(
  host: Netns,
  device: string,
  mac: string,
  address: string,
  to: Netns,
): Promise<boolean> {
  const received = async (): Promise<number> => {
    const text = await to.mustRun('cat', ['/proc/net/snmp']);
    return Number(/^Ip: \d+ \d+ (\d+)/m.exec(text)![1]);
  };
  const before = await received();
  await host.mustRun('ip', ['neigh', 'replace', address, 'lladdr', mac, 'dev', device]);
  await host.run('python3', ['-c', HOST_SENDS, device, address, String(SENT)]);
  return (await received()) >= before + SENT / 2;
}

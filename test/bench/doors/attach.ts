/** Interfaces that are there already: ends of veth pairs, and TAPs that a hypervisor holds. Native: nftables between them. */
import { connect, makeNetns, type LinkEnd } from '../../support/netns.ts';
import type { Bench } from '../bench.ts';
import { startKernel } from '../rivals/kernel.ts';
import { makeEnds, type Rival } from '../rivals/rival.ts';
import { startBetween } from '../rivals/secgroupd.ts';
import type { Door } from './door.ts';
import { setAddresses } from './guest.ts';

const VETH = 'attach';
const TAP = 'vm-tap';

export const attach: Door = {
  name: VETH,
  about: 'veth pairs of containers, attached; beside nftables',
  tools: ['nft'],
  start: (bench) => startPair(bench, VETH, connect),
};

export const vmTap: Door = {
  name: TAP,
  about: 'the TAP of a virtual machine, attached; beside nftables',
  tools: ['nft'],
  start: (bench) => startPair(bench, TAP, (guest, host) => plugIn(bench, guest, host)),
};

type Link = (client: LinkEnd, host: LinkEnd) => Promise<void>;

async function startPair(bench: Bench, door: string, link: Link): Promise<[Rival, Rival]> {
  const ours = await startAttached(bench, door, link);
  return [ours, { ...(await startKernel(bench, link)), door }];
}

async function startAttached(bench: Bench, door: string, link: Link): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const host = await makeNetns(bench.scope);
  for (const [netns, interfaceName, join, subnet] of [
    [client, 'client', link, '10.1.0'],
    [server, 'server', connect, '10.2.0'],
  ] as const) {
    const end = { netns, interfaceName: 'eth0', addresses: [`${subnet}.2/24`] };
    await join(end, { netns: host, interfaceName, addresses: [] });
    await netns.mustRun('ip', ['route', 'add', 'default', 'via', `${subnet}.1`]);
  }
  const devices = ['{ kind: attach, name: client }', '{ kind: attach, name: server }'] as const;
  return startBetween(bench, { client, server, devices, host, door });
}

/** Joins a namespace and the host as a hypervisor with vhost-net does: a TAP each, and a program that holds both. */
async function plugIn(bench: Bench, guest: LinkEnd, host: LinkEnd): Promise<void> {
  const ends = [guest.netns.path, host.netns.path, host.interfaceName];
  const card = await bench.startTool('guest-card', ['tap', ...ends]);
  await card.waitFor(/ready/);
  for (const end of [guest, host]) await setAddresses(end);
}

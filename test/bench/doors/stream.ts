/** A virtual machine behind a unix socket, without root. Native: passt, which asks no group. */
import { existsSync } from 'node:fs';
import { connect, makeNetns, type Netns } from '../../support/netns.ts';
import { until } from '../../support/until.ts';
import type { Bench } from '../bench.ts';
import { makeEnds, type Rival } from '../rivals/rival.ts';
import { startBetween, tun } from '../rivals/secgroupd.ts';
import type { Door } from './door.ts';
import { setAddresses } from './guest.ts';

const NAME = 'vm-stream';
const GUEST = '10.1.0.2';
const GATEWAY = '10.1.0.1';
const SERVER = '10.2.0.2';
/** What it tells its guests if it is not told. With 1500 it was a thousand times slower here. */
const PASST_MTU = 65_520;

export const vmStream: Door = {
  name: NAME,
  about: "QEMU's socket, without root; beside passt",
  tools: ['passt'],
  start: async (bench) => [await startOurs(bench), await startPasst(bench)],
};

async function startOurs(bench: Bench): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const path = bench.path('vm.sock');
  const devices = [`{ kind: stream, path: ${path} }`, tun(server)] as const;
  const rival = await startBetween(bench, { client, server, devices, door: NAME });
  await plugIn(bench, client, path);
  return rival;
}

/** passt as QEMU has it, in a namespace from which the server is one hop away. Its guests have its MTU. */
async function startPasst(bench: Bench): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const outside = await makeNetns(bench.scope);
  await connect(
    { netns: server, interfaceName: 'eth0', addresses: [`${SERVER}/24`] },
    { netns: outside, interfaceName: 'eth0', addresses: ['10.2.0.1/24'] },
  );
  // It takes what it tells its guest from the interface of the default route.
  await outside.mustRun('ip', ['route', 'add', 'default', 'via', SERVER]);
  const path = bench.path('passt.sock');
  const guest = ['--address', GUEST, '--netmask', '24', '--gateway', GATEWAY];
  const options = ['--foreground', '--ipv4-only', '--socket', path, ...guest, '--runas', '0'];
  const passt = await outside.start('passt', options);
  bench.scope.after(() => passt.stop());
  await until(
    () => `passt makes a socket; it said:\n${passt.stderr()}`,
    () => existsSync(path),
  );
  await plugIn(bench, client, path, PASST_MTU);
  const addresses = { clientAddress: GUEST, serverAddress: SERVER };
  return { name: 'passt', door: NAME, client, server, ...addresses, refuses: false };
}

async function plugIn(bench: Bench, netns: Netns, path: string, mtu = 1500): Promise<void> {
  const card = await bench.startTool('guest-card', ['stream', netns.path, path]);
  await card.waitFor(/ready/);
  await setAddresses({ netns, interfaceName: 'eth0', addresses: [`${GUEST}/24`] });
  await netns.mustRun('ip', ['link', 'set', 'eth0', 'mtu', String(mtu)]);
  await netns.mustRun('ip', ['route', 'add', 'default', 'via', GATEWAY]);
}

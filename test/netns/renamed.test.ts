/**
 * A guest renames or moves its device while the daemon runs: packets still flow, and the device is shown in its new
 * place.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { PortKindName } from '../../src/ports/port-kind.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { Netns } from '../support/netns.ts';
import { mustRun } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';

const WORLD = '198.51.100.7';
const WEB = '10.0.0.11';
const VM = '10.0.0.13';
const NAMES = ['world', 'web', 'vm', 'other'] as const;

/** The kinds of the devices of web and vm. */
type Kinds = readonly [web: PortKindName, vm: PortKindName];

function configuration(names: Record<(typeof NAMES)[number], Netns>, [ofWeb, ofVm]: Kinds): string {
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${WORLD}/24] }
securityGroups:
  any: { ingress: [{ protocol: icmp, type: 8, from: 198.51.100.0/24 }] }
interfaces:
  web: { device: { kind: ${ofWeb}, netns: ${names.web.path}, name: eth0 }, addresses: [${WEB}], securityGroups: [any] }
  vm: { device: { kind: ${ofVm}, netns: ${names.vm.path}, name: eth0 }, addresses: [${VM}], securityGroups: [any] }
`;
}

type Shown = Pick<InterfaceView, 'name' | 'device' | 'netns' | 'configured'>;

for (const kinds of [
  ['tun', 'tap'],
  ['veth', 'veth'],
] as const)
  test(`a device that is renamed, and one that is moved: ${kinds.join(', ')}`, (t) =>
    renameAndMove(t, kinds));

async function renameAndMove(t: TestContext, kinds: Kinds): Promise<void> {
  if (!canRun(t)) return;
  const names = await makeNamespaces(t, NAMES);
  const file = temporaryFile(t, 'moved.yaml', configuration(names, kinds));
  const socket = join(dirname(file), 'control.sock');
  await Daemon.start(t, file, ['--control', socket]);
  const ask = (...args: readonly string[]): Promise<string> =>
    mustRun(process.execPath, [SGCTL, 'interfaces', ...args, '--socket', socket]);
  const shown = async (): Promise<Shown[]> =>
    (JSON.parse(await ask('--json')) as InterfaceView[]).map(
      ({ name, device, netns, configured }) => ({
        ...{ name, device },
        ...(netns === undefined ? {} : { netns }),
        ...(configured === undefined ? {} : { configured }),
      }),
    );
  const uplink = { name: 'uplink', device: 'up0', netns: names.world.path };
  const web = { name: 'web', device: 'eth0', netns: names.web.path };
  const vm = { name: 'vm', device: 'eth0', netns: names.vm.path };
  assert.deepEqual(await shown(), [uplink, web, vm]);

  await names.web.mustRun('ip', ['link', 'set', 'eth0', 'down']);
  await names.web.mustRun('ip', ['link', 'set', 'eth0', 'name', 'net0']);
  await names.web.mustRun('ip', ['link', 'set', 'net0', 'up']);
  await names.web.mustRun('ip', ['route', 'add', 'default', 'dev', 'net0']);
  const configured = { device: 'eth0', netns: names.web.path };
  assert.deepEqual(await shown(), [uplink, { ...web, device: 'net0', configured }, vm]);
  const answered = await ping(names.world, WEB);
  assert.equal(answered.code, 0, answered.stdout);

  await names.vm.mustRun('ip', ['link', 'set', 'eth0', 'netns', names.other.name]);
  const [, , moved] = await shown();
  assert.deepEqual(moved, {
    ...{ name: 'vm', device: 'eth0', netns: names.other.path },
    configured: { device: 'eth0', netns: names.vm.path },
  });
  const text = await ask('--wide');
  assert.match(text, /^web +any .* net0 in \S+/m);
  assert.match(text, /^the device of web is net0 in \S+; the configuration has eth0 in \S+$/m);
  assert.match(text, /^the device of vm is eth0 in \S+; the configuration has eth0 in \S+$/m);
}

/**
 * Interfaces whose names nobody knows beforehand: found by an alias, or by a pattern and the MAC address of the host's
 * end. They come, are renamed, lose their alias, come twice and go; the host is kept from each that fits or has fitted.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { Netns } from '../support/netns.ts';
import { mustRun } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';
import { hostReaches, inUrl, plugIn, tables } from './attach-world.ts';
import {
  canRun,
  Daemon,
  get,
  LOOK_S,
  makeNamespaces,
  pingInVain,
  serve,
  temporaryFile,
} from './world.ts';

const WEB = ['10.0.0.11', 'fd00:10::11'] as const;
const BOX = ['10.0.0.13', 'fd00:10::13'] as const;
const MAC_WEB = '02:00:00:00:00:11';
const MAC_VM = 'fe:54:00:00:00:12';
const NAMES = ['host', 'web', 'twin', 'box'] as const;
type World = Record<(typeof NAMES)[number], Netns>;

function configuration({ host, box }: World): string {
  const quoted = (list: readonly string[]): string => list.map((one) => `'${one}'`).join();
  return `
securityGroups:
  open: { ingress: [{ protocol: tcp, ports: 8080, from: [10.0.0.0/24, 'fd00:10::/64'] }] }
interfaces:
  web: { device: { kind: attach, netns: ${host.path}, name: 'veth*', alias: web-1, mac: '${MAC_WEB}' }, addresses: [${quoted(WEB)}], securityGroups: [open] }
  vm: { device: { kind: attach, netns: ${host.path}, name: 'vnet*', hostMac: '${MAC_VM}' }, addresses: [10.0.0.12], securityGroups: [open] }
  box: { device: { netns: ${box.path}, name: eth0 }, addresses: [${quoted(BOX)}], securityGroups: [open] }
`;
}

class Place {
  readonly names: World;
  readonly file: string;
  readonly socket: string;

  constructor(names: World, file: string) {
    this.names = names;
    this.file = file;
    this.socket = join(dirname(file), 'control.sock');
  }

  start(t: TestContext): Promise<Daemon> {
    return Daemon.start(t, this.file, ['--control', this.socket]);
  }

  async link(...args: readonly string[]): Promise<void> {
    await this.names.host.mustRun('ip', ['link', ...args]);
  }

  /** The interface that the daemon has for an interface of the configuration, or why it has none. */
  async shown(name: string): Promise<string> {
    const text = await mustRun(process.execPath, [
      ...[SGCTL, 'interfaces', '--json', '--socket', this.socket],
    ]);
    const view = (JSON.parse(text) as InterfaceView[]).find((one) => one.name === name)!;
    return view.waiting ?? view.device;
  }

  async shows(name: string, expected: RegExp): Promise<void> {
    let last = '';
    const isShown = async (): Promise<boolean> => expected.test((last = await this.shown(name)));
    await until(() => `${name} shows ${String(expected)}, last: ${last}`, isShown);
  }

  /** Which interfaces the host is kept from, once it is these. */
  async guards(...expected: readonly string[]): Promise<void> {
    const { host } = this.names;
    let last = '';
    const isSo = async (): Promise<boolean> => {
      const found = await tables(host);
      last = found
        .map((one) => one.replace('secgroupd_attach_', ''))
        .sort()
        .join();
      return last === expected.join();
    };
    await until(() => `the guards are ${expected.join()}, last: ${last}`, isSo);
  }

  async hostIsKeptFrom(device: string): Promise<void> {
    const { host, web } = this.names;
    assert.equal(await hostReaches(host, device, MAC_WEB, WEB[0], web), false, device);
  }

  async answers(): Promise<void> {
    for (const address of WEB)
      await until(
        `${address} answers`,
        async () => (await get(this.names.box, `${inUrl(address)}:8080`, LOOK_S)) === 'web\n',
      );
  }

  async isSilent(): Promise<void> {
    for (const address of WEB) {
      assert.equal(await get(this.names.box, `${inUrl(address)}:8080`, 1), '');
      await pingInVain(this.names.box, address);
    }
  }
}

test('interfaces that are found by a match', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft', 'python3')) return;
  const names = await makeNamespaces(t, NAMES);
  const { host, web, twin } = names;
  const place = new Place(names, temporaryFile(t, 'match.yaml', configuration(names)));
  let daemon = await place.start(t);

  await t.test('one is attached when it has the alias, and no other', async () => {
    await place.shows('web', /^no interface is 'veth\* alias web-1'; it is attached once one/);
    await plugIn(host, 'veth1a', web, MAC_WEB, WEB);
    await plugIn(host, 'veth2b', twin, MAC_WEB, WEB);
    await Promise.all([serve(web, 'web'), serve(twin, 'twin')]);
    await until('the host has what has no alias', () =>
      hostReaches(host, 'veth1a', MAC_WEB, WEB[0], web),
    );
    await place.link('set', 'veth1a', 'alias', 'web-1');
    await place.shows('web', /^veth1a$/);
    await place.answers();
    await place.guards('veth1a');
    await place.hostIsKeptFrom('veth1a');
  });

  await t.test('a TAP is found by its pattern and the MAC address of its host end', async () => {
    await host.mustRun('ip', ['tuntap', 'add', 'dev', 'vnet3', 'mode', 'tap']);
    await host.mustRun('ip', ['tuntap', 'add', 'dev', 'vnet4', 'mode', 'tap']);
    await place.link('set', 'vnet3', 'address', 'fe:54:00:00:00:99', 'up');
    await place.link('set', 'vnet4', 'address', MAC_VM, 'up');
    await place.shows('vm', /^vnet4$/);
    await place.guards('veth1a', 'vnet4');
    await host.mustRun('ip', ['tuntap', 'del', 'dev', 'vnet4', 'mode', 'tap']);
    await place.shows('vm', /^no interface is 'vnet\* hostMac fe:54:00:00:00:12'/);
    // Whoever gets the name next is not this one.
    await place.guards('veth1a');
    await place.link('set', 'vnet3', 'down');
    await place.link('set', 'vnet3', 'address', MAC_VM);
    await place.shows('vm', /: interface vnet3 is down: ip link set vnet3 up/);
    await place.guards('veth1a', 'vnet3');
    await place.link('set', 'vnet3', 'up');
    await place.shows('vm', /^vnet3$/);
  });

  await t.test('one that is renamed stays closed, and attached as long as it fits', async () => {
    await place.link('set', 'veth1a', 'name', 'veth9z');
    await place.shows('web', /^veth9z$/);
    await place.guards('veth9z', 'vnet3');
    await place.answers();
    await place.link('set', 'veth9z', 'name', 'strange0');
    await place.shows('web', /^no interface is/);
    await place.guards('strange0', 'vnet3');
    await place.isSilent();
    await place.hostIsKeptFrom('strange0');
    await place.link('set', 'strange0', 'name', 'veth1a');
    await place.answers();
    await place.guards('veth1a', 'vnet3');
  });

  await t.test('one that loses its alias is nobody’s, until it has it again', async () => {
    await place.link('set', 'veth1a', 'alias', 'web-2');
    await place.shows('web', /^no interface is/);
    assert.match(daemon.output, /veth1a is not 'veth\* alias web-1' any more.*alias 'web-2'/);
    await place.isSilent();
    await host.mustRun('nft', ['delete', 'table', 'netdev', 'secgroupd_attach_veth1a']);
    await place.guards('veth1a', 'vnet3');
    await place.hostIsKeptFrom('veth1a');
    await place.link('set', 'veth1a', 'alias', 'web-1');
    await place.answers();
  });

  await t.test('of two that fit none is attached, and both are closed', async () => {
    await place.link('set', 'veth2b', 'alias', 'web-1');
    await place.shows('web', /^2 interfaces are 'veth\* alias web-1', veth1a and veth2b: nothing/);
    await place.guards('veth1a', 'veth2b', 'vnet3');
    await place.isSilent();
    for (const [device, netns] of [
      ['veth1a', web],
      ['veth2b', twin],
    ] as const)
      // prettier-ignore
      assert.equal(await hostReaches(host, device, MAC_WEB, WEB[0], netns), false, device);
    // A daemon that starts does not choose either.
    await daemon.kill();
    daemon = await place.start(t);
    await place.shows('web', /^2 interfaces are/);
    await place.guards('veth1a', 'veth2b', 'vnet3');
    await place.link('set', 'veth2b', 'alias', '');
    await place.answers();
    await place.guards('veth1a', 'veth2b', 'vnet3');
    await place.link('del', 'veth2b');
    await place.guards('veth1a', 'vnet3');
  });

  await t.test('nothing passes without the daemon, and it finds its interfaces again', async () => {
    await daemon.kill();
    await place.hostIsKeptFrom('veth1a');
    daemon = await place.start(t);
    await place.answers();
    await place.link('del', 'veth1a');
    await place.shows('web', /^no interface is/);
    await place.guards('vnet3');
    await plugIn(host, 'veth7c', web, MAC_WEB, WEB);
    await place.link('set', 'veth7c', 'alias', 'web-1');
    await place.answers();
  });

  await t.test(
    'a reload that finds it in another way keeps it closed, and one without it does not',
    async () => {
      const text = readFileSync(place.file, 'utf8');
      const found = `name: 'veth*', alias: web-1,`;
      for (const other of ['name: veth7c,', `name: 've*', alias: web-1,`]) {
        writeFileSync(place.file, text.replace(found, other));
        const reloads = (): number => daemon.output.split('configuration changed').length;
        const before = reloads();
        daemon.hangUp();
        await until('it is reloaded', () => Promise.resolve(reloads() > before));
        await place.shows('web', /^veth7c$/);
        await place.answers();
        await place.guards('veth7c', 'vnet3');
      }
      writeFileSync(place.file, text.replace(/^ {2}(web|vm): .*\n/gm, ''));
      daemon.hangUp();
      await place.guards();
      assert.equal(await hostReaches(host, 'veth7c', MAC_WEB, WEB[0], web), true);
    },
  );
});

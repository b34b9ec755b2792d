/**
 * Guests of a real libvirtd under their groups, by each way that there is: a ready TAP, a TAP that libvirt names as it
 * likes, and a socket without a TAP. What passes is compared with what is to pass, before and after each part was
 * started anew.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import { inUrl, tables } from '../netns/attach-world.ts';
import { Daemon, get, makeNamespaces, pingInVain, temporaryFile } from '../netns/world.ts';
import type { Netns } from '../support/netns.ts';
import { mustRun } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';
import { LibvirtWorld } from './libvirt-world.ts';

const WORLD = ['198.51.100.7', '2001:db8:51::7'] as const;
const GUESTS = {
  vm1: { ip: ['10.0.0.11', 'fd00:10::11'], mac: '52:54:00:00:00:11' },
  vm2: { ip: ['10.0.0.12', 'fd00:10::12'], mac: '52:54:00:00:00:12' },
  vm3: { ip: ['10.0.0.13', 'fd00:10::13'], mac: '52:54:00:00:00:13' },
} as const;
type Name = keyof typeof GUESTS;
const NAMES = Object.keys(GUESTS) as readonly Name[];
/** How long an answer may take that is to come, and one that is not. */
const PATIENCE_S = 30;
const SILENCE_S = 2;
/** Under emulation, on a machine that has other things to do. */
const BOOT_LOOKS_OF = 4;

function configuration(host: Netns, world: Netns, socket: string): string {
  const devices = {
    vm1: `{ kind: attach, netns: ${host.path}, name: vm1, mac: '${GUESTS.vm1.mac}' }`,
    vm2: `{ kind: attach, netns: ${host.path}, name: 'vnet*', hostMac: 'fe:54:00:00:00:12', mac: '${GUESTS.vm2.mac}' }`,
    vm3: `{ kind: stream, path: ${socket}, mac: '${GUESTS.vm3.mac}' }`,
  };
  const interfaces = NAMES.map((name) => {
    const addresses = GUESTS[name].ip.map((one) => `'${one}'`).join();
    return `  ${name}: { device: ${devices[name]}, addresses: [${addresses}], securityGroups: [${name === 'vm3' ? 'db' : 'web'}] }`;
  });
  return `
vpc: { cidrBlocks: [10.0.0.0/16], subnets: [10.0.0.0/24] }
uplink: { tun: up0, netns: ${world.path}, addresses: [${WORLD[0]}/24, '${WORLD[1]}/64'] }
securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 80, from: [${WORLD[0]}/32, '${WORLD[1]}/128', sg:web] }] }
  db: { ingress: [{ protocol: tcp, ports: 8080, from: sg:web }] }
interfaces:
${interfaces.join('\n')}
metrics: { listen: '127.0.0.1:0' }
`;
}

const CARDS: Readonly<Record<Name, string>> = {
  vm1: `<interface type='ethernet'>
      <mac address='${GUESTS.vm1.mac}'/><target dev='vm1' managed='no'/>
      <model type='virtio'/><rom enabled='no'/>
    </interface>`,
  vm2: `<interface type='ethernet'>
      <mac address='${GUESTS.vm2.mac}'/><model type='virtio'/><rom enabled='no'/>
    </interface>`,
  vm3: '',
};

function commandLine(socket: string): string {
  const netdev = `stream,id=n0,server=off,addr.type=unix,addr.path=${socket}`;
  const device = `virtio-net-pci,netdev=n0,mac=${GUESTS.vm3.mac},romfile=,addr=0x10`;
  const args = ['-netdev', netdev, '-device', device];
  return `<qemu:commandline>${args.map((arg) => `<qemu:arg value='${arg}'/>`).join('')}</qemu:commandline>`;
}

class Scene {
  readonly libvirt: LibvirtWorld;
  readonly host: Netns;
  readonly world: Netns;

  constructor(libvirt: LibvirtWorld, host: Netns, world: Netns) {
    this.libvirt = libvirt;
    this.host = host;
    this.world = world;
  }

  /** Waits until guests have come up so many times. */
  async booted(boots: Readonly<Partial<Record<Name, number>>>): Promise<void> {
    for (const [name, count] of Object.entries(boots)) {
      const isUp = (): Promise<boolean> =>
        Promise.resolve(this.libvirt.console(name).boots >= count);
      const failed = (): string => `${name} comes up: ${this.libvirt.console(name).text}`;
      for (let i = 1; i < BOOT_LOOKS_OF && !(await isUp()); i++)
        await until(failed, isUp).catch(() => undefined);
      await until(failed, isUp);
    }
  }

  /** Who gets an answer of whom, in the families. Whoever is to get one has time for it. */
  async matrix(): Promise<Record<string, boolean>> {
    const rows = Object.entries(expected()).map(async ([row, isToPass]) => {
      const [from, to, port, version] = row.split(' ');
      const ip = GUESTS[to as Name].ip[version === 'v4' ? 0 : 1];
      const seconds = isToPass ? PATIENCE_S : SILENCE_S;
      if (from === 'world') {
        const text = await get(this.world, `${inUrl(ip)}:${port}`, seconds);
        return [row, text === 'guest\n'] as const;
      }
      const place = `${GUESTS[from as Name].ip[0]}/cgi-bin/ask?${ip},${port},${seconds}`;
      const text = (await get(this.world, place, 2 * PATIENCE_S)).trim();
      assert.match(text, /^(answered|silence)$/, row);
      return [row, text === 'answered'] as const;
    });
    const pings = NAMES.flatMap((name) => GUESTS[name].ip.map((ip) => pingInVain(this.world, ip)));
    await Promise.all(pings);
    return Object.fromEntries(await Promise.all(rows));
  }
}

/** What the groups say: web is reached on 80 by the world and by itself, db on 8080 by web. */
function expected(): Record<string, boolean> {
  const pairs = ['world vm1', 'world vm2', 'world vm3', 'vm1 vm2', 'vm2 vm1', 'vm1 vm3', 'vm2 vm3'];
  return Object.fromEntries(
    pairs.flatMap((pair) =>
      [80, 8080].flatMap((port) =>
        ['v4', 'v6'].map((version) => {
          const isWeb = !pair.endsWith('vm3') && port === 80;
          const isDb = pair.endsWith('vm3') && !pair.startsWith('world') && port === 8080;
          return [`${pair} ${port} ${version}`, isWeb || isDb];
        }),
      ),
    ),
  );
}

async function makeScene(t: TestContext): Promise<Scene | undefined> {
  if (process.getuid?.() !== 0) {
    t.skip('needs root');
    return undefined;
  }
  const { host, world } = await makeNamespaces(t, ['host', 'world']);
  const libvirt = await LibvirtWorld.make(t, host);
  return libvirt === undefined ? undefined : new Scene(libvirt, host, world);
}

test('guests of libvirt', async (t) => {
  const scene = await makeScene(t);
  if (scene === undefined) return;
  const { libvirt, host, world } = scene;
  const socket = libvirt.path('vm3.sock');
  await host.mustRun('ip', ['tuntap', 'add', 'dev', 'vm1', 'mode', 'tap', 'vnet_hdr']);
  await host.mustRun('ip', ['link', 'set', 'vm1', 'up']);
  const file = temporaryFile(t, 'libvirt.yaml', configuration(host, world, socket));
  const control = join(dirname(file), 'control.sock');
  let daemon = await Daemon.start(t, file, ['--control', control]);
  for (const name of NAMES) {
    const more = name === 'vm3' ? { more: commandLine(socket) } : {};
    await libvirt.define({ name, ip6: GUESTS[name].ip[1], card: CARDS[name], ...more });
    await libvirt.virsh('start', name);
  }
  const deviceOf = async (name: string): Promise<string> => {
    const text = await mustRun(process.execPath, [
      ...[SGCTL, 'interfaces', '--json', '--socket', control],
    ]);
    return (JSON.parse(text) as InterfaceView[]).find((one) => one.name === name)!.device;
  };

  await t.test('what is to pass passes, in both families, and nothing else', async () => {
    await scene.booted({ vm1: 1, vm2: 1, vm3: 1 });
    assert.deepEqual(await scene.matrix(), expected());
    assert.match(await deviceOf('vm2'), /^vnet\d+$/);
  });

  await t.test('under traffic libvirtd and the daemon are killed and started again', async () => {
    const ticks = await world.start('curl', [
      ...['-gsSN', `http://${GUESTS.vm1.ip[0]}/cgi-bin/ticks`],
    ]);
    const goesOn = async (): Promise<void> => {
      const seen = ticks.stdout().split('\n').length;
      await until('ticks go on', () =>
        Promise.resolve(ticks.stdout().split('\n').length > seen + 1),
      );
    };
    await goesOn();
    await libvirt.stopLibvirtd('SIGKILL');
    await goesOn();
    assert.equal(await libvirt.startLibvirtd(), true);
    await goesOn();
    await daemon.kill();
    const names = (await tables(host)).sort();
    assert.deepEqual(names.length, 2, names.join());
    assert.equal(await get(world, GUESTS.vm1.ip[0], 1), '');
    daemon = await Daemon.start(t, file, ['--control', control]);
    await goesOn();
    await ticks.stop();
  });

  await t.test('guests that are reset, and ended and started, are guarded as before', async () => {
    const before = await deviceOf('vm2');
    await libvirt.virsh('reset', 'vm1');
    for (const name of ['vm2', 'vm3']) {
      await libvirt.virsh('destroy', name);
      await libvirt.virsh('start', name);
    }
    await scene.booted({ vm1: 2, vm2: 2, vm3: 2 });
    assert.deepEqual(await scene.matrix(), expected());
    assert.notEqual(await deviceOf('vm2'), before, 'libvirt has given it another name');
    const guarded = (await tables(host)).map((one) => one.replace('secgroupd_attach_', '')).sort();
    assert.deepEqual(guarded, ['vm1', await deviceOf('vm2')]);
  });
});

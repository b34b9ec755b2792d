/**
 * Interfaces that are already there: one end of a veth pair is in a namespace that stands for the host, the other is
 * the instance's. The host is kept from it, whatever becomes of the daemon.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadNative } from '../../src/ports/native.ts';
import { ethernet, toHex, udp4 } from '../packets/build.ts';
import { GATEWAY } from '../engine/frames.ts';
import { makeNetns, type Netns } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import { download, hostReaches, plugIn, reaches, tables, waiting } from './attach-world.ts';
import { offloadKey } from './offload-key.ts';
import {
  canRun,
  Daemon,
  get,
  LOOK_S,
  makeNamespaces,
  ping,
  pingInVain,
  serve,
  temporaryFile,
} from './world.ts';

const SEND = join(repositoryRoot(), 'test/netns/send-frames.py');
const WORLD = ['198.51.100.7', '2001:db8:51::7'] as const;
const WEB = ['10.0.0.11', 'fd00:10::11'] as const;
const DB = ['10.0.0.12', 'fd00:10::12'] as const;
const TUN = ['10.0.0.13', 'fd00:10::13'] as const;
const MAC_WEB = '02:00:00:00:00:11';
const DB_MTU = 1400;

interface World {
  readonly file: string;
  readonly host: Netns;
  readonly web: Netns;
  readonly db: Netns;
  readonly tun: Netns;
  readonly world: Netns;
}

function configuration({ host, tun, world }: Omit<World, 'file'>, more = ''): string {
  return `
uplink: { tun: up0, netns: ${world.path}, addresses: [${WORLD[0]}/24, '${WORLD[1]}/64'] }
securityGroups:
  open:
    ingress:
      - { protocol: tcp, ports: 8080, from: [10.0.0.0/24, 'fd00:10::/64', 198.51.100.0/24, '2001:db8:51::/64'] }
      - { protocol: udp, ports: 5353, from: [10.0.0.0/24, 'fd00:10::/64', 198.51.100.0/24, '2001:db8:51::/64'] }
interfaces:
  web: { device: { kind: attach, netns: ${host.path}, name: veth-web, mac: '${MAC_WEB}' }, addresses: [${WEB.map((one) => `'${one}'`).join()}], securityGroups: [open] }
  db: { device: { kind: attach, netns: ${host.path}, name: veth-db }, addresses: [${DB.map((one) => `'${one}'`).join()}], securityGroups: [open] }
  tun: { device: { netns: ${tun.path}, name: eth0 }, addresses: [${TUN.map((one) => `'${one}'`).join()}], securityGroups: [open] }
metrics: { listen: '127.0.0.1:0' }
${offloadKey()}
${more}`;
}

async function makeWorld(t: TestContext, more = ''): Promise<World> {
  const names = await makeNamespaces(t, ['host', 'web', 'db', 'tun', 'world']);
  const { host, web, db } = names;
  await plugIn(host, 'veth-web', web, MAC_WEB, WEB);
  await plugIn(host, 'veth-db', db, '02:00:00:00:00:12', DB, DB_MTU);
  return { ...names, file: temporaryFile(t, 'attach.yaml', configuration(names, more)) };
}

test('attached interfaces', async (t) => {
  if (!canRun(t) || !requireTools(t, 'sha256sum', 'python3', 'nft')) return;
  const world = await makeWorld(t);
  const { host, web, db, tun, file } = world;
  // The runtime's bridge stays as it is.
  await host.mustRun('ip', ['link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0']);
  await host.mustRun('ip', ['link', 'set', 'veth-db', 'master', 'br0']);
  await host.mustRun('ip', ['link', 'set', 'br0', 'up']);
  await host.mustRun('ip', ['address', 'add', '10.0.0.254/24', 'dev', 'br0']);
  await until(
    'the host reaches what nobody guards',
    async () => (await ping(host, DB[0])).code === 0,
  );
  let daemon = await Daemon.start(t, file);
  const servers = { web, db, tun, world: world.world };
  await Promise.all(Object.entries(servers).map(([name, netns]) => serve(netns, name)));

  await t.test('whole connections pass to any kind of port, and the rules hold', async () => {
    const drops = await daemon.dropsDuring(async () => {
      for (const family of [0, 1] as const) {
        await download(db, WEB[family]);
        await download(web, TUN[family]);
        await download(tun, WEB[family]);
        await download(web, WORLD[family]);
        await download(db, WORLD[family]);
        await download(world.world, DB[family]);
      }
    });
    // db has a smaller MTU: who sends to it is told so.
    assert.deepEqual(Object.keys(drops).sort(), ['db ingress packet-too-big']);
    const refused = await daemon.dropsDuring(async () => {
      for (const family of [0, 1] as const) await pingInVain(tun, WEB[family]);
    });
    assert.deepEqual(refused, { 'web ingress ingress-rules': 2 });
  });

  await t.test('the host has neither a way in nor a way out', async () => {
    await host.mustRun('ip', ['address', 'add', '10.0.0.1/32', 'dev', 'veth-web']);
    await pingInVain(web, '10.0.0.1');
    await pingInVain(db, '10.0.0.254');
    await pingInVain(host, DB[0]);
    assert.equal(await hostReaches(host, 'veth-web', MAC_WEB, WEB[0], web), false);
    await host.mustRun('ip', ['address', 'del', '10.0.0.1/32', 'dev', 'veth-web']);
  });

  await t.test('only its own addresses of either kind, and no VLAN', async () => {
    const datagram = (src: string): Uint8Array =>
      udp4(src, TUN[0], { srcPort: 4000, dstPort: 5353, payload: Uint8Array.of(1) });
    const frame = (src: string, vlan?: number): string =>
      toHex(
        ethernet({
          ...{ src: MAC_WEB, dst: GATEWAY, etherType: 0x0800, payload: datagram(src) },
          ...(vlan === undefined ? {} : { vlan }),
        }),
      );
    const foreign = frame(WEB[0]).replace(MAC_WEB.replaceAll(':', ''), '020000000099');
    const input = `eth0 ${frame(DB[0])} ${foreign} ${frame(WEB[0], 7)} ${frame(WEB[0], 0)}\n`;
    const drops = await daemon.dropsDuring(() => web.mustRun('python3', [SEND], { input }), 3);
    assert.deepEqual(drops, {
      'web egress source-check': 1,
      'web egress mac-spoof': 1,
      'web egress vlan-tagged': 1,
    });
  });

  await t.test('a table that is flushed comes again', async () => {
    await host.mustRun('nft', ['flush', 'ruleset']);
    await until('the table is there', async () => (await tables(host)).length === 2);
    await until('packets pass', async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n');
    assert.match(daemon.output, /the table of nftables that kept the host from it was removed/);
  });

  await t.test('an interface that goes and comes is attached again', async () => {
    await host.mustRun('ip', ['link', 'set', 'veth-web', 'down']);
    await until('it is missed', async () => (await waiting(daemon)) === 1);
    await host.mustRun('ip', ['link', 'set', 'veth-web', 'up']);
    await until('it is back', async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n');
    await host.mustRun('ip', ['link', 'del', 'veth-web']);
    await until('it is missed', async () => (await waiting(daemon)) === 1);
    await plugIn(host, 'veth-web', web, MAC_WEB, WEB);
    await until('it is back', async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n');
    assert.equal(await waiting(daemon), 0);
    assert.equal(await hostReaches(host, 'veth-web', MAC_WEB, WEB[0], web), false);
  });

  await t.test('nothing passes without the daemon, however it ended', async () => {
    for (const end of ['kill', 'stop'] as const) {
      await daemon[end]();
      assert.equal((await tables(host)).length, 2);
      await pingInVain(host, DB[0]);
      assert.equal(await hostReaches(host, 'veth-web', MAC_WEB, WEB[0], web), false);
      daemon = await Daemon.start(t, file);
      await reaches(tun, WEB[0], 'web');
      await download(db, WEB[1]);
    }
  });

  await t.test('what the configuration no longer has is given back to the host', async () => {
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^ {2}(web|db): .*\n/gm, ''));
    daemon.hangUp();
    await until('the tables are gone', async () => (await tables(host)).length === 0);
    // It has learned that the gateway answers for everybody.
    await db.mustRun('ip', ['neigh', 'flush', 'all']);
    await until('the host reaches it', async () => (await ping(host, DB[0])).code === 0);
    assert.equal(await hostReaches(host, 'veth-web', MAC_WEB, WEB[0], web), true);
  });
});

test('what the host has an address on is not attached, and nothing is attached twice', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const world = await makeWorld(t);
  const { host, web } = world;
  await host.mustRun('ip', ['address', 'add', '10.0.0.1/24', 'dev', 'veth-web']);
  const daemon = await Daemon.start(t, world.file);
  assert.match(
    daemon.output,
    /interface veth-web cannot be attached: the host has the address 10\.0\.0\.1 on it, .*ip address flush dev veth-web/,
  );
  assert.equal((await ping(web, '10.0.0.1')).code, 0);
  assert.deepEqual(await tables(host), ['secgroupd_attach_veth-db']);
  const second = await Daemon.start(t, world.file);
  assert.match(second.output, /interface veth-db is attached by another process/);
});

test('an address of any form keeps an interface from being attached, but no link-local one of the kernel’s', async (t) => {
  if (!canRun(t)) return;
  const host = await makeNetns(t);
  await host.mustRun('ip', ['link', 'add', 'veth-a', 'type', 'veth', 'peer', 'name', 'veth-b']);
  for (const name of ['veth-a', 'veth-b']) await host.mustRun('ip', ['link', 'set', name, 'up']);
  const native = loadNative();
  const options = { kind: 'attach', name: 'veth-a', netns: host.path, persist: false } as const;
  const found = (): string | undefined => {
    try {
      native.closeFd(native.openDevice(options).fd);
      return undefined;
    } catch (error) {
      return (
        /the host has the address (\S+) on it/.exec((error as Error).message)?.[1] ?? String(error)
      );
    }
  };
  // Somebody else's address is no reason.
  await host.mustRun('ip', ['address', 'add', '10.9.0.1/24', 'dev', 'veth-b']);
  assert.equal(found(), undefined);
  for (const [text, ...more] of [
    ['10.0.0.1', 'peer', '10.0.0.2'],
    ['10.0.0.1/32'],
    ['fd00::1/64', 'nodad'],
    ['fd00::1', 'peer', 'fd00::2', 'nodad'],
  ]) {
    await host.mustRun('ip', ['address', 'add', text, ...more, 'dev', 'veth-a']);
    assert.equal(found(), text.split('/')[0], [text, ...more].join(' '));
    await host.mustRun('ip', ['address', 'flush', 'dev', 'veth-a', 'scope', 'global']);
    assert.equal(found(), undefined, 'without it');
  }
});

/**
 * Devices of the kind veth: pairs that the daemon makes, with the other end in its own namespace. What passes there, what
 * becomes of a pair when the daemon, the namespace or the configuration changes, and that nothing passes meanwhile.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { GATEWAY } from '../engine/frames.ts';
import { ethernet, toHex, udp4 } from '../packets/build.ts';
import { makeNetns, type Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import {
  download,
  guardedEnds,
  type HostEnd,
  hostEnds,
  reaches,
  removePairs,
  waiting,
} from './attach-world.ts';
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
const MAC_DB = '02:00:00:00:00:12';
const DB_MTU = 1400;

interface World {
  readonly file: string;
  readonly web: Netns;
  readonly db: Netns;
  readonly tun: Netns;
  readonly world: Netns;
}

const listed = (addresses: readonly string[]): string => addresses.map((one) => `'${one}'`).join();

function configuration({ web, db, tun, world }: Omit<World, 'file'>, more = ''): string {
  return `
uplink: { tun: up0, netns: ${world.path}, addresses: [${WORLD[0]}/24, '${WORLD[1]}/64'] }
securityGroups:
  open:
    ingress:
      - { protocol: tcp, ports: 8080, from: [10.0.0.0/24, 'fd00:10::/64', 198.51.100.0/24, '2001:db8:51::/64'] }
interfaces:
  web: { device: { kind: veth, netns: ${web.path}, name: eth0 }, addresses: [${listed(WEB)}], securityGroups: [open] }
  db: { device: { kind: veth, netns: ${db.path}, name: eth0, mac: '${MAC_DB}', mtu: ${DB_MTU} }, addresses: [${listed(DB)}], securityGroups: [open] }
  tun: { device: { netns: ${tun.path}, name: eth0 }, addresses: [${listed(TUN)}], securityGroups: [open] }
metrics: { listen: '127.0.0.1:0' }
${offloadKey()}
${more}`;
}

async function makeWorld(t: TestContext, more = ''): Promise<World> {
  const names = await makeNamespaces(t, ['web', 'db', 'tun', 'world']);
  const file = temporaryFile(t, 'veth.yaml', configuration(names, more));
  t.after(() => removePairs(file));
  return { ...names, file };
}

/** Whether the host is kept from each of these ends, the last of the interfaces' names first. */
async function guardsOf(ends: ReadonlyMap<string, HostEnd>): Promise<boolean[]> {
  const guarded = await guardedEnds();
  const sorted = [...ends].sort(([a], [b]) => (a < b ? 1 : -1));
  return sorted.map(([, { ifname }]) => guarded.includes(ifname));
}

/** Replaces what stands in the configuration once. */
function edit(file: string, before: string | RegExp, after: string): void {
  const text = readFileSync(file, 'utf8');
  const changed = text.replace(before, after);
  assert.notEqual(changed, text);
  writeFileSync(file, changed);
}

test('pairs that the daemon makes', async (t) => {
  if (!canRun(t) || !requireTools(t, 'sha256sum', 'nft', 'python3')) return;
  const world = await makeWorld(t);
  const { web, db, tun, file } = world;
  let daemon = await Daemon.start(t, file);
  const servers = { web, db, tun, world: world.world };
  await Promise.all(Object.entries(servers).map(([name, netns]) => serve(netns, name)));

  await t.test('both ends are as the configuration has them', async () => {
    const ends = await hostEnds(file);
    assert.deepEqual([...ends.keys()].sort(), ['db', 'web']);
    const end = ends.get('db')!;
    assert.match(end.ifname, /^sgv[0-9a-f]{12}$/);
    assert.match(end.ifalias, /^secgroupd [0-9a-f]{8} eni-[0-9a-f]{17} db$/);
    assert.deepEqual([end.mtu, end.txqlen], [DB_MTU, 4000]);
    assert.equal((await run('ip', ['-brief', '-6', 'address', 'show', end.ifname])).stdout, '');
    const [inside] = JSON.parse(
      await db.mustRun('ip', ['-json', 'link', 'show', 'eth0']),
    ) as (HostEnd & { readonly address: string })[];
    assert.deepEqual(
      [inside.ifindex, inside.mtu, inside.txqlen, inside.address],
      [end.link_index, DB_MTU, 4000, MAC_DB],
    );
    assert.deepEqual(await guardsOf(ends), [true, true]);
  });

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
    assert.deepEqual(drops, {});
    const refused = await daemon.dropsDuring(async () => {
      for (const family of [0, 1] as const) await pingInVain(tun, WEB[family]);
    });
    assert.deepEqual(refused, { 'web ingress ingress-rules': 2 });
  });

  await t.test('the host has neither a way in nor a way out', async () => {
    const { ifname } = (await hostEnds(file)).get('web')!;
    await run('ip', ['address', 'add', '10.0.0.1/32', 'dev', ifname]);
    await run('ip', ['route', 'add', WEB[0], 'dev', ifname]);
    await pingInVain(web, '10.0.0.1');
    assert.notEqual((await run('ping', ['-c1', '-W1', WEB[0]])).code, 0);
    await run('ip', ['address', 'flush', 'dev', ifname]);
  });

  await t.test('only its own addresses of either kind, and no VLAN', async () => {
    const datagram = (src: string): Uint8Array =>
      udp4(src, TUN[0], { srcPort: 4000, dstPort: 8080, payload: Uint8Array.of(1) });
    const frame = (src: string, vlan?: number): string =>
      toHex(
        ethernet({
          ...{ src: MAC_DB, dst: GATEWAY, etherType: 0x0800, payload: datagram(src) },
          ...(vlan === undefined ? {} : { vlan }),
        }),
      );
    const foreign = frame(DB[0]).replace(MAC_DB.replaceAll(':', ''), '020000000099');
    const input = `eth0 ${frame(WEB[0])} ${foreign} ${frame(DB[0], 7)}\n`;
    const drops = await daemon.dropsDuring(() => db.mustRun('python3', [SEND], { input }), 3);
    assert.deepEqual(drops, {
      'db egress source-check': 1,
      'db egress mac-spoof': 1,
      'db egress vlan-tagged': 1,
    });
  });

  await t.test(
    'a table that is flushed comes again, and an end that is down goes up again',
    async () => {
      const { ifname } = (await hostEnds(file)).get('web')!;
      await run('nft', ['delete', 'table', 'netdev', `secgroupd_attach_${ifname}`]);
      await until('the table is there', async () => (await guardedEnds()).includes(ifname));
      await until(
        'packets pass',
        async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n',
      );
      await run('ip', ['link', 'set', ifname, 'down']);
      await until(
        'packets pass',
        async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n',
      );
      await run('ip', ['link', 'set', ifname, 'mtu', '1300']);
      await until(
        'the MTU is right again',
        async () => (await hostEnds(file)).get('web')!.mtu === 1500,
      );
      await until(
        'packets pass',
        async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n',
      );
    },
  );

  await t.test('a pair that is deleted is made again', async () => {
    await web.mustRun('ip', ['link', 'delete', 'eth0']);
    await until('packets pass', async () => (await get(tun, `${WEB[0]}:8080`, LOOK_S)) === 'web\n');
    await reaches(web, DB[1], 'db');
    assert.equal(await waiting(daemon), 0);
  });

  await t.test('a daemon that is killed leaves its pairs, and nothing passes', async () => {
    const before = await hostEnds(file);
    await daemon.kill();
    assert.deepEqual(await hostEnds(file), before);
    await pingInVain(web, DB[0]);
    assert.deepEqual(await guardsOf(before), [true, true]);
    daemon = await Daemon.start(t, file);
    assert.deepEqual(await hostEnds(file), before);
    await reaches(tun, WEB[0], 'web');
    await download(db, WEB[1]);
  });

  await t.test('one that is stopped removes them, with their guards', async () => {
    const before = await hostEnds(file);
    await daemon.stop();
    assert.deepEqual([...(await hostEnds(file)).keys()], []);
    assert.deepEqual(await guardsOf(before), [false, false]);
    assert.notEqual((await web.run('ip', ['link', 'show', 'eth0'])).code, 0);
    daemon = await Daemon.start(t, file);
    await reaches(tun, WEB[0], 'web');
  });

  await t.test('a reload adds, changes and removes', async () => {
    const before = await hostEnds(file);
    edit(
      file,
      /^ {2}web: .*$/m,
      readFileSync(file, 'utf8')
        .match(/^ {2}web: .*$/m)![0]
        .replace('  web:', '  front:')
        .replace('name: eth0', 'name: eth0, mtu: 1450'),
    );
    edit(file, /^ {2}db: .*\n/m, '');
    edit(
      file,
      /^ {2}tun: .*$/m,
      `  tun: { device: { kind: veth, netns: ${tun.path}, name: eth1, configure: false }, addresses: [${listed(TUN)}], securityGroups: [open] }`,
    );
    daemon.hangUp();
    await until(
      'it is in force',
      async () => (await hostEnds(file)).has('front') && !(await hostEnds(file)).has('db'),
    );
    await until('it has its MTU', async () => (await hostEnds(file)).get('front')!.mtu === 1450);
    const ends = await hostEnds(file);
    assert.equal(ends.get('front')!.ifindex, before.get('web')!.ifindex, 'it keeps its device');
    assert.deepEqual(await guardsOf(ends), [true, true]);
    assert.deepEqual(await guardsOf(before), [true, false], 'db has none any more');
    assert.deepEqual([...ends.keys()].sort(), ['front', 'tun']);
    assert.notEqual((await db.run('ip', ['link', 'show', 'eth0'])).code, 0);
    assert.match(await web.mustRun('ip', ['link', 'show', 'eth0']), /mtu 1450/);
    assert.match(await tun.mustRun('ip', ['link', 'show', 'eth1']), /state DOWN/);
    // Whoever made it configures it.
    await tun.mustRun('ip', ['address', 'add', `${TUN[0]}/24`, 'dev', 'eth1']);
    await tun.mustRun('ip', ['link', 'set', 'eth1', 'up']);
    await reaches(tun, WEB[0], 'web');
  });
});

test('a namespace that goes takes its pair along, and gets another when it is there again', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const world = await makeWorld(t);
  const { db, tun, file } = world;
  const gone = await makeNetns(t);
  edit(file, world.web.path, gone.path);
  const daemon = await Daemon.start(t, file);
  await Promise.all([serve(db, 'db'), serve(tun, 'tun')]);
  assert.equal((await ping(gone, WEB[0])).code, 0);
  await run('ip', ['netns', 'delete', gone.name]);
  await until('the pair is gone', async () => !(await hostEnds(file)).has('web'));
  await until('it is missed', async () => (await waiting(daemon)) === 1);
  await reaches(tun, DB[0], 'db');
  await run('ip', ['netns', 'add', gone.name]);
  await until('it is back', async () => (await waiting(daemon)) === 0);
  await serve(gone, 'again');
  await reaches(db, WEB[1], 'again');
});

test('what an earlier daemon left is removed where it is its own, and nothing else is', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const world = await makeWorld(t);
  const { web, db, tun, file } = world;
  const elsewhere = await makeNetns(t);
  const other = temporaryFile(
    t,
    'other.yaml',
    `interfaces:\n  other: { device: { kind: veth, netns: ${elsewhere.path}, name: eth0 }, addresses: [10.9.0.1] }\n`,
  );
  t.after(() => removePairs(other));
  const second = await Daemon.start(t, other);
  const first = await Daemon.start(t, file);
  await second.kill();
  await first.kill();
  edit(file, /^ {2}web: .*\n/m, '');
  const daemon = await Daemon.start(t, file);
  assert.deepEqual([...(await hostEnds(file)).keys()], ['db']);
  assert.deepEqual([...(await hostEnds(other)).keys()], ['other']);
  assert.match(daemon.output, /removed veth pairs that an earlier daemon left/);
  assert.notEqual((await web.run('ip', ['link', 'show', 'eth0'])).code, 0);

  await t.test('two daemons never have one pair', async () => {
    await serve(db, 'db');
    const rival = await Daemon.startAndEnd(t, file);
    assert.equal(rival.code, 1);
    assert.match(rival.log, /interface sgv[0-9a-f]{12} is attached by another process/);
    assert.deepEqual([...(await hostEnds(file)).keys()], ['db']);
    await reaches(tun, DB[0], 'db');
  });

  await t.test('an interface of that name which nobody here made stays', async () => {
    const { ifname } = (await hostEnds(file)).get('db')!;
    await daemon.stop();
    await run('ip', ['link', 'add', ifname, 'type', 'bridge']);
    t.after(() => run('ip', ['link', 'delete', ifname]));
    const again = await Daemon.start(t, file);
    assert.match(
      again.output,
      new RegExp(`an interface ${ifname} is there that no secgroupd made`),
    );
    assert.match((await run('ip', ['-d', 'link', 'show', ifname])).stdout, /bridge/);
  });
});

test('a device becomes a pair and a TUN again, and one that was renamed is made anew at a start', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const { web, db, file } = await makeWorld(t);
  let daemon = await Daemon.start(t, file);
  await serve(web, 'web');
  for (const [before, after] of [
    ['veth', 'tun'],
    ['tun', 'veth'],
  ] as const) {
    edit(file, `web: { device: { kind: ${before}`, `web: { device: { kind: ${after}`);
    daemon.hangUp();
    const isPair = after === 'veth';
    await until(after, async () => (await hostEnds(file)).has('web') === isPair);
    await until('packets pass', async () => (await get(db, `${WEB[0]}:8080`, 1)) === 'web\n');
    assert.equal(await waiting(daemon), 0);
  }
  await daemon.kill();
  const before = await hostEnds(file);
  await web.mustRun('ip', ['link', 'set', 'eth0', 'down']);
  await web.mustRun('ip', ['link', 'set', 'eth0', 'name', 'net0']);
  const { ifname } = before.get('db')!;
  await run('ip', ['link', 'set', ifname, 'down']);
  await run('ip', ['link', 'set', ifname, 'name', 'sgt-renamed']);
  daemon = await Daemon.start(t, file);
  await reaches(db, WEB[0], 'web');
  const ends = await hostEnds(file);
  assert.deepEqual(
    [...ends.values()].map((one) => one.ifname).sort(),
    [...before.values()].map((one) => one.ifname).sort(),
  );
  for (const [name, { ifindex }] of ends) assert.notEqual(ifindex, before.get(name)!.ifindex, name);
  assert.notEqual((await web.run('ip', ['link', 'show', 'net0'])).code, 0);
});

test('--device-kind holds for what the file says nothing of, also after a reload', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const { web, db, file } = await makeWorld(t);
  edit(file, 'device: { kind: veth, netns', 'device: { netns');
  edit(file, /kind: veth, (?=.*mac: )/, 'kind: tap, ');
  const daemon = await Daemon.start(t, file, ['--device-kind', 'veth']);
  const kinds = async (): Promise<string[]> => [...(await hostEnds(file)).keys()].sort();
  assert.deepEqual(await kinds(), ['tun', 'web']);
  edit(file, 'ports: 8080', 'ports: 8081');
  daemon.hangUp();
  await until('it is in force', () => Promise.resolve(daemon.output.includes('"generation":2')));
  assert.deepEqual(await kinds(), ['tun', 'web']);
  await serve(web, 'web');
  assert.equal(await get(db, `${WEB[0]}:8080`, 1), '');
});

test('two packet loops share a pair', async (t) => {
  if (!canRun(t) || !requireTools(t, 'sha256sum', 'nft')) return;
  const world = await makeWorld(t, 'workers: 2');
  const { web, db, tun, file } = world;
  let daemon = await Daemon.start(t, file);
  const servers = { web, db, tun, world: world.world };
  await Promise.all(Object.entries(servers).map(([name, netns]) => serve(netns, name)));
  for (const end of ['none', 'kill', 'stop'] as const) {
    if (end !== 'none') {
      await daemon[end]();
      daemon = await Daemon.start(t, file);
    }
    for (const family of [0, 1] as const) {
      await download(db, WEB[family]);
      await download(web, TUN[family]);
      await download(tun, DB[family]);
      await download(world.world, WEB[family]);
    }
  }
});

/** The daemon between real namespaces: real clients get through or don't, and the counters say why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from '../support/netns.ts';
import type { Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { findTool, requireTools } from '../support/require.ts';
import { blobHash } from './blob.ts';
import {
  canRun,
  Daemon,
  get,
  makeNamespaces,
  ping,
  pingInVain,
  serve,
  temporaryFile,
} from './world.ts';

const UDP_CLIENT = fileURLToPath(new URL('./udp-client.js', import.meta.url));

const WEB = '10.0.0.11';
const WEB6 = 'fd00:10::11';
const APP = '10.0.0.12';
const APP6 = 'fd00:10::12';
const DB = '10.0.0.13';
const DB6 = 'fd00:10::13';
const TUN = '10.0.0.14';
const TUN6 = 'fd00:10::14';
const TAP = '10.0.0.15';
const TAP6 = 'fd00:10::15';
const FAR = '203.0.113.2';
const FAR6 = '2001:db8:203::2';
const FAR_MTU = 1300;

type Names = Record<'world' | 'far' | 'web' | 'app' | 'db' | 'tun' | 'tap', Netns>;

function configuration(names: Names): string {
  const eth0 = (name: keyof Names, kind = 'tun'): string =>
    `{ kind: ${kind}, netns: ${names[name].path}, name: eth0 }`;
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [198.51.100.7/24, '2001:db8:51::7/64'] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 80, from: 0.0.0.0/0 }
      - { protocol: tcp, ports: 80, from: '::/0' }
  app:
    ingress:
      - { protocol: tcp, ports: 8080, from: 'sg:web' }
      - { protocol: icmp, type: 8, from: 'sg:web' }
      - { protocol: icmpv6, type: 128, from: 'sg:web' }
  db:
    ingress:
      - { protocol: tcp, ports: 5432, from: 'sg:app' }
      - { protocol: udp, ports: 5353, from: 'sg:app' }
    egress: []
  cluster:
    ingress: [{ protocol: tcp, ports: 7000, from: self }]
    egress: []
interfaces:
  web: { device: ${eth0('web')}, addresses: [${WEB}, '${WEB6}'], securityGroups: [web] }
  app: { device: ${eth0('app')}, addresses: [${APP}, '${APP6}'], securityGroups: [app, cluster] }
  db: { device: ${eth0('db')}, addresses: [${DB}, '${DB6}'], securityGroups: [db, cluster] }
  tun: { device: ${eth0('tun')}, addresses: [${TUN}, '${TUN6}'] }
  tap: { device: ${eth0('tap', 'tap')}, addresses: [${TAP}, '${TAP6}'] }
metrics: { listen: '127.0.0.1:0' }
`;
}

/** Behind `world` lies `far`, on a link with a smaller MTU. */
async function connectFar({ world, far }: Names): Promise<void> {
  await connect(
    { netns: world, interfaceName: 'far0', addresses: ['203.0.113.1/24', '2001:db8:203::1/64'] },
    { netns: far, interfaceName: 'far0', addresses: [`${FAR}/24`, `${FAR6}/64`] },
  );
  for (const end of [world, far])
    await end.mustRun('ip', ['link', 'set', 'far0', 'mtu', String(FAR_MTU)]);
  await far.mustRun('ip', ['route', 'add', 'default', 'via', '203.0.113.1']);
  await far.mustRun('ip', ['-6', 'route', 'add', 'default', 'via', '2001:db8:203::1']);
  const forward =
    'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding';
  await world.mustRun('sh', ['-c', forward]);
}

async function udp(from: Netns, address: string, count: number): Promise<string[]> {
  const printed = await from.mustRun(process.execPath, [
    UDP_CLIENT,
    address,
    '5353',
    String(count),
  ]);
  return printed.split('\n').filter((line) => line !== '');
}

/** Runs while `from` has an address that is not its own. */
async function spoofing(
  from: Netns,
  address: string,
  action: () => Promise<unknown>,
): Promise<void> {
  const length = address.includes(':') ? 128 : 32;
  const change = (verb: string): Promise<string> =>
    from.mustRun('ip', ['address', verb, `${address}/${length}`, 'dev', 'lo']);
  await change('add');
  try {
    await action();
  } finally {
    await change('del');
  }
}

test('real traffic', async (t) => {
  if (!canRun(t)) return;
  const names = await makeNamespaces(t, ['world', 'far', 'web', 'app', 'db', 'tun', 'tap']);
  const { world, far, web, app, db, tun, tap } = names;
  await connectFar(names);
  const file = temporaryFile(t, 'secgroupd.yaml', configuration(names));
  const [daemon] = await Promise.all([
    Daemon.start(t, file),
    ...(['far', 'web', 'app', 'db', 'tun', 'tap'] as const).map((name) => serve(names[name], name)),
  ]);

  await t.test('HTTP that anyone may ask for is answered, and not tracked', async () => {
    assert.equal(await daemon.flows(), 0);
    assert.equal(await get(world, WEB), 'web\n');
    assert.equal(await get(world, `[${WEB6}]`), 'web\n');
    assert.equal(await daemon.flows(), 0);
  });

  await t.test(
    'the web may ask the app; the answers need no rule, but an entry a gate',
    async () => {
      const drops = await daemon.dropsDuring(async () => {
        assert.equal(await get(web, `${APP}:8080`), 'app\n');
        assert.equal(await get(web, `[${APP6}]:8080`), 'app\n');
      });
      assert.deepEqual(drops, {});
      assert.equal(await daemon.flows(), 4);
    },
  );

  await t.test('a stranger is left without an answer by the database', async () => {
    for (const place of [`${DB}:5432`, `[${DB6}]:5432`]) {
      const drops = await daemon.dropsDuring(async () => {
        const result = await world.run('curl', ['-gsS', '-m', '0.9', `http://${place}`]);
        assert.equal(result.code, 28, 'curl: time-out');
      });
      assert.deepEqual(drops, { 'db ingress ingress-rules': 1 });
    }
  });

  await t.test('each datagram of a stranger is counted', async () => {
    for (const address of [DB, DB6]) {
      const drops = await daemon.dropsDuring(async () => {
        assert.deepEqual(await udp(world, address, 7), []);
      });
      assert.deepEqual(drops, { 'db ingress ingress-rules': 7 });
    }
  });

  await t.test('an instance without egress rules says nothing of its own accord', async () => {
    const drops = await daemon.dropsDuring(async () => {
      await pingInVain(db, APP, 3);
      await pingInVain(db, APP6, 3);
      assert.deepEqual(await udp(db, APP, 4), []);
      assert.deepEqual(await udp(db, '198.51.100.7', 2), []);
    });
    assert.deepEqual(drops, { 'db egress egress-rules': 12 });
  });

  await t.test('and answers those who may ask', async () => {
    assert.equal(await get(app, `${DB}:5432`), 'db\n');
    assert.equal(await get(app, `[${DB6}]:5432`), 'db\n');
    assert.deepEqual((await udp(app, DB, 2)).sort(), ['db 0', 'db 1']);
    assert.deepEqual(await udp(app, DB6, 1), ['db 0']);
  });

  await t.test('a group that names itself joins its members, and nobody else', async () => {
    assert.equal(await get(app, `${DB}:7000`), 'db\n');
    assert.equal(await get(app, `[${DB6}]:7000`), 'db\n');
    const drops = await daemon.dropsDuring(async () => {
      assert.equal(await get(web, `${DB}:7000`, 0.9), '');
      assert.equal(await get(web, `${APP}:7000`, 0.9), '');
    });
    assert.deepEqual(drops, { 'db ingress ingress-rules': 1, 'app ingress ingress-rules': 1 });
  });

  await t.test('two of the default group reach each other, a TUN and a TAP', async () => {
    const drops = await daemon.dropsDuring(async () => {
      // The TAP is asked first: its own address must be known without its having sent a packet.
      assert.equal(await get(tun, TAP), 'tap\n');
      assert.equal(await get(tun, `[${TAP6}]`), 'tap\n');
      assert.equal(await get(tap, TUN), 'tun\n');
      assert.equal(await get(tap, `[${TUN6}]`), 'tun\n');
      for (const [from, to] of [
        [tun, TAP],
        [tun, TAP6],
        [tap, TUN],
        [tap, TUN6],
      ] as const)
        assert.match((await ping(from, to, 2)).stdout, / 0% packet loss/);
      assert.deepEqual(await udp(tap, TUN, 1), ['tun 0']);
      assert.deepEqual(await udp(tun, TAP6, 1), ['tap 0']);
    });
    assert.deepEqual(drops, {});
  });

  await t.test('a stranger does not reach the default group', async () => {
    const drops = await daemon.dropsDuring(async () => {
      await pingInVain(world, TAP, 2);
      await pingInVain(world, TUN6, 2);
    });
    assert.deepEqual(drops, { 'tap ingress ingress-rules': 2, 'tun ingress ingress-rules': 2 });
  });

  await t.test("an instance that uses another's address is not believed", async () => {
    const cases = [
      [WEB, APP],
      [WEB6, APP6],
      ['192.0.2.1', '198.51.100.7'],
    ];
    for (const [from, name] of [
      [tun, 'tun'],
      [tap, 'tap'],
    ] as const)
      for (const [source, destination] of cases) {
        // A TAP asks for its neighbour first; here that is to have happened under its own address.
        await ping(from, destination, 1, '-W', '0.1');
        await spoofing(from, source, async () => {
          const drops = await daemon.dropsDuring(() =>
            pingInVain(from, destination, 2, '-I', source),
          );
          assert.deepEqual(drops, { [`${name} egress source-check`]: 2 });
        });
      }
  });

  await t.test("nor one that asks for a neighbour in another's name", async () => {
    await spoofing(tap, WEB, async () => {
      const drops = await daemon.dropsDuring(async () => {
        await tap.run('ping', ['-c', '1', '-W', '0.3', '-I', WEB, '10.0.0.99']);
        // Or it would ask again in its own name, later.
        await tap.mustRun('ip', ['neighbour', 'delete', '10.0.0.99', 'dev', 'eth0']);
      });
      assert.deepEqual(drops, { 'tap egress neighbour-spoof': 1 });
    });
  });

  await t.test("a stranger who uses a member's address is not believed", async () => {
    for (const [source, destination] of [
      [WEB, APP],
      [WEB6, APP6],
    ])
      await spoofing(world, source, async () => {
        const drops = await daemon.dropsDuring(async () => {
          await pingInVain(world, destination, 2, '-I', source);
        });
        assert.deepEqual(drops, { 'uplink ingress uplink-spoof': 2 });
      });
  });

  await t.test('fragments of a large ping pass, and of its answer', async () => {
    const drops = await daemon.dropsDuring(async () => {
      for (const [from, to] of [
        [web, APP],
        [web, APP6],
        [tun, TAP],
        [tap, TUN6],
      ] as const)
        assert.match((await ping(from, to, 2, '-s', '3000')).stdout, / 0% packet loss/);
    });
    assert.deepEqual(drops, {});
  });

  await t.test('the path MTU is found out: errors about a flow need no rule', async () => {
    // Straight after the start the far link may still be looking for duplicates.
    for (const [from, to, header] of [
      [tun, FAR, 28],
      [tun, FAR6, 48],
      [tap, FAR, 28],
      [tap, FAR6, 48],
    ] as const) {
      const exact = String(FAR_MTU - header);
      const tooLong = await ping(from, to, 2, '-M', 'do', '-s', '1400');
      assert.match(tooLong.stdout + tooLong.stderr, new RegExp(`mtu ?= ?${FAR_MTU}`));
      assert.match((await ping(from, to, 1, '-M', 'do', '-s', exact)).stdout, / 0% packet loss/);
    }
    assert.equal(await get(tap, `${FAR}:8080`), 'far\n');
    assert.equal(await get(tun, `[${FAR6}]:8080`), 'far\n');
    await pingInVain(far, TUN);
  });

  await t.test('long transfers with segmentation offloaded arrive whole', async (inner) => {
    if (!requireTools(inner, 'sha256sum')) return;
    const expected = `${blobHash()}  -\n`;
    const before = (await daemon.metrics()).get(passed('tap', 'ingress'))!;
    for (const [from, place] of [
      [tun, TAP],
      [tap, TUN],
      [tap, `[${TUN6}]`],
      [web, `${APP}:8080`],
    ] as const) {
      const command = `curl -gsS http://${place}/blob | sha256sum`;
      assert.equal(await from.mustRun('sh', ['-c', command]), expected, place);
    }
    // 20 MB two times over in segments of at most 1448 bytes: superpackets count as what they hold.
    const packets = (await daemon.metrics()).get(passed('tap', 'ingress'))! - before;
    assert.equal(packets > 2 * (20e6 / 1448), true, `${packets} packets`);
  });

  await t.test('iperf3', async (inner) => {
    if (requireTools(inner, 'iperf3')) await measure(tun, tap, TAP);
  });

  await t.test('promtool finds nothing to object to in the metrics', async (inner) => {
    if (!requireTools(inner, 'promtool')) return;
    const result = await run(findTool('promtool')!, ['check', 'metrics'], {
      input: await daemon.scrape(),
    });
    assert.deepEqual([result.code, result.stdout, result.stderr], [0, '', '']);
  });

  await t.test('at the end the devices go with the daemon', async () => {
    assert.equal(await daemon.stop(), 0);
    for (const instance of [web, app, db, tun, tap])
      assert.equal((await instance.run('ip', ['link', 'show', 'eth0'])).code, 1);
  });
});

function passed(name: string, direction: string): string {
  return `secgroupd_packets_total{interface="${name}",direction="${direction}",verdict="pass"}`;
}

/** A second of TCP from `client` to `server`; tells nothing about speed but that there is some. */
async function measure(client: Netns, server: Netns, address: string): Promise<void> {
  const iperf3 = findTool('iperf3')!;
  const listening = await server.start(iperf3, ['-s', '-1', '--forceflush']);
  await listening.waitFor(/Server listening/);
  const json = await client.mustRun(iperf3, ['-c', address, '-t', '1', '-J']);
  const report = JSON.parse(json) as { end: { sum_received: { bytes: number } } };
  assert.equal(report.end.sum_received.bytes > 1e6, true, json);
  assert.equal((await listening.ended).code, 0);
}

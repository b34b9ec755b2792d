/**
 * Instances that are told what they are: real clients on attached interfaces get their addresses, their router, the MTU
 * and DNS of the daemon, whatever their groups say.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { icmp6, toHex, udp4 } from '../packets/build.ts';
import { dhcp4Frame } from '../packets/dhcp.ts';
import { frame, GATEWAY } from '../engine/frames.ts';
import type { Netns } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import { canRun, Daemon, get, LOOK_S, makeNamespaces, serve, temporaryFile } from './world.ts';

const SEND = join(repositoryRoot(), 'test/netns/send-frames.py');
const WORLD = ['198.51.100.7', '2001:db8:51::7'] as const;
const WEB = ['10.0.0.11', 'fd00:10::11'] as const;
const LONE = ['10.1.0.12', 'fd00:11::12'] as const;
const MAC_WEB = '02:00:00:00:00:11';
const MAC_LONE = '02:00:00:00:00:12';
const MTU = 1400;

/** A veth pair whose inner end nobody configures. */
async function plugIn(host: Netns, name: string, instance: Netns, mac: string): Promise<void> {
  const peer = ['peer', 'name', 'eth0', 'netns', instance.path, 'address', mac];
  await host.mustRun('ip', ['link', 'add', name, 'mtu', String(MTU), 'type', 'veth', ...peer]);
  await host.mustRun('ip', ['link', 'set', name, 'up']);
}

const quoted = (addresses: readonly string[]): string => addresses.map((one) => `'${one}'`).join();

function configuration(host: Netns, world: Netns): string {
  return `
vpc: { cidrBlocks: [10.0.0.0/16], subnets: [10.0.0.0/24] }
uplink: { tun: up0, netns: ${world.path}, addresses: [${WORLD[0]}/24, '${WORLD[1]}/64'] }
dhcpOptions: { domainNameServers: [198.51.100.53, '2001:db8:51::53'] }
securityGroups:
  open: { ingress: [{ protocol: tcp, ports: 8080, from: [0.0.0.0/0, '::/0'] }] }
  closed: { ingress: [], egress: [] }
interfaces:
  web: { device: { kind: attach, netns: ${host.path}, name: veth-web, mac: '${MAC_WEB}' }, addresses: [${quoted(WEB)}], securityGroups: [open] }
metrics: { listen: '127.0.0.1:0' }
`;
}

/** The lines that `udhcpc` gives to its script, by name. */
async function udhcpc(t: TestContext, netns: Netns): Promise<Map<string, string>> {
  const script = temporaryFile(t, 'script', '#!/bin/sh\n[ "$1" = bound ] || exit 0\nexec env\n');
  const client = `chmod +x ${script} && exec busybox udhcpc -i eth0 -f -n -q -t 60 -T 1 -s ${script}`;
  const text = await netns.mustRun('sh', ['-c', client]);
  return new Map(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const];
    }),
  );
}

async function addresses(netns: Netns): Promise<string[]> {
  const text = await netns.mustRun('ip', ['-o', 'address', 'show', 'dev', 'eth0', 'scope', 'global']); // prettier-ignore
  return [...text.matchAll(/ inet6? (\S+)/g)].map(([, address]) => address).sort();
}

async function defaultRoutes(netns: Netns): Promise<string[]> {
  const list = (family: string): Promise<string> =>
    netns.mustRun('ip', [family, 'route', 'show', 'default']);
  const text = (await list('-4')) + (await list('-6'));
  return [...text.matchAll(/^default via (\S+)/gm)].map(([, router]) => router);
}

const ROUTER_6 = 'fe80::73:67ff:fe00:1';
/** dhcpcd keeps its files where only it sees them; `ip netns exec` has given it mounts of its own. */
const DHCPCD = `
mount -t tmpfs none /run && mount -t tmpfs none /var/lib/dhcpcd || exit
exec dhcpcd --nobackground --config "$1" --script /bin/true eth0`;

test('instances on attached interfaces', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft', 'python3', 'busybox')) return;
  const { host, web, lone, world } = await makeNamespaces(t, ['host', 'web', 'lone', 'world']);
  await plugIn(host, 'veth-web', web, MAC_WEB);
  await plugIn(host, 'veth-lone', lone, MAC_LONE);
  const file = temporaryFile(t, 'dhcp.yaml', configuration(host, world));
  const daemon = await Daemon.start(t, file);

  await t.test('a client has its addresses, routes, MTU and DNS of both families', async (t) => {
    if (!requireTools(t, 'dhcpcd')) return;
    const own =
      'duid ll\nslaac hwaddr\nnoarp\nnodelay\noption interface_mtu\noption domain_name_servers\n';
    const config = temporaryFile(t, 'dhcpcd.conf', own);
    await web.mustRun('ip', ['link', 'set', 'eth0', 'up']);
    await web.start('sh', ['-c', DHCPCD, 'sh', config]);
    await until('the addresses are there', async () => (await addresses(web)).length === 2);
    assert.deepEqual(await addresses(web), [`${WEB[0]}/24`, `${WEB[1]}/128`]);
    await until('the routes are there', async () => (await defaultRoutes(web)).length === 2);
    assert.deepEqual(await defaultRoutes(web), ['10.0.0.1', ROUTER_6]);
    const servers = [await serve(web, 'web'), await serve(world, 'world')];
    for (const family of [0, 1] as const) {
      const url = (host: string): string => `${host.includes(':') ? `[${host}]` : host}:8080`;
      await until('the rules let in what they name', async () => (await get(world, url(WEB[family]), LOOK_S)) === 'web\n'); // prettier-ignore
      assert.equal(await get(web, url(WORLD[family])), 'world\n');
    }
    assert.equal(servers.length, 2);
  });

  await t.test(
    'an interface that comes later, without a subnet, whose groups allow nothing',
    async (t) => {
      const more = `  lone: { device: { kind: attach, netns: ${host.path}, name: veth-lone }, addresses: [${quoted(LONE)}], securityGroups: [closed] }\n`;
      writeFileSync(file, readFileSync(file, 'utf8').replace(/^metrics:/m, `${more}metrics:`));
      daemon.hangUp();
      await until('it is there', async () => daemon.output.includes('"lone"'));
      await lone.mustRun('ip', ['link', 'set', 'eth0', 'up']);
      await lone.mustRun('sysctl', ['-qw', 'net.ipv6.conf.eth0.accept_ra=2']);
      const read = async (): Promise<string[]> => {
        const got = await udhcpc(t, lone);
        return ['ip', 'mask', 'router', 'mtu', 'lease', 'serverid', 'dns', 'staticroutes'].map(
          (name) => got.get(name) ?? '-',
        );
      };
      const own = [LONE[0], '32', WORLD[0], String(MTU), '3600', WORLD[0]];
      const routes = `${WORLD[0]}/32 0.0.0.0 0.0.0.0/0 ${WORLD[0]}`;
      assert.deepEqual(await read(), [...own, '198.51.100.53', routes]);
      // What a reload says anew is told from then on.
      writeFileSync(file, readFileSync(file, 'utf8').replace('198.51.100.53', '198.51.100.54'));
      daemon.hangUp();
      await until('it is told', async () => (await read())[6] === '198.51.100.54');
      // The kernel itself asks for its router.
      await lone.mustRun('ip', ['link', 'set', 'eth0', 'down']);
      await lone.mustRun('ip', ['link', 'set', 'eth0', 'up']);
      await until('the route is there', async () => (await defaultRoutes(lone)).includes(ROUTER_6));
      const mtu = await lone.mustRun('cat', ['/proc/sys/net/ipv6/conf/eth0/mtu']);
      assert.equal(mtu, `${MTU}\n`);
    },
  );

  await t.test('who offers leases or routes, or asks in a wrong way, gets nothing', async () => {
    const offer = udp4(LONE[0], '255.255.255.255', { srcPort: 67, dstPort: 68, payload: 'offer' });
    const link = 'fe80::ff:fe00:12';
    const frames = [
      frame(offer, MAC_LONE, GATEWAY),
      frame(icmp6(link, 'ff02::1', { type: 134 }, { hopLimit: 255 }), MAC_LONE, GATEWAY),
      dhcp4Frame({ type: 1, chaddr: MAC_WEB }, { mac: MAC_LONE }),
      dhcp4Frame({}, { mac: MAC_LONE }),
    ];
    const input = `eth0 ${frames.map(toHex).join(' ')}\n`;
    const drops = await daemon.dropsDuring(() => lone.mustRun('python3', [SEND], { input }), 4);
    assert.deepEqual(drops, { 'lone egress rogue-server': 2, 'lone egress bad-dhcp': 2 });
  });
});

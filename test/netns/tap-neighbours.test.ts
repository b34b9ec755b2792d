/**
 * Hosts beyond a TAP have MAC addresses of their own: hosts on a network that the uplink is bridged to, and virtual
 * machines, whose address differs from their TAP's. A bridge in a namespace stands in for either.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { ServiceManager } from '../support/service-manager.ts';
import { canRun, Daemon, get, MAIN, makeNamespaces, ping, serve, temporaryFile } from './world.ts';

const A = '10.0.1.11';
const A6 = 'fd00:10::11';
const GUEST = '10.0.1.12';
const GUEST6 = 'fd00:10::12';
const HOST1 = '198.51.100.11';
const HOST1_6 = '2001:db8:51::11';
const HOST2 = '198.51.100.12';
const HOST2_6 = '2001:db8:51::12';
const FAR = '203.0.113.9';
const FAR6 = '2001:db8:99::9';
const MAC_HOST1 = '06:00:00:00:00:11';
const MAC_HOST2 = '06:00:00:00:00:12';
const MAC_GUEST = '06:00:00:00:00:0c';

/** Makes a namespace whose eth0 is on a bridge in `segment`. */
async function plugIn(
  segment: Netns,
  host: Netns,
  port: string,
  mac: string,
  addresses: readonly string[],
): Promise<void> {
  const peer = ['peer', 'name', 'eth0', 'netns', host.path, 'address', mac];
  await segment.mustRun('ip', ['link', 'add', port, 'type', 'veth', ...peer]);
  await segment.mustRun('ip', ['link', 'set', port, 'master', 'br0', 'up']);
  for (const address of addresses) {
    const nodad = address.includes(':') ? ['nodad'] : [];
    await host.mustRun('ip', ['address', 'add', address, 'dev', 'eth0', ...nodad]);
  }
  await host.mustRun('ip', ['link', 'set', 'eth0', 'up']);
}

async function makeBridge(segment: Netns, device: string): Promise<void> {
  await segment.mustRun('ip', ['link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0']);
  await segment.mustRun('ip', ['link', 'set', 'br0', 'up']);
  await segment.mustRun('ip', ['address', 'flush', 'dev', device]);
  await segment.mustRun('ip', ['link', 'set', device, 'master', 'br0', 'up']);
}

/** IP packets that came to the host's own MAC address. */
async function packetsTo(host: Netns): Promise<number> {
  const text = await host.mustRun('cat', ['/proc/net/snmp', '/proc/net/snmp6']);
  const [, names, values] = /^Ip: (.*)\nIp: (.*)$/m.exec(text)!;
  const read4 = (name: string): number => Number(values.split(' ')[names.split(' ').indexOf(name)]);
  const read6 = (name: string): number =>
    Number(new RegExp(`^${name}\\s+(\\d+)$`, 'm').exec(text)![1]);
  return read4('InReceives') + read6('Ip6InReceives') - read6('Ip6InMcastPkts');
}

async function reaches(from: Netns, to: string, count = 2): Promise<void> {
  assert.match((await ping(from, to, count)).stdout, / 0% packet loss/, to);
}

test('hosts on the network that a TAP uplink is bridged to', async (t) => {
  if (!canRun(t)) return;
  const { seg, a, h1, h2 } = await makeNamespaces(t, ['seg', 'a', 'h1', 'h2']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `
uplink:
  tap: sg-uplink
  netns: ${seg.path}
  addresses: [198.51.100.1/24, '2001:db8:51::1/64']
  gateways: [${HOST2}, '${HOST2_6}']
securityGroups:
  any:
    ingress:
      - { protocol: icmp, type: 8, from: 0.0.0.0/0 }
      - { protocol: icmpv6, type: 128, from: '::/0' }
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}, '${A6}'], securityGroups: [any] }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  const daemon = await Daemon.start(t, file);
  await makeBridge(seg, 'sg-uplink');
  await plugIn(seg, h1, 'v1', MAC_HOST1, [`${HOST1}/24`, `${HOST1_6}/64`]);
  await plugIn(seg, h2, 'v2', MAC_HOST2, [`${HOST2}/24`, `${HOST2_6}/64`]);
  for (const host of [h1, h2]) {
    await host.mustRun('ip', ['route', 'add', A, 'dev', 'eth0']);
    await host.mustRun('ip', ['route', 'add', A6, 'dev', 'eth0']);
  }

  await t.test('each is asked for, and answers, in both directions', async () => {
    for (const address of [HOST1, HOST1_6, HOST2, HOST2_6]) await reaches(a, address);
    for (const host of [h1, h2]) {
      await reaches(host, A);
      await reaches(host, A6);
    }
  });

  await t.test('who says something draws no traffic that is for another', async () => {
    await reaches(h2, A, 1);
    await reaches(h2, A6, 1);
    const before = await packetsTo(h2);
    await reaches(a, HOST1, 5);
    await reaches(a, HOST1_6, 5);
    assert.equal((await packetsTo(h2)) - before, 0);
  });

  await t.test(
    'who claims the address of another does not get what is known to be its',
    async () => {
      await h2.mustRun('ip', ['address', 'add', `${HOST1}/32`, 'dev', 'eth0']);
      const claim = `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
mac, ip, to = bytes.fromhex('${MAC_HOST2.replaceAll(':', '')}'), socket.inet_aton('${HOST1}'), socket.inet_aton('${A}')
for op in (1, 2):
    s.send(b'\\xff' * 6 + mac + bytes.fromhex('08060001080006040001')[:-1] + bytes([op]) + mac + ip + bytes(6) + (to if op == 2 else ip))
`;
      if (requireTools(t, 'python3')) await h2.mustRun('python3', ['-c', claim]);
      await h2.mustRun('ip', ['address', 'del', `${HOST1}/32`, 'dev', 'eth0']);
      const before = await packetsTo(h2);
      await reaches(a, HOST1, 5);
      assert.equal((await packetsTo(h2)) - before, 0);
    },
  );

  await t.test('what is not on the link goes to the gateway', async () => {
    await h2.mustRun('ip', ['address', 'add', `${FAR}/32`, 'dev', 'lo']);
    await h2.mustRun('ip', ['address', 'add', `${FAR6}/128`, 'dev', 'lo']);
    await h2.mustRun('ip', ['link', 'set', 'lo', 'up']);
    await reaches(a, FAR);
    await reaches(a, FAR6);
  });

  await t.test('who does not answer is dropped as unresolved, and counted', async () => {
    const drops = await daemon.dropsDuring(async () => {
      await a.run('ping', ['-c', '1', '-W', '4', '198.51.100.99']);
      await a.run('ping', ['-c', '1', '-W', '4', '2001:db8:51::99']);
    });
    assert.equal(drops['uplink egress unresolved'], 2, JSON.stringify(drops));
  });
});

interface GuestWorld {
  readonly a: Netns;
  readonly service: ServiceManager;
}

/** A guest behind a bridge: its MAC address is not that of the TAP. It answers, and never speaks first. */
async function makeGuest(t: TestContext): Promise<GuestWorld> {
  const { a, seg, vm } = await makeNamespaces(t, ['a', 'seg', 'vm']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `
securityGroups:
  client: {}
  server: { ingress: [{ protocol: tcp, ports: 80, from: sg:client }] }
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}, '${A6}'], securityGroups: [client] }
  vm:
    device: { kind: tap, netns: ${seg.path}, name: tap0, configure: false }
    addresses: [${GUEST}, '${GUEST6}']
    securityGroups: [server]
`,
  );
  const state = mkdtempSync(join(tmpdir(), 'sgt-state-'));
  t.after(() => rmSync(state, { recursive: true, force: true }));
  const service = ServiceManager.make(t, [process.execPath, MAIN, '--config', file], {
    STATE_DIRECTORY: state,
  });
  // No router solicitations, no reports of groups, no detection of duplicates: it says nothing of its own accord.
  for (const key of ['router_solicitations', 'accept_dad', 'dad_transmits', 'addr_gen_mode'])
    await vm.mustRun('sh', [
      '-c',
      `echo ${key === 'addr_gen_mode' ? 1 : 0} > /proc/sys/net/ipv6/conf/default/${key}`,
    ]);
  await service.startReady();
  await makeBridge(seg, 'tap0');
  await plugIn(seg, vm, 'v1', MAC_GUEST, [`${GUEST}/24`, `${GUEST6}/64`]);
  await vm.mustRun('ip', ['route', 'add', 'default', 'dev', 'eth0']);
  await vm.mustRun('ip', ['-6', 'route', 'add', 'default', 'dev', 'eth0']);
  await serve(vm, 'vm');
  return { a, service };
}

test('a guest that never speaks first, before and after a restart', async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3', 'curl')) return;
  const { a, service } = await makeGuest(t);
  const both = async (): Promise<void> => {
    assert.equal(await get(a, GUEST), 'vm\n');
    assert.equal(await get(a, `[${GUEST6}]`), 'vm\n');
  };
  await both();

  await service.end('TERM');
  await service.startReady();
  await both();

  // A daemon that was killed has saved nothing: it asks.
  await service.end('KILL');
  await service.startReady();
  await both();
});

test('a connection to a guest on which the other side speaks first goes on after a restart', async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3', 'curl')) return;
  const { a, service } = await makeGuest(t);
  for (const signal of ['TERM', 'KILL'] as const) {
    const go = temporaryFile(t, 'go', '');
    rmSync(go);
    const echo = `
import os, socket, time
s = socket.create_connection(('${GUEST}', 80), 10)
s.settimeout(600)
s.send(b'GET / HTTP/1.1\\r\\nHost: x\\r\\n')
print('begun', flush=True)
while not os.path.exists('${go}'): time.sleep(0.05)
s.send(b'Connection: close\\r\\n\\r\\n')
print('got', s.recv(100).split(b'\\r\\n')[0], flush=True)
`;
    const running = await a.start('python3', ['-c', echo]);
    await running.waitFor(/begun\n/);
    await service.end(signal);
    await sleep(100);
    await service.startReady();
    writeFileSync(go, '');
    await running.waitFor(/got b'HTTP\/1.1 200 OK'\n/);
  }
});

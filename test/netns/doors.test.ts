/**
 * `sgctl doors` on a host with interfaces of each sort, of which the daemon guards some: a namespace stands for the host,
 * and others are containers and machines to it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { DoorsReport } from '../../src/cli/doors.ts';
import { ownerText } from '../../src/doors/survey/facts.ts';
import type { Netns } from '../support/netns.ts';
import { start, type Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

/** Holds a TAP as a hypervisor does, under a name that would colour a terminal. */
const HOLD_TAP = `
import fcntl, struct, sys, time
tap = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH', sys.argv[1].encode(), 0x1002))
open('/proc/self/comm', 'w').write('\\x1b[31m' + sys.argv[2])
print('held', flush=True)
time.sleep(1000)
`;

const NAMES = ['host', 'web', 'db', 'tun', 'pair', 'world', 'liar', 'accomplice'] as const;
type World = Record<(typeof NAMES)[number], Netns>;

function configuration({ host, tun, pair, world }: World): string {
  return `
uplink: { tun: up0, netns: ${world.path}, addresses: [198.51.100.7/24] }
securityGroups: { open: { ingress: [] } }
interfaces:
  web: { device: { kind: attach, netns: ${host.path}, name: veth-web }, addresses: [10.0.0.11], securityGroups: [open] }
  tun: { device: { netns: ${tun.path}, name: eth0 }, addresses: [10.0.0.12], securityGroups: [open] }
  pair: { device: { kind: veth, netns: ${pair.path}, name: eth0 }, addresses: [10.0.0.14], securityGroups: [open] }
  vm: { device: { kind: attach, netns: ${host.path}, name: vm1 }, addresses: [10.0.0.13], securityGroups: [open] }
`;
}

async function plugIn(host: Netns, end: string, instance: string, name = 'eth0'): Promise<void> {
  const peer = ['peer', 'name', name, 'netns', instance];
  await host.mustRun('ip', ['link', 'add', end, 'type', 'veth', ...peer]);
  await host.mustRun('ip', ['link', 'set', end, 'up']);
}

async function holdTap(host: Netns, device: string, name: string): Promise<Running> {
  const holder = await host.start('python3', ['-c', HOLD_TAP, device, name]);
  await holder.waitFor(/held/);
  await host.mustRun('ip', ['link', 'set', device, 'up']);
  return holder;
}

/** A pair with the indexes of another one, as whoever is root in a container can make it: it is no guarded one. */
async function lie(host: Netns, { web, liar, accomplice }: World): Promise<void> {
  const indexOf = async (netns: Netns, name: string): Promise<string> => {
    const text = await netns.mustRun('ip', ['-j', 'link', 'show', name]);
    return String((JSON.parse(text) as readonly { readonly ifindex: number }[])[0].ifindex);
  };
  const [own, other] = [await indexOf(web, 'eth0'), await indexOf(host, 'veth-web')];
  const peer = ['peer', 'name', 'x', 'index', other, 'netns', accomplice.path];
  await liar.mustRun('ip', ['link', 'add', 'eth0', 'index', own, 'type', 'veth', ...peer]);
  await liar.mustRun('ip', ['link', 'set', 'eth0', 'up']);
  await accomplice.mustRun('ip', ['link', 'set', 'x', 'up']);
  await plugIn(host, 'veth-out', accomplice.path);
  await accomplice.mustRun('ip', ['link', 'set', 'eth0', 'up']);
}

/** A process in a namespace that nobody gave a name, as a container's. */
async function contain(t: TestContext, host: Netns): Promise<Running> {
  const command = 'ip link set lo up; echo ready; exec sleep 1000';
  const container = await start('unshare', ['--net', 'sh', '-c', command]);
  t.after(() => container.stop());
  await container.waitFor(/ready/);
  const path = `/proc/${container.pid}/ns/net`;
  await plugIn(host, 'veth-box', path);
  await host.mustRun('nsenter', [`--net=${path}`, 'ip', 'link', 'set', 'eth0', 'up']);
  return container;
}

test('what the daemon guards is told from what it does not', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft', 'python3', 'unshare', 'nsenter')) return;
  const names = await makeNamespaces(t, NAMES);
  const { host, web, db, tun } = names;
  await plugIn(host, 'veth-web', web.path);
  await plugIn(host, 'veth-db', db.path);
  await plugIn(host, 'veth-past', tun.path, 'eth1');
  for (const [netns, device] of [
    [web, 'eth0'],
    [db, 'eth0'],
    [tun, 'eth1'],
  ] as const)
    await netns.mustRun('ip', ['link', 'set', device, 'up']);
  const guarded = await holdTap(host, 'vm1', 'one');
  const open = await holdTap(host, 'vm2', 'two');
  const container = await contain(t, host);
  await lie(host, names);
  const file = temporaryFile(t, 'doors.yaml', configuration(names));
  const control = join(dirname(file), 'control.sock');
  await Daemon.start(t, file, ['--control', control]);

  const { code, stdout, stderr } = await host.run(process.execPath, [
    ...[SGCTL, 'doors', '--json', '--socket', control],
  ]);
  assert.equal(code, 3, stderr);
  const report = JSON.parse(stdout) as DoorsReport;
  assert.deepEqual(report.daemons, [{ socket: control, state: 'answered' }]);
  const places = [...Object.values(names).map(({ path }) => path), `/proc/${container.pid}/ns/net`];
  const inodes = new Set(places.map((path) => statSync(path).ino));
  // The machine has namespaces of others.
  const ours = report.interfaces.filter(({ netnsInode }) => inodes.has(netnsInode));
  const found = ours.map(({ verdict, owner, device, kind, hostEnd, guardedBy }) =>
    [verdict, ownerText(owner), device, kind, hostEnd ?? '-', guardedBy?.interface ?? '-'].join(
      ' ',
    ),
  );
  const holder = ({ pid }: Running, name: string): string => `\x1b[31m${name} (pid ${pid})`;
  assert.deepEqual(
    found.sort(),
    [
      `guarded ${web.name} eth0 veth - web`,
      `guarded ${tun.name} eth0 tun - tun`,
      `guarded ${holder(guarded, 'one')} vm1 tap - vm`,
      `guarded ${names.pair.name} eth0 veth - pair`,
      `unguarded ${tun.name} eth1 veth veth-past -`,
      `unguarded ${db.name} eth0 veth veth-db -`,
      `unguarded ${names.liar.name} eth0 veth - -`,
      `unguarded ${names.accomplice.name} x veth - -`,
      `unguarded ${names.accomplice.name} eth0 veth veth-out -`,
      `unguarded ${holder(open, 'two')} vm2 tap vm2 -`,
      `unguarded sleep (pid ${container.pid}) eth0 veth veth-box -`,
    ].sort(),
  );

  const table = await host.run(process.execPath, [SGCTL, 'doors', '--socket', control]);
  assert.equal(table.code, 3);
  assert.ok(!table.stdout.includes('\x1b'), table.stdout);
  assert.ok(table.stdout.includes(`\ufffd[31mtwo (pid ${open.pid})`), table.stdout);

  // The daemon's devices go with it, and what it has packet sockets on stays closed; nobody says so any more.
  const dead = await host.run(process.execPath, [
    ...[SGCTL, 'doors', '--json', '--socket', `${control}.none`],
  ]);
  assert.equal(dead.code, 3);
  const { interfaces } = JSON.parse(dead.stdout) as DoorsReport;
  assert.deepEqual(
    interfaces.filter(({ verdict }) => verdict === 'guarded'),
    [],
  );
});

/** Runs a script on a host of its own: processes, mounts and networks. */
function onOwnHost(script: string): readonly string[] {
  const flags = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const prelude = `
    mount -t tmpfs tmpfs /run && mkdir -p /run/netns
    doors() { "$@" ${process.execPath} ${SGCTL} doors --socket /run/none.sock; echo "exit $?"; }
  `;
  const { stdout, stderr } = spawnSync('unshare', [...flags, 'sh', '-c', prelude + script], {
    encoding: 'utf8',
  });
  return `${stdout}${stderr}`.split('\n');
}

const exits = (lines: readonly string[]): readonly string[] =>
  lines.filter((line) => line.startsWith('exit '));

test('exit codes: nothing there, something unguarded', (t) => {
  if (!canRun(t) || !requireTools(t, 'unshare')) return;
  const lines = onOwnHost(`
    doors
    ip netns add box
    ip link add va type veth peer name eth0 netns box
    ip link set va up
    doors
    ip -n box link set eth0 up
    doors
  `);
  assert.deepEqual(exits(lines), ['exit 0', 'exit 0', 'exit 3'], lines.join('\n'));
  const text = lines.join('\n');
  assert.match(text, /^No container and no virtual machine has an interface here\.$/m);
  assert.match(text, /^unguarded +box +eth0 +leads to va on the host +veth +\/run\/netns\/box$/m);
  assert.match(text, /^0 guarded, 1 not guarded, 0 unknown$/m);
});

test('without root: what could not be looked at is told, and nothing is called guarded', (t) => {
  if (!canRun(t) || !requireTools(t, 'unshare', 'setpriv')) return;
  const lines = onOwnHost(`
    as_nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
    $as_nobody ${process.execPath} ${SGCTL} --version > /dev/null || { echo "cannot start"; exit; }
    sleep 1000 &
    doors $as_nobody
    ip netns add box
    ip link add va type veth peer name eth0 netns box
    ip link set va up
    ip -n box link set eth0 up
    doors $as_nobody
    kill $!
  `);
  if (lines.includes('cannot start')) {
    t.skip('this folder may not be read by other users');
    return;
  }
  const text = lines.join('\n');
  assert.deepEqual(exits(lines), ['exit 4', 'exit 3'], text);
  assert.match(
    text,
    /^not looked at: the network namespaces of 2 processes: EACCES: ask as root$/m,
  );
  assert.match(text, /^unguarded +\(unknown\) +va +leads to where sgctl could not look /m);
  assert.match(text, /^not looked at: the network namespace of box: .*EPERM/m);
});

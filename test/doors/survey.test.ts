/** What the survey of a host reads: control groups, command lines, mounts, plugins, and a daemon's answer. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { netdevsOf } from '../../src/doors/survey/machines.ts';
import { mountedNamespaces } from '../../src/doors/survey/namespaces.ts';
import type { Owner } from '../../src/doors/survey/facts.ts';
import { containerOf } from '../../src/doors/survey/owner.ts';
import { lookAtProcesses } from '../../src/doors/survey/processes.ts';
import { listRuntimes } from '../../src/doors/survey/runtimes.ts';
import { containersOnHost, guardsOf } from '../../src/doors/survey/survey.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';

const NOBODY = 65_534;
const ID = '3f2a9c1b7d8e'.padEnd(64, '0');

test('whose a process is, by its control group', () => {
  const cases: readonly (readonly [path: string, owner: string | undefined])[] = [
    [`/system.slice/docker-${ID}.scope`, 'docker 3f2a9c1b7d8e'],
    [`/docker/${ID}`, 'docker 3f2a9c1b7d8e'],
    [`/docker/${ID}/init.scope`, 'docker 3f2a9c1b7d8e'],
    [`/machine.slice/libpod-${ID}.scope/container`, 'podman 3f2a9c1b7d8e'],
    [
      `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope`,
      'podman 3f2a9c1b7d8e',
    ],
    [`/machine.slice/libpod-conmon-${ID}.scope`, 'container 3f2a9c1b7d8e'],
    [`/kubepods.slice/kubepods-pod1.slice/cri-containerd-${ID}.scope`, 'kubernetes 3f2a9c1b7d8e'],
    [`/kubepods/besteffort/pod1/${ID}`, 'kubernetes 3f2a9c1b7d8e'],
    [`/system.slice/nerdctl-${ID}.scope`, 'nerdctl 3f2a9c1b7d8e'],
    [`/default/${ID}`, 'container 3f2a9c1b7d8e'],
    ['/machine.slice/machine-qemu\\x2d3\\x2dweb\\x2done.scope/libvirt/emulator', 'libvirt web-one'],
    ['/machine/qemu-3-web.libvirt-qemu/emulator', 'libvirt web'],
    ['/lxc.payload.box/init.scope', 'lxc box'],
    ['/machine.slice/systemd-nspawn@box.service/payload', 'nspawn box'],
    ['/machine.slice/machine-box.scope', 'nspawn box'],
    ['/system.slice/docker.service', undefined],
    ['/user.slice/user-1000.slice/session-1.scope', undefined],
    ['/', undefined],
    ['', undefined],
  ];
  for (const [path, expected] of cases) {
    const owner = containerOf(`0::${path}\n`);
    assert.equal(owner === undefined ? undefined : `${owner.kind} ${owner.name}`, expected, path);
  }
  const hybrid = `12:cpu,cpuacct:/docker/${ID}\n1:name=systemd:/\n0::/system.slice/x.service\n`;
  assert.deepEqual(containerOf(hybrid), { kind: 'docker', name: '3f2a9c1b7d8e' });
});

test('threads of the kernel are nobody’s processes, whatever namespace they are in', (t) => {
  const proc = mkdtempSync(join(tmpdir(), 'sgt-proc-'));
  t.after(() => rmSync(proc, { recursive: true, force: true }));
  // As /proc tells: the name may have brackets and blanks in it, and the flags are the ninth field.
  const made: readonly (readonly [pid: number, comm: string, flags: number])[] = [
    [2, 'kthreadd', 0x20_8040],
    [7, 'kworker/0:1 (x) S', 0x420_8060],
    [900, 'a) S 2 0 0 0 -1 2129984 (b', 0x40_0100],
  ];
  for (const [pid, comm, flags] of made) {
    const path = join(proc, String(pid));
    mkdirSync(join(path, 'ns'), { recursive: true });
    mkdirSync(join(path, 'task', String(pid)), { recursive: true });
    writeFileSync(join(path, 'ns', 'net'), '');
    writeFileSync(join(path, 'comm'), `${comm}\n`);
    writeFileSync(join(path, 'stat'), `${pid} (${comm}) S 2 0 0 0 -1 ${flags} 0 0 0\n`);
  }
  const { processes, unread } = lookAtProcesses(proc);
  const netns = statSync(join(proc, '900/ns/net')).ino;
  const owner = { kind: 'process', name: `${made[2][1]} (pid 900)` };
  assert.deepEqual([processes, unread], [[{ pid: 900, owner, netns, threads: [] }], []]);
});

test('which networks of a machine are no TAPs, by its command line', () => {
  const cases: readonly (readonly [line: string, netdevs: readonly string[]])[] = [
    ['-m 256', ['user']],
    ['-nodefaults', []],
    ['-nic none', []],
    ['-net none', []],
    ['-netdev tap,id=n0,ifname=vm1,script=no -device virtio-net-pci,netdev=n0', []],
    ['-netdev bridge,id=n0', []],
    ['-netdev user,id=n0', ['user']],
    ['-nic user,model=virtio', ['user']],
    ['-nic model=virtio,type=user', ['user']],
    ['-net nic -net user', ['user']],
    [
      '--netdev stream,id=n0,server=off,addr.type=unix,addr.path=/run/a,,b.sock',
      ['stream /run/a,b.sock'],
    ],
    [
      '-netdev {"type":"stream","addr":{"type":"unix","path":"/run/vm.sock"},"id":"n0"}',
      ['stream /run/vm.sock'],
    ],
    ['-netdev {"type":"tap","fd":"30","id":"n0"}', []],
    ['-netdev {"type":', ['unreadable']],
    ['-netdev vhost-user,id=n0,chardev=c', ['vhost-user']],
    ['-netdev', ['']],
    ['-nodefaults -device vfio-pci,host=01:00.0', ['vfio']],
    ['-nodefaults -device {"driver":"vfio-pci","host":"01:00.0"}', ['vfio']],
  ];
  for (const [line, expected] of cases) {
    const found = netdevsOf(line.split(' '));
    const texts = found.map(({ type, path }) => (path === undefined ? type : `${type} ${path}`));
    assert.deepEqual(texts, expected, line);
  }
});

test('where namespaces are mounted', () => {
  const text = [
    '22 28 0:21 / /sys rw shared:7 - sysfs sysfs rw',
    '301 25 0:4 net:[4026532388] /run/netns/web rw shared:9 - nsfs nsfs rw',
    '302 25 0:4 net:[4026532388] /run/docker/netns/1 rw - nsfs nsfs rw',
    '303 25 0:4 net:[4026532389] /run/netns/a\\040b rw - nsfs nsfs rw',
    '304 25 0:4 mnt:[4026532390] /run/snapd/ns/x.mnt rw - nsfs nsfs rw',
    '305 25 8:1 net:[4026532391] /mnt rw - ext4 /dev/sda1 rw',
    '',
  ].join('\n');
  assert.deepEqual(
    [...mountedNamespaces(text)],
    [
      [4026532388, ['/run/netns/web', '/run/docker/netns/1']],
      [4026532389, ['/run/netns/a b']],
    ],
  );
});

test('runtimes with their plugins and networks', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'sgt-doors-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const put = (path: string, text = ''): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  put('run/docker/plugins/secgroupd.sock');
  put('run/docker/plugins/0a1b/secgroupd.sock');
  put('run/docker/plugins/other.sock');
  put('usr/lib/cni/secgroupd');
  put('usr/lib/netavark/secgroupd');
  put('etc/cni/net.d/a.conflist', '{"plugins":[{"type":"bridge"},{"type":"secgroupd"}]}');
  put('etc/cni/net.d/b.conf', '{"type":"secgroupd"}');
  put('etc/cni/net.d/c.conflist', '{"plugins":[{"type":"bridge"}],"name":"secgroupd"}');
  put('etc/cni/net.d/d.conflist', '{"plugins":');
  put('etc/cni/net.d/e.conflist', '[]');
  put('etc/cni/net.d/readme.txt', '{"type":"secgroupd"}');
  mkdirSync(join(root, 'etc/cni/net.d/f.conflist'));
  const installed = ['dockerd', 'podman', 'nomad', 'virsh'];
  const find = (program: string): string | undefined =>
    installed.includes(program) ? `/usr/bin/${program}` : undefined;
  const { runtimes, unread } = listRuntimes(find, root);
  const short = (path: string): string => path.slice(root.length);
  const found = runtimes.map(({ name, program, plugins, networks }) => [
    name,
    program,
    plugins?.map(({ kind, path }) => `${kind} ${short(path)}`),
    networks.map(short),
  ]);
  const networks = ['/etc/cni/net.d/a.conflist', '/etc/cni/net.d/b.conf'];
  const cni = 'cni /usr/lib/cni/secgroupd';
  assert.deepEqual(found, [
    [
      'docker',
      '/usr/bin/dockerd',
      [
        'docker /run/docker/plugins/secgroupd.sock',
        'docker-managed /run/docker/plugins/0a1b/secgroupd.sock',
      ],
      [],
    ],
    ['podman', '/usr/bin/podman', [cni, 'netavark /usr/lib/netavark/secgroupd'], networks],
    ['nomad', '/usr/bin/nomad', [cni], networks],
    ['libvirt', '/usr/bin/virsh', undefined, []],
  ]);
  assert.deepEqual(
    unread.map(({ what, reason }) => `${short(what)}: ${reason}`),
    ['/etc/cni/net.d/f.conflist: it can not be read, or is too large'],
  );
});

test('a folder of plugins that may not be read is said to be', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'sgt-doors-'));
  const folder = join(root, 'run/docker/plugins');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0);
  t.after(() => {
    chmodSync(folder, 0o700);
    rmSync(root, { recursive: true, force: true });
  });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    const { unread } = listRuntimes(() => undefined, root);
    assert.deepEqual(new Set(unread.map(({ reason }) => reason)), new Set(['EACCES']));
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

const TRAFFIC = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };

function view(more: Partial<InterfaceView>): InterfaceView {
  return {
    ...{ name: 'web', id: 'eni-1', device: 'eth0', kind: 'tun', netnsInode: 7, mtu: 1500 },
    ...{ addresses: [], groups: [], ingress: TRAFFIC, egress: TRAFFIC, flows: 0 },
    ...more,
  };
}

test('what a daemon guards, by its answer', () => {
  const { daemon, guards } = guardsOf('/s', [
    view({}),
    view({ name: 'gone', waiting: 'ENODEV' }),
    view({ name: 'vm', kind: 'attach', device: 'tap0' }),
    view({ name: 'pair', kind: 'veth', hostEnd: { device: 'sgv1', netnsInode: 1 } }),
    {
      ...view({ name: 'moved', kind: 'veth', hostEnd: { device: 'sgv2', netnsInode: 1 } }),
      netnsInode: undefined,
    },
    { ...view({ name: 'far', kind: 'stream', device: '/run/vm.sock' }), netnsInode: undefined },
    { ...view({ name: 'uplink', device: 'up0' }), id: undefined },
    view({ name: 'uplink', id: 'eni-2' }),
  ] as InterfaceView[]);
  assert.deepEqual(daemon, { socket: '/s', state: 'answered' });
  const texts = guards.map(({ name, isUplink, device, isStream, isHostEnd, netnsInode }) =>
    [name, device, netnsInode, isUplink, isStream, isHostEnd].join(' '),
  );
  assert.deepEqual(texts, [
    'web eth0 7 false false false',
    'vm tap0 7 false false true',
    'pair sgv1 1 false false true',
    'moved sgv2 1 false false true',
    'far /run/vm.sock  false true false',
    'uplink up0 7 true false false',
    'uplink eth0 7 false false false',
  ]);
});

test('a daemon that does not tell where its devices are is not known', () => {
  const old = { ...view({ name: 'old' }), netnsInode: undefined } as unknown as InterfaceView;
  const { daemon, guards } = guardsOf('/s', [view({}), old]);
  assert.equal(daemon.state, 'unknown');
  assert.match(daemon.reason ?? '', /restart it/);
  assert.deepEqual(
    guards.map(({ name }) => name),
    ['web'],
  );
});

test('containers on the host’s network, but for the one that was asked', () => {
  const docker = (name: string): Owner => ({ kind: 'docker', name });
  const processes = [
    { pid: 10, owner: docker('a'), netns: 1, threads: [] },
    { pid: 11, owner: docker('a'), netns: 1, threads: [] },
    { pid: 12, owner: docker('b'), netns: 2, threads: [] },
    { pid: 13, owner: docker('plugin'), netns: 1, threads: [] },
    { pid: 14, owner: { kind: 'process', name: 'sh (pid 14)' }, netns: 1, threads: [] },
    { pid: 15, owner: { kind: 'libvirt', name: 'vm' }, netns: 1, threads: [] },
  ];
  const names = (sockets: readonly string[]): readonly string[] =>
    containersOnHost(processes, 1, sockets).map(({ name }) => name);
  assert.deepEqual(names(['/run/control.sock']), ['a', 'plugin']);
  assert.deepEqual(names(['/proc/13/root/run/control.sock']), ['a']);
});

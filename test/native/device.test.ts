/** Opening devices: in which namespace, with which offloads, whose they are, and every way it can fail. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';

import type { OpenOptions } from '../../src/ports/native.ts';
import { makeNamespace, native, thrownBy } from './support.ts';

test('a TUN is made in the namespace, and goes with its descriptor', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const ownBefore = readlinkSync('/proc/thread-self/ns/net');
  const options = {
    kind: 'tun',
    name: 'sgt0',
    netns: namespace.path,
    persist: false,
  } as const;
  const device = native.openDevice(options);

  const [link] = namespace.ipJson('-details', 'link', 'show', 'sgt0');
  assert.equal(link?.['ifindex'], device.ifindex);
  const { info_kind: kind, info_data: data } = link?.['linkinfo'] as Record<string, unknown>;
  assert.equal(kind, 'tun');
  const { type, pi, vnet_hdr: vnetHdr, persist } = data as Record<string, unknown>;
  assert.deepEqual(
    { type, pi, vnetHdr, persist },
    { type: 'tun', pi: false, vnetHdr: true, persist: false },
  );
  assert.equal(device.name, 'sgt0');
  assert.equal(device.created, true);
  assert.equal(native.linkIndex(undefined, 'sgt0'), 0);
  assert.equal(readlinkSync('/proc/thread-self/ns/net'), ownBefore);

  native.closeFd(device.fd);
  assert.equal(native.linkIndex(namespace.path, 'sgt0'), 0);
});

test('the offloads reported are those the kernel turned on', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const device = namespace.open({ name: 'sgt0' });
  let features: string;
  try {
    features = namespace.run('ethtool', '-k', 'sgt0');
  } catch {
    t.skip('needs ethtool');
    return;
  }
  const isOn = (feature: string): boolean => new RegExp(`^\\s*${feature}: on`, 'm').test(features);
  assert.deepEqual(device.offloads, {
    checksum: isOn('tx-checksum-ip-generic'),
    tso4: isOn('tx-tcp-segmentation'),
    tso6: isOn('tx-tcp6-segmentation'),
    uso: isOn('tx-udp-segmentation'),
  });
  assert.equal(device.offloads.checksum, true);
});

test('the descriptor does not block and is closed on exec', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { fd } = namespace.open({ name: 'sgt0' });
  const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  assert.equal(Number.parseInt(flags ?? '', 8) & 0o2004003, 0o2004002); // O_CLOEXEC | O_NONBLOCK | O_RDWR
});

test('a persistent device stays, and is attached to again', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const options = { kind: 'tap', name: 'sgt0', netns: namespace.path } as const;
  const first = native.openDevice({ ...options, persist: true });
  native.closeFd(first.fd);
  assert.equal(native.linkIndex(namespace.path, 'sgt0'), first.ifindex);

  const second = native.openDevice({ ...options, persist: false });
  assert.equal(second.created, false);
  assert.equal(second.ifindex, first.ifindex);
  assert.deepEqual(second.offloads, first.offloads);
  native.closeFd(second.fd);
  // persist: false does not take another's persistent interface away.
  assert.equal(native.linkIndex(namespace.path, 'sgt0'), first.ifindex);

  native.deleteLink(namespace.path, first.ifindex);
  assert.equal(native.linkIndex(namespace.path, 'sgt0'), 0);
});

test('a device with several queues has a descriptor each, and goes with the last', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const options = {
    kind: 'tap',
    name: 'sgt0',
    netns: namespace.path,
    persist: false,
    queues: 2,
  } as const;
  const queues = [1, 2, 3].map(() => native.openDevice(options));
  assert.deepEqual(
    queues.map(({ created }) => created),
    [true, false, false],
  );
  assert.equal(new Set(queues.map(({ fd }) => fd)).size, 3);
  assert.equal(new Set(queues.map(({ ifindex }) => ifindex)).size, 1);
  for (const { offloads } of queues) assert.deepEqual(offloads, queues[0].offloads);
  const one = thrownBy(() => native.openDevice({ ...options, queues: 1 }));
  assert.equal(
    one.message,
    'EINVAL: interface sgt0 exists and is not a TAP interface with one queue (ioctl TUNSETIFF)',
  );
  for (const { fd } of queues) {
    assert.equal(native.linkIndex(namespace.path, 'sgt0'), queues[0].ifindex);
    native.closeFd(fd);
  }
  assert.equal(native.linkIndex(namespace.path, 'sgt0'), 0);
});

test('a kept descriptor of a device with another number of queues is refused', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const open = { kind: 'tun', netns: namespace.path, persist: false } as const;
  const one = namespace.open({ name: 'sgt0' });
  const many = namespace.open({ name: 'sgt1', queues: 2 });
  const adopt = (fd: number, name: string, queues: number): string =>
    thrownBy(() => native.adoptDevice(fd, { ...open, name, queues })).message;
  assert.match(adopt(one.fd, 'sgt0', 2), /sgt0.*: it has one queue \(/);
  assert.match(adopt(many.fd, 'sgt1', 1), /sgt1.*: it has several queues \(/);
  const adopted = native.adoptDevice(many.fd, { ...open, name: 'sgt1', queues: 2 });
  assert.deepEqual([adopted.ifindex, adopted.created], [many.ifindex, false]);
});

test('a kept descriptor is refused unless name, kind and namespace are those that are wanted', (t) => {
  const [namespace, other] = [makeNamespace(t), makeNamespace(t)];
  if (namespace === undefined || other === undefined) return;
  const { fd } = namespace.open({ name: 'sgt0' });
  const wanted = { kind: 'tun', name: 'sgt0', netns: namespace.path, persist: false } as const;
  const refused = (change: Partial<OpenOptions>): string =>
    thrownBy(() => native.adoptDevice(fd, { ...wanted, ...change })).message;
  assert.match(refused({ name: 'sgt1' }), /not sgt1: it has another name/);
  assert.match(refused({ kind: 'tap' }), /not sgt0: it is of the other kind/);
  assert.match(refused({ netns: other.path }), /not sgt0: it is in another network namespace/);
  // One of that name there makes no difference.
  other.open({ name: 'sgt0' });
  assert.match(refused({ netns: other.path }), /not sgt0: it is in another network namespace/);
  assert.equal(native.adoptDevice(fd, wanted).fd, fd);
});

test('a kept descriptor of a device that was moved and renamed is taken over where that is', (t) => {
  const [namespace, other] = [makeNamespace(t), makeNamespace(t)];
  if (namespace === undefined || other === undefined) return;
  const { fd } = namespace.open({ name: 'sgt0' });
  const [from, to] = [namespace, other].map(({ path }) => basename(path));
  execFileSync('ip', ['-n', from, 'link', 'set', 'sgt0', 'netns', to, 'name', 'eth7']);
  const wanted = { kind: 'tun', name: 'sgt0', persist: false } as const;
  const refused = (change: Partial<OpenOptions>): string =>
    thrownBy(() => native.adoptDevice(fd, { ...wanted, ...change })).message;
  assert.match(refused({}), /not sgt0: it has another name/);
  assert.match(refused({ moved: true, kind: 'tap' }), /not eth7: it is of the other kind/);
  const { name, ifindex, mtu } = native.adoptDevice(fd, { ...wanted, moved: true });
  assert.deepEqual({ name, ifindex, mtu }, { name: 'eth7', ifindex: 0, mtu: 0 });
});

test('a device that is held, or is of another kind, is refused', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  namespace.open({ name: 'sgt0' });
  const options = { name: 'sgt0', netns: namespace.path, persist: true } as const;

  const busy = thrownBy(() => native.openDevice({ ...options, kind: 'tun' }));
  assert.equal(
    busy.message,
    'EBUSY: interface sgt0 is held by another descriptor (ioctl TUNSETIFF)',
  );
  assert.equal(busy.code, 'EBUSY');
  assert.equal(busy.errno, 16);
  assert.equal(busy.syscall, 'ioctl TUNSETIFF');
  assert.equal(busy.device, 'sgt0');

  for (const name of ['sgt0', 'lo']) {
    const error = thrownBy(() => native.openDevice({ ...options, name, kind: 'tap' }));
    assert.equal(
      error.message,
      `EINVAL: interface ${name} exists and is not a TAP interface with one queue (ioctl TUNSETIFF)`,
    );
  }
});

test('a namespace that is missing, or is none, is named', (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root to enter namespaces');
  const directory = mkdtempSync(join(tmpdir(), 'sgt-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'file');
  const fifo = join(directory, 'fifo');
  writeFileSync(file, '');
  execFileSync('mkfifo', [fifo]);

  const missing = thrownBy(() =>
    native.openDevice({ kind: 'tun', name: 'sgt0', netns: `${file}-none`, persist: false }),
  );
  assert.equal(missing.message, `ENOENT: network namespace ${file}-none cannot be opened (open)`);
  assert.equal(missing.code, 'ENOENT');
  assert.equal(missing.errno, 2);
  assert.equal(missing.syscall, 'open');
  assert.equal(missing.device, `${file}-none`);

  for (const path of [file, fifo]) {
    const none = thrownBy(() => native.linkIndex(path, 'lo'));
    assert.equal(none.message, `EINVAL: ${path} is not a network namespace (setns)`);
    assert.equal(none.syscall, 'setns');
    assert.equal(none.device, path);
  }
});

test('failures leave no descriptor, no thread and no interface behind', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  namespace.open({ name: 'sgt0' });
  const open = (name: string, netns: string): void => {
    thrownBy(() => native.openDevice({ kind: 'tap', name, netns, persist: true }));
  };
  const count = (what: string): number => readdirSync(`/proc/self/${what}`).length;
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) {
      open('sgt0', namespace.path); // of the other kind
      open('lo', namespace.path);
      open('sgt1', '/run/netns/sgt-none');
      open('sgt1', '/etc/hostname');
      thrownBy(() => native.setLink(namespace.path, 4711, { up: true }));
    }
  };
  // Node.js starts threads of its own when it first has work for them: what counts is what fifty more leave.
  fail(10);
  const descriptors = count('fd');
  const threads = count('task');
  fail(50);
  assert.equal(count('fd'), descriptors);
  assert.equal(count('task'), threads);
  assert.deepEqual(
    namespace.ipJson('link').map((link) => link['ifname']),
    ['lo', 'sgt0'],
  );
});

test('without the right to make interfaces, the message says what is needed', (t) => {
  const script = `
    const native = require(process.argv[1]);
    try { native.openDevice({ kind: 'tun', name: 'sgt0', persist: false }); }
    catch (error) { console.log(error.message); }`;
  const addon = new URL('../../../build/native/secgroupd.node', import.meta.url).pathname;
  let printed: string;
  try {
    // A user namespace alone: root in there has no rights over the network namespace outside.
    printed = execFileSync('unshare', ['-U', process.execPath, '-e', script, addon], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
  } catch (error) {
    t.skip(`needs user namespaces: ${String(error)}`);
    return;
  }
  assert.match(
    printed,
    /^(EPERM: TUN interface sgt0 cannot be opened: CAP_NET_ADMIN in its network namespace is needed, or to be the owner of a persistent interface \(ioctl TUNSETIFF\)|E(ACCES|NOENT): \/dev\/net\/tun cannot be opened for sgt0: .*\(open\))\n$/,
  );
});

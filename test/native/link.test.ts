/** Addresses, routes and link settings, as `ip` sees them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytes, makeNamespace, native, thrownBy } from './support.ts';

const IPV6_ADDRESS = bytes(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const IPV6_GATEWAY = bytes(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
const IPV6_NETWORK = bytes(0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

test('addresses are there, usable at once, and may be set twice', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  // A TAP, since a TUN does no duplicate address detection anyway.
  const { ifindex } = namespace.open({ kind: 'tap', name: 'sgt0' });
  for (let i = 0; i < 2; i++) {
    native.addAddress(namespace.path, ifindex, bytes(10, 7, 0, 1), 24);
    native.addAddress(namespace.path, ifindex, IPV6_ADDRESS, 64);
  }
  native.setLink(namespace.path, ifindex, { up: true });
  const [link] = namespace.ipJson('addr', 'show', 'sgt0', 'scope', 'global');
  const found = (link?.['addr_info'] as Record<string, unknown>[])
    .filter((address) => 'local' in address) // `ip` prints {} for those of another scope
    .map(({ local, prefixlen, tentative }) => ({ local, prefixlen, tentative }));
  assert.deepEqual(found, [
    { local: '10.7.0.1', prefixlen: 24, tentative: undefined },
    { local: 'fd00::1', prefixlen: 64, tentative: undefined },
  ]);
});

test('routes go to the device or by way of a gateway; what is there stays', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { path } = namespace;
  const { ifindex } = namespace.open({ name: 'sgt0' });
  for (const isNew of [true, false]) {
    assert.equal(native.addAddress(path, ifindex, bytes(10, 7, 0, 1), 24), isNew);
    assert.equal(native.addAddress(path, ifindex, IPV6_ADDRESS, 64), isNew);
  }
  native.setLink(path, ifindex, { up: true });

  native.addRoute(path, ifindex, bytes(10, 8, 0, 0), 16, undefined);
  assert.equal(native.addRoute(path, ifindex, bytes(10, 9, 0, 0), 16, bytes(10, 7, 0, 8)), true);
  assert.equal(native.addRoute(path, ifindex, bytes(10, 9, 0, 0), 16, bytes(10, 7, 0, 8)), false);
  assert.throws(() => native.addRoute(path, ifindex, bytes(10, 9, 0, 0), 16, bytes(10, 7, 0, 9)), {
    code: 'EEXIST',
    syscall: 'rtnetlink RTM_NEWROUTE',
    message: /sgt0: .* is not replaced/,
  });
  native.addRoute(path, ifindex, bytes(0, 0, 0, 0), 0, undefined);
  native.addRoute(path, ifindex, IPV6_NETWORK, 32, IPV6_GATEWAY);
  native.addRoute(path, ifindex, new Uint8Array(16), 0, undefined);

  const pick = (route: Readonly<Record<string, unknown>>): string =>
    ['dst', 'gateway', 'scope']
      .flatMap((key) => (key in route ? [String(route[key])] : []))
      .join(' ');
  const own = (...args: string[]): string[] =>
    namespace.ipJson(...args, 'route', 'show', 'proto', 'static').map(pick);
  assert.deepEqual(own('-4'), ['default link', '10.8.0.0/16 link', '10.9.0.0/16 10.7.0.8']);
  assert.deepEqual(own('-6').sort(), ['default', 'fd01::/32 fd00::9']);
});

test('addresses and routes are taken away again, once', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { path } = namespace;
  const { ifindex } = namespace.open({ name: 'sgt0' });
  native.addAddress(path, ifindex, bytes(10, 7, 0, 1), 24);
  native.addAddress(path, ifindex, IPV6_ADDRESS, 64);
  native.setLink(path, ifindex, { up: true });
  native.addRoute(path, ifindex, bytes(10, 8, 0, 0), 16, undefined);
  native.removeRoute(path, ifindex, bytes(10, 8, 0, 0), 16, undefined);
  native.removeAddress(path, ifindex, bytes(10, 7, 0, 1), 24);
  native.removeAddress(path, ifindex, IPV6_ADDRESS, 64);
  assert.deepEqual(namespace.ipJson('-4', 'route', 'show', 'proto', 'static'), []);
  assert.doesNotMatch(JSON.stringify(namespace.ipJson('address')), /10\.7\.0\.1/);
  assert.throws(() => native.removeRoute(path, ifindex, bytes(10, 8, 0, 0), 16, undefined), {
    code: 'ESRCH',
    syscall: 'rtnetlink RTM_DELROUTE',
  });
  assert.throws(() => native.removeAddress(path, ifindex, bytes(10, 7, 0, 1), 24), {
    code: 'EADDRNOTAVAIL',
    syscall: 'rtnetlink RTM_DELADDR',
  });
});

test('the link takes what is given and keeps the rest', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { ifindex } = namespace.open({ kind: 'tap', name: 'sgt0' });
  const show = (): Record<string, unknown> => {
    const [link] = namespace.ipJson('link', 'show', 'sgt0');
    return {
      up: (link?.['flags'] as string[]).includes('UP'),
      mtu: link?.['mtu'],
      txqlen: link?.['txqlen'],
      address: link?.['address'],
    };
  };
  native.setLink(namespace.path, ifindex, {
    up: true,
    mtu: 1400,
    txQueueLength: 77,
    macAddress: bytes(2, 0, 0, 0xab, 0xcd, 0xef),
  });
  const all = { up: true, mtu: 1400, txqlen: 77, address: '02:00:00:ab:cd:ef' };
  assert.deepEqual(show(), all);
  native.setLink(namespace.path, ifindex, {});
  assert.deepEqual(show(), all);
  native.setLink(namespace.path, ifindex, { up: false });
  assert.deepEqual(show(), { ...all, up: false });
  native.setLink(namespace.path, ifindex, { mtu: 9000 });
  assert.deepEqual(show(), { ...all, up: false, mtu: 9000 });
});

test('what the kernel refuses is told in its words', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { path } = namespace;
  const { ifindex } = namespace.open({ name: 'sgt0' });

  const mtu = thrownBy(() => native.setLink(path, ifindex, { mtu: 1_000_000 }));
  assert.equal(
    mtu.message,
    'EINVAL: interface sgt0: mtu greater than device maximum (rtnetlink RTM_NEWLINK)',
  );
  assert.equal(mtu.code, 'EINVAL');
  assert.equal(mtu.errno, 22);
  assert.equal(mtu.syscall, 'rtnetlink RTM_NEWLINK');
  assert.equal(mtu.device, 'sgt0');

  const gone = thrownBy(() => native.deleteLink(path, 4711));
  assert.equal(gone.code, 'ENODEV');
  assert.match(gone.message, /^ENODEV: interface 4711: .* \(rtnetlink RTM_DELLINK\)$/);
  assert.equal('device' in gone, false);

  const mac = thrownBy(() => native.setLink(path, ifindex, { macAddress: new Uint8Array(6) }));
  assert.equal(mac.code, 'EOPNOTSUPP'); // a TUN has no link layer

  const gateway = bytes(10, 99, 0, 1);
  const route = thrownBy(() => native.addRoute(path, ifindex, bytes(10, 9, 0, 0), 16, gateway));
  assert.equal(route.syscall, 'rtnetlink RTM_NEWROUTE');
  assert.equal(route.device, 'sgt0');
  const address = thrownBy(() => native.addAddress(path, 4711, bytes(10, 7, 0, 1), 24));
  assert.equal(address.code, 'ENODEV');
  assert.equal(address.syscall, 'rtnetlink RTM_NEWADDR');
});

test('the loopback has an index without root', () => {
  assert.equal(native.linkIndex(undefined, 'lo') > 0, true);
  assert.equal(native.linkIndex(undefined, 'sgt-none'), 0);
});

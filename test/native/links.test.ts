/** The list of a namespace's interfaces, as `ip` makes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeNamespace, native } from './support.ts';

test('each interface is listed with its name, its alias and its MAC address', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { path } = namespace;
  const { ifindex } = namespace.open({ kind: 'tap', name: 'sgt0' });
  namespace.ip('link', 'set', 'sgt0', 'address', 'fe:54:00:00:00:11', 'alias', 'web 1 – ü');
  namespace.open({ name: 'sgt1' });
  const found = native.listLinks(path).map(({ ifindex: index, name, alias, mac }) => ({
    ...{ ifindex: index > 0, name, alias, mac },
  }));
  assert.deepEqual(found, [
    { ifindex: true, name: 'lo', alias: '', mac: '00:00:00:00:00:00' },
    { ifindex: true, name: 'sgt0', alias: 'web 1 – ü', mac: 'fe:54:00:00:00:11' },
    { ifindex: true, name: 'sgt1', alias: '', mac: '' },
  ]);
  assert.equal(native.listLinks(path).find(({ name }) => name === 'sgt0')?.ifindex, ifindex);
  namespace.ip('link', 'set', 'sgt0', 'alias', '');
  assert.equal(native.listLinks(path)[1].alias, '');
});

test('a list of many datagrams is whole', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const count = 300;
  const alias = 'a'.repeat(255);
  for (let i = 0; i < count; i += 2) {
    namespace.ip('link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', `v${i + 1}`);
    namespace.ip('link', 'set', `v${i}`, 'alias', alias);
  }
  const links = native.listLinks(namespace.path).filter(({ name }) => name.startsWith('v'));
  const names = Array.from({ length: count }, (_, i) => `v${i}`);
  assert.deepEqual(links.map(({ name }) => name).sort(), names.sort());
  assert.equal(links.filter((link) => link.alias === alias).length, count / 2);
});

test('a namespace that is not there is an error', () => {
  assert.throws(() => native.listLinks('/run/netns/sgt-not-there'), { code: 'ENOENT' });
});

test('an interface is guarded without being opened, also while it is down', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const { path } = namespace;
  namespace.open({ kind: 'tap', name: 'sgt0' });
  native.guardDevice(path, 'sgt0');
  assert.equal(native.lookAtDevice(path, 'sgt0').isGuarded, true);
  native.unguardDevice(path, 'sgt0');
  assert.equal(native.lookAtDevice(path, 'sgt0').isGuarded, false);
  namespace.ip('address', 'add', '10.7.0.1/24', 'dev', 'sgt0');
  assert.throws(() => native.guardDevice(path, 'sgt0'), /the host has the address 10\.7\.0\.1/);
  assert.throws(() => native.guardDevice(path, 'lo'), /it carries no Ethernet/);
  assert.throws(() => native.guardDevice(path, 'sgt9'), { code: 'ENODEV' });
});

/** Veth pairs as `ip` sees them, and the host's end as it is opened. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { uniqueName } from '../support/netns.ts';
import { bytes, makeNamespace, native } from './support.ts';

const MAC = bytes(2, 0, 0, 0, 0, 0x11);
const PAIR = { name: 'eth0', alias: 'secgroupd test', mtu: 1400, txQueueLength: 4000 };

interface Link {
  readonly flags: readonly string[];
  readonly ifalias?: string;
  readonly [key: string]: unknown;
}

const show = (...args: string[]): Link[] =>
  JSON.parse(execFileSync('ip', ['-json', ...args], { encoding: 'utf8' })) as Link[];

/** The host's end, in this process's namespace. */
function hostEnd(name: string): Link {
  return show('-details', 'link', 'show', name)[0];
}

function isThere(name: string): boolean {
  return native.linkIndex(undefined, name) !== 0;
}

test('a pair has both ends as asked for, down, and the host has no address on its end', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const hostName = uniqueName();
  const ifindex = native.makePair(namespace.path, { ...PAIR, hostName, macAddress: MAC });
  const [inside] = namespace.ipJson('link', 'show', 'eth0') as unknown as Link[];
  const outside = hostEnd(hostName);
  const common = { mtu: 1400, txqlen: 4000 };
  const pick = ({ mtu, txqlen }: Link): unknown => ({ mtu, txqlen });
  assert.deepEqual([pick(inside), pick(outside)], [common, common]);
  assert.equal(inside['address'], '02:00:00:00:00:11');
  assert.equal(outside.ifalias, PAIR.alias);
  assert.deepEqual(
    [inside, outside].map(({ flags }) => flags.includes('UP')),
    [false, false],
  );
  const seen = native.lookAtLink(undefined, ifindex)!;
  assert.deepEqual(
    [seen.name, seen.kind, seen.alias, seen.link, seen.linkNetnsId],
    [
      hostName,
      'veth',
      PAIR.alias,
      inside['ifindex'],
      native.namespaceId(undefined, namespace.path),
    ],
  );
  native.setLink(undefined, ifindex, { up: true, alias: 'secgroupd other' });
  native.setLink(namespace.path, seen.link, { up: true });
  assert.equal(native.lookAtLink(undefined, ifindex)?.alias, 'secgroupd other');
  const [{ addr_info: addresses }] = show('address', 'show', hostName);
  assert.deepEqual(addresses, []);
  native.deleteLink(undefined, ifindex);
  assert.equal(native.lookAtLink(undefined, ifindex), undefined);
  assert.equal(native.linkIndex(namespace.path, 'eth0'), 0);
});

test('both ends may be in one namespace', (t) => {
  if (makeNamespace(t) === undefined) return;
  const [name, hostName] = [uniqueName(), uniqueName()];
  const ifindex = native.makePair(undefined, { ...PAIR, name, hostName });
  t.after(() => native.deleteLink(undefined, ifindex));
  const seen = native.lookAtLink(undefined, ifindex)!;
  assert.deepEqual([seen.link, seen.linkNetnsId], [native.linkIndex(undefined, name), -1]);
});

test('what is there stays, and nothing is left of a pair that could not be made', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const hostName = uniqueName();
  namespace.open({ name: 'eth0' });
  assert.throws(() => native.makePair(namespace.path, { ...PAIR, hostName }), {
    code: 'EEXIST',
    message: /the veth pair of eth0 and .* cannot be made: an interface of that name is there/,
  });
  assert.equal(isThere(hostName), false);
  assert.throws(() => native.makePair('/run/netns/sgt-none', { ...PAIR, hostName }), {
    code: 'ENOENT',
    syscall: 'open',
  });
  assert.throws(() => native.makePair('/dev/null', { ...PAIR, hostName }), { code: 'EINVAL' });
  assert.equal(isThere(hostName), false);
  native.makePair(namespace.path, { ...PAIR, name: 'eth1', hostName });
  assert.throws(() => native.makePair(namespace.path, { ...PAIR, name: 'eth2', hostName }), {
    code: 'EEXIST',
  });
  assert.equal(native.linkIndex(namespace.path, 'eth2'), 0);
});

test('the guard stands before the end is up, also where no socket can be had', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const hostName = uniqueName();
  const ifindex = native.makePair(namespace.path, { ...PAIR, hostName });
  t.after(() => native.unguardDevice(undefined, hostName));
  const options = { kind: 'veth', name: hostName, persist: false } as const;
  assert.equal(native.lookAtDevice(undefined, hostName).isGuarded, false);
  native.addAddress(undefined, ifindex, bytes(10, 7, 0, 1), 24);
  assert.throws(() => native.openDevice(options), { code: 'EADDRINUSE' });
  const refused = native.lookAtDevice(undefined, hostName);
  assert.deepEqual([refused.isUp, refused.isGuarded], [false, false]);
  native.removeAddress(undefined, ifindex, bytes(10, 7, 0, 1), 24);
  const device = native.openDevice(options);
  assert.deepEqual([device.isUp, device.mtu, device.ifindex], [true, 1400, ifindex]);
  assert.deepEqual(native.lookAtDevice(undefined, hostName), {
    ...{ ifindex, mtu: 1400, isUp: true, isGuarded: true },
  });
  assert.throws(() => native.openDevice(options), { code: 'EBUSY' });
  native.closeFd(device.fd);
  native.closeFd(native.openDevice(options).fd);
});

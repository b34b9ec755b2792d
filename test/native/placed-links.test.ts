/** What each interface of a namespace is joined to, as `ip` shows it, and which namespace that is in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placedLinks } from '../../src/ports/links.ts';
import { makeNetns } from '../support/netns.ts';
import { requireRoot, requireTools } from '../support/require.ts';
import { native, thrownBy } from './support.ts';

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly link_index?: number;
  readonly link_netnsid?: number;
  readonly linkinfo?: {
    readonly info_kind: string;
    readonly info_data?: { readonly type?: string };
  };
}

test('links are those that ip shows: kinds, ends of pairs, carriers', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'ip')) return;
  const [one, other] = [await makeNetns(t), await makeNetns(t)];
  await one.mustRun('ip', [
    'link',
    'add',
    'va',
    'type',
    'veth',
    'peer',
    'name',
    'vb',
    'netns',
    other.path,
  ]);
  await one.mustRun('ip', ['link', 'add', 'ia', 'type', 'veth', 'peer', 'name', 'ib']);
  await one.mustRun('ip', ['link', 'add', 'br0', 'type', 'bridge']);
  await one.mustRun('ip', ['tuntap', 'add', 'tap0', 'mode', 'tap']);
  await one.mustRun('ip', ['tuntap', 'add', 'tun0', 'mode', 'tun']);
  for (const name of ['va', 'br0', 'tap0']) await one.mustRun('ip', ['link', 'set', name, 'up']);
  await other.mustRun('ip', ['link', 'set', 'vb', 'up']);
  const shown = JSON.parse(
    await one.mustRun('ip', ['-j', '-d', 'link', 'show']),
  ) as readonly IpLink[];
  const expected = shown.map(({ ifindex, ifname, flags, link_index, link_netnsid, linkinfo }) => {
    const kind = linkinfo?.info_kind ?? '';
    // A link within the namespace is told by name, which is not compared here.
    return {
      ...{ ifindex, name: ifname, kind, isLoopback: flags.includes('LOOPBACK') },
      isLive: flags.includes('UP') && flags.includes('LOWER_UP'),
      tun:
        linkinfo?.info_data?.type === 'tap' || linkinfo?.info_data?.type === 'tun'
          ? linkinfo.info_data.type
          : undefined,
      link: link_index,
      linkNamespaceId: link_netnsid,
    };
  });
  const links = placedLinks(native, one.path);
  const found = links.map(({ link, ...rest }) => ({
    ...rest,
    tun: rest.tun,
    link: rest.linkNamespaceId === undefined ? undefined : link,
    linkNamespaceId: rest.linkNamespaceId,
  }));
  const byIndex = (a: { ifindex: number }, b: { ifindex: number }): number => a.ifindex - b.ifindex;
  assert.deepEqual(found.sort(byIndex), expected.sort(byIndex));
  const named = (name: string): number | undefined =>
    links.find((one) => one.name === name)?.ifindex;
  assert.equal(links.find(({ name }) => name === 'ia')?.link, named('ib'));

  const id = links.find(({ name }) => name === 'va')?.linkNamespaceId;
  assert.notEqual(id, undefined);
  assert.equal(native.namespaceId(one.path, other.path), id);
  assert.equal(native.namespaceId(one.path, '/proc/self/ns/net') === id, false);
});

test('a namespace that is not there, or is none, is an error that says so', () => {
  assert.match(
    thrownBy(() => placedLinks(native, '/run/netns/sgt-none')).message,
    /ENOENT: .*sgt-none/,
  );
  assert.match(
    thrownBy(() => native.namespaceId(undefined, '/run/netns/sgt-none')).message,
    /ENOENT: .*sgt-none/,
  );
  assert.match(thrownBy(() => native.namespaceId(undefined, '/dev/null')).message, /EINVAL|EBADF/);
  assert.throws(() => native.namespaceId(undefined, ''), RangeError);
});

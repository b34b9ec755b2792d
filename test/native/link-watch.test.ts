/** What a watch tells of a namespace: interfaces that come, change and go, guards that are removed, and what it missed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LinkWatch, type LinkNews } from '../../src/ports/link-news.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import { makeNamespace, native } from './support.ts';

class Heard {
  readonly news: LinkNews[] = [];
  readonly watch: LinkWatch;

  constructor(t: TestContext, netns: string, receiveBytes?: number) {
    this.watch = new LinkWatch(
      native,
      netns,
      (news) => this.news.push(news),
      () => assert.fail('the watch has ended'),
      receiveBytes,
    );
    t.after(() => this.watch.close());
  }

  /** Waits for news, and takes all of it. */
  async until(isMeant: (news: LinkNews) => boolean): Promise<LinkNews[]> {
    await until(
      () => `news; last: ${JSON.stringify(this.news)}`,
      () => this.news.some(isMeant),
    );
    return this.news.splice(0);
  }
}

const alls = (news: readonly LinkNews[]): number => news.filter(({ isAll }) => isAll).length;

test('interfaces that come, are changed, move and go are told, with what they are by then', async (t) => {
  const namespace = makeNamespace(t);
  const other = makeNamespace(t);
  if (namespace === undefined || other === undefined) return;
  const heard = new Heard(t, namespace.path);
  assert.equal(alls(await heard.until(({ isAll }) => isAll)), 1, 'the first news is to look');
  const tells = async (name: string, alias = ''): Promise<void> => {
    const news = await heard.until(({ links }) =>
      links.some((one) => one.name === name && one.alias === alias),
    );
    assert.equal(alls(news), 0);
  };
  namespace.ip('link', 'add', 'sgt0', 'type', 'veth', 'peer', 'name', 'sgt1');
  await tells('sgt0');
  const [{ ifindex }] = native.listLinks(namespace.path).filter(({ name }) => name === 'sgt0');
  namespace.ip('link', 'set', 'sgt0', 'up', 'alias', 'web – ü');
  await tells('sgt0', 'web – ü');
  namespace.ip('link', 'set', 'sgt0', 'address', 'fe:54:00:00:00:11');
  const [{ links }] = await heard.until((one) => one.links.length > 0);
  assert.deepEqual(
    links.find(({ name }) => name === 'sgt0'),
    { ifindex, name: 'sgt0', alias: 'web – ü', mac: 'fe:54:00:00:00:11' },
  );
  namespace.ip('link', 'set', 'sgt0', 'name', 'sgt9');
  await tells('sgt9', 'web – ü');
  namespace.ip('link', 'set', 'sgt9', 'netns', other.path.split('/').at(-1)!);
  await tells('sgt9', 'web – ü');
  assert.equal(native.linkIndex(namespace.path, 'sgt9'), 0);
  namespace.ip('link', 'del', 'sgt1');
  await tells('sgt1');
});

test('an alias that is given to an interface that is down is not told: others have to look', async (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  namespace.ip('link', 'add', 'sgt0', 'type', 'veth', 'peer', 'name', 'sgt1');
  const heard = new Heard(t, namespace.path);
  namespace.ip('link', 'set', 'sgt0', 'alias', 'web');
  namespace.ip('link', 'set', 'sgt1', 'name', 'sgt2');
  const news = await heard.until(({ links }) => links.some(({ name }) => name === 'sgt2'));
  const told = news.flatMap(({ links }) => links).filter(({ name }) => name === 'sgt0');
  // The rename of one end may be told of both; what matters is that the daemon does not rely on it.
  if (told.length > 0) t.diagnostic(`this kernel tells: ${JSON.stringify(told)}`);
  namespace.ip('link', 'set', 'sgt0', 'up');
  await heard.until(({ links }) => links.some(({ alias }) => alias === 'web'));
});

test('a guard that is removed is told, and no other table', async (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined || !requireTools(t, 'nft')) return;
  const { path } = namespace;
  for (const name of ['sgt0', 'sgt1', 'sgt2']) {
    namespace.open({ kind: 'tap', name });
    native.guardDevice(path, name);
  }
  assert.deepEqual(native.listGuards(path).sort(), ['sgt0', 'sgt1', 'sgt2']);
  const heard = new Heard(t, path);
  await heard.until(({ isAll }) => isAll);
  namespace.run('nft', 'add', 'table', 'netdev', 'other');
  namespace.run('nft', 'add', 'table', 'inet', 'secgroupd_attach_sgt2');
  assert.deepEqual(native.listGuards(path).sort(), ['sgt0', 'sgt1', 'sgt2']);
  namespace.run('nft', 'delete', 'table', 'netdev', 'other');
  namespace.run('nft', 'delete', 'table', 'inet', 'secgroupd_attach_sgt2');
  namespace.run('nft', 'delete', 'chain', 'netdev', 'secgroupd_attach_sgt0', 'ingress');
  native.unguardDevice(path, 'sgt1');
  const news = await heard.until(({ unguarded }) => unguarded.includes('sgt1'));
  assert.deepEqual([...new Set(news.flatMap(({ unguarded }) => unguarded))], ['sgt0', 'sgt1']);
  namespace.run('nft', 'flush', 'ruleset');
  await heard.until(({ unguarded }) => unguarded.includes('sgt2'));
  assert.deepEqual(native.listGuards(path), []);
});

test('what the kernel had no room for leads to a look at everything', async (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const heard = new Heard(t, namespace.path, 1);
  await heard.until(({ isAll }) => isAll);
  // Nothing is read meanwhile: neither here nor, once the socket between is full, in the thread.
  const lines = Array.from({ length: 600 }, (_, i) => [
    `link add sgt${i} type veth peer name sgp${i}`,
    `link set sgt${i} up`,
  ]).flat();
  execFileSync('ip', ['-n', namespace.path.split('/').at(-1)!, '-batch', '-'], {
    input: lines.join('\n'),
  });
  await heard.until(({ isAll }) => isAll);
  // It goes on afterwards.
  namespace.ip('link', 'set', 'sgt0', 'name', 'sgx');
  await heard.until(({ links }) => links.some(({ name }) => name === 'sgx'));
});

test('a watch that is closed leaves nothing behind', async (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const threads = (): number => readdirSync('/proc/self/task').length;
  // Threads that Node starts when it first reads a socket are there by then.
  const first = new Heard(t, namespace.path);
  await first.until(({ isAll }) => isAll);
  first.watch.close();
  await sleep(100);
  const before = threads();
  const watches = Array.from({ length: 20 }, () => new Heard(t, namespace.path));
  assert.ok(threads() >= before + 20 - 1, `${before}, then ${threads()}`);
  for (const { watch } of watches) watch.close();
  await until(
    () => `no more threads than ${before}: ${threads()}`,
    () => threads() <= before,
  );
  assert.throws(() => native.watchLinks('/run/netns/sgt-not-there'), { code: 'ENOENT' });
});

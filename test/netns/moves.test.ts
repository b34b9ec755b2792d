/** Interfaces that move between two hosts of a store, with real packets. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { authorizeRules } from '../../src/estate/groups.ts';
import type { MoveResult } from '../../src/hosts/move-interface.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import { context, take } from '../estate/world.ts';
import { requireEtcd } from '../support/etcd.ts';
import type { Netns } from '../support/netns.ts';
import { run, type CommandResult } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Hosts, place } from './hosts-world.ts';
import type { Daemon } from './world.ts';
import { canRun, makeNamespaces, ping, pingInVain, serve } from './world.ts';

const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const OTHER = { id: 'eni-00000000000000002', host: 'a', address: '10.0.1.12' };
const DB = { id: 'eni-00000000000000003', host: 'b', address: '10.0.2.11' };

interface World {
  readonly hosts: Hosts;
  readonly netns: Record<'web' | 'other' | 'db' | 'spare' | 'fabric', Netns>;
  readonly daemons: Record<'a' | 'b', Daemon>;
}

/** `web` and `other` are on the host a, `db` is on b; of the two, `db` admits `web` alone, which admits nobody. */
async function startWorld(t: TestContext): Promise<World> {
  const netns = await makeNamespaces(t, ['web', 'other', 'db', 'spare', 'fabric']);
  await netns.fabric.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const hosts = await Hosts.make(t, {
    a: { netns: netns.fabric, address: '10.9.1.1/24' },
    b: { netns: netns.fabric, address: '10.9.2.1/24' },
  });
  const groups = await hosts.makeGroups(['web', 'other', 'db']);
  await hosts.change((edit) => {
    const fromWeb = [{ protocol: '-1', peers: [{ kind: 'group', text: groups.web }] } as const];
    take(authorizeRules(edit, groups.db, 'ingress', fromWeb, [], context));
    place(edit, WEB, groups.web, netns.web);
    place(edit, OTHER, groups.other, netns.other);
    place(edit, DB, groups.db, netns.db);
    return { ok: true, value: undefined };
  });
  const daemons = { a: await hosts.start('a'), b: await hosts.start('b') };
  await hosts.known('a', 'b');
  return { hosts, netns, daemons };
}

function sgctl(...args: readonly string[]): Promise<CommandResult> {
  return run(process.execPath, [SGCTL, ...args]);
}

async function move(hosts: Hosts, ...args: readonly string[]): Promise<CommandResult> {
  return sgctl('interface', 'move', ...args, '--socket', hosts.control('b'));
}

async function idsOf(hosts: Hosts, host: 'a' | 'b'): Promise<readonly string[]> {
  const { stdout } = await sgctl('interfaces', '--json', '--socket', hosts.control(host));
  return (JSON.parse(stdout) as readonly InterfaceView[]).flatMap(({ id }) => id ?? []).sort();
}

test('an interface moves to another host, and is at one of them at a time', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { hosts, netns, daemons } = await startWorld(t);
  await t.test('where it is in force then, and its connections go on', async () => {
    await serve(netns.db, 'db');
    // The server alone talks, and no rule lets it in: the client has asked.
    const client = await netns.web.start('curl', ['-sN', `http://${DB.address}:7000/ticks`]);
    await client.waitFor(/tick 10\n/);
    const forged = JSON.stringify({ generation: 1, parts: 1, data: 'bm9uZQ==' });
    await hosts.etcd.ctl(['put', `/secgroupd/v1/rows/handover/c/${WEB.id}/00`, forged]);
    const { code, stdout, stderr } = await move(hosts, WEB.id, 'b', '--wait', '600');
    assert.deepEqual([code, stderr], [0, ''], daemons.b.output);
    assert.equal(stdout, `${WEB.id} is on b, as eth0 in ${netns.web.path}, with 1 tracked flow.\n`);
    const seen = client.stdout().split('\n').length;
    await client.waitFor(new RegExp(`tick ${seen + 200}\\n`));
    await client.stop();
    const rows = await hosts.etcd.ctl([
      'get',
      '--prefix',
      '--keys-only',
      '/secgroupd/v1/rows/handover/',
    ]);
    assert.equal(rows.trim(), `/secgroupd/v1/rows/handover/c/${WEB.id}/00`);
    assert.deepEqual(await idsOf(hosts, 'a'), [OTHER.id]);
    assert.deepEqual(await idsOf(hosts, 'b'), [WEB.id, DB.id]);
    assert.equal((await ping(netns.web, DB.address)).code, 0, daemons.b.output);
    await pingInVain(netns.other, DB.address);
  });
  await t.test('and the same again changes nothing', async () => {
    const { code, stdout } = await move(hosts, WEB.id, 'b', '--json', '--wait', '600');
    assert.equal(code, 0);
    const { generation, from, to, isGivenUp } = JSON.parse(stdout) as MoveResult;
    assert.deepEqual({ generation, from, to, isGivenUp }, { generation: 1, from: 'a', to: 'b', isGivenUp: true }); // prettier-ignore
  });
  await t.test('what can not be put in force there is given back', async () => {
    const { code, stderr } = await move(
      hosts,
      WEB.id,
      'a',
      '--netns',
      'none-such',
      '--wait',
      '600',
    );
    assert.equal(code, 1);
    assert.match(stderr, /can't be put in force on a: .*none-such.*; it was given back to b\n$/s);
    while (!(await idsOf(hosts, 'b')).includes(WEB.id));
    while ((await ping(netns.web, DB.address)).code !== 0);
  });
  await t.test('what can not move is refused with a sentence', async () => {
    const refused: readonly (readonly [args: readonly string[], sentence: RegExp])[] = [
      [['eni-0000000000000000f', 'a'], /The networkInterface ID 'eni-0000000000000000f' does not exist/],
      [[WEB.id, 'c'], /No secgroupd that has this store runs on the host 'c': hosts: a, b/],
      [[WEB.id, 'a', '--netns', netns.other.path], /The device eth0 in .* is that of eni-00000000000000002/],
    ]; // prettier-ignore
    for (const [args, sentence] of refused) {
      const { code, stdout, stderr } = await move(hosts, ...args);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, sentence);
    }
  });
  await t.test('a host that does not answer may still have it, which is said', async () => {
    daemons.a.pause();
    const args = [OTHER.id, 'b', '--netns', netns.spare.path, '--wait', '5'];
    const { code, stdout, stderr } = await move(hosts, ...args);
    daemons.a.pause('SIGCONT');
    assert.equal(code, 3, stderr);
    const place = `${OTHER.id} is on b, as eth0 in ${netns.spare.path}`;
    assert.equal(stdout, `${place}. Its connections do not go with it: a has handed over none\n`);
    assert.match(
      stderr,
      /^WARNING: two hosts may have eni-00000000000000002: a has not said within 5 s /,
    );
    assert.match(stderr, /\(fence: none\)/);
    while ((await idsOf(hosts, 'a')).length > 0);
    assert.deepEqual(await idsOf(hosts, 'b'), [WEB.id, OTHER.id, DB.id]);
  });
});

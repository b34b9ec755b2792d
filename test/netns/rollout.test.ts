/** Three daemons that share a store in etcd: who is waited for, who is missed, and how people see it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aliveKey } from '../../src/estate/keys.ts';
import type { RolloutAnswer } from '../../src/hosts/ask-rollout.ts';
import type { HostView } from '../../src/hosts/list-hosts.ts';
import { requireEtcd } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { run, type CommandResult } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Hosts, place } from './hosts-world.ts';
import { canRun, makeNamespaces } from './world.ts';

const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const DB = { id: 'eni-00000000000000002', host: 'b', address: '10.0.2.11' };

/** Takes the row that a host lives from its lease, so that a test may take its time while the host hangs. */
async function keepAlive({ etcd }: Hosts, host: string): Promise<void> {
  const key = `/secgroupd/v1/rows/${aliveKey(host)}`;
  const value = await etcd.ctl(['get', '--print-value-only', key]);
  await etcd.ctl(['put', key], etcd.members, value.trimEnd());
}

test('hosts that stop or die are named, not waited for, and forgotten', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const netns = await makeNamespaces(t, ['web', 'db', 'fabric']);
  const uplink = (at: number) => ({ netns: netns.fabric, address: `10.9.${at}.1/24` });
  const hosts = await Hosts.make(t, { a: uplink(1), b: uplink(2), c: uplink(3) });
  const groups = await hosts.makeGroups(['web', 'db']);
  await hosts.change((edit) => {
    place(edit, WEB, groups.web, netns.web);
    place(edit, DB, groups.db, netns.db);
    return { ok: true, value: undefined };
  });
  const daemons = {
    a: await hosts.start('a'),
    b: await hosts.start('b'),
    c: await hosts.start('c'),
  };
  const sgctl = (...args: readonly string[]): Promise<CommandResult> =>
    run(process.execPath, [SGCTL, ...args, '--store', `etcd://${hosts.etcd.hosts}`]);
  const list = async (): Promise<readonly HostView[]> =>
    JSON.parse((await sgctl('host', 'ls', '--json')).stdout) as readonly HostView[];
  const rollout = async (
    ...args: readonly string[]
  ): Promise<readonly [code: number | null, answer: RolloutAnswer]> => {
    const { code, stdout, stderr } = await sgctl('rollout', ...args, '--json');
    assert.equal(stderr, '');
    return [code, JSON.parse(stdout) as RolloutAnswer];
  };
  const states = ({ hosts: found }: RolloutAnswer): Record<string, string> =>
    Object.fromEntries(found.map(({ host, state }) => [host, state]));
  const { estate } = hosts.client;
  await hosts.known('a', 'b', 'c');
  const change = (group: string) => hosts.commit(hosts.move(WEB, group));

  await t.test(
    'a host that hangs is the slowest, and is waited for where it is concerned',
    async () => {
      await keepAlive(hosts, 'a');
      process.kill(daemons.a.pid, 'SIGSTOP');
      const { revision, concerned } = await change(groups.db);
      assert.deepEqual([...(concerned as ReadonlySet<string>)], ['a']);
      const options = { concerned, waitFor: 'quorum' } as const;
      assert.deepEqual(await hosts.client.enforce(revision, 0, options), {
        ...{ kind: 'inForce', behind: ['a'] },
      });
      await hosts.client.until(
        () => ['b', 'c'].every((host) => estate.applied().get(host)!.revision >= revision),
        GUARD_MS,
      );
      const [code, answer] = await rollout(String(revision), '--wait', '1s');
      assert.equal(code, 3);
      assert.deepEqual(states(answer), { a: 'behind', b: 'in force', c: 'in force' });
      assert.equal(answer.slowest, 'a');
      const { stdout } = await sgctl('rollout', String(revision));
      assert.match(stdout, /is not in force everywhere: 2 of 3 hosts .*The slowest is a\.$/m);
      process.kill(daemons.a.pid, 'SIGCONT');
      const [later, then] = await rollout(groups.db, '--wait', '600');
      assert.equal(later, 0, JSON.stringify(then));
      assert.deepEqual(states(then), { a: 'in force', b: 'in force' });
      assert.equal((await rollout(String(revision), '--wait', '600'))[0], 0);
    },
  );

  await t.test('a host that was killed is missed soon, and no call waits for it then', async () => {
    await daemons.b.kill();
    const { revision, concerned } = await hosts.commit(hosts.move(DB, groups.web));
    const done = await hosts.client.enforce(revision, GUARD_MS, { concerned });
    assert.equal(done.kind, 'inForce');
    assert.deepEqual((done as { away?: readonly string[] }).away, ['b']);
    const [a, b] = await list();
    assert.deepEqual([a.host, a.state, a.interfaces], ['a', 'lives', 1]);
    assert.deepEqual([b.host, b.state, b.interfaces], ['b', 'away', 1]);
    assert.ok(b.revision !== undefined && b.revision < revision);
    const [code, answer] = await rollout(groups.web, '--wait', '600');
    assert.deepEqual([code, states(answer)], [0, { b: 'away' }]);
    assert.match((await sgctl('host', 'ls')).stdout, /^b +away +\d+ /m);
  });

  await t.test('a host that is gone is forgotten, and one that lives is not', async () => {
    const lives = await sgctl('host', 'forget', 'a');
    assert.deepEqual([lives.code, lives.stdout], [1, '']);
    assert.match(lives.stderr, /the host a lives; stop secgroupd there/);
    const { code, stdout } = await sgctl('host', 'forget', 'b');
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^b is forgotten: 1 row removed\.\n1 interface still placed there: eni-0+2\n/,
    );
    assert.deepEqual(
      (await list()).map(({ host, state }) => [host, state]),
      [
        ['a', 'lives'],
        ['b', 'left'],
        ['c', 'lives'],
      ],
    );
    const none = await sgctl('host', 'forget', 'nobody');
    assert.equal(none.code, 1);
    // It says all of it again.
    assert.equal((await sgctl('host', 'forget', 'c', '--force')).code, 0);
    const isBack = (): boolean => estate.alive().has('c') && estate.applied().has('c');
    assert.ok(await hosts.client.until(isBack, GUARD_MS));
    const unknown = await sgctl('rollout', 'no-such-group');
    assert.deepEqual([unknown.code, unknown.stdout], [1, '']);
    assert.match(unknown.stderr, /there is no group no-such-group, and no such revision/);
  });
});

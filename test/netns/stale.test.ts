/**
 * A store that is away for longer than members of groups may be believed: what is open goes on, and what is new needs a
 * rule that names no group.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../src/control-socket/control-client.ts';
import { authorizeRules } from '../../src/estate/groups.ts';
import { context, take } from '../estate/world.ts';
import { requireEtcd } from '../support/etcd.ts';
import { runSgctl } from '../support/sgctl.ts';
import { Hosts, place } from './hosts-world.ts';
import { canRun, makeNamespaces, ping, pingInVain } from './world.ts';

const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const DB = { id: 'eni-00000000000000002', host: 'a', address: '10.0.1.12' };
const OPEN = { id: 'eni-00000000000000003', host: 'a', address: '10.0.1.13' };

test('after too long without the store, rules that name groups admit nothing new', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const netns = await makeNamespaces(t, ['web', 'db', 'open', 'fabric']);
  const hosts = await Hosts.make(t, { a: { netns: netns.fabric, address: '10.9.1.1/24' } });
  const groups = await hosts.makeGroups(['web', 'db', 'open']);
  await hosts.change((edit) => {
    const allow = (groupId: string, kind: 'group' | 'cidrIpv4', text: string): void => {
      const rule = [{ protocol: '-1', peers: [{ kind, text }] }];
      take(authorizeRules(edit, groupId, 'ingress', rule, [], context));
    };
    allow(groups.db, 'group', groups.web);
    allow(groups.open, 'cidrIpv4', '10.0.1.0/24');
    place(edit, WEB, groups.web, netns.web);
    place(edit, DB, groups.db, netns.db);
    place(edit, OPEN, groups.open, netns.open);
    return { ok: true, value: undefined };
  });
  const daemon = await hosts.start('a', undefined, ['--stale', 'deny-new-after:1s']);
  const control = hosts.control('a');
  const isStale = async (): Promise<boolean> =>
    (await ask(control, 'status', {})).store?.areGroupsStale === true;
  const until = async (wanted: boolean): Promise<void> => {
    while ((await isStale()) !== wanted) await sleep(100);
  };
  assert.equal((await ping(netns.web, DB.address)).code, 0, daemon.output);
  const open = await netns.web.start('ping', ['-i', '0.2', '-c', '3000', DB.address]);
  const answers = (): number => open.stdout().split('icmp_seq=').length;
  while (answers() < 3) await sleep(100);

  const [member] = hosts.etcd.members;
  await member.stop('SIGKILL');
  await until(true);
  const seen = answers();
  while (answers() < seen + 3) await sleep(100);
  const drops = await daemon.dropsDuring(() => pingInVain(netns.web, DB.address));
  assert.deepEqual(Object.keys(drops), [`${DB.id} ingress stale-groups`]);
  assert.equal((await ping(netns.web, OPEN.address)).code, 0, 'a rule for addresses stays true');
  const ends = ['--from', WEB.id, '--to', DB.id, '--icmp', 'echo'];
  const explained = runSgctl(['explain', ...ends, '--socket', control]);
  assert.match(explained.stdout, /the store has been away for so\s+long/, explained.stderr);
  const { stdout } = runSgctl(['status', '--socket', control]);
  assert.match(stdout, /rules that name groups admit nothing new/);

  await member.start();
  await hosts.etcd.waitHealthy();
  await until(false);
  assert.equal((await ping(netns.web, DB.address)).code, 0, daemon.output);
  const last = answers();
  while (answers() < last + 3) await sleep(100);
  await open.stop();
});

/** Who changed what, going back to it, and the hosts, as secgroup-api's console tells it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type {
  ApplyAnswer,
  ChangesAnswer,
  ConsoleChange,
  DraftAnswer,
  GroupDraft,
  HostsAnswer,
  MapView,
} from '../../src/console/contract.ts';
import { noteChange, NOTES_MAX, readNotes } from '../../src/estate/change-notes.ts';
import { Edit } from '../../src/estate/edit.ts';
import { authorizeRules, createEstateGroup } from '../../src/estate/groups.ts';
import { aliveKey, appliedKey, CHANGES } from '../../src/estate/keys.ts';
import { encodeAlive, encodeApplied } from '../../src/estate/rows.ts';
import { ALIVE, change, context, makeClients, putHost, take } from '../estate/world.ts';
import { Follower, type Event } from '../console/world.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { ApiConsole, HOST_KEY, READER, WRITER } from './world.ts';

const AUTHOR = {
  ...{ name: 'me', accessKeyId: 'AKIA', arn: 'arn', actions: ['CreateSecurityGroup'] },
  by: 'api',
} as const;
const permission = (port: number): object => ({
  ...{ IpProtocol: 'tcp', FromPort: port, ToPort: port },
  IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'd' }],
});

describe('the history', () => {
  test('has each change of a call, with who made it and which rules', async (t) => {
    const console = await ApiConsole.start(t);
    const made = (await console.call('CreateSecurityGroup', {
      ...{ GroupName: 'web', Description: 'd' },
    })) as { readonly GroupId: string };
    const id = made.GroupId;
    const rules = { GroupId: id, IpPermissions: [permission(443), permission(22)] };
    await console.call('AuthorizeSecurityGroupIngress', rules);
    await console.call('RevokeSecurityGroupIngress', {
      ...{ GroupId: id, IpPermissions: [permission(22)] },
    });
    await console.call('CreateVpc', { CidrBlock: '10.1.0.0/16' });
    // Hosts are no people.
    await console.call(
      'CreateTags',
      { Resources: [id], Tags: [{ Key: 'a', Value: '' }] },
      HOST_KEY,
    );

    const tab = await console.as(READER);
    const { changes, ...more } = await tab.must<ChangesAnswer>('changes');
    assert.deepEqual(more, { keptAtMost: 500, hasMore: false });
    const told = changes.map(({ who, actions, groups, others }) => [
      ...[who.name, ...actions],
      ...groups.map((one) => [one.what, one.name, one.added, one.removed, one.mayGoBack]),
      ...others.map(({ kind, count }) => `${count} ${kind}`),
    ]);
    const [https, ssh] = ['tcp 443', 'tcp 22'].map((one) => `ingress ${one} from 10.0.0.0/8, "d"`);
    assert.deepEqual(told, [
      ['writer', 'CreateVpc', ['made', 'default', told[0][2][2], [], false], '1 vpcs'],
      ['writer', 'RevokeSecurityGroupIngress', ['changed', 'web', [], [ssh], true]],
      ['writer', 'AuthorizeSecurityGroupIngress', ['changed', 'web', [https, ssh], [], true]],
      [
        ...['writer', 'CreateSecurityGroup'],
        ['made', 'web', ['egress all to 0.0.0.0/0'], [], false],
      ],
    ]);
    const [{ revision, timeMs, by }] = changes;
    assert.ok(Math.abs(timeMs - Date.now()) < 600_000);
    assert.deepEqual([by, revision > changes[1].revision], ['api', true]);
    const some = await tab.must<ChangesAnswer>(`changes?group=${id}&limit=2`);
    assert.deepEqual(
      [some.changes.map(({ actions }) => actions[0]), some.hasMore],
      [['RevokeSecurityGroupIngress', 'AuthorizeSecurityGroupIngress'], true],
    );
    for (const query of ['limit=501', 'limit=x', 'x=1', 'limit=1&limit=2'])
      assert.deepEqual(await tab.failure(`changes?${query}`), [400, undefined]);
  });

  test('gives drafts of a group as it was, which are applied as any other', async (t) => {
    const console = await ApiConsole.start(t);
    const tab = await console.as(WRITER);
    const { GroupId: id } = (await console.call('CreateSecurityGroup', {
      ...{ GroupName: 'web', Description: 'd' },
    })) as { readonly GroupId: string };
    for (const port of [443, 22])
      await console.call('AuthorizeSecurityGroupIngress', {
        ...{ GroupId: id, IpPermissions: [permission(port)] },
      });
    const { changes } = await tab.must<ChangesAnswer>('changes');
    const [ssh, https, made] = changes.map((one: ConsoleChange) => one.revision);
    const was = async (query: string): Promise<readonly (string | undefined)[]> => {
      const { ingress } = await tab.must<GroupDraft>(`draft?group=${id}&${query}`);
      return ingress.map(({ ports }) => ports);
    };
    assert.deepEqual(await was(`revision=${ssh}`), ['443', '22']);
    assert.deepEqual(await was(`before=${ssh}`), ['443']);
    assert.deepEqual(await was(`revision=${https}`), ['443']);
    assert.deepEqual(await was(`revision=${made}`), []);
    assert.deepEqual(await tab.failure(`draft?group=${id}&before=${made}`), [404, undefined]);
    assert.deepEqual(await tab.failure(`draft?group=${id}&before=1`), [410, undefined]);
    assert.deepEqual(await tab.failure(`draft?group=sg-1&before=${ssh}`), [410, undefined]);
    assert.deepEqual(await tab.failure(`draft?group=${id}&before=1&revision=1`), [400, undefined]);

    const draft = await tab.must<GroupDraft>(`draft?group=${id}&before=${ssh}`);
    const { apply } = await tab.must<DraftAnswer>('draft', draft);
    assert.ok(apply?.isPossible === true);
    const done = await tab.must<ApplyAnswer>('apply', { ...draft, preview: apply.preview });
    assert.deepEqual(
      done.calls.map(({ action, rules }) => [action, ...rules]),
      [['RevokeSecurityGroupIngress', 'tcp 22 from 10.0.0.0/8']],
    );
    const [last] = (await tab.must<ChangesAnswer>('changes')).changes;
    assert.deepEqual(
      [last.by, last.actions, last.revision, last.groups[0].removedCount],
      ['console', ['RevokeSecurityGroupIngress'], done.revision, 1],
    );
    assert.equal(console.records.at(-2)?.revision, done.revision);
  });

  test('is bounded in number, and what is too large is told without its states', async (t) => {
    const [client, other] = await makeClients(t, 2);
    const noted = (name: string) =>
      change(client, (edit) => {
        const made = createEstateGroup(
          edit,
          { vpcId: undefined, name, description: 'd', tags: [] },
          { ...context, quotas: { ...context.quotas, securityGroups: undefined } },
        );
        noteChange(edit, AUTHOR, new Date());
        return made;
      });
    for (let i = 0; i < NOTES_MAX + 5; i++) await noted(`g${i}`);
    const notes = readNotes(client.estate);
    assert.equal(notes.length, NOTES_MAX);
    assert.equal(notes[0].groups[0].name, `g${NOTES_MAX + 4}`);
    assert.equal(notes.at(-1)?.groups[0].name, 'g5');
    assert.ok(await other.reach(client.estate.revision, GUARD_MS));
    assert.deepEqual(readNotes(other.estate), notes);

    const edit = new Edit(client.estate);
    const { group } = client.estate.list('groups')[1];
    const random = Array.from({ length: 1000 }, (_, i) => {
      const text = `${(i * 7919) % 251}.${(i * 104_729) % 241}.${i % 256}.${(i * 31) % 256}/32`;
      const description = Buffer.from(`${i * 2_654_435_761}`).toString('base64');
      const peers = [{ kind: 'cidrIpv4', text, description: `${description}${i}` } as const];
      return { protocol: 'tcp', fromPort: (i * 7) % 60_000, toPort: 60_000 + (i % 5000), peers };
    });
    const quotas = { ...context.quotas, rulesPerGroup: undefined };
    take(authorizeRules(edit, group.id, 'ingress', random, [], { ...context, quotas }));
    noteChange(edit, AUTHOR, new Date());
    const row = edit.commit().puts.find(({ key }) => key.startsWith(CHANGES));
    const { groups } = JSON.parse(row!.value) as { groups: readonly { states?: string }[] };
    assert.equal(groups.length, 1);
    assert.ok(row!.value.length < 70_000, `${row!.value.length} bytes`);
    assert.equal(groups[0].states, undefined);
  });
});

test('hosts are told as they are', async (t) => {
  const [client] = await makeClients(t);
  const console = await ApiConsole.start(t, client);
  await console.call('CreateSecurityGroup', { GroupName: 'web', Description: 'd' });
  await change(client, (edit) => {
    edit.put(aliveKey('part'), encodeAlive({ ...ALIVE, holds: 'part' }));
    edit.put(appliedKey('part'), encodeApplied({ revision: 1 }));
    putHost(edit, 'near', {
      ...{ revision: 1e6, at: '2026-12-01T00:00:00Z' },
      leftOut: { 'eni-1': 'no device' },
    });
    putHost(edit, 'slow', { revision: 1, refused: { revision: 2, message: 'no room' } });
    return { ok: true, value: undefined };
  });
  const tab = await console.as(READER);
  const { revision, hosts } = await tab.must<HostsAnswer>('hosts');
  const { contentRevision } = client.estate;
  assert.equal(revision, contentRevision);
  assert.ok(contentRevision > 1);
  const living = { state: 'lives', sinceMs: Date.parse('2026-11-30T12:00:00Z'), version: '1.2.3' };
  assert.deepEqual(hosts, [
    {
      ...{ host: 'near', ...living, revision: 1e6, isBehind: false, fence: 'none', interfaces: 0 },
      inForceSinceMs: Date.parse('2026-12-01T00:00:00Z'),
      ...{ leftOut: [{ id: 'eni-1', why: 'no device' }], leftOutCount: 1 },
    },
    // Nothing since then concerns it: no interface of the group is there.
    {
      ...{ host: 'part', ...living, revision: 1, isBehind: false, fence: 'none', interfaces: 0 },
      ...{ leftOut: [], leftOutCount: 0 },
    },
    {
      ...{ host: 'slow', ...living, revision: 1, isBehind: true, fence: 'none', interfaces: 0 },
      ...{ refused: { revision: 2, message: 'no room' }, leftOut: [], leftOutCount: 0 },
    },
  ]);
});

test('tabs are told that there is another estate, whichever server has changed it', async (t) => {
  const [client, other] = await makeClients(t, 2);
  const console = await ApiConsole.start(t, client);
  const [{ port }, { token }] = [console, await console.as(READER)];
  const follower = await Follower.open(t, { port, token });
  const generation = ({ name, data }: Event): number | undefined =>
    name === 'estate' ? (data as { readonly generation: number }).generation : undefined;
  const first = await follower.until(generation, 'the first estate');
  await change(other, (edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'a', description: 'd', tags: [] }, context),
  );
  const later = (event: Event): number | undefined => {
    const found = generation(event) ?? 0;
    return found > first ? found : undefined;
  };
  assert.ok(await follower.until(later, 'another estate'));
});

test('every question is answered, or told to be none', async (t) => {
  const console = await ApiConsole.start(t);
  const tab = await console.as(READER);
  for (const path of ['about', 'map', 'matrix', 'groups', 'rules', 'flows', 'drops', 'history'])
    await tab.must(path);
  await tab.must('explain', { question: 'internet -> sg:default tcp 22' });
  const before = await tab.must<MapView>('map');
  await console.call('CreateSecurityGroup', { GroupName: 'x', Description: 'd' });
  const after = await tab.must<MapView>('map');
  assert.ok(after.generation > before.generation);
  assert.equal((await tab.must<MapView>('map')).generation, after.generation);
  assert.deepEqual(await tab.failure('nothing'), [404, undefined]);
  assert.deepEqual(await tab.failure('drops/1/2'), [404, undefined]);
  const much = { question: 'x'.repeat(70_000) };
  assert.deepEqual(await tab.failure('explain', much), [413, undefined]);
});

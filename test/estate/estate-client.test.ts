/** Changes of an estate by several at once, and what becomes of those that can't be put in force. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import {
  authorizeRules,
  createEstateGroup,
  deleteEstateGroup,
  revokeRules,
} from '../../src/estate/groups.ts';
import { createPath } from '../../src/estate/insights.ts';
import { aliveKey, valueKey } from '../../src/estate/keys.ts';
import type { AppliedState, EstateGroup } from '../../src/estate/model.ts';
import type { PermissionText } from '../../src/policy/permissions.ts';
import { createVpc } from '../../src/estate/vpcs.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { change, context, makeClients, refusalOf, take, putHost } from './world.ts';

const HTTPS: readonly PermissionText[] = [
  {
    protocol: 'tcp',
    fromPort: 443,
    toPort: 443,
    peers: [{ kind: 'cidrIpv4', text: '10.0.0.5/8' }],
  },
];

function fromGroup(id: string): readonly PermissionText[] {
  return [{ protocol: '-1', peers: [{ kind: 'group', text: id }] }];
}

async function makeGroup(client: EstateClient, name: string): Promise<EstateGroup> {
  return change(client, (edit) =>
    createEstateGroup(
      edit,
      { vpcId: undefined, name, description: 'd', tags: [{ key: 'k', value: 'v' }] },
      context,
    ),
  );
}

test('of many who authorize one rule at once, one does', async (t) => {
  const clients = await makeClients(t, 2);
  const { group } = await makeGroup(clients[0], 'web');
  await clients[1].reach(clients[0].estate.revision, GUARD_MS);
  const done = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      clients[i % 2].change((edit) =>
        authorizeRules(edit, group.id, 'ingress', HTTPS, [], context),
      ),
    ),
  );
  assert.equal(done.filter(({ ok }) => ok).length, 1);
  const refused = done.filter((one) => !one.ok).map(refusalOf);
  assert.deepEqual(
    [...new Set(refused)],
    [
      'InvalidPermission.Duplicate: the specified rule "peer: 10.0.0.0/8, TCP, from port: 443, to port: 443, ALLOW" already exists',
    ],
  );
  assert.equal(clients[0].estate.group(group.id)?.group.ingress.length, 1);
});

test('a name is one group’s in its VPC, whoever is first', async (t) => {
  const clients = await makeClients(t, 2);
  const make = (client: EstateClient, name: string): ReturnType<EstateClient['change']> =>
    client.change((edit) =>
      createEstateGroup(edit, { vpcId: undefined, name, description: 'd', tags: [] }, context),
    );
  const done = await Promise.all([make(clients[0], 'web'), make(clients[1], 'WEB ')]);
  assert.equal(done.filter(({ ok }) => ok).length, 1);
  assert.match(
    refusalOf(done.find(({ ok }) => !ok)!),
    /^InvalidGroup\.Duplicate: The security group 'web' already/i,
  );
});

test('the last group of the quota is made once, also in two VPCs', async (t) => {
  const clients = await makeClients(t, 2);
  const { id: other } = await change(clients[0], (edit) =>
    createVpc(edit, { cidr: '10.20.0.0/16', ipv6: 'none', tags: [] }, context),
  );
  await clients[1].catchUp();
  const quotas = { ...context.quotas, securityGroups: 3 };
  const done = await Promise.all(
    [undefined, other].map((vpcId, i) =>
      clients[i].change((edit) =>
        createEstateGroup(
          edit,
          { vpcId, name: 'web', description: 'd', tags: [] },
          { ...context, quotas },
        ),
      ),
    ),
  );
  assert.deepEqual(
    done.flatMap((one) => (one.ok ? [] : one.refusals.map(({ code }) => code))),
    ['SecurityGroupLimitExceeded'],
  );
});

test('no group is deleted while another one comes to name it', async (t) => {
  const clients = await makeClients(t, 2);
  for (let round = 0; round < 20; round++) {
    const named = await makeGroup(clients[0], `named${round}`);
    const other = await makeGroup(clients[0], `other${round}`);
    await clients[1].reach(clients[0].estate.revision, GUARD_MS);
    const [deleted, authorized] = await Promise.all([
      clients[round % 2].change((edit) => deleteEstateGroup(edit, named.group.id)),
      clients[(round + 1) % 2].change((edit) =>
        authorizeRules(edit, other.group.id, 'ingress', fromGroup(named.group.id), [], context),
      ),
    ]);
    assert.notEqual(deleted.ok, authorized.ok, 'one of the two');
    if (!deleted.ok)
      assert.equal(
        refusalOf(deleted),
        `DependencyViolation: resource ${named.group.id} has a dependent object`,
      );
    else
      assert.equal(
        refusalOf(authorized),
        `InvalidGroup.NotFound: The security group '${named.group.id}' does not exist`,
      );
  }
});

test('rules that name their own group keep it from nothing', async (t) => {
  const [client] = await makeClients(t);
  const { group } = await makeGroup(client, 'own');
  await change(client, (edit) =>
    authorizeRules(edit, group.id, 'ingress', fromGroup(group.id), [], context),
  );
  await change(client, (edit) => deleteEstateGroup(edit, group.id));
  assert.deepEqual(
    client.estate.keys().filter((key) => key.includes(group.id)),
    [],
    'nothing is left of it',
  );
  await makeGroup(client, 'own');
});

test('a change that is taken back leaves everything as it was', async (t) => {
  const [client] = await makeClients(t);
  const { group } = await makeGroup(client, 'web');
  const texts = (): readonly (readonly [string, string | undefined])[] =>
    client.estate
      .keys()
      .slice()
      .sort()
      .map((key) => [key, client.estate.textOf(key)] as const);
  const before = texts();
  const authorized = take(
    await client.change((edit) => authorizeRules(edit, group.id, 'ingress', HTTPS, [], context)),
  );
  assert.notDeepEqual(texts(), before);
  assert.ok(await client.takeBack(authorized.edit!, authorized.revision));
  assert.deepEqual(texts(), before);
  const deleted = take(await client.change((edit) => deleteEstateGroup(edit, group.id)));
  assert.ok(await client.takeBack(deleted.edit!, deleted.revision));
  assert.deepEqual(texts(), before);
});

test('a change that others have built on is not taken back', async (t) => {
  const [client] = await makeClients(t);
  const { group } = await makeGroup(client, 'web');
  const first = take(
    await client.change((edit) => authorizeRules(edit, group.id, 'ingress', HTTPS, [], context)),
  );
  await change(client, (edit) =>
    revokeRules(edit, group.id, 'ingress', { kind: 'permissions', texts: HTTPS }),
  );
  assert.equal(await client.takeBack(first.edit!, first.revision), false);
  assert.equal(client.estate.group(group.id)?.group.ingress.length, 0);
});

test('a change is in force when all hosts say so', async (t) => {
  const [client, host] = await makeClients(t, 2);
  const tell = (name: string, state: AppliedState): Promise<void> =>
    change(host, (edit) => {
      putHost(edit, name, state);
      return { ok: true, value: undefined };
    });
  const { contentRevision: first } = client.estate;
  assert.deepEqual(await client.enforce(first, 0), { kind: 'inForce' }, 'there are no hosts');
  await makeGroup(client, 'web');
  const { contentRevision: second } = client.estate;
  await tell('a', { revision: second });
  await tell('b', { revision: first });
  await client.reach(host.estate.revision, GUARD_MS);
  assert.deepEqual(await client.enforce(second, 0), { kind: 'late', hosts: ['b'] });
  const waiting = client.enforce(second, GUARD_MS);
  await tell('b', { revision: second });
  assert.deepEqual(await waiting, { kind: 'inForce' });
  await makeGroup(client, 'db');
  const { contentRevision: third } = client.estate;
  await tell('b', { revision: second, refused: { revision: third, message: 'no room' } });
  assert.deepEqual(await client.enforce(third, GUARD_MS), {
    kind: 'refused',
    host: 'b',
    message: 'no room',
  });
});

test('who does not live is not waited for, also if he dies meanwhile', async (t) => {
  const [client, host] = await makeClients(t, 2);
  await change(host, (edit) => {
    putHost(edit, 'a', { revision: 0 });
    putHost(edit, 'b', { revision: 0 });
    edit.remove(aliveKey('b'));
    return { ok: true, value: undefined };
  });
  await makeGroup(client, 'web');
  await client.reach(host.estate.revision, GUARD_MS);
  const { contentRevision: revision } = client.estate;
  assert.deepEqual(await client.enforce(revision, 0), { kind: 'late', hosts: ['a'] });
  const late = { kind: 'inForce', away: ['b'], behind: ['a'] };
  assert.deepEqual(await client.enforce(revision, 0, { waitFor: 'quorum' }), late);
  const none = await client.enforce(revision, 0, { concerned: new Set(['c']) });
  assert.deepEqual(none, { kind: 'late', hosts: ['a'] }, 'it holds all rows');
  const waiting = client.enforce(revision, GUARD_MS);
  await change(host, (edit) => {
    edit.remove(aliveKey('a'));
    return { ok: true, value: undefined };
  });
  assert.deepEqual(await waiting, { kind: 'inForce', away: ['a', 'b'] });
});

test('nobody waits for a change that hosts have nothing to do with', async (t) => {
  const [client] = await makeClients(t);
  await change(client, (edit) => {
    putHost(edit, 'a', { revision: 0 });
    return { ok: true, value: undefined };
  });
  const path = {
    source: 'eni-1',
    destination: 'eni-2',
    sourceIp: undefined,
    destinationIp: undefined,
    protocol: 'tcp' as const,
    sourcePort: undefined,
    destinationPort: 443,
    tags: [],
  };
  const { revision } = take(await client.change((edit) => createPath(edit, path, context)));
  assert.deepEqual(await client.enforce(revision, 0), { kind: 'inForce' });
});

test('what a host says of itself is no news to it', async (t) => {
  const [client] = await makeClients(t);
  const { contentRevision } = client.estate;
  await change(client, (edit) => {
    putHost(edit, 'a', { revision: 1 });
    return { ok: true, value: undefined };
  });
  assert.equal(client.estate.contentRevision, contentRevision);
  assert.ok(client.estate.revision > contentRevision);
});

test('a row that can not be read is told, and is no group', async (t) => {
  const [client, other] = await makeClients(t, 2);
  const { group } = await makeGroup(client, 'web');
  const told: string[] = [];
  const watching = other as unknown as { onTrouble: (message: string) => void };
  watching.onTrouble = (message) => told.push(message);
  (client as unknown as typeof watching).onTrouble = () => undefined;
  await change(client, (edit) => {
    edit.put(valueKey('groups', group.id), '{"vpcId":1}');
    return { ok: true, value: undefined };
  });
  await other.reach(client.estate.revision, GUARD_MS);
  assert.equal(other.estate.group(group.id), undefined);
  const why = `desired/groups/${group.id}.vpcId is not a text`;
  assert.deepEqual([...other.estate.unreadable], [[valueKey('groups', group.id), why]]);
  assert.deepEqual(told, [`a row of the store can't be read: ${why}`]);
});

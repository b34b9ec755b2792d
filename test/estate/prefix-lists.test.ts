/** Managed prefix lists as calls on the estate: versions, who names them, and what two calls at once leave behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '../../src/addr/address.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { authorizeRules, createEstateGroup } from '../../src/estate/groups.ts';
import type { EstatePrefixList } from '../../src/estate/model.ts';
import {
  createEstatePrefixList,
  deletePrefixList,
  modifyEstatePrefixList,
  restoreVersion,
} from '../../src/estate/prefix-lists.ts';
import type { PrefixListChange } from '../../src/policy/prefix-lists.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { change, context, makeClients, refusalOf } from './world.ts';

const UNKNOWN = 'pl-0123456789abcdef0';

function makeList(client: EstateClient, maxEntries = 3): Promise<EstatePrefixList> {
  const given = {
    name: 'offices',
    addressFamily: 'IPv4',
    maxEntries,
    entries: [{ cidr: '10.1.0.0/16' }],
    tags: [],
  };
  return change(client, (edit) => createEstatePrefixList(edit, given, context));
}

function modify(
  client: EstateClient,
  id: string,
  what: PrefixListChange,
): Promise<EstatePrefixList> {
  return change(client, (edit) => modifyEstatePrefixList(edit, id, what, context));
}

async function nameIt(client: EstateClient, listId: string): Promise<string> {
  const { group } = await change(client, (edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'web', description: 'd', tags: [] }, context),
  );
  const texts = [
    { protocol: '-1', peers: [{ kind: 'prefixList' as const, text: listId }] },
  ] as const;
  await change(client, (edit) => authorizeRules(edit, group.id, 'ingress', texts, [], context));
  return group.id;
}

const cidrs = ({ list }: EstatePrefixList): readonly string[] =>
  list.entries.map(({ cidr }) => formatCidr(cidr));

test('a list keeps its former versions, and says what was done to it last', async (t) => {
  const [client] = await makeClients(t);
  const made = await makeList(client);
  const { id } = made.list;
  assert.deepEqual([made.list.version, made.lastChange], [1, 'create']);
  const named = await modify(client, id, { name: 'sites' });
  assert.deepEqual([named.list.version, named.lastChange, named.former.size], [1, 'modify', 0]);
  const grown = await modify(client, id, { currentVersion: 1, add: [{ cidr: '10.2.0.0/16' }] });
  assert.deepEqual([grown.list.version, cidrs(grown)], [2, ['10.1.0.0/16', '10.2.0.0/16']]);
  const back = await change(client, (edit) => restoreVersion(edit, id, 1, 2));
  assert.deepEqual(
    [back.list.version, back.lastChange, cidrs(back)],
    [3, 'restore', ['10.1.0.0/16']],
  );
  assert.deepEqual([...back.former.keys()], [1, 2]);
});

test('what is wrong with a call is told by AWS’s code', async (t) => {
  const [client] = await makeClients(t);
  const { id } = (await makeList(client)).list;
  const modified = async (what: PrefixListChange, on = id): Promise<string> =>
    refusalOf(await client.change((edit) => modifyEstatePrefixList(edit, on, what, context)));
  assert.equal(
    await modified({ currentVersion: 7, add: [{ cidr: '10.2.0.0/16' }] }),
    `PrefixListVersionMismatch: The prefix list '${id}' is at version 1, not 7`,
  );
  assert.equal(
    await modified({ name: 'x' }, UNKNOWN),
    `InvalidPrefixListID.NotFound: The prefix list ID '${UNKNOWN}' does not exist`,
  );
  assert.equal(
    await modified({ name: 'x' }, 'pl-x'),
    'InvalidPrefixListId.Malformed: Invalid id: "pl-x" (expecting "pl-...")',
  );
  assert.equal(
    refusalOf(await client.change((edit) => restoreVersion(edit, id, 4, 1))),
    `InvalidParameterValue: The prefix list '${id}' has no version 4`,
  );
});

test('a list that a group names stays, and grows only as far as the group has room', async (t) => {
  const [client] = await makeClients(t);
  const { id } = (await makeList(client)).list;
  await nameIt(client, id);
  assert.equal(
    refusalOf(await client.change((edit) => deletePrefixList(edit, id))),
    `DependencyViolation: resource ${id} has a dependent object`,
  );
  const wide = await client.change((edit) =>
    modifyEstatePrefixList(edit, id, { maxEntries: 61 }, context),
  );
  assert.equal(
    refusalOf(wide),
    'RulesPerSecurityGroupLimitExceeded: The maximum number of rules per security group has been reached.',
  );
  assert.equal((await modify(client, id, { maxEntries: 60 })).list.maxEntries, 60);
});

test('of two who change one version, one does; none deletes a list that comes to be named', async (t) => {
  const clients = await makeClients(t, 2);
  for (let round = 0; round < 10; round++) {
    const { id } = (await makeList(clients[0])).list;
    await clients[1].reach(clients[0].estate.revision, GUARD_MS);
    const done = await Promise.all(
      clients.map((client, i) =>
        client.change((edit) =>
          modifyEstatePrefixList(
            edit,
            id,
            { currentVersion: 1, add: [{ cidr: `10.${i + 2}.0.0/16` }] },
            context,
          ),
        ),
      ),
    );
    assert.equal(done.filter(({ ok }) => ok).length, 1);
    assert.equal(
      refusalOf(done.find(({ ok }) => !ok)!),
      `PrefixListVersionMismatch: The prefix list '${id}' is at version 2, not 1`,
    );
    await change(clients[0], (edit) => deletePrefixList(edit, id));
    await clients[1].reach(clients[0].estate.revision, GUARD_MS);
    assert.deepEqual(
      clients[0].estate.keys().filter((key) => key.includes(id)),
      [],
      'nothing is left of it',
    );
  }
});

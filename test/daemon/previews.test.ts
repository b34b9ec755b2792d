/** What a dry run is told by a real daemon, by way of the store: nothing is put in force, and nothing is left of it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Previews, type Preview } from '../../src/api/previews.ts';
import { randomId } from '../../src/estate/calls.ts';
import { Edit } from '../../src/estate/edit.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import {
  addDefaultGroup,
  authorizeRules,
  createEstateGroup,
  revokeRules,
} from '../../src/estate/groups.ts';
import { deleteInterface } from '../../src/estate/interfaces.ts';
import { isPreviewKey, previewedKey, previewKey, valueKey } from '../../src/estate/keys.ts';
import { removeOldPreviews } from '../../src/estate/previews.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { udp4 } from '../packets/build.ts';
import { change, context, DEFAULT_VPC, makeClients, take } from '../estate/world.ts';
import { openClient, startEstateWorld, type EstateWorld } from './estate-world.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { GUARD_MS } from '../support/guard-time.ts';

const ID = 'eni-00000000000000001';
const FILE = `
securityGroups: { a: {} }
interfaces:
  a: { device: { name: dev-a }, addresses: [10.0.0.1], securityGroups: [a] }
`;
const DNS = [
  {
    protocol: 'udp',
    fromPort: 53,
    toPort: 53,
    peers: [{ kind: 'cidrIpv4' as const, text: '10.0.0.0/8' }],
  },
];

interface World extends EstateWorld {
  readonly api: EstateClient;
  readonly groupId: string;
  readonly dry: (work: (edit: Edit) => Checked<unknown>) => Promise<Preview | undefined>;
}

/** A daemon with an interface of a call, whose group `web` admits DNS, and a flow from `a` to it. */
async function startPreviewWorld(t: TestContext): Promise<World> {
  const world = await startEstateWorld(t, FILE);
  const api = await openClient(world.memory);
  t.after(() => api.close());
  await change(api, (edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
  });
  const { group } = await change(api, (edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'web', description: 'd', tags: [] }, context),
  );
  await change(api, (edit) => authorizeRules(edit, group.id, 'ingress', DNS, [], context));
  const { revision } = take(
    await api.change((edit) => {
      writeAttached(edit, ID, { device: 'dev-x', address: '10.0.0.7', groupIds: [group.id] });
      return { ok: true, value: undefined };
    }),
  );
  assert.deepEqual(await api.enforce(revision, GUARD_MS), { kind: 'inForce' });
  world.devices.send('dev-a', udp4('10.0.0.1', '10.0.0.7', { srcPort: 5000, dstPort: 53 }));
  await world.until(() => world.daemon.status().flows === 2, 'an entry at either gate');
  const previews = new Previews({ client: api, newId: randomId, timeoutMs: GUARD_MS });
  const dry = (work: (edit: Edit) => Checked<unknown>): ReturnType<World['dry']> => {
    const edit = new Edit(api.estate);
    take(work(edit));
    return previews.of(edit);
  };
  return { ...world, api, groupId: group.id, dry };
}

function left(client: EstateClient): readonly string[] {
  return client.estate.keys().filter(isPreviewKey);
}

test('it tells what would be cut and admitted, and changes nothing', async (t) => {
  const { api, client, daemon, dry, groupId, until } = await startPreviewWorld(t);
  const numbers = (daemon as unknown as { readonly ruleNumbers: { readonly count: number } })
    .ruleNumbers;
  const before = [daemon.generation, daemon.config, numbers.count, client.estate.contentRevision];
  const open = { protocol: 'tcp', fromPort: 443, toPort: 443, peers: DNS[0].peers };
  assert.deepEqual(
    await dry((edit) => authorizeRules(edit, groupId, 'ingress', [open], [], context)),
    {
      message: `On here it would cut 0 of 2 connections. It would newly admit web ingress: tcp 443 from 10.0.0.0/8 at ${ID}.`,
      header: 'hosts=1; unknown=0; kept=2; cut=0; not-again=0; admits=1',
    },
  );
  const flow = `udp 10.0.0.1:5000 to 10.0.0.7:53 at ${ID}`;
  assert.deepEqual(
    await dry((edit) => revokeRules(edit, groupId, 'ingress', { kind: 'permissions', texts: DNS })),
    {
      message: `On here it would cut 0 of 2 connections. 1 would live on and could not be opened again: ${flow}. It would newly admit nothing.`,
      header: 'hosts=1; unknown=0; kept=2; cut=0; not-again=1; admits=0',
    },
  );
  assert.deepEqual(await dry((edit) => deleteInterface(edit, ID)), {
    message: `On here it would cut 1 of 2 connections (1 by web ingress: udp 53 from 10.0.0.0/8): ${flow}. It would newly admit nothing.`,
    header: `hosts=1; unknown=0; kept=1; cut=1; not-again=0; admits=0; cut: ${flow}`,
  });
  assert.deepEqual(
    [daemon.generation, daemon.config, numbers.count, client.estate.contentRevision],
    before,
  );
  assert.equal(daemon.status().flows, 2);
  assert.deepEqual(left(api), []);
  await until(() => left(client).length === 0, 'nothing is left of the questions');
});

test('after dry runs a change does what they said', async (t) => {
  const { api, daemon, dry, groupId } = await startPreviewWorld(t);
  const open = { protocol: 'tcp', fromPort: 443, toPort: 443, peers: DNS[0].peers };
  for (const texts of [[open], [{ ...open, fromPort: 80 }]])
    await dry((edit) => authorizeRules(edit, groupId, 'ingress', texts, [], context));
  const { revision } = take(
    await api.change((edit) => authorizeRules(edit, groupId, 'ingress', [open], [], context)),
  );
  assert.deepEqual(await api.enforce(revision, GUARD_MS), { kind: 'inForce' });
  assert.equal(daemon.config.model.groups.get(groupId)?.ingress.length, 2);
  const gone = take(await api.change((edit) => deleteInterface(edit, ID)));
  assert.deepEqual(await api.enforce(gone.revision, GUARD_MS), { kind: 'inForce' });
  assert.equal(daemon.config.interfaces.length, 1);
});

test('a new group, and what only says more about it, is asked of nobody', async (t) => {
  const { api, dry } = await startPreviewWorld(t);
  const { revision } = api.estate;
  const made = await dry((edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'db', description: 'd', tags: [] }, context),
  );
  assert.equal(made, undefined);
  assert.equal(api.estate.revision, revision);
});

test('a question that can not be read is answered so, and one that was left is removed', async (t) => {
  const { api, until } = await startPreviewWorld(t);
  const group = valueKey('groups', 'sg-00000000000000001');
  const questions = [
    ['{', 'desired/previews/q is not JSON'],
    [
      '{"puts":[{"key":"hosts/here/applied","value":"{}"}],"deletes":[]}',
      'desired/previews/q.puts[0].key is not of a value',
    ],
    [`{"puts":[{"key":"${group}","value":"{}"}],"deletes":[]}`, `${group}.vpcId is not a text`],
  ] as const;
  for (const [text, why] of questions) {
    await change(api, (edit) => {
      edit.put(previewKey('q'), text);
      return { ok: true, value: undefined };
    });
    const answer = (): string | undefined => api.estate.textOf('hosts/here/previewed/q');
    await until(() => answer() !== undefined, 'an answer');
    assert.deepEqual(JSON.parse(answer()!), { why });
    await removeOldPreviews(api, Promise.resolve());
    assert.deepEqual(left(api), []);
  }
});

test('questions that another server asks meanwhile are not removed as old', async (t) => {
  const [starting, asking] = await makeClients(t, 2);
  const ask = (id: string): Promise<unknown> =>
    change(asking, (edit) => {
      edit.put(previewKey(id), '{}');
      edit.put(previewedKey(id, 'here'), '{}');
      return { ok: true, value: undefined };
    });
  await ask('left');
  await starting.catchUp();
  let pass = (): void => undefined;
  const removed = removeOldPreviews(starting, new Promise<void>((resolve) => (pass = resolve)));
  await ask('new');
  await starting.catchUp();
  assert.deepEqual(left(starting).length, 4, 'it may be waited for');
  pass();
  await removed;
  assert.deepEqual([...left(starting)].sort(), [
    'desired/previews/new',
    'hosts/here/previewed/new',
  ]);
});

/** A store of an earlier layout becomes one of this layout, whoever opens it first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Edit } from '../../src/estate/edit.ts';
import { Estate } from '../../src/estate/estate.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { memberKey, placedKey } from '../../src/estate/keys.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { writeAttached } from './write-interface.ts';

const GROUPS = ['sg-00000000000000001', 'sg-00000000000000002'];
const id = (at: number): string => `eni-${String(at).padStart(17, '0')}`;

function interfaceRow(at: number): { readonly key: string; readonly value: string } {
  const edit = new Edit(new Estate());
  writeAttached(edit, id(at), { device: `t${at}`, address: `10.0.0.${at + 1}`, groupIds: GROUPS });
  const { value } = edit.commit().puts.find(({ key }) => key.endsWith(`interfaces/${id(at)}`))!;
  return { key: `interfaces/${id(at)}`, value };
}

async function startOld(): Promise<Memory> {
  const memory = new Memory();
  const rows = [
    ...Array.from({ length: 30 }, (_, at) => interfaceRow(at)),
    { key: 'groups/sg-1', value: '{' },
    { key: 'names/vpc-1/web', value: '{"groupId":"sg-1","host":"here"}' },
    { key: 'names/vpc-1/db', value: '{"groupId":"sg-2"}' },
    { key: 'uses/sg-1', value: '{}' },
    { key: 'applied/here', value: '{"revision":1}' },
    { key: 'declared/here/groups/sg-3', value: '{}' },
  ];
  await new MemoryStore(memory).commit({ conditions: [], puts: rows, deletes: [] });
  return memory;
}

test('rows move to where they belong, and what follows from them is made', async () => {
  const memory = await startOld();
  const onTrouble = (): void => undefined;
  const clients = await Promise.all(
    [1, 2, 3].map(() => EstateClient.open({ store: new MemoryStore(memory), onTrouble })),
  );
  const rows = memory.rowsAt(memory.commits.length);
  const expected = [
    ...Array.from({ length: 30 }, (_, at) => [
      `desired/interfaces/${id(at)}`,
      placedKey('here', id(at)),
      ...GROUPS.map((group) => memberKey(group, id(at))),
    ]).flat(),
    'desired/groups/sg-1',
    'last-call',
    'names/vpc-1/db',
    'uses/sg-1',
  ];
  assert.deepEqual([...rows.keys()].sort(), expected.sort());
  assert.equal(rows.get('desired/groups/sg-1')?.value, '{', 'what can’t be read closes as before');
  assert.equal(rows.get(`desired/interfaces/${id(7)}`)?.value, interfaceRow(7).value);
  for (const client of clients) {
    assert.equal(client.estate.interfacesOfHost('here').length, 30);
    await client.close();
  }
});

test('a store of a newer layout is refused', async () => {
  const memory = new Memory();
  const puts = [{ key: 'desired/layout', value: '{"layout":3}' }];
  await new MemoryStore(memory).commit({ conditions: [], puts, deletes: [] });
  const onTrouble = (): void => undefined;
  await assert.rejects(EstateClient.open({ store: new MemoryStore(memory), onTrouble }), {
    message:
      'the rows of the store have layout 3, and this version knows 2: install the version that made them',
  });
});

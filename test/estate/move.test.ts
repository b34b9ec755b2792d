/** Moves of interfaces between hosts: what is refused, and what each commit leaves. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import type { Edit } from '../../src/estate/edit.ts';
import { aliveKey, appliedKey, declaredKey, placedKey } from '../../src/estate/keys.ts';
import type { EstateInterface } from '../../src/estate/model.ts';
import { beginMove, endMove, undoMove, type Moving } from '../../src/estate/move.ts';
import { encodeApplied, ROW_FORMS } from '../../src/estate/rows.ts';
import { createTags, deleteTags } from '../../src/estate/tags.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import { writeAttached, writeDetached } from './write-interface.ts';
import { change, makeClients, refusalOf, putHost } from './world.ts';

const ENI = 'eni-00000000000000001';
const ADDRESS = '10.0.0.11';

async function makeWorld(t: TestContext): Promise<EstateClient> {
  const [client] = await makeClients(t);
  await change(client, (edit) => {
    for (const host of ['a', 'b', 'c']) putHost(edit, host, { revision: 0 });
    writeAttached(edit, ENI, {
      device: 'eth0',
      host: 'a',
      netns: 'web',
      address: ADDRESS,
      groupIds: [],
    });
    return { ok: true, value: undefined };
  });
  return client;
}

function begin(
  client: EstateClient,
  host: string,
  place: { device?: string; netns?: string } = {},
): Promise<Moving> {
  const { device, netns } = place;
  return change(client, (edit) => beginMove(edit, ENI, { host, device, netns }));
}

function place({ estate }: EstateClient): readonly unknown[] {
  const { attachment, generation } = estate.interface(ENI)!;
  const { host, moved } = attachment!;
  return [host, moved?.from, moved?.isHeld, generation];
}

test('a move is held until it is ended', async (t) => {
  const client = await makeWorld(t);
  const { value } = await begin(client, 'b', { netns: 'web-2' });
  assert.deepEqual(place(client), ['b', 'a', true, 1]);
  assert.equal(value.attachment?.device.netns, 'web-2');
  const rows = (await client['store'].read('desired/placed/')).rows.map(({ key }) => key);
  assert.deepEqual(rows, [placedKey('b', ENI)]);
  await change(client, (edit) => endMove(edit, ENI, 1));
  assert.deepEqual(place(client), ['b', 'a', false, 1]);
  await begin(client, 'b');
  assert.deepEqual(place(client), ['b', 'a', false, 1]);
  await begin(client, 'c');
  assert.deepEqual(place(client), ['c', 'b', true, 2]);
  assert.match(refusalOf(await client.change((edit) => endMove(edit, ENI, 1))), /moved elsewhere/);
});

test('what is on its way may go elsewhere, or back, and who has it open stays the one to give it up', async (t) => {
  const client = await makeWorld(t);
  await begin(client, 'b');
  await begin(client, 'c');
  assert.deepEqual(place(client), ['c', 'a', true, 1]);
  await begin(client, 'a');
  assert.deepEqual(place(client), ['a', undefined, undefined, 1]);
});

test('a move that fails is undone, as a move of its own', async (t) => {
  const client = await makeWorld(t);
  const moving = await begin(client, 'b', { device: 'eth7' });
  await change(client, (edit) => endMove(edit, ENI, 1));
  await change(client, (edit) => undoMove(edit, moving));
  assert.deepEqual(place(client), ['a', undefined, undefined, 2]);
  const { attachment, tags } = client.estate.interface(ENI)!;
  assert.deepEqual([attachment!.device.name, tags], ['eth0', []]);
  assert.match(refusalOf(await client.change((edit) => undoMove(edit, moving))), /moved again/);
});

test('the tags that attach an interface say where it is then', async (t) => {
  const client = await makeWorld(t);
  const { value } = await begin(client, 'b', { netns: 'web-2' });
  assert.deepEqual(value.tags, [
    { key: 'secgroupd:host', value: 'b' },
    { key: 'secgroupd:netns', value: 'web-2' },
  ]);
});

test('tags give an interface to another host only if the one before surely has it no more', async (t) => {
  const client = await makeWorld(t);
  const tag = async (host: string): Promise<string | undefined> => {
    const tags = [
      { key: 'secgroupd:host', value: host },
      { key: 'secgroupd:netns', value: 'web' },
    ];
    const done = await client.change((edit) => createTags(edit, [ENI], tags));
    return done.ok ? undefined : refusalOf(done);
  };
  const isOn = `OperationNotPermitted: ${ENI} is on the host a, and two hosts would have it until that one has given it up`;
  assert.equal(await tag('a'), undefined, 'it stays where it is');
  assert.equal(await tag('b'), isOn);
  await change(client, (edit) => {
    edit.remove(aliveKey('a'));
    return { ok: true, value: undefined };
  });
  assert.equal(await tag('b'), isOn, 'it may run, cut off');
  await change(client, (edit) => {
    edit.put(appliedKey('a'), encodeApplied({ revision: 0, fence: 'lease' }));
    return { ok: true, value: undefined };
  });
  assert.equal(await tag('b'), undefined, 'it is fenced');
  assert.deepEqual(place(client).slice(0, 2), ['b', undefined]);
  await change(client, (edit) => {
    edit.remove(aliveKey('b'));
    edit.remove(appliedKey('b'));
    return { ok: true, value: undefined };
  });
  assert.equal(await tag('c'), undefined, 'it has left');
});

test('nothing is detached or given elsewhere while it is on its way', async (t) => {
  const client = await makeWorld(t);
  await begin(client, 'b');
  const isOnItsWay = `OperationNotPermitted: ${ENI} is on its way to the host b, and a may have it still`;
  for (const work of [
    (edit: Edit) => deleteTags(edit, [ENI], []),
    (edit: Edit) => createTags(edit, [ENI], [{ key: 'secgroupd:device', value: 'eth7' }]),
  ])
    assert.equal(refusalOf(await client.change(work)), isOnItsWay);
  assert.deepEqual(place(client), ['b', 'a', true, 1]);
});

test('what can not move is refused', async (t) => {
  const client = await makeWorld(t);
  const rewrite = (alter: (before: EstateInterface) => EstateInterface): Promise<unknown> =>
    change(client, (edit) => {
      edit.write('interfaces', ENI, alter(edit.read('interfaces', ENI)!));
      return { ok: true, value: undefined };
    });
  const refusal = async (host: string, id = ENI): Promise<string> =>
    refusalOf(await client.change((edit) => beginMove(edit, id, { host, device: undefined, netns: undefined }))); // prettier-ignore
  assert.match(await refusal('d'), /^InvalidParameterValue: No secgroupd .* on the host 'd'/);
  assert.match(await refusal('b', 'eni-9'), /^InvalidNetworkInterfaceID.NotFound: /);
  await change(client, (edit) => {
    const at = { host: 'b', file: 'b.yaml', line: 7 };
    const { attachment: _, ...value } = edit.read('interfaces', ENI)!;
    const declared = { ...value, id: 'eni-b', attachment: undefined, declaredAt: at };
    edit.put(
      declaredKey('b', 'interfaces', 'eni-b'),
      JSON.stringify(ROW_FORMS.interfaces.encode(declared)),
    );
    return { ok: true, value: undefined };
  });
  assert.equal(
    await refusal('b'),
    `InvalidIPAddress.InUse: ${ADDRESS} can't be on the host b: eni-b has it there (b.yaml, line 7)`,
  );
  assert.match(
    await refusal('c', 'eni-b'),
    /^OperationNotPermitted: eni-b is declared in b.yaml, line 7, on b/,
  );
  await rewrite((one) => ({ ...one, attachment: { ...one.attachment!, owner: 'docker' } }));
  assert.match(await refusal('c'), /^OperationNotPermitted: .* of an instance of docker/);
  await change(client, (edit) => {
    writeDetached(edit, ENI, { address: ADDRESS, groupIds: [] });
    return { ok: true, value: undefined };
  });
  assert.match(await refusal('c'), /^OperationNotPermitted: .* is not attached/);
  assert.equal(client.estate.interface(ENI)?.vpcId, ONLY_VPC_ID);
});

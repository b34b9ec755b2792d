/** Interfaces that come and go by requests, with a real daemon: what is answered when, and what is taken back. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { attachForOwner } from '../../src/estate/attach.ts';
import { OwnDoorChanges } from '../../src/daemon/door-changes.ts';
import { InterfaceCalls } from '../../src/daemon/interface-calls.ts';
import type { InterfaceQuestion } from '../../src/queries/owned-interfaces.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import { modifyInterface } from '../../src/estate/interfaces.ts';
import { change, context } from '../estate/world.ts';
import { startEstateWorld, type EstateWorld } from './estate-world.ts';
import { ensureDefaultVpc } from '../../src/estate/vpcs.ts';
import { writeDetached } from '../estate/write-interface.ts';

const TEXT = `
securityGroups:
  web: { ingress: [{ protocol: udp, ports: 53, from: 10.0.0.0/8 }] }
  db: {}
interfaces:
  a: { device: { name: dev-a }, addresses: [10.0.0.1], securityGroups: [web] }
`;
const ID = 'eni-00000000000000001';
const OTHER = 'eni-00000000000000002';
const QUESTION: InterfaceQuestion = {
  id: ID,
  owner: 'docker',
  device: { name: 'dev-x' },
  addresses: ['10.0.0.7'],
  securityGroups: ['web'],
};

async function serve(t: TestContext): Promise<EstateWorld & { readonly calls: InterfaceCalls }> {
  const world = await startEstateWorld(t, TEXT, {
    prepare: ({ refused }) => void refused.set('dev-bad', 'ENODEV'),
  });
  return {
    ...world,
    calls: new InterfaceCalls(world.inForce, new OwnDoorChanges(world.client, world.inForce.host)),
  };
}

function refused(work: Promise<unknown>, message: string): Promise<void> {
  return assert.rejects(work, new RequestError(message));
}

test('an interface is in force when the request is answered, and gone when it is removed', async (t) => {
  const { calls, daemon, devices } = await serve(t);
  devices.takeCalls();
  const added = await calls.add(QUESTION);
  const web = [...daemon.config.model.groups.values()].find(({ name }) => name === 'web')!;
  assert.deepEqual(added, {
    id: ID,
    owner: 'docker',
    device: { kind: 'tun', name: 'dev-x', mtu: 1500, configure: false, persist: false },
    addresses: ['10.0.0.7'],
    securityGroups: [{ id: web.id, name: 'web' }],
    tags: {},
    macAddress: '02:00:00:00:00:01',
  });
  assert.ok(devices.takeCalls().includes('open dev-x'));
  assert.deepEqual(daemon.config.model.interfaces.get(ID)?.groupIds, [web.id]);
  const { generation } = daemon;
  assert.deepEqual(await calls.add(QUESTION), added);
  assert.equal(daemon.generation, generation);
  assert.deepEqual(calls.get(ID), added);
  assert.deepEqual(calls.list('docker'), [added]);
  assert.deepEqual(calls.list('cni'), []);
  assert.deepEqual(await calls.remove(ID), { removed: true });
  assert.ok(devices.takeCalls().includes('close dev-x'));
  assert.deepEqual(await calls.remove(ID), { removed: false });
  assert.throws(() => calls.get(ID), new RequestError(`nobody asked this daemon for ${ID}`));
});

test('what can not be put in force is taken back, and the answer says why', async (t) => {
  const { calls, daemon, client } = await serve(t);
  const bad = { ...QUESTION, device: { name: 'dev-bad' } };
  await refused(calls.add(bad), `${ID} can't be put in force: ENODEV: no dev-bad`);
  assert.deepEqual(calls.list(), []);
  assert.equal(daemon.config.model.interfaces.has(ID), false);
  assert.deepEqual(daemon.waiting(), []);
  assert.equal(client.estate.revisionOf(`desired/interfaces/${ID}`), 0);
  // Its device is the file's; the addresses are free again.
  const taken = { ...QUESTION, device: { name: 'dev-a' } };
  await assert.rejects(calls.add(taken), /The device dev-a in the host is that of eni-/);
  await calls.add(QUESTION);
});

test('wrong requests change nothing', async (t) => {
  const { calls, client } = await serve(t);
  const { revision } = client.estate;
  await refused(
    calls.add({ ...QUESTION, securityGroups: ['wbe'] }),
    "The security group 'wbe' does not exist: sgctl groups shows which there are",
  );
  await refused(
    calls.add({ ...QUESTION, owner: 'a b' }),
    'owner is a word of letters, digits, dots, dashes and underscores',
  );
  await refused(calls.add({ ...QUESTION, device: { mtu: 575 } }), 'mtu is from 576 to 65535');
  await refused(
    calls.add({ ...QUESTION, addresses: ['fd00::1'], device: { mtu: 1279 } }),
    'mtu is from 1280 to 65535',
  );
  await refused(
    calls.add({ ...QUESTION, addresses: ['10.0.0.1'] }),
    `Address 10.0.0.1 is in use: ${[...client.estate.interfacesOfHost('here')][0].id} has it`,
  );
  assert.equal(client.estate.revision, revision);
});

test('other groups are in force when that is answered', async (t) => {
  const { calls, daemon } = await serve(t);
  const db = [...daemon.config.model.groups.values()].find(({ name }) => name === 'db')!;
  await calls.add(QUESTION);
  const set = await calls.setGroups(ID, ['db']);
  assert.deepEqual(set.securityGroups, [{ id: db.id, name: 'db' }]);
  assert.deepEqual(daemon.config.model.interfaces.get(ID)?.groupIds, [db.id]);
  await refused(
    calls.setGroups(OTHER, ['db']),
    `The networkInterface ID '${OTHER}' does not exist`,
  );
  await assert.rejects(calls.setGroups(ID, []), /must contain the parameter securityGroups/);
  assert.deepEqual(calls.get(ID).securityGroups, set.securityGroups);
});

test('many at once are all in force, also beside one that can not be', async (t) => {
  const { calls, daemon } = await serve(t);
  const numbers = Array.from({ length: 20 }, (_, n) => 10 + n);
  const bad = { ...QUESTION, device: { name: 'dev-bad' } };
  const [outcome] = await Promise.all([
    calls.add(bad).then(
      () => 'added',
      (error: Error) => error.message,
    ),
    ...numbers.map((n) =>
      calls.add({
        ...QUESTION,
        id: `eni-000000000000000${n}`,
        device: { name: `dev-${n}` },
        addresses: [`10.0.1.${n}`],
      }),
    ),
  ]);
  assert.equal(outcome, `${ID} can't be put in force: ENODEV: no dev-bad`);
  assert.equal(calls.list().length, 20);
  assert.equal(daemon.config.interfaces.length, 21);
  assert.deepEqual(
    calls.list().map(({ notInForce }) => notInForce),
    numbers.map(() => undefined),
  );
  const keep = ['eni-00000000000000010', OTHER];
  const { removed } = await calls.reconcile('docker', keep);
  assert.equal(removed.length, 19);
  assert.deepEqual(
    calls.list().map(({ id }) => id),
    ['eni-00000000000000010'],
  );
  assert.equal(daemon.config.interfaces.length, 2);
});

const ATTACHMENT = 'eni-attach-00000000000000001';

test('an interface that a call made is attached, obeys calls, and is detached', async (t) => {
  const { calls, daemon, devices, client, until } = await serve(t);
  const [web, db] = ['web', 'db'].map(
    (name) => [...daemon.config.model.groups.values()].find((one) => one.name === name)!.id,
  );
  await change(client, (edit) => {
    writeDetached(edit, ID, { address: '10.0.0.7', groupIds: [web] });
    return { ok: true, value: undefined };
  });
  const question = { id: ID, attachment: ATTACHMENT, owner: 'docker', device: { name: 'dev-x' } };
  await refused(
    calls.attach({ ...question, device: { name: 'dev-bad' } }),
    `${ID} can't be put in force: ENODEV: no dev-bad`,
  );
  assert.equal(client.estate.interface(ID)?.attachment, undefined);
  await refused(
    calls.attach({ ...question, addresses: ['10.0.0.8'] }),
    `${ID} has the address 10.0.0.7, and not 10.0.0.8: ask the runtime for it: --ip 10.0.0.7`,
  );
  await refused(
    calls.attach({ ...question, id: OTHER }),
    `The networkInterface ID '${OTHER}' does not exist`,
  );
  devices.takeCalls();
  const attached = await calls.attach(question);
  assert.ok(devices.takeCalls().includes('open dev-x'));
  assert.deepEqual(
    [attached.id, attached.attachment, attached.owner, attached.addresses, attached.notInForce],
    [ID, ATTACHMENT, 'docker', ['10.0.0.7'], undefined],
  );
  assert.deepEqual(await calls.attach(question), attached);
  assert.deepEqual(calls.list('docker'), [attached]);
  await change(client, (edit) => modifyInterface(edit, ID, { groupIds: [db] }, context));
  await until(() => daemon.config.model.interfaces.get(ID)?.groupIds[0] === db, 'it has the group');
  assert.deepEqual(await calls.detach(ATTACHMENT), { detached: true });
  assert.ok(devices.takeCalls().includes('close dev-x'));
  assert.deepEqual(await calls.detach(ATTACHMENT), { detached: false });
  assert.deepEqual(calls.list(), []);
});

test('an attachment in a namespace that is gone gives way, and one that is there does not', async (t) => {
  const { calls, client, daemon } = await serve(t);
  const [{ id: web }] = [...daemon.config.model.groups.values()].filter(
    ({ name }) => name === 'web',
  );
  const folder = mkdtempSync(join(tmpdir(), 'sgt-netns-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const netns = join(folder, 'netns');
  writeFileSync(netns, '');
  const device = {
    kind: 'tun',
    name: 'eth0',
    netns,
    mtu: 1500,
    configure: true,
    persist: true,
  } as const;
  await change(client, (edit) => {
    writeDetached(edit, ID, { address: '10.0.0.7', groupIds: [web] });
    const wish = { interfaceId: ID, id: ATTACHMENT, owner: 'cni', host: 'here', device };
    return attachForOwner(edit, { ...wish, addresses: undefined, abandoned: undefined });
  });
  const attachment = 'eni-attach-00000000000000002';
  const attach = () =>
    calls.attach({ id: ID, attachment, owner: 'cni', device: { name: 'dev-x' } });
  await assert.rejects(attach(), /cni has it, as eth0 in .*netns on the host here/);
  rmSync(netns);
  assert.equal((await attach()).attachment, attachment);
});

test('an address is leased of a subnet, becomes an interface, and is given back', async (t) => {
  const { calls, client } = await serve(t);
  const subnet = await change(client, (edit) => {
    ensureDefaultVpc(edit, ['us-east-1a'], context);
    return { ok: true, value: edit.list('subnets')[0] };
  });
  const cidr = '172.31.0.0/20';
  assert.deepEqual(await calls.findSubnet({ cidr }), {
    ...{ subnet: subnet.id, vpc: subnet.vpcId, cidr, router: '172.31.0.1' },
  });
  const none = new RequestError(
    'There is no subnet 10.9.0.0/24 in any VPC: make it by a call of the EC2 API first (CreateSubnet), or let the runtime choose the addresses',
  );
  await assert.rejects(calls.findSubnet({ cidr: '10.9.0.0/24' }), none);
  const wish = { owner: 'docker', cidr, address: '172.31.0.9' };
  assert.deepEqual(await calls.lease(wish), { address: '172.31.0.9', leased: true });
  await refused(
    calls.lease(wish),
    'Address 172.31.0.9 is in use: docker on the host here has just taken it',
  );
  await assert.rejects(calls.lease({ ...wish, owner: 'a b' }), /owner is a word of letters/);
  const question = { ...QUESTION, addresses: ['172.31.0.9'] };
  await assert.rejects(calls.add(question), /Address 172\.31\.0\.9 is in use/);
  await calls.add({ ...question, leased: true });
  assert.equal(client.estate.interface(ID)?.subnetId, subnet.id);
  const back = { owner: 'docker', vpc: subnet.vpcId, address: '172.31.0.9' };
  assert.deepEqual(await calls.release(back), { released: false });
  await calls.remove(ID);
  assert.deepEqual(await calls.release(back), { released: true });
  await assert.rejects(calls.release({ ...back, address: 'x' }), RequestError);
  // What can't be put in force is a lease again, for the owner to give back.
  await calls.lease(wish);
  const bad = { ...question, leased: true, device: { name: 'dev-bad' } };
  await assert.rejects(calls.add(bad), /can't be put in force/);
  assert.deepEqual(await calls.release(back), { released: true });
});

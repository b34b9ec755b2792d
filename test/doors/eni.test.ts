/**
 * Containers of a real dockerd that are interfaces of the EC2 API: made, shown and changed by a client of AWS's, and
 * kept over restarts of each part.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import { DEFAULT_CIDR, DockerCloud } from './docker-cloud.ts';
import { canRunDocker, DockerWorld, eventually } from './docker-world.ts';

const PARALLEL = 8;
const NETWORK = 'default-subnet';

test('containers that are interfaces of the EC2 API', async (t) => {
  if (!canRunDocker(t)) return;
  const world = await DockerWorld.make(t);
  if (world === undefined) return;
  const cloud = await DockerCloud.start(t, world);
  await world.docker('network', 'create', '-d', 'secgroupd', '--subnet', DEFAULT_CIDR, NETWORK);
  for (const [name, part] of PARTS) await t.test(name, () => part(cloud));
});

const PARTS: readonly (readonly [name: string, part: (cloud: DockerCloud) => Promise<void>])[] = [
  ['what does not fit is refused with a sentence, and leaves nothing', refusals],
  ['the API shows it, and changes its groups while the container runs', shownAndChanged],
  ['it is attached again over restarts of each part', partsRestart],
  ['it is free again when the container is gone', gone],
  ['many at once', manyAtOnce],
];

const WEB = '172.31.0.40';
let web = '';

async function refusals(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  web = await cloud.make(WEB);
  const refused = async (given: { eni: string; ip?: string }, why: RegExp): Promise<void> => {
    const { code, stderr } = await world.serveAs('wrong', NETWORK, given);
    assert.notEqual(code, 0);
    assert.match(stderr, why);
    await world.docker('rm', 'wrong');
  };
  await refused({ eni: web }, /secgroupd: .* has the address 172\.31\.0\.40, and not 172\.31\.0\.\d+: .*--ip 172\.31\.0\.40/); // prettier-ignore
  await refused({ eni: 'eni-00000000000000009', ip: WEB }, /'eni-00000000000000009' does not exist/); // prettier-ignore
  await refused({ eni: 'web', ip: WEB }, /eni=web is no id of an interface/);
  assert.deepEqual(await world.interfaces(), []);
  const { Status, Attachment } = await cloud.show(web);
  assert.deepEqual([Status, Attachment], ['available', undefined]);
}

async function shownAndChanged(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const { code, stderr } = await world.serveAs('web', NETWORK, { eni: web, ip: WEB });
  assert.equal(code, 0, stderr);
  assert.ok(await cloud.admits(WEB), world.doorLog);
  const { Status, Attachment, PrivateIpAddress } = await cloud.show(web);
  assert.deepEqual([Status, Attachment?.Status, PrivateIpAddress], ['in-use', 'attached', WEB]);
  await cloud.setGroup(web, cloud.closed);
  assert.equal(await cloud.admits(WEB), false);
  await cloud.setGroup(web, cloud.open);
  assert.ok(await cloud.admits(WEB));
  const inUse = { name: 'InvalidNetworkInterface.InUse' };
  await assert.rejects(cloud.delete(web), inUse);
  await assert.rejects(cloud.detach(Attachment!.AttachmentId!), { name: 'OperationNotPermitted' });
  const other = { id: web, attachment: 'eni-attach-00000000000000001', owner: 'cni.other' };
  await assert.rejects(
    ask(world.control, 'attachInterface', other),
    /is currently in use: docker has it, as sg[0-9a-f]{12} in no namespace of its own on the host here/,
  );
}

async function partsRestart(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const isServed = (): Promise<void> =>
    eventually(async () => assert.ok(await cloud.admits(WEB), world.service.output));
  for (const signal of ['KILL', 'TERM'] as const) {
    await world.service.end(signal);
    await world.service.startReady();
    await isServed();
  }
  await world.stopDoor('SIGKILL');
  await world.startDoor();
  const { AttachmentId: before } = (await cloud.show(web)).Attachment!;
  await world.docker('restart', '-t', '0', 'web');
  await isServed();
  const { AttachmentId: after } = (await cloud.show(web)).Attachment!;
  assert.notEqual(after, before);
  await world.docker('update', '--restart', 'always', 'web');
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await world.stopDockerd(signal);
    assert.ok(await world.startDockerd(false));
    await isServed();
    assert.deepEqual(
      (await world.interfaces()).map(({ id }) => id),
      [web],
    );
  }
}

async function gone(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  await world.docker('rm', '-f', 'web');
  const { Status, Attachment } = await cloud.show(web);
  assert.deepEqual([Status, Attachment], ['available', undefined]);
  assert.deepEqual(await world.interfaces(), []);
  // One that is taken from a container which is there leaves that one cut off, and is gone with it all the same.
  await world.serveAs('web', NETWORK, { eni: web, ip: WEB });
  await cloud.detach((await cloud.show(web)).Attachment!.AttachmentId!, true);
  assert.equal(await cloud.admits(WEB), false);
  await cloud.delete(web);
  await world.docker('rm', '-f', 'web');
  await assert.rejects(cloud.delete(web), { name: 'InvalidNetworkInterfaceID.NotFound' });
}

async function manyAtOnce(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const addresses = Array.from({ length: PARALLEL }, (_, n) => `172.31.0.${50 + n}`);
  const ids = await Promise.all(addresses.map((address) => cloud.make(address)));
  const names = ids.map((_, n) => `many-${n}`);
  const done = await Promise.all(
    ids.map((eni, n) => world.serveAs(names[n], NETWORK, { eni, ip: addresses[n] })),
  );
  assert.deepEqual(
    done.filter(({ code }) => code !== 0).map(({ stderr }) => stderr),
    [],
  );
  for (const address of addresses) assert.ok(await cloud.admits(address), address);
  // Of several who ask for one interface at once, one has it.
  const free = await cloud.make('172.31.0.70');
  const asked = await Promise.allSettled(
    names.map((_, n) =>
      ask(world.control, 'attachInterface', {
        ...{ id: free, attachment: `eni-attach-0000000000000000${n}`, owner: 'cni.other' },
        device: { name: `x${n}` },
      }),
    ),
  );
  assert.equal(asked.filter(({ status }) => status === 'fulfilled').length, 1);
  await world.docker('rm', '-f', ...names);
  assert.deepEqual(await world.interfaces(), []);
}

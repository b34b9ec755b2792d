/**
 * What root of a container may try with its interface. Who has CAP_NET_ADMIN in the container's namespace can do no more
 * there than the host's `ip`, so that is what is used.
 */
import assert from 'node:assert/strict';
import { netnsAt, type Netns } from '../support/netns.ts';
import { eventually, HOST, type DockerWorld } from './docker-world.ts';

const IN_VAIN_S = '1';

/** @param world with `web`, whose port 8080 of the host the client may use, and `closed`, whose group `web` admits */
export async function rootOfContainer(world: DockerWorld): Promise<void> {
  const inside = async (name: string): Promise<Netns> => netnsAt(await world.netnsOf(name));
  const web = await world.addressOf('web');
  /** Whether `web` answers a request from this address. */
  const reaches = async (netns: Netns, from: string, seconds = IN_VAIN_S): Promise<boolean> => {
    const args = ['-s', '-m', seconds, '-o', '/dev/null', '--interface', from, `http://${web}/`];
    return (await netns.run('curl', args)).code !== 28; // Timed out.
  };
  const member = await world.addressOf('closed');
  assert.ok(await reaches(await inside('closed'), member, '10'));
  await world.serve('rooted', 'ping');
  const own = await world.addressOf('rooted');
  const netns = await inside('rooted');
  const ip = (...args: readonly string[]): Promise<string> => netns.mustRun('ip', args);
  assert.ok(!(await reaches(netns, own)));

  // The address of a member, added to its own interface.
  await ip('address', 'add', `${member}/32`, 'dev', 'eth0');
  assert.ok(!(await reaches(netns, member)));

  // Another name and another MTU. Down and up again it has no routes.
  await ip('link', 'set', 'dev', 'eth0', 'down');
  await ip('link', 'set', 'dev', 'eth0', 'mtu', '9000', 'name', 'eth7');
  await ip('link', 'set', 'dev', 'eth7', 'up');
  await ip('route', 'add', 'default', 'dev', 'eth7');
  for (const from of [own, member]) assert.ok(!(await reaches(netns, from)), from);

  // Another device leads nowhere.
  await ip('tuntap', 'add', 'dev', 'eth0', 'mode', 'tun');
  await ip('link', 'set', 'dev', 'eth0', 'up');
  await ip('route', 'add', `${web}/32`, 'dev', 'eth0');
  assert.ok(!(await reaches(netns, member)));

  // Without its own it has nothing, and nobody else has less.
  await ip('link', 'delete', 'dev', 'eth7');
  assert.notEqual(await world.whoAsks(world.client, `${HOST}:8080`), '');
  await world.docker('restart', '-t', '0', 'rooted');
  await eventually(async () => {
    const again = await inside('rooted');
    assert.ok(!(await reaches(again, await world.addressOf('rooted'))));
    assert.equal((await world.interfaces()).length, 3);
  });
  await world.docker('rm', '-f', 'rooted');
}

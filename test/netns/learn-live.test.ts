/**
 * An application runs on veth pairs that somebody else made, behind a bridge of the host. Groups are learnt from a live
 * capture of the host's ends. The proposal is put in force on these pairs: the application runs on, and everything
 * else is refused.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { whyNoPcap } from '../../src/ports/pcap.ts';
import { requireTools } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { plugIn } from './attach-world.ts';
import { ask, DB, interrupt, startApplication, WEB } from './learn-world.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain, temporaryFile } from './world.ts';

const CLIENT = '10.0.0.20';
const PLACES = { web: WEB, db: DB, client: CLIENT };

test('learnt live from pairs of somebody else, and put in force on them', async (t) => {
  const why = whyNoPcap();
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  if (!canRun(t) || !requireTools(t, 'python3', 'nc', 'curl')) return;
  const names = await makeNamespaces(t, ['host', 'web', 'db', 'client']);
  const { host, db, client } = names;
  await host.mustRun('ip', ['link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0']);
  await host.mustRun('ip', ['link', 'set', 'br0', 'up']);
  for (const [name, address] of Object.entries(PLACES)) {
    const last = address.split('.').at(-1)!;
    const addresses = [address, `fd00:10::${last}`];
    await plugIn(host, `veth-${name}`, names[name as 'web'], `02:00:00:00:00:${last}`, addresses);
    await host.mustRun('ip', ['link', 'set', `veth-${name}`, 'master', 'br0']);
  }
  const interfaces = Object.entries(PLACES).map(
    ([name, address]) =>
      `  ${name}: { device: { kind: attach, netns: ${host.path}, name: veth-${name} }, addresses: [${address}], securityGroups: [open] }`,
  );
  const file = temporaryFile(
    t,
    'shop.yaml',
    `securityGroups:
  open: { ingress: [{ protocol: all, from: 0.0.0.0/0 }] }
interfaces:
${interfaces.join('\n')}
metrics: { listen: '127.0.0.1:0' }
`,
  );
  await startApplication(names);

  const devices = ['veth-web', 'veth-db'].flatMap((name) => ['--live', name]);
  const args = ['learn', ...devices, '--config', file, '--for', '10m', '--widen-max', '1'];
  const learning = await host.start(process.execPath, [SGCTL, ...args]);
  await learning.waitFor(/looking at veth-web, veth-db/);
  const use = async (): Promise<void> => {
    assert.equal(await ask(client, `${WEB}:8080`), 'web db');
    assert.equal((await ping(client, WEB, 2)).code, 0);
  };
  await use();
  await use();
  // What nobody does twice, and what nobody listens for.
  assert.equal(await ask(client, `${DB}:9000`), 'db');
  await client.run('nc', ['-z', '-w', '1', WEB, '22']);
  const learnt = await interrupt(learning);
  assert.equal(learnt.code, 130, learnt.stderr);
  assert.match(learnt.stderr, /^ {2}tcp 9000 at db from client, 1 flow$/m);
  assert.match(learnt.stderr, /^ {2}tcp 22 at web from client, 1 flow$/m);

  writeFileSync(file, learnt.stdout);
  const daemon = await Daemon.start(t, file);
  // They still have each other's MAC addresses, which were the bridge's business.
  for (const name of Object.keys(PLACES))
    await names[name as 'web'].mustRun('ip', ['neigh', 'flush', 'all']);
  assert.deepEqual(await daemon.dropsDuring(use), {}, learnt.stdout);
  const refused = await daemon.dropsDuring(async () => {
    assert.equal(await ask(client, `${DB}:9000`, 1), '');
    assert.equal(await ask(client, `${DB}:5432`, 1), '');
    assert.equal(await ask(db, `${CLIENT}:80`, 1), '');
    await pingInVain(client, DB);
    await client.run('nc', ['-z', '-w', '1', WEB, '22']);
  });
  assert.deepEqual(Object.keys(refused).sort(), [
    'client egress egress-rules',
    'db egress egress-rules',
  ]);
});

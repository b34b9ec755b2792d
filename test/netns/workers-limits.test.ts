/** Two packet loops keep limits, take a change of rules, and lose a device, all together. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../src/control-socket/control-client.ts';
import type { Status } from '../../src/queries/status-view.ts';
import type { FlowsAnswer } from '../../src/queries/flows-view.ts';
import type { Netns } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { get, ping } from './world.ts';
import {
  canRunWorkers,
  CLIENTS,
  configuration,
  json,
  LOOPS,
  makeWorld,
  packetsDuring,
  RULES,
  SERVER,
  sgctl,
  type World,
} from './workers-world.ts';

const LIMIT = 20;
/** The gates of the client and of the server: a flow has an entry at either. */
const GATES = 2;
/** Interfaces that neither ask nor answer: `quiet` and those that would ask it. */
const IDLE = 3;
const CUT_MS_MAX = 500;

/**
 * Opens so many flows to the server's UDP port, each answered before the next is opened, or (`-1`) all at once;
 * prints how many answers came. For as many as are expected it is patient, for others it is not.
 */
const OPEN_FLOWS = `
import socket, sys
host, count, expected = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answered = 0
sockets = []
for i in range(count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((host, 5353))
    s.send(b'x')
    sockets.append(s)
    if expected >= 0:
        s.settimeout(20 if answered < expected else 0.2)
        try:
            s.recv(100)
            answered += 1
        except TimeoutError:
            pass
print(answered)
`;

async function openFlows(from: Netns, count: number, expected: number): Promise<number> {
  return Number(await from.mustRun('python3', ['-c', OPEN_FLOWS, SERVER, String(count), String(expected)])); // prettier-ignore
}

async function countFlows(world: World, ...filter: readonly string[]): Promise<number> {
  return (await json<FlowsAnswer>(world, 'flows', '--limit', '0', ...filter)).matched;
}

test("an interface's limit counts the flows of both loops", async (t) => {
  if (!canRunWorkers(t)) return;
  const world = await makeWorld(t, {
    serverConntrack: `, connectionTracking: { maxFlows: ${LIMIT} }`,
  });
  const { clients, daemon } = world;
  assert.equal(await openFlows(clients[0], 15, 15), 15);
  const drops = await daemon.dropsDuring(async () => {
    assert.equal(await openFlows(clients[1], 15, LIMIT - 15), LIMIT - 15);
    assert.equal(await openFlows(clients[0], 2, 0), 0);
  });
  assert.deepEqual(drops, { 'server ingress conntrack-full': 12 });
  assert.equal(await countFlows(world, '-i', 'server'), LIMIT);
  const { code } = await ping(clients[1], SERVER, 1, '-W', '0.3');
  assert.equal(code, 1, 'no room for another kind of flow either');
});

test('the limit of all flows counts those of both loops', async (t) => {
  if (!canRunWorkers(t)) return;
  // A place is kept for each of the interfaces that do nothing here.
  const maxFlows = GATES * LIMIT + IDLE;
  const world = await makeWorld(t, {
    more: `conntrack: { maxFlows: ${maxFlows}, maxHalfOpen: ${maxFlows} }\n`,
  });
  const { clients, daemon } = world;
  assert.equal(await openFlows(clients[1], 15, 15), 15);
  const drops = await daemon.dropsDuring(async () => {
    assert.equal(await openFlows(clients[0], 15, LIMIT - 15), LIMIT - 15);
    assert.equal(await openFlows(clients[1], 2, 0), 0);
  });
  assert.deepEqual(drops, {
    'client0 egress conntrack-full': 10,
    'client1 egress conntrack-full': 2,
  });
  assert.equal(await daemon.flows(), GATES * LIMIT);

  // Both in a burst, in which half-open flows make room for one another: what one loop opens the other sees a
  // moment later.
  assert.equal((await sgctl(world, 'flows', 'delete', '--all', '--yes')).code, 0);
  await Promise.all(clients.map((client) => openFlows(client, 300, -1)));
  const tracked = await daemon.flows();
  assert.ok(tracked > maxFlows / 2 && tracked <= maxFlows + LOOPS - 1, `${tracked} flows`);
});

test('a change of rules ends flows of both loops', async (t) => {
  if (!canRunWorkers(t)) return;
  const more = 'revocation: cut\n';
  const world = await makeWorld(t, { more });
  const streams = await Promise.all(
    world.clients.map((client) => client.start('curl', ['-sN', `http://${SERVER}:7000/ticks`])),
  );
  for (const stream of streams) await stream.waitFor(/tick 3/);
  const rules = RULES.split('\n')
    .filter((line) => !line.includes('7000'))
    .join('\n');
  writeFileSync(world.file, configuration(world, { more, rules }));
  const plan = await ask(world.socket, 'reload', { dryRun: true });
  assert.ok(plan.outcome === 'planned');
  assert.deepEqual(plan.changes.rules.removed, ['server ingress: tcp 7000 from sg:client']);
  assert.equal(plan.impact.cut, 2);
  assert.deepEqual(
    plan.impact.cutConnections.map(({ remoteAddress }) => remoteAddress).sort(),
    [...CLIENTS].sort(),
  );
  assert.equal((await ask(world.socket, 'reload', {})).outcome, 'changed');
  await sleep(CUT_MS_MAX);
  const atEnd = streams.map((stream) => stream.stdout().length);
  await sleep(CUT_MS_MAX);
  assert.deepEqual(
    streams.map((stream) => stream.stdout().length),
    atEnd,
  );
  assert.match(world.daemon.output, /"revoked":2\b/);
  for (const client of world.clients) assert.equal(await get(client, SERVER), 'server\n');
  for (const stream of streams) await stream.stop();
});

test('a device that is deleted is cut off from both loops, and comes back to both', async (t) => {
  if (!canRunWorkers(t)) return;
  const world = await makeWorld(t);
  const { server, clients, daemon } = world;
  for (const client of clients) assert.equal(await get(client, SERVER), 'server\n');
  await server.mustRun('ip', ['link', 'delete', 'eth0']);
  // The others talk on meanwhile.
  assert.match((await ping(world.far, '203.0.113.1')).stdout, / 0% packet loss/);
  const shown = async (): Promise<string> =>
    (await server.run('ip', ['link', 'show', 'eth0', 'up'])).stdout;
  await until('the device comes back', async () => (await shown()).includes('eth0'));
  assert.match(daemon.output, /a device is gone; its interface is cut off/);
  assert.equal(
    daemon.output.match(/a device is gone/g)?.length,
    1,
    'told once, not by either loop',
  );
  const counts = await packetsDuring(server, async () => {
    for (const client of clients) {
      assert.equal(await get(client, SERVER), 'server\n');
      assert.match((await ping(client, SERVER, 2)).stdout, / 0% packet loss/);
    }
  });
  assert.ok(Math.min(...counts) >= 5, String(counts));

  // And one that a reload takes out and brings in again.
  const text = configuration(world);
  const without = text
    .split('\n')
    .filter((line) => !line.includes('  client1: {'))
    .join('\n');
  writeFileSync(world.file, without);
  assert.equal((await ask(world.socket, 'reload', {})).outcome, 'changed');
  assert.equal(await get(clients[0], SERVER), 'server\n');
  assert.equal((await clients[1].run('ip', ['link', 'show', 'eth0'])).code, 1);
  writeFileSync(world.file, text);
  assert.equal((await ask(world.socket, 'reload', {})).outcome, 'changed');
  for (const client of clients) assert.equal(await get(client, SERVER), 'server\n');
  const { health } = await json<Status>(world, 'status');
  assert.equal(health.reloads.changed, 2);
});

test('another number of loops takes a restart: a reload is refused, and says so', async (t) => {
  if (!canRunWorkers(t)) return;
  const world = await makeWorld(t);
  writeFileSync(world.file, configuration(world).replace(`workers: ${LOOPS}`, 'workers: 3'));
  const refused = await ask(world.socket, 'reload', {});
  assert.equal(refused.outcome, 'refused');
  assert.deepEqual(
    refused.problems.map(({ code, message, hint }) => [code, message, hint]),
    [
      [
        'needs-restart',
        "'workers' can't be changed while the daemon runs",
        'leave it as it was, or run: systemctl restart secgroupd',
      ],
    ],
  );
  for (const client of world.clients) assert.equal(await get(client, SERVER), 'server\n');
});

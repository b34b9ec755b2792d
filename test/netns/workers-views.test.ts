/** Views of a daemon with two packet loops show both: flows, traces, captures, drops, counters, logs. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '../../src/queries/status-view.ts';
import type { TopAnswer } from '../../src/queries/top-stream.ts';
import type { DropsAnswer } from '../../src/queries/drops-view.ts';
import type { FlowsAnswer } from '../../src/queries/flows-view.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { RulesAnswer } from '../../src/queries/rules-view.ts';
import type { VerdictView } from '../../src/queries/verdict-view.ts';
import { run, start, type Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { get, ping, temporaryFile } from './world.ts';
import {
  canRunWorkers,
  CLIENTS,
  following,
  json,
  makeWorld,
  packetsDuring,
  SERVER,
  sgctl,
  type World,
} from './workers-world.ts';

/**
 * A loop stamps what it tells with the moment its round began, and a look takes what is there: records of one look
 * are in order, those of two may overlap by as much as a round takes.
 */
const ROUND_MS = 50;

async function follow(world: World, ...args: readonly string[]): Promise<Running> {
  const command = await start(process.execPath, following(world, ...args));
  await command.waitFor(/Ctrl-C ends it/);
  return command;
}

/** Both clients at once, `count` echo requests each; true of each loop that it got its client's, both ways. */
async function pingFromBoth({ server, clients }: World, count: number): Promise<void> {
  const counts = await packetsDuring(server, async () => {
    const results = await Promise.all(clients.map((client) => ping(client, SERVER, count)));
    for (const { stdout } of results) assert.match(stdout, / 0% packet loss/);
  });
  assert.ok(Math.min(...counts) >= count, `each loop got its share: ${String(counts)}`);
}

test('what two packet loops tell', async (t) => {
  if (!canRunWorkers(t)) return;
  const folder = mkdtempSync(join(tmpdir(), 'sgt-workers-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const log = join(folder, 'flow.log');
  const world = await makeWorld(t, {
    more: `flowLogs: { all: { file: ${log}, aggregation: 60 } }\n`,
  });
  await t.test('metrics and interfaces add up', () => addsUp(world));
  await t.test('rules count the hits of both', () => countsHits(world));
  await t.test('flows, and their end by hand', () => showsFlows(world));
  await t.test('drops, and explain --drop', () => showsDrops(world));
  await t.test('trace, in order', () => traces(world));
  await t.test('capture, in order', (inTest) => captures(inTest, world));
  await t.test('top', () => showsTop(world));
  await t.test('flow logs', () => logsFlows(world, log));
});

async function addsUp(world: World): Promise<void> {
  const { daemon } = world;
  const sample = (name: string, direction: string): string =>
    `secgroupd_packets_total{interface="${name}",direction="${direction}",verdict="pass"}`;
  const before = await daemon.metrics();
  const statusBefore = (await json<Status>(world, 'status')).health;
  await pingFromBoth(world, 6);
  const after = await daemon.metrics();
  const grown = (name: string): number => after.get(name)! - (before.get(name) ?? 0);
  // Neighbour discovery is of link scope, and does not pass.
  assert.equal(grown(sample('server', 'ingress')), 12);
  assert.equal(grown(sample('server', 'egress')), 12);
  for (const loop of [0, 1])
    assert.ok(grown(`secgroupd_loop_busy_seconds_total{loop="${loop}"}`) > 0, 'each is told of');
  for (const client of ['client0', 'client1']) assert.equal(grown(sample(client, 'egress')), 6);
  assert.equal(grown('secgroupd_conntrack_opened_flows_total'), 4);
  assert.equal(after.get('secgroupd_conntrack_flows'), 4);
  const { health, flows } = await json<Status>(world, 'status');
  assert.equal(flows, 4);
  assert.equal(health.flowsByState['icmp'], 4);
  assert.equal(health.total.passedPackets - statusBefore.total.passedPackets, 4 * 12);
  const interfaces = await json<readonly InterfaceView[]>(world, 'interfaces');
  const server = interfaces.find(({ name }) => name === 'server')!;
  assert.deepEqual(
    [server.ingress.passedPackets, server.flows],
    [after.get(sample('server', 'ingress')), 2],
  );
}

async function countsHits(world: World): Promise<void> {
  for (let i = 0; i < 3; i++)
    for (const client of world.clients) assert.equal(await get(client, SERVER), 'server\n');
  const { rules } = await json<RulesAnswer>(world, 'rules', '--group', 'server', '--sort', 'hits');
  const [{ text, hits, lastHitMs, flows }] = rules;
  assert.deepEqual([text, hits, flows], ['tcp 80 from sg:client', 6, 6]);
  // It is a time of the clock on the wall, however long ago.
  assert.ok(Math.abs(Date.now() - lastHitMs!) < 3_600_000);
  const metrics = await world.daemon.metrics();
  const counted = [...metrics].filter(
    ([name, value]) => name.startsWith('secgroupd_rule_hits_total{') && value === 6,
  );
  assert.ok(counted.length >= 1);
}

async function showsFlows(world: World): Promise<void> {
  const streams = await Promise.all(
    world.clients.map((client) => client.start('curl', ['-sN', `http://${SERVER}:7000/ticks`])),
  );
  for (const stream of streams) await stream.waitFor(/tick 3/);
  const filter = ['--port', '7000', '--state', 'established'];
  const { flows, matched } = await json<FlowsAnswer>(world, 'flows', ...filter, '-i', 'server');
  assert.equal(matched, 2);
  assert.deepEqual(flows.map(({ remoteAddress }) => remoteAddress).sort(), [...CLIENTS].sort());
  for (const { packetsIn, rule } of flows) {
    assert.ok(packetsIn! > 3);
    assert.equal(rule?.text, 'tcp 7000 from sg:client');
  }
  const sorted = await json<FlowsAnswer>(world, 'flows', '--sort', 'bytes', '--limit', '3');
  const bytes = sorted.flows.map(({ bytesIn, bytesOut }) => bytesIn! + bytesOut!);
  assert.deepEqual(
    bytes,
    [...bytes].sort((a, b) => b - a),
  );

  // One of either loop by its address, and then what is left.
  const one = await sgctl(world, 'flows', 'delete', ...filter, '--address', CLIENTS[1], '--yes');
  assert.deepEqual([one.code, one.stdout], [0, 'ended 2 flows\n']);
  const atEnd = streams[1].stdout();
  const ticks = streams[0].stdout().length;
  await sleep(400);
  assert.ok(streams[1].stdout().length - atEnd.length < 200, 'the one is cut');
  assert.ok(streams[0].stdout().length - ticks > 100, 'the other goes on');
  const rest = await sgctl(world, 'flows', 'delete', '--all', '--yes');
  const [, ended] = /^ended (\d+) flows\n$/.exec(rest.stdout)!;
  assert.ok(Number(ended) >= 2 + 12 + 4, rest.stdout);
  const left = await json<FlowsAnswer>(world, 'flows', ...filter);
  assert.equal(left.matched, 0);
  for (const stream of streams) await stream.stop();
}

async function showsDrops(world: World): Promise<void> {
  for (const client of world.clients) assert.equal(await get(client, `${SERVER}:5432`, 0.5), '');
  const { drops } = await json<DropsAnswer>(world, 'drops', '--reason', 'ingress-rules');
  assert.equal(drops.length, 1);
  const [{ examples, packets }] = drops;
  assert.equal(packets, 2);
  assert.deepEqual(examples.map(({ packet }) => packet?.remoteAddress).sort(), [...CLIENTS].sort());
  for (const { id } of examples) {
    const explained = await sgctl(world, 'explain', '--drop', String(id));
    assert.match(explained.stdout, /dropped as ingress-rules: no ingress rule/);
  }
}

function assertInOrder(times: readonly number[]): void {
  let latest = -Infinity;
  for (const time of times) {
    assert.ok(time > latest - ROUND_MS, `${time} behind ${latest}`);
    latest = Math.max(latest, time);
  }
}

async function traces(world: World): Promise<void> {
  const all = await follow(world, 'trace', '--all', '--json', '--proto', 'icmp');
  await pingFromBoth(world, 10);
  await sleep(500);
  const { code, stdout } = await all.stop('SIGINT');
  assert.equal(code, 130);
  const verdicts = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as VerdictView);
  // Each request and each answer is judged at two gates.
  assert.equal(verdicts.length, 2 * 10 * 4);
  assertInOrder(verdicts.map(({ timeMs }) => timeMs));
  for (const client of CLIENTS)
    assert.equal(verdicts.filter(({ packet }) => packet?.localAddress === client).length, 20);
  // The two run at once, so their packets alternate.
  const first = verdicts.findLastIndex(({ packet }) => packet?.localAddress === CLIENTS[0]);
  const last = verdicts.findIndex(({ packet }) => packet?.localAddress === CLIENTS[1]);
  assert.ok(last < first);
}

async function captures(t: TestContext, world: World): Promise<void> {
  if (!requireTools(t, 'tcpdump')) return;
  const file = temporaryFile(t, 'both.pcapng', '');
  const capture = await follow(world, 'capture', '-w', file, '--proto', 'icmp');
  await pingFromBoth(world, 5);
  await sleep(300);
  const { code, stderr } = await capture.stop('SIGINT');
  assert.equal(code, 130);
  assert.match(stderr, /sgctl: 40 packets captured$/m);
  const lines = (await run('tcpdump', ['-n', '-tt', '-r', file])).stdout.trimEnd().split('\n');
  assert.equal(lines.length, 40);
  assertInOrder(lines.map((line) => 1000 * parseFloat(line)));
  for (const client of CLIENTS) {
    const request = ` IP ${client} > ${SERVER}: ICMP echo request`;
    assert.equal(lines.filter((line) => line.includes(request)).length, 10);
  }
}

async function showsTop(world: World): Promise<void> {
  const loads = await Promise.all(
    world.clients.map((client) => client.start('ping', ['-q', '-i', '0.05', '-c', '80', SERVER])),
  );
  const stream = await start(process.execPath, following(world, 'top', '--json'));
  await stream.waitFor(/\n.*\n/);
  await stream.stop('SIGINT');
  const { interfaces, topFlows } = JSON.parse(stream.stdout().split('\n')[1]) as TopAnswer;
  const flows = topFlows.filter((one) => one.interface === 'server' && one.protocol === 'icmp');
  assert.deepEqual(flows.map(({ remoteAddress }) => remoteAddress).sort(), [...CLIENTS].sort());
  for (const { packetsInRate } of flows) assert.ok(packetsInRate >= 5 && packetsInRate <= 25);
  const server = interfaces.find(({ name }) => name === 'server')!;
  assert.ok(server.ingress.passedPackets >= 20, 'a second, of both');
  for (const load of loads) await load.stop();
}

/** The daemon ends, so what was not written yet is. */
async function logsFlows(world: World, log: string): Promise<void> {
  await pingFromBoth(world, 7);
  for (const client of world.clients) assert.equal(await get(client, SERVER), 'server\n');
  assert.equal(await world.daemon.stop(), 0);
  const records = readFileSync(log, 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const logged = (source: string, destination: string, port: string, protocol: string): number =>
    records
      .filter(
        (words) =>
          words[3] === source &&
          words[4] === destination &&
          words[6] === port &&
          words[7] === protocol,
      )
      .reduce((packets, words) => packets + Number(words[8]), 0);
  assert.equal(records.filter((words) => words.includes('SKIPDATA')).length, 0);
  for (const client of CLIENTS) {
    // 6 + 10 + 5 + 7 echo requests and those of `top`, told at both interfaces.
    assert.ok(logged(client, SERVER, '0', '1') >= 2 * 28, client);
    assert.equal(logged(client, SERVER, '0', '1') % 2, 0, client);
    // Four HTTP requests are 5 or 6 packets each way.
    const requests = logged(client, SERVER, '80', '6');
    assert.ok(requests >= 2 * 4 * 4 && requests <= 2 * 4 * 8, `${requests} packets`);
    assert.equal(logged(client, SERVER, '5432', '6') > 0, true, 'what was dropped');
  }
}

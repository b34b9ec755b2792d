/** sgctl with a real daemon and real traffic: each command that shows something, and the one that ends a connection. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DropsAnswer } from '../../src/queries/drops-view.ts';
import type { FlowsAnswer } from '../../src/queries/flows-view.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { Status } from '../../src/queries/status-view.ts';
import type { GroupUse, RulesAnswer } from '../../src/queries/rules-view.ts';
import type { TopAnswer } from '../../src/queries/top-stream.ts';
import type { VerdictView } from '../../src/queries/verdict-view.ts';
import type { Netns } from '../support/netns.ts';
import { run, start, type CommandResult, type Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, get, makeNamespaces, ping, serve, temporaryFile } from './world.ts';
import { SGCTL } from '../support/sgctl.ts';

const WORLD = '198.51.100.7';
const APP = '10.0.0.12';
const DB = '10.0.0.13';
const NAMES = ['world', 'app', 'db'] as const;
const NOBODY = 65_534;
/** Times are of the clock on the wall, and of about now; how long ago depends on the machine. */
const NEAR_MS = 3_600_000;

function configuration(names: Record<(typeof NAMES)[number], Netns>): string {
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${WORLD}/24] }
securityGroups:
  app: {}
  db:
    ingress:
      - { protocol: tcp, ports: 8080, from: 'sg:app', description: app to db }
      - { protocol: tcp, ports: 7000, from: 'sg:app' }
      - { protocol: icmp, type: 8, from: 'sg:app' }
    egress: []
interfaces:
  eni-app: { device: { netns: ${names.app.path}, name: eth0 }, addresses: [${APP}], securityGroups: [app] }
  eni-db: { device: { netns: ${names.db.path}, name: eth0 }, addresses: [${DB}], securityGroups: [db] }
`;
}

interface World extends Record<(typeof NAMES)[number], Netns> {
  readonly socket: string;
  readonly daemon: Daemon;
}

async function makeWorld(t: TestContext): Promise<World> {
  const names = await makeNamespaces(t, NAMES);
  const file = temporaryFile(t, 'seeing.yaml', configuration(names));
  const socket = join(dirname(file), 'control.sock');
  const [daemon] = await Promise.all([
    Daemon.start(t, file, ['--control', socket]),
    serve(names.db, 'db'),
  ]);
  return { ...names, socket, daemon };
}

function sgctl(world: World, ...args: readonly string[]): Promise<CommandResult> {
  const [command, ...more] = args;
  return run(process.execPath, [SGCTL, command, ...more, '--socket', world.socket]);
}

async function json<Answer>(world: World, ...args: readonly string[]): Promise<Answer> {
  const { code, stdout, stderr } = await sgctl(world, ...args, '--json');
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Answer;
}

/** Starts a command that goes on, and waits until the daemon listens. */
async function follow(world: World, ...args: readonly string[]): Promise<Running> {
  const command = await start(process.execPath, [SGCTL, ...args, '--socket', world.socket]);
  await command.waitFor(/Ctrl-C ends it/);
  return command;
}

test('sgctl', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  assert.equal(await get(world.app, `${DB}:8080`), 'db\n');
  assert.equal(await get(world.world, `${DB}:5432`, 0.5), '');

  await t.test('status', () => showsStatus(world));
  await t.test('interfaces', () => showsInterfaces(world));
  await t.test('groups and rules', () => showsRules(world));
  await t.test('flows', () => showsFlows(world));
  await t.test('flows delete', () => deletesFlows(world));
  await t.test('drops, and explain --drop', () => showsDrops(world));
  await t.test('trace', () => traces(world));
  await t.test('capture', (inTest) => captures(inTest, world));
  await t.test('capture to a pipe', (inTest) => capturesToPipe(inTest, world));
  await t.test('top', () => showsTop(world));
  await t.test('top on a terminal', (inTest) => drawsTop(inTest, world));
  await t.test('who is in no group of the socket is refused', (inTest) =>
    refusesOthers(inTest, world),
  );
  await t.test('a client that never reads costs no memory', () => outlivesMuteClients(world));
});

async function showsStatus(world: World): Promise<void> {
  const { health, flows, pid, interfaces } = await json<Status>(world, 'status');
  assert.deepEqual(interfaces, ['eni-app', 'eni-db']);
  assert.ok(flows >= 2);
  assert.equal(health.flowsByState['closing'], 2);
  assert.ok(health.total.passedPackets >= 20 && health.total.droppedPackets >= 1);
  assert.ok(health.uptimeMs > 0 && health.uptimeMs < NEAR_MS);
  assert.deepEqual(
    [health.reloads.changed, health.reloads.isLastRefused, health.events.lost],
    [0, false, 0],
  );
  const { stdout } = await sgctl(world, 'status');
  assert.match(stdout, new RegExp(`^pid +${pid}$`, 'm'));
  assert.match(stdout, /^last reload +none since the start$/m);
}

async function showsInterfaces(world: World): Promise<void> {
  const interfaces = await json<readonly InterfaceView[]>(world, 'interfaces');
  assert.deepEqual(
    interfaces.map(({ name }) => name),
    ['uplink', 'eni-app', 'eni-db'],
  );
  const [, app, db] = interfaces;
  assert.deepEqual(
    [app.device, app.netns, app.addresses, app.groups, app.flows],
    ['eth0', world.app.path, [APP], ['app'], 1],
  );
  assert.equal(app.egress.passedPackets, db.ingress.passedPackets);
  assert.equal(db.ingress.droppedPackets >= 1, true);
}

async function showsRules(world: World): Promise<void> {
  const { rules } = await json<RulesAnswer>(world, 'rules', '--group', 'db', '--sort', 'hits');
  const [used, ...others] = rules;
  assert.deepEqual(
    [used.text, used.hits, used.flows, used.origin?.line, used.description],
    ['tcp 8080 from sg:app', 1, 1, 7, 'app to db'],
  );
  assert.ok(Math.abs(Date.now() - (used.lastHitMs ?? 0)) < NEAR_MS);
  assert.deepEqual(
    others.map(({ text, hits, lastHitMs }) => [text, hits, lastHitMs]),
    [
      ['tcp 7000 from sg:app', 0, undefined],
      ['icmp type 8 from sg:app', 0, undefined],
    ],
  );
  const never = await json<RulesAnswer>(world, 'rules', '--never-hit', '--group', 'db');
  assert.deepEqual(
    never.rules.map(({ text }) => text),
    ['tcp 7000 from sg:app', 'icmp type 8 from sg:app'],
  );
  const groups = await json<readonly GroupUse[]>(world, 'groups');
  const db = groups.find(({ name }) => name === 'db');
  assert.deepEqual(
    [db?.interfaces, db?.ingress, db?.egress, db?.hits, db?.flows],
    [['eni-db'], 3, 0, 1, 1],
  );
  const unknown = await sgctl(world, 'rules', '--group', 'bd');
  assert.deepEqual(
    [unknown.code, unknown.stderr],
    [1, "sgctl: there is no group 'bd' (groups: default, app, db)\n"],
  );
}

async function showsFlows(world: World): Promise<void> {
  assert.match((await ping(world.app, DB, 2)).stdout, / 0% packet loss/);
  const { flows, matched } = await json<FlowsAnswer>(
    world, 'flows', '-i', 'eni-db', '--proto', 'icmp', '--address', '10.0.0.0/8',
  ); // prettier-ignore
  assert.equal(matched, 1);
  const [{ rule, idleMs, expiresInMs, ...flow }] = flows;
  assert.deepEqual(
    { ...flow, localPort: 0, remotePort: 0 },
    {
      interface: 'eni-db',
      protocol: 'icmp',
      localAddress: DB,
      localPort: 0,
      remoteAddress: APP,
      remotePort: 0,
      openedBy: 'remote',
      state: 'icmp',
      packetsOut: 2,
      packetsIn: 2,
      bytesOut: 168,
      bytesIn: 168,
    },
  );
  assert.equal(rule?.text, 'icmp type 8 from sg:app');
  assert.ok(idleMs < 30_000 && idleMs + expiresInMs === 30_000);
  const table = await sgctl(world, 'flows', '--port', '8080', '--state', 'closing');
  assert.match(
    table.stdout,
    /^eni-db +sg:db tcp 8080 from sg:app +closing +tcp +10\.0\.0\.13:8080 +10\.0\.0\.12:\d+ /m,
  );
  assert.match(table.stdout, / remote$/m);
  const chosen = await sgctl(world, 'flows', '--port', '8080', '--columns', 'state,rule', '--wide');
  assert.match(chosen.stdout, /^state +rule\n(?:.*\n)*closing +sg:db tcp 8080 from sg:app\n/);
  const none = await sgctl(world, 'flows', '--port', '9');
  assert.deepEqual([none.code, none.stdout], [0, 'no such flow is tracked\n']);
  const wrong = await sgctl(world, 'flows', '--port', '99999');
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /'99999' is no port: write a port, as 443/);
  const watch = await start(process.execPath, [
    SGCTL, 'flows', '-w', '--interval', '200ms', '--json', '--limit', '0', '--socket', world.socket,
  ]); // prettier-ignore
  await watch.waitFor(/\n.*\n/);
  assert.equal((await watch.stop('SIGINT')).code, 130);
  const looks = await sgctl(
    world, 'flows', '-w', '--interval', '200ms', '--json', '--limit', '0', '--count', '2',
  ); // prettier-ignore
  assert.equal(looks.code, 0);
  assert.equal(looks.stdout.trimEnd().split('\n').length, 2);
  assert.ok((JSON.parse(watch.stdout().split('\n')[1]) as FlowsAnswer).matched >= 4);
  const limited = await json<FlowsAnswer>(world, 'flows', '--limit', '1');
  assert.equal(limited.flows.length, 1);
  assert.ok(limited.matched >= 4);
}

async function deletesFlows(world: World): Promise<void> {
  const ticks = await world.app.start('curl', ['-sN', '-m', '20', `http://${DB}:7000/ticks`]);
  await ticks.waitFor(/tick 3/);
  const filter = ['--port', '7000', '--state', 'established'];
  const unasked = await sgctl(world, 'flows', 'delete', ...filter);
  assert.deepEqual(
    [unasked.code, unasked.stderr],
    [2, 'sgctl: there is nobody to ask: give --yes to end them without\n'],
  );
  const all = await sgctl(world, 'flows', 'delete', '--yes');
  assert.equal(all.code, 2);
  assert.match(all.stderr, /^error: which flows\? Give a filter, or --all for all of them$/m);
  assert.equal((await json<FlowsAnswer>(world, 'flows', ...filter)).matched, 2);

  const deleted = await sgctl(world, 'flows', 'delete', ...filter, '--yes');
  assert.deepEqual([deleted.code, deleted.stdout], [0, 'ended 2 flows\n']);
  const before = ticks.stdout().length;
  await sleep(500);
  assert.ok(ticks.stdout().length - before < 200, 'the connection is cut');
  assert.equal((await json<FlowsAnswer>(world, 'flows', ...filter)).matched, 0);
  await ticks.stop();
  assert.equal(await get(world.app, `${DB}:7000`), 'db\n', 'a new connection is as good as ever');
  const again = await sgctl(world, 'flows', 'delete', '--port', '9', '--yes');
  assert.deepEqual([again.code, again.stdout], [0, 'ended 0 flows\n']);
}

async function showsDrops(world: World): Promise<void> {
  assert.equal(await get(world.app, `${DB}:5432`, 0.5), '');
  const { drops } = await json<DropsAnswer>(world, 'drops', '--reason', 'ingress-rules');
  assert.equal(drops.length, 1);
  const [{ examples, ...drop }] = drops;
  assert.deepEqual(
    [drop.interface, drop.direction, drop.reason],
    ['eni-db', 'ingress', 'ingress-rules'],
  );
  const [example] = examples;
  assert.deepEqual(
    [example.packet?.remoteAddress, example.packet?.localPort, example.packet?.tcpFlags],
    [APP, 5432, 'S'],
  );
  assert.ok(Math.abs(Date.now() - example.timeMs) < NEAR_MS);
  const table = await sgctl(world, 'drops', '-i', 'eni-db');
  assert.match(
    table.stdout,
    /^ +\d+ +eni-db +ingress +ingress-rules +no ingress rule of the groups/m,
  );
  assert.match(
    table.stdout,
    new RegExp(
      `^ {2}#${example.id} .* ago {2}tcp 10\\.0\\.0\\.12:\\d+ > 10\\.0\\.0\\.13:5432 S$`,
      'm',
    ),
  );
  const explained = await sgctl(world, 'explain', '--drop', String(example.id));
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(explained.stdout, /dropped as ingress-rules: no ingress rule/);
  assert.match(explained.stdout, /near {2}sg:db {2}tcp 7000 from sg:app/);
  assert.match(explained.stdout, /would match if the port were 7000, not 5432/);
  const followed = await follow(world, 'drops', '-f', '-i', 'eni-db', '--json', '--count', '1');
  assert.equal(await get(world.app, `${DB}:5432`, 0.5), '');
  const ended = await followed.ended;
  assert.equal(ended.code, 0);
  const [line, end] = ended.stdout.split('\n');
  assert.equal((JSON.parse(line) as VerdictView).reason, 'ingress-rules');
  assert.equal(end, '');
  const last = await sgctl(world, 'explain', '--drop', 'last');
  // What came after it may be of the connection that was ended by hand.
  assert.match(last.stdout, /^ {2}dropped as (ingress-rules|revoked): /m);
  const unknown = await sgctl(world, 'explain', '--drop', '999999');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^sgctl: drop 999999 is not kept \(any more\)/);
}

async function traces(world: World): Promise<void> {
  const all = await follow(world, 'trace', '--json', '-i', 'eni-db', '--proto', 'tcp');
  assert.equal(await get(world.app, `${DB}:8080`), 'db\n');
  assert.equal(await get(world.world, `${DB}:5432`, 0.5), '');
  await sleep(400);
  const { code, stdout } = await all.stop('SIGINT');
  assert.equal(code, 130, 'as the shell has it');
  const [opened, dropped] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as VerdictView);
  assert.deepEqual(
    [
      opened.verdict,
      opened.direction,
      opened.opensFlow,
      opened.rule?.text,
      opened.packet?.localPort,
    ],
    ['passed', 'ingress', true, 'tcp 8080 from sg:app', 8080],
  );
  assert.deepEqual(
    [dropped.verdict, dropped.reason, dropped.packet?.remoteAddress, dropped.packet?.tcpFlags],
    ['dropped', 'ingress-rules', WORLD, 'S'],
  );
  const each = await follow(world, 'trace', '--all', '--proto', 'icmp', '--count', '8');
  await ping(world.app, DB, 2);
  const ended = await each.ended;
  assert.equal(ended.code, 0);
  const lines = ended.stdout.trimEnd().split('\n');
  assert.equal(lines.length, 8);
  const CLOCK = '\\d\\d:\\d\\d:\\d\\d\\.\\d{3}';
  const words = 'PASS  sg:db icmp type 8 from sg:app  icmp 10.0.0.12 > 10.0.0.13 type 8 code 0';
  assert.match(
    lines[1],
    new RegExp(`^${CLOCK}  ${words.replaceAll('.', '\\.')} +eni-db +ingress  of a flow$`),
  );
  const none = await run(process.execPath, [
    SGCTL, 'trace', '--socket', world.socket, '--reason', 'martian', '--duration', '300ms',
  ]); // prettier-ignore
  assert.deepEqual([none.code, none.stdout], [0, '']);
  assert.match(none.stderr, /sgctl: 0 shown\n$/);
}

async function captures(t: TestContext, world: World): Promise<void> {
  if (!requireTools(t, 'tcpdump')) return;
  const file = temporaryFile(t, 'all.pcapng', '');
  const capture = await follow(world, 'capture', '-w', file, '--proto', 'icmp', '--proto', 'tcp');
  await ping(world.app, DB, 1);
  assert.equal(await get(world.world, `${DB}:5432`, 0.5), '');
  await sleep(200);
  const { code, stderr } = await capture.stop('SIGINT');
  assert.equal(code, 130);
  const [, count] = /sgctl: (\d+) packets captured$/m.exec(stderr) ?? assert.fail(stderr);
  const read = await run('tcpdump', ['-n', '-t', '-r', file]);
  const lines = read.stdout.trimEnd().split('\n');
  assert.equal(lines.length, Number(count));
  const request = /^IP 10\.0\.0\.12 > 10\.0\.0\.13: ICMP echo request/;
  assert.equal(
    lines.filter((line) => request.test(line)).length,
    2,
    'judged twice, captured twice',
  );
  assert.match(read.stdout, /^IP 198\.51\.100\.7\.\d+ > 10\.0\.0\.13\.5432: Flags \[S\]/m);
  const bytes = readFileSync(file, 'latin1');
  for (const text of [
    'eni-app',
    'eni-db',
    'PASS sg:db icmp type 8 from sg:app (sgr-',
    'DROP ingress-rules: no ingress rule of the groups on the interface admits it',
  ])
    assert.ok(bytes.includes(text), text);
  assert.equal(statSync(file).mode & 0o077, 0o044, 'a file that was there keeps its mode');
}

async function capturesToPipe(t: TestContext, world: World): Promise<void> {
  if (!requireTools(t, 'tcpdump')) return;
  // Connections of the tests before may still send their last segments, and those are dropped.
  const script = `"${process.execPath}" "${SGCTL}" capture --socket "${world.socket}" --drops-only --proto icmp -c 2 -s 40 | tcpdump -n -t -r -`;
  const piped = await start('sh', ['-c', script]);
  await piped.waitFor(/Ctrl-C ends it/);
  await ping(world.app, DB, 1);
  await ping(world.world, DB, 2, '-W', '0.2');
  const { code, stdout } = await piped.ended;
  assert.equal(code, 0);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 2);
  for (const line of lines)
    assert.match(line, /^IP 198\.51\.100\.7 > 10\.0\.0\.13: ICMP echo request/);
}

async function showsTop(world: World): Promise<void> {
  const load = await world.app.start('ping', ['-q', '-i', '0.05', '-c', '60', DB]);
  const { code, stdout } = await sgctl(world, 'top');
  assert.equal(code, 0);
  assert.match(stdout, /^\d\d:\d\d:\d\d {3}\d+ of 262\.1k flows, /);
  assert.match(stdout, /^eni-app +sg:.* 10\.0\.0\.12 +10\.0\.0\.13 +icmp +icmp /m);
  const stream = await start(process.execPath, [SGCTL, 'top', '--json', '--socket', world.socket]);
  await stream.waitFor(/\n.*\n/);
  await stream.stop('SIGINT');
  const [first] = stream.stdout().split('\n');
  const { interfaces, topFlows, intervalMs } = JSON.parse(first) as TopAnswer;
  assert.ok(intervalMs >= 900 && intervalMs < NEAR_MS);
  const flow = topFlows.find((one) => one.interface === 'eni-db' && one.protocol === 'icmp');
  assert.ok(flow !== undefined && flow.packetsInRate >= 5 && flow.packetsInRate <= 25);
  assert.ok(interfaces.find(({ name }) => name === 'eni-db')!.ingress.passedPackets >= 5);
  await load.stop();
  const two = await sgctl(world, 'top', '--json', '--count', '2');
  assert.equal(two.code, 0);
  assert.equal(two.stdout.trimEnd().split('\n').length, 2);
}

async function drawsTop(t: TestContext, world: World): Promise<void> {
  if (!requireTools(t, 'script')) return;
  const command = `stty rows 20 cols 70; "${process.execPath}" "${SGCTL}" top --socket "${world.socket}"`;
  const keys = '(sleep 3; printf q)';
  const piped = await run('sh', ['-c', `${keys} | script -qefc '${command}' /dev/null`], {
    env: { ...process.env, TERM: 'xterm' },
  });
  assert.equal(piped.code, 0, piped.stdout);
  const ENTER = '\x1b[?1049h\x1b[?25l';
  const LEAVE = '\x1b[?25h\x1b[?1049l';
  assert.ok(
    piped.stdout.includes(ENTER) && piped.stdout.includes(LEAVE),
    'the terminal is given back',
  );
  const frames = piped.stdout.split('\x1b[H').slice(1);
  assert.ok(frames.length >= 1);
  for (const frame of frames) {
    const lines = frame.replace(/\x1b\[[?\d]*[a-zA-Z]/g, '').split('\r\n');
    assert.ok(lines.length <= 20, `${lines.length} lines`);
    for (const line of lines) assert.ok(line.length <= 70, line);
  }
  assert.match(frames[0], /q: quit/);
}

/** Node.js must be readable for them, which it is not where it lives in root's home. */
function refusesOthers(t: TestContext, world: World): void {
  const script = `require('net').connect(${JSON.stringify(world.socket)}).on('error', (e) => { console.log(e.code); }).on('connect', () => { console.log('connected'); process.exit(); });`;
  const as = (uid: number, gid: number): string | undefined => {
    const { stdout, error } = spawnSync(process.execPath, ['-e', script], {
      uid,
      gid,
      encoding: 'utf8',
    });
    return error === undefined ? stdout.trim() : undefined;
  };
  const refused = as(NOBODY, NOBODY);
  if (refused === undefined || refused === '') {
    t.skip('another user cannot run this Node.js');
    return;
  }
  assert.equal(refused, 'EACCES');
  assert.equal(statSync(world.socket).mode & 0o777, 0o660);
}

async function outlivesMuteClients(world: World): Promise<void> {
  const { pid } = await json<Status>(world, 'status');
  const mute = Array.from({ length: 8 }, (_, i) => {
    const socket = connect(world.socket).on('error', () => undefined);
    socket.pause();
    const params = { all: true, snapLength: 65_535 };
    const method = i % 2 === 0 ? 'trace' : 'capture';
    socket.write(`${JSON.stringify({ version: 1, method, params })}\n`);
    return socket;
  });
  const before = residentBytes(pid);
  await world.app.run('ping', ['-q', '-f', '-s', '1400', '-w', '3', DB]);
  // Queued without a bound it would be well over a gigabyte; garbage that waits to be collected is a tenth of that.
  const grown = residentBytes(pid) - before;
  assert.ok(grown < 400_000_000, `memory stays bounded: ${grown} bytes`);
  assert.equal(await get(world.app, `${DB}:8080`), 'db\n', 'packets do not notice');
  mute.forEach((socket) => socket.destroy());
  const { health } = await json<Status>(world, 'status');
  assert.ok(health.total.passedPackets > 1000);
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

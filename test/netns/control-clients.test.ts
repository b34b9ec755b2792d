/**
 * Malicious clients of the control socket: the real daemon answers in words and goes on. Also how it ends when it
 * can't.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { ask } from '../../src/control-socket/control-client.ts';
import type { Response } from '../../src/control-socket/protocol.ts';
import { controlLine } from '../control-socket/control-lines.ts';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';
import { until } from '../support/until.ts';

const A = '10.0.0.11';
const B = '10.0.0.12';
const RUNS = 1500;

/** A daemon between two namespaces, with a control socket. */
async function startDaemon(t: TestContext): Promise<{
  readonly daemon: Daemon;
  readonly socket: string;
  readonly pings: () => Promise<boolean>;
}> {
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `securityGroups:
  web: { ingress: [ { protocol: tcp, ports: 80, from: 0.0.0.0/0 }, { protocol: icmp, type: 8, from: 'sg:web' } ] }
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}], securityGroups: [web] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}], securityGroups: [web] }
`,
  );
  const socket = join(dirname(file), 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  const pings = async (): Promise<boolean> => (await ping(a, B)).code === 0;
  return { daemon, socket, pings };
}

/** Sends a line on a connection of its own. @returns the first answer */
async function say(path: string, line: Buffer | string): Promise<Response> {
  const socket = connect(path);
  let received = '';
  let failure: Error | undefined;
  socket.on('data', (chunk) => (received += chunk.toString()));
  socket.on('error', (error) => (failure = error));
  socket.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
  await until(String(line).slice(0, 500), () => failure !== undefined || received.includes('\n'));
  socket.destroy();
  assert.ok(failure === undefined, `${String(failure)} after ${String(line).slice(0, 500)}`);
  return JSON.parse(received.slice(0, received.indexOf('\n'))) as Response;
}

test('lines that ended the daemon are refused in words', async (t) => {
  if (!canRun(t)) return;
  const { daemon, socket, pings } = await startDaemon(t);
  const evil = '{"toString":1,"valueOf":1}';
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  for (const line of [
    `{"version":${evil},"method":"status"}`,
    `{"version":1,"method":${evil}}`,
    `{"version":1,"method":"explain","params":${evil}}`,
    `{"version":1,"method":"explain","params":{"from":${evil},"to":"b","service":"tcp","detail":"80"}}`,
    `{"version":${deep}}`,
    `{"version":1,"method":${deep}}`,
    `{"version":1,"method":"flows","params":{"ports":${deep}}}`,
    '{"version":1,"method":"__proto__"}',
    '{"version":1,"method":"constructor"}',
    '{"version":1e999}',
    '\0',
  ]) {
    const answer = await say(socket, line);
    assert.equal(answer.ok, false, line.slice(0, 100));
  }
  assert.ok(await pings());
  assert.equal((await ask(socket, 'status', {})).pid, daemon.pid);
  assert.doesNotMatch(daemon.output, /a request on the control socket failed/);
  assert.equal(await daemon.stop(), 0);
});

test('whatever lines come, each is answered, and the daemon goes on', async (t) => {
  if (!canRun(t)) return;
  const { daemon, socket, pings } = await startDaemon(t);
  await fc.assert(
    fc.asyncProperty(controlLine, async (line) => {
      await say(socket, line);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  assert.ok(await pings());
  assert.equal((await ask(socket, 'status', {})).pid, daemon.pid);
  // What a handler threw would be a kind of value that requests.ts let through.
  assert.doesNotMatch(daemon.output, /a request on the control socket failed/);
  assert.equal(await daemon.stop(), 0);
});

test('thousands of connections, and clients that never read, cost the daemon little', async (t) => {
  if (!canRun(t)) return;
  const { daemon, socket, pings } = await startDaemon(t);
  const rssKb = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))![1]);
  await ask(socket, 'status', {});
  const before = rssKb();
  const sockets: Socket[] = [];
  t.after(() => sockets.forEach((one) => one.destroy()));
  const REQUEST = '{"version":1,"method":"rules"}\n';
  for (let i = 0; i < 2000; i++) {
    const one = connect(socket).on('error', () => undefined);
    one.pause();
    one.write(['', '{"version":1,', REQUEST.repeat(100), '\n'.repeat(1000)][i % 4]);
    sockets.push(one);
    if (i % 100 === 0) await sleep(10);
  }
  let pid: number | undefined;
  await until('somebody with a question gets through while they are there', async () => {
    pid = await ask(socket, 'status', {}, 5000).then(
      (status) => status.pid,
      () => sleep(100).then(() => undefined),
    );
    return pid !== undefined;
  });
  assert.equal(pid, daemon.pid);
  assert.ok(await pings());
  const grownKb = rssKb() - before;
  t.diagnostic(`the daemon grew by ${grownKb} KB`);
  assert.ok(grownKb < 150_000, `the daemon grew by ${grownKb} KB`);
  assert.equal(await daemon.stop(), 0);
});

test('an error that nothing is prepared for ends the process: no packets without control', async (t) => {
  if (!canRun(t)) return;
  const preload = temporaryFile(
    t,
    'preload.mjs',
    `import { isMainThread } from 'node:worker_threads';
     if (isMainThread) process.on('SIGUSR2', () => { throw new Error('nobody expected this'); });`,
  );
  const options = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = `${options ?? ''} --import=${pathToFileURL(preload).href}`;
  t.after(() => {
    if (options === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = options;
  });
  const { daemon, pings } = await startDaemon(t);
  assert.ok(await pings());
  process.kill(daemon.pid, 'SIGUSR2');
  assert.equal(await daemon.ended, 1);
  assert.match(daemon.output, /"msg":"the daemon failed: nobody expected this"/);
  assert.equal(await pings(), false);
});

test('a start that fails tells the cause, without a stack', async (t) => {
  if (!canRun(t)) return;
  const { a } = await makeNamespaces(t, ['a']);
  const text = `interfaces: { a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] } }
metrics: { listen: '127.0.0.1:1' }
`;
  const port = 20_000 + (process.pid % 10_000);
  const file = temporaryFile(t, 'secgroupd.yaml', text.replace(":1'", `:${port}'`));
  const first = await Daemon.start(t, file);
  const other = temporaryFile(t, 'other.yaml', '');
  const { b } = await makeNamespaces(t, ['b']);
  writeFileSync(other, readFileSync(file, 'utf8').replace(a.path, b.path));
  const { code, log } = await Daemon.startAndEnd(t, other);
  assert.equal(code, 1);
  const last = log.trim().split('\n').at(-1)!;
  assert.match(
    last,
    /"code":"EADDRINUSE".*"msg":"could not start: no metrics at \S+ port \d+: listen EADDRINUSE/,
  );
  assert.doesNotMatch(log, /"stack"/);
  assert.equal(await first.stop(), 0);
});

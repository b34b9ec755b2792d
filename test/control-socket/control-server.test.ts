/** The control socket: answers, refusals, limits, and who may connect. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, ControlError } from '../../src/control-socket/control-client.ts';
import {
  CONNECTIONS_MAX,
  listenForControl,
  type ControlHandlers,
} from '../../src/control-socket/control-server.ts';
import { REQUEST_NAMES } from '../../src/control-socket/requests.ts';
import type { Status } from '../../src/queries/status-view.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import { until } from '../support/until.ts';

const NOTHING = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };

const STATUS: Status = {
  version: '1.2.3',
  pid: 1,
  config: 'a.yaml',
  generation: 7,
  interfaces: ['web'],
  waiting: [],
  groups: 2,
  flows: 3,
  offload: { mode: 'off', interfaces: 0, flows: 0 },
  prefixLists: [],
  health: {
    startedMs: 1,
    uptimeMs: 2,
    policySinceMs: 3,
    workers: 1,
    maxFlows: 4,
    flowsByState: {},
    total: NOTHING,
    rates: NOTHING,
    events: { taken: 0, lost: 0 },
    reloads: { changed: 0, unchanged: 0, refused: 0, lastSuccessMs: 0, isLastRefused: false },
  },
};

type Methods = ControlHandlers['methods'];

function handlers(more: Methods = {}): ControlHandlers {
  return { methods: { status: () => Promise.resolve(STATUS), ...more }, streams: {} };
}

function socketPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-control-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return join(folder, 'run', 'control.sock');
}

async function listen(
  t: TestContext,
  more: Methods = {},
): Promise<{ readonly path: string; readonly server: Server }> {
  const path = socketPath(t);
  const server = await listenForControl(path, handlers(more));
  t.after(() => server.close());
  return { path, server };
}

/** Sends raw text and collects answers until the daemon closes or `lines` have come. */
function exchange(path: string, text: string | Buffer, lines: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let received = '';
    const finish = (): void => {
      socket.destroy();
      resolve(received.split('\n').slice(0, -1));
    };
    socket.on('connect', () => socket.write(text));
    socket.on('error', reject);
    socket.on('close', finish);
    socket.on('data', (chunk) => {
      received += chunk.toString();
      if (received.split('\n').length > lines) finish();
    });
  });
}

test('a request and its answer', async (t) => {
  const { path } = await listen(t);
  assert.deepEqual(await ask(path, 'status', {}), STATUS);
});

test('requests of one connection are answered in their order', async (t) => {
  const { path } = await listen(t);
  const request = '{"version":1,"method":"status"}\n';
  const answers = await exchange(path, request.repeat(3), 3);
  assert.deepEqual(
    answers,
    Array.from({ length: 3 }, () => JSON.stringify({ version: 1, ok: true, result: STATUS })),
  );
});

test('a socket that answers little refuses all else', async (t) => {
  const path = socketPath(t);
  const few = { instance: () => Promise.resolve({}), platform: () => Promise.resolve({}) };
  const server = await listenForControl(path, { methods: few, streams: {} });
  t.after(() => server.close());
  assert.deepEqual(await ask(path, 'platform', {}), {});
  const error = 'this socket answers instance and platform alone';
  const others = REQUEST_NAMES.filter((name) => !Object.hasOwn(few, name));
  assert.equal(others.length, REQUEST_NAMES.length - 2);
  const requests = others.map((name) => `{"version":1,"method":"${name}"}\n`);
  assert.deepEqual(
    await exchange(path, requests.join(''), others.length),
    others.map(() => JSON.stringify({ version: 1, ok: false, error })),
  );
});

test('what is no request is refused in words, and the next one is answered', async (t) => {
  const { path } = await listen(t);
  const cases: [string, string][] = [
    ['garbage', 'a request is one JSON object a line'],
    ['null', 'a request is one JSON object a line'],
    [
      '{"version":2,"method":"status"}',
      'this daemon speaks version 1 of the protocol, not 2; use the sgctl that came with it',
    ],
    [
      '{"version":1,"method":"toString"}',
      "unknown method 'toString'; there are status, explain, reload, configuration, preview, interfaces, addInterface, removeInterface, attachInterface, detachInterface, findSubnet, leaseAddress, releaseAddress, setInterfaceGroups, getInterface, listInterfaces, reconcileInterfaces, instance, platform, groups, rules, flows, endFlows, drops, names, explainDrop, trace, top, capture",
    ],
    ['{"version":1,"method":"status","params":7}', 'params is a JSON object'],
  ];
  for (const [request, error] of cases) {
    const [refused, answered] = await exchange(
      path,
      `${request}\n{"version":1,"method":"status"}\n`,
      2,
    );
    assert.deepEqual(JSON.parse(refused), { version: 1, ok: false, error }, request);
    assert.equal((JSON.parse(answered) as { ok: boolean }).ok, true);
  }
});

test('a request without an end is cut off at 64 KiB', async (t) => {
  const { path } = await listen(t);
  const [refused] = await exchange(path, Buffer.alloc(200_000, 'x'), 1);
  assert.deepEqual(JSON.parse(refused), {
    version: 1,
    ok: false,
    error: 'a request has at most 65536 bytes',
  });
  assert.deepEqual(await ask(path, 'status', {}), STATUS, 'the daemon goes on');
});

test('a handler that fails is an answer, not the end of the daemon', async (t) => {
  const { path } = await listen(t, { status: () => Promise.reject(new Error('the disk is full')) });
  await assert.rejects(ask(path, 'status', {}), new ControlError('the disk is full', 'refused'));
});

test('the socket is for its owner and group alone', async (t) => {
  const { path } = await listen(t);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o750);
});

test('a living daemon keeps its socket; one that is dead is replaced', async (t) => {
  const { path } = await listen(t);
  await assert.rejects(listenForControl(path, handlers()), {
    code: 'EADDRINUSE',
    message: `another daemon listens at ${path}`,
  });
  const other = socketPath(t);
  const first = await listenForControl(other, handlers());
  await new Promise((resolve) => first.close(resolve));
  // Closing removes the file: a process that is killed leaves its socket behind.
  const listener = `require('net').createServer().listen(${JSON.stringify(other)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listener]);
  assert.ok(statSync(other).isSocket());
  const second = await listenForControl(other, handlers());
  t.after(() => second.close());
  assert.deepEqual(await ask(other, 'status', {}), STATUS);
});

test('nobody there: the error says where it looked', async (t) => {
  const path = socketPath(t);
  await assert.rejects(
    ask(path, 'status', {}),
    new ControlError(
      `no daemon listens at ${path}; is it running? (--socket PATH or --lab NAME names another one)`,
      'absent',
    ),
  );
});

test('a daemon that does not answer in time', async (t) => {
  const { path } = await listen(t, { status: () => new Promise(() => undefined) });
  await assert.rejects(
    ask(path, 'status', {}, 50),
    new ControlError(`the daemon at ${path} did not answer within 0.05 s`),
  );
});

test('what goes wrong on our side is an answer, and told to the log; a refusal is not told', async (t) => {
  const path = socketPath(t);
  const told: string[] = [];
  const broken: unknown = { toJSON: () => assert.fail('no JSON') };
  const server = await listenForControl(
    path,
    handlers({
      status: () => Promise.resolve(broken as Status),
      interfaces: () => Promise.reject(new RequestError('no such thing')),
      groups: () => {
        throw new TypeError('at once');
      },
    }),
    { onError: (what, error) => told.push(`${what}: ${(error as Error).message}`) },
  );
  t.after(() => server.close());
  await assert.rejects(ask(path, 'status', {}), new ControlError('no JSON', 'refused'));
  await assert.rejects(ask(path, 'interfaces', {}), new ControlError('no such thing', 'refused'));
  await assert.rejects(ask(path, 'groups', {}), new ControlError('at once', 'refused'));
  server.emit('error', new Error('EMFILE'));
  assert.deepEqual(told, [
    'status: no JSON',
    'groups: at once',
    'a connection to the control socket: EMFILE',
  ]);
});

/** Connects, and is told of what comes and of the end. */
function enter(t: TestContext, path: string, request = ''): { said: string; isOpen: boolean } {
  const seen = { said: '', isOpen: true };
  const socket = connect(path).on('error', () => undefined);
  socket.on('data', (chunk) => (seen.said += chunk.toString()));
  socket.on('close', () => (seen.isOpen = false));
  socket.write(request);
  t.after(() => socket.destroy());
  return seen;
}

test('silent connections give their places to others, the one that is silent for longest first', async (t) => {
  const { path } = await listen(t);
  const HALF = '{"version":1,"meth';
  const first = enter(t, path, HALF);
  await sleep(20);
  const others = Array.from({ length: CONNECTIONS_MAX - 1 }, () => enter(t, path, HALF));
  await sleep(50);
  assert.ok(
    [first, ...others].every(({ isOpen }) => isOpen),
    'so many are let be',
  );
  assert.deepEqual(await ask(path, 'status', {}), STATUS);
  await until('the first gave way', () => !first.isOpen);
  assert.deepEqual(JSON.parse(first.said), {
    version: 1,
    ok: false,
    error: `${CONNECTIONS_MAX} others ask at the moment, and this connection was silent`,
    busy: true,
  });
  assert.ok(
    others.every(({ isOpen }) => isOpen),
    'one was enough',
  );
});

test('connections at work give way to nobody; places are free again when they are done', async (t) => {
  const waiting: (() => void)[] = [];
  const { path } = await listen(t, {
    status: () => new Promise((resolve) => waiting.push(() => resolve(STATUS))),
  });
  const line = '{"version":1,"method":"status"}\n';
  const busy = Array.from({ length: CONNECTIONS_MAX }, () => enter(t, path, line));
  await until('all are at work', () => waiting.length === CONNECTIONS_MAX);
  await assert.rejects(
    ask(path, 'status', {}),
    new ControlError(`${CONNECTIONS_MAX} others ask at the moment; try again`, 'busy'),
  );
  for (const answer of waiting.splice(0)) answer();
  await until('all are answered', () => busy.every(({ said }) => said.includes('"ok":true')));
  const asked = ask(path, 'status', {});
  await until('the next is at work', () => waiting.length === 1);
  waiting[0]();
  assert.deepEqual(await asked, STATUS);
});

test('a connection that says nothing, or half a request, is closed after a while', async (t) => {
  const path = socketPath(t);
  const server = await listenForControl(path, handlers(), { idleTimeoutMs: 100 });
  t.after(() => server.close());
  const silent = [enter(t, path), enter(t, path, '{"ver')];
  await until('they are closed', () => silent.every(({ isOpen }) => !isOpen));
  assert.deepEqual(
    silent.map(({ said }) => said),
    ['', ''],
  );
});

test('who does not read its answer is let go after a while', async (t) => {
  const path = socketPath(t);
  const big = { ...STATUS, config: 'x'.repeat(4_000_000) };
  const server = await listenForControl(path, handlers({ status: () => Promise.resolve(big) }), {
    idleTimeoutMs: 100,
  });
  t.after(() => server.close());
  const ends: Socket[] = [];
  server.on('connection', (socket) => ends.push(socket));
  const socket = connect(path).on('error', () => undefined);
  t.after(() => socket.destroy());
  socket.pause();
  socket.write('{"version":1,"method":"status"}\n'.repeat(50));
  await until('it is closed', () => ends.length === 1 && ends[0].destroyed);
});

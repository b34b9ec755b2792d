/** The control socket: answers, refusals, limits, and who may connect. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask, ControlError } from '../../src/control/socket/control-client.ts';
import { listenForControl, type ControlHandlers } from '../../src/control/socket/control-server.ts';
import type { Status } from '../../src/control/socket/protocol.ts';

const NOTHING = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };

const STATUS: Status = {
  version: '1.2.3',
  pid: 1,
  config: 'a.yaml',
  generation: 7,
  interfaces: ['web'],
  groups: 2,
  flows: 3,
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

function handlers(more: Partial<Methods> = {}): ControlHandlers {
  const unasked = (): never => assert.fail('not asked for');
  return {
    methods: {
      status: () => Promise.resolve(STATUS),
      explain: unasked,
      reload: unasked,
      interfaces: unasked,
      groups: unasked,
      rules: unasked,
      flows: unasked,
      endFlows: unasked,
      drops: unasked,
      explainDrop: unasked,
      ...more,
    },
    streams: { trace: unasked, top: unasked, capture: unasked },
  };
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
  more: Partial<Methods> = {},
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
      "unknown method 'toString'; there are status, explain, reload, interfaces, groups, rules, flows, endFlows, drops, explainDrop, trace, top, capture",
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
  await assert.rejects(ask(path, 'status', {}), new ControlError('the disk is full'));
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
  // Closing removes the file; what a killed daemon leaves looks like this to whoever connects.
  writeFileSync(other, '');
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

test('a crowd is turned away, and a place is free again when somebody leaves', async (t) => {
  const { path } = await listen(t);
  const crowd = Array.from({ length: 40 }, () => connect(path).on('error', () => undefined));
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const socket of crowd) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(await ask(path, 'status', {}), STATUS);
});

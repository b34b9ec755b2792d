/** Streams of the control socket, and what bad clients can't do to it: memory stays bounded, others get through. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { ask, ControlError, follow } from '../../src/control-socket/control-client.ts';
import {
  CONNECTIONS_MAX,
  listenForControl,
  STREAMS_MAX,
  STREAM_QUEUE_BYTES,
  type ControlHandlers,
  type ControlOptions,
} from '../../src/control-socket/control-server.ts';
import type { Response } from '../../src/control-socket/protocol.ts';
import type { Sink } from '../../src/queries/stream.ts';
import type { TraceAnswer } from '../../src/queries/trace-stream.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import { until } from '../support/until.ts';
import { controlLine } from './control-lines.ts';

const NOTHING: TraceAnswer = { verdicts: [], lost: 0 };
const TRACE = '{"version":1,"method":"trace"}\n';

/** A daemon whose `trace` is played by the test. */
interface Stage {
  readonly path: string;
  /** Streams that are followed now. */
  readonly sinks: Set<Sink<TraceAnswer>>;
  /** The daemon's ends of all connections. */
  readonly sockets: Socket[];
}

async function listen(t: TestContext, options?: ControlOptions): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-streams-'));
  const path = join(folder, 'control.sock');
  const sinks = new Set<Sink<TraceAnswer>>();
  const handlers: ControlHandlers = {
    methods: { interfaces: () => Promise.resolve([]) },
    streams: {
      trace: (question, sink) => {
        if (question.interfaces !== undefined) throw new RequestError("there is no interface 'x'");
        sinks.add(sink);
        return () => sinks.delete(sink);
      },
    },
  };
  const server = await listenForControl(path, handlers, options);
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  t.after(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { path, sinks, sockets };
}

/** A client that reads only when it is told to. */
function connectMute(t: TestContext, path: string, request: string): Socket {
  const socket = connect(path).on('error', () => undefined);
  t.after(() => socket.destroy());
  socket.pause();
  socket.write(request);
  return socket;
}

test('a stream goes on answering until the client hangs up', async (t) => {
  const { path, sinks } = await listen(t);
  const stop = new AbortController();
  const lost: number[] = [];
  let hasBegun = false;
  const followed = follow(
    path,
    'trace',
    {},
    {
      signal: stop.signal,
      begin: () => (hasBegun = true),
      take: (answer) => {
        assert.ok(hasBegun);
        lost.push(answer.lost);
        if (lost.length === 3) stop.abort();
      },
    },
  );
  await until('the stream starts', () => sinks.size === 1);
  for (const count of [1, 2, 3])
    for (const sink of sinks) sink.send({ ...NOTHING, lost: count }, 1);
  await followed;
  assert.deepEqual(lost, [1, 2, 3]);
  await until('the stream ends with the client', () => sinks.size === 0);
});

test('a stream that is refused says why, and the connection goes on', async (t) => {
  const { path } = await listen(t);
  const never = new AbortController().signal;
  const take = (): void => assert.fail('nothing comes');
  await assert.rejects(
    follow(path, 'trace', { interfaces: ['x'] }, { signal: never, take }),
    new ControlError("there is no interface 'x'", 'refused'),
  );
  const socket = connect(path);
  t.after(() => socket.destroy());
  socket.write('{"version":1,"method":"trace","params":{"interfaces":["x"]}}\n');
  socket.write('{"version":1,"method":"interfaces"}\n');
  let received = '';
  socket.on('data', (chunk) => (received += chunk.toString()));
  await until('both answers', () => received.split('\n').length === 3);
  assert.deepEqual(JSON.parse(received.split('\n')[1]), { version: 1, ok: true, result: [] });
});

test('a daemon that goes away is told', async (t) => {
  const { path, sinks, sockets } = await listen(t);
  const never = new AbortController().signal;
  const followed = follow(path, 'trace', {}, { signal: never, take: () => undefined });
  await until('the stream starts', () => sinks.size === 1);
  sockets.forEach((socket) => socket.destroy());
  await assert.rejects(followed, new ControlError(`the daemon at ${path} has gone`));
});

test('who reads too slowly misses something, is told how much, and costs no memory', async (t) => {
  const { path, sinks } = await listen(t);
  const socket = connectMute(t, path, TRACE);
  await until('the stream starts', () => sinks.size === 1);
  const [sink] = sinks;
  const answer = { ...NOTHING, filler: 'x'.repeat(10_000) };
  const before = process.memoryUsage().rss;
  const TOTAL = 20_000;
  let sent = 0;
  for (let i = 0; i < TOTAL; i++) if (sink.send(answer, 1)) sent++;
  // 200 MB were offered. What is kept is the queue, and what the kernel took.
  assert.ok(sent * 10_000 < 2 * STREAM_QUEUE_BYTES, `${sent} answers were kept`);
  assert.ok(process.memoryUsage().rss - before < 50_000_000, 'memory stays bounded');
  const answers: Extract<Response, { ok: true }>[] = [];
  let rest = '';
  socket.on('data', (chunk) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop()!;
    answers.push(...lines.map((line) => JSON.parse(line) as Extract<Response, { ok: true }>));
  });
  socket.resume();
  await until('what was kept arrives', () => answers.length === sent + 1);
  sink.miss(7);
  assert.equal(sink.send(NOTHING, 1), true);
  await until('the next answer', () => answers.length === sent + 2);
  assert.equal(answers.at(-1)?.missed, TOTAL - sent + 7);
  assert.ok(answers.slice(0, -1).every(({ missed }) => missed === undefined));
  sink.send(NOTHING, 1);
  await until('one more', () => answers.length === sent + 3);
  assert.equal(answers.at(-1)?.missed, undefined, 'what was missed is told once');
});

test('who reads nothing at all is let go', async (t) => {
  const { path, sinks } = await listen(t, { stallTimeoutMs: 100 });
  connectMute(t, path, TRACE);
  await until('the stream starts', () => sinks.size === 1);
  const [sink] = sinks;
  const answer = { ...NOTHING, filler: 'x'.repeat(100_000) };
  for (let i = 0; i < 100; i++) sink.send(answer, 1);
  await until('the connection is closed', () => sinks.size === 0);
});

test('a silent stream is no stalled one', async (t) => {
  const { path, sinks } = await listen(t, { stallTimeoutMs: 40 });
  connectMute(t, path, TRACE);
  await until('the stream starts', () => sinks.size === 1);
  await sleep(200);
  assert.equal(sinks.size, 1);
});

test('what is said into a stream is not remembered', async (t) => {
  const { path, sinks } = await listen(t);
  const socket = connectMute(t, path, TRACE);
  await until('the stream starts', () => sinks.size === 1);
  const before = process.memoryUsage().rss;
  const chunk = Buffer.alloc(1 << 20, 'x');
  for (let i = 0; i < 200; i++)
    await new Promise<void>((resolve) => {
      socket.write(chunk, () => resolve());
    });
  assert.ok(process.memoryUsage().rss - before < 60_000_000, 'memory stays bounded');
  assert.equal(sinks.size, 1);
});

test('streams leave room for questions', async (t) => {
  const { path, sinks } = await listen(t);
  for (let i = 0; i < STREAMS_MAX; i++) connectMute(t, path, TRACE);
  await until('as many as there may be', () => sinks.size === STREAMS_MAX);
  const never = new AbortController().signal;
  await assert.rejects(
    follow(path, 'trace', {}, { signal: never, take: () => undefined }),
    new ControlError(`${STREAMS_MAX} others watch at the moment; try again`, 'refused'),
  );
  assert.deepEqual(await ask(path, 'interfaces', {}), []);
});

test('a stream that ends leaves its place to another', async (t) => {
  const { path, sinks } = await listen(t);
  const watching = Array.from({ length: STREAMS_MAX }, () => connectMute(t, path, TRACE));
  await until('as many as there may be', () => sinks.size === STREAMS_MAX);
  for (let i = 0; i < CONNECTIONS_MAX; i++) {
    watching.shift()!.destroy();
    await until('one has gone', () => sinks.size === STREAMS_MAX - 1);
    watching.push(connectMute(t, path, TRACE));
    await until('another has its place', () => sinks.size === STREAMS_MAX);
  }
});

test('a thousand clients that say half a request shut nobody out, and streams stay', async (t) => {
  const { path, sinks } = await listen(t);
  connectMute(t, path, TRACE);
  await until('the stream starts', () => sinks.size === 1);
  const before = process.memoryUsage().rss;
  let told = 0;
  const crowd = Array.from({ length: 1000 }, () => {
    const socket = connect(path).on('error', () => undefined);
    socket.on('data', (chunk) => {
      if (chunk.toString().includes(`${CONNECTIONS_MAX} others ask at the moment`)) told++;
    });
    socket.write('{"version":1,"meth');
    return socket;
  });
  t.after(() => crowd.forEach((socket) => socket.destroy()));
  await until('they are told why', () => told > 100);
  assert.deepEqual(await ask(path, 'interfaces', {}), []);
  assert.equal(sinks.size, 1, 'a stream gives way to nobody');
  assert.ok(process.memoryUsage().rss - before < 100_000_000, 'memory stays bounded');
});

test('whatever bytes come, each line gets an answer in words and the next request is served', async (t) => {
  const { path } = await listen(t);
  await fc.assert(
    fc.asyncProperty(controlLine, async (line) => {
      const socket = connect(path);
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.write(Buffer.concat([line, Buffer.from('\n{"version":1,"method":"interfaces"}\n')]));
      // A stream takes no further requests.
      await until('two answers', () => {
        const lines = received.split('\n').length - 1;
        return lines === 2 || (lines === 1 && received.includes('"more":true'));
      });
      socket.destroy();
      const [first, second] = received.split('\n').slice(0, -1);
      const answer = JSON.parse(first) as Response;
      assert.ok(answer.ok || answer.error.length > 0);
      if (second !== undefined)
        assert.deepEqual(JSON.parse(second), { version: 1, ok: true, result: [] });
    }),
    { numRuns: 400 },
  );
});

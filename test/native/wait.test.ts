/** Pollers and eventfds, also between threads. No root needed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { native, thrownBy } from './support.ts';

function makeEventfd(t: TestContext): number {
  const fd = native.eventfd();
  t.after(() => native.closeFd(fd));
  return fd;
}

test('an eventfd is signalled until it is drained', (t) => {
  const fd = makeEventfd(t);
  assert.equal(native.drainEventfd(fd), false);
  native.signalEventfd(fd);
  native.signalEventfd(fd);
  assert.equal(native.drainEventfd(fd), true);
  assert.equal(native.drainEventfd(fd), false);
});

test('an eventfd does not block and is closed on exec', (t) => {
  const info = readFileSync(`/proc/self/fdinfo/${makeEventfd(t)}`, 'utf8');
  const flags = Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? '', 8);
  assert.equal(flags & 0o2004000, 0o2004000); // O_CLOEXEC | O_NONBLOCK
});

function makePoller(t: TestContext): number {
  const poller = native.createPoller();
  t.after(() => native.closeFd(poller));
  return poller;
}

test('a poller tells the numbers of what is readable, for as long as it is watched', (t) => {
  const poller = makePoller(t);
  const [quiet, loud, wake] = [makeEventfd(t), makeEventfd(t), makeEventfd(t)];
  native.watch(poller, quiet, 0);
  native.watch(poller, loud, 1000);
  native.watch(poller, wake, -1);
  const events = new Int32Array(8).fill(9);
  assert.equal(native.wait(poller, events, 0), 0);
  native.signalEventfd(loud);
  assert.equal(native.wait(poller, events, -1), 1);
  assert.deepEqual([...events], [1000, 1, 9, 9, 9, 9, 9, 9]);
  native.signalEventfd(wake);
  assert.equal(native.wait(poller, events, 0), 2);
  assert.deepEqual([...events.subarray(0, 4)].sort(), [-1, 1, 1, 1000]);
  native.unwatch(poller, loud);
  assert.equal(native.wait(poller, events, 0), 1);
  assert.deepEqual([...events.subarray(0, 2)], [-1, 1]);
  native.drainEventfd(wake);
  assert.equal(native.wait(poller, events, 0), 0);
});

test('a poller with more that is ready than it may tell takes turns', (t) => {
  const poller = makePoller(t);
  for (let i = 0; i < 200; i++) {
    const fd = makeEventfd(t);
    native.signalEventfd(fd);
    native.watch(poller, fd, i);
  }
  const seen = new Set<number>();
  const events = new Int32Array(2 * 64);
  for (let round = 0; round < 4; round++) {
    assert.equal(native.wait(poller, events, 0), 64);
    for (let i = 0; i < 64; i++) seen.add(events[2 * i]);
  }
  assert.equal(seen.size, 200);
  assert.equal(native.wait(poller, new Int32Array(2 * 500), 0), 128);
});

test('what a poller may not do has a name', (t) => {
  const poller = makePoller(t);
  const fd = makeEventfd(t);
  native.watch(poller, fd, 1);
  for (const [call, code, message] of [
    [
      () => native.watch(poller, fd, 2),
      'EEXIST',
      `descriptor ${fd} cannot be watched: File exists`,
    ],
    [
      () => native.unwatch(poller, poller + 1000),
      'EBADF',
      `descriptor ${poller + 1000} cannot be left alone: Bad file descriptor`,
    ],
    [
      () => native.wait(999_999, new Int32Array(2), 0),
      'EBADF',
      'waiting on poller 999999 failed: Bad file descriptor',
    ],
  ] as const) {
    const error = thrownBy(call);
    assert.equal(error.code, code);
    assert.equal(error.message.startsWith(`${code}: ${message}`), true, error.message);
  }
});

test('a poller waits for its time, and no signal cuts it short', async (t) => {
  const poller = makePoller(t);
  const script = `for i in 1 2 3; do sleep 0.1; kill -USR2 ${process.pid}; done`;
  let signals = 0;
  const count = (): void => void signals++;
  process.on('SIGUSR2', count);
  t.after(() => process.off('SIGUSR2', count));
  const child = spawn('sh', ['-c', script], { stdio: 'ignore' });
  const exited = once(child, 'close');
  const before = performance.now();
  assert.equal(native.wait(poller, new Int32Array(2), 600), 0);
  const tookMs = performance.now() - before;
  await exited;
  assert.ok(signals >= 1, 'no signal came, so the test tried nothing');
  assert.ok(tookMs >= 599, `took ${tookMs} ms`);
});

test('an eventfd wakes a poller in another thread', async (t) => {
  const fd = makeEventfd(t);
  const worker = new Worker(new URL('./wait-worker.js', import.meta.url), { workerData: fd });
  t.after(async () => worker.terminate());
  const exited = once(worker, 'exit'); // from the start: it may come together with the last message
  assert.deepEqual(await once(worker, 'message'), ['waiting']);
  // Long enough for it to be inside epoll_wait(2): if it is not, the test still holds.
  await new Promise((resolve) => setTimeout(resolve, 50));
  native.signalEventfd(fd);
  const [result] = (await once(worker, 'message')) as [unknown];
  assert.deepEqual(result, { count: 1, events: [7, 1], drained: true });
  assert.deepEqual(await exited, [0]);
});

test('many threads load the addon, end, and load it again', async () => {
  for (let round = 0; round < 2; round++) {
    const fds = [native.eventfd(), native.eventfd(), native.eventfd()];
    fds.forEach((fd) => native.signalEventfd(fd));
    const workers = fds.map(
      (fd) => new Worker(new URL('./wait-worker.js', import.meta.url), { workerData: fd }),
    );
    const codes = await Promise.all(
      workers.map(async (worker) => {
        const [code] = (await once(worker, 'exit')) as [number];
        return code;
      }),
    );
    assert.deepEqual(codes, [0, 0, 0]);
    fds.forEach((fd) => native.closeFd(fd));
  }
});

test('a descriptor that is not open is an error with a name', () => {
  for (const [name, syscall] of [
    ['closeFd', 'close'],
    ['signalEventfd', 'write'],
    ['drainEventfd', 'read'],
  ] as const) {
    const error = thrownBy(() => native[name](999_999));
    assert.equal(error.code, 'EBADF');
    assert.equal(error.errno, 9);
    assert.equal(error.syscall, syscall);
    assert.equal('device' in error, false);
  }
  assert.equal(
    thrownBy(() => native.closeFd(999_999)).message,
    'EBADF: descriptor 999999 cannot be closed: Bad file descriptor (close)',
  );
});

test('a thread interrupts nobody, and then does again', () => {
  assert.equal(native.setBatchScheduling(true), true);
  assert.equal(native.setBatchScheduling(true), false); // not what is to be left
  assert.equal(native.setBatchScheduling(false), true);
  assert.equal(native.setBatchScheduling(false), false);
});

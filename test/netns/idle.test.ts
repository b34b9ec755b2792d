/**
 * A daemon with flows and nothing to do leaves the processor alone, and still ends flows in time.
 *
 * Runs beside others: it waits for half a minute, and counts how often its own daemon woke up.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { cpuMs } from '../support/processor-time.ts';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';

/** A tick a second, and a few for what a kernel says to its link by itself. */
const WAKE_UPS_MAX = 3;
const SECONDS = 4;

/** Voluntary context switches by thread: a thread that waits has made one, and wakes up for the next. */
function wakeUps(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    found.set(thread, Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)![1]));
  }
  return found;
}

function sum(byThread: ReadonlyMap<string, number>): number {
  return [...byThread.values()].reduce((all, one) => all + one, 0);
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
}

/** Processor time of all threads but the main one, in ms. */
function loopMs(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .filter((thread) => thread !== String(pid))
    .reduce((sum, thread) => sum + cpuMs(`${pid}/task/${thread}`), 0);
}

function configuration(a: Netns, b: Netns, more: string): string {
  return `${more}
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [10.0.0.1] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [10.0.0.2] }
`;
}

test('with a flow and no packet, the packet loop wakes up for its tick', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(
    t,
    'idle.yaml',
    configuration(a, b, 'metrics: { listen: 127.0.0.1:0 }'),
  );
  const daemon = await Daemon.start(t, file);
  const before = wakeUps(daemon.pid);
  assert.equal((await ping(a, '10.0.0.2', 50, '-i', '0.01')).code, 0);
  const after = wakeUps(daemon.pid);
  const grown = (thread: string): number => after.get(thread)! - (before.get(thread) ?? 0);
  // The main thread has timers of its own.
  const threads = [...after.keys()].filter((thread) => thread !== String(daemon.pid));
  const loop = threads.reduce((x, y) => (grown(x) > grown(y) ? x : y));
  // On a busy machine several packets wait together: fewer wake-ups than pings, and still those of the loop.
  assert.equal(
    grown(loop) >= 10,
    true,
    `no thread woke up for pings: ${grown(loop)} times at most`,
  );

  await sleep(2); // The table has been looked through.
  assert.equal((await daemon.flows()) > 0, true);
  const start = wakeUps(daemon.pid).get(loop)!;
  await sleep(SECONDS);
  const woken = wakeUps(daemon.pid).get(loop)! - start;
  assert.equal(woken <= SECONDS * WAKE_UPS_MAX, true, `${woken} wake-ups in ${SECONDS} s`);
  assert.equal(woken >= SECONDS - 1, true, `${woken} wake-ups in ${SECONDS} s: no tick`);

  // ICMP flows have 30 s; they go within a tick of it.
  await sleep(30 - SECONDS - 2 + 2);
  assert.equal(await daemon.flows(), 0);

  // Now nothing is left to do, for no thread: once a second somebody looks whether the namespaces are still there.
  await sleep(1);
  const all = sum(wakeUps(daemon.pid));
  await sleep(SECONDS);
  const wokenAll = sum(wakeUps(daemon.pid)) - all;
  assert.equal(wokenAll <= SECONDS * WAKE_UPS_MAX, true, `${wokenAll} wake-ups in ${SECONDS} s`);
});

test('with busy polling, a loop asks for packets where they come soon, and leaves the processor alone where none come', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const times: { readonly busy: number; readonly idle: number }[] = [];
  for (const us of [0, 1000]) {
    const file = temporaryFile(t, `${us}.yaml`, configuration(a, b, `busyPollUs: ${us}`));
    const daemon = await Daemon.start(t, file);
    const start = loopMs(daemon.pid);
    assert.equal((await ping(a, '10.0.0.2', 400, '-i', '0.005')).code, 0);
    const busy = loopMs(daemon.pid) - start;
    await sleep(1);
    const before = loopMs(daemon.pid);
    await sleep(SECONDS);
    times.push({ busy, idle: loopMs(daemon.pid) - before });
    await daemon.stop();
  }
  const [off, on] = times;
  // It asks for 1 ms after each of 400 answers: the next question comes later.
  assert.ok(on.busy >= off.busy + 50, `${off.busy} and ${on.busy} ms for pings`);
  assert.ok(on.idle <= off.idle + 50, `${off.idle} and ${on.idle} ms in ${SECONDS} s`);
});

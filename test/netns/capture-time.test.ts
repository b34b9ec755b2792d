/** A capture has the same times as one of tcpdump: the kernel's microseconds, not the daemon's milliseconds. */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, start } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const REQUESTS = 20;

/** The seconds at which each request of an echo was first seen, by its number. */
function requestTimes(lines: string): Map<number, number> {
  const times = new Map<number, number>();
  const request = /^(\d+\.\d+) .*ICMP echo request, id \d+, seq (\d+)/gm;
  for (const [, at, number] of lines.matchAll(request))
    if (!times.has(Number(number))) times.set(Number(number), Number(at));
  return times;
}

test('packets of different rounds have the microseconds of their rounds, as tcpdump saw them', async (t) => {
  if (!canRun(t) || !requireTools(t, 'tcpdump')) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }
`,
  );
  const socket = join(dirname(file), 'control.sock');
  const written = join(dirname(file), 'times.pcapng');
  await Daemon.start(t, file, ['--control', socket]);
  const kernel = await a.start('tcpdump', ['-n', '-tt', '-l', '-i', 'eth0', 'icmp']);
  await kernel.waitFor(/listening on/);
  const arguments_ = [SGCTL, 'capture', '-w', written, '--proto', 'icmp', '--socket', socket];
  const capture = await start(process.execPath, arguments_);
  await capture.waitFor(/Ctrl-C ends it/);
  assert.equal((await ping(a, B, REQUESTS)).code, 0);
  await kernel.waitFor(new RegExp(`echo request, id \\d+, seq ${REQUESTS},`));
  await sleep(200);
  await capture.stop('SIGINT');
  await kernel.stop('SIGINT');
  const ours = requestTimes((await run('tcpdump', ['-n', '-tt', '-r', written])).stdout);
  const theirs = requestTimes(kernel.stdout());
  assert.equal(ours.size, REQUESTS);
  assert.deepEqual([...ours.keys()], [...theirs.keys()]);
  const apart = [...ours].map(([number, at]) => at - theirs.get(number)!).sort((x, y) => x - y);
  const median = apart[REQUESTS / 2];
  t.diagnostic(`behind tcpdump by ${Math.round(1e6 * median)} µs in the median`);
  // A busy machine may be late; by another clock it would be off by far more.
  assert.ok(Math.abs(median) < 5, `${median} s`);
  const fractions = new Set([...ours.values()].map((at) => Math.round(1e6 * at) % 1000));
  assert.ok(fractions.size > REQUESTS / 4, `microseconds: ${[...fractions].join()}`);
});

/**
 * A daemon ends, and nothing passes, if somebody has written into its memory (bad RAM, another program, a bug of
 * ours). The test writes a port that no interface has into a tracked flow, through /proc/PID/mem.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { GUARD_MS } from '../support/guard-time.ts';
import { canRun, Daemon, makeNamespaces, ping, serve, temporaryFile } from './world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const CHUNK_BYTES = 1 << 20;
const TCP = 6;
/** Bytes of a flow's key in IPv4: interface, role and protocol; ports; local address; remote address. */
const KEY_BYTES = 16;

function addressWord(address: string): Buffer {
  const word = Buffer.alloc(4);
  word.writeInt32LE(Buffer.from(address.split('.').map(Number)).readInt32BE());
  return word;
}

/** Puts port 0 in place of the interface into every key of a TCP flow between these ends. @returns how many */
function breakFlows(pid: number, local: string, remote: string): number {
  const ends = Buffer.concat([addressWord(local), addressWord(remote)]);
  const maps = readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n');
  const fd = openSync(`/proc/${pid}/mem`, 'r+');
  let broken = 0;
  try {
    for (const line of maps) {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (from === undefined) continue;
      const end = parseInt(to, 16);
      // Chunks overlap, so that no key is cut in two.
      for (let at = parseInt(from, 16); at < end; at += CHUNK_BYTES - KEY_BYTES)
        broken += breakChunk(fd, at, Math.min(CHUNK_BYTES, end - at), ends);
    }
  } finally {
    closeSync(fd);
  }
  return broken;
}

function breakChunk(fd: number, at: number, bytes: number, ends: Buffer): number {
  const chunk = Buffer.alloc(bytes);
  try {
    if (readSync(fd, chunk, 0, bytes, at) < KEY_BYTES) return 0;
  } catch {
    // A region that can't be read this way, as that of the kernel's own pages.
    return 0;
  }
  let broken = 0;
  for (let found = chunk.indexOf(ends); found >= 0; found = chunk.indexOf(ends, found + 4)) {
    const key = found - 8;
    if (key < 0 || found % 4 !== 0) continue;
    const meta = chunk.readUInt32LE(key);
    if ((meta & 0xffff) !== TCP || meta >>> 16 === 0) continue;
    const word = Buffer.alloc(4);
    word.writeUInt32LE(TCP);
    writeSync(fd, word, 0, 4, at + key);
    broken++;
  }
  return broken;
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, ms, 'late');
  });
  const first = await Promise.race([promise, late]);
  clearTimeout(timer);
  return first;
}

async function breakDaemon(t: TestContext, more: string): Promise<void> {
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `${more}
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }
`,
  );
  const daemon = await Daemon.start(t, file);
  await serve(b, 'b');
  const stream = await a.start('curl', ['-gsSN', `http://${B}/ticks`]);
  await stream.waitFor(/tick 3\n/);
  assert.ok(breakFlows(daemon.pid, A, B) >= 1, 'the flow is found in its memory');
  const ended = await within(daemon.ended, GUARD_MS);
  assert.equal(ended, 1, daemon.output);
  assert.match(daemon.output, /"msg":"the packet loop failed[^"]*"/);
  assert.match(
    daemon.output,
    /broken invariant, the packet loop ends: a flow is of a port that does not exist/,
  );
  assert.notEqual((await ping(a, B)).code, 0, 'nothing answers');
}

test('a flow of no interface ends the daemon, and nothing passes', async (t) => {
  if (!canRun(t)) return;
  await breakDaemon(t, '');
});

test('with several packet loops one that fails ends them all', async (t) => {
  if (!canRun(t)) return;
  await breakDaemon(t, 'workers: 2');
});

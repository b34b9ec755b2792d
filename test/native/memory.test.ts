/** Huge pages are asked for where they help, and for nobody else's memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { preferHugePages } from '../../src/dataplane/huge-pages.ts';
import { native } from './support.ts';

const MIB = 1024 * 1024;

/** Here, and not in the test that asks for its pages: were it freed there, the next test would count less than before. */
const memory = new Uint8Array(new SharedArrayBuffer(8 * MIB));

/** Bytes of this process's memory for which huge pages were asked (`hg` among VmFlags, proc_pid_smaps(5)). */
function advisedBytes(): number {
  let bytes = 0;
  let size = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const found = /^Size: +(\d+) kB/.exec(line);
    if (found !== null) size = Number(found[1]) * 1024;
    if (/^VmFlags:.* hg( |$)/.test(line)) bytes += size;
  }
  return bytes;
}

test('whole pages of the memory are asked for, and no more', (t) => {
  const before = advisedBytes();
  if (!native.preferHugePages(memory.subarray(MIB, 6 * MIB))) {
    t.skip('a kernel without huge pages');
    return;
  }
  const advised = advisedBytes() - before;
  assert.ok(advised > 5 * MIB - 2 * 65536 && advised <= 5 * MIB, `${advised} bytes`);
  memory[2 * MIB] = 1;
  assert.deepEqual([memory[2 * MIB - 1], memory[2 * MIB], memory[6 * MIB]], [0, 1, 0]);
});

test('less than a page is left alone', () => {
  const before = advisedBytes();
  assert.equal(native.preferHugePages(new Uint8Array(100)), false);
  assert.equal(native.preferHugePages(new Uint8Array(0)), false);
  assert.equal(advisedBytes(), before);
  assert.equal(memory.length, 8 * MIB);
});

test('slabs are asked for behind their first 2 MiB, if they are that big', () => {
  const asked: Uint8Array[] = [];
  const recorder = {
    preferHugePages(memory: Uint8Array): boolean {
      asked.push(memory);
      return false;
    },
  };
  const table = new SharedArrayBuffer(5 * MIB);
  preferHugePages(recorder, [
    { words: new Int32Array(table, MIB) },
    null,
    { words: new Int32Array(new SharedArrayBuffer(2 * MIB)) },
  ]);
  assert.equal(asked.length, 1);
  assert.equal(asked[0].buffer, table);
  assert.deepEqual([asked[0].byteOffset, asked[0].byteLength], [3 * MIB, 2 * MIB]);
});

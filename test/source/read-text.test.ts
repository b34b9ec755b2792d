/** Reading what a person named: regular files of bounded size, and nothing that waits or has no end. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Problem } from '../../src/source/problem.ts';
import { readBytes, readingAtMost, readText } from '../../src/source/read-text.ts';

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-read-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

function refusalOf(file: string, maxBytes = 1000): string {
  const problems: Problem[] = [];
  assert.equal(readText(file, problems, maxBytes), undefined);
  assert.equal(problems.length, 1);
  assert.equal(problems[0].at?.file, file);
  return problems[0].message;
}

test('a file is read whole, whatever size it says it has', (t) => {
  const file = join(folderOf(t), 'a');
  const text = 'ä'.repeat(100_000);
  writeFileSync(file, text);
  assert.equal(readText(file, [], 200_000), text);
  assert.equal(refusalOf(file, 199_999), 'the file has 200000 bytes; at most 199999 are read');
  writeFileSync(file, '');
  assert.equal(readText(file, [], 0), '');
  // The kernel's say 0.
  const environ = '/proc/self/environ';
  const found = readBytes(environ, 1 << 20);
  assert.equal(found.kind === 'read' && found.bytes.equals(readFileSync(environ)), true);
  assert.equal(refusalOf(environ, 10), 'the file has more than 10 bytes');
});

test('what waits or has no end is not read', async (t) => {
  const folder = folderOf(t);
  const place = (name: string): string => join(folder, name);
  execFileSync('mkfifo', [place('fifo')]);
  symlinkSync('/dev/zero', place('zero'));
  mkdirSync(place('folder'));
  writeFileSync(place('huge'), '');
  truncateSync(place('huge'), 2 ** 40);
  const cases: [name: string, message: string][] = [
    ['fifo', "the file can't be read: it is a pipe"],
    ['zero', "the file can't be read: it is a device"],
    ['folder', "the file can't be read: it is a directory"],
    ['huge', `the file has ${2 ** 40} bytes; at most 1000 are read`],
    ['gone', "the file can't be read: ENOENT"],
    ['huge/below', "the file can't be read: ENOTDIR"],
  ];
  // To read the first two would never end.
  for (const [name, message] of cases) assert.equal(refusalOf(place(name)), message);
  const server = createServer().listen(place('socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  assert.equal(refusalOf(place('socket')), "the file can't be read: ENXIO");
});

test('bytes that are no text are refused', (t) => {
  const file = join(folderOf(t), 'a');
  writeFileSync(file, Buffer.from([0x61, 0xff]));
  assert.equal(refusalOf(file), 'the file is not UTF-8 text');
  assert.ok(existsSync(file));
});

test('gives up at the file with which there is too much', (t) => {
  const folder = folderOf(t);
  const [a, b] = ['a', 'b'].map((name) => {
    const file = join(folder, name);
    writeFileSync(file, name.repeat(10));
    return file;
  });
  const problems: Problem[] = [];
  const both = (): unknown => [readText(a, problems, 100), readText(b, problems, 100)];
  const whole = ['a'.repeat(10), 'b'.repeat(10)];
  assert.deepEqual(readingAtMost(20, both), whole);
  assert.equal(readingAtMost(19, both), undefined);
  assert.deepEqual(both(), whole, 'the bound ends with the call');
  assert.throws(
    () =>
      readingAtMost(20, () => {
        throw new Error('another');
      }),
    /another/,
  );
  assert.deepEqual(problems, []);
});

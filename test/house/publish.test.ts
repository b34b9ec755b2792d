/** A folder that a build makes is complete or missing, and is made again only when its inputs changed. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { hashInputs, INPUTS_FILE, publish } from '../../scripts/dist/publish.ts';

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-publish-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A writer of one file, that counts how often it was asked. */
function writer(text: string): { readonly write: (folder: string) => void; calls: number } {
  const made = {
    calls: 0,
    write(folder: string): void {
      made.calls++;
      assert.deepEqual(readdirSync(folder), []);
      writeFileSync(join(folder, 'file'), text);
    },
  };
  return made;
}

test('a folder is made once for the same inputs, and again for others', async (t) => {
  const top = makeFolder(t);
  const folder = join(top, 'dist/src');
  const first = writer('first');
  await publish(folder, 'a', first.write);
  const { mtimeMs, ino } = statSync(folder);
  await publish(folder, 'a', first.write);
  assert.equal(first.calls, 1);
  assert.deepEqual([statSync(folder).mtimeMs, statSync(folder).ino], [mtimeMs, ino]);
  await publish(folder, 'b', writer('second').write);
  assert.equal(readFileSync(join(folder, 'file'), 'utf8'), 'second');
  assert.deepEqual(readdirSync(join(top, 'dist')), ['src']);
});

test('inputs that are found unchanged are noted as checked now', async (t) => {
  const folder = join(makeFolder(t), 'src');
  await publish(folder, 'a', writer('').write);
  const stamp = join(folder, INPUTS_FILE);
  const before = statSync(stamp).mtimeMs;
  await new Promise((resolve) => setTimeout(resolve, 20));
  await publish(folder, 'a', writer('').write);
  assert.ok(statSync(stamp).mtimeMs > before);
});

test('who fails leaves the old folder whole, and the next one begins anew', async (t) => {
  const folder = join(makeFolder(t), 'src');
  await publish(folder, 'a', writer('old').write);
  await assert.rejects(
    publish(folder, 'b', (next) => {
      writeFileSync(join(next, 'half'), '');
      throw new Error('interrupted');
    }),
    /interrupted/,
  );
  assert.deepEqual(readdirSync(folder).sort(), ['file', INPUTS_FILE]);
  assert.equal(existsSync(join(`${folder}.new`, 'half')), true);
  await publish(folder, 'b', writer('new').write);
  assert.deepEqual(readdirSync(folder).sort(), ['file', INPUTS_FILE]);
  assert.equal(readFileSync(join(folder, 'file'), 'utf8'), 'new');
  assert.equal(existsSync(`${folder}.new`), false);
});

test('who ended between the two renames left nothing, and the folder is made', async (t) => {
  const folder = join(makeFolder(t), 'src');
  await publish(`${folder}.old`, 'a', writer('old').write);
  await publish(`${folder}.new`, 'b', writer('unfinished').write);
  await publish(folder, 'b', writer('new').write);
  assert.equal(readFileSync(join(folder, 'file'), 'utf8'), 'new');
  assert.deepEqual([existsSync(`${folder}.old`), existsSync(`${folder}.new`)], [false, false]);
});

test('the hash of inputs tells contents, names and places apart', (t) => {
  const top = makeFolder(t);
  const hashOf = (files: Readonly<Record<string, string>>): string => {
    const folder = mkdtempSync(join(top, 'inputs-'));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(folder, path, '..'), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return hashInputs([folder]);
  };
  const hashes = [
    hashOf({}),
    hashOf({ a: '' }),
    hashOf({ a: '1' }),
    hashOf({ b: '1' }),
    hashOf({ a: '1', b: '' }),
    hashOf({ 'a/b': '1' }),
    hashOf({ ab: '1' }),
    hashOf({ a: '1\0b', b: '' }),
  ];
  assert.equal(new Set(hashes).size, hashes.length);
  assert.equal(hashOf({ a: '1', b: '2' }), hashOf({ b: '2', a: '1' }));
});

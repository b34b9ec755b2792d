/** The copy of what a host holds is used as a whole or not at all. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCache, writeCache } from '../../src/estate/part-cache.ts';
import { makeFolder } from '../store/folder.ts';

const OWNER = { host: 'a', store: 'etcd://127.0.0.1:2379' };
const PART = {
  revision: 41,
  rows: [
    { key: 'desired/groups/sg-1', value: '{"name":"wéb"}', revision: 7 },
    { key: 'desired/placed/a/eni-1', value: '{}', revision: 41 },
  ],
};

test('what was written is read again, by its owner alone', async (t) => {
  const path = join(makeFolder(t), 'state', 'estate.cache');
  assert.equal(readCache(path, OWNER), undefined);
  await writeCache(path, OWNER, PART);
  assert.deepEqual(readCache(path, OWNER), PART);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await writeCache(path, OWNER, { ...PART, revision: 42 });
  assert.deepEqual(readCache(path, OWNER), { ...PART, revision: 42 });
  assert.deepEqual(readCache(path, { ...OWNER, host: 'b' }), { why: 'it is of the host a' });
  assert.deepEqual(readCache(path, { ...OWNER, store: 'etcd://x' }), {
    why: 'it is of another store',
  });
});

test('cut off at any byte, or with any byte changed, it is refused', async (t) => {
  const path = join(makeFolder(t), 'estate.cache');
  await writeCache(path, OWNER, PART);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at++) {
    writeFileSync(path, whole.subarray(0, at));
    const cut = readCache(path, OWNER);
    assert.ok(cut !== undefined && 'why' in cut, `cut at ${at}`);
    const changed = Buffer.from(whole);
    changed[at] ^= 1;
    writeFileSync(path, changed);
    const read = readCache(path, OWNER);
    assert.ok(read !== undefined && 'why' in read, `changed at ${at}: ${JSON.stringify(read)}`);
  }
  for (const text of ['{}\n', 'null\n[]', '[]\n', '{"format":2}\n[]'])
    assert.ok('why' in ((writeFileSync(path, text), readCache(path, OWNER)) ?? {}), text);
});

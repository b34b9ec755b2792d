/** The file with the keys: who may read it, how it is changed, and what is refused. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { changeKeys, createKey, KeyRing, KeysFileError, readKeys } from '../../src/api/keys.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgt-keys-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const fresh = (): string => join(folder, `${++files}.json`);
const alice = createKey('alice', '123456789012', 'write');
const bob = createKey('bob', '210987654321', 'read');

function fileWith(text: string, mode = 0o600): string {
  const path = fresh();
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
}

test('a new key has an id and a secret as AWS makes them', () => {
  assert.match(alice.accessKeyId, /^AKIA[A-Z2-7]{16}$/);
  assert.match(alice.secretAccessKey, /^[A-Za-z0-9+/]{40}$/);
  assert.notEqual(alice.secretAccessKey, bob.secretAccessKey);
});

test('no file is no keys; a changed one has mode 0600, whatever the umask', () => {
  const path = fresh();
  assert.deepEqual(readKeys(path), []);
  const umask = process.umask(0);
  changeKeys(path, (keys) => [...keys, alice]);
  process.umask(umask);
  changeKeys(path, (keys) => [...keys, bob]);
  assert.deepEqual(readKeys(path), [alice, bob]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  changeKeys(path, (keys) => keys.filter(({ name }) => name !== 'alice'));
  assert.deepEqual(readKeys(path), [bob]);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.new')),
    [],
  );
});

test('a folder that is missing is made for its owner alone', () => {
  const path = join(folder, 'made', 'keys.json');
  changeKeys(path, () => [alice]);
  assert.equal(statSync(join(folder, 'made')).mode & 0o777, 0o700);
});

test('of two who change it one is refused, and a failed change leaves it as it was', () => {
  const path = fresh();
  changeKeys(path, () => [alice]);
  changeKeys(path, (keys) => {
    assert.throws(
      () => changeKeys(path, () => []),
      /somebody else is changing .*\.json; if nobody is, remove .*\.json\.new/,
    );
    return keys;
  });
  assert.throws(() => changeKeys(path, () => assert.fail('so')), /so/);
  assert.deepEqual(readKeys(path), [alice]);
  assert.throws(
    () => changeKeys(path, () => Array.from({ length: 1001 }, () => alice)),
    KeysFileError,
  );
  assert.deepEqual(readKeys(path), [alice]);
});

describe('a file', () => {
  const whole = JSON.stringify({ keys: [alice] });
  test('that others may read or write is refused', () => {
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o644])
      assert.throws(
        () => readKeys(fileWith(whole, mode)),
        new RegExp(`has mode 0${mode.toString(8)}, so others may use it: chmod 600 `),
      );
    assert.deepEqual(readKeys(fileWith(whole, 0o400)), [alice]);
  });

  test('that is a link or a folder is refused', () => {
    const link = fresh();
    symlinkSync(fileWith(whole), link);
    assert.throws(() => readKeys(link), /is a symbolic link/);
    assert.throws(() => readKeys(folder), /is no file/);
  });

  const wrong: readonly (readonly [name: string, content: unknown, message: RegExp])[] = [
    ['no list', {}, /has no list 'keys'/],
    ['null', null, /has no list 'keys'/],
    ['a key that is none', { keys: [1] }, /keys\[0\]: it is no object/],
    ['a short id', { keys: [{ ...alice, accessKeyId: 'A' }] }, /keys\[0\]: accessKeyId is not/],
    [
      'no secret',
      { keys: [alice, { ...bob, secretAccessKey: undefined }] },
      /keys\[1\]: secretAccessKey has not/,
    ],
    [
      'an account of 11 digits',
      { keys: [{ ...alice, accountId: '12345678901' }] },
      /accountId has not 12 digits/,
    ],
    [
      'another policy',
      { keys: [{ ...alice, policy: 'all' }] },
      /policy is none of read, write, host/,
    ],
    ['a name with a line break', { keys: [{ ...alice, name: 'a\nb' }] }, /name is not/],
    ['an empty token', { keys: [{ ...alice, sessionToken: '' }] }, /sessionToken has not/],
    ['one id twice', { keys: [alice, alice] }, /keys\[1\]: accessKeyId is that of another key too/],
  ];
  for (const [name, content, message] of wrong)
    test(`with ${name} is refused`, () =>
      assert.throws(() => readKeys(fileWith(JSON.stringify(content))), message));

  test('that is no JSON is refused without quoting it', () => {
    assert.throws(
      () => readKeys(fileWith('{"secretAccessKey": "abc"')),
      (error: Error) => error instanceof KeysFileError && !error.message.includes('abc'),
    );
  });
});

test('the server sees a change at once, and has no keys while the file is wrong', () => {
  const path = fresh();
  const faults: string[] = [];
  const ring = new KeyRing(path, (error) => faults.push(error.message));
  assert.equal(ring.size, 0);
  changeKeys(path, () => [alice]);
  assert.deepEqual(ring.find(alice.accessKeyId), alice);
  assert.equal(ring.find(bob.accessKeyId), undefined);
  changeKeys(path, () => [bob]);
  assert.equal(ring.find(alice.accessKeyId), undefined);
  assert.deepEqual(ring.find(bob.accessKeyId), bob);
  chmodSync(path, 0o644);
  assert.equal(ring.find(bob.accessKeyId), undefined);
  assert.equal(ring.find(bob.accessKeyId), undefined);
  assert.equal(faults.length, 1);
  chmodSync(path, 0o600);
  assert.deepEqual(ring.find(bob.accessKeyId), bob);
  assert.ok(!readFileSync(path, 'utf8').includes(alice.secretAccessKey));
});

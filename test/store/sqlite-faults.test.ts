/** What a store in a file says of a busy, full, damaged, foreign or newer file, and that nothing is lost by it. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkStore } from '../../src/store/check.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { Sqlite } from '../../src/store/sqlite.ts';
import { StoreError, type StoreFault } from '../../src/store/store.ts';
import { run } from '../support/process.ts';
import { requireRoot, requireTools } from '../support/require.ts';
import { commit, putsOf } from './contract.ts';
import { makeFolder, openStore } from './folder.ts';

const CHILD = fileURLToPath(new URL('child.js', import.meta.url));

function isFault(fault: StoreFault, message: string, committed: 'no' | 'unknown' = 'no') {
  return (error: unknown): true => {
    assert.ok(error instanceof StoreError);
    assert.deepEqual([error.fault, error.committed, error.message], [fault, committed, message]);
    return true;
  };
}

test('a commit waits while another process writes, and other work goes on', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  const other = Sqlite.open(file, 'rw');
  t.after(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  const waiting = commit(store, { puts: putsOf({ a: '1' }) });
  for (let turns = 0; turns < 20; turns++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual(await store.read(''), { revision: 0, rows: [] });
  }
  other.exec('ROLLBACK');
  assert.equal(await waiting, 1);
});

test('a commit gives up when another process writes for too long', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file, { busyLimitMs: 50 });
  const other = Sqlite.open(file, 'rw');
  t.after(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  await assert.rejects(
    commit(store, { puts: putsOf({ a: '1' }) }),
    isFault(
      'busy',
      `the store ${file}: database is locked; another process is writing to it; see who has it open with 'fuser -v ${file}', and try again`,
    ),
  );
  other.exec('ROLLBACK');
  assert.equal(await commit(store, { puts: putsOf({ a: '2' }) }), 1);
});

test('what is no store, or none of ours, is left as it is', async (t) => {
  const folder = makeFolder(t);
  const foreign = (file: string, what: string): [StoreFault, string] => [
    'foreign',
    `the store ${file}: ${what}; name another file, or bring back a backup with 'secgroupd store restore'`,
  ];
  const text = join(folder, 'notes.txt');
  writeFileSync(text, 'no database\n'.repeat(100));
  await assert.rejects(openSqliteStore(text), isFault(...foreign(text, 'file is not a database')));
  assert.equal(readFileSync(text, 'utf8'), 'no database\n'.repeat(100));

  const database = join(folder, 'other.db');
  const memory = Sqlite.inMemory(database);
  memory.exec('CREATE TABLE notes (text)');
  memory.run('VACUUM INTO ?', database);
  const before = readFileSync(database);
  await assert.rejects(
    openSqliteStore(database),
    isFault(...foreign(database, 'it is a database of something else')),
  );
  assert.deepEqual(readFileSync(database), before);

  await assert.rejects(openSqliteStore(folder), isFault(...foreign(folder, 'it is a directory')));
  const nowhere = join(folder, 'a', 'b', 'store.db');
  await assert.rejects(
    openSqliteStore(nowhere),
    isFault('absent', `the store ${nowhere}: no such file or directory; name another file`),
  );
});

test('an empty file is not taken for a new store', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  writeFileSync(file, '');
  await assert.rejects(
    openSqliteStore(file),
    isFault(
      'corrupt',
      `the store ${file}: the file is empty; stop what uses it, look with 'secgroupd store check', and bring back a backup with 'secgroupd store restore'`,
    ),
  );
  assert.equal(statSync(file).size, 0);
});

test('a file that is removed or replaced is told at once, and comes back', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  await commit(store, { puts: putsOf({ a: '1' }) });
  const isGone = isFault(
    'gone',
    `the store ${file}: the file was removed or replaced while it was open; stop what uses it, bring it back with 'secgroupd store restore' or by its name, and start again`,
  );
  const changes = store.watch('', 1, new AbortController().signal)[Symbol.asyncIterator]();
  const next = changes.next();
  renameSync(file, `${file}.away`);
  await assert.rejects(next, isGone);
  await assert.rejects(commit(store, { puts: putsOf({ a: '2' }) }), isGone);
  await assert.rejects(store.read(''), isGone);
  writeFileSync(file, '');
  await assert.rejects(store.read(''), isGone);
  renameSync(`${file}.away`, file);
  assert.equal(await commit(store, { puts: putsOf({ a: '3' }) }), 2);
});

test('SQLite is loaded with the first connection, and a machine without it is told', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const program = `
    const { createRequire } = await import('node:module');
    const { cache } = createRequire(import.meta.url);
    const loaded = () => Object.keys(cache).some((path) => path.includes('/libsql/'));
    const { openSqliteStore } = await import(process.argv[1]);
    const before = loaded();
    const said = await openSqliteStore(process.argv[2]).then(() => 'open', (error) => error.message);
    console.log(JSON.stringify([before, loaded(), said]));
    process.exit();`;
  const module = new URL('../../src/store/sqlite-store.js', import.meta.url).href;
  // With this libsql looks for its binary where a developer of libsql has it.
  const env = { ...process.env, LIBSQL_JS_DEV: '1' };
  const args = ['--input-type=module', '-e', program, module, file];
  assert.deepEqual(JSON.parse((await run(process.execPath, args, { env })).stdout), [
    false,
    false,
    `there is no libsql for this machine (linux, ${process.arch}); install secgroupd again, without --omit=optional`,
  ]);
  assert.deepEqual(JSON.parse((await run(process.execPath, args)).stdout), [false, true, 'open']);
});

test('a store of a newer version is refused', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  await (await openSqliteStore(file)).close();
  const newer = Sqlite.open(file, 'rw');
  newer.exec('PRAGMA user_version = 2');
  newer.close();
  const error = isFault(
    'newer',
    `the store ${file}: it has format 2, and this version knows 1 alone; install the version of secgroupd that made it, or a newer one`,
  );
  await assert.rejects(openSqliteStore(file), error);
  assert.throws(() => checkStore(file), error);
});

test('damage inside is told by who meets it, and by check; the rest can be read', async (t) => {
  const folder = makeFolder(t);
  const whole = join(folder, 'whole.db');
  const store = await openStore(t, whole);
  for (let i = 0; i < 20; i++)
    await commit(store, {
      puts: Array.from({ length: 100 }, (_, j) => ({
        key: `row/${String(100 * i + j).padStart(4, '0')}`,
        value: 'x'.repeat(300),
      })),
    });
  // A copy that no connection has open.
  const file = join(folder, 'store.db');
  const copy = Sqlite.open(whole, 'ro');
  copy.run('VACUUM INTO ?', file);
  copy.close();
  const pages = statSync(file).size / 4096;
  const fd = openSync(file, 'r+');
  for (let page = Math.floor(pages / 2); page < Math.floor(pages / 2) + 5; page++)
    writeSync(fd, Buffer.alloc(4096, 0xff), 0, 4096, page * 4096);
  closeSync(fd);

  const damaged = await openStore(t, file);
  await assert.rejects(
    damaged.read('row/'),
    isFault(
      'corrupt',
      `the store ${file}: database disk image is malformed; stop what uses it, look with 'secgroupd store check', and bring back a backup with 'secgroupd store restore'`,
    ),
  );
  assert.equal((await damaged.read('row/00')).rows.length, 100);
  const { problems, revision } = checkStore(file);
  assert.equal(revision, 20);
  assert.ok(problems.some(({ code }) => code === 'damaged'));
  assert.ok(problems.some(({ code }) => code === 'unreadable'));
});

test('check finds tables and rows that somebody changed by hand', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  await commit(store, { puts: putsOf({ a: '1', b: '1' }) });
  await commit(store, { puts: putsOf({ a: '2' }) });
  await commit(store, { deletes: ['b'] });
  assert.deepEqual(checkStore(file).problems, []);
  const sqlite = Sqlite.open(file, 'rw');
  t.after(() => sqlite.close());
  /** What check says while this is so; then it is undone. */
  const problemsWith = (change: string, undo: string): string[] => {
    sqlite.exec(change);
    const { problems } = checkStore(file);
    sqlite.exec(undo);
    return problems.map(({ code, message }) => `${code}: ${message}`);
  };
  const former =
    'INSERT INTO former_rows (key, value, create_revision, revision, ended_revision, ended_by)';
  for (const [change, undo, ...expected] of [
    [
      'DROP INDEX former_rows_by_revision',
      'CREATE INDEX former_rows_by_revision ON former_rows (revision)',
      'changed-table: former_rows_by_revision is missing',
    ],
    ['CREATE TABLE notes (text)', 'DROP TABLE notes', 'changed-table: notes is none of ours'],
    [
      "UPDATE current_rows SET create_revision = 3 WHERE key = 'a'",
      "UPDATE current_rows SET create_revision = 1 WHERE key = 'a'",
      'row-revisions: rows with revisions that can not be: a',
    ],
    [
      `${former} VALUES ('x', '', 1, 3, 2, 'delete')`,
      "DELETE FROM former_rows WHERE key = 'x'",
      'former-row-revisions: former rows with revisions that can not be: x',
    ],
    [
      `${former} VALUES ('a', '', 1, 1, 3, 'delete')`,
      "DELETE FROM former_rows WHERE key = 'a' AND ended_revision = 3",
      'overlap: keys with two values at one revision: a',
    ],
    [
      `${former} VALUES ('y', '', 1, 1, 2, 'put')`,
      "DELETE FROM former_rows WHERE key = 'y'",
      'lost-value: former rows whose next value is missing, or is there though they were deleted: y',
    ],
    [
      "INSERT INTO revisions VALUES (4, '')",
      'DELETE FROM revisions WHERE revision = 4',
      'lost-revision: revisions of the history that are missing, or too many: 4 in place of 3',
    ],
    [
      "INSERT INTO current_rows VALUES ('ä', '', 1, 1)",
      "DELETE FROM current_rows WHERE key = 'ä'",
      "key: keys that no commit can have made: 'ä'",
    ],
    [
      "UPDATE meta SET value = 'x' WHERE name = 'revision'",
      "UPDATE meta SET value = 3 WHERE name = 'revision'",
      `unreadable: the store ${file}: its table meta has no revision; stop what uses it, look with 'secgroupd store check', and bring back a backup with 'secgroupd store restore'`,
    ],
  ]) {
    const problems = problemsWith(change, undo);
    if (expected[0].startsWith('unreadable')) assert.ok(problems.includes(expected[0]), change);
    else assert.deepEqual(problems, expected, change);
    assert.deepEqual(checkStore(file).problems, [], undo);
  }
});

/** Runs a script in a mount namespace of its own. Its arguments: a folder, Node.js, and child.ts as it is compiled. */
async function runMounted(folder: string, script: string): Promise<string[]> {
  const { code, stdout, stderr } = await run('unshare', [
    '--mount',
    'sh',
    '-euc',
    script,
    'sh',
    folder,
    process.execPath,
    CHILD,
  ]);
  assert.deepEqual([code, stderr], [0, '']);
  return stdout.trimEnd().split('\n');
}

test('a full disk refuses commits, loses nothing, and goes on when there is room', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'unshare', 'mount')) return;
  const folder = makeFolder(t);
  const copy = join(makeFolder(t), 'copy.db');
  const lines = await runMounted(
    folder,
    `folder=$1 node=$2 child=$3
     mount -t tmpfs -o size=3m none "$folder"
     "$node" "$child" filler "$folder/filler" 1000000
     "$node" "$child" fill "$folder/store.db" "$folder/filler"
     "$node" "$child" open "$folder/store.db"
     cp "$folder/store.db" "${copy}"`,
  );
  const [refused, then, last, opened] = lines.map(
    (line) => JSON.parse(line) as Record<string, number | string>,
  );
  const file = join(folder, 'store.db');
  assert.deepEqual(refused, {
    fault: 'full',
    committed: 'no',
    message: `the store ${file}: database or disk is full; make room where it is, then try again`,
  });
  assert.ok(Number(then['last']) > 10);
  assert.deepEqual(then, { last: then['last'], revision: then['last'], rows: then['last'] });
  assert.deepEqual(last, { last: Number(then['last']) + 1 });
  assert.deepEqual(opened, { revision: Number(then['last']) + 1 });
  assert.deepEqual(checkStore(copy).problems, []);
});

test('a full disk makes no new store, and not half of one', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'unshare', 'mount')) return;
  const folder = makeFolder(t);
  const [opened, ...left] = await runMounted(
    folder,
    `folder=$1 node=$2 child=$3
     mount -t tmpfs -o size=64k none "$folder"
     "$node" "$child" filler "$folder/filler" 53248
     "$node" "$child" open "$folder/store.db"
     ls "$folder"`,
  );
  assert.deepEqual(JSON.parse(opened), {
    fault: 'full',
    message: `the store ${join(folder, 'store.db')}: database or disk is full; make room where it is, then try again`,
  });
  assert.deepEqual(left, ['filler']);
});

test('a read-only file system and a directory of others are told as such', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'unshare', 'mount')) return;
  const folder = makeFolder(t);
  const file = join(folder, 'store.db');
  await (await openSqliteStore(file)).close();
  const [there, absent] = await runMounted(
    folder,
    `folder=$1 node=$2 child=$3
     mount --bind "$folder" "$folder"
     mount -o remount,ro,bind "$folder"
     "$node" "$child" open "$folder/store.db"
     "$node" "$child" open "$folder/new.db"`,
  );
  const advice =
    'this user must be able to write the file, those beside it with -wal and -shm, and their directory';
  assert.deepEqual(JSON.parse(there), {
    fault: 'denied',
    message: `the store ${file}: read-only file system; ${advice}`,
  });
  const { fault, message } = JSON.parse(absent) as Record<string, string>;
  assert.equal(fault, 'denied');
  assert.ok(message.endsWith(advice), message);

  // Another user, who may read the file and not write beside it.
  const shared = join(folder, 'shared');
  mkdirSync(shared);
  const readable = join(shared, 'store.db');
  await (await openSqliteStore(readable)).close();
  chmodSync(folder, 0o755);
  chmodSync(shared, 0o755);
  chmodSync(readable, 0o666);
  const user = await run(process.execPath, [CHILD, 'user', readable, '65501', '65501'], {
    input: '',
  });
  assert.equal(user.code, 1);
  assert.ok(
    user.stderr.includes(`StoreError: the store ${readable}: permission denied; ${advice}`),
    user.stderr,
  );
});

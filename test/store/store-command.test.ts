/** `secgroupd store`: what is printed, written and refused, in words and as JSON. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { run, type CommandResult } from '../support/process.ts';
import { commit, putsOf } from './contract.ts';
import { makeFolder } from './folder.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

function secgroupd(...args: readonly string[]): Promise<CommandResult> {
  return run(process.execPath, [MAIN, 'store', ...args]);
}

/** A store of three revisions and two rows. It is open until `close`. */
async function makeStore(file: string) {
  const store = await openSqliteStore(file);
  await commit(store, { puts: putsOf({ a: '1', b: '1' }) });
  await commit(store, { puts: putsOf({ a: '2' }) });
  await commit(store, { puts: putsOf({ c: '3' }), deletes: ['b'] });
  return store;
}

/** A program of its own with the store open, as a daemon has it; this process can't know when its locks are gone. */
async function writeStore(file: string): Promise<void> {
  const program = `
    const { openSqliteStore } = await import(process.argv[1]);
    const store = await openSqliteStore(process.argv[2]);
    for (const puts of [[['a', '1'], ['b', '1']], [['a', '2']], [['c', '3']]])
      await store.commit({ conditions: [], puts: puts.map(([key, value]) => ({ key, value })),
        deletes: puts[0][0] === 'c' ? ['b'] : [] });
    await store.close();`;
  const module = new URL('../../src/store/sqlite-store.js', import.meta.url).href;
  const args = ['--input-type=module', '-e', program, module, file];
  const { code, stderr } = await run(process.execPath, args);
  assert.deepEqual([code, stderr], [0, '']);
}

test('a store in use is checked and backed up', async (t) => {
  const folder = makeFolder(t);
  const [file, backup] = [join(folder, 'store.db'), join(folder, 'backup.db')];
  const store = await makeStore(file);
  const { size } = statSync(file);
  const bytes = size.toLocaleString('en-US');
  assert.deepEqual(await secgroupd('check', '--store', file), {
    code: 0,
    signal: null,
    stdout: `${file}: sound\n    format 1, revision 3, 2 rows, ${bytes} bytes\n    history since revision 0, 2 rows\n`,
    stderr: '',
    timedOut: false,
  });
  const made = await secgroupd('backup', backup, '--store', file);
  const backupBytes = statSync(backup).size.toLocaleString('en-US');
  assert.deepEqual(
    [made.code, made.stdout, made.stderr],
    [
      0,
      `${backup}: a backup, and sound\n    format 1, revision 3, 2 rows, ${backupBytes} bytes\n`,
      '',
    ],
  );
  assert.equal(statSync(backup).mode & 0o777, 0o600);
  const again = await secgroupd('backup', backup, '--store', file);
  assert.deepEqual(
    [again.code, again.stdout, again.stderr],
    [1, '', `${backup} is there already; name a file that is not there yet\n`],
  );
  const checked = await secgroupd('check', '--store', backup, '--json');
  assert.equal(checked.code, 0, checked.stderr);
  assert.deepEqual(JSON.parse(checked.stdout), {
    file: backup,
    format: 1,
    revision: 3,
    compactedRevision: 0,
    rows: 2,
    formerRows: 2,
    bytes: statSync(backup).size,
    problems: [],
  });
  // Nothing of these is left, and the store goes on.
  assert.deepEqual(readdirSync(folder).sort(), [
    'backup.db',
    'store.db',
    'store.db-news',
    'store.db-shm',
    'store.db-wal',
  ]);
  assert.equal(await commit(store, { puts: putsOf({ d: '4' }) }), 4);
  await store.close();
});

test('a restore brings back rows, goes on above all revisions, and keeps what was there', async (t) => {
  const folder = makeFolder(t);
  const [file, backup] = [join(folder, 'store.db'), join(folder, 'backup.db')];
  await writeStore(file);
  assert.equal((await secgroupd('backup', backup, '--store', file)).code, 0);
  await writeStore(file);
  const restored = await secgroupd('restore', backup, '--store', file);
  const kept = readdirSync(folder).find((name) => name.includes('before-restore'))!;
  assert.match(kept, /^store\.db\.before-restore-\d{8}T\d{6}Z$/);
  assert.deepEqual(
    [restored.code, restored.stdout, restored.stderr],
    [
      0,
      `${file}: restored, 2 rows\n    it goes on at revision 7\n    what was there before: ${join(folder, kept)}\n`,
      '',
    ],
  );
  assert.equal(statSync(file).mode & 0o777, 0o660);
  const old = await secgroupd('check', '--store', join(folder, kept), '--json');
  assert.equal((JSON.parse(old.stdout) as { revision: number }).revision, 6);
  const store = await openSqliteStore(file);
  t.after(() => store.close());
  const { revision, rows } = await store.read('');
  assert.deepEqual(
    [revision, ...rows.map((row) => `${row.key}=${row.value} ${row.revision}`)],
    [7, 'a=2 2', 'c=3 3'],
  );
  await assert.rejects(store.read('', 6), { name: 'CompactedError' });
  assert.equal(await commit(store, { puts: putsOf({ d: '4' }) }), 8);
  assert.equal((await secgroupd('check', '--store', file)).code, 0);
});

test('a restore to a place without a store goes far above the backup', async (t) => {
  const folder = makeFolder(t);
  const [file, backup] = [join(folder, 'store.db'), join(folder, 'backup.db')];
  await writeStore(file);
  await secgroupd('backup', backup, '--store', file);
  const other = join(folder, 'other', 'store.db');
  const restored = await secgroupd('restore', backup, '--store', other, '--json');
  assert.deepEqual(JSON.parse(restored.stdout), { file: other, rows: 2, revision: 1_000_000_003 });
  assert.equal(statSync(join(folder, 'other')).mode & 0o7777, 0o2770);
});

test('a restore is refused while somebody has the store open, whole or damaged', async (t) => {
  const folder = makeFolder(t);
  const [file, backup] = [join(folder, 'store.db'), join(folder, 'backup.db')];
  const store = await makeStore(file);
  t.after(() => store.close());
  await secgroupd('backup', backup, '--store', file);
  const refusal = `the store ${file} is in use; stop secgroupd and whoever else has it open (fuser -v ${file}), then restore\n`;
  const refused = await secgroupd('restore', backup, '--store', file);
  assert.deepEqual([refused.code, refused.stdout, refused.stderr], [1, '', refusal]);
  const asJson = await secgroupd('restore', backup, '--store', file, '--json');
  assert.deepEqual(JSON.parse(asJson.stdout), {
    error: { fault: 'busy', message: refusal.trimEnd() },
  });
  // The file is written by its name, so that no lock of this process is lost.
  const spoil = `dd if=/dev/zero of=${file} bs=100 count=1 conv=notrunc status=none`;
  await run('sh', ['-c', spoil]);
  const damaged = await secgroupd('restore', backup, '--store', file);
  assert.deepEqual([damaged.code, damaged.stdout, damaged.stderr], [1, '', refusal]);
  assert.equal(await commit(store, { puts: putsOf({ d: '4' }) }), 4);
});

test('a damaged store is replaced and kept, and its -wal is not played into the new one', async (t) => {
  const folder = makeFolder(t);
  const [file, backup] = [join(folder, 'store.db'), join(folder, 'backup.db')];
  await writeStore(file);
  await secgroupd('backup', backup, '--store', file);
  writeFileSync(file, 'x'.repeat(8192));
  writeFileSync(`${file}-wal`, 'what was committed last');
  const checked = await secgroupd('check', '--store', file);
  assert.deepEqual(
    [checked.code, checked.stdout, checked.stderr],
    [
      1,
      '',
      `the store ${file}: file is not a database; name another file, or bring back a backup with 'secgroupd store restore'\n`,
    ],
  );
  const restored = await secgroupd('restore', backup, '--store', file, '--json');
  const { rows, revision, kept } = JSON.parse(restored.stdout) as Record<string, unknown>;
  assert.deepEqual([rows, revision], [2, 1_000_000_003]);
  assert.equal(readFileSync(String(kept), 'utf8'), 'x'.repeat(8192));
  assert.equal((await secgroupd('check', '--store', file)).code, 0);
});

test('a backup that is none, or is unsound, is not restored', async (t) => {
  const folder = makeFolder(t);
  const [file, backup] = [join(folder, 'store.db'), join(folder, 'backup.db')];
  await writeStore(file);
  await secgroupd('backup', backup, '--store', file);
  const { code, stdout, stderr } = await run('sqlite3', [
    backup,
    "DELETE FROM revisions WHERE revision = 2; UPDATE current_rows SET revision = 9 WHERE key = 'a'",
  ]).catch(() => ({ code: null, stdout: '', stderr: 'no sqlite3' }));
  if (code === null) {
    t.skip('needs sqlite3');
    return;
  }
  assert.deepEqual([code, stdout, stderr], [0, '', '']);
  const before = readFileSync(file);
  const refused = await secgroupd('restore', backup, '--store', file);
  assert.equal(refused.code, 1);
  assert.equal(
    refused.stderr,
    `the store ${backup}: rows with revisions that can not be: a; ` +
      'former rows whose next value is missing, or is there though they were deleted: a; ' +
      'revisions of the history that are missing, or too many: 2 in place of 3; ' +
      "stop what uses it, look with 'secgroupd store check', and bring back a backup with 'secgroupd store restore'\n",
  );
  const told = await secgroupd('check', '--store', backup);
  assert.deepEqual(
    [told.code, ...told.stdout.trimEnd().split('\n')],
    [
      1,
      `${backup}: rows with revisions that can not be: a [row-revisions]`,
      `${backup}: former rows whose next value is missing, or is there though they were deleted: a [lost-value]`,
      `${backup}: revisions of the history that are missing, or too many: 2 in place of 3 [lost-revision]`,
      "    bring back a backup with 'secgroupd store restore'; this one is kept",
    ],
  );
  assert.deepEqual(readFileSync(file), before);
  // A reader leaves the -wal and the -shm.
  const others = readdirSync(folder).filter((name) => !/-(wal|shm|news)$/.test(name));
  assert.deepEqual(others.sort(), ['backup.db', 'store.db']);
});

test('wrong arguments end with 2', async () => {
  assert.equal((await secgroupd('restore')).code, 2);
  assert.equal((await secgroupd('check', 'file')).code, 2);
  assert.equal((await secgroupd('mend')).code, 2);
  assert.equal((await secgroupd('check', '--help')).code, 0);
});

/** Where flow logs go: files, their rotation, disks and readers that take no more, and how many records there may be. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Rotation } from '../../src/config/flow-log-format.ts';
import { FlowLog } from '../../src/flow-logs/flow-log.ts';
import { RECORDS_MAX, RecordTable } from '../../src/flow-logs/flow-log-table.ts';
import {
  openFileWriter,
  openStdoutWriter,
  WAITING_MAX,
  type LineWriter,
} from '../../src/flow-logs/flow-log-writer.ts';
import { mustRun, run } from '../support/process.ts';
import { requireRoot, requireTools } from '../support/require.ts';
import { CONFIG, formatOf, OUT, WEB } from './flow-log-config.ts';
import { until } from '../support/until.ts';

describe('files', () => {
  function folderOf(t: TestContext): string {
    const folder = mkdtempSync(join(tmpdir(), 'sgt-flow-log-'));
    t.after(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    return folder;
  }

  const ROTATION = { sizeMb: 1, keep: 2, gzip: false };

  /** A writer, and what it told. */
  function openIn(
    file: string,
    rotation: Rotation = ROTATION,
  ): { writer: LineWriter; troubles: string[]; write: (...lines: string[]) => Promise<number> } {
    const troubles: string[] = [];
    const writer = openFileWriter(file, rotation, (message) => troubles.push(message));
    const write = (...lines: string[]): Promise<number> =>
      new Promise((resolve) => writer.write(lines, resolve));
    return { writer, troubles, write };
  }

  test('are put aside at their size, compressed, and no more kept than asked for', async (t) => {
    const folder = folderOf(t);
    const { writer, troubles, write } = openIn(join(folder, 'flow.log'), {
      ...ROTATION,
      gzip: true,
    });
    const line = 'x'.repeat(1023);
    for (let i = 0; i < 4; i++)
      assert.equal(await write(...Array.from({ length: 1100 }, () => line)), 1100);
    await writer.close();
    assert.deepEqual(readdirSync(folder).sort(), ['flow.log', 'flow.log.1.gz', 'flow.log.2.gz']);
    const old = gunzipSync(readFileSync(join(folder, 'flow.log.1.gz'))).toString();
    assert.equal(old.startsWith(`${line}\n`), true);
    assert.deepEqual(troubles, []);
  });

  test('are for their owner, and for their group to read', async (t) => {
    const file = join(folderOf(t), 'flow.log');
    const umask = process.umask(0);
    t.after(() => process.umask(umask));
    const { writer, write } = openIn(file);
    await write('one');
    await writer.close();
    assert.equal(statSync(file).mode & 0o777, 0o640);
  });

  test('what is no file is told, its lines are lost, and nothing waits', async (t) => {
    const folder = folderOf(t);
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    mkdirSync(join(folder, 'folder'));
    for (const [file, what] of [
      ['/dev/full', 'a device'],
      [join(folder, 'fifo'), 'a pipe'],
      [join(folder, 'folder'), 'a directory'],
    ]) {
      const { writer, troubles, write } = openIn(file);
      assert.equal(await write('lost', 'lost'), 0);
      assert.equal(await write('lost'), 0);
      assert.deepEqual(troubles, Array(2).fill(`${file} is ${what}, not a file`));
      await writer.close();
    }
    // It comes back when it is a file.
    const file = join(folder, 'folder');
    const { writer, write } = openIn(file);
    assert.equal(await write('lost'), 0);
    rmdirSync(file);
    assert.equal(await write('there'), 1);
    await writer.close();
    assert.equal(readFileSync(file, 'utf8'), 'there\n');
  });

  test('it is opened before there are lines, so that trouble is told at once', async (t) => {
    const folder = folderOf(t);
    mkdirSync(join(folder, 'folder'));
    const bad = openIn(join(folder, 'folder'));
    bad.writer.open();
    await bad.writer.close();
    assert.deepEqual(bad.troubles, [`${join(folder, 'folder')} is a directory, not a file`]);
    const good = openIn(join(folder, 'flow.log'));
    good.writer.open();
    assert.equal(await good.write('first'), 1);
    await good.writer.close();
    assert.deepEqual(good.troubles, []);
    assert.equal(readFileSync(join(folder, 'flow.log'), 'utf8'), 'first\n');
  });

  test('one that was moved away, removed or replaced is opened by its name', async (t) => {
    const folder = folderOf(t);
    const file = join(folder, 'flow.log');
    const { writer, troubles, write } = openIn(file);
    const read = (name = 'flow.log'): string => readFileSync(join(folder, name), 'utf8');
    await write('1');
    renameSync(file, join(folder, 'old'));
    assert.equal(await write('2'), 1);
    assert.deepEqual([read('old'), read()], ['1\n', '2\n']);
    rmSync(file);
    assert.equal(await write('3'), 1);
    assert.equal(read(), '3\n');
    writeFileSync(join(folder, 'other'), 'not ours');
    renameSync(join(folder, 'other'), file);
    await write('4');
    assert.equal(read(), 'not ours\n4\n');
    rmSync(folder, { recursive: true });
    await write('5');
    assert.equal(read(), '5\n', 'its folder is made again');
    const opens = (): string[] =>
      readdirSync('/proc/self/fd').flatMap((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder) ? [fd] : [];
        } catch {
          return [];
        }
      });
    assert.equal(opens().length, 1, 'the old ones are closed');
    writer.reopen();
    await write('6');
    assert.equal(read(), '5\n6\n');
    await writer.close();
    assert.equal(opens().length, 0);
    assert.deepEqual(troubles, []);
  });

  test('a disk or a reader that is too slow costs lines, which are counted', async () => {
    const finish: (() => void)[] = [];
    let taken = '';
    const slow = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        taken = chunk.toString('latin1', Math.max(0, chunk.length - 200));
        finish.push(done);
      },
    });
    const log = new FlowLog(CONFIG, openStdoutWriter(slow), 0);
    const about = new Map([[1, { id: 'eni-1', name: 'web', primary4: WEB, primary6: undefined }]]);
    const endInterval = (): void => {
      log.beginClosing();
      log.close(about, 1);
    };
    endInterval();
    assert.deepEqual(log.counts, { name: 'all', written: 0, lost: 0, skipped: 0 });
    slow.write('x'.repeat(WAITING_MAX));
    endInterval();
    assert.equal(log.counts.lost, 1, 'there is no room for a line more');
    while (finish.length > 0) {
      finish.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(log.counts, { name: 'all', written: 1, lost: 1, skipped: 0 });
    endInterval();
    finish.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(log.counts.written, 2);
    assert.match(taken, /SKIPDATA\n$/);
  });

  test('a file that takes no more is bounded as well', async (t) => {
    const { writer, troubles, write } = openIn(join(folderOf(t), 'flow.log'));
    const line = 'x'.repeat(WAITING_MAX - 10);
    const first = write(line);
    assert.equal(await write('y'.repeat(20)), 0, 'it would be too much with what waits');
    assert.equal(await first, 1);
    assert.equal(await write('z'), 1);
    await writer.close();
    assert.deepEqual(troubles, []);
  });

  test('a full disk costs lines, which are told as SKIPDATA; it goes on when there is room', async (t) => {
    if (!requireRoot(t) || !requireTools(t, 'mount', 'umount')) return;
    const folder = mkdtempSync(join(tmpdir(), 'sgt-flow-log-'));
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'sgt', folder]);
    if (mounted.code !== 0) {
      rmSync(folder, { recursive: true });
      t.skip(`no tmpfs can be mounted here: ${mounted.stderr.trim()}`);
      return;
    }
    t.after(async () => {
      await mustRun('umount', [folder]);
      rmSync(folder, { recursive: true });
    });
    const file = join(folder, 'flow.log');
    writeFileSync(join(folder, 'filler'), Buffer.alloc(60 * 1024));
    const config = { ...CONFIG, file, format: formatOf('${srcport} ${log-status}') };
    const { writer, troubles } = openIn(file, config.rotation);
    const log = new FlowLog(config, writer, 0);
    const linesIn = (): number => readFileSync(file, 'utf8').split('\n').length - 1;
    const about = new Map([[1, { id: 'eni-1', name: 'web', primary4: WEB, primary6: undefined }]]);
    const key = {
      family: 4,
      direction: 'ingress',
      srcaddr: OUT,
      dstaddr: WEB,
      dstport: 22,
      protocol: 6,
      action: 'ACCEPT',
      ruleId: undefined,
      groupId: undefined,
      dropReason: undefined,
      isAudited: undefined,
      isRemoteLocal: false,
    } as const;
    const sum = { packets: 1, bytes: 40, tcpFlags: 0, startMs: 0, endMs: 0 };
    const endInterval = (records: number): void => {
      for (let srcport = 0; srcport < records; srcport++)
        log.add({ port: 1, key: { ...key, srcport }, sum }, false);
      log.beginClosing();
      log.close(about, 1);
    };
    endInterval(5000);
    await until('something is lost', () => log.counts.lost > 0);
    assert.match(troubles[0], /ENOSPC/);
    const { written, lost } = log.counts;
    assert.equal(written + lost, 5000);
    assert.ok(written > 0, 'of the lines some had room');
    assert.equal(written, linesIn(), 'what is counted is what is there');
    endInterval(5);
    await until('all are written or lost', () => log.counts.written + log.counts.lost === 5006);
    assert.equal(log.counts.lost, lost + 6, 'with the SKIPDATA');
    rmSync(join(folder, 'filler'));
    endInterval(1);
    await log.end();
    assert.match(readFileSync(file, 'utf8'), /\n0 OK\n- SKIPDATA\n$/);
    // The line that was cut short has its end now.
    assert.equal(log.counts.written, written + 2);
    assert.ok(linesIn() - log.counts.written <= 1);
  });

  test('a folder that is not there is made', async (t) => {
    const file = join(folderOf(t), 'a', 'b', 'flow.log');
    const { writer, troubles, write } = openIn(file);
    assert.equal(await write('one', 'two'), 2);
    await writer.close();
    assert.equal(readFileSync(file, 'utf8'), 'one\ntwo\n');
    assert.deepEqual(troubles, []);
  });
});

describe('records of an interval', () => {
  const KEY = {
    family: 4,
    direction: 'ingress',
    srcaddr: OUT,
    dstaddr: WEB,
    dstport: 22,
    protocol: 6,
    action: 'ACCEPT',
    ruleId: undefined,
    groupId: undefined,
    dropReason: undefined,
    isAudited: undefined,
    isRemoteLocal: false,
  } as const;

  test('are bounded; what finds no room is counted, and the interface told as skipped', () => {
    const table = new RecordTable();
    const sum = { packets: 1, bytes: 40, tcpFlags: 0, startMs: 0, endMs: 0 };
    for (let i = 0; i < RECORDS_MAX; i++)
      table.add(1, { ...KEY, srcport: i & 0xffff, dstport: i >>> 16 }, { ...sum });
    assert.equal(table.skipped.size, 0);
    table.add(2, { ...KEY, srcport: 1 }, { ...sum });
    table.add(2, { ...KEY, srcport: 1 }, { ...sum });
    assert.deepEqual([[...table.skipped], table.refused], [[2], 2]);
    assert.deepEqual([...table.seen], [1, 2]);
    table.add(1, { ...KEY, srcport: 0, dstport: 0 }, { ...sum });
    assert.equal(table.refused, 2, 'those that are there go on being added to');
    assert.equal([...table.entries()].length, RECORDS_MAX);
    assert.equal([...table.entries()][0].record.packets, 2);
  });

  test('begin with the earliest start and end with the latest end, in whatever order they come', () => {
    const table = new RecordTable();
    const sum = { packets: 1, bytes: 40, tcpFlags: 0 };
    for (const [startMs, endMs] of [
      [5000, 6000],
      [2000, 3000],
      [7000, 8000],
      [4000, 4000],
    ])
      table.add(1, { ...KEY, srcport: 1 }, { ...sum, startMs, endMs });
    const [{ record }] = [...table.entries()];
    assert.deepEqual([record.startMs, record.endMs, record.packets], [2000, 8000, 4]);
  });
});

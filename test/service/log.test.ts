/** The log: what floods is cut short and counted, and the journal gets fields. */
import assert from 'node:assert/strict';
import { fstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isJournalStream, journalEntry, journalStream } from '../../src/service/journal.ts';
import { createLog, LogLimit } from '../../src/service/log.ts';
import { loadNative, type Native } from '../../src/ports/native.ts';
import { start } from '../support/process.ts';
import { requireTools } from '../support/require.ts';

const WARN = 40;
const FATAL = 60;

test('of lines of one kind ten pass in ten seconds; the rest is counted', () => {
  const limit = new LogLimit();
  const admitted = Array.from({ length: 25 }, (_, i) => limit.admit(WARN, 'flood', i));
  assert.deepEqual(admitted, [
    ...Array<number>(10).fill(0),
    ...Array<undefined>(15).fill(undefined),
  ]);
  assert.equal(limit.admit(WARN, 'another', 30), 0);
  assert.equal(limit.admit(30, 'flood', 30), 0, 'another level is another kind');
  for (let i = 0; i < 50; i++) assert.equal(limit.admit(FATAL, 'the end', i), 0);
  assert.deepEqual(limit.takeOverdue(9_999), []);
  // Told with the next line of the kind once the ten seconds are over …
  assert.equal(limit.admit(WARN, 'flood', 10_000), 15);
  assert.equal(limit.admit(WARN, 'flood', 10_001), 0);
  // … or by themselves, once.
  for (let i = 0; i < 12; i++) limit.admit(WARN, 'flood', 10_002);
  assert.deepEqual(limit.takeOverdue(20_000), [{ text: 'flood', suppressed: 4 }]);
  assert.deepEqual(limit.takeOverdue(30_000), []);
});

test('a stranger who makes up texts costs no more memory than a few hundred', () => {
  const limit = new LogLimit();
  for (let i = 0; i < 5000; i++) limit.admit(WARN, `text ${i}`, 0);
  for (let i = 0; i < 20; i++) limit.admit(WARN, 'text 4999', 0);
  assert.deepEqual(limit.takeOverdue(10_000), [{ text: 'text 4999', suppressed: 11 }]);
});

test('an entry has the message with its story, the priority, and a field a property', () => {
  const line = JSON.stringify({
    level: 40,
    time: '2026-01-01T00:00:00.000Z',
    device: 'eth0',
    maxFlows: 16,
    err: { type: 'Error', message: 'it broke', stack: 'Error: it broke\n    at here' },
    offloads: { tso4: true },
    msg: 'device opened',
  });
  const stack = '{"type":"Error","message":"it broke","stack":"Error: it broke\\n    at here"}';
  assert.equal(
    journalEntry(line).toString(),
    [
      'MESSAGE=device opened device=eth0 maxFlows=16 err="it broke" offloads="{\\"tso4\\":true}"',
      'PRIORITY=4',
      'SYSLOG_IDENTIFIER=secgroupd',
      'SECGROUPD_DEVICE=eth0',
      'SECGROUPD_MAX_FLOWS=16',
      `SECGROUPD_ERR=${stack}`,
      'SECGROUPD_OFFLOADS={"tso4":true}',
      '',
    ].join('\n'),
  );
  const priorities = [10, 20, 30, 40, 50, 60].map(
    (level) =>
      /PRIORITY=(\d)/.exec(journalEntry(JSON.stringify({ level, msg: '' })).toString())![1],
  );
  assert.deepEqual(priorities, ['7', '7', '6', '4', '3', '2']);
});

test('no value can pass for another field', () => {
  const entry = journalEntry(JSON.stringify({ level: 30, msg: 'a\nPRIORITY=0', 'k\ney=': 'v' }));
  // MESSAGE, a line break, the length in 8 bytes, the value: 13 bytes of message, a blank, the key and its value.
  assert.equal(entry.toString('latin1', 0, 8), 'MESSAGE\n');
  const length = Number(entry.readBigUInt64LE(8));
  assert.equal(entry.toString('latin1', 16, 16 + length), 'a\nPRIORITY=0 k\ney==v');
  assert.equal(
    entry.toString('latin1', 16 + length),
    '\nPRIORITY=6\nSYSLOG_IDENTIFIER=secgroupd\nSECGROUPD_K_EY_=v\n',
  );
});

test('a huge value is cut so that the entry fits a datagram', () => {
  const entry = journalEntry(
    JSON.stringify({ level: 30, msg: 'm', errors: ['x'.repeat(1 << 20)] }),
  );
  assert.ok(entry.length < 40_000, `${entry.length} bytes`);
});

test('the journal is used where JOURNAL_STREAM names the stream, and only there', () => {
  const { dev, ino } = fstatSync(2);
  assert.equal(isJournalStream({ JOURNAL_STREAM: `${dev}:${ino}` }, 2), true);
  assert.equal(isJournalStream({ JOURNAL_STREAM: `${dev}:${ino + 1}` }, 2), false);
  assert.equal(isJournalStream({}, 2), false);
  assert.equal(isJournalStream({ JOURNAL_STREAM: `${dev}:${ino}` }, 1 << 20), false);
});

test('an entry arrives at the socket; without one the line goes where it would have gone', async (t) => {
  if (!requireTools(t, 'python3')) return;
  const native: Native = loadNative();
  const folder = mkdtempSync(join(tmpdir(), 'sgt-journal-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'socket');
  const fallen: string[] = [];
  const stream = journalStream(native, (line) => fallen.push(line), socket);
  const line = '{"level":30,"msg":"hello"}\n';
  stream.write(line);
  assert.deepEqual(fallen, [line]);
  const receiver = await start('python3', [
    '-c',
    'import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint("ready", flush=True)\nprint(s.recv(65536))',
    socket,
  ]);
  t.after(() => receiver.stop('SIGKILL'));
  await receiver.waitFor(/ready/);
  stream.write(line);
  const { stdout } = await receiver.ended;
  assert.equal(stdout, "ready\nb'MESSAGE=hello\\nPRIORITY=6\\nSYSLOG_IDENTIFIER=secgroupd\\n'\n");
  assert.equal(fallen.length, 1);
});

test('the log itself is limited, each text by itself', async (t) => {
  const script = `
    import { createLog } from ${JSON.stringify(new URL('../../src/service/log.js', import.meta.url).href)};
    const log = createLog({}, {});
    for (let i = 0; i < 1000; i++) log.warn({ i }, 'flood');
    log.error(new Error('an error by itself'));
    log.fatal('the end');
  `;
  assert.equal(typeof createLog, 'function');
  const running = await start(process.execPath, ['--input-type=module', '-e', script]);
  t.after(() => running.stop('SIGKILL'));
  const { stderr } = await running.ended;
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string; i?: number });
  assert.deepEqual(
    lines.map(({ msg, i }) => (i === undefined ? msg : `${msg} ${i}`)),
    [...Array.from({ length: 10 }, (_, i) => `flood ${i}`), 'an error by itself', 'the end'],
  );
});

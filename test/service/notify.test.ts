/** What is said to a service manager, and that it arrives, descriptors included. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pino, type Logger } from 'pino';
import { Notifier, startWatchdog, takeServiceEnvironment } from '../../src/service/notify.ts';
import { loadNative, type Native } from '../../src/ports/native.ts';
import { start, type Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';

const quiet: Logger = pino({ level: 'silent' });
const none = new Int32Array(0);

function recorder(): { readonly native: Native; readonly sent: string[] } {
  const sent: string[] = [];
  const native = {
    sendDatagram: (path: string, payload: Uint8Array, fds: Int32Array) => {
      sent.push(`${path} ${Buffer.from(payload).toString().replaceAll('\n', ' ')} [${fds.join()}]`);
    },
  } as unknown as Native;
  return { native, sent };
}

test('what systemd says in the environment is taken out of it', () => {
  const environment: NodeJS.ProcessEnv = {
    HOME: '/',
    NOTIFY_SOCKET: '@abstract',
    WATCHDOG_USEC: '2500000',
    WATCHDOG_PID: '77',
    LISTEN_PID: '77',
    LISTEN_FDS: '3',
    LISTEN_FDNAMES: 'tun-a:tap-b',
    STATE_DIRECTORY: '/var/lib/secgroupd:/var/lib/other',
  };
  assert.deepEqual(takeServiceEnvironment(environment, 77), {
    notifySocket: '@abstract',
    watchdogMs: 2500,
    stored: [
      { fd: 3, name: 'tun-a' },
      { fd: 4, name: 'tap-b' },
      { fd: 5, name: '' },
    ],
    stateDirectory: '/var/lib/secgroupd',
  });
  assert.deepEqual(Object.keys(environment), ['HOME', 'STATE_DIRECTORY']);
});

test('what is meant for another process, or makes no sense, is not believed', () => {
  const nothing = {
    notifySocket: undefined,
    watchdogMs: undefined,
    stored: [],
    stateDirectory: undefined,
  };
  const cases: readonly NodeJS.ProcessEnv[] = [
    {},
    { WATCHDOG_USEC: '1000', WATCHDOG_PID: '78', LISTEN_PID: '78', LISTEN_FDS: '1' },
    { LISTEN_FDS: '1' },
    { LISTEN_PID: '77', LISTEN_FDS: '-1' },
    { LISTEN_PID: '77', LISTEN_FDS: '1e9' },
    { LISTEN_PID: '77', LISTEN_FDS: 'many' },
    { WATCHDOG_USEC: 'soon', NOTIFY_SOCKET: 'vsock:2:1234' },
  ];
  for (const environment of cases)
    assert.deepEqual(
      takeServiceEnvironment({ ...environment }, 77),
      nothing,
      JSON.stringify(environment),
    );
  const forAnybody = takeServiceEnvironment({ WATCHDOG_USEC: '1000' }, 77);
  assert.equal(forAnybody.watchdogMs, 1);
});

test('messages are as sd_notify(3) has them; a status is one line', () => {
  const { native, sent } = recorder();
  const notifier = new Notifier(native, '/run/n', quiet);
  notifier.ready('well\nSTOPPING=1');
  notifier.status('so so');
  notifier.stopping();
  notifier.beat();
  notifier.extendTimeout(1500);
  notifier.storeFd('tun-1', 9);
  notifier.removeFd('tun-1');
  assert.deepEqual(sent, [
    '/run/n READY=1 STATUS=well STOPPING=1 []',
    '/run/n STATUS=so so []',
    '/run/n STOPPING=1 STATUS=stopping []',
    '/run/n WATCHDOG=1 []',
    '/run/n EXTEND_TIMEOUT_USEC=1500000 []',
    '/run/n FDSTORE=1 FDNAME=tun-1 [9]',
    '/run/n FDSTOREREMOVE=1 FDNAME=tun-1 []',
  ]);
  sent.length = 0;
  const beforeUsec = process.hrtime.bigint() / 1000n;
  notifier.reloading();
  const usec = BigInt(/MONOTONIC_USEC=(\d+) /.exec(sent[0])![1]);
  const afterUsec = process.hrtime.bigint() / 1000n;
  assert.ok(beforeUsec <= usec && usec <= afterUsec, `${beforeUsec} ${usec} ${afterUsec}`);
});

test('without a service manager nothing is said, and a deaf one is got over', () => {
  const { native, sent } = recorder();
  const alone = new Notifier(native, undefined, quiet);
  alone.ready('well');
  alone.storeFd('tun-1', 9);
  assert.deepEqual([sent, alone.isConnected], [[], false]);
  new Notifier(loadNative(), '/nowhere/notify', quiet).ready('well');
});

test('the watchdog is fed for as long as the loop goes round', async (t) => {
  const { native, sent } = recorder();
  let pulse = 1;
  let isStuck = false;
  let looks = 0;
  const watchdog = startWatchdog({
    notifier: new Notifier(native, '/n', quiet),
    log: quiet,
    intervalMs: 40,
    pulse: () => pulse,
    nudge: () => {
      looks++;
      if (!isStuck) pulse++;
    },
  });
  t.after(watchdog.stop);
  await until('three beats', () => sent.length >= 3);
  assert.deepEqual([...new Set(sent)], ['/n WATCHDOG=1 []']);
  isStuck = true;
  // The next look is at what went on before.
  const before = looks;
  await until('two looks', () => looks >= before + 2);
  const stuckAt = sent.length;
  await until('five looks', () => looks >= before + 5);
  assert.equal(sent.length, stuckAt);
  isStuck = false;
  await until('it is fed again', () => sent.length > stuckAt);
});

/** Receives one datagram and reads the file whose descriptor came with it. */
const RECEIVER = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@", "\\0", 1))
print("ready", flush=True)
data, control, _, _ = s.recvmsg(65536, 1024)
fds = array.array("i")
for _, _, payload in control:
    fds.frombytes(payload)
print(repr(data), [os.pread(fd, 100, 0).decode() for fd in fds], flush=True)
`;

async function receive(t: TestContext, path: string): Promise<Running> {
  const receiver = await start('python3', ['-c', RECEIVER, path]);
  t.after(() => receiver.stop('SIGKILL'));
  await receiver.waitFor(/ready/);
  return receiver;
}

test('a datagram arrives at a path and at an abstract name, with copies of descriptors', async (t) => {
  if (!requireTools(t, 'python3')) return;
  const native = loadNative();
  const folder = mkdtempSync(join(tmpdir(), 'sgt-notify-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'a'), 'first');
  writeFileSync(join(folder, 'b'), 'second');
  for (const path of [join(folder, 'socket'), `@sgt-notify-${process.pid}`]) {
    const receiver = await receive(t, path);
    const fds = ['a', 'b'].map((name) => openSync(join(folder, name), 'r'));
    native.sendDatagram(path, Buffer.from('FDSTORE=1\nX=\0'), Int32Array.from(fds));
    fds.forEach((fd) => closeSync(fd));
    const { stdout } = await receiver.ended;
    assert.equal(stdout, "ready\nb'FDSTORE=1\\nX=\\x00' ['first', 'second']\n");
  }
});

test('a datagram that can not be sent says why', () => {
  const native = loadNative();
  const send = (path: string, fds: Int32Array = none): (() => void) => {
    return () => native.sendDatagram(path, Buffer.from('x'), fds);
  };
  assert.throws(send('/nowhere/socket'), {
    message:
      'ENOENT: 1 bytes cannot be sent to /nowhere/socket: No such file or directory (sendmsg)',
    code: 'ENOENT',
  });
  assert.throws(send(`@sgt-nobody-${process.pid}`), { code: 'ECONNREFUSED' });
  assert.throws(send('/nowhere', Int32Array.of(1 << 20)), { code: 'EBADF' });
  assert.throws(send('x'.repeat(108)), RangeError);
  assert.throws(send('/nowhere', new Int32Array(17)), {
    name: 'RangeError',
    message: 'fds must be at most 16 descriptors',
  });
  assert.throws(() => native.sendDatagram('/x', 'text' as unknown as Uint8Array, none), TypeError);
});

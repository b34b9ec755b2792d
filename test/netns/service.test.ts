/** The daemon as a service: what it reports to a service manager, and when, and that a stuck packet loop is noticed. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from '../support/netns.ts';
import { start } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { ServiceManager } from '../support/service-manager.ts';
import { until } from '../support/until.ts';
import { canRun, MAIN, makeNamespaces, ping, temporaryFile } from './world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const WATCHDOG_MS = 400;

interface World {
  readonly a: Netns;
  readonly b: Netns;
  readonly file: string;
  readonly text: string;
  readonly service: ServiceManager;
}

async function makeWorld(t: TestContext, environment: NodeJS.ProcessEnv = {}): Promise<World> {
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const text = `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }
`;
  const file = temporaryFile(t, 'secgroupd.yaml', text);
  const command = [process.execPath, MAIN, '--config', file];
  return { a, b, file, text, service: ServiceManager.make(t, command, environment) };
}

function ready(t: TestContext): boolean {
  return canRun(t) && requireTools(t, 'python3');
}

test('READY=1 is said when packets flow, and not before', async (t) => {
  if (!ready(t)) return;
  const { a, service } = await makeWorld(t);
  await service.startReady();
  assert.equal((await ping(a, B)).code, 0);
  const [storedA, storedB, said] = service.notifications;
  assert.deepEqual([storedA.said['FDSTORE'], storedA.fds, storedB.fds], ['1', 1, 1]);
  assert.deepEqual(said.said, {
    READY: '1',
    STATUS: 'packets flow: 2 interfaces, 1 group, policy generation 1',
  });
  service.signal('TERM');
  assert.deepEqual((await service.heard('STOPPING')).said, { STOPPING: '1', STATUS: 'stopping' });
  assert.equal(await service.ended(), 0);
});

test('a configuration that is wrong ends the start without READY=1', async (t) => {
  if (!ready(t)) return;
  const { file, service } = await makeWorld(t);
  writeFileSync(file, 'interfaces: { a: 7 }\n');
  await service.start();
  assert.equal(await service.ended(), 1);
  assert.deepEqual(service.notifications, []);
});

test('SIGHUP: RELOADING=1, then READY=1 whether it was taken or refused', async (t) => {
  if (!ready(t)) return;
  const { a, file, text, service } = await makeWorld(t);
  await service.startReady();

  writeFileSync(file, `securityGroups: { more: {} }\n${text}`);
  service.signal('HUP');
  const { said } = await service.heard('RELOADING', '1');
  assert.match(said['MONOTONIC_USEC'], /^\d+$/);
  assert.equal(
    (await service.heard('READY', '1')).said['STATUS'],
    'packets flow: 2 interfaces, 2 groups, policy generation 2',
  );

  writeFileSync(file, 'nonsense: [\n');
  service.signal('HUP');
  await service.heard('RELOADING', '1');
  assert.match(
    (await service.heard('READY', '1')).said['STATUS'],
    /^reload refused, nothing changed: .*secgroupd\.yaml:2:1: error: not valid YAML: .*; packets flow: 2 interfaces, 2 groups, policy generation 2$/,
  );

  // The file may be gone altogether: what ran keeps running.
  rmSync(file);
  service.signal('HUP');
  assert.match(
    (await service.heard('READY', '1')).said['STATUS'],
    /^reload refused, nothing changed: .*ENOENT/,
  );
  await service.wrote(/the file can't be read: ENOENT/);
  assert.equal((await ping(a, B)).code, 0);
});

test('interfaces that come and go come into the store and leave it', async (t) => {
  if (!ready(t)) return;
  const { a, file, text, service } = await makeWorld(t);
  await service.startReady();
  const names = await service.names();
  const more = `  c: { device: { netns: ${a.path}, name: eth1 }, addresses: [10.0.0.3] }\n`;
  for (const [configuration, count] of [
    [`${text}${more}`, 3],
    [text, 2],
  ] as const) {
    writeFileSync(file, configuration);
    service.signal('HUP');
    await service.heard('READY', '1');
    const now = await service.names();
    assert.deepEqual([now.length, now.slice(0, 2)], [count, names]);
  }
});

test('the watchdog is fed while the loop is idle, and not while it is stuck', async (t) => {
  if (!ready(t)) return;
  if (process.arch !== 'x64') {
    t.skip('knows the packet loop by a system call that only x86-64 has');
    return;
  }
  const { service } = await makeWorld(t, { WATCHDOG_USEC: String(1000 * WATCHDOG_MS) });
  const pid = await service.startReady();
  const beats = (): number => service.notifications.filter(({ said }) => said['WATCHDOG']).length;
  await sleep(4 * WATCHDOG_MS);
  // Twice an interval, on a busy machine less.
  assert.ok(beats() >= 4, `${beats()} beats`);

  const thread = await findLoopThread(pid);
  const holder = await start('python3', ['-c', HOLD_THREAD, String(thread)]);
  t.after(() => holder.stop('SIGKILL'));
  await holder.waitFor(/held/);
  await sleep(WATCHDOG_MS);
  const stuckAt = beats();
  await sleep(4 * WATCHDOG_MS);
  assert.equal(beats(), stuckAt, 'no beat while the loop is held');
  await service.wrote(/the packet loop does not go on/);

  await holder.stop('SIGKILL'); // The kernel lets go of a thread whose tracer has died.
  await sleep(2 * WATCHDOG_MS);
  assert.ok(beats() > stuckAt, 'and again when it goes on');
});

/** The thread that waits in epoll_wait(2): Node's own wait in epoll_pwait and futex. */
async function findLoopThread(pid: number): Promise<string> {
  const EPOLL_WAIT = '232';
  const folder = `/proc/${pid}/task`;
  let threads: readonly string[] = [];
  // It may be at work at the moment one looks.
  await until('a thread waits for packets', () => {
    threads = readdirSync(folder).filter(
      (thread) => readFileSync(`${folder}/${thread}/syscall`, 'utf8').split(' ')[0] === EPOLL_WAIT,
    );
    assert.ok(threads.length <= 1, 'no more than one thread waits for packets');
    return threads.length === 1;
  });
  return threads[0];
}

/** Stops one thread (ptrace(2): PTRACE_SEIZE, PTRACE_INTERRUPT) until it is killed. */
const HOLD_THREAD = `
import ctypes, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
tid = int(sys.argv[1])
for request in (0x4206, 0x4207):
    if libc.ptrace(request, tid, None, None) != 0:
        sys.exit("ptrace: %d" % ctypes.get_errno())
print("held", flush=True)
signal.pause()
`;

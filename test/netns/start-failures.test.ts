/**
 * A failed start gives one message: what happened, where, and what to do. Exit code 1, no stack, and nothing is left
 * behind.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import { canRun, Daemon, makeNamespaces, MAIN } from './world.ts';

const ADDON = fileURLToPath(new URL('../../../build/native/secgroupd.node', import.meta.url));

interface Failure {
  readonly what: string;
  /** Run in a mount namespace of its own before the daemon, in its folder. */
  readonly before?: string;
  /** What the daemon is run by: `setpriv …`. */
  readonly by?: string;
  readonly configuration?: string;
  readonly arguments?: string;
  readonly told: RegExp;
  /** 1 if there is none. */
  readonly code?: number;
}

const FAILURES: readonly Failure[] = [
  {
    what: 'metrics at an address of nobody here',
    configuration: "metrics: { listen: '192.0.2.1:9469' }",
    told: /could not start: no metrics at 192\.0\.2\.1 port 9469: .*EADDRNOTAVAIL.*; no interface of this host has the address/,
  },
  {
    what: 'metrics at no address',
    configuration: 'metrics: { listen: nonsense }',
    told: /c\.yaml:3:20: error: 'nonsense' is not an address to listen on/,
  },
  {
    what: 'a control socket below a file',
    before: 'echo x > file',
    arguments: '--control file/s',
    told: /could not start: no control socket at file\/s: .*EEXIST.*; name another path with --control/,
  },
  {
    what: 'a control socket where a folder is',
    before: 'mkdir -p folder/in',
    arguments: '--control folder',
    told: /could not start: no control socket at folder: folder is a directory, not a socket; /,
  },
  {
    what: 'a control socket on a file system that is not written',
    before: 'mkdir ro; mount -t tmpfs -o ro tmpfs ro',
    arguments: '--control ro/s',
    told: /could not start: no control socket at ro\/s: .*EROFS.*; let this user make files in its directory/,
  },
  {
    what: 'a control socket with a path that the kernel would cut',
    arguments: `--control ${'x'.repeat(120)}`,
    told: /could not start: no control socket at x+: its path is too long; the path of a socket has at most 107 bytes/,
  },
  {
    what: 'a socket for instances below a file',
    before: 'echo x > file',
    arguments: '--control s --instances file/s',
    told: /could not start: no instances socket at file\/s: .*EEXIST.*; name another path with --instances/,
  },
  {
    what: 'a configuration that is a folder',
    before: 'rm c.yaml; mkdir c.yaml',
    told: /c\.yaml: error: the file can't be read: it is a directory/,
  },
  {
    what: 'a configuration that this user may not read',
    before: 'chmod 0 c.yaml',
    by: 'setpriv --bounding-set -dac_override,-dac_read_search',
    told: /c\.yaml: error: the file can't be read: EACCES\n +let the user that runs this read the file/,
  },
  {
    what: 'no /dev/net/tun',
    before: 'mount -t tmpfs tmpfs /dev/net',
    told: /\/dev\/net\/tun can't be opened: ENOENT\n +load the module with: modprobe tun/,
  },
  {
    what: 'another device as /dev/net/tun',
    before: 'mount --bind /dev/null /dev/net/tun',
    told: /could not start: .*TUN interface eth0 cannot be opened/,
  },
  {
    what: 'no right to make devices',
    by: 'setpriv --bounding-set -net_admin',
    told: /could not start: .*CAP_NET_ADMIN in its network namespace is needed/,
  },
  {
    what: 'no right to enter the namespace',
    by: 'setpriv --bounding-set -sys_admin',
    told: /could not start: .*network namespace \/run\/netns\/\S+ cannot be entered: CAP_SYS_ADMIN is needed/,
  },
  {
    what: 'an addon that is missing',
    before: `mount -t tmpfs tmpfs '${join(ADDON, '..')}'`,
    told: /^could not start: the native addon could not be loaded from \S+secgroupd\.node: .*; run scripts\/build, or install the package anew$/m,
  },
  {
    what: 'an addon that is cut short',
    before: `mount --bind /dev/null '${ADDON}'`,
    told: /^could not start: the native addon .*: file too short; run scripts\/build/m,
  },
  {
    what: 'an addon that is none',
    before: `mount --bind c.yaml '${ADDON}'`,
    told: /^could not start: the native addon .*: invalid ELF header; run scripts\/build/m,
  },
  {
    what: 'too few descriptors for its own files',
    by: 'prlimit --nofile=30',
    told: /^could not start: EMFILE: too many open files, .*; the limit of open files is too low: raise LimitNOFILE= of the service, or ulimit -n$/m,
  },
  {
    what: 'an unknown option',
    arguments: '--konfig c.yaml',
    told: /^error: unknown option '--konfig'/m,
    code: 2,
  },
];

function ready(t: TestContext): boolean {
  return canRun(t) && requireTools(t, 'unshare', 'setpriv', 'prlimit', 'mount');
}

describe('a start fails for', () => {
  for (const failure of FAILURES)
    test(failure.what, async (t) => {
      if (!ready(t)) return;
      const { web } = await makeNamespaces(t, ['web']);
      const folder = mkdtempSync(join(tmpdir(), 'sgt-start-'));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      mkdirSync(join(folder, 'empty'));
      const { before = ':', by = '', configuration = '', told, code = 1 } = failure;
      writeFileSync(
        join(folder, 'c.yaml'),
        `interfaces:
  web: { device: { netns: ${web.path}, name: eth0 }, addresses: [10.0.0.11] }
${configuration}
`,
      );
      const daemon = `exec ${by} '${process.execPath}' '${MAIN}' --config c.yaml ${failure.arguments ?? ''}`;
      const script = `cd '${folder}' && { ${before}; } && ${daemon}`;
      const ran = await run('unshare', ['-m', 'sh', '-c', script]);
      const log = ran.stdout + ran.stderr;
      assert.equal(ran.timedOut, false, `it does not end:\n${log}`);
      assert.match(log, told);
      assert.doesNotMatch(log, /\bat \S+ \(|"stack"|node:internal/);
      assert.equal(ran.code, code, log);
      assert.notEqual((await web.run('ip', ['link', 'show', 'eth0'])).code, 0, 'no device is left');
    });
});

test('a state directory that can not be written is told at the start, and packets flow', async (t) => {
  if (!ready(t)) return;
  const { web } = await makeNamespaces(t, ['web']);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-start-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'c.yaml');
  writeFileSync(
    file,
    `interfaces: { web: { device: { netns: ${web.path}, name: eth0 }, addresses: [10.0.0.11] } }\n`,
  );
  for (const state of [join(folder, 'missing'), file]) {
    const daemon = await Daemon.start(t, file, ['--state-dir', state]);
    assert.match(daemon.output, /the state directory can not be written, so flows are not kept/);
    assert.doesNotMatch(daemon.output, /"stack"/);
    assert.equal(await daemon.stop(), 0);
    assert.doesNotMatch(daemon.output, /"stack"/);
  }
});

test('a flow log that can not be written is told at the start, and packets flow', async (t) => {
  if (!ready(t)) return;
  const { web } = await makeNamespaces(t, ['web']);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-start-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'c.yaml');
  writeFileSync(
    file,
    `flowLogs: { all: { file: /proc/sys/flow.log, traffic: accept } }
interfaces: { web: { device: { netns: ${web.path}, name: eth0 }, addresses: [10.0.0.11] } }
`,
  );
  const daemon = await Daemon.start(t, file);
  await until('it tells of the flow log', () => daemon.output.includes('flow log: '));
  // Before the stop, which writes the last records.
  assert.match(daemon.output, /flow log: .*E[A-Z]+.*\/proc\/sys\/flow\.log/);
  assert.doesNotMatch(daemon.output, /"stack"/);
  assert.equal((await web.run('ip', ['link', 'show', 'eth0'])).code, 0);
  assert.equal(await daemon.stop(), 0);
});

/** The namespaces that other tests use work, and nothing of them is left afterwards. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { connect, makeNetns, requireRoot, requireTools, requireTun, uniqueName } from './netns.ts';
import { mustRun, run, start } from './process.ts';

/** A killed orphan stays a zombie for as long as its new parent doesn't collect it: that is dead enough. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('processes', () => {
  test('run gives code and both outputs, and never throws for them', async () => {
    const result = await run('sh', ['-c', 'cat; echo err >&2; exit 3'], { input: 'in' });
    assert.deepEqual(result, {
      code: 3,
      signal: null,
      stdout: 'in',
      stderr: 'err\n',
      timedOut: false,
    });
  });

  test('run kills at the time-out what was started, and its children with it', async () => {
    const result = await run('sh', ['-c', 'sleep 60 & echo $!; wait'], { timeoutMs: 300 });
    assert.equal(result.timedOut, true);
    assert.equal(result.signal, 'SIGKILL');
    assert.equal(isAlive(Number(result.stdout)), false);
  });

  test('run throws for a program that is not there', async () => {
    await assert.rejects(run('/no-such-folder/program', []), { code: 'ENOENT' });
  });

  test('mustRun tells what failed and what it printed', async () => {
    await assert.rejects(mustRun('sh', ['-c', 'echo why >&2; exit 2']), {
      message: "'sh -c echo why >&2; exit 2' exited with 2:\nwhy\n",
    });
  });

  test('waitFor finds what is printed, and says when it never comes', async () => {
    const running = await start('sh', ['-c', 'echo ready on 4711; exec sleep 60']);
    assert.equal((await running.waitFor(/ready on (\d+)/))[1], '4711');
    await assert.rejects(running.waitFor(/never/, 50), /ran for 50 ms without printing \/never\//);
    assert.equal((await running.stop()).signal, 'SIGTERM');
    await assert.rejects(
      running.waitFor(/never/),
      /ended without printing \/never\/:\nready on 4711/,
    );
  });
});

describe('requirements', () => {
  function fakeContext(): { readonly context: TestContext; readonly reasons: string[] } {
    const reasons: string[] = [];
    return {
      context: { skip: (reason: string) => reasons.push(reason) } as unknown as TestContext,
      reasons,
    };
  }

  test('a missing tool skips with its name', () => {
    const { context, reasons } = fakeContext();
    assert.equal(requireTools(context, 'sh', 'no-such-program'), false);
    assert.deepEqual(reasons, ['needs no-such-program (not found on the PATH)']);
  });

  test('tools that are there do not', () => {
    const { context, reasons } = fakeContext();
    assert.equal(requireTools(context, 'sh', 'ls'), true);
    assert.deepEqual(reasons, []);
  });

  test('requireTun agrees with the device', (t) => {
    if (requireTun(t)) assert.equal(existsSync('/dev/net/tun'), true);
  });

  test('names are unique and fit an interface', () => {
    const names = Array.from({ length: 100 }, uniqueName);
    assert.equal(new Set(names).size, 100);
    assert.deepEqual(
      names.filter((name) => name.length > 15 || !name.startsWith('sgt-')),
      [],
    );
  });
});

describe('namespaces', () => {
  test('are joined by a link, and gone afterwards with what ran in them', async (t) => {
    if (!requireRoot(t) || !requireTools(t, 'ip', 'ping')) return;
    let names: string[] = [];
    let pid = 0;
    await t.test('inner', async (inner) => {
      const a = await makeNetns(inner);
      const b = await makeNetns(inner);
      names = [a.path, b.path];
      await connect(
        { netns: a, interfaceName: 'eth0', addresses: ['10.9.0.1/24', 'fd00:9::1/64'] },
        { netns: b, interfaceName: 'eth0', addresses: ['10.9.0.2/24', 'fd00:9::2/64'] },
      );
      // With a deadline ping asks again until one answer has come.
      assert.match(await a.mustRun('ping', ['-c1', '-w10', '10.9.0.2']), / 1 received/);
      assert.match(await a.mustRun('ping', ['-c1', '-w10', 'fd00:9::2']), / 1 received/);
      assert.equal((await a.run('ping', ['-c1', '-W1', '10.9.0.3'])).code, 1);
      pid = (await b.start('sleep', ['60'])).pid;
      assert.equal(isAlive(pid), true);
    });
    assert.equal(names.length, 2);
    assert.deepEqual(names.filter(existsSync), []);
    assert.equal(isAlive(pid), false);
  });

  test('are gone when the process is told to end in the middle of a test', async (t) => {
    if (!requireRoot(t) || !requireTools(t, 'ip')) return;
    const folder = mkdtempSync(join(tmpdir(), 'netns-'));
    t.after(() => {
      rmSync(folder, { recursive: true });
    });
    const script = join(folder, 'script.mjs');
    const library = new URL('./netns.js', import.meta.url).href;
    writeFileSync(
      script,
      `import { makeNetns } from '${library}';
       const netns = await makeNetns({ after() {} });
       const { pid } = await netns.start('sleep', ['60']);
       console.log('made', netns.path, pid);
       setInterval(() => {}, 1000);`,
    );
    const running = await start(process.execPath, [script]);
    const [, path, pid] = await running.waitFor(/^made (\S+) (\d+)$/m);
    assert.equal(existsSync(path), true);
    assert.equal((await running.stop()).code, 143);
    assert.equal(existsSync(path), false);
    assert.equal(isAlive(Number(pid)), false);
  });
});

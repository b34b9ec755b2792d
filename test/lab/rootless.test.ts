/** Labs without root: inside `unshare -Urn`, where nothing may be mounted. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { TestLab, whyNoLab } from './lab-support.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { SGCTL } from '../support/sgctl.ts';

function whyNotRootless(): string | undefined {
  const { status } = spawnSync('unshare', ['-Urn', 'sh', '-c', 'exec 3<>/dev/net/tun']);
  return status === 0 ? whyNoLab() : 'no /dev/net/tun inside unshare -Urn';
}

const skip = whyNotRootless() ?? false;

/** Runs a shell script inside `unshare -Urn`; `sgctl` in it is this build's. */
function runInside(runtime: string, script: string): { code: number | null; output: string } {
  const prelude = `set -eu; sgctl() { '${process.execPath}' '${SGCTL}' "$@"; }; `;
  const { status, stdout, stderr } = spawnSync('unshare', ['-Urn', 'sh', '-c', prelude + script], {
    encoding: 'utf8',
    timeout: GUARD_MS,
    env: { ...process.env, XDG_RUNTIME_DIR: runtime },
  });
  return { code: status, output: stdout + stderr };
}

/** Processes that the script started and that are still there, told by a variable in their environment. */
function countProcesses(lab: TestLab): number {
  let count = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
      if (environment.includes(`SGT_LAB=${lab.name}`)) count += 1;
    } catch {
      // Ended meanwhile.
    }
  }
  return count;
}

function makeRuntimeDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sgt-run-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('up, exec, down without root', { skip }, (t) => {
  const lab = new TestLab(t);
  const runtime = makeRuntimeDirectory(t);
  const { code, output } = runInside(
    runtime,
    `export SGT_LAB=${lab.name}
     sgctl lab up ${lab.file} --name ${lab.name}
     sgctl lab ls --json
     sgctl lab exec ${lab.a} -- ping -c1 -W2 10.9.0.2
     if sgctl lab exec ${lab.b} -- ping -c1 -W1 10.9.0.1; then exit 9; fi
     sgctl lab down
     sgctl lab ls`,
  );
  assert.equal(code, 0, output);
  assert.match(output, /"state": "up"[^]*"mode": "held"/);
  assert.match(output, new RegExp(`^lab ${lab.name} is gone\nno labs$`, 'm'));
  assert.deepEqual(readdirSync(join(runtime, 'secgroupd', 'labs')), []);
  assert.equal(countProcesses(lab), 0);
  lab.assertGone();
});

test('a lab can be used and removed from outside its user namespace', { skip }, (t) => {
  const lab = new TestLab(t);
  const runtime = makeRuntimeDirectory(t);
  const up = runInside(
    runtime,
    `export SGT_LAB=${lab.name}; sgctl lab up ${lab.file} --name ${lab.name}`,
  );
  assert.equal(up.code, 0, up.output);
  assert.ok(countProcesses(lab) >= 4, 'a daemon and three holders outlive the shell');
  const sgctl = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(process.execPath, [SGCTL, 'lab', ...args], {
      encoding: 'utf8',
      env: { ...process.env, XDG_RUNTIME_DIR: runtime },
    });
  assert.equal(sgctl('exec', lab.a, '--', 'ping', '-c1', '-w10', '10.9.0.2').status, 0);
  const down = sgctl('down', lab.name);
  assert.equal(down.stderr, '');
  assert.equal(down.stdout, `lab ${lab.name} is gone\n`);
  assert.equal(countProcesses(lab), 0);
  assert.deepEqual(readdirSync(join(runtime, 'secgroupd', 'labs')), []);
});

/** Labs for tests: names of their own, real namespaces, and a look at whether anything is left. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { findMarked } from '../../src/lab/processes.ts';
import { labRoots } from '../../src/lab/state.ts';
import type { LabState } from '../../src/lab/state.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { uniqueName } from '../support/netns.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';

/** Why labs can't be made here; undefined if they can. */
export function whyNoLab(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
  } catch (thrown) {
    return `cannot open /dev/net/tun: ${String(thrown)}`;
  }
  const probe = spawnSync('unshare', ['--net', 'true']);
  return probe.status === 0 ? undefined : 'no right to make network namespaces';
}

/** Two instances and an uplink; `a` may reach port 7000 of `b` and ping it, and nothing else is let in. */
export class TestLab {
  readonly name = uniqueName();
  readonly a = `${this.name}a`;
  readonly b = `${this.name}b`;
  readonly outside = `${this.name}o`;
  readonly directory = mkdtempSync(join(tmpdir(), 'sgt-lab-'));
  readonly file = join(this.directory, 'lab.yaml');

  constructor(t: TestContext, more = '') {
    writeFileSync(
      this.file,
      `uplink: { tun: sgt-up, netns: ${this.outside}, addresses: [198.51.100.7/24] }
securityGroups:
  client: { description: clients }
  server:
    description: servers
    ingress:
      - { protocol: tcp, ports: 7000, from: "sg:client" }
      - { protocol: icmp, type: 8, from: "sg:client" }
interfaces:
  eni-a: { device: { kind: tun, netns: ${this.a}, name: eth0 }, addresses: [10.9.0.1, "fd00:9::1"], securityGroups: [client] }
  eni-b: { device: { kind: tun, netns: ${this.b}, name: eth0 }, addresses: [10.9.0.2, "fd00:9::2"], securityGroups: [server] }
${more}`,
    );
    t.after(() => {
      this.sgctl('down', this.name);
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  get namespaces(): readonly string[] {
    return [this.outside, this.a, this.b];
  }

  get stateDirectory(): string {
    return join(labRoots()[0], this.name);
  }

  get state(): LabState {
    return JSON.parse(readFileSync(join(this.stateDirectory, 'state.json'), 'utf8')) as LabState;
  }

  /** Runs `sgctl lab …` to its end. */
  sgctl(...args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(process.execPath, [SGCTL, 'lab', ...args], {
      encoding: 'utf8',
      timeout: GUARD_MS,
    });
    // What takes long says so, on a busy machine.
    return { code: status, stdout, stderr: stderr.replace(/^.*…(?: \d+ s)?\n/gm, '') };
  }

  up(): LabState {
    const { code, stderr } = this.sgctl('up', this.file, '--name', this.name);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    return this.state;
  }

  start(...args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [SGCTL, 'lab', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Fails if a namespace, a file or a process of the lab is still there. */
  assertGone(labId?: string): void {
    assert.deepEqual(
      this.namespaces.filter((name) => existsSync(`/run/netns/${name}`)),
      [],
    );
    assert.equal(existsSync(this.stateDirectory), false, 'the state directory is gone');
    if (labId !== undefined) assert.deepEqual(findMarked(labId), []);
  }
}

/** Waits until `check` gives something. */
export async function waitFor<T>(check: () => T | undefined, what: string): Promise<T> {
  let value: T | undefined;
  await until(what, () => {
    try {
      value = check();
    } catch {
      // Not there yet.
    }
    return value !== undefined;
  });
  return value!;
}

export function waitExit(
  child: ChildProcess,
): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

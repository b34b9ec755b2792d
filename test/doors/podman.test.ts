/**
 * Podman's containers under security groups by CNI. What is tried is in podman-inside.ts, in namespaces of its own.
 *
 * Starts early: it starts many containers, in one world.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PRIVATE, whyNoPodman } from '../support/podman.ts';
import { run } from '../support/process.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';

const INSIDE = fileURLToPath(new URL('./podman-inside.js', import.meta.url));
const TIMEOUT_MS = 1_800_000;

test('Podman by CNI: groups, restarts, faults, and twenty containers at once', async (t) => {
  if (!requireRoot(t) || !requireTun(t)) return;
  if (!requireTools(t, 'nsenter', 'ip', 'curl', 'ping')) return;
  const why = whyNoPodman();
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const program = [process.execPath, '--enable-source-maps', '--test-reporter=tap', INSIDE];
  const { code, stdout, stderr } = await run('unshare', [...PRIVATE, ...program], {
    timeoutMs: TIMEOUT_MS,
    // It prints for a person, not for the runner of this file.
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  assert.equal(code, 0, stdout + stderr);
});

/** Runs some of the tests under the releases of Node.js that we say we work with, other than the one that runs this. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mustRun, run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';

const TESTS_TIMEOUT_MS = 900_000;

const root = repositoryRoot();
const { releases } = JSON.parse(
  readFileSync(join(root, 'scripts/deb/node-releases.json'), 'utf8'),
) as { releases: Record<string, unknown> };

/** Those of the runner that started this test would make the inner one report to it. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  return rest;
}

/** @param names of test files, as `wire/decode` @param what they show of a release */
export function testOtherReleases(what: string, names: readonly string[]): void {
  for (const release of Object.keys(releases)) {
    test(`Node.js ${release}: ${what}`, async (t) => {
      if (!requireTools(t, 'npm', 'dpkg')) return;
      const folder = mkdtempSync(join(tmpdir(), 'sgt-node-'));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      const fetched = await mustRun(join(root, 'scripts/fetch-node'), [
        release,
        join(folder, 'node'),
      ]);
      const node = fetched.trim();
      assert.match(await mustRun(node, ['--version']), new RegExp(`^v${release}\\.`));
      const files = names.map((name) => join(root, 'dist/test', `${name}.test.js`));
      const result = await run(
        node,
        ['--enable-source-maps', '--test', '--test-concurrency=1', '--test-reporter=tap', ...files],
        { timeoutMs: TESTS_TIMEOUT_MS, env: ownEnvironment() },
      );
      const failed = result.stdout.split('\n').filter((line) => /^\s*not ok /.test(line));
      assert.equal(result.code, 0, `${failed.join('\n')}\n${result.stderr}`);
      assert.match(result.stdout, /^# pass [1-9]/m);
    });
  }
}

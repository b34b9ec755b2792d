/**
 * ESLint, Prettier and clang-format find nothing in the tree.
 *
 * They are tests so that they run beside the others, and a machine with several processors doesn't wait for them first.
 *
 * Starts early: ESLint takes minutes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../support/process.ts';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';

const TIMEOUT_MS = 1_800_000;

const root = repositoryRoot();

async function findsNothing(command: string, ...args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run(command, args, { cwd: root, timeoutMs: TIMEOUT_MS });
  assert.equal(code, 0, `${stdout}${stderr}`);
}

test('ESLint', { timeout: TIMEOUT_MS }, () =>
  findsNothing(process.execPath, 'node_modules/eslint/bin/eslint.js', '.'),
);

test('Prettier', { timeout: TIMEOUT_MS }, () =>
  findsNothing(
    process.execPath,
    ...['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'],
  ),
);

test('clang-format', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requireTools(t, 'clang-format')) return;
  const files = repositoryFiles(root).filter((path) => /^native\/[^/]+\.[ch]$/.test(path));
  await findsNothing('clang-format', '--dry-run', '--Werror', ...files);
});

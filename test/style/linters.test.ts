/**
 * oxlint, ESLint, Prettier and clang-format find nothing in the tree.
 *
 * They are tests so that they run beside the others, and a machine with several processors doesn't wait for them first.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../support/process.ts';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';

const OXLINT = 'node_modules/oxlint/bin/oxlint';

const root = repositoryRoot();

async function findsNothing(command: string, ...args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run(command, args, { cwd: root });
  assert.equal(code, 0, `${stdout}${stderr}`);
}

test('oxlint', () => findsNothing(process.execPath, OXLINT));

test('oxlint knows types', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-lint-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'floating.ts');
  writeFileSync(file, 'const later = async (): Promise<void> => {};\nlater();\n');
  const args = [OXLINT, '--config', join(root, '.oxlintrc.json'), file];
  const { code, stdout } = await run(process.execPath, args, { cwd: root });
  assert.match(stdout, /no-floating-promises/);
  assert.equal(code, 1);
});

test('ESLint', () => findsNothing(process.execPath, 'node_modules/eslint/bin/eslint.js', '.'));

test('Prettier', () =>
  findsNothing(
    process.execPath,
    ...['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'],
  ));

test('clang-format', async (t) => {
  if (!requireTools(t, 'clang-format')) return;
  const files = repositoryFiles(root).filter((path) => /^native\/[^/]+\.[ch]$/.test(path));
  await findsNothing('clang-format', '--dry-run', '--Werror', ...files);
});

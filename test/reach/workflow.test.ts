/** The example workflow for GitHub Actions: its commands are run as they stand, but for those that need root. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { repositoryRoot } from '../support/repository.ts';
import { SGCTL } from '../support/sgctl.ts';

interface Workflow {
  readonly env: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, { readonly steps: readonly { readonly run?: string }[] }>>;
}

test('the workflow checks, tests offline and tests with real packets', (t) => {
  const root = repositoryRoot();
  const folder = mkdtempSync(join(tmpdir(), 'sgt-workflow-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { env, jobs } = parse(
    readFileSync(join(root, 'config', 'github-actions.yaml'), 'utf8'),
  ) as Workflow;
  const commands = Object.values(jobs)
    .flatMap(({ steps }) => steps.flatMap(({ run }) => run?.split('\n') ?? []))
    .filter((line) => line.includes('$SGCTL '));
  assert.equal(commands.length, 3);
  const runEnv = {
    ...process.env,
    SGCTL: `${process.execPath} ${SGCTL}`,
    CONFIG: join(root, env['CONFIG']),
    EXPECTATIONS: join(root, env['EXPECTATIONS']),
  };
  const results = commands.slice(0, 2).map((command) => {
    const { status } = spawnSync('bash', ['-e', '-c', command], { cwd: folder, env: runEnv });
    return status;
  });
  assert.deepEqual(results, [0, 0]);
  const sarif = JSON.parse(readFileSync(join(folder, 'check.sarif'), 'utf8')) as {
    version: string;
  };
  assert.equal(sarif.version, '2.1.0');
  assert.match(readFileSync(join(folder, 'offline.xml'), 'utf8'), /<testsuites .* failures="0"/);
  assert.equal(
    commands[2].trim(),
    'sudo env "PATH=$PATH" $SGCTL test "$EXPECTATIONS" --live --junit live.xml',
  );
});

/** The tests run what was compiled last. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inputsOf } from '../../scripts/dist/inputs.ts';
import { publishedInputs } from '../../scripts/dist/publish.ts';
import { repositoryRoot } from '../support/repository.ts';

const root = repositoryRoot();

for (const name of ['src', 'test', 'scripts'] as const)
  test(`dist/${name} is made from what is in build/ now`, (t) => {
    if (!fileURLToPath(import.meta.url).startsWith(join(root, 'dist/'))) {
      t.skip('this is a test of build/, which uses nothing of dist/');
      return;
    }
    assert.equal(
      publishedInputs(join(root, 'dist', name)),
      inputsOf(root, name),
      'dist/ is older than what was compiled last: run scripts/build',
    );
  });

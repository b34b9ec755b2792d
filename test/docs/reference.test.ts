/** The generated pages are what the code would generate now. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configurationPage, dropReasonsPage } from '../../scripts/docs/reference.ts';
import { repositoryRoot } from '../support/repository.ts';

const root = repositoryRoot();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('docs/drop-reasons.md is up to date; if not, run scripts/generate-docs', () => {
  assert.equal(read('docs/drop-reasons.md'), dropReasonsPage());
});

test('docs/configuration.md is up to date; if not, run scripts/generate-docs', () => {
  const schema = JSON.parse(read('config/secgroupd.schema.json')) as Parameters<
    typeof configurationPage
  >[0];
  assert.equal(read('docs/configuration.md'), configurationPage(schema));
});

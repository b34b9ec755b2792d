/** The page's files: small, complete, and nothing in them that its Content-Security-Policy would refuse. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { PAGE_FILES } from '../../scripts/bundle/page.ts';
import { repositoryRoot } from '../support/repository.ts';

const root = repositoryRoot();
const folder = join(root, 'dist/src/console/page');
const SIZE_MAX = 300_000;

test('all of the page is small, and packed as it is', () => {
  let size = 0;
  for (const name of PAGE_FILES) {
    const packed = readFileSync(join(folder, `${name}.gz`));
    assert.deepEqual(gunzipSync(packed), readFileSync(join(folder, name)), name);
    size += packed.length;
  }
  assert.ok(size <= SIZE_MAX, `${size} bytes`);
});

test('the document has no script and no style in it, and names its own files alone', () => {
  const text = readFileSync(join(folder, 'index.html'), 'utf8');
  assert.doesNotMatch(text, /<style|\sstyle=|\son\w+=|javascript:/i);
  assert.deepEqual(
    [...text.matchAll(/(?:src|href)="(?!data:)([^"]*)"/g)].map(([, path]) => path),
    ['/page.css', '/page.js'],
  );
  assert.deepEqual(
    [...text.matchAll(/<script[^>]*>([^<]*)/g)].map(([, code]) => code),
    [''],
  );
});

test('the styles fetch nothing', () => {
  assert.doesNotMatch(readFileSync(join(folder, 'page.css'), 'utf8'), /url\(|@import/);
});

test('the licences of what is in the page are passed on', () => {
  const licences = readFileSync(join(root, 'dist/src/bundle/LICENSES.txt'), 'utf8');
  for (const name of ['preact', 'd3-force', 'uplot', 'ipaddr.js'])
    assert.match(licences, new RegExp(`^${name.replace('.', '\\.')} \\d`, 'm'));
});

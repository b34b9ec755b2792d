/** Links between the pages lead somewhere, and the map has every page. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';

const root = repositoryRoot();
const pages = repositoryFiles(root).filter((path) => path.endsWith('.md'));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Link {
  readonly page: string;
  readonly line: number;
  readonly path: string;
  readonly anchor: string;
}

/** Relative links of a page, those in blocks of code left out. */
function listLinks(page: string): Link[] {
  let isCode = false;
  return read(page)
    .split('\n')
    .flatMap((text, i) => {
      if (/^ *(```|~~~)/.test(text)) isCode = !isCode;
      if (isCode) return [];
      return [...text.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target)
        .filter((target) => !/^[a-z]+:/.test(target))
        .map((target) => {
          const [path, anchor = ''] = target.split('#');
          return { page, line: i + 1, path, anchor };
        });
    });
}

/** Anchors as GitHub makes them of headings. */
function listAnchors(page: string): Set<string> {
  const headings = [...read(page).matchAll(/^#+ +(.+)$/gm)].map(([, heading]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

test('every relative link leads to a file, and to a heading of it', () => {
  const broken = pages.flatMap(listLinks).filter(({ page, path, anchor }) => {
    const target = path === '' ? page : normalize(join(dirname(page), path));
    if (!existsSync(join(root, target))) return true;
    return anchor !== '' && !listAnchors(target).has(anchor);
  });
  assert.deepEqual(
    broken.map(({ page, line, path, anchor }) => `${page}:${line}: ${path}#${anchor}`),
    [],
  );
});

test('docs/README.md links to every page of docs/', () => {
  const linked = new Set(listLinks('docs/README.md').map(({ path }) => join('docs', path)));
  const documents = pages.filter((path) => path.startsWith('docs/') && path !== 'docs/README.md');
  assert.deepEqual(
    documents.filter((path) => !linked.has(path)),
    [],
  );
});

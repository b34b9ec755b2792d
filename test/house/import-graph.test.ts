/** No files of src/ import each other in a circle, and some program reaches every file. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readSources, repositoryFiles, repositoryRoot } from '../support/repository.ts';
import { circlesOf, importGraph, reachedFrom, useGraph } from './import-graph.ts';
import { KNOWN_IN_CIRCLES, KNOWN_UNREACHED } from './known-faults.ts';

/** The programs. Threads, and programs that these start, are found from them. */
const PROGRAMS: readonly string[] = [
  ...['src/main.ts', 'src/cli/sgctl.ts', 'src/api/secgroup-api.ts'],
  ...['src/doors/cni/secgroupd-cni.ts', 'src/doors/netavark/secgroupd-netavark.ts'],
  'src/doors/docker/secgroupd-docker.ts',
  'src/metadata/secgroup-metadata.ts',
  // It runs in a browser.
  'src/console/page/main.tsx',
];

describe('files of src/', () => {
  const root = repositoryRoot();
  const sources = readSources(root);

  test('import each other in no circle, but for those that are known', () => {
    const circles = circlesOf(importGraph(sources));
    const isNew = (circle: readonly string[]): boolean =>
      circle.some((path) => !KNOWN_IN_CIRCLES.has(path));
    assert.deepEqual(
      circles.filter(isNew).map((circle) => circle.join(' → ')),
      [],
    );
    const inCircles = new Set(circles.flat());
    assert.deepEqual(
      [...KNOWN_IN_CIRCLES].filter((path) => sources.has(path) && !inCircles.has(path)),
      [],
      'in no circle any more: take them off test/house/known-faults.ts',
    );
  });

  test('are each reached by a program, or by a script', () => {
    const scripts = repositoryFiles(root).filter((path) => /^scripts\/.*\.ts$/.test(path));
    const all = new Map(sources);
    for (const path of scripts) all.set(path, readFileSync(join(root, path), 'utf8'));
    const reached = reachedFrom(useGraph(all), [...PROGRAMS, ...scripts]);
    assert.deepEqual(
      [...sources.keys()].filter((path) => !reached.has(path)),
      [...KNOWN_UNREACHED],
      'only tests use them, or nobody',
    );
  });
});

describe('the graph of imports', () => {
  const graphOf = (texts: Readonly<Record<string, string>>) =>
    new Map(Object.entries(texts).map(([name, text]) => [`src/x/${name}.ts`, text]));

  test('finds a circle, by types too, and tells a shortest way round it', () => {
    const sources = graphOf({
      a: "import { b } from './b.ts';",
      b: "import type { C } from './c.ts';\nimport { d } from './d.ts';",
      c: "export * from './a.ts';",
      d: "import { c } from './c.ts';",
      e: "import { a } from './a.ts';",
    });
    assert.deepEqual(circlesOf(importGraph(sources)), [
      ['src/x/a.ts', 'src/x/b.ts', 'src/x/c.ts', 'src/x/a.ts'],
      ['src/x/d.ts', 'src/x/c.ts', 'src/x/a.ts', 'src/x/b.ts', 'src/x/d.ts'],
    ]);
  });

  test('finds none where two ways lead to the same file', () => {
    const sources = graphOf({
      a: "import './b.ts'; import './c.ts';",
      b: "import './d.ts';",
      c: "import './d.ts';",
      d: '',
    });
    assert.deepEqual(circlesOf(importGraph(sources)), []);
  });

  test('finds a file that imports itself', () => {
    assert.deepEqual(circlesOf(importGraph(graphOf({ a: "import './a.ts';" }))), [
      ['src/x/a.ts', 'src/x/a.ts'],
    ]);
  });

  test('follows threads and programs, and leaves what nothing leads to', () => {
    const sources = graphOf({
      a: "new Worker(new URL('./b.js', import.meta.url)); import('./c.ts');",
      b: '',
      c: "const at = fileURLToPath(new URL('./d.js', import.meta.url));",
      d: '',
      e: "import './a.ts';",
    });
    assert.deepEqual([...reachedFrom(useGraph(sources), ['src/x/a.ts'])].sort(), [
      'src/x/a.ts',
      'src/x/b.ts',
      'src/x/c.ts',
      'src/x/d.ts',
    ]);
  });
});

/** The repository keeps its own rules of form (see CONTRIBUTING.md). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readSources, repositoryFiles, repositoryRoot } from '../support/repository.ts';
import {
  COMMENT_COLUMNS_MAX,
  FILE_LINES_MAX,
  FUNCTION_LINES_MAX,
  fileLengthBreach,
  layoutBreaches,
  machinePathBreaches,
  markerBreaches,
  nameBreaches,
  sourceBreaches,
  wideCommentBreaches,
} from './tidy-rules.ts';

const root = repositoryRoot();
const paths = repositoryFiles(root);

/** Latin-1, so that a capture or another binary file is searched byte by byte too. */
function read(path: string): string {
  return readFileSync(join(root, path), 'latin1');
}

describe('the repository', () => {
  test('has the folders and documents of the plan and no others', () => {
    assert.deepEqual(layoutBreaches(paths), []);
  });

  test('has kebab-case names', () => {
    assert.deepEqual(nameBreaches(paths), []);
  });

  test('has no left-over markers', () => {
    assert.deepEqual(
      // Compressed pictures have any letters.
      paths
        .filter((path) => !path.endsWith('.png'))
        .flatMap((path) => markerBreaches(path, read(path))),
      [],
    );
  });

  test('names no path of the machine it was written on', () => {
    assert.deepEqual(
      paths.flatMap((path) => machinePathBreaches(path, read(path))),
      [],
    );
  });

  test(`has no source of more than ${FILE_LINES_MAX} lines`, () => {
    const sources = paths.filter((path) =>
      /^src\/.*\.(tsx?|css|html)$|^native\/.*\.[ch]$/.test(path),
    );
    assert.deepEqual(
      sources
        .map((path) => fileLengthBreach(path, read(path)))
        .filter((breach) => breach !== undefined),
      [],
    );
  });

  test('has in src/ short functions, no any, no console outside cli, and a docstring on top of each file', () => {
    assert.deepEqual(
      [...readSources(root)].flatMap(([path, text]) => sourceBreaches(path, text)),
      [],
    );
  });

  test(`has in src/ no comment of more than ${COMMENT_COLUMNS_MAX} columns`, () => {
    assert.deepEqual(
      [...readSources(root)].flatMap(([path, text]) => wideCommentBreaches(path, text)),
      [],
    );
  });
});

describe('the rules of form', () => {
  test('layout', () => {
    const whole = ['src', 'native', 'config', 'scripts', 'test', 'systemd', 'docs', '.ci'].map(
      (folder) => `${folder}/file`,
    );
    const documents = [
      'README.md',
      'ARCHITECTURE.md',
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
    ];
    assert.deepEqual(
      layoutBreaches([...whole, ...documents, '.gitignore', '.github/x.yml', 'package.json']),
      [],
    );
    assert.deepEqual(layoutBreaches([...whole.slice(1), ...documents.slice(1), 'lib/file']), [
      'src/ is missing',
      'lib/ is not in the plan of the house',
      'README.md is missing',
    ]);
  });

  test('names', () => {
    const good = [
      'src/word-table.ts',
      'docs/README.md',
      'systemd/secgroupd@.service',
      '.ci/run',
      'test/wire/ipv6.test.ts',
      'LICENSE',
    ];
    const bad = ['src/wordTable.ts', 'native/word_table.c', 'src/Wire/decode.ts', 'src/a--b.ts'];
    assert.deepEqual(nameBreaches([...good, ...bad]), bad);
  });

  test('markers', () => {
    const marker = 'TO' + 'DO';
    assert.deepEqual(markerBreaches('src/a.ts', `one\n// ${marker}: two`), [
      `src/a.ts:2: ${marker}`,
    ]);
    assert.deepEqual(markerBreaches('scripts/a', 'mktemp -d /tmp/a.XXXXXX; t.todo()'), []);
  });

  test('machine paths', () => {
    const home = '/' + 'home' + '/';
    assert.deepEqual(machinePathBreaches('docs/a.md', `see ${home}me/x`), [`docs/a.md:1: ${home}`]);
    assert.deepEqual(
      machinePathBreaches('docs/a.md', `https://example.com${home}me build${home}x ~${home}`),
      [],
    );
  });

  test('file length', () => {
    assert.equal(fileLengthBreach('src/a.ts', 'x\n'.repeat(500)), undefined);
    assert.equal(
      fileLengthBreach('src/a.ts', 'x\n'.repeat(501)),
      'src/a.ts: 501 lines, more than 500',
    );
  });

  test('width of comments', () => {
    const widest = `  // ${'x'.repeat(COMMENT_COLUMNS_MAX - 5)}`;
    const code = `const a = '${'x'.repeat(COMMENT_COLUMNS_MAX)}';`;
    assert.deepEqual(
      wideCommentBreaches('src/a.ts', [code, widest, `${widest}x`, ` * ${widest}`].join('\n')),
      [
        'src/a.ts:3: a comment of 121 columns, more than 120',
        'src/a.ts:4: a comment of 123 columns, more than 120',
      ],
    );
  });

  test('function length counts neither blank lines nor comments', () => {
    const body = (lines: number): string =>
      `/** a */\nfunction a() {\n${'\n// why\n/* x\n y */\na();\n'.repeat(lines - 2)}}\n`;
    assert.deepEqual(sourceBreaches('src/a.ts', body(FUNCTION_LINES_MAX)), []);
    assert.deepEqual(sourceBreaches('src/a.ts', body(FUNCTION_LINES_MAX + 1)), [
      'src/a.ts:2: a function of 71 lines of code, more than 70',
    ]);
  });

  test('any, console and the docstring', () => {
    assert.deepEqual(sourceBreaches('src/wire/a.ts', 'const a = 1 as any;\nconsole.log(a);\n'), [
      'src/wire/a.ts:1: no docstring at the top',
      'src/wire/a.ts:1: any',
      'src/wire/a.ts:2: console',
    ]);
    assert.deepEqual(
      sourceBreaches(
        'src/cli/a.ts',
        "#!/usr/bin/env node\n/** any */\nconsole.log('console, any');\n",
      ),
      [],
    );
  });
});

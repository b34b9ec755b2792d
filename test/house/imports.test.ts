/** Imports point one way, and a package with one door has one door (see CONTRIBUTING.md). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readSources, repositoryRoot } from '../support/repository.ts';
import { importBreaches, importsOf, PAGE_PACKAGES } from './import-rules.ts';

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

describe('imports of src/', () => {
  const root = repositoryRoot();
  const sources = readSources(root);

  test('point one way', () => {
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
    const packages = new Set(
      Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }),
    );
    assert.deepEqual(importBreaches(sources, packages), []);
    for (const name of PAGE_PACKAGES)
      assert.ok(manifest.devDependencies?.[name] !== undefined, `${name} is no package of ours`);
  });

  test('are found at all', () => {
    const specifiers = importsOf(
      'src/policy/model.ts',
      sources.get('src/policy/model.ts') ?? '',
    ).map((found) => found.specifier);
    assert.deepEqual(specifiers, ['../addr/address.ts', './member-set.ts', '../source/problem.ts']);
  });
});

describe('the import rules', () => {
  const packages = new Set(['ipaddr.js', 'prom-client', 'cap', 'libsql', 'yaml']);
  const cases: readonly (readonly [
    name: string,
    path: string,
    text: string,
    breaches: readonly string[],
  ])[] = [
    ['a folder imports itself', 'src/wire/a.ts', "import { b } from './b.ts';", []],
    ['the table allows it', 'src/engine/a.ts', "import { b } from '../conntrack/b.ts';", []],
    ['main starts the daemon', 'src/main.ts', "import { b } from './daemon/b.ts';", []],
    [
      'upwards',
      'src/conntrack/a.ts',
      "// first line\nimport { b } from '../engine/b.ts';",
      [
        "src/conntrack/a.ts:2: conntrack must not import engine ('../engine/b.ts'); it may import wire",
      ],
    ],
    [
      'a type is an import too',
      'src/wire/a.ts',
      "import type { B } from '../addr/b.ts';",
      [
        "src/wire/a.ts:1: wire must not import addr ('../addr/b.ts'); it may import nothing of ours",
      ],
    ],
    [
      'so is what is exported again',
      'src/ports/a.ts',
      "export * from '../engine/b.ts';",
      ["src/ports/a.ts:1: ports must not import engine ('../engine/b.ts'); it may import wire"],
    ],
    [
      'so is an import in passing',
      'src/lab/a.ts',
      "const b = await import('../cli/b.ts');",
      [
        "src/lab/a.ts:1: lab must not import cli ('../cli/b.ts'); it may import config, ports, api, cloudformation, addr, source",
      ],
    ],
    [
      'so is an import type',
      'src/ports/a.ts',
      "let b: import('../policy/b.ts').B;",
      ["src/ports/a.ts:1: ports must not import policy ('../policy/b.ts'); it may import wire"],
    ],
    [
      'so is a worker',
      'src/ports/a.ts',
      "new Worker(new URL('../dataplane/worker.js', import.meta.url));",
      [
        "src/ports/a.ts:1: ports must not import dataplane ('../dataplane/worker.js'); it may import wire",
      ],
    ],
    [
      'a program of its own is none',
      'src/lab/a.ts',
      "spawn(node, [new URL('../main.js', import.meta.url).pathname]);",
      [],
    ],
    [
      'a text that looks like an import is none',
      'src/wire/a.ts',
      'const text = "import \'../cli/b.ts\'";',
      [],
    ],
    [
      'out of src',
      'src/wire/a.ts',
      "import '../../test/b.ts';",
      ["src/wire/a.ts:1: '../../test/b.ts' is outside src/"],
    ],
    [
      'a folder nobody put into the table',
      'src/extra/a.ts',
      "import '../wire/b.ts';",
      ['src/extra/a.ts:1: src/extra is not in the table of import directions'],
    ],
    ['the one door', 'src/addr/a.ts', "import ipaddr from 'ipaddr.js';", []],
    [
      'another door',
      'src/policy/a.ts',
      "import ipaddr from 'ipaddr.js';",
      ["src/policy/a.ts:1: only src/addr/ may import 'ipaddr.js'"],
    ],
    ['metrics and its parts', 'src/metrics/text.ts', "import { Registry } from 'prom-client';", []],
    [
      'prom-client elsewhere',
      'src/daemon/reload.ts',
      "import { Registry } from 'prom-client';",
      ["src/daemon/reload.ts:1: only src/metrics/ may import 'prom-client'"],
    ],
    [
      'cap elsewhere',
      'src/ports/tun.ts',
      "const cap = require('cap');",
      ["src/ports/tun.ts:1: only src/ports/pcap.ts may import 'cap'"],
    ],
    ['the door of libsql', 'src/store/sqlite.ts', "import Libsql from 'libsql';", []],
    [
      'libsql elsewhere',
      'src/store/check.ts',
      "import Libsql from 'libsql';",
      ["src/store/check.ts:1: only src/store/sqlite.ts may import 'libsql'"],
    ],
    [
      'the page has its own packages and the types of its server',
      'src/console/page/views/a.tsx',
      "import { h } from 'preact/hooks'; import type { A } from '../../contract.ts'; import '../b.ts';",
      [],
    ],
    [
      'the page knows nothing else of its server',
      'src/console/page/a.tsx',
      "import { b } from '../b.ts';",
      [
        "src/console/page/a.tsx:1: console/page must not import console ('../b.ts'); it may import addr",
      ],
    ],
    [
      'the page runs in a browser',
      'src/console/page/a.ts',
      "import 'node:fs'; import { parse } from 'yaml';",
      [
        "src/console/page/a.ts:1: 'node:fs' is not in a browser",
        "src/console/page/a.ts:1: 'yaml' is not a package of the page",
      ],
    ],
    [
      'no program has the page',
      'src/console/a.ts',
      "import { b } from './page/b.ts'; import 'preact';",
      [
        "src/console/a.ts:1: console must not import console/page ('./page/b.ts'); it may import control-socket, queries, explain, config, lint, outputs, reach, policy, addr, source",
        "src/console/a.ts:1: 'preact' is not a dependency in package.json",
      ],
    ],
    [
      'undeclared',
      'src/cli/a.ts',
      "import x from 'left-pad/x.js';",
      ["src/cli/a.ts:1: 'left-pad' is not a dependency in package.json"],
    ],
    [
      'a built-in by its short name',
      'src/cli/a.ts',
      "import fs from 'fs';",
      ["src/cli/a.ts:1: write 'node:fs' for the built-in 'fs'"],
    ],
  ];
  for (const [name, path, text, breaches] of cases) {
    test(name, () => {
      assert.deepEqual(importBreaches(new Map([[path, text]]), packages), breaches);
    });
  }
});

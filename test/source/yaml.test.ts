import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Problem } from '../../src/source/problem.ts';
import {
  ALIASED_NODES_MAX,
  get,
  parseDocument,
  readDocument,
  toPlain,
  type Node,
} from '../../src/source/yaml.ts';

interface Read {
  readonly root: Node | undefined;
  /** `line:column code path: message` */
  readonly lines: readonly string[];
  readonly problems: readonly Problem[];
}

function read(text: string): Read {
  const problems: Problem[] = [];
  const root = parseDocument('f.yaml', text, problems);
  return {
    root,
    problems,
    lines: problems.map(
      ({ at, code, path, message }) => `${at?.line}:${at?.column} ${code} ${path}: ${message}`,
    ),
  };
}

function plain(text: string): string {
  const { root, lines } = read(text);
  assert.deepEqual(lines, [], text);
  return JSON.stringify(toPlain(root!));
}

test('scalars mean what YAML 1.2 says', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['[10.0.0.11, fd00:10::11, ::/0, fd00::/8]', '["10.0.0.11","fd00:10::11","::/0","fd00::/8"]'],
    ['{ from: sg:web }', '{"from":"sg:web"}'],
    ['ports: 22:25', '{"ports":"22:25"}'],
    ['a: [yes, no, on, true, ~, null, "1"]', '{"a":["yes","no","on",true,null,null,"1"]}'],
    ['a: 2020-01-01', '{"a":"2020-01-01"}'],
    ['a: !!str 22', '{"a":"22"}'],
    // A directive must not bring back YAML 1.1, where these are 1345 and true.
    ['%YAML 1.1\n---\na: [22:25, yes]', '{"a":["22:25","yes"]}'],
    ['{"a":\n\t{"b":\t[1,2]}}', '{"a":{"b":[1,2]}}'],
    ['\ufeffa: 1\r\nb: 2\r\n', '{"a":1,"b":2}'],
    ['{a, b: }', '{"a":null,"b":null}'],
    ['12: a', '{"12":"a"}'],
    ['__proto__: { a: 1 }', '{"__proto__":{"a":1}}'],
  ];
  for (const [text, json] of cases) assert.equal(plain(text), json, text);
});

test('numbers keep the text they were written in', () => {
  const { root } = read('[08, 0x10, 1e3, 0o17, 12345678901234567890, "08"]');
  assert.ok(root?.kind === 'list');
  assert.deepEqual(
    root.items.map((item) => (item.kind === 'scalar' ? [item.value, item.text] : [])),
    [
      [8, '08'],
      [16, '0x10'],
      [1000, '1e3'],
      [15, '0o17'],
      [12345678901234567890, '12345678901234567890'],
      ['08', '08'],
    ],
  );
});

test('every node knows its place, its path and its tag', () => {
  const { root } = read('groups:\n  db-1:\n    - ports: !Ref Port\n      "a b": !If [x, y]\n');
  const list = get(get(root, 'groups'), 'db-1');
  assert.ok(list?.kind === 'list');
  const item = list.items[0];
  const ports = get(item, 'ports');
  assert.deepEqual(ports, {
    kind: 'scalar',
    at: { file: 'f.yaml', line: 3, column: 19 },
    path: 'groups["db-1"][0].ports',
    tag: '!Ref',
    value: 'Port',
    text: 'Port',
  });
  const call = get(item, 'a b');
  assert.equal(call?.path, 'groups["db-1"][0]["a b"]');
  assert.equal(call?.tag, '!If');
  assert.ok(item.kind === 'mapping');
  assert.deepEqual(
    item.entries.map(({ key, keyAt }) => [key, keyAt.line, keyAt.column]),
    [
      ['ports', 3, 7],
      ['a b', 4, 7],
    ],
  );
  assert.equal(Object.hasOwn(item, 'tag'), false);
});

test('what is no YAML is refused with its place', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', '1:1 empty-document : the file is empty'],
    ['# nothing', '1:1 empty-document : the file is empty'],
    ['a:\n\t- b', '2:1 yaml-syntax : not valid YAML: Tabs are not allowed as indentation'],
    [
      'a: fd00:10::',
      '1:4 yaml-syntax : not valid YAML: Nested mappings are not allowed in compact mappings',
    ],
    ['a: *x', '1:4 yaml-alias a: alias *x has no anchor &x before it'],
    ['a: &x [*x]', '1:8 yaml-alias a[0]: alias *x stands inside its own anchor &x'],
    ['? [a]\n: b', '1:3 yaml-key : a key must be plain text'],
    ['a: !!binary aGk=', '1:13 yaml-tag a: the tag !!binary is not supported'],
    ['a: 1\nb: 2\na: 3', "3:1 duplicate-key a: key 'a' is given twice: on line 1 and on line 3"],
  ];
  for (const [text, line] of cases) assert.deepEqual(read(text).lines, [line], text);
});

test('a second document is refused', () => {
  const { root, problems } = read('a: 1\n---\nb: 2\n');
  assert.equal(root, undefined);
  assert.deepEqual(
    problems.map(({ code, hint }) => [code, hint]),
    [['yaml-syntax', "keep one document a file: remove the line '---' and what follows it"]],
  );
});

describe('limits', () => {
  test('aliases may be used, each with the path of its use and the place of the text', () => {
    const { root, lines } = read('a: &x { p: [1] }\nb: { c: *x }');
    assert.deepEqual(lines, []);
    const used = get(get(get(root, 'b'), 'c'), 'p');
    assert.equal(used?.path, 'b.c.p');
    assert.deepEqual(used?.at, { file: 'f.yaml', line: 1, column: 12 });
  });

  test('aliases that multiply are stopped by name', () => {
    const level = (name: string, of: string): string =>
      `${name}: &${name} [${Array.from({ length: 10 }, () => of).join(', ')}]`;
    const bomb = [
      level('a', 'x'),
      level('b', '*a'),
      level('c', '*b'),
      level('d', '*c'),
      level('e', '*d'),
      level('f', '*e'),
    ].join('\n');
    const { root, problems } = read(bomb);
    assert.equal(root, undefined);
    assert.deepEqual(
      problems.map(({ code, message, at }) => [code, message, at?.line]),
      [
        [
          'yaml-alias-expansion',
          `the aliases expand to more than ${ALIASED_NODES_MAX} values; the limit was passed at alias *d`,
          5,
        ],
      ],
    );
  });

  test('depth is bounded, however it is made', () => {
    const indented = Array.from({ length: 1500 }, (_, i) => `${' '.repeat(i)}a:`).join('\n');
    const deep: readonly (readonly [string, string])[] = [
      ['['.repeat(101) + ']'.repeat(101), '1:101'],
      ['[\n'.repeat(200_000), '101:1'],
      ['- '.repeat(200_000), '1:201'],
      [`a: ${'{b: '.repeat(101)}`, '1:404'],
    ];
    for (const [text, at] of deep)
      assert.deepEqual(read(text).lines, [
        `${at} too-deep : the file is nested more than 100 levels deep`,
      ]);
    assert.deepEqual(
      read(indented).problems.map(({ code }) => code),
      ['too-deep'],
    );
    assert.equal(read('['.repeat(100) + ']'.repeat(100)).problems.length, 0);
    assert.equal(read(Array.from({ length: 300 }, () => '- - [a]\n').join('')).problems.length, 0);
  });
});

describe('files', () => {
  test('that can not be read say why and what to do', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'sgt-yaml-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const file = (name: string, content: string | Uint8Array): string => {
      writeFileSync(join(directory, name), content);
      return join(directory, name);
    };
    const cases: readonly (readonly [string, string])[] = [
      [join(directory, 'none'), "the file can't be read: ENOENT"],
      [directory, "the file can't be read: it is a directory"],
      [join(file('plain', 'a: 1'), 'x'), "the file can't be read: ENOTDIR"],
      [file('large', 'x'.repeat(1001)), 'the file has 1001 bytes; at most 1000 are read'],
      [file('latin1', Uint8Array.of(0x61, 0x3a, 0x20, 0xe4)), 'the file is not UTF-8 text'],
    ];
    for (const [path, message] of cases) {
      const problems: Problem[] = [];
      assert.equal(readDocument(path, problems, { maxBytes: 1000 }), undefined);
      assert.deepEqual(
        problems.map((problem) => [problem.message, problem.at, problem.hint !== undefined]),
        [[message, { file: path, line: 0, column: 0 }, true]],
      );
    }
    assert.equal(JSON.stringify(toPlain(readDocument(file('good', 'a: 1'), [])!)), '{"a":1}');
  });
});

test('any text gives a tree or a problem, and never an exception', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '- ',
      'a: ',
      '[',
      ']',
      '{',
      '}',
      ', ',
      '\n',
      '  ',
      '&x ',
      '*x',
      '!y ',
      '"',
      "'",
      '|\n',
      '? ',
      ': ',
      '#',
      '---\n',
      '%YAML 1.1\n',
      '\t',
      '\0',
      '\ud800',
      '<<: ',
      '!!set ',
    ),
    fc.string({ maxLength: 5 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const { root, problems } = read(pieces.join(''));
      assert.ok(root !== undefined || problems.some(({ severity }) => severity === 'error'));
    }),
    { numRuns: 2000 },
  );
});

test('what JSON.stringify writes is read back', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4, noUnicodeString: false }), (value) => {
      fc.pre(value !== null);
      const text = JSON.stringify(value);
      assert.equal(JSON.stringify(toPlain(read(text).root!)), JSON.stringify(JSON.parse(text)));
    }),
  );
});

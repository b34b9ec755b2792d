/** The fast reader of plain YAML and JSON against the library: the same tree, to the last position, or none. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPlainText } from '../../src/source/plain-yaml.ts';
import type { Problem } from '../../src/source/problem.ts';
import { DEPTH_MAX, parseAnyDocument, PLAIN_LIMITS, type Dialect } from '../../src/source/yaml.ts';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';

const DIALECTS: readonly Dialect[] = ['core', 'aws'];

/**
 * Both readings, which must agree where the fast one gives a tree, with the line breaks of Windows too.
 * @returns whether it does
 */
function compare(text: string, dialect: Dialect): boolean {
  const isPlain = compareOne(text, dialect);
  const ofWindows = text.replaceAll(/\r?\n/g, '\r\n');
  if (ofWindows !== text)
    assert.equal(compareOne(ofWindows, dialect), isPlain, JSON.stringify(text));
  return isPlain;
}

function compareOne(text: string, dialect: Dialect): boolean {
  const fast = readPlainText('f', text, dialect, PLAIN_LIMITS);
  if (fast === undefined) return false;
  const problems: Problem[] = [];
  const slow = parseAnyDocument('f', text, problems, dialect);
  assert.deepEqual(problems, [], JSON.stringify(text));
  assert.deepEqual(fast, slow, JSON.stringify(text));
  return true;
}

const SCALARS = [
  ...['a', 'web', '10.0.0.0/8', '::/0', 'fd00::1', '22', '0443', '08', '1e3', '1.5', '-1', '1_000'],
  ...['true', 'True', 'yes', 'No', 'off', 'null', '~', '.inf', '0x1F', '22:25', '2012-10-17', '='],
  ...["''", "'it''s'", '""', '"a\\"b"', '"\\u00e9\\n"', "'no'", 'a b  c', 'a#b', "don't", 'a, [b]'],
  ...[
    'a # comment',
    "'a'  # comment",
    'ä ö',
    'a:b',
    'a: b',
    'a:',
    '- a',
    '&x a',
    '*x',
    '!!str 1',
    '@a',
  ],
  ...['!Ref A', '!Ref "A"', '!GetAtt A.B', '!Sub ${A}', '!GetAtt [A, B]', '[]', '{}', '[a, b ,c]'],
  ...[
    '{ Ref: A }',
    '{a: b, "c": [d]}',
    '[!Ref A, 1]',
    '[a, ]',
    '[a: b]',
    '{a}',
    '[1, -1, yes]',
    '{ a b, c: d }',
    '{ a b: c }',
  ],
  ...[
    '|\n%  x\n%  y',
    '|-\n%  x\n%   y\n\n%  z\n',
    '>\n%  x\n%  y',
    '>-\n%  x\n\n%  y',
    '|+\n%  x\n',
  ],
  ...[
    '!Sub |\n%  a: b\n%  # c',
    'a\n%  b',
    '',
    ' ',
    '#',
    '"a\n%  b"',
    '[a,\n%  b]',
    '<<',
    '% a',
    '`a`',
  ],
  ...[
    '|\n\n%  a',
    '| # c\n%  a',
    '|2\n%  a',
    '>\n%  a \n%  b',
    '--- a',
    '...',
    '? a',
    "'a' b",
    '"\\x41"',
  ],
];
const KEYS = [
  'a',
  'b',
  'Type',
  'Fn::If',
  '"q"',
  "'s'",
  '0123',
  'yes',
  'a b',
  '<<',
  'a/b.c',
  '-',
  '443',
  'a ',
  '? x',
  '... x',
  '...',
  '--- x',
  'ü',
];

type Tree = { readonly kind: 'leaf'; readonly text: string } | Branch;
interface Branch {
  readonly kind: 'map' | 'list' | 'left';
  readonly tag: string;
  readonly gap: string;
  readonly step: number;
  readonly items: readonly (readonly [string, Tree])[];
}

const { tree } = fc.letrec<{ tree: Tree; leaf: Tree; branch: Branch }>((tie) => ({
  leaf: fc.record({ kind: fc.constant('leaf' as const), text: fc.constantFrom(...SCALARS) }),
  branch: fc.record({
    kind: fc.constantFrom('map', 'map', 'list', 'left'),
    tag: fc.constantFrom('', '', '', ' !If', ' # why'),
    gap: fc.constantFrom('', '', '', '\n', '# c\n', '   # c\n', '\n\n'),
    step: fc.constantFrom(2, 2, 2, 1, 4),
    items: fc.array(fc.tuple(fc.constantFrom(...KEYS), tie('tree')), {
      minLength: 1,
      maxLength: 4,
    }),
  }),
  tree: fc.oneof({ maxDepth: 4 }, tie('leaf'), tie('branch')),
}));

function write(node: Tree, indent: number): string {
  const blanks = ' '.repeat(indent);
  if (node.kind === 'leaf') return ` ${node.text.replaceAll('%', blanks)}\n`;
  const isList = node.kind !== 'map';
  const left = node.kind === 'left' ? Math.max(0, indent - 2) : indent;
  const lines = node.items.map(([key, child]) => {
    const deeper = left + (isList ? 2 : node.step);
    const start = `${node.gap}${' '.repeat(left)}${isList ? '-' : `${key}:`}`;
    const text = write(child, deeper);
    // `- key: value` on one line.
    const isCompact = isList && child.kind === 'map' && child.tag === '' && child.gap === '';
    return start + (isCompact ? ` ${text.trimStart()}` : text);
  });
  return `${node.tag}\n${lines.join('')}`;
}

test('generated text: the tree of the library, or none', () => {
  let read = 0;
  let all = 0;
  fc.assert(
    fc.property(tree, fc.constantFrom(...DIALECTS), (root, dialect) => {
      all++;
      if (compare(write(root, 0).replace(/^ ?\n/, ''), dialect)) read++;
    }),
    { numRuns: 3000 },
  );
  assert.ok(read > all / 20, `only ${read} of ${all} were plain`);
});

test('JSON in any layout: the tree of the library, and always one', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.stringMatching(/^[A-Za-z:]{1,8}$/), fc.jsonValue({ maxDepth: 3 })),
      fc.constantFrom(0, 1, 2),
      fc.constantFrom(...DIALECTS),
      (value, indent, dialect) => {
        compare(JSON.stringify(value, undefined, indent), dialect);
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(compare('{\n  "a": [1, true, null, "b\\u00e9"],\n  "c": {}\n}\n', 'aws'));
});

const ROOT = repositoryRoot();
const FILES = repositoryFiles(ROOT).filter((file) => /\.(?:yaml|yml|json|template)$/.test(file));

test('the files of the project, whole and broken', () => {
  assert.ok(FILES.length > 50);
  const texts = FILES.map((file) => readFileSync(join(ROOT, file), 'utf8')).filter(
    (text) => text.length < 20_000,
  );
  const plain = texts.filter((text) => compare(text, 'aws'));
  assert.ok(plain.length > texts.length / 3, `${plain.length} of ${texts.length} were plain`);
  const pieces = [
    '\n',
    ' ',
    '  ',
    '-',
    ': ',
    '#',
    ' #',
    '"',
    "'",
    '[',
    ']',
    '{',
    '}',
    ',',
    '!',
    '|',
    '&a',
    '*a',
    '\t',
    '---\n',
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.nat(3),
      fc.constantFrom('', ...pieces),
      fc.constantFrom(...DIALECTS),
      (text, where, cut, piece, dialect) => {
        const at = Math.floor(where * text.length);
        const start = Math.max(0, text.lastIndexOf('\n', at - 400));
        const part = text.slice(start, at + 400);
        const inPart = at - start;
        compare(part.slice(0, inPart) + piece + part.slice(inPart + cut), dialect);
      },
    ),
    { numRuns: 3000 },
  );
});

/** Lines that may follow each other in any order and at any indentation. */
const line = fc.tuple(
  fc.nat(6),
  fc.constantFrom('', '', '', '- ', '- ', '-  ', '- - '),
  fc.constantFrom('', ...KEYS.map((key) => `${key}:`)),
  fc.constantFrom(' ', ' ', '  ', ''),
  fc.constantFrom('', '', ...SCALARS, '---', '# c', '{', '}', '[', ']', ',', '"', "'", '!If', '!'),
);

test('lines at random: the tree of the library, or none', () => {
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 7 }),
      fc.constantFrom(...DIALECTS),
      fc.boolean(),
      (lines, dialect, endsInBreak) => {
        const texts = lines.map(
          ([indent, dash, key, gap, value]) =>
            `${' '.repeat(indent)}${dash}${key}${gap}${value.replaceAll('%', ' '.repeat(indent))}`,
        );
        compare(texts.join('\n') + (endsInBreak ? '\n' : ''), dialect);
      },
    ),
    { numRuns: 5000 },
  );
});

/** Pieces in any order, in a text that starts as flow style does, or not. */
const PIECES = [
  ...[
    'a',
    'b',
    '1',
    '0',
    '.',
    ' ',
    '  ',
    '\n',
    '\n  ',
    ':',
    ': ',
    '- ',
    '-',
    '#',
    ' #',
    '"',
    "'",
    '[',
    ']',
  ],
  ...[
    '{',
    '}',
    ', ',
    ',',
    '!R ',
    '|',
    '>',
    '&',
    '*',
    '\\',
    '~',
    '?',
    '%',
    '=',
    '"a"',
    "'b'",
    'a: ',
    '<<',
  ],
  ...['true', 'null', '"a":', '1e3', '//', '\u00e9', '\u2028', '---', '...'],
];

test('pieces at random: the tree of the library, or none', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('', '', 'a: ', '- ', '{', '["', '{"a":'),
      fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 14 }),
      fc.constantFrom(...DIALECTS),
      (start, pieces, dialect) => {
        compare(start + pieces.join(''), dialect);
      },
    ),
    { numRuns: 5000 },
  );
});

test('what needs the library is left to it', () => {
  for (const text of [
    ...[
      '',
      'a',
      'a:',
      'a: b\na: c',
      'a: &x b',
      'a: *x',
      'a:\tb',
      'a: b\r',
      'a: b\rc: d\n',
      'a: b\r\r\n',
      '\uFEFFa: b',
      '<<: b',
    ],
    ...[
      '%YAML 1.1\n---\na: b',
      '  ---\n   a: b\n',
      'a: b\n---\nc: d',
      'a: b\n...',
      '... a: b\n',
      'a: b\n... c: d\n',
      'a: b\n  c',
      '{"a": 1 // no\n}',
      '{a: b}',
      'a: { b c, d: e }',
    ],
    'a: { b c, d: e }',
    `${'- '.repeat(DEPTH_MAX + 2)}a`,
    `${'['.repeat(DEPTH_MAX + 2)}${']'.repeat(DEPTH_MAX + 2)}`,
  ])
    assert.equal(readPlainText('f', text, 'aws', PLAIN_LIMITS), undefined, JSON.stringify(text));
  const tight = { depthMax: 2, nodesMax: 4 };
  assert.notEqual(readPlainText('f', 'a:\n  b: c\n', 'aws', tight), undefined);
  assert.equal(readPlainText('f', 'a:\n  b:\n    c: d\n', 'aws', tight), undefined);
  assert.equal(readPlainText('f', 'a: 1\nb: 1\nc: 1\nd: 1\n', 'aws', tight), undefined);
});

test('templates of common shape are plain', () => {
  const text = [
    '---',
    '# a comment',
    'AWSTemplateFormatVersion: "2010-09-09"',
    'Description: >-',
    '  what it is',
    '  for',
    'Resources:',
    '  Web:',
    '    Type: AWS::EC2::SecurityGroup',
    '    Properties:',
    '      SecurityGroupIngress:',
    '      - { IpProtocol: tcp, FromPort: 22, ToPort: 22, CidrIp: !Ref Cidr } # why',
    '      - IpProtocol: -1',
    '        SourceSecurityGroupId: !GetAtt [Web, GroupId]',
    '      - !If',
    '        - IsOn',
    '        - CidrIp: !Sub "${A}/32"',
    '        - !Ref AWS::NoValue',
    '      UserData: !Sub |',
    '        #!/bin/sh',
    '',
    '        echo',
    '',
  ].join('\n');
  for (const dialect of DIALECTS) assert.ok(compare(text, dialect), dialect);
});

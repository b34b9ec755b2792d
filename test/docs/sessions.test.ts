/** The reader of commands and the comparison of outputs: what commands.test.ts stands on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { matchesOutput } from './match-output.ts';
import { applyPatch, readSession } from './sessions.ts';

const page = (...lines: readonly string[]): string => lines.join('\n');

describe('reading a page', () => {
  test('commands with their output, and what the block needs', () => {
    const { blocks, breaches } = readSession(
      page(
        '```console root needs=nc,curl exit=1 wait=5',
        '$ one',
        'out',
        '',
        '> out too',
        '$ two \\',
        '> more',
        '```',
      ),
    );
    assert.deepEqual(breaches, []);
    assert.deepEqual(blocks, [
      {
        kind: 'commands',
        line: 1,
        needsRoot: true,
        tools: ['nc', 'curl'],
        exitCode: 1,
        waitMs: 5000,
        commands: [
          { line: 2, text: 'one', output: ['out', '', '> out too'] },
          { line: 6, text: 'two \\\nmore', output: undefined },
        ],
      },
    ]);
  });

  test('a sample is not compared', () => {
    const { blocks } = readSession(page('```console sample', '$ one', '17', '```'));
    const [block] = blocks;
    assert.ok(block.kind === 'commands');
    assert.deepEqual(block.commands, [{ line: 2, text: 'one', output: undefined }]);
  });

  test('files and changes; examples without a name are nothing', () => {
    const { blocks } = readSession(
      page(
        '```yaml file=a/b.yaml',
        'x: 1',
        '```',
        '```yaml',
        'y: 1',
        '```',
        '~~~diff file=a/b.yaml',
        '-x: 1',
        '~~~',
      ),
    );
    assert.deepEqual(blocks, [
      { kind: 'file', line: 1, name: 'a/b.yaml', text: 'x: 1\n' },
      { kind: 'patch', line: 7, name: 'a/b.yaml', text: '-x: 1\n' },
    ]);
  });

  test('a block in a block is text', () => {
    assert.deepEqual(readSession(page('````markdown', '```sh', 'rm -rf /', '```', '````')), {
      blocks: [],
      breaches: [],
    });
  });

  for (const [what, lines, breach] of [
    ['a shell script that nothing runs', ['```sh', 'ls', '```'], '1: nothing runs a block of sh'],
    [
      'commands in a bare block',
      ['```', 'text', '$ ls', '```'],
      '3: commands stand in a block of console',
    ],
    ['norun without a reason', ['```console norun', '$ ls', '```'], "1: '' is no reason of "],
    [
      'norun with a reason of its own',
      ['```sh norun reason=lazy', 'ls', '```'],
      "1: 'lazy' is no reason of ",
    ],
    [
      'an unknown setting',
      ['```console rooot', '$ ls', '```'],
      "1: console has no setting 'rooot'",
    ],
    ['output of nothing', ['```console', 'ls', '```'], '2: a console block starts with'],
    ['no number', ['```console wait=long', '$ ls', '```'], '1: wait=long is no number'],
    [
      'a file elsewhere',
      ['```yaml file=../x', '```'],
      "1: file=../x: a name below the page's folder",
    ],
  ] as const) {
    test(`refuses ${what}`, () => {
      const { breaches } = readSession(page(...lines));
      assert.ok(breaches[0]?.startsWith(breach), breaches.join('\n'));
    });
  }
});

describe('comparing output', () => {
  for (const [shown, printed, expected] of [
    [['a  b'], 'a b  \n', true],
    [['a'], 'a\nb\n', false],
    [['a', 'b'], 'a\n', false],
    [['a', '...'], 'a\n', true],
    [['...', 'b', '...', 'd'], 'a\nb\nb\nc\nd\n', true],
    [['...', 'b'], 'a\nb\nc\n', false],
    [['pid ... is up'], 'pid 12 is up\n', true],
    [['pid ... is up'], 'pid 12\nis up\n', false],
    [['#... ago  tcp'], '#4  1.2 s ago tcp\n', true],
    [['1.5 (x)'], '115 (x)\n', false],
    [['a'], 'waiting for the daemon to be ready… 2 s\nsgctl: making the lab…\na\n', true],
    [['a'], 'sgctl: no such lab\na\n', false],
  ] as const) {
    test(`${JSON.stringify(shown)} and ${JSON.stringify(printed)}: ${expected}`, () => {
      assert.equal(matchesOutput(shown, printed), expected);
    });
  }
});

describe('changing a file', () => {
  test('in several places', () => {
    assert.equal(applyPatch('a\nb\nc\nd\n', ' a\n-b\n+B\n@@\n-d\n'), 'a\nB\nc\n');
  });

  test('not where the lines are not, or are twice', () => {
    assert.throws(() => applyPatch('a\nb\n', '-c\n+d\n'), /^Error: the change fits nowhere:\n-c\n/);
    assert.throws(
      () => applyPatch('a\na\n', '-a\n'),
      /^Error: the change fits several places:\n-a\n/,
    );
  });
});

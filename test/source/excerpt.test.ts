import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { ExcerptReader, makeExcerpt, printable } from '../../src/source/excerpt.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-excerpt-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, content: string | Buffer): string {
  const file = join(directory, name);
  writeFileSync(file, content);
  return file;
}

describe('the mark', () => {
  /** The place is where `«` stands, which is taken out. */
  const cases: readonly (readonly [string, string, string])[] = [
    ['a word', '  web: «tpc', '       ^~~'],
    ['a key, without its colon', '  «web: {}', '  ^~~'],
    ['a key alone on its line', '«securityGroups:', '^~~~~~~~~~~~~~'],
    ['a value in brackets', '{ ports: «80000, from: x }', '         ^~~~~'],
    ['the last value in brackets', '[«10.0.0.01]', ' ^~~~~~~~~'],
    ['quotes', `from: «"fd00::/8" # x`, '      ^~~~~~~~~~'],
    ['quotes with escapes', String.raw`«"a\"b", c`, '^~~~~~'],
    ['doubled quotes', "«'it''s', c", '^~~~~~~'],
    ['a mapping', '- «{ a: { b: 1 }, c: "}" } # d', '  ^~~~~~~~~~~~~~~~~~~~~~~'],
    ['a list that goes on below', '  ports: «[80,', '         ^~~~'],
    ['before a comment', 'a: «b # c', '   ^'],
    ['an address with colons', 'a: «fd00:10::11', '   ^~~~~~~~~~~'],
    ['the end of the line', 'abc«', '   ^'],
    ['an empty line', '«', '^'],
  ];
  for (const [name, text, mark] of cases)
    test(name, () => {
      const line = text.replace('«', '');
      assert.deepEqual(
        { ...makeExcerpt(line, text.indexOf('«') + 1), units: 0 },
        { line, mark, units: 0 },
      );
    });

  test('stands under its place after tabs', () => {
    assert.deepEqual(makeExcerpt('\ta:\tbad', 5), {
      line: '    a:  bad',
      mark: '        ^~~',
      units: 3,
    });
  });

  test('stands under its place after wide, combining and double-unit characters', () => {
    // Two columns each; one column; two columns and two UTF-16 units.
    assert.deepEqual(makeExcerpt('規則: bad', 5), { line: '規則: bad', mark: '      ^~~', units: 3 });
    assert.deepEqual(makeExcerpt('e\u0301: bad', 5), { line: 'e\u0301: bad', mark: '   ^~~', units: 3 });
    assert.deepEqual(makeExcerpt('😀: bad', 5), { line: '😀: bad', mark: '    ^~~', units: 3 });
    assert.deepEqual(makeExcerpt('a: 規則', 4), { line: 'a: 規則', mark: '   ^~~~', units: 2 });
  }); // prettier-ignore
});

describe('long lines', () => {
  test('are cut around the place', () => {
    const line = `${'a, '.repeat(100)}bad, ${'b, '.repeat(100)}`;
    const { line: shown, mark } = makeExcerpt(line, 301);
    assert.equal(shown, `…${line.slice(260, 360).trimEnd()}…`);
    assert.equal(mark, `${' '.repeat(41)}^~~`);
  });

  test('are cut at one end only, if the place is near the other', () => {
    const line = 'bad, '.repeat(100);
    assert.equal(makeExcerpt(line, 1).line, `${line.slice(0, 99)} …`);
    assert.match(makeExcerpt(line, 496).line, /^….*bad,$/);
  });

  test('a mark that goes beyond the cut ends there', () => {
    const { line, mark } = makeExcerpt('x'.repeat(500), 1);
    assert.equal(line, `${'x'.repeat(100)}…`);
    assert.equal(mark, `^${'~'.repeat(99)}`);
  });

  test('cost no more than short ones', () => {
    const line = `{${' '.repeat(40_000_000)}x`;
    const before = process.cpuUsage();
    for (let i = 0; i < 1000; i++) makeExcerpt(line, 20_000_000 + i);
    const { user } = process.cpuUsage(before);
    // Going through the line once takes some 20 ms: a thousand times would be 20 s of the processor.
    assert.ok(user < 5e6, `${user} µs`);
  });

  test('whatever the line: no wider than allowed, nothing that steers a terminal, and no exception', () => {
    const line = fc
      .string({ unit: 'binary', maxLength: 2000 })
      .map((text) => text.replace(/\n/g, ''));
    fc.assert(
      fc.property(line, fc.nat(2000), (text, at) => {
        const { line: shown, mark } = makeExcerpt(text, Math.min(at, text.length) + 1);
        assert.equal(printable(shown), shown);
        assert.match(mark, /^ *\^~*$/);
        assert.ok(mark.length <= 102, mark);
      }),
    );
  });
});

describe('reading', () => {
  const file = write('lines.yaml', 'first: 1\r\nsecond: 2\r\n');
  const read = (line: number, column = 1, of = file): string | undefined =>
    new ExcerptReader().read({ file: of, line, column })?.line;

  test('takes the line without its end', () => {
    assert.deepEqual([read(1), read(2), read(3)], ['first: 1', 'second: 2', '']);
  });

  test('gives nothing for a place that is not there', () => {
    assert.deepEqual([read(0, 0), read(4), read(1, 10)], [undefined, undefined, undefined]);
    assert.equal(read(1, 1, join(directory, 'gone.yaml')), undefined);
    assert.equal(read(1, 1, directory), undefined);
  });

  test('gives nothing for a file that is too large', () => {
    const large = write('large.yaml', Buffer.alloc(4 * 1024 * 1024 + 1, 'a'));
    assert.equal(read(1, 1, large), undefined);
  });

  test('does not wait for a pipe', () => {
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    assert.equal(read(1, 1, pipe), undefined);
  });

  test('reads a file once', () => {
    const once = write('once.yaml', 'before\n');
    const reader = new ExcerptReader();
    const at = { file: once, line: 1, column: 1 };
    assert.equal(reader.read(at)?.line, 'before');
    writeFileSync(once, 'after\n');
    assert.equal(reader.read(at)?.line, 'before');
  });
});

test('escape sequences and text that runs backwards can not reach the terminal', () => {
  assert.equal(printable('a\x1b[2Jb\x07\x9b\u202ec\u2066d\ne'), 'a�[2Jb���c�d�e');
  assert.equal(makeExcerpt('a\x1b[31m: b', 1).line, 'a�[31m: b');
});

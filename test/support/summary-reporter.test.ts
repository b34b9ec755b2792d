/** The reporter counts correctly. It runs over fixtures in a process of its own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from './process.ts';

/** Runs `files` (name → text) under the reporter; returns its output in lines, and the exit code of node. */
async function report(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): Promise<{ lines: string[]; code: number | null }> {
  const folder = mkdtempSync(join(tmpdir(), 'summary-reporter-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(
      join(folder, name),
      `import { after, before, describe, test } from 'node:test';\n${text}\n`,
    );
  }
  const reporter = fileURLToPath(new URL('./summary-reporter.js', import.meta.url));
  // Without this variable gone, node takes the child for one of our own test files and runs nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const result = await run(
    process.execPath,
    ['--test', `--test-reporter=${reporter}`, ...Object.keys(files)],
    {
      cwd: folder,
      env,
    },
  );
  assert.equal(result.stderr, '');
  assert.equal(result.stdout.at(-1), '\n');
  return { lines: result.stdout.slice(0, -1).split('\n'), code: result.code };
}

const PASS = "test('passes', () => {});";
const FAIL = "test('fails', () => { throw new Error('boom'); });";
const SKIP = "test('skips', (t) => { t.skip('no kernel'); });";

describe('summary reporter', () => {
  test('one of each: the summary is the last line, the failure stands before it with its file', async (t) => {
    const { lines, code } = await report(t, { 'a.test.mjs': `${PASS}\n${FAIL}\n${SKIP}` });
    assert.equal(lines.at(-1), '1 passed, 1 failed, 1 skipped');
    assert.deepEqual(lines.slice(0, 5), [
      'a.test.mjs: 1 ok, 1 FAILED, 1 skipped',
      '',
      'skipped:',
      '  a.test.mjs:4: skips: no kernel',
      '',
    ]);
    assert.deepEqual(lines.slice(5, 8), ['failed:', '  a.test.mjs:3: fails', '    Error: boom']);
    assert.equal(code, 1);
  });

  test('several files add up, suites and parents are not counted', async (t) => {
    const { lines, code } = await report(t, {
      'a.test.mjs': `describe('suite', () => { ${PASS} describe('inner', () => { ${PASS} }); });`,
      'b.test.mjs': `describe('nothing in it', () => {}); test('parent', async (t) => { await t.test('child', () => {}); });`,
    });
    assert.deepEqual(lines, [
      'a.test.mjs: 2 ok',
      'b.test.mjs: 1 ok',
      '',
      '3 passed, 0 failed, 0 skipped',
    ]);
    assert.equal(code, 0);
  });

  test('skipped and todo are skipped, even if they pass or fail', async (t) => {
    const { lines, code } = await report(t, {
      'a.test.mjs': [
        "test('a', { skip: true }, () => {});",
        "test('b', { todo: true }, () => {});",
        "test('c', { todo: 'later' }, () => { throw new Error('boom'); });",
        `describe.skip('d', () => { ${PASS} });`,
      ].join('\n'),
    });
    assert.deepEqual(lines, [
      'a.test.mjs: 0 ok, 4 skipped',
      '',
      'skipped:',
      '  a.test.mjs:2: a: no reason given',
      '  a.test.mjs:3: b: todo',
      '  a.test.mjs:4: c: todo: later',
      '  a.test.mjs:5: d: no reason given',
      '',
      '0 passed, 0 failed, 4 skipped',
    ]);
    assert.equal(code, 0);
  });

  test('a failed child counts once, and carries the names of its parents', async (t) => {
    const { lines } = await report(t, {
      'a.test.mjs': `describe('suite', () => { describe('inner', () => { ${FAIL} ${PASS} }); });`,
    });
    assert.equal(lines.at(-1), '1 passed, 1 failed, 0 skipped');
    assert.ok(lines.includes('  a.test.mjs:2: suite > inner > fails'), lines.join('\n'));
  });

  test('a parent that fails by itself is not lost behind children that pass', async (t) => {
    const { lines } = await report(t, {
      'a.test.mjs': [
        "describe('suite', () => { after(() => { throw new Error('hook'); }); test('ran', () => {}); });",
        "test('parent', async (t) => { await t.test('child', () => {}); throw new Error('own'); });",
      ].join('\n'),
    });
    assert.equal(lines.at(-1), '2 passed, 2 failed, 0 skipped');
    assert.ok(lines.includes('  a.test.mjs:2: suite'), lines.join('\n'));
    assert.ok(lines.includes('  a.test.mjs:3: parent'), lines.join('\n'));
  });

  test('a file that ends badly fails, one without tests is named and counts for nothing', async (t) => {
    const { lines, code } = await report(t, {
      'a.test.mjs': 'process.exit(3);',
      'b.test.mjs': '',
      'c.test.mjs': PASS,
    });
    assert.equal(lines.at(-1), '1 passed, 1 failed, 0 skipped');
    assert.ok(lines.includes('  a.test.mjs: (the file itself)'), lines.join('\n'));
    assert.deepEqual(lines.slice(lines.indexOf('files without a test:')).slice(0, 2), [
      'files without a test:',
      '  b.test.mjs',
    ]);
    assert.equal(code, 1);
  });

  test('what a test prints goes through', async (t) => {
    const { lines } = await report(t, {
      'a.test.mjs': "test('a', () => { console.log('9 passed, 9 failed, 9 skipped'); });",
    });
    assert.equal(lines.filter((line) => line === '9 passed, 9 failed, 9 skipped').length, 1);
    assert.equal(lines.at(-1), '1 passed, 0 failed, 0 skipped');
  });
});

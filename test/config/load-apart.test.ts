/** A configuration read on another thread is the same, and so is what is wrong with it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfigApart, READ_HERE_BYTES } from '../../src/config/load-apart.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { repositoryRoot } from '../support/repository.ts';

const OPTIONS = { netnsDirectory: '/run/netns' };
/** Makes a text too large to be read here. */
const PADDING = `\n# ${'x'.repeat(READ_HERE_BYTES)}\n`;

// The first test, since a thread that one had started would be kept for the next.
test('a small one starts no thread, one with a large template does', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-apart-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const template = join(folder, 'template.yaml');
  const file = join(folder, 'secgroupd.yaml');
  writeFileSync(file, 'templates: [template.yaml]\n');
  let threads = 0;
  const count = (): void => void threads++;
  process.on('worker', count);
  t.after(() => process.off('worker', count));
  const group = `Resources:
  Web: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: web } }
`;
  for (const [text, wanted] of [
    [group, 0],
    [`${group}${PADDING}`, 1],
  ] as const) {
    writeFileSync(template, text);
    const { config, problems } = await loadConfigApart(file, OPTIONS);
    assert.equal(config?.model.groups.size, 2, JSON.stringify(problems));
    // The event comes with the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(threads, wanted, `${text.length} bytes`);
  }
});

test('read apart, a configuration is what it is here', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-apart-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const wrong = join(folder, 'wrong.yaml');
  writeFileSync(
    wrong,
    `securityGroups: { a: { ingres: [] } }\nflowLogs: { x: { format: "\${no}" } }\n${PADDING}`,
  );
  const demo = join(repositoryRoot(), 'config/demo.yaml');
  const long = join(folder, 'long.yaml');
  writeFileSync(long, `${readFileSync(demo, 'utf8')}${PADDING}`);
  for (const file of [demo, long, wrong, join(folder, 'missing.yaml')])
    assert.deepStrictEqual(await loadConfigApart(file, OPTIONS), loadConfig(file, OPTIONS), file);
});

test('read at once or one after the other, each caller gets its own', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-apart-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = [1, 2, 3].map((i) => {
    const file = join(folder, `${i}.yaml`);
    writeFileSync(file, `securityGroups: { g${i}: {} }\n${PADDING}`);
    return file;
  });
  const expected = files.map((file) => loadConfig(file, OPTIONS));
  for (let round = 0; round < 3; round++)
    assert.deepStrictEqual(
      await Promise.all(files.map((file) => loadConfigApart(file, OPTIONS))),
      expected,
    );
  for (const [i, file] of files.entries())
    assert.deepStrictEqual(await loadConfigApart(file, OPTIONS), expected[i]);
});

test('a large one lets others have their turn', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-apart-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'large.yaml');
  const entries = Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  writeFileSync(
    file,
    `quotas: { prefixListEntries: off }\nprefixLists: { l: { maxEntries: 20000, entries: [${entries.join(', ')}] } }\n`,
  );
  let turns = 0;
  let isDone = false;
  const take = (): void => {
    turns++;
    if (!isDone) setImmediate(take);
  };
  take();
  const { config } = await loadConfigApart(file, OPTIONS);
  isDone = true;
  const [list] = [...config!.model.prefixLists.values()];
  assert.equal(list.entries.length, 20_000);
  assert.ok(turns > 20, `${turns} turns`);
});

/** A configuration read on another thread is the same, and so is what is wrong with it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfigApart } from '../../src/config/load-apart.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { repositoryRoot } from '../support/repository.ts';

const OPTIONS = { netnsDirectory: '/run/netns' };

test('read apart, a configuration is what it is here', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-apart-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const wrong = join(folder, 'wrong.yaml');
  writeFileSync(
    wrong,
    'securityGroups: { a: { ingres: [] } }\nflowLogs: { x: { format: "${no}" } }\n',
  );
  const demo = join(repositoryRoot(), 'config/demo.yaml');
  for (const file of [demo, wrong, join(folder, 'missing.yaml')])
    assert.deepStrictEqual(await loadConfigApart(file, OPTIONS), loadConfig(file, OPTIONS), file);
});

test('read at once or one after the other, each caller gets its own', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-apart-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const files = [1, 2, 3].map((i) => {
    const file = join(folder, `${i}.yaml`);
    writeFileSync(file, `securityGroups: { g${i}: {} }\n`);
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

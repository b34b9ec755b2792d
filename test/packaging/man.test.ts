/** The manual pages: made from the code, complete, and without a mistake that roff sees. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { makePages, PAGES } from '../../scripts/man/pages.ts';
import { escapeRoff, quoteRoff } from '../../scripts/man/roff.ts';
import { apiCommand } from '../../src/api/options.ts';
import { dockerCommand } from '../../src/doors/docker/options.ts';
import { metadataCommand } from '../../src/metadata/options.ts';
import { describeCommand, listCommands } from '../../src/cli/completion-tree.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { daemonCommand } from '../../src/service/arguments.ts';
import { run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';

const pages = await makePages(repositoryRoot(), '2026-01-02');

/** As a reader sees it: hyphens are hyphens. */
function textOf(page: (typeof PAGES)[number]): string {
  return pages.get(page)!.replaceAll('\\-', '-').replaceAll('\\(dq', '"');
}

test('every subcommand and option of sgctl is in its page', async () => {
  const text = textOf('sgctl.1');
  for (const { path, options } of listCommands(describeCommand(await buildProgram())).slice(1)) {
    if (path.at(-1) === 'help') continue;
    assert.ok(text.includes(path.join(' ')), path.join(' '));
    for (const { flags } of options) assert.ok(text.includes(flags), `${path.join(' ')} ${flags}`);
  }
});

test('so are those of the daemon', () => {
  const text = textOf('secgroupd.8');
  for (const { options } of listCommands(describeCommand(daemonCommand(() => undefined))))
    for (const { flags } of options) assert.ok(text.includes(flags), flags);
});

test('so are those of the API server', () => {
  const text = textOf('secgroup-api.8');
  for (const { flags } of describeCommand(apiCommand(() => undefined)).options)
    assert.ok(text.includes(flags), flags);
});

test("so are those of Docker's driver", () => {
  const text = textOf('secgroupd-docker.8');
  for (const { flags } of describeCommand(dockerCommand(() => undefined)).options)
    assert.ok(text.includes(flags), flags);
});

test('so are those of secgroup-metadata', () => {
  const text = textOf('secgroup-metadata.8');
  for (const { flags } of describeCommand(metadataCommand(() => undefined)).options)
    assert.ok(text.includes(flags), flags);
});

test('the format page has keys, their types and the drop reasons', () => {
  const text = textOf('secgroupd.yaml.5');
  const entries = [
    '.B "uplink.mtu"\ninteger, 576–65535; 1500\n',
    '.B "ingress-rules"\nno ingress rule of the groups on the interface admits it.\n',
  ];
  for (const entry of entries) assert.ok(text.includes(entry), entry);
});

test('the date is the one given', () => {
  for (const text of pages.values()) assert.match(text, /^\.TH \S+ \d "2026-01-02" /);
});

test('text can not become a request or an escape of roff', () => {
  assert.equal(escapeRoff(".so x\n'br\na\\fB --b"), "\\&.so x\n\\&'br\na\\efB \\-\\-b");
  assert.equal(quoteRoff('a "b"\nc'), '"a \\(dqb\\(dq c"');
});

test('groff has no complaint', async (t) => {
  if (!requireTools(t, 'groff')) return;
  const folder = mkdtempSync(join(tmpdir(), 'sgt-man-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const name of PAGES) {
    const file = join(folder, name);
    writeFileSync(file, pages.get(name)!);
    const result = await run('groff', ['-man', '-Tutf8', '-Kutf8', '-ww', '-z', file]);
    assert.deepEqual([result.code, result.stderr], [0, ''], name);
  }
});

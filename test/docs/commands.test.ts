/**
 * Every command in README.md and docs/ does what the page says. The convention is told in CONTRIBUTING.md, "Docs".
 *
 * Starts early: all the pages take minutes.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';
import { whyNoPodman } from '../support/podman.ts';
import { findTool } from '../support/require.ts';
import { NEEDS_PROVIDER, terraformSettings } from '../support/terraform.ts';
import { matchesOutput } from './match-output.ts';
import { NOT_RUN } from './not-run.ts';
import { PageShell, whyNotPrivate } from './page-shell.ts';
import {
  applyPatch,
  readSession,
  type Command,
  type CommandBlock,
  type FileBlock,
} from './sessions.ts';

/** Pages wait for packets more than they compute. */
const PAGES_AT_ONCE = 2;
const RETRY_MS = 100;
/** A page says how long a machine takes that has nothing else to do. Here many programs start at once. */
const BUSY_FACTOR = 8;

const root = repositoryRoot();
const pages = repositoryFiles(root)
  .filter((path) => /^(?:README|CONTRIBUTING|docs\/.*)\.md$/.test(path))
  .map((path) => ({ path, session: readSession(readFileSync(join(root, path), 'utf8')) }));

test('every block of commands is run, or says why not', (t) => {
  const breaches = pages.flatMap(({ path, session }) =>
    session.breaches.map((breach) => `${path}:${breach}`),
  );
  assert.deepEqual(breaches, []);
  for (const { path, session } of pages) {
    for (const block of session.blocks)
      if (block.kind === 'not-run')
        t.diagnostic(`not run: ${path}:${block.line} (${NOT_RUN[block.reason] ?? block.reason})`);
  }
});

const notPrivate = whyNotPrivate();

describe('the commands of', { concurrency: PAGES_AT_ONCE }, () => {
  for (const { path, session } of pages) {
    if (!session.blocks.some(({ kind }) => kind === 'commands')) continue;
    test(path, async (t) => {
      const shell = new PageShell(join(root, 'config'), notPrivate === undefined);
      try {
        await runPage(t, shell, session.blocks);
      } finally {
        await shell.close();
      }
    });
  }
});

async function runPage(
  t: TestContext,
  shell: PageShell,
  blocks: ReturnType<typeof readSession>['blocks'],
): Promise<void> {
  let failed: string | undefined;
  let missing: string | undefined;
  for (const block of blocks) {
    if (block.kind === 'not-run') continue;
    if (block.kind !== 'commands') {
      if (failed === undefined) writeBlock(shell, block);
      continue;
    }
    const needs = block.needsRoot || block.tools.length > 0;
    if (needs) missing ??= whyNotHere(block);
    const skip = failed ?? (needs ? missing : undefined) ?? false;
    const title = `line ${block.line}: ${block.commands[0]?.text.split('\n')[0] ?? ''}`;
    await t.test(title, { skip }, async () => {
      failed = `line ${block.line} failed`;
      for (const command of block.commands) await runCommand(shell, block, command);
      failed = undefined;
    });
  }
}

/** What the block needs and the machine lacks. */
function whyNotHere({ needsRoot, tools, line }: CommandBlock): string | undefined {
  if (needsRoot && notPrivate !== undefined) return notPrivate;
  const lacking = tools.filter((tool) => findTool(tool) === undefined);
  if (lacking.length > 0) return `line ${line} needs ${lacking.join(', ')}`;
  if (tools.includes('terraform') && terraformSettings() === undefined)
    return `line ${line} ${NEEDS_PROVIDER}`;
  const noPodman = tools.includes('podman') ? whyNoPodman() : undefined;
  return noPodman === undefined ? undefined : `line ${line} ${noPodman}`;
}

function writeBlock(shell: PageShell, { kind, name, text }: FileBlock): void {
  const path = join(shell.folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, kind === 'file' ? text : applyPatch(readFileSync(path, 'utf8'), text));
}

async function runCommand(
  shell: PageShell,
  { exitCode, waitMs }: CommandBlock,
  { line, text, output }: Command,
): Promise<void> {
  const until = performance.now() + BUSY_FACTOR * waitMs;
  for (;;) {
    const ran = await shell.run(text);
    const fits = output === undefined || matchesOutput(output, ran.output);
    if (ran.status === exitCode && fits) return;
    if (performance.now() < until) {
      await sleep(RETRY_MS);
      continue;
    }
    const shown = output === undefined ? '' : `\nThe page shows:\n${output.join('\n')}`;
    const wrong =
      ran.status === exitCode ? 'other output' : `exit code ${ran.status}, not ${exitCode}`;
    assert.fail(`line ${line}: ${text}\n${wrong}. It printed:\n${ran.output}${shown}`);
  }
}

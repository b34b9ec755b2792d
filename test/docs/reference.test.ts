/** The generated pages are what the code would generate now. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import {
  configurationPage,
  dropReasonsPage,
  exitCodesPage,
  metricsPage,
} from '../../scripts/docs/reference.ts';
import { EXIT_CODES, exitCodeHelp, type CommandPath } from '../../src/cli/exit-codes.ts';
import type { Action } from '../../src/api/action.ts';
import { servedActions } from '../../src/api/served-actions.ts';
import { apiCommand } from '../../src/api/options.ts';
import { dockerCommand } from '../../src/doors/docker/options.ts';
import { metadataCommand } from '../../src/metadata/options.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { daemonCommand } from '../../src/service/arguments.ts';
import { DAEMON_EXIT_CODES, daemonExitCodeHelp } from '../../src/service/exit-codes.ts';
import { makeActions } from '../api/actions.ts';
import { repositoryRoot } from '../support/repository.ts';

const root = repositoryRoot();
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

test('docs/drop-reasons.md is up to date; if not, run scripts/generate-docs', () => {
  assert.equal(read('docs/drop-reasons.md'), dropReasonsPage());
});

test('docs/metrics.md is up to date; if not, run scripts/generate-docs', () => {
  assert.equal(read('docs/metrics.md'), metricsPage());
});

test('docs/exit-codes.md is up to date; if not, run scripts/generate-docs', () => {
  assert.equal(read('docs/exit-codes.md'), exitCodesPage());
});

test('docs/ec2-api.md names the actions that are served, all of them and no other', async (t) => {
  let actions: readonly Action[] = [];
  const keys = { find: (): undefined => undefined };
  await makeActions(t, (managed) => (actions = servedActions(managed, { keys, now: Date.now })));
  const served = new Set(actions.map(({ service, name }) => `${service} ${name}`));
  const page = read('docs/ec2-api.md');
  const [, section = ''] = /^## What is served\n(.*?)^Anything else/ms.exec(page) ?? [];
  const named: string[] = [];
  let last: string | undefined;
  for (const [, service = '', names = ''] of section.matchAll(/^\| (\w*) *\| (.+?) *\|$/gm)) {
    if (service === 'service') continue;
    last = service === '' ? last : service.toLowerCase();
    for (const name of names.split(', ')) named.push(`${last} ${name}`);
  }
  assert.deepEqual(named.toSorted(), [...served].toSorted());
});

/** Commands that do something, by what is typed; `lab` and `help` themselves do not. */
function listActions(command: Command, path: string): Map<string, Command> {
  const found = new Map<string, Command>();
  const isGroup = command.commands.length > 0 && path !== 'sgctl flows' && path !== 'secgroupd';
  if (!isGroup) found.set(path, command);
  for (const child of command.commands)
    for (const [name, each] of listActions(child, `${path} ${child.name()}`)) found.set(name, each);
  return found;
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

test("every command's exit codes are in the table, and its help tells them", async () => {
  const commands = listActions(await buildProgram(), 'sgctl');
  assert.deepEqual([...commands.keys()].sort(), Object.keys(EXIT_CODES).sort());
  const missing = [...commands].filter(
    ([path, command]) => !helpOf(command).includes(`\n${exitCodeHelp(path as CommandPath)}\n`),
  );
  assert.deepEqual(
    missing.map(([path]) => path),
    [],
  );
});

test('so are those of the other programs', () => {
  const commands = new Map([
    ...listActions(
      daemonCommand(() => undefined),
      'secgroupd',
    ),
    ...listActions(
      apiCommand(() => undefined),
      'secgroup-api',
    ),
    ...listActions(
      dockerCommand(() => undefined),
      'secgroupd-docker',
    ),
    ...listActions(
      metadataCommand(() => undefined),
      'secgroup-metadata',
    ),
  ]);
  assert.deepEqual([...commands.keys()], Object.keys(DAEMON_EXIT_CODES));
  for (const [path, command] of commands) {
    const line = daemonExitCodeHelp(path as keyof typeof DAEMON_EXIT_CODES);
    assert.ok(helpOf(command).includes(`\n${line}\n`), path);
  }
});

test('docs/configuration.md is up to date; if not, run scripts/generate-docs', () => {
  const schema = JSON.parse(read('config/secgroupd.schema.json')) as Parameters<
    typeof configurationPage
  >[0];
  assert.equal(read('docs/configuration.md'), configurationPage(schema));
});

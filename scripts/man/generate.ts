/**
 * Writes the manual pages and completion scripts into a directory: `generate.js DIRECTORY`.
 * The date is that of SOURCE_DATE_EPOCH, so that a package built twice is the same twice.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bashCompletion } from '../../src/cli/completion-bash.ts';
import { fishCompletion } from '../../src/cli/completion-fish.ts';
import { describeCommand } from '../../src/cli/completion-tree.ts';
import { zshCompletion } from '../../src/cli/completion-zsh.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { makePages } from './pages.ts';

const MILLISECONDS = 1000;

// build/scripts/man/ is three below the root.
const root = fileURLToPath(new URL('../../..', import.meta.url));
const directory = process.argv[2];
const epoch = process.env['SOURCE_DATE_EPOCH'];
const date = epoch === undefined ? new Date() : new Date(Number(epoch) * MILLISECONDS);

mkdirSync(directory, { recursive: true });
for (const [name, text] of await makePages(root, date.toISOString().slice(0, 10)))
  writeFileSync(join(directory, name), text);
const program = describeCommand(await buildProgram());
writeFileSync(join(directory, 'sgctl.bash'), bashCompletion(program));
writeFileSync(join(directory, '_sgctl'), zshCompletion(program));
writeFileSync(join(directory, 'sgctl.fish'), fishCompletion(program));

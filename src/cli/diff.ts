/** `sgctl diff OLD NEW`: what two inputs allow, compared as who can reach whom, and not as text. */
import { writeFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { Option, type Command } from 'commander';
import type { Config } from '../config/config.ts';
import { messageOf } from '../lab/errors.ts';
import type { Difference } from '../reach/compare.ts';
import { loadOrPrint } from './check.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE } from './output.ts';
import { addTemplateOptions, type TemplateOptions } from './template-options.ts';
import { printJson } from './traffic-text.ts';

/** An input has errors, or the two are too large: nothing was compared. */
const EXIT_BAD_INPUT = 3;
/** Nothing newly passes, and something does not any more. */
const EXIT_NARROWER = 4;

interface DiffOptions extends TemplateOptions {
  readonly json?: true;
  readonly markdown?: true;
  readonly sarif?: true;
  readonly junit?: string;
}

export function addDiffCommand(program: Command): void {
  const command = program
    .command('diff')
    .summary('what two inputs allow: newly, no longer, the same')
    .description(
      'Compares what two inputs allow: which interfaces and which parts of the world can reach which, with what. How the rules are written does not matter. With a plan alone, it compares what the plan starts from with what it makes.',
    )
    .argument('<old>', INPUT_ARGUMENT)
    .argument('[new]', 'another one, of any kind; left out for a plan of Terraform')
    .addOption(
      new Option('--json', 'print the differences as JSON').conflicts(['markdown', 'sarif']),
    )
    .addOption(new Option('--markdown', 'print them for a pull request').conflicts(['sarif']))
    .option('--sarif', 'print them as SARIF 2.1.0, for code scanning')
    .option('--junit <file>', 'write them as JUnit XML, too')
    .addHelpText(
      'after',
      `
Interfaces are the same if they have the same name. What an input does not decide
is told as "perhaps". IPv4 and IPv6 are compared each by itself. What only an
audit lets pass counts as refused; that it passes is told beside it.

${exitCodeHelp('sgctl diff')}

Examples:
  sgctl diff plan.json
  sgctl diff account plan.json
  sgctl diff old.yaml new.yaml --markdown > comment.md`,
    );
  addTemplateOptions(command).action(runDiff);
}

async function runDiff(
  old: string,
  now: string | undefined,
  options: DiffOptions,
  command: Command,
): Promise<void> {
  const [before, after] = await loadBoth(old, now, options, command);
  if (before === undefined || after === undefined) {
    process.exitCode = EXIT_BAD_INPUT;
    return;
  }
  const { compareModels } = await import('../reach/compare.ts');
  const { differences, isTooLarge } = compareModels(before.model, after.model);
  if (isTooLarge) {
    console.error('error: there are too many kinds of interfaces and blocks to compare');
    process.exitCode = EXIT_BAD_INPUT;
    return;
  }
  process.exitCode = await exitCodeOf(differences);
  await print(differences, options);
  if (options.junit !== undefined) await writeJunit(differences, options.junit, now ?? old);
}

async function loadBoth(
  old: string,
  now: string | undefined,
  options: DiffOptions,
  command: Command,
): Promise<readonly [Config | undefined, Config | undefined]> {
  const { readTemplateOptions } = await import('./template-settings.ts');
  const read = readTemplateOptions(options, command);
  if (now === undefined) {
    const { recognize } = await import('../inputs/recognize.ts');
    const { isPlan } = await import('../inputs/terraform/read-terraform.ts');
    const input = recognize(old);
    if (input.kind !== 'terraform' || !isPlan(input.json.value))
      return command.error("error: missing required argument 'new' (a plan alone has both)");
    return [await loadOrPrint(old, { isPrior: true }), await loadOrPrint(old)];
  }
  // A stack is the same in both, whatever their files are called.
  const stackName = read.stackName ?? stackOf(now);
  const settings = { ...read, stackName };
  return [await loadOrPrint(old, { settings }), await loadOrPrint(now, { settings })];
}

/** The name of a file as that of a stack. */
function stackOf(file: string): string {
  const name = basename(file, extname(file)).replace(/[^A-Za-z0-9-]/g, '-');
  return /^[A-Za-z]/.test(name) ? name : `stack-${name}`;
}

async function exitCodeOf(differences: readonly Difference[]): Promise<number> {
  if (differences.length === 0) return EXIT_OK;
  const { isWider } = await import('./diff-output.ts');
  return differences.some(isWider) ? EXIT_FAILED : EXIT_NARROWER;
}

async function print(differences: readonly Difference[], options: DiffOptions): Promise<void> {
  const { differencesJson, differencesProblems, formatDifferences, formatMarkdown } =
    await import('./diff-output.ts');
  if (options.json === true) printJson(differencesJson(differences));
  else if (options.sarif === true) {
    const { makeSarif } = await import('./sarif.ts');
    printJson(makeSarif(differencesProblems(differences), process.cwd(), 'sgctl diff'));
  } else
    console.log(
      options.markdown === true ? formatMarkdown(differences) : formatDifferences(differences),
    );
}

async function writeJunit(
  differences: readonly Difference[],
  file: string,
  name: string,
): Promise<void> {
  const { differencesJunit } = await import('./diff-junit.ts');
  try {
    writeFileSync(file, differencesJunit(differences, name));
  } catch (thrown) {
    console.error(`error: cannot write ${file}: ${messageOf(thrown)}`);
    process.exitCode = EXIT_USAGE;
  }
}

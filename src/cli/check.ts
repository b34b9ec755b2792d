/**
 * `sgctl check FILE…`: reads configurations and templates as the daemon would, and reports everything wrong with
 * them.
 */
import { Option, type Command } from 'commander';
import type { Config } from '../config/config.ts';
import type { InputOptions, LoadedInput } from '../inputs/load-input.ts';
import { changeLines } from './change-lines.ts';
import type { Checked, CheckedFile } from './check-load.ts';
import { interfaceLines } from './template-interfaces.ts';
import { countSeverities, printProblems } from './check-text.ts';
import { count } from '../source/count.ts';
import { EXIT_FAILED, paint, programName } from './output.ts';
import { printJson } from './traffic-text.ts';
import { INPUTS_ARGUMENT } from './input-words.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { addTemplateOptions, type TemplateOptions } from './template-options.ts';

export const NETNS_DIRECTORY = '/run/netns';

interface CheckCommandOptions extends TemplateOptions {
  readonly json?: boolean;
  readonly sarif?: boolean;
  readonly strict?: boolean;
  readonly excerpt: boolean;
}

export function addCheckCommand(program: Command): void {
  const command = program.command('check');
  command
    .summary('check configurations and templates')
    .description(
      'Reads configurations with the templates they name, CloudFormation templates by themselves, plans and states of Terraform, and what an account has; tells every problem with file, line and what would be right, and warns of what AWS would refuse or what is surely not meant. Touches no device.',
    )
    .argument('<file...>', INPUTS_ARGUMENT)
    .addOption(new Option('--json', 'print the result as JSON on stdout').conflicts('sarif'))
    .option('--sarif', 'print the result as SARIF 2.1.0 on stdout, for code scanning')
    .option('--strict', 'let warnings fail as well')
    .option('--no-excerpt', 'leave out the lines of the text')
    .addHelpText('after', HELP);
  addTemplateOptions(command).action(runCheck);
}

const HELP = `
A file with Resources or AWSTemplateFormatVersion at its top is a template. By
itself it is read with the defaults of its parameters and those that are given;
what depends on its interfaces is checked in the configuration that names it.
What of it has network interfaces is listed with its groups: an interface of a
configuration takes them by from: STACK/LOGICAL-ID.
Templates see what the others export, in any order.

Of a plan (terraform show -json PLAN) it tells what of groups, rules, lists and
interfaces is added (+), changed (~), replaced (±) and removed (-). What a plan does
not decide is never taken for open or closed.

An error: the daemon would refuse the file. A warning: it works here, but AWS
would refuse it, or it is surely not meant. A notice: nothing to do about it.
Problems go to stderr, a line for each file to stdout.

${exitCodeHelp('sgctl check')}

Examples:
  sgctl check config/demo.yaml
  sgctl check --strict config/*.yaml templates/*.json
  sgctl check --json config/demo.yaml | jq '.problems[].message'
  sgctl check --sarif template.yaml > check.sarif
  sgctl check --region eu-west-1 --parameter Stage=live network.yaml service.yaml`;

async function runCheck(
  files: readonly string[],
  options: CheckCommandOptions,
  command: Command,
): Promise<void> {
  const checked = await checkGivenFiles(files, options, command);
  const isStrict = options.strict ?? false;
  const isGood = ({ ok, counts }: CheckedFile): boolean => ok && !(isStrict && counts.warnings > 0);
  const ok = checked.files.every(isGood);
  if (!ok) process.exitCode = EXIT_FAILED;
  if (options.sarif) {
    const { makeSarif } = await import('./sarif.ts');
    printJson(makeSarif(checked.problems, process.cwd()));
  } else if (options.json) {
    printJson(makeJson(checked, ok));
  } else {
    printProblems(checked.problems, options.excerpt);
    for (const file of checked.files) {
      console.log(summaryLine(file, isGood(file)));
      for (const line of interfaceLines(file.interfaces ?? [])) console.log(line);
      for (const line of changeLines(file.changes ?? [])) console.log(line);
    }
  }
}

function makeJson({ files, problems }: Checked, ok: boolean): object {
  const { error, warning, notice } = countSeverities(problems);
  return { ok, counts: { errors: error, warnings: warning, notices: notice }, files, problems };
}

function summaryLine({ file, kind, ok, counts }: CheckedFile, isGood: boolean): string {
  const warnings = count(counts.warnings, 'warning');
  if (!ok) return `${file}: ${count(counts.errors, 'error')}, ${warnings}`;
  const { groupsNotUnderstood } = counts;
  const good =
    groupsNotUnderstood === 0
      ? paint('ok', 'green')
      : paint(`${count(groupsNotUnderstood, 'group')} not wholly understood`, 'yellow');
  const parts = [
    isGood ? good : paint('warnings, and --strict', 'red'),
    ...(kind === 'template' || kind === 'assembly' ? [] : [count(counts.interfaces, 'interface')]),
    count(counts.groups, 'group'),
    count(counts.rules, 'rule'),
    warnings,
  ];
  return `${file}: ${parts.join(', ')}`;
}

/**
 * Reads the files given to a command, with the options for templates. Ends by command.error if the options don't fit.
 */
export async function checkGivenFiles(
  files: readonly string[],
  options: TemplateOptions,
  command: Command,
): Promise<Checked> {
  // Load the loaders only when they are needed: without them `lab exec` starts in half the time.
  const { checkFiles } = await import('./check-load.ts');
  const { readTemplateOptions } = await import('./template-settings.ts');
  const settings = readTemplateOptions(options, command);
  const places = { netnsDirectory: NETNS_DIRECTORY, cwd: process.cwd() };
  const checked = checkFiles(files, places, settings);
  if (settings.stackName !== undefined && checked.templates !== 1)
    command.error(
      `error: --stack-name names one stack, and ${count(checked.templates, 'template')} ${checked.templates === 1 ? 'is' : 'are'} given`,
    );
  if (checked.strangers.length > 0)
    command.error(`error: no template given has a parameter '${checked.strangers.join("', '")}'`);
  return checked;
}

/**
 * Reads the input for a command that goes on to use it. Warnings are counted, not printed: repeated every time, they
 * would bury the command's own output.
 * @returns undefined if it has errors; they are already printed
 */
export async function loadOrPrint(
  file: string,
  options: Partial<InputOptions> = {},
): Promise<Config | undefined> {
  const { loadInput } = await import('../inputs/load-input.ts');
  return tellLoaded(file, loadInput(file, { netnsDirectory: NETNS_DIRECTORY, ...options }));
}

/**
 * Reads the input of a command that is about its interfaces, with the options for templates and addresses.
 * @returns undefined if it has errors; they are already printed
 */
export async function loadPlaced(
  file: string,
  options: TemplateOptions & { readonly address?: ReadonlyMap<string, string> },
  command: Command,
): Promise<Config | undefined> {
  const { readTemplateOptions } = await import('./template-settings.ts');
  const settings = readTemplateOptions(options, command);
  const { address: addresses } = options;
  return loadOrPrint(file, {
    ...{ settings, needsInterfaces: true },
    ...(addresses === undefined ? {} : { addresses }),
  });
}

/** The same of what a daemon is to enforce: a configuration. */
export async function loadOwnOrPrint(file: string): Promise<Config | undefined> {
  const { loadConfig } = await import('../config/load-config.ts');
  return tellLoaded(file, loadConfig(file, { netnsDirectory: NETNS_DIRECTORY }));
}

/** Prints what is wrong with what was loaded. @returns the configuration, if there are no errors */
export function tellLoaded(
  file: string,
  { config, problems }: Pick<LoadedInput, 'config' | 'problems'>,
): Config | undefined {
  const { error, warning } = countSeverities(problems);
  if (config === undefined || error > 0) {
    printProblems(
      problems.filter(({ severity }) => severity === 'error'),
      true,
    );
    console.error(`${file}: ${count(error, 'error')}; nothing was touched`);
    return undefined;
  }
  tellWarnings(file, warning);
  return config;
}

/** Prints how many warnings there are, and how to see them. */
export function tellWarnings(file: string, warnings: number): void {
  if (warnings === 0) return;
  const label = paint('warning:', 'yellow', process.stderr);
  const what = `${count(warnings, 'thing')} that AWS or you might object to`;
  console.error(`${file}: ${label} ${what}; see: ${programName()} check ${file}`);
}

/** `sgctl check FILE`: reads a configuration as the daemon would, and tells everything that is wrong with it. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { Config } from '../control/config.ts';
import { loadConfig } from '../control/load-config.ts';
import { formatProblem } from '../source/problem.ts';
import type { Problem, Severity } from '../source/problem.ts';
import { EXIT_FAILED, paint } from './output.ts';
import type { Style } from './output.ts';

const NETNS_DIRECTORY = '/run/netns';

export function addCheckCommand(program: Command): void {
  program
    .command('check')
    .summary('check a configuration without touching anything')
    .description(
      'Reads a configuration and the templates it names as the daemon would, and tells every problem with file, line and what would be right. Touches no device.',
    )
    .argument('<file>', 'configuration (YAML)')
    .option('--json', 'print the result as JSON on stdout')
    .addHelpText(
      'after',
      `
Exit code: 0 if the daemon would take it (warnings are no errors), 1 if not.

Examples:
  sgctl check config/demo.yaml
  sgctl check --json config/demo.yaml | jq '.problems[].message'`,
    )
    .action((file: string, options: { json?: boolean }) => {
      if (!checkFile(file, options.json ?? false)) process.exitCode = EXIT_FAILED;
    });
}

/** Prints what is wrong with `file`; true if the daemon would take it. */
function checkFile(file: string, asJson: boolean): boolean {
  const { config, problems } = loadConfig(file, { netnsDirectory: NETNS_DIRECTORY });
  const counts = countSeverities(problems);
  const isOk = config !== undefined && counts.error === 0;
  if (asJson) {
    console.log(JSON.stringify({ file, ok: isOk, counts: summarize(config, counts), problems }));
    return isOk;
  }
  printProblems(problems);
  if (config === undefined || !isOk) {
    console.log(`${file}: ${count(counts.error, 'error')}, ${count(counts.warning, 'warning')}`);
    return false;
  }
  const { interfaces, groups, rules } = summarize(config, counts);
  const parts = [
    count(interfaces, 'interface'),
    count(groups, 'group'),
    count(rules, 'rule'),
    count(counts.warning, 'warning'),
  ];
  console.log(`${file}: ${paint('ok', 'green')}, ${parts.join(', ')}`);
  return true;
}

const STYLE_OF: Readonly<Record<Severity, Style>> = {
  error: 'red',
  warning: 'yellow',
  notice: 'dim',
};

/** Prints problems on stderr, as compilers do. */
export function printProblems(problems: readonly Problem[]): void {
  for (const problem of problems) {
    const { severity } = problem;
    const styled = paint(`${severity}:`, STYLE_OF[severity], process.stderr);
    // A function, because `$` in what a person wrote would be a pattern in a replacement text.
    console.error(formatProblem(problem).replace(`${severity}:`, () => styled));
  }
}

/**
 * Reads the configuration for a command that goes on to use it.
 * @returns undefined if it has errors, which are printed by then
 */
export function loadOrPrint(file: string): Config | undefined {
  const { config, problems } = loadConfig(file, { netnsDirectory: NETNS_DIRECTORY });
  const { error } = countSeverities(problems);
  printProblems(error > 0 ? problems : problems.filter(({ severity }) => severity !== 'notice'));
  if (config === undefined || error > 0) {
    const what = existsSync(file) ? count(error, 'error') : 'no such file';
    console.error(`${file}: ${what}; nothing was touched`);
    return undefined;
  }
  return config;
}

type Counts = Readonly<Record<Severity, number>>;

function countSeverities(problems: readonly Problem[]): Counts {
  const counts = { error: 0, warning: 0, notice: 0 };
  for (const { severity } of problems) counts[severity] += 1;
  return counts;
}

function summarize(
  config: Config | undefined,
  counts: Counts,
): Record<string, number> & { interfaces: number; groups: number; rules: number } {
  const groups = [...(config?.model.groups.values() ?? [])];
  return {
    interfaces: config?.interfaces.length ?? 0,
    groups: groups.length,
    rules: groups.reduce((sum, { ingress, egress }) => sum + ingress.length + egress.length, 0),
    errors: counts.error,
    warnings: counts.warning,
    notices: counts.notice,
  };
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}

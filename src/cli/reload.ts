/** `sgctl reload`: the running daemon reads its configuration again. */
import type { Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import { hasChanges, type Changes } from '../queries/reload-result.ts';
import type { Connection } from '../queries/connections.ts';
import type { Impact } from '../queries/reload-result.ts';
import type { ReloadResult } from '../queries/reload-result.ts';
import { formatProblem } from '../source/problem.ts';
import { count } from '../source/count.ts';
import { formatConnections } from './connections.ts';
import { EXIT_FAILED } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { printJson } from './traffic-text.ts';
import { exitCodeHelp } from './exit-codes.ts';

interface ReloadOptions extends SocketOptions {
  readonly dryRun?: true;
  readonly json?: true;
}

const CONNECTIONS_SHOWN = 20;

export function addReloadCommand(program: Command): void {
  const command = program
    .command('reload')
    .summary('put the changed configuration in force')
    .description(
      'The daemon reads its configuration and templates again. If all is right, they are in force between two packets; if anything is wrong, nothing changes.',
    )
    .option(
      '--dry-run',
      'say what it would change and what it would do to the connections there are; change nothing',
    )
    .option('--json', 'print the answer as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl reload')}

Example:
  sgctl reload --dry-run --lab demo`,
    );
  addSocketOptions(command).action(async (options: ReloadOptions) => {
    const result = await ask(findSocket(options), 'reload', { dryRun: options.dryRun === true });
    if (result.outcome === 'refused') process.exitCode = EXIT_FAILED;
    if (options.json === true) printJson(result);
    else printResult(result);
  });
}

function printResult(result: ReloadResult): void {
  for (const problem of result.problems) {
    if (problem.severity !== 'notice') console.error(formatProblem(problem));
  }
  switch (result.outcome) {
    case 'refused':
      console.error('Refused: nothing was changed.');
      return;
    case 'unchanged':
      console.log(`Nothing to change (generation ${result.generation}).`);
      return;
    case 'changed':
      printChanges(result.changes);
      console.log(`In force (generation ${result.generation}).`);
      return;
    case 'planned':
      if (hasChanges(result.changes)) printChanges(result.changes);
      else console.log('Nothing would change.');
      printImpact(result.impact);
      return;
    default:
      result satisfies never;
  }
}

function printChanges(changes: Changes): void {
  const { rules, groups, prefixLists, interfaces, flowLogs, order, settings } = changes;
  for (const [kind, names] of [
    ['group', groups],
    ['prefix list', prefixLists],
    ['interface', interfaces],
    ['flow log', flowLogs],
  ] as const) {
    for (const name of names.removed) console.log(`- ${kind} ${name}`);
    for (const name of names.added) console.log(`+ ${kind} ${name}`);
    for (const name of names.changed) console.log(`~ ${kind} ${name}`);
  }
  for (const path of settings) console.log(`~ ${path}`);
  for (const what of order) console.log(`~ order of ${what}`);
  for (const rule of rules.removed) console.log(`- ${rule}`);
  for (const rule of rules.added) console.log(`+ ${rule}`);
  for (const rule of rules.changed) console.log(`~ ${rule} (its description)`);
  const kept = rules.kept - rules.changed.length;
  console.log(`  ${count(kept, 'rule')} ${kept === 1 ? 'stays as it is' : 'stay as they are'}`);
}

function printImpact(impact: Impact): void {
  console.log(`\nConnections: ${impact.kept} would live on, ${impact.cut} would be cut.`);
  printConnections('Cut:', impact.cutConnections, impact.cut);
  if (impact.keptButRefusedAnew === 0) return;
  console.log(`\n${impact.keptButRefusedAnew} of those that live on could not be opened anew:`);
  printConnections('', impact.refusedAnewConnections, impact.keptButRefusedAnew);
}

function printConnections(title: string, connections: readonly Connection[], total: number): void {
  if (total === 0) return;
  if (title !== '') console.log(`\n${title}`);
  const shown = connections.slice(0, CONNECTIONS_SHOWN);
  console.log(formatConnections(shown));
  if (total > shown.length)
    console.log(`… and ${total - shown.length} more (--json lists up to 100)`);
}

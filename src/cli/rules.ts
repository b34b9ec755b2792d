/** `sgctl rules`: which rules are used, and which never were; of files, which rules there are. */
import { Option, type Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import { RULE_ORDERS, type RulesAnswer, type RulesQuestion } from '../queries/rules-view.ts';
import { choiceList } from './filter-options.ts';
import { paint } from './output.ts';
import { FILE_COLUMNS, RULE_COLUMNS, type RulesOptions } from './rules-options.ts';
import { addSocketOptions, findSocket } from './socket.ts';
import { addTableOptions, columnName, formatList, titlesOf } from './table-options.ts';
import { placeText, printJson } from './traffic-text.ts';
import { formatAgo, formatCount, formatDuration } from './units.ts';
import { checkGivenFiles } from './check.ts';
import { INPUTS_ARGUMENT } from './input-words.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { addTemplateOptions } from './template-options.ts';

export function addRulesCommand(program: Command): void {
  const command = program
    .command('rules')
    .summary('rules with their hits: which are used, which never were; or those of files')
    .description(
      'Lists the rules in force with how many flows each has admitted since the daemon started, when last, how many of them are tracked now, and where it is written. Given files, it lists the rules of these, and asks no daemon.',
    )
    .argument('[file...]', INPUTS_ARGUMENT)
    .option('--group <name>', 'of this group, by name or id; may be given more than once', collect)
    .addOption(choiceList('--direction <direction>', 'of this direction', ['ingress', 'egress']))
    .option('--never-hit', 'only those that have admitted nothing since the daemon started')
    .addOption(new Option('--sort <order>', 'in what order').choices(RULE_ORDERS).default('file'))
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
A hit is a flow that the rule admitted, or a packet of an untracked one. Of several
rules that admit a flow, one gets the hit: a rule without any may still be all that
would admit it if the other were gone.

Files are read as sgctl check reads them. Nothing is left out silently: a group
that may have more rules than could be read is named below the table.

${exitCodeHelp('sgctl rules')}

Examples:
  sgctl rules --sort hits
  sgctl rules --group web --direction ingress
  sgctl rules template.yaml
  sgctl rules --never-hit --json | jq -r '.rules[] | "\\(.origin.file):\\(.origin.line) \\(.text)"'`,
    );
  addTemplateOptions(command);
  addTableOptions(command, titlesOf(RULE_COLUMNS));
  addSocketOptions(command).action(async (files: readonly string[], options: RulesOptions) => {
    if (files.length > 0) {
      refuseLiveOptions(command, options);
      const { listFileRules } = await import('./rules-file.ts');
      process.exitCode = listFileRules(await checkGivenFiles(files, options, command), options);
      return;
    }
    refuseTemplateOptions(command, options);
    const answer = await ask(findSocket(options), 'rules', readQuestion(options));
    if (options.json === true) printJson(answer);
    else console.log(formatRules(answer, options));
  });
}

function refuseTemplateOptions(command: Command, options: RulesOptions): void {
  const { stackName, parameter, parametersFile, region, accountId } = options;
  const given = [stackName, parameter, parametersFile, region, accountId];
  if (given.some((value) => value !== undefined))
    command.error('error: the options for templates need a template: name the file');
}

/** Files have no hits, and no daemon. */
function refuseLiveOptions(command: Command, options: RulesOptions): void {
  const { neverHit, sort, socket, lab, columns } = options;
  const live = columns?.find((name) => !FILE_COLUMNS.some((one) => columnName(one.title) === name));
  const wrong = [
    ...(neverHit === undefined ? [] : ['--never-hit']),
    ...(sort === undefined || sort === 'file' ? [] : [`--sort ${sort}`]),
    ...(socket === undefined ? [] : ['--socket']),
    ...(lab === undefined ? [] : ['--lab']),
    ...(live === undefined ? [] : [`--columns ${live}`]),
  ];
  if (wrong.length === 0) return;
  command.error(`error: ${wrong[0]} is about a running daemon; leave out the files, or the option`);
}

function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

function readQuestion({ group, direction, neverHit, sort }: RulesOptions): RulesQuestion {
  const [one, other] = direction ?? [];
  return {
    ...(group === undefined ? {} : { groups: group }),
    // Both are the same as none.
    ...(one === undefined || (other !== undefined && other !== one)
      ? {}
      : { direction: one as 'ingress' | 'egress' }),
    ...(neverHit === undefined ? {} : { neverHit }),
    ...(sort === undefined ? {} : { sort }),
  };
}

export function formatRules({ rules, sinceMs }: RulesAnswer, options: RulesOptions): string {
  const since = `since the daemon started ${formatDuration(Date.now() - sinceMs)} ago`;
  if (rules.length === 0)
    return options.neverHit === true
      ? `every rule has admitted something ${since}`
      : 'there are no such rules';
  const rows = rules.map((rule) => [
    rule.group?.name ?? '',
    rule.direction,
    rule.audit === true ? `${rule.text} (audit)` : rule.text,
    formatCount(rule.hits),
    formatAgo(rule.lastHitMs),
    formatCount(rule.flows),
    rule.origin === undefined ? '' : placeText(rule.origin),
    rule.id,
    rule.description,
  ]);
  const table = formatList(RULE_COLUMNS, rows, options);
  return `${table}\n\n${paint(`hits ${since}`, 'dim')}`;
}

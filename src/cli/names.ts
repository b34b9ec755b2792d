/** `sgctl names`: which addresses interfaces have learnt of the DNS names of their rules. */
import type { Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import { NAME_ROWS_MAX, type NamesAnswer } from '../queries/names-view.ts';
import { count } from '../source/count.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { wholeNumber } from './filter-options.ts';
import type { Column } from './fit-table.ts';
import { paint } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { addTableOptions, formatList, titlesOf, type TableOptions } from './table-options.ts';
import { printJson } from './traffic-text.ts';
import { formatCount, formatDuration } from './units.ts';

type Options = SocketOptions &
  TableOptions & {
    readonly json?: true;
    readonly interface?: readonly string[];
    readonly limit?: number;
  };

const COLUMNS: readonly Column[] = [
  { title: 'interface', min: 10 },
  { title: 'name', min: 16 },
  { title: 'address', min: 15 },
  { title: 'for', align: 'right' },
  { title: 'answers', align: 'right', leaves: 1 },
];

export function addNamesCommand(program: Command): void {
  const command = program
    .command('names')
    .summary('addresses learnt of the DNS names in rules')
    .description(
      'Lists the DNS names that egress rules of each interface have, with the addresses that the interface has learnt of them from the answers of its resolver, for how long they still count, and how many answers had them; below, what became of answers since the daemon started.',
    )
    .option(
      '-i, --interface <name>',
      'of this interface; may be given more than once',
      (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
    )
    .option('--limit <number>', 'so many rows', wholeNumber(1, NAME_ROWS_MAX))
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl names')}

Examples:
  sgctl names
  sgctl names --interface agent
  sgctl names --json | jq '.names[] | select(.address == null) | .name'`,
    );
  addTableOptions(command, titlesOf(COLUMNS));
  addSocketOptions(command).action(async (options: Options) => {
    const { interface: interfaces = [], limit } = options;
    const answer = await ask(findSocket(options), 'names', {
      interfaces,
      ...(limit === undefined ? {} : { limit }),
    });
    if (options.json === true) printJson(answer);
    else console.log(formatNames(answer, options, Date.now()));
  });
}

export function formatNames(
  { names, leftOut, outcomes }: NamesAnswer,
  options: TableOptions,
  nowMs: number,
  width?: number,
): string {
  const rows = names.map(({ interface: own, name, address, untilMs, answers }) => [
    own,
    name,
    address ?? 'not learnt',
    untilMs === undefined ? '' : formatDuration(untilMs - nowMs),
    formatCount(answers),
  ]);
  const table =
    rows.length === 0
      ? 'no rule in force has a DNS name'
      : formatList(COLUMNS, rows, options, width);
  const more = leftOut === 0 ? [] : [`(${count(leftOut, 'row')} left out: --limit)`];
  const told = outcomes.map(
    ({ outcome, count: times, meaning }) => `${outcome} ${formatCount(times)}: ${meaning}`,
  );
  const below = told.length === 0 ? [] : ['', ...told.map((one) => paint(one, 'dim'))];
  return [table, ...more, ...below].join('\n');
}

/** `sgctl rollout`: where a revision of the store is in force, or the newest state of a group. */
import { Option, type Command } from 'commander';
import type { RolloutAnswer } from '../hosts/ask-rollout.ts';
import { printable } from '../source/excerpt.ts';
import { exitCodeHelp } from './exit-codes.ts';
import type { Column } from './fit-table.ts';
import { waitWithin } from './filter-options.ts';
import { paint } from './output.ts';
import { addStoreOptions, inStore, type StoreOptions } from './shared-store.ts';
import { addTableOptions, formatList, titlesOf, type TableOptions } from './table-options.ts';
import { printJson } from './traffic-text.ts';

const WAIT_MAX_SEC = 3600;
const EXIT_NOT_IN_FORCE = 3;

const COLUMNS: readonly Column[] = [
  { title: 'host', min: 20 },
  {
    title: 'state',
    style: (padded, cell) => (cell === 'in force' ? padded : paint(padded, 'red')),
  },
  { title: 'revision', align: 'right' },
  { title: 'why' },
];

interface Options extends StoreOptions, TableOptions {
  readonly wait: number;
  readonly json?: true;
}

export function addRolloutCommand(program: Command): void {
  const command = program
    .command('rollout')
    .summary('where a revision or a group is in force')
    .description(
      'Says on which hosts of a store a revision is in force (calls of the EC2 API answer with it, in x-secgroupd-revision), or the newest state of a group with its members, and which host is the slowest. Of a group, the hosts that have to do with it count. A host that is away is named, and not waited for.',
    )
    .argument('<revision|group>', 'the number of a revision, or the id or name of a group')
    .addOption(
      new Option('--wait <seconds>', 'wait for it so long, as 10 or 10s')
        .argParser(waitWithin(0, WAIT_MAX_SEC))
        .default(0, '0'),
    )
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl rollout')}

Examples:
  sgctl rollout 1204 --wait 10s
  sgctl rollout sg-0123456789abcdef0 --json | jq -r .slowest`,
    );
  addTableOptions(command, titlesOf(COLUMNS));
  addStoreOptions(command).action(async (what: string, options: Options) => {
    const { askRollout, findWanted } = await import('../hosts/ask-rollout.ts');
    const answer = await inStore(options, async (client) =>
      askRollout(client, await findWanted(client, what), 1000 * options.wait),
    );
    if (options.json === true) printJson(answer);
    else console.log(formatRollout(answer, options));
    if (!answer.isInForce) process.exitCode = EXIT_NOT_IN_FORCE;
  });
}

/** @param width of the terminal, where it is not that of stdout */
export function formatRollout(
  answer: RolloutAnswer,
  options: TableOptions,
  width?: number,
): string {
  const { revision, hosts, isInForce, slowest } = answer;
  const what = `${answer.what[0].toUpperCase()}${answer.what.slice(1)}`;
  if (hosts.length === 0) return printable(`${what} concerns no host.`);
  const rows = hosts.map(({ host, state, revision: has, why }) => [
    host,
    state,
    has === undefined ? '-' : String(has),
    why ?? '',
  ]);
  const live = hosts.filter(({ state }) => state !== 'away');
  const done = live.filter(({ state }) => state === 'in force');
  const end = [
    `${what} is ${isInForce ? '' : 'not '}in force everywhere: ${done.length} of ${live.length} hosts that live have revision ${revision}.`,
    ...(slowest === undefined ? [] : [`The slowest is ${slowest}.`]),
  ];
  return [formatList(COLUMNS, rows, options, width), printable(end.join(' '))].join('\n');
}

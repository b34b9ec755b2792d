/** `sgctl host ls|forget`: the hosts of a store, and those that are gone for good. */
import type { Command } from 'commander';
import type { Forgotten } from '../hosts/forget-host.ts';
import type { HostView } from '../hosts/list-hosts.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import { exitCodeHelp } from './exit-codes.ts';
import type { Column } from './fit-table.ts';
import { paint } from './output.ts';
import { addStoreOptions, inStore, type StoreOptions } from './shared-store.ts';
import { addTableOptions, formatList, titlesOf, type TableOptions } from './table-options.ts';
import { printJson } from './traffic-text.ts';
import { formatAgo, formatCount } from './units.ts';

/** Of those that are named in a sentence. */
const INTERFACES_MAX = 10;

const COLUMNS: readonly Column[] = [
  { title: 'host', min: 20 },
  { title: 'state', style: (padded, cell) => (cell === 'lives' ? padded : paint(padded, 'red')) },
  { title: 'revision', align: 'right' },
  { title: 'in force', align: 'right' },
  { title: 'fence' },
  { title: 'left out', align: 'right' },
  { title: 'interfaces', align: 'right' },
  { title: 'started', align: 'right', leaves: 2 },
  { title: 'version', leaves: 1 },
];

export function addHostCommands(program: Command): void {
  const command = program
    .command('host')
    .summary('the hosts of a store, and those that are gone for good')
    .description('Lists the hosts that share a store, and removes one that will not come back.');
  addList(command);
  addForget(command);
}

function addList(parent: Command): void {
  const command = parent
    .command('ls')
    .summary('list the hosts of a store')
    .description(
      'Lists the hosts of a store: whether each lives, which revision it has in force and since when, how much of the estate is left out there, and how many interfaces are placed on it. A host that is away was killed or cut off; one that left stopped in order, or was forgotten. The fence is what it promises: with lease it stops to forward for them when its lease is over, and it is fenced when that is so.',
    )
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl host ls')}

Examples:
  sgctl host ls
  sgctl host ls --json | jq -r '.[] | select(.state == "away") | .host'`,
    );
  addTableOptions(command, titlesOf(COLUMNS));
  addStoreOptions(command).action(
    async (options: StoreOptions & TableOptions & { readonly json?: true }) => {
      const { listHosts } = await import('../hosts/list-hosts.ts');
      const hosts = await inStore(options, ({ estate }) => listHosts(estate));
      if (options.json === true) printJson(hosts);
      else console.log(formatHosts(hosts, options));
    },
  );
}

function addForget(parent: Command): void {
  const command = parent
    .command('forget')
    .summary('remove what a host has said of itself')
    .description(
      'Removes what a host that is gone for good has said of itself from the store: which revision it had in force, and what its file declared. Interfaces stay placed there; they are named, so that they can be moved or deleted. A host that lives is refused.',
    )
    .argument('<host>', 'its name')
    .option(
      '--force',
      'also if it lives, or was killed on a store in a file: one that runs says all of it again, and one that fences is refused all the same',
    )
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl host forget')}

Examples:
  sgctl host forget rack-3`,
    );
  addStoreOptions(command).action(
    async (
      host: string,
      options: StoreOptions & { readonly force?: true; readonly json?: true },
    ) => {
      const { forgetHost } = await import('../hosts/forget-host.ts');
      const done = await inStore(options, (client) =>
        forgetHost(client, { host, force: options.force === true }),
      );
      if (options.json === true) printJson(done);
      else console.log(forgottenText(done).map(printable).join('\n'));
    },
  );
}

/** @param width of the terminal, where it is not that of stdout */
export function formatHosts(
  hosts: readonly HostView[],
  options: TableOptions,
  width?: number,
  nowMs = Date.now(),
): string {
  if (hosts.length === 0) return 'No host follows this store.';
  const ago = (at: string | undefined): string =>
    at === undefined ? '-' : formatAgo(Date.parse(at), nowMs);
  const rows = hosts.map((one) => [
    one.host,
    one.state,
    one.revision === undefined ? '-' : String(one.revision),
    ago(one.inForceSince),
    one.isFenced === true ? 'fenced' : (one.fence ?? '-'),
    formatCount(Object.keys(one.leftOut).length),
    formatCount(one.interfaces),
    ago(one.since),
    one.version ?? '-',
  ]);
  const refused = hosts.flatMap(({ host, refused: why }) =>
    why === undefined
      ? []
      : [printable(`${host} refused revision ${why.revision}: ${why.message}`)],
  );
  return [formatList(COLUMNS, rows, options, width), ...refused].join('\n');
}

function forgottenText({ host, rows, interfaces, fence }: Forgotten): readonly string[] {
  const done = `${host} is forgotten: ${count(rows, 'row')} removed.`;
  if (interfaces.length === 0) return [done];
  const named = interfaces.slice(0, INTERFACES_MAX).join(', ');
  const more = interfaces.length > INTERFACES_MAX ? ', …' : '';
  return [
    done,
    `${count(interfaces.length, 'interface')} still placed there: ${named}${more}`,
    'Move each (sgctl interface move), detach it or delete it.',
    ...(fence === 'lease'
      ? []
      : [
          `WARNING: nothing stops ${host} from forwarding for them if it runs, cut off (fence: none).`,
        ]),
  ];
}

/** `sgctl doors`: which runtimes are here, and which interfaces of containers and machines no daemon guards. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { DEFAULT_SOCKET } from '../control-socket/control-client.ts';
import { ownerText, type AskedDaemon, type Unread } from '../doors/survey/facts.ts';
import type { Finding, Verdict } from '../doors/survey/finding.ts';
import type { RuntimeView } from '../doors/survey/runtimes.ts';
import { CONTROL_SOCKET, listStoredLabs } from '../lab/state.ts';
import { printable } from '../source/excerpt.ts';
import { listFirst } from '../source/suggest.ts';
import { exitCodeHelp } from './exit-codes.ts';
import type { Column } from './fit-table.ts';
import { EXIT_OK, paint } from './output.ts';
import { addTableOptions, formatList, titlesOf, type TableOptions } from './table-options.ts';
import { printJson } from './traffic-text.ts';

/** What `--json` prints. */
export interface DoorsReport {
  readonly daemons: readonly AskedDaemon[];
  readonly runtimes: readonly RuntimeView[];
  readonly interfaces: readonly Finding[];
  readonly unread: readonly Unread[];
}

interface Options extends TableOptions {
  readonly socket?: readonly string[];
  readonly json?: true;
}

/** Something gets round the groups. */
export const EXIT_UNGUARDED = 3;
/** Nothing is known to, but not all could be looked at. */
export const EXIT_UNKNOWN = 4;

export function addDoorsCommand(program: Command): void {
  const command = program
    .command('doors')
    .summary('runtimes here, and interfaces that no daemon guards')
    .description(
      'Lists the runtimes of containers and virtual machines that are installed with the plugins they have, and each interface of a container or machine that runs: whether a daemon guards it, and if not, what to do. Asked are the service and the labs of this user. What another daemon or a process says of itself is not believed.',
    )
    .option('--socket <paths...>', 'control sockets of the daemons to ask, in place of these')
    .option('--json', 'print all of it as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl doors')}

Examples:
  sudo sgctl doors
  sudo sgctl doors --json | jq '.interfaces[] | select(.verdict != "guarded")'`,
    );
  addTableOptions(command, titlesOf(COLUMNS)).action(async (options: Options) => {
    const report = await look(options.socket ?? defaultSockets());
    if (options.json === true) printJson(report);
    else console.log(formatDoors(report, options));
    process.exitCode = doorsExitCode(report);
  });
}

function defaultSockets(): readonly string[] {
  const labs = listStoredLabs().map(({ directory }) => join(directory, CONTROL_SOCKET));
  return [DEFAULT_SOCKET, ...labs];
}

async function look(sockets: readonly string[]): Promise<DoorsReport> {
  // Loaded when asked for: this brings the native addon.
  const [{ loadNative }, { survey }, { judge }, { listRuntimes }, { findProgram }] =
    await Promise.all([
      import('../ports/native.ts'),
      import('../doors/survey/survey.ts'),
      import('../doors/survey/judge.ts'),
      import('../doors/survey/runtimes.ts'),
      import('../run/tools-path.ts'),
    ]);
  const facts = await survey(loadNative(), sockets);
  const { runtimes, unread } = listRuntimes(findProgram);
  return {
    daemons: facts.daemons,
    runtimes,
    interfaces: judge(facts),
    unread: [...facts.unread, ...unread],
  };
}

export function doorsExitCode({ daemons, interfaces, unread }: DoorsReport): number {
  const has = (wanted: Verdict): boolean => interfaces.some(({ verdict }) => verdict === wanted);
  if (has('unguarded')) return EXIT_UNGUARDED;
  const isSilent = daemons.some(({ state }) => state === 'unknown');
  return has('unknown') || isSilent || unread.length > 0 ? EXIT_UNKNOWN : EXIT_OK;
}

/** In a line of advice; the table has all. */
const NAMES_SHOWN = 5;

const RUNTIME_COLUMNS: readonly Column[] = [
  { title: 'runtime' },
  { title: 'plugin', min: 68 },
  { title: 'program', min: 12, leaves: 1 },
];

const COLUMNS: readonly Column[] = [
  {
    title: 'verdict',
    style: (padded, cell) =>
      paint(padded, cell === 'guarded' ? 'green' : cell === 'unknown' ? 'yellow' : 'red'),
  },
  { title: 'whose', min: 16 },
  { title: 'device', min: 8 },
  { title: 'why', min: 36 },
  { title: 'kind', leaves: 1 },
  { title: 'namespace', min: 12, leaves: 2 },
];

/** @param width of the terminal, where it is not that of stdout */
export function formatDoors(report: DoorsReport, options: TableOptions, width?: number): string {
  const { daemons, runtimes, interfaces, unread } = report;
  return [
    ...runtimesText(runtimes, options, width),
    ...interfacesText(interfaces, options, width),
    ...adviceLines(interfaces),
    ...daemonLines(daemons),
    ...unread.map(({ what, reason }) =>
      paint(printable(`not looked at: ${what}: ${reason}`), 'yellow'),
    ),
  ].join('\n');
}

function runtimesText(
  runtimes: readonly RuntimeView[],
  { wide }: TableOptions,
  width: number | undefined,
): readonly string[] {
  if (runtimes.length === 0)
    return ['No runtime of containers or virtual machines is installed.', ''];
  const rows = runtimes.map((one) => [one.name, pluginText(one), one.program]);
  const options = wide === undefined ? {} : { wide };
  return [formatList(RUNTIME_COLUMNS, rows, options, width), ''];
}

function pluginText({ plugins, networks, advice }: RuntimeView): string {
  if (plugins === undefined) return `needs none; ${advice}`;
  if (plugins.length === 0) return `none; ${advice}`;
  return [...plugins.map(({ path }) => path), ...networks].join(' ');
}

function interfacesText(
  interfaces: readonly Finding[],
  options: TableOptions,
  width: number | undefined,
): readonly string[] {
  if (interfaces.length === 0)
    return ['No container and no virtual machine has an interface here.'];
  const rows = interfaces.map((one) => [
    one.verdict,
    ownerText(one.owner),
    one.device ?? '',
    one.why,
    one.kind,
    one.netnsPath ?? `net:[${one.netnsInode}]`,
  ]);
  const count = (wanted: Verdict): number =>
    interfaces.filter(({ verdict }) => verdict === wanted).length;
  return [
    formatList(COLUMNS, rows, options, width),
    '',
    `${count('guarded')} guarded, ${count('unguarded')} not guarded, ${count('unknown')} unknown`,
  ];
}

/** One line for each thing to do, with those it is for. */
function adviceLines(interfaces: readonly Finding[]): readonly string[] {
  const owners = new Map<string, Set<string>>();
  for (const { mend, owner } of interfaces)
    if (mend !== undefined) owners.set(mend, (owners.get(mend) ?? new Set()).add(ownerText(owner)));
  return [...owners].map(([mend, names]) =>
    printable(`${listFirst([...names], NAMES_SHOWN)}: ${mend}`),
  );
}

function daemonLines(daemons: readonly AskedDaemon[]): readonly string[] {
  const silent = daemons.filter(({ state }) => state === 'unknown');
  const isNone = daemons.every(({ state }) => state === 'absent');
  return [
    ...silent.map(({ socket, reason }) =>
      paint(printable(`not asked: ${socket}: ${reason ?? ''}`), 'yellow'),
    ),
    ...(isNone
      ? [
          paint(
            printable(`no daemon runs: ${daemons.map(({ socket }) => socket).join(', ')}`),
            'yellow',
          ),
        ]
      : []),
  ];
}

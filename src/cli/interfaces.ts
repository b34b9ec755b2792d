/** `sgctl interfaces` and `sgctl groups`: what is guarded, and by what. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import type { InterfaceView, Traffic } from '../queries/interfaces-view.ts';
import type { GroupUse } from '../queries/rules-view.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import type { Column } from './fit-table.ts';
import { paint } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { addTableOptions, formatList, titlesOf, type TableOptions } from './table-options.ts';
import { placeText, printJson } from './traffic-text.ts';
import { formatAgo, formatBytes, formatCount } from './units.ts';
import { exitCodeHelp } from './exit-codes.ts';

type Options = SocketOptions & TableOptions & { readonly json?: true };

export function addInterfacesCommand(program: Command): void {
  const command = program
    .command('interfaces')
    .summary('interfaces with their devices, groups and traffic')
    .description(
      'Lists the interfaces of the running daemon: device and namespace, addresses, groups, what was passed and dropped each way, and tracked flows; below, who waits for its device, and why, and which stream has no guest. In is towards the instance; of the uplink, what came in through it.',
    )
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interfaces')}

Examples:
  sgctl interfaces
  sgctl interfaces --json | jq '.[] | select(.ingress.droppedPackets > 0) | .name'`,
    );
  addTableOptions(command, titlesOf(INTERFACE_COLUMNS));
  addSocketOptions(command).action(async (options: Options) => {
    const interfaces = await ask(findSocket(options), 'interfaces', {});
    if (options.json === true) printJson(interfaces);
    else console.log(formatInterfaces(interfaces, options));
  });
}

export function addGroupsCommand(program: Command): void {
  const command = program
    .command('groups')
    .summary('security groups with their interfaces and hits')
    .description(
      'Lists the security groups in force: how many rules each has, which interfaces have it, how many flows its rules have admitted since the daemon started, and how many of those are tracked now.',
    )
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl groups')}

Examples:
  sgctl groups
  sgctl groups --json | jq '.[] | select(.interfaces == []) | .name'`,
    );
  addTableOptions(command, titlesOf(GROUP_COLUMNS));
  addSocketOptions(command).action(async (options: Options) => {
    const groups = await ask(findSocket(options), 'groups', {});
    if (options.json === true) printJson(groups);
    else console.log(formatGroups(groups, options));
  });
}

/** Of no use where all are in one. */
const VPC = 'vpc';
/** Of no use where it is off. */
const FAST_PATH = 'fast path';
/** Interfaces that are named in one line. */
const NAMED = 5;

const INTERFACE_COLUMNS: readonly Column[] = [
  { title: 'interface', min: 10 },
  { title: VPC, min: 8 },
  { title: 'groups', min: 10 },
  { title: 'dropped in', align: 'right' },
  { title: 'dropped out', align: 'right' },
  { title: 'flows', align: 'right' },
  { title: 'addresses', min: 15, leaves: 1 },
  { title: 'device', min: 12, leaves: 2 },
  { title: 'passed in', align: 'right', leaves: 3 },
  { title: 'passed out', align: 'right', leaves: 4 },
  { title: FAST_PATH, leaves: 5 },
];

/** @param width of the terminal, where it is not that of stdout */
export function formatInterfaces(
  interfaces: readonly InterfaceView[],
  options: TableOptions,
  width?: number,
): string {
  const vpcs = new Set(interfaces.flatMap(({ vpc }) => vpc ?? []));
  const isOffloading = interfaces.some(({ fastPath }) => fastPath !== undefined);
  const isShown = ({ title }: Column): boolean =>
    options.columns !== undefined ||
    (title === VPC ? vpcs.size > 1 : title !== FAST_PATH || isOffloading);
  const rows = interfaces.map((one) => [
    one.name,
    one.vpc ?? '',
    one.groups.join(' '),
    formatCount(one.ingress.droppedPackets),
    formatCount(one.egress.droppedPackets),
    one.maxFlows === undefined
      ? formatCount(one.flows)
      : `${formatCount(one.flows)} of ${formatCount(one.maxFlows)}`,
    one.addresses.join(' '),
    deviceText(one),
    trafficText(one.ingress),
    trafficText(one.egress),
    one.fastPath === undefined ? 'off' : PART_WORDS[one.fastPath.forwards],
  ]);
  const waits = interfaces.flatMap((one) =>
    one.waiting === undefined ? [] : [waitingText(one, one.waiting)],
  );
  const unused = interfaces.flatMap((one) =>
    one.guest === 'absent'
      ? [printable(`${one.name} has no guest: nobody is connected to ${one.device}`)]
      : [],
  );
  const moved = interfaces.flatMap((one) =>
    one.configured === undefined ? [] : [movedText(one, one.configured)],
  );
  const table = formatList(
    INTERFACE_COLUMNS.filter(isShown),
    rows.map((row) => row.filter((_, i) => isShown(INTERFACE_COLUMNS[i]))),
    options,
    width,
  );
  const audits = interfaces.flatMap(({ name, audit }) =>
    audit === undefined ? [] : [auditText(name, audit)],
  );
  const paths = fastPathText(interfaces);
  return [table, ...waits, ...fencedText(interfaces), ...audits, ...unused, ...moved, ...paths].join('\n'); // prettier-ignore
}

/** A line below the table: not everything is enforced. */
function auditText(
  name: string,
  { by, packets, bytes }: { readonly by: readonly string[]; packets: number; bytes: number },
): string {
  const passed = `${count(packets, 'packet', formatCount(packets))}, ${formatBytes(bytes)}`;
  return paint(
    printable(`${name} is audited by ${by.join(', ')}: ${passed} passed that would be dropped`),
    'yellow',
  );
}

/** A line below the table for all of them: they stop together. */
function fencedText(interfaces: readonly InterfaceView[]): readonly string[] {
  const fenced = interfaces.filter((one) => one.fenced !== undefined);
  if (fenced.length === 0) return [];
  const text = `all packets of ${count(fenced.length, 'interface')} are dropped (${namesText(fenced)}): ${fenced[0].fenced}`;
  return [paint(printable(text), 'red')];
}

const PART_WORDS = { both: 'yes', from: 'from it alone', none: 'no' } as const;

/** Lines below the table: who takes part in the fast path; of all others a line for each reason. */
function fastPathText(interfaces: readonly InterfaceView[]): readonly string[] {
  const byPart = new Map<string, InterfaceView[]>();
  for (const one of interfaces) {
    if (one.fastPath === undefined) continue;
    const { forwards, why } = one.fastPath;
    const text = why === undefined ? PART_WORDS[forwards] : `${PART_WORDS[forwards]}, ${why}`;
    const others = byPart.get(text);
    if (others === undefined) byPart.set(text, [one]);
    else others.push(one);
  }
  return [...byPart].map(([text, all]) => printable(`fast path of ${namesText(all)}: ${text}`));
}

/** The names of some, and a hint at more. */
function namesText(interfaces: readonly InterfaceView[]): string {
  const names = interfaces.slice(0, NAMED).map(({ name }) => name);
  const more = interfaces.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}

/** A line below the table: the device is another than the configuration says, and packets flow. */
function movedText(
  one: InterfaceView,
  configured: NonNullable<InterfaceView['configured']>,
): string {
  return printable(
    `the device of ${one.name} is ${deviceText(one)}; the configuration has ${deviceText(configured)}`,
  );
}

function deviceText({ device, netns }: Pick<InterfaceView, 'device' | 'netns'>): string {
  return netns === undefined ? device : `${device} in ${basename(netns)}`;
}

/** A line below the table: nothing passes there, and the columns have no room for why. */
function waitingText(one: InterfaceView, reason: string): string {
  return paint(printable(`${one.name} waits for ${deviceText(one)}: ${reason}`), 'yellow');
}

const GROUP_COLUMNS: readonly Column[] = [
  { title: 'group', min: 16 },
  { title: 'rules' },
  { title: 'hits', align: 'right' },
  { title: 'last hit', align: 'right', leaves: 1 },
  { title: 'flows', align: 'right', leaves: 2 },
  { title: 'interfaces', min: 10, leaves: 3 },
  { title: 'from', min: 10, leaves: 4 },
  { title: 'id', leaves: 5 },
];

function formatGroups(groups: readonly GroupUse[], options: TableOptions): string {
  const rows = groups.map((group) => [
    group.name,
    group.isOnlyNamed === true ? 'not known here' : `${group.ingress} in, ${group.egress} out`,
    formatCount(group.hits),
    formatAgo(group.lastHitMs),
    formatCount(group.flows),
    membersText(group),
    placeText(group.origin),
    group.id,
  ]);
  const audits = groups.flatMap(({ name, audit }) =>
    audit === undefined
      ? []
      : [auditText(name, { ...audit, by: [audit.isAll ? 'the group' : 'rules of it'] })],
  );
  return [formatList(GROUP_COLUMNS, rows, options), ...audits].join('\n');
}

function membersText({ interfaces, elsewhere }: GroupUse): string {
  if (elsewhere === undefined) return interfaces.join(' ');
  return [...interfaces, `${elsewhere} elsewhere`].join(' ');
}

function trafficText({ passedPackets, passedBytes }: Traffic): string {
  return `${formatCount(passedPackets)} (${formatBytes(passedBytes)})`;
}

/** `sgctl status`: what the running daemon has in force, and how it is. */
import type { Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import type { Status, StoreStatus } from '../queries/status-view.ts';
import { count } from '../source/count.ts';
import { formatFitted } from './fit-table.ts';
import { formatTable, paint } from './output.ts';
import { printable } from '../source/excerpt.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { printJson } from './traffic-text.ts';
import { formatAgo, formatBitRate, formatBytes, formatCount, formatDuration } from './units.ts';
import { exitCodeHelp } from './exit-codes.ts';

const NAMES_SHOWN = 8;

export function addStatusCommand(program: Command): void {
  const command = program
    .command('status')
    .summary('what the running daemon has in force, and how it is')
    .description(
      'Asks the running daemon for what is in force, how many connections it tracks, what it passes and drops, and how the last change of its configuration went.',
    )
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl status')}

Examples:
  sgctl status
  sgctl status --lab demo
  sgctl status --json | jq .health.rates`,
    );
  addSocketOptions(command).action(async (options: SocketOptions & { readonly json?: true }) => {
    const status = await ask(findSocket(options), 'status', {});
    if (options.json === true) printJson(status);
    else console.log(formatStatus(status));
  });
}

export function formatStatus(status: Status): string {
  const rows = statusRows(status);
  const sections = [formatFitted([{ title: 'what' }, { title: 'value', min: 20 }], rows)];
  if (status.prefixLists.length > 0) {
    const lists = status.prefixLists.map(({ name, id, entries, maxEntries, version }) => [
      name,
      id,
      `${entries} of ${maxEntries}`,
      String(version),
    ]);
    sections.push(formatTable(['prefix list', 'id', 'entries', 'version'], lists));
  }
  return sections.join('\n\n');
}

function statusRows({
  version,
  pid,
  config,
  generation,
  interfaces,
  waiting,
  groups,
  flows,
  offload,
  health,
  store,
  audit,
}: Status): string[][] {
  const { total, rates, events, flowsByState, policySinceMs, uptimeMs, workers, maxFlows } = health;
  const states = Object.entries(flowsByState)
    .sort((a, b) => b[1] - a[1])
    .map(([state, amount]) => `${formatCount(amount)} ${state}`);
  const lost = `${formatCount(events.lost)} lost of ${formatCount(events.taken + events.lost)}`;
  return [
    ['version', version],
    ['pid', String(pid)],
    ['up', formatDuration(uptimeMs)],
    ['configuration', config],
    ['generation', `${generation}, in force for ${formatDuration(Date.now() - policySinceMs)}`],
    ['last reload', reloadText(health)],
    ...(audit === undefined ? [] : auditRows(audit)),
    ...(store === undefined ? [] : storeRows(store)),
    ['interfaces', namesText(interfaces)],
    ...waitingRows(waiting),
    ['groups', String(groups)],
    ...(workers === 1 ? [] : [['workers', String(workers)]]),
    ['flows', `${formatCount(flows)} of ${formatCount(maxFlows)}`],
    ...(states.length === 0 ? [] : [['', states.join(', ')]]),
    ...offloadRows(offload),
    ['passed', trafficText(total.passedPackets, total.passedBytes)],
    ['', rateText(rates.passedPackets, rates.passedBytes)],
    ['dropped', trafficText(total.droppedPackets, total.droppedBytes)],
    ['', rateText(rates.droppedPackets, rates.droppedBytes)],
    ['events', events.lost === 0 ? lost : paint(lost, 'yellow')],
  ];
}

/** Loud: not everything is enforced. */
function auditRows({
  interfaces,
  groups,
  rules,
  packets,
  bytes,
}: NonNullable<Status['audit']>): string[][] {
  const parts = [
    ...(interfaces.length === 0 ? [] : [count(interfaces.length, 'interface')]),
    ...(groups.length === 0 ? [] : [count(groups.length, 'group')]),
    ...(rules === 0 ? [] : [count(rules, 'rule')]),
  ];
  const on = `ON, not enforced: ${parts.join(', ')}`;
  const passed = `${trafficText(packets, bytes)} passed that would be dropped`;
  return [
    ['audit', paint(on, 'red')],
    ['', paint(`${passed} (sgctl drops --audit)`, 'red')],
  ];
}

/** A line of names, and how many more there are. */
export function namesText(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).join(' ');
  const more = names.length - NAMES_SHOWN;
  const rest = more > 0 ? ` … and ${more} more (sgctl interfaces lists them)` : '';
  return `${names.length}: ${shown}${rest}`;
}

const FRESH = 'what was known then is in force';
const STALE = 'rules that name groups admit nothing new';

function storeRows({
  file,
  host,
  revision,
  refused,
  awaySec,
  areGroupsStale = false,
  fence,
  fenced,
  notInForce,
}: StoreStatus): string[][] {
  const rows = notInForce
    .slice(0, NAMES_SHOWN)
    .map(({ id, reason }) => ['not in force', paint(`${id}: ${reason}`, 'yellow')]);
  const more = notInForce.length - rows.length;
  if (more > 0) rows.push(['not in force', `… and ${more} more (--json has all)`]);
  const late =
    refused === undefined
      ? []
      : [['refused', paint(`revision ${refused.revision}: ${refused.message}`, 'red')]];
  const away =
    awaySec === undefined
      ? []
      : [
          [
            'out of reach',
            paint(
              `for ${formatDuration(1000 * awaySec)}; ${areGroupsStale ? STALE : FRESH}`,
              'red',
            ),
          ],
        ];
  const drops =
    fenced === undefined
      ? []
      : [['fenced', paint(`packets of its interfaces are dropped: ${fenced}`, 'red')]];
  const how = fence === 'lease' ? ', fence: lease' : '';
  const store = ['store', `${file}, revision ${revision} as ${host}${how}`];
  return [store, ...drops, ...away, ...late, ...rows];
}

function offloadRows({ mode, interfaces, flows, why }: Status['offload']): string[][] {
  if (mode === 'off') return [];
  if (why !== undefined) return [['fast path', paint(printable(`none: ${why}`), 'yellow')]];
  const of = `${count(interfaces, 'interface')}, ${count(flows, 'flow')} in the kernel`;
  return [['fast path', interfaces === 0 ? 'no interface can take part' : of]];
}

function waitingRows(waiting: Status['waiting']): string[][] {
  const rows = waiting
    .slice(0, NAMES_SHOWN)
    .map(({ name, device, reason }) => [
      'waiting',
      paint(printable(`${name} for ${device}: ${reason}`), 'yellow'),
    ]);
  const more = waiting.length - rows.length;
  return more > 0 ? [...rows, ['waiting', `… and ${more} more (--json has all)`]] : rows;
}

function reloadText({ reloads }: Status['health']): string {
  const { changed, unchanged, refused, isLastRefused, lastSuccessMs } = reloads;
  if (changed + unchanged + refused === 0) return 'none since the start';
  const counts = `${changed} changed, ${unchanged} unchanged, ${refused} refused`;
  return isLastRefused
    ? `refused: an older configuration is in force (${counts})`
    : `${formatAgo(lastSuccessMs)} (${counts})`;
}

function trafficText(packets: number, bytes: number): string {
  return `${count(packets, 'packet', formatCount(packets))}, ${formatBytes(bytes)}`;
}

function rateText(packets: number, bytes: number): string {
  return `${formatCount(packets)}/s, ${formatBitRate(bytes)} in the last second`;
}

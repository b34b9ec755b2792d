/** What `sgctl top` shows, as lines: for a screen of a size, or as long as it gets. */
import type { TopAnswer, TopFlow } from '../queries/top-stream.ts';
import { cut, tableLines, type Column } from './fit-table.ts';
import { paint } from './output.ts';
import { chooseColumns } from './table-options.ts';
import { endText, ruleWords } from './traffic-text.ts';
import { formatBitRate, formatClock, formatCount } from './units.ts';

export interface ScreenSize {
  readonly rows: number;
  readonly columns: number;
}

type Order = 'bytes' | 'packets';

const INTERFACE_COLUMNS: readonly Column[] = [
  { title: 'interface', min: 12 },
  { title: 'dropped in/s', align: 'right', style: paintNonZero },
  { title: 'dropped out/s', align: 'right', style: paintNonZero },
  { title: 'in', align: 'right' },
  { title: 'out', align: 'right' },
  { title: 'packets in/s', align: 'right', leaves: 1 },
  { title: 'packets out/s', align: 'right', leaves: 2 },
];

export const FLOW_COLUMNS: readonly Column[] = [
  { title: 'interface', min: 10 },
  { title: 'rule', min: 12 },
  { title: 'out', align: 'right' },
  { title: 'in', align: 'right' },
  { title: 'local', min: 15 },
  { title: 'remote', min: 15 },
  { title: 'proto', leaves: 1 },
  { title: 'state', leaves: 2 },
  { title: 'packets/s', align: 'right', leaves: 3 },
];

const RULE_COLUMNS: readonly Column[] = [
  { title: 'hits/s', align: 'right' },
  { title: 'hits', align: 'right' },
  { title: 'rule', min: 20 },
];

const DROP_COLUMNS: readonly Column[] = [
  { title: 'drops/s', align: 'right', style: paintNonZero },
  { title: 'reason' },
  { title: 'interface', min: 12 },
  { title: 'direction' },
  { title: 'dropped', align: 'right' },
  { title: 'meaning', min: 10, leaves: 1 },
];

/** Of the rows below the head line, at most this share is for interfaces, rules and drops each. */
const SECTION_SHARE = 5;
const SECTION_ROWS_MIN = 2;

/** Everything, one after the other. */
export function plainTop(
  answer: TopAnswer,
  flowColumns: readonly string[] | undefined,
  width: number | undefined,
): string[] {
  return [
    cut(headLine(answer), width ?? Infinity),
    '',
    ...tableLines(INTERFACE_COLUMNS, interfaceRows(answer, Infinity), width),
    ...section(RULE_COLUMNS, ruleRows(answer), width),
    ...section(DROP_COLUMNS, dropRows(answer), width),
    ...flowSection(answer, answer.topFlows, flowColumns, width),
  ];
}

/** As much as fits: flows get what the others leave. */
export function screenTop(
  answer: TopAnswer,
  order: Order,
  limit: number,
  flowColumns: readonly string[] | undefined,
  { rows, columns }: ScreenSize,
): string[] {
  const share = Math.max(SECTION_ROWS_MIN, Math.floor(rows / SECTION_SHARE));
  const above = [
    cut(headLine(answer), columns),
    '',
    ...tableLines(INTERFACE_COLUMNS, interfaceRows(answer, share), columns),
    ...section(RULE_COLUMNS, ruleRows(answer).slice(0, share), columns),
    ...section(DROP_COLUMNS, dropRows(answer).slice(0, share), columns),
  ];
  const footer = paint(
    cut(`flows by ${order}   b: by bytes   p: by packets   q: quit`, columns),
    'dim',
  );
  // A blank line, the table's head, the footer, and the row a screen keeps free.
  const room = Math.min(limit, rows - above.length - 4);
  if (room < 1) return [...above, footer];
  const flows = sortFlows(answer.topFlows, order).slice(0, room);
  return [...above, ...flowSection(answer, flows, flowColumns, columns), footer];
}

function headLine(answer: TopAnswer): string {
  const { timeMs, flows, maxFlows, flowsOpenedRate, interfaces } = answer;
  let passed = 0;
  let bytes = 0;
  let dropped = 0;
  for (const { name, ingress, egress } of interfaces) {
    dropped += ingress.droppedPackets + egress.droppedPackets;
    // What passes the uplink is counted at the interface it is for.
    if (name === 'uplink') continue;
    passed += ingress.passedPackets + egress.passedPackets;
    bytes += ingress.passedBytes + egress.passedBytes;
  }
  return [
    formatClock(timeMs).slice(0, 'HH:MM:SS'.length),
    `${formatCount(flows)} of ${formatCount(maxFlows)} flows, ${formatCount(flowsOpenedRate)}/s new`,
    `passed ${formatCount(passed)}/s ${formatBitRate(bytes)}`,
    `dropped ${formatCount(dropped)}/s`,
  ].join('   ');
}

function flowSection(
  answer: TopAnswer,
  flows: readonly TopFlow[],
  wanted: readonly string[] | undefined,
  width: number | undefined,
): string[] {
  if (flows.length === 0) return ['', noFlows(answer)];
  const [columns, rows] = chooseColumns(FLOW_COLUMNS, flowRows(flows), wanted);
  return section(columns, rows, width);
}

function noFlows({ hasAccounts }: TopAnswer): string {
  return hasAccounts
    ? 'no tracked flow carried anything'
    : 'flows have no rates with conntrack.accounting: off';
}

function section(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): string[] {
  return rows.length === 0 ? [] : ['', ...tableLines(columns, rows, width)];
}

/** The busiest first, if not all have room. */
function interfaceRows({ interfaces }: TopAnswer, most: number): string[][] {
  const amount = ({ ingress, egress }: TopAnswer['interfaces'][number]): number =>
    ingress.passedBytes + egress.passedBytes + ingress.droppedBytes + egress.droppedBytes;
  const shown =
    interfaces.length <= most
      ? interfaces
      : [...interfaces].sort((a, b) => amount(b) - amount(a)).slice(0, most);
  return shown.map(({ name, ingress, egress }) => [
    name,
    formatCount(ingress.droppedPackets),
    formatCount(egress.droppedPackets),
    formatBitRate(ingress.passedBytes),
    formatBitRate(egress.passedBytes),
    formatCount(ingress.passedPackets),
    formatCount(egress.passedPackets),
  ]);
}

function sortFlows(flows: readonly TopFlow[], order: Order): TopFlow[] {
  const amount = (flow: TopFlow): number =>
    order === 'bytes'
      ? flow.bytesOutRate + flow.bytesInRate
      : flow.packetsOutRate + flow.packetsInRate;
  return [...flows].sort((a, b) => amount(b) - amount(a));
}

function flowRows(flows: readonly TopFlow[]): string[][] {
  return flows.map((flow) => [
    flow.interface,
    flow.rule === undefined ? '-' : ruleWords(flow.rule),
    formatBitRate(flow.bytesOutRate),
    formatBitRate(flow.bytesInRate),
    endText(flow.protocol, flow.localAddress, flow.localPort),
    endText(flow.protocol, flow.remoteAddress, flow.remotePort),
    flow.protocol,
    flow.state,
    formatCount(flow.packetsOutRate + flow.packetsInRate),
  ]);
}

function ruleRows({ topRules }: TopAnswer): string[][] {
  return topRules.map((rule) => [
    formatCount(rule.hitsRate),
    formatCount(rule.hits),
    ruleWords(rule),
  ]);
}

function dropRows({ topDrops }: TopAnswer): string[][] {
  return topDrops.map((drop) => [
    formatCount(drop.packetsRate),
    drop.reason,
    drop.interface,
    drop.direction,
    formatCount(drop.packets),
    drop.meaning,
  ]);
}

function paintNonZero(padded: string, cell: string): string {
  return cell === '0' ? padded : paint(padded, 'red');
}

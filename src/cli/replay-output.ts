/** Tells what a replay found: text for people, Markdown for a pull request, JSON. */
import type { Amount, FindingKind } from '../replay/findings.ts';
import type { CaptureCounts } from '../replay/judge-capture.ts';
import type { FlowLogCounts } from '../replay/judge-flow-log.ts';
import type { Recording } from '../recorded/read-recordings.ts';
import type { Replayed } from '../replay/replay.ts';
import type { Finding } from '../replay/report.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import { code } from './diff-output.ts';
import { wrap } from './explain-text.ts';
import { paint, type Style } from './output.ts';
import { placeText } from './traffic-text.ts';

const INDENT = 4;

/** In the order in which they are told. */
const KINDS: readonly (readonly [kind: FindingKind, title: string, style: Style])[] = [
  ['dropped', 'would be dropped', 'red'],
  ['newly-dropped', 'passed before, and would be dropped', 'red'],
  ['newly-passed', 'dropped before, and would pass', 'yellow'],
  ['passed', 'was refused, and would pass', 'yellow'],
];

/** Whether all of it was read, and something of it is about interfaces of the configuration. */
export function isWhole({ recordings, counts, isCapture }: Replayed): boolean {
  const isRead = recordings.every(
    ({ damage, badLines }) => badLines === 0 && (damage === undefined || damage.isCutOff === true),
  );
  if (!isRead || counts.passed + counts.dropped === 0) return false;
  return isCapture
    ? (counts as CaptureCounts).unknownLink === 0
    : (counts as FlowLogCounts).skipData === 0;
}

/** Says on stderr what could not be read. */
export function tellRecordings({ recordings }: Pick<Replayed, 'recordings'>): void {
  const warning = paint('warning:', 'yellow', process.stderr);
  for (const { file, damage, badLines, told, lost } of recordings) {
    const name = printable(file);
    if (damage !== undefined)
      console.error(`${name}: ${warning} at byte ${damage.at}: ${printable(damage.message)}`);
    if (lost > 0)
      console.error(`${name}: ${warning} ${count(lost, 'packet')} lost when it was written`);
    for (const { line, message, text } of told)
      console.error(`${name}:${line}: ${warning} ${message}: ${printable(text)}`);
    if (badLines > told.length)
      console.error(`${name}: ${warning} and ${badLines - told.length} more such lines`);
  }
}

export function formatReplayed(replayed: Replayed, isCompared: boolean): string {
  const sections = KINDS.flatMap(([kind, title, style]) => {
    const found = replayed.findings.filter((one) => one.kind === kind);
    if (found.length === 0) return [];
    return [[paint(title, style), ...found.map(formatFinding)].join('\n')];
  });
  if (isCompared && replayed.findings.length === 0) sections.push('both decide the same');
  const more = moreText(replayed);
  if (more !== undefined) sections.push(more);
  return [headText(replayed), ...sections, summaryLines(replayed).join('\n')].join('\n\n');
}

/** `1200 packets in 2 captures, 2026-11-30T10:00:00Z to 2026-11-30T10:05:00Z` */
function headText({ recordings, counts, isCapture, firstMs, lastMs }: Replayed): string {
  const items = isCapture
    ? count((counts as CaptureCounts).packets, 'packet')
    : count((counts as FlowLogCounts).records, 'record');
  const files = count(recordings.length, isCapture ? 'capture' : 'flow log');
  const time = firstMs === undefined ? '' : `, ${spanText(firstMs, lastMs ?? firstMs)}`;
  return wrap(`${items} in ${files}${time}`, 0);
}

function formatFinding(finding: Finding): string {
  const { interface: own, direction, firstMs, lastMs, kind } = finding;
  const lines = [
    wrap(`${printable(own)} ${direction}: ${finding.service} ${peerText(finding)}`, 2),
    wrap(`${amountText(finding)}, ${spanText(firstMs, lastMs)}`, INDENT),
  ];
  if (kind !== 'passed') lines.push(...whyTexts(finding).map((text) => wrap(text, INDENT)));
  const { admittedBy } = finding;
  if (admittedBy !== undefined) {
    const rule = `sg:${admittedBy.group.name} ${admittedBy.text}`;
    lines.push(
      wrap(`let in by ${printable(rule)} (${printable(placeText(admittedBy.origin))})`, INDENT),
    );
  }
  return lines.join('\n');
}

function peerText({ direction, peer, address, addresses, hasMoreAddresses }: Finding): string {
  const word = direction === 'ingress' ? 'from' : 'to';
  if (peer !== undefined) return `${word} ${printable(peer)}`;
  if (addresses === 1) return `${word} ${address}`;
  const others = count(addresses - 1, 'other');
  return `${word} ${address} and ${hasMoreAddresses ? `more than ${others}` : others}`;
}

function amountText({ packets, records }: Readonly<Amount>): string {
  const all = count(packets, 'packet');
  return records === 0 ? all : `${all} in ${count(records, 'record')}`;
}

/** Why it is dropped, and what comes nearest to admitting it. */
function whyTexts(finding: Finding): readonly string[] {
  const { reason, meaning, nearest, dependsOn, isAnswer } = finding;
  if (dependsOn.length > 0) return [`not decidable: ${dependsOn.map(printable).join('; ')}`];
  if (!finding.isByRules) return [`${reason}: ${meaning}`];
  const answer = isAnswer ? '; it looks like an answer, to nothing that is known' : '';
  if (nearest === undefined) return [`${reason}: the groups have no rules there${answer}`];
  const { rule, text } = nearest;
  const place = placeText(rule.origin);
  return [
    printable(`${reason}${answer}; nearest: sg:${rule.group.name} ${rule.text} (${place})`),
    printable(text),
  ];
}

function moreText({ more }: Replayed): string | undefined {
  if (more.packets === 0) return undefined;
  const groups = more.groups === 0 ? 'more' : count(more.groups, 'group', `${more.groups} more`);
  return `and ${groups}: ${amountText(more)} (--top tells more)`;
}

function summaryLines({ counts, isCapture }: Replayed): readonly string[] {
  return isCapture ? captureLines(counts as CaptureCounts) : flowLogLines(counts as FlowLogCounts);
}

function captureLines(counts: CaptureCounts): readonly string[] {
  return told([
    [1, `${count(counts.passed, 'packet')} would pass, ${counts.dropped} would be dropped`],
    [counts.follows, `${counts.follows} of those are answers to what would be dropped`],
    [
      counts.assumed,
      `${counts.assumed} of those that pass are of connections that seem to be older than the capture`,
    ],
    ...absentLines(counts.absent, 'packet'),
    [counts.unrelated, `${count(counts.unrelated, 'packet')} not to or from an interface`],
    [counts.unjudged, `${count(counts.unjudged, 'packet')} of services that no group filters`],
    [counts.linkScope, `${count(counts.linkScope, 'packet')} that end at their link`],
    [counts.notIp, `${count(counts.notIp, 'frame')} that carry no IP`],
    [counts.unknownLink, `${count(counts.unknownLink, 'frame')} of a link that is not read`],
    [counts.cutShort, `${count(counts.cutShort, 'packet')} of which too little was captured`],
    [counts.outOfOrder, `${count(counts.outOfOrder, 'packet')} later than the one behind`],
  ]);
}

function flowLogLines(counts: FlowLogCounts): readonly string[] {
  const { byFlags, byPorts, byOrder, typeless, refusedThen } = counts;
  const then = refusedThen === 0 ? '' : `, of which ${refusedThen} were refused then`;
  return told([
    [1, `${count(counts.passed, 'record')} would pass, ${counts.dropped} would be dropped${then}`],
    [counts.undecided, `${counts.undecided} can't be decided: ICMP, of which the log has no type`],
    [
      byFlags + byPorts + byOrder,
      `who opened was told by TCP flags (${byFlags}), by ports (${byPorts}), by order (${byOrder})`,
    ],
    [typeless - counts.undecided, `${typeless} of ICMP were taken for echo requests, either way`],
    ...absentLines(counts.absent, 'record'),
    [counts.unrelated, `${count(counts.unrelated, 'record')} not to or from an interface`],
    [counts.unjudged, `${count(counts.unjudged, 'record')} of services that no group filters`],
    [counts.linkScope, `${count(counts.linkScope, 'record')} of what ends at its link`],
    [counts.impossible, `${count(counts.impossible, 'record')} of what no packet can be`],
    [counts.noData, `${count(counts.noData, 'interval')} without traffic`],
    [counts.skipData, `${count(counts.skipData, 'interval')} of which records are missing`],
  ]);
}

function absentLines(
  [before, after]: readonly [number, number],
  noun: string,
): readonly (readonly [number, string])[] {
  return [
    [before, `${count(before, noun)} of an interface that only the other configuration has`],
    [after, `${count(after, noun)} of an interface that the other configuration lacks`],
  ];
}

function told(lines: readonly (readonly [amount: number, text: string])[]): readonly string[] {
  return lines.flatMap(([amount, text]) => (amount > 0 ? [wrap(text, 0)] : []));
}

export function markdownOf(replayed: Replayed, isCompared: boolean): string {
  const head = isCompared
    ? '### What this change does to recorded traffic'
    : '### What the rules do to recorded traffic';
  const parts = [head, headText(replayed).replaceAll('\n', ' ')];
  if (replayed.findings.length === 0)
    parts.push(isCompared ? 'Both decide the same.' : 'Nothing would be dropped.');
  else
    parts.push(
      [
        '| | at | what | how much | why |',
        '| --- | --- | --- | --- | --- |',
        ...KINDS.flatMap(([kind, title]) =>
          replayed.findings.filter((one) => one.kind === kind).map((one) => rowOf(title, one)),
        ),
      ].join('\n'),
    );
  const more = moreText(replayed);
  if (more !== undefined) parts.push(more);
  parts.push(
    summaryLines(replayed)
      .map((line) => `- ${line.replaceAll('\n', ' ')}`)
      .join('\n'),
  );
  return parts.join('\n\n');
}

function rowOf(title: string, finding: Finding): string {
  const at = code(`${finding.interface} ${finding.direction}`);
  const what = code(`${finding.service} ${peerText(finding)}`);
  const why = finding.kind === 'passed' ? '' : code(whyTexts(finding).join(' '));
  return `| ${title} | ${at} | ${what} | ${amountText(finding)} | ${why} |`;
}

export function replayedJson(replayed: Replayed, isRefused: boolean): object {
  const { recordings, counts, firstMs, lastMs, findings, more, isCapture } = replayed;
  return {
    refused: isRefused,
    whole: isWhole(replayed),
    kind: isCapture ? 'capture' : 'flow-log',
    recordings: recordings.map(recordingJson),
    ...(firstMs === undefined ? {} : { first: timeText(firstMs), last: timeText(lastMs!) }),
    counts,
    findings: findings.map(({ firstMs: first, lastMs: last, ...one }) => ({
      ...one,
      first: timeText(first),
      last: timeText(last),
    })),
    more,
  };
}

function recordingJson({ file, items, lost, damage, badLines, told: lines }: Recording): object {
  return { file, items, lost, badLines, lines, ...(damage === undefined ? {} : { damage }) };
}

function spanText(firstMs: number, lastMs: number): string {
  const [first, last] = [timeText(firstMs), timeText(lastMs)];
  return first === last ? first : `${first} to ${last}`;
}

/** To the second, in UTC; what no calendar has is told as it is. */
function timeText(ms: number): string {
  const date = new Date(Math.floor(ms));
  if (Number.isNaN(date.getTime())) return `${Math.floor(ms)} ms`;
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}

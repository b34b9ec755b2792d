/** What `sgctl test` prints for people: a list, matrices, and why something failed. */
import { caseTitle, titleOf, type Block, type Check, type NamedService } from '../reach/suite.ts';
import type { CaseReport, CheckReport, Outcome, Report } from '../reach/run.ts';
import { worstOf } from '../explain/explain.ts';
import type { Explanation } from '../explain/explanation.ts';
import type { Judgement } from '../reach/judge.ts';
import { printable } from '../source/excerpt.ts';
import { formatExplanation } from './explain-text.ts';
import { formatTable, paint, type Style } from './output.ts';

const DEFAULT_COLUMNS = 100;
const GAP = 2;
/** Failures that are explained, and cases told of each; the rest is counted. */
const EXPLAINED_MAX = 20;
const CASES_TOLD_MAX = 4;
const SKIPS_TOLD_MAX = 12;

interface Signs {
  readonly allowed: string;
  readonly denied: string;
  readonly mixed: string;
  readonly undecidable: string;
}

const UNICODE_SIGNS: Signs = { allowed: '✓', denied: '✗', mixed: '±', undecidable: '~' };
const ASCII_SIGNS: Signs = { allowed: '+', denied: '-', mixed: '*', undecidable: '~' };
const NO_CELL = '.';

export interface TextOptions {
  readonly columns: number;
  readonly isUnicode: boolean;
}

/** What the terminal can show, as its environment says it (POSIX, locale variables). */
export function textOptions(env: NodeJS.ProcessEnv, columns: number | undefined): TextOptions {
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find((one) => one);
  return { columns: columns ?? DEFAULT_COLUMNS, isUnicode: /utf-?8/i.test(locale ?? '') };
}

export function formatReport(report: Report, options: TextOptions): string {
  const sections = report.blocks.map((one) =>
    one.block.kind === 'list'
      ? formatList(one.checks)
      : formatMatrix(one.block, one.checks, options),
  );
  return [...sections, ...formatFailures(report), ...formatSkips(report), summaryLine(report)].join(
    '\n\n',
  );
}

export function summaryLine({ counts }: Report): string {
  const { passed, failed, skipped } = counts;
  const text = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  return paint(text, failed > 0 ? 'red' : skipped > 0 ? 'yellow' : 'green');
}

const OUTCOME_WORDS: Readonly<Record<Outcome, readonly [text: string, style: Style]>> = {
  passed: ['ok', 'green'],
  failed: ['FAILED', 'red'],
  skipped: ['skipped', 'yellow'],
};

function formatList(checks: readonly CheckReport[]): string {
  const rows = checks.map(({ check, outcome, cases }) => {
    const [word, style] = OUTCOME_WORDS[outcome];
    const families = [...new Set(cases.map(({ one }) => `IPv${one.family}`))].sort();
    const packets = cases.length > families.length ? ` (${cases.length} packets)` : '';
    const name = check.name === undefined ? '' : paint(printable(check.name), 'dim');
    const over = families.join(', ') + packets;
    return [paint(word, style), titleOf(check), check.expected, over, name];
  });
  return formatTable(['', 'WHAT', 'EXPECTED', 'OVER', ''], rows);
}

/** As many columns beside each other as there is room for, never tearing a destination apart. */
function formatMatrix(
  block: Extract<Block, { kind: 'matrix' }>,
  checks: readonly CheckReport[],
  options: TextOptions,
): string {
  const signs = options.isUnicode ? UNICODE_SIGNS : ASCII_SIGNS;
  const cells = new Map(checks.map((one) => [cellKey(one.check), one]));
  // A filter may have left some ends or services without a cell.
  const sources = block.ends.filter((end) => checks.some(({ check }) => check.from === end));
  const destinations = block.ends.filter((end) => checks.some(({ check }) => check.to === end));
  const services = block.services.filter((one) =>
    checks.some(({ check }) => check.service === one),
  );
  const rowHead = Math.max('FROM'.length, ...block.ends.map((end) => end.length));
  const tables: string[] = [];
  let columns: { readonly to: string; readonly service: NamedService }[] = [];
  let width = rowHead;
  const flush = (): void => {
    if (columns.length === 0) return;
    const head = ['FROM', ...columns.map(({ to, service }) => columnTitle(to, service, block))];
    const rows = sources.map((from) => [
      from,
      ...columns.map(({ to, service }) =>
        formatCell(cells.get(cellKey({ from, to, service })), signs),
      ),
    ]);
    tables.push(formatTable(head, rows));
    columns = [];
    width = rowHead;
  };
  for (const to of destinations) {
    const titles = services.map((service) => columnTitle(to, service, block));
    const more = titles.reduce((sum, title) => sum + GAP + title.length, 0);
    if (width + more > options.columns) flush();
    columns.push(...services.map((service) => ({ to, service })));
    width += more;
  }
  flush();
  const { allowed, denied, mixed } = signs;
  const legend = `${allowed} allowed  ${denied} denied  ${mixed} differs by family or interface  ! not as expected  ? not all tried`;
  const words = protocolsOf(block).join(', ');
  const title = `${paint(`matrix ${printable(block.name)}`, 'bold')} (${words}; line ${block.at.line})`;
  return [title, ...tables, paint(legend, 'dim')].join('\n\n');
}

function protocolsOf({ services }: Extract<Block, { kind: 'matrix' }>): readonly string[] {
  return [...new Set(services.map(({ key }) => key.slice(0, key.indexOf('/'))))];
}

/** `web:443`; `web:udp/53` where the matrix is not about one protocol. */
function columnTitle(
  to: string,
  { key }: NamedService,
  block: Extract<Block, { kind: 'matrix' }>,
): string {
  const isOne = protocolsOf(block).length === 1;
  return `${to}:${isOne ? key.slice(key.indexOf('/') + 1) : key}`;
}

function cellKey({ from, to, service }: Pick<Check, 'from' | 'to' | 'service'>): string {
  return `${from}>${to}:${service.key}`;
}

function formatCell(report: CheckReport | undefined, signs: Signs): string {
  if (report === undefined) return NO_CELL;
  const verdicts = new Set(report.cases.map(verdictOf));
  const [only] = verdicts;
  const sign = verdicts.size === 0 ? '' : verdicts.size > 1 ? signs.mixed : signs[only];
  switch (report.outcome) {
    case 'failed':
      return paint(`${sign}!`, 'red');
    case 'skipped':
      return paint(`${sign}?`, 'yellow');
    case 'passed':
      return paint(sign, report.check.expected === 'allowed' ? 'green' : 'dim');
    default:
      return report.outcome satisfies never;
  }
}

/** What was seen; what the rules say, where nothing was. */
function verdictOf({ live, offline }: CaseReport): Judgement['verdict'] {
  return live?.verdict === 'allowed' || live?.verdict === 'denied' ? live.verdict : offline.verdict;
}

function formatFailures({ blocks }: Report): readonly string[] {
  const failed = blocks.flatMap(({ checks }) =>
    checks.filter(({ outcome }) => outcome === 'failed'),
  );
  const more = failed.length - EXPLAINED_MAX;
  return [
    ...failed.slice(0, EXPLAINED_MAX).map(formatFailure),
    ...(more > 0 ? [`… and ${more} more failures (--json has all)`] : []),
  ];
}

/** What was expected and seen, then the whole story, a family once. */
export function formatFailure(report: CheckReport): string {
  const { check } = report;
  const failed = report.cases.filter(({ outcome }) => outcome === 'failed');
  const name = check.name === undefined ? '' : ` "${printable(check.name)}"`;
  const { file, line, column } = check.at;
  const head = `${paint('FAILED', 'red')} ${titleOf(check)}${name}`;
  const told = failed
    .slice(0, CASES_TOLD_MAX)
    .map(({ one, why }) => `  ${caseTitle(one)}: ${why ?? ''}`);
  const more = failed.length - CASES_TOLD_MAX;
  if (more > 0) told.push(`  … and ${more} more`);
  const lines = [head, `  expected at ${file}:${line}:${column}`, ...told];
  const explanation = mergeExplanations(failed);
  if (explanation === undefined) return lines.join('\n');
  const story = formatExplanation('explained', explanation).replace(/^(?=.)/gm, '  ');
  return `${lines.join('\n')}\n\n${story}`;
}

/** One explanation of the first failure in each family. */
function mergeExplanations(failed: readonly CaseReport[]): Explanation | undefined {
  const firsts = ([4, 6] as const).flatMap(
    (family) =>
      failed.find((one) => one.one.family === family && one.explanation !== undefined)
        ?.explanation ?? [],
  );
  if (firsts.length === 0) return undefined;
  const answers = firsts.flatMap((one) => one.answers);
  return { verdict: worstOf(answers), answers, notAsked: [] };
}

/** Reasons, each once, with how often it was one. */
function formatSkips({ blocks }: Report): readonly string[] {
  const reasons = new Map<string, number>();
  const note = (why: string): void => void reasons.set(why, (reasons.get(why) ?? 0) + 1);
  for (const { checks } of blocks) {
    for (const { check, cases } of checks) {
      if (check.untestable !== undefined) note(check.untestable);
      for (const { outcome, why } of cases) if (outcome === 'skipped') note(why ?? '');
    }
  }
  if (reasons.size === 0) return [];
  const told = [...reasons]
    .slice(0, SKIPS_TOLD_MAX)
    .map(([why, times]) => `  ${String(times).padStart(4)}  ${why}`);
  const more = reasons.size - SKIPS_TOLD_MAX;
  if (more > 0) told.push(`        … and ${more} more reasons (--json has all)`);
  return [['skipped, because:', ...told].join('\n')];
}

/** Tells what two inputs allow differently: text for people, Markdown for a pull request, JSON, problems for SARIF. */
import { serviceTexts } from '../policy/service-set.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import type { Problem } from '../source/problem.ts';
import type { Difference, DifferenceKind } from '../reach/compare.ts';
import { paint, type Style } from './output.ts';

/** Ends of a line; more are counted. */
const ENDS_SHOWN = 6;

/** In the order in which they are told. */
export const KINDS: readonly (readonly [kind: DifferenceKind, title: string, style: Style])[] = [
  ['newly-allowed', 'newly allowed', 'red'],
  ['newly-audited', 'refused, and passes by audit from now on', 'red'],
  ['perhaps-newly-allowed', 'perhaps newly allowed: not decidable', 'yellow'],
  ['no-longer-allowed', 'no longer allowed', 'green'],
  ['no-longer-audited', 'refused, and passes by audit no longer', 'green'],
  ['perhaps-no-longer-allowed', 'perhaps no longer allowed: not decidable', 'yellow'],
];
/** What lets through more than before. */
const WIDER: readonly DifferenceKind[] = [
  'newly-allowed',
  'perhaps-newly-allowed',
  'newly-audited',
];
const SAME = 'both allow the same';

export function formatDifferences(differences: readonly Difference[]): string {
  if (differences.length === 0) return SAME;
  return KINDS.flatMap(([kind, title, style]) => {
    const lines = differences.filter((one) => one.kind === kind).map((one) => `  ${lineOf(one)}`);
    return lines.length === 0 ? [] : [[paint(title, style), ...lines].join('\n')];
  }).join('\n\n');
}

export function isWider({ kind }: Difference): boolean {
  return WIDER.includes(kind);
}

/** `0.0.0.0/0 -> web: tcp 22` */
export function lineOf(one: Difference): string {
  return `${ends(one.from)} -> ${ends(one.to)}: ${servicesText(one)}`;
}

function servicesText({ kind, services, families, byAudit }: Difference): string {
  const family = families.length === 1 && families[0] === 6 ? ' (IPv6)' : '';
  const verb = kind === 'newly-allowed' ? 'passed' : 'passes';
  const audit = byAudit === true ? ` (${verb} by audit)` : '';
  return `${serviceTexts(services).join(', ')}${family}${audit}`;
}

function ends(names: readonly string[]): string {
  const shown = names.slice(0, ENDS_SHOWN).map(printable).join(', ');
  const more = names.length - ENDS_SHOWN;
  return more > 0 ? `${shown} and ${more} more` : shown;
}

export function formatMarkdown(differences: readonly Difference[]): string {
  const head = '### What this change allows';
  if (differences.length === 0) return `${head}\n\nNothing changes: ${SAME}.`;
  const told = KINDS.map(([kind, title]) => {
    const found = differences.filter((one) => one.kind === kind).length;
    return found === 0 ? [] : [`${count(found, 'difference')} ${title}`];
  }).flat();
  const rows = KINDS.flatMap(([kind, title]) =>
    differences
      .filter((one) => one.kind === kind)
      .map((one) => {
        const { from, to, origin } = one;
        const at =
          origin === undefined
            ? ''
            : code(origin.path === '' ? `${origin.file}:${origin.line}` : origin.path);
        return `| ${title} | ${code(ends(from))} | ${code(ends(to))} | ${code(servicesText(one))} | ${at} |`;
      }),
  );
  const table = [
    '| | from | to | with | a rule of it |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ];
  return `${head}\n\n${told.join('; ')}.\n\n${table.join('\n')}`;
}

/** Text of strangers in a cell of a table: it ends neither the cell nor the code. */
export function code(text: string): string {
  const safe = printable(text).replaceAll('`', "'").replaceAll('|', '\\|').replaceAll('\n', ' ');
  return `\`${safe}\``;
}

export function differencesJson(differences: readonly Difference[]): object {
  return {
    same: differences.length === 0,
    counts: Object.fromEntries(
      KINDS.map(([kind]) => [kind, differences.filter((one) => one.kind === kind).length]),
    ),
    differences: differences.map(({ kind, from, to, families, services, byAudit, origin }) => ({
      ...{ kind, from, to, families, services: serviceTexts(services) },
      ...(byAudit === undefined ? {} : { byAudit }),
      ...(origin === undefined ? {} : { rule: origin }),
    })),
  };
}

/** What newly passes is a warning; what does not any more is a notice. */
export function differencesProblems(differences: readonly Difference[]): readonly Problem[] {
  return differences.map((one) => {
    const { kind, origin } = one;
    const [, title] = KINDS.find(([known]) => known === kind)!;
    return {
      severity: isWider(one) ? 'warning' : 'notice',
      code: kind,
      at:
        origin === undefined
          ? undefined
          : { file: origin.file, line: origin.line, column: origin.column },
      path: origin?.path ?? '',
      message: `${title}: ${lineOf(one)}`,
    };
  });
}

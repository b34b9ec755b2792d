/** An explanation as text for people: aligned, and within 80 columns unless a name is longer. */
import { relative } from 'node:path';
import type {
  AdmittingRule,
  End,
  Explanation,
  FamilyAnswer,
  GateAnswer,
  NearMiss,
  RuleRef,
  Tracking,
  Verdict,
} from '../explain/explanation.ts';
import type { Origin } from '../policy/model.ts';
import { count } from '../source/count.ts';
import { formatTable, paint } from './output.ts';

const COLUMNS = 80;
/** Rules listed of each kind; the rest is counted. */
const LISTED_MAX = 5;
const LABEL_COLUMNS = 6;
const GATE_INDENT = 2;
const RULE_INDENT = 4;

/** @param title the question, as `web -> db tcp 5432` */
export function formatExplanation(title: string, explanation: Explanation): string {
  const { answers, notAsked } = explanation;
  const sections = [
    `${paint(title, 'bold')}: ${paintVerdict(explanation.verdict)}`,
    ...answers.map(formatAnswer),
    ...notAsked.map(({ family, why }) => `IPv${family}  not asked: ${why}`),
  ];
  return sections.join('\n\n');
}

/** Several pairs of ends at a glance. @param title the question as it was asked */
export function formatPairs(
  title: string,
  pairs: readonly {
    readonly from: string;
    readonly to: string;
    readonly explanation: Explanation;
  }[],
): string {
  const allowed = pairs.filter(({ explanation }) => explanation.verdict === 'allowed').length;
  const rows = pairs.map(({ from, to, explanation }) => {
    const { verdict, answers } = explanation;
    const refusals = answers.filter((answer) => answer.verdict !== 'allowed');
    const reasons = refusals.map(({ family, reason }) => `IPv${family}: ${reason}`);
    return [from, to, paintVerdict(verdict), reasons.join(', ')];
  });
  const head = `${paint(title, 'bold')}: ${allowed} of ${count(pairs.length, 'pair')} allowed`;
  return `${head}\n\n${formatTable(['from', 'to', 'verdict', 'reason'], rows)}`;
}

function formatAnswer(answer: FamilyAnswer): string {
  const { family, from, to, verdict, reason, checks, gates, subnets = [], notes } = answer;
  const why = verdict === 'allowed' ? '' : ` (${reason})`;
  const head = `IPv${family}  ${endText(from)} -> ${endText(to)}: ${paintVerdict(verdict)}${why}`;
  const refusals = checks
    .filter(({ outcome }) => outcome === 'refused')
    .map(({ check, why: text }) => wrap(`${check}: ${text}`, GATE_INDENT));
  const held = subnets
    .filter((one) => one.verdict !== 'allowed')
    .map(({ check, why: text }) => wrap(`${check}: ${text}`, GATE_INDENT));
  const remarks = notes.map((note) => wrap(`note: ${note}`, GATE_INDENT));
  const parts = [...refusals, ...gates.map(formatGate), ...held, ...remarks];
  return [head, ...parts].join('\n\n');
}

function endText(end: End): string {
  return end.kind === 'platform' ? `${end.address} (platform)` : end.address;
}

function formatGate(gate: GateAnswer): string {
  const { direction, verdict, reached, why, decidedBy, tracking, nearMisses } = gate;
  const said = reached ? paintVerdict(verdict) : `would be ${paintVerdict(verdict)} (not reached)`;
  const tellsWhy = verdict !== 'allowed' || decidedBy === undefined;
  const lines = [`  ${direction} of ${gate.interface.name}: ${said}`];
  if (tellsWhy) lines.push(wrap(why, RULE_INDENT));
  if (decidedBy !== undefined) lines.push(formatAdmitting('by', decidedBy));
  lines.push(...list('also', gate.alsoAdmittedBy, formatAdmitting));
  lines.push(...list('near', nearMisses, formatNearMiss));
  if (nearMisses.length > 0) {
    for (const { name } of gate.groupsWithoutRules)
      lines.push(`${blanks(RULE_INDENT)}sg:${name} has no ${direction} rules at all`);
  }
  if (tracking !== undefined) lines.push(formatTracking(tracking));
  return lines.join('\n');
}

function list<T>(
  label: string,
  items: readonly T[],
  format: (label: string, item: T) => string,
): string[] {
  const lines = items.slice(0, LISTED_MAX).map((item) => format(label, item));
  const more = items.length - LISTED_MAX;
  if (more > 0)
    lines.push(
      `${blanks(RULE_INDENT)}${label.padEnd(LABEL_COLUMNS)}… ${more} more (--json has all)`,
    );
  return lines;
}

function formatAdmitting(label: string, rule: AdmittingRule): string {
  return formatRule(label, rule, rule.because);
}

function formatNearMiss(label: string, { rule, text }: NearMiss): string {
  return formatRule(label, rule, text);
}

/** The rule, then where it is written and what it is called, then a remark. */
function formatRule(label: string, rule: RuleRef, remark?: string): string {
  const indent = RULE_INDENT + LABEL_COLUMNS;
  const description = rule.description === '' ? [] : [`"${rule.description}"`];
  const where = fill([placeText(rule.origin), rule.id, ...description], '  ', indent);
  const lines = [
    `${blanks(RULE_INDENT)}${label.padEnd(LABEL_COLUMNS)}${ruleLine(rule)}`,
    ...where.map((line) => paint(line, 'dim')),
  ];
  if (remark !== undefined) lines.push(wrap(remark, indent));
  return lines.join('\n');
}

function ruleLine({ group, text }: RuleRef): string {
  return `sg:${group.name}  ${text}`;
}

/** `demo.yaml:22`, with the logical id where a template has one. */
function placeText({ file, line, logicalId }: Origin): string {
  const fromHere = relative('.', file);
  const name = fromHere.length < file.length ? fromHere : file;
  // The default group stands on no line unless somebody writes it.
  const place = line === 0 ? `${name} (there by default)` : `${name}:${line}`;
  return logicalId === undefined ? place : `${place} (${logicalId})`;
}

function formatTracking(tracking: Tracking): string {
  const { kind, why } = tracking;
  switch (kind) {
    case 'tracked':
      return wrap(`tracked: ${why}; ${idleText(tracking.idle)}`, RULE_INDENT);
    case 'none':
      return wrap(`not tracked: ${why}`, RULE_INDENT);
    case 'untracked': {
      const rules = tracking.rules.flatMap((rule) =>
        fill([ruleLine(rule), placeText(rule.origin)], '  ', RULE_INDENT + LABEL_COLUMNS),
      );
      return [wrap(`untracked: ${why}`, RULE_INDENT), ...rules].join('\n');
    }
    case 'depends': {
      const ports = tracking.untrackedSourcePorts.map(([from, to]) =>
        from === to ? `${from}` : `${from}-${to}`,
      );
      const text = `tracked, unless sent from port ${ports.join(', ')}: ${why}; ${idleText(tracking.idle)}`;
      return wrap(text, RULE_INDENT);
    }
    default:
      return kind satisfies never;
  }
}

function idleText(idle: Extract<Tracking, { kind: 'tracked' }>['idle']): string {
  const parts = idle.map(({ when, seconds }) =>
    when === 'idle' ? `${seconds} s` : `${seconds} s ${when}`,
  );
  return `idle time-out ${parts.join(', ')}`;
}

function paintVerdict(verdict: Verdict): string {
  switch (verdict) {
    case 'allowed':
      return paint(verdict, 'green');
    case 'refused':
      return paint(verdict, 'red');
    case 'undecidable':
      return paint('not decidable', 'yellow');
    default:
      return verdict satisfies never;
  }
}

function blanks(count: number): string {
  return ' '.repeat(count);
}

/** Lines of at most 80 columns, each behind so many blanks. */
export function wrap(text: string, indent: number): string {
  return fill(text.split(' '), ' ', indent).join('\n');
}

/** Lines of as many units as fit; a unit is never broken. */
function fill(units: readonly string[], gap: string, indent: number): string[] {
  const lines: string[] = [];
  for (const unit of units) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + gap.length + unit.length <= COLUMNS)
      lines[lines.length - 1] = line + gap + unit;
    else lines.push(blanks(indent) + unit);
  }
  return lines;
}

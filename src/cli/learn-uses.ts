/** What `sgctl learn --tighten` says of existing rules, for people. */
import type { RuleFinding, RuleUse } from '../learn/tighten.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import { wrap } from './explain-text.ts';
import { paint, type Style } from './output.ts';
import { placeText } from './traffic-text.ts';

const INDENT = 4;

/** In the order in which they are told. */
const SECTIONS: readonly (readonly [use: RuleUse, title: string, style: Style])[] = [
  ['never-used', 'never used', 'red'],
  ['set-apart-only', 'used by what is set apart alone', 'red'],
  ['redundant', 'not needed beside others (of rules that admit the same, keep one)', 'yellow'],
  ['could-be-narrower', 'could be narrower', 'yellow'],
  ['not-known', 'with a DNS name: nobody knows whether they were used', 'dim'],
];

/** @param risks how long was looked */
export function formatUses(findings: readonly RuleFinding[], risks: readonly string[]): string {
  const sections = SECTIONS.flatMap(([use, title, style]) => {
    const found = findings.filter((one) => one.use === use);
    if (found.length === 0) return [];
    return [[paint(title, style), ...found.map(formatFinding)].join('\n')];
  });
  const used = findings.filter(({ use }) => use === 'used').length;
  const head = risks.map((text) => wrap(printable(text), 0)).join('\n');
  return [head, ...sections, `${count(used, 'rule')} of ${findings.length} used as they are`].join(
    '\n\n',
  );
}

function formatFinding({ group, rule, text, evidence, narrower, others }: RuleFinding): string {
  const lines = [wrap(printable(`sg:${group.name} ${text} (${placeText(rule.origin)})`), 2)];
  if (evidence !== undefined) {
    const { flows, examples } = evidence;
    lines.push(wrap(`${count(flows, 'flow')}, as ${examples[0]}`, INDENT));
  }
  for (const other of narrower) lines.push(wrap(printable(`enough: ${other}`), INDENT));
  if (others.length > 0)
    lines.push(wrap(printable(`also admitted by: ${others.join('; ')}`), INDENT));
  return lines.join('\n');
}

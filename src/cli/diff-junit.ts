/** Differences of what two inputs allow as JUnit XML: a test case each, which fails if something newly passes. */
import { create } from 'xmlbuilder2';
import type { Difference } from '../reach/compare.ts';
import { isWider, KINDS, lineOf } from './diff-output.ts';
import { cleanXml } from './test-junit.ts';

export function differencesJunit(differences: readonly Difference[], file: string): string {
  const totals = {
    tests: String(Math.max(1, differences.length)),
    failures: String(differences.filter(isWider).length),
    ...{ skipped: '0', errors: '0' },
  };
  const root = create({ version: '1.0', encoding: 'UTF-8' }).ele('testsuites', {
    name: cleanXml(file),
    ...totals,
  });
  const suite = root.ele('testsuite', { name: 'sgctl diff', file: cleanXml(file), ...totals });
  if (differences.length === 0)
    suite.ele('testcase', { classname: 'sgctl diff', name: 'both allow the same' });
  for (const one of differences) {
    const [, title] = KINDS.find(([kind]) => kind === one.kind)!;
    const name = cleanXml(`${title}: ${lineOf(one)}`);
    const item = suite.ele('testcase', { classname: 'sgctl diff', name });
    if (isWider(one)) item.ele('failure', { message: name, type: one.kind });
  }
  return `${root.end({ prettyPrint: true })}\n`;
}

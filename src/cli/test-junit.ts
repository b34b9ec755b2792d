/**
 * Results as JUnit XML, which most CI services show: a test suite for the list and for each matrix, a
 * test case for each packet. The format has no standard; these are the elements that readers share.
 */
import { stripVTControlCharacters } from 'node:util';
import { create } from 'xmlbuilder2';
import type { BlockReport, CaseReport, CheckReport, Outcome, Report } from '../reach/run.ts';
import { caseTitle, titleOf } from '../reach/suite.ts';
import { formatFailure } from './test-text.ts';

type XmlNode = ReturnType<typeof create>;

/** Characters that XML 1.0 has no way to write (section 2.2). */
const NOT_XML =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** @param seconds how long it all took */
export function reportJunit(report: Report, seconds: number): string {
  const { counts, suite, blocks } = report;
  const root = create({ version: '1.0', encoding: 'UTF-8' }).ele('testsuites', {
    name: cleanXml(suite.file),
    ...totals(counts),
    time: seconds.toFixed(3),
  });
  for (const block of blocks) addSuite(root, block, suite.file);
  return `${root.end({ prettyPrint: true })}\n`;
}

function addSuite(root: XmlNode, { block, checks }: BlockReport, file: string): void {
  const name = block.kind === 'list' ? 'expect' : `matrix ${block.name}`;
  const counts: Record<Outcome, number> = { passed: 0, failed: 0, skipped: 0 };
  for (const { cases } of checks) {
    if (cases.length === 0) counts.skipped++;
    for (const { outcome } of cases) counts[outcome]++;
  }
  const attributes = { name: cleanXml(name), file: cleanXml(file), ...totals(counts) };
  const node = root.ele('testsuite', attributes);
  for (const check of checks) {
    const { untestable, at } = check.check;
    if (untestable !== undefined) {
      addCase(node, name, titleOf(check.check), at.line).ele('skipped', {
        message: cleanXml(untestable),
      });
    }
    for (const one of check.cases) addResult(node, name, check, one);
  }
}

function addResult(node: XmlNode, suite: string, check: CheckReport, result: CaseReport): void {
  const { name, at } = check.check;
  const title = caseTitle(result.one) + (name === undefined ? '' : ` "${name}"`);
  const item = addCase(node, suite, title, at.line);
  const message = cleanXml(result.why ?? '');
  switch (result.outcome) {
    case 'passed':
      return;
    case 'skipped':
      item.ele('skipped', { message });
      return;
    case 'failed': {
      // The story of this case alone.
      const story = formatFailure({ ...check, cases: [result] });
      item
        .ele('failure', { message, type: 'unexpected' })
        .txt(cleanXml(stripVTControlCharacters(story)));
      return;
    }
    default:
      result.outcome satisfies never;
  }
}

function addCase(node: XmlNode, suite: string, title: string, line: number): XmlNode {
  return node.ele('testcase', {
    classname: cleanXml(suite),
    name: cleanXml(title),
    line: String(line),
  });
}

function totals({
  passed,
  failed,
  skipped,
}: Readonly<Record<Outcome, number>>): Record<string, string> {
  return {
    tests: String(passed + failed + skipped),
    failures: String(failed),
    skipped: String(skipped),
    errors: '0',
  };
}

/** Text that XML can have. */
export function cleanXml(text: string): string {
  return text.replace(NOT_XML, '\ufffd');
}

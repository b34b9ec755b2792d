/** What `sgctl test --json` prints. */
import { formatAddress } from '../addr/address.ts';
import type { CaseReport, CheckReport, Report } from '../reach/run.ts';
import { caseTitle, titleOf, type CaseEnd } from '../reach/suite.ts';

export function reportJson(report: Report): object {
  const { suite, counts, isLive, blocks } = report;
  return {
    file: suite.file,
    config: suite.configFile,
    live: isLive,
    ok: counts.failed === 0,
    counts,
    checks: blocks.flatMap(({ block, checks }) =>
      checks.map((one) => checkJson(one, block.kind === 'matrix' ? block.name : undefined)),
    ),
  };
}

function checkJson({ check, outcome, cases }: CheckReport, matrix: string | undefined): object {
  return {
    title: titleOf(check),
    name: check.name,
    matrix,
    at: check.at,
    from: check.from,
    to: check.to,
    service: check.service.service,
    expected: check.expected,
    outcome,
    untestable: check.untestable,
    cases: cases.map(caseJson),
  };
}

function caseJson({ one, outcome, offline, live, why, explanation }: CaseReport): object {
  return {
    title: caseTitle(one),
    family: one.family,
    from: endJson(one.from),
    to: endJson(one.to),
    outcome,
    why: why,
    offline: offline.verdict,
    live: live,
    ...(offline.disagreement === undefined ? {} : { disagreement: offline.disagreement }),
    ...(explanation === undefined ? {} : { explanation }),
  };
}

function endJson({ address, interfaceId, name }: CaseEnd): object {
  const text = formatAddress(address);
  return interfaceId === undefined
    ? { outside: true, address: text }
    : { interface: interfaceId, name, address: text };
}

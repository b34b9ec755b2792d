/** Verdicts from the files alone, and what becomes of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exitCodeOf } from '../../src/cli/test.ts';
import { compileConfig, Judge } from '../../src/reach/judge.ts';
import { runSuite, type Report } from '../../src/reach/run.ts';
import { caseTitle } from '../../src/reach/suite.ts';
import { CONFIG, Files } from './files.ts';

const files = new Files();

/** `title: outcome, why`, a line a case. */
function lines({ blocks }: Report): readonly string[] {
  return blocks.flatMap(({ checks }) =>
    checks.flatMap(({ cases }) =>
      cases.map(({ one, outcome, why }) => `${caseTitle(one)}: ${outcome}${why ? `, ${why}` : ''}`),
    ),
  );
}

describe('offline', () => {
  test('each case is judged by both gates, and by what comes before them', async () => {
    const report = await runSuite(
      files.suite(`expect:
  - { from: web, to: app, tcp: 8080, is: allowed }
  - { from: web, to: app, tcp: 8081, is: denied }
  - { from: web, to: app, icmp: [echo, 8/1], is: allowed }
  - { from: web, to: app, icmp: 0, is: denied }
  - { from: app, to: web, tcp: 80, is: denied, name: app has no egress }
  - { from: internet, to: web, tcp: 80, is: allowed }
  - { from: 203.0.113.9, to: web, tcp: 22, is: allowed }
  - { from: internet, to: web, tcp: 22, is: denied }
  - { from: "outside:10.0.0.1", to: web, tcp: 80, is: denied, name: spoofed }
  - { from: web-1, to: 224.0.0.1, udp: 1, is: denied, name: link scope }
  - { from: web, to: 169.254.169.123, udp: 123, is: allowed }
  - { from: web, to: 169.254.169.254, tcp: 80, is: denied }
  - { from: app, to: 169.254.169.123, udp: 124, is: denied }
`),
    );
    assert.deepEqual(
      lines(report).filter((line) => !line.endsWith(': passed')),
      [],
    );
    assert.deepEqual(report.counts, { passed: 30, failed: 0, skipped: 0 });
    assert.equal(exitCodeOf(report), 0);
  });

  test('what goes to a service of the platform is not filtered on the way out', async () => {
    const report = await runSuite(
      files.suite('expect: [{ from: app, to: [169.254.169.123, 8.8.8.8], udp: 123, is: allowed }]'),
    );
    assert.deepEqual(lines(report), [
      'app (app-1) -> 169.254.169.123 udp 123 (IPv4): passed',
      'app (app-1) -> 8.8.8.8 udp 123 (IPv4): failed, expected allowed, the rules say denied',
    ]);
  });

  test('a failure has both verdicts and the explanation of its family', async () => {
    const report = await runSuite(
      files.suite('expect: [{ from: internet, to: web-1, tcp: 80, family: 6, is: denied }]'),
    );
    assert.deepEqual(lines(report), [
      'internet (2001:db8:77::77) -> web-1 tcp 80 (IPv6): failed, expected denied, the rules say allowed',
    ]);
    const { explanation } = report.blocks[0].checks[0].cases[0];
    assert.deepEqual(
      explanation!.answers.map(({ family, gates }) => [
        family,
        gates.map((gate) => [gate.decidedBy?.text, gate.decidedBy?.origin.line]),
      ]),
      [[6, [['tcp 80 from ::/0', 6]]]],
    );
    assert.deepEqual(report.counts, { passed: 0, failed: 1, skipped: 0 });
    assert.equal(exitCodeOf(report), 1);
  });

  test('a pair of a matrix without a packet is skipped, and counts as one', async () => {
    const report = await runSuite(
      files.suite('matrix: { between: [web-1, web-2, app], tcp: 1, family: 6, allowed: [] }'),
    );
    assert.deepEqual(report.counts, { passed: 2, failed: 0, skipped: 4 });
    assert.equal(exitCodeOf(report), 0);
  });

  test('a filter looks at titles and names, whatever their case', async () => {
    const suite = files.suite(`expect:
  - { from: web, to: app, tcp: 8080, is: allowed, name: The Good }
  - { from: web, to: app, tcp: 9, is: denied, name: the bad }
`);
    const count = async (filter: string): Promise<number> =>
      (await runSuite(suite, { filter })).counts.passed;
    assert.deepEqual(
      [await count('WEB -> APP'), await count('the g'), await count('tcp 9'), await count('x')],
      [4, 2, 2, 0],
    );
  });
});

describe('the compiled rules and the reference', () => {
  test('if they disagree, it fails as an error of ours, whatever was expected', async () => {
    const suite = files.suite('expect: [{ from: web-1, to: app, tcp: 8080, is: allowed }]');
    const other = files.suite(
      'expect: [{ from: web-1, to: app, tcp: 8080, is: denied }]',
      CONFIG.replace('ports: 8080', 'ports: 8081'),
    );
    const judge = new Judge(suite.config, compileConfig(other.config));
    const report = await runSuite(suite, { judge });
    assert.deepEqual(lines(report), [
      'web-1 -> app (app-1) tcp 8080 (IPv4): failed, internal error: the matchers disagree (compiled: denied, reference: allowed, explained: allowed); please report it with your configuration',
    ]);
    assert.equal(exitCodeOf(report), 4);
  });

  test('so do tables that know other addresses', async () => {
    const suite = files.suite('expect: [{ from: web-1, to: 8.8.8.8, tcp: 1, is: allowed }]');
    const other = files.suite(
      'expect: [{ from: web-1, to: app, tcp: 1, is: denied }]',
      CONFIG.replace('[10.0.0.3]', '[8.8.8.8]'),
    );
    const judge = new Judge(suite.config, compileConfig(other.config));
    assert.equal(exitCodeOf(await runSuite(suite, { judge })), 4);
  });
});

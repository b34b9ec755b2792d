/** What people and CI services get to read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { reportJson } from '../../src/cli/test-json.ts';
import { reportJunit } from '../../src/cli/test-junit.ts';
import { formatReport, textOptions } from '../../src/cli/test-text.ts';
import { runSuite, type Report } from '../../src/reach/run.ts';
import { Files } from './files.ts';

const files = new Files();
const ASCII = { columns: 80, isUnicode: false };

async function report(expectations: string, filter?: string): Promise<Report> {
  return runSuite(files.suite(expectations), filter === undefined ? {} : { filter });
}

const MATRIX =
  'matrix: { name: tiers, between: [internet, web, app], tcp: [80, 8080], allowed: [internet>web:80, web>app:8080, app>web:80] }';

describe('for people', () => {
  test('a matrix, with a mark on what is not as expected, and its explanation', async () => {
    const text = formatReport(await report(MATRIX, 'app -> web'), ASCII);
    const expected = `matrix tiers (tcp; line 2)

FROM  web:80  web:8080
app   -!      -

+ allowed  - denied  * differs by family or interface  ! not as expected  ? not all tried

FAILED app -> web tcp 80 "tiers"
  expected at ${files.directory}/expect.yaml:2:113
  app (app-1) -> web (web-1) tcp 80 (IPv4): expected allowed, the rules say denied
  app (app-1) -> web (web-2) tcp 80 (IPv4): expected allowed, the rules say denied

  explained: refused

  IPv4  10.0.0.3 -> 10.0.0.1: refused (egress-rules)

    egress of app-1: refused
      sg:app has no egress rules at all

    ingress of web-1:`;
    assert.equal(text.slice(0, expected.length), expected);
    assert.match(text, /\n2 passed, 2 failed, 0 skipped$/);
  });

  test('a destination of a matrix is never torn apart; more than fits goes below', async () => {
    const text = formatReport(await report(MATRIX), { columns: 50, isUnicode: true });
    const heads = text.split('\n').filter((line) => line.startsWith('FROM'));
    assert.deepEqual(heads, [
      'FROM      internet:80  internet:8080',
      'FROM      web:80  web:8080  app:80  app:8080',
    ]);
    assert.match(text, /^internet {2}\. {12}\.$/m);
    assert.match(text, /^web {7}✓! {11}✓!$/m);
    assert.match(text, /^web {7}\. {7}\. {9}✗ {7}✓$/m);
  });

  test('a list, a line a check', async () => {
    const text = formatReport(
      await report(`expect:
  - { from: web, to: app, tcp: 8080, is: allowed, name: "the\\e[31m app" }
  - { from: internet, to: web-1, tcp: 23, is: denied }
`),
      ASCII,
    );
    assert.equal(
      text,
      `    WHAT                      EXPECTED  OVER
ok  web -> app tcp 8080       allowed   IPv4 (2 packets)  the\ufffd[31m app
ok  internet -> web-1 tcp 23  denied    IPv4, IPv6

4 passed, 0 failed, 0 skipped`,
    );
  });

  test('what was skipped is told with its reason', async () => {
    const text = formatReport(
      await report('matrix: { between: [web-1, web-2, app], tcp: 1, family: 6, allowed: [] }'),
      ASCII,
    );
    assert.match(text, /^app {4}\? {8}\? {8}\.$/m);
    assert.match(
      text,
      /\nskipped, because:\n {5}1 {2}web-1 and app don't both have an IPv6 address\n/,
    );
    assert.match(text, /\n2 passed, 0 failed, 4 skipped$/);
  });

  test('signs that are not ASCII only where the locale has them', () => {
    const isUnicode = (env: NodeJS.ProcessEnv): boolean => textOptions(env, 80).isUnicode;
    assert.equal(isUnicode({ LANG: 'de_DE.UTF-8' }), true);
    assert.equal(isUnicode({ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }), false);
    assert.equal(isUnicode({ LC_ALL: '', LC_CTYPE: 'C.utf8' }), true);
    assert.equal(isUnicode({}), false);
  });
});

describe('for CI', () => {
  test('JUnit XML, with every text escaped and every character allowed', async () => {
    const xml = reportJunit(
      await report(`expect:
  - { from: web-1, to: app, tcp: 8080, is: allowed, name: "a <b> & \\"c\\" \\u0001 \\uD800" }
  - { from: web-1, to: app, tcp: 8081, is: allowed }
matrix: { between: [web-1, app], tcp: 1, family: 6, allowed: [] }
`),
      1.5,
    );
    const file = `${files.directory}/expect.yaml`;
    const head = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="${file}" tests="4" failures="1" skipped="2" errors="0" time="1.500">
  <testsuite name="expect" file="${file}" tests="2" failures="1" skipped="0" errors="0">
    <testcase classname="expect" name="web-1 -&gt; app (app-1) tcp 8080 (IPv4) &quot;a &lt;b&gt; &amp; &quot;c&quot; \ufffd \ufffd&quot;" line="3"/>
    <testcase classname="expect" name="web-1 -&gt; app (app-1) tcp 8081 (IPv4)" line="4">
      <failure message="expected allowed, the rules say denied" type="unexpected">FAILED web-1 -&gt; app tcp 8081
`;
    assert.equal(xml.slice(0, head.length), head);
    const tail = `  <testsuite name="matrix web-1, app" file="${file}" tests="2" failures="0" skipped="2" errors="0">
    <testcase classname="matrix web-1, app" name="web-1 -&gt; app tcp 1" line="5">
      <skipped message="web-1 and app don't both have an IPv6 address"/>
    </testcase>
    <testcase classname="matrix web-1, app" name="app -&gt; web-1 tcp 1" line="5">
      <skipped message="app and web-1 don't both have an IPv6 address"/>
    </testcase>
  </testsuite>
</testsuites>
`;
    assert.equal(xml.slice(-tail.length), tail);
  });

  test('JSON has every case, and the explanation of those that failed', async () => {
    const suite = await report('expect: [{ from: web-1, to: app, tcp: [8080, 9], is: allowed }]');
    const json = JSON.parse(JSON.stringify(reportJson(suite))) as {
      ok: boolean;
      counts: object;
      checks: {
        title: string;
        outcome: string;
        cases: { offline: string; explanation?: object }[];
      }[];
    };
    assert.equal(json.ok, false);
    assert.deepEqual(json.counts, { passed: 1, failed: 1, skipped: 0 });
    assert.deepEqual(
      json.checks.map(({ title, outcome, cases }) => [
        title,
        outcome,
        cases.map((one) => [one.offline, 'explanation' in one]),
      ]),
      [
        ['web-1 -> app tcp 8080', 'passed', [['allowed', false]]],
        ['web-1 -> app tcp 9', 'failed', [['denied', true]]],
      ],
    );
  });
});

/** What a file of expectations stands for, and what is said of one that is wrong. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CASES_MAX } from '../../src/reach/expand.ts';
import { loadSuite } from '../../src/reach/load-suite.ts';
import { caseTitle, checksOf } from '../../src/reach/suite.ts';
import { CONFIG, Files } from './files.ts';

const files = new Files();

function titles(expectations: string): readonly string[] {
  const suite = files.suite(expectations);
  return checksOf(suite).flatMap((check) =>
    check.cases.map((one) => `${caseTitle(one)} ${check.expected}`),
  );
}

describe('what an expectation stands for', () => {
  test('a group is each of its interfaces, in every family that both ends have', () => {
    assert.deepEqual(titles('expect: [{ from: web, to: app, tcp: 8080, is: allowed }]'), [
      'web (web-1) -> app (app-1) tcp 8080 (IPv4) allowed',
      'web (web-2) -> app (app-1) tcp 8080 (IPv4) allowed',
    ]);
    assert.deepEqual(titles('expect: [{ from: web-1, to: web-2, tcp: [80, 81], is: denied }]'), [
      'web-1 -> web-2 tcp 80 (IPv4) denied',
      'web-1 -> web-2 tcp 80 (IPv6) denied',
      'web-1 -> web-2 tcp 81 (IPv4) denied',
      'web-1 -> web-2 tcp 81 (IPv6) denied',
    ]);
  });

  test('a group towards itself is every pair of different interfaces', () => {
    assert.deepEqual(titles('expect: [{ from: web, to: sg:web, udp: 1, is: denied, family: 6 }]'), [
      'web (web-1) -> sg:web (web-2) udp 1 (IPv6) denied',
      'web (web-2) -> sg:web (web-1) udp 1 (IPv6) denied',
    ]);
  });

  test('lists of ends, several services in one, an address, an id of ICMP', () => {
    assert.deepEqual(
      titles(
        'expect: [{ from: [web-1, 10.0.0.2], to: app-1, icmp: [echo, 8, 3/4], protocol: 47, is: denied }]',
      ),
      [
        'web-1 -> app-1 icmp echo (IPv4) denied',
        'web-1 -> app-1 icmp 3/4 (IPv4) denied',
        'web-1 -> app-1 protocol 47 (IPv4) denied',
        '10.0.0.2 (web-2) -> app-1 icmp echo (IPv4) denied',
        '10.0.0.2 (web-2) -> app-1 icmp 3/4 (IPv4) denied',
        '10.0.0.2 (web-2) -> app-1 protocol 47 (IPv4) denied',
      ],
    );
  });

  test('in lists of both sides, an end and itself is passed over', () => {
    assert.deepEqual(
      titles('expect: [{ from: [web-1, app-1], to: [web-1, app-1], tcp: 1, is: denied }]'),
      ['web-1 -> app-1 tcp 1 (IPv4) denied', 'app-1 -> web-1 tcp 1 (IPv4) denied'],
    );
  });

  test('internet is an address for documentation that no rule names', () => {
    // 203.0.113.77 would be the first choice, but 203.0.113.0/24 may use SSH here.
    assert.deepEqual(titles('expect: [{ from: internet, to: web-1, tcp: 22, is: denied }]'), [
      'internet (198.51.100.77) -> web-1 tcp 22 (IPv4) denied',
      'internet (2001:db8:77::77) -> web-1 tcp 22 (IPv6) denied',
    ]);
  });

  test("internet is the uplink's own address where that is one for documentation", () => {
    const config = CONFIG.replace('10.99.0.1/24', '192.0.2.9/24');
    const suite = files.suite(
      'expect: [{ from: stranger, to: web-1, tcp: 22, is: denied }]',
      config,
    );
    assert.deepEqual(checksOf(suite)[0].cases.map(caseTitle), [
      'stranger (192.0.2.9) -> web-1 tcp 22 (IPv4)',
      'stranger (2001:db8:77::77) -> web-1 tcp 22 (IPv6)',
    ]);
  });

  test('a matrix is every ordered pair, and what is not listed must be denied', () => {
    const matrix =
      'matrix: { between: [internet, web, app], tcp: [80], udp: [53], family: 4, allowed: [internet>web:80, web>app:*, "app > web : udp/53"] }';
    assert.deepEqual(titles(matrix), [
      'internet (198.51.100.77) -> web (web-1) tcp 80 (IPv4) allowed',
      'internet (198.51.100.77) -> web (web-2) tcp 80 (IPv4) allowed',
      'internet (198.51.100.77) -> web (web-1) udp 53 (IPv4) denied',
      'internet (198.51.100.77) -> web (web-2) udp 53 (IPv4) denied',
      'internet (198.51.100.77) -> app (app-1) tcp 80 (IPv4) denied',
      'internet (198.51.100.77) -> app (app-1) udp 53 (IPv4) denied',
      'web (web-1) -> internet (198.51.100.77) tcp 80 (IPv4) denied',
      'web (web-2) -> internet (198.51.100.77) tcp 80 (IPv4) denied',
      'web (web-1) -> internet (198.51.100.77) udp 53 (IPv4) denied',
      'web (web-2) -> internet (198.51.100.77) udp 53 (IPv4) denied',
      'web (web-1) -> app (app-1) tcp 80 (IPv4) allowed',
      'web (web-2) -> app (app-1) tcp 80 (IPv4) allowed',
      'web (web-1) -> app (app-1) udp 53 (IPv4) allowed',
      'web (web-2) -> app (app-1) udp 53 (IPv4) allowed',
      'app (app-1) -> internet (198.51.100.77) tcp 80 (IPv4) denied',
      'app (app-1) -> internet (198.51.100.77) udp 53 (IPv4) denied',
      'app (app-1) -> web (web-1) tcp 80 (IPv4) denied',
      'app (app-1) -> web (web-2) tcp 80 (IPv4) denied',
      'app (app-1) -> web (web-1) udp 53 (IPv4) allowed',
      'app (app-1) -> web (web-2) udp 53 (IPv4) allowed',
    ]);
  });

  test('an expected cell of a matrix points to where it is listed, the others to the matrix', () => {
    const suite = files.suite(
      'matrix:\n  - between: [web-1, app]\n    tcp: 8080\n    allowed:\n      - web-1>app:8080\n',
    );
    assert.deepEqual(
      checksOf(suite).map(({ from, expected, at }) => [from, expected, at.line, at.column]),
      [
        ['web-1', 'allowed', 6, 9],
        ['app', 'denied', 3, 5],
      ],
    );
  });

  test('a pair of a matrix without a packet says why', () => {
    const suite = files.suite(
      'matrix: { between: [web, web-1, app], tcp: 1, family: 6, allowed: [] }',
    );
    const untestable = checksOf(suite).filter(({ cases }) => cases.length === 0);
    assert.deepEqual(
      untestable.map(({ from, to, untestable: why }) => `${from}>${to}: ${why}`),
      [
        'web>app: web and app have no address family in common',
        'web-1>app: web-1 and app have no address family in common',
        'app>web: app and web have no address family in common',
        'app>web-1: app and web-1 have no address family in common',
      ].map((text) =>
        text.replace(/have no address family in common/, "don't both have an IPv6 address"),
      ),
    );
  });
});

describe('what is said of a file that is wrong', () => {
  const mistakes: readonly (readonly [what: string, text: string, problems: readonly string[]])[] =
    [
      [
        'an unknown name',
        'expect:\n  - { from: wbe, to: app, tcp: 80, is: allowed }',
        ["3:13 there is no interface and no group 'wbe'; did you mean 'web'?"],
      ],
      [
        'an unknown group',
        'expect: [{ from: sg:appp, to: web, tcp: 80, is: allowed }]',
        ["2:18 there is no security group 'appp'; did you mean 'app'?"],
      ],
      [
        'an address that is none',
        'expect: [{ from: 10.0.0.01, to: web, tcp: 80, is: allowed }]',
        ["2:18 '10.0.0.01' is not an IP address"],
      ],
      [
        'a group on nothing',
        'expect: [{ from: spare, to: web, tcp: 80, is: allowed }]',
        ["2:18 the security group 'spare' is on no interface"],
      ],
      [
        'unknown keys and a verdict that is none: all at once',
        'expect: [{ form: web, to: app, is: alowed, tpc: 1 }]',
        [
          "2:12 unknown key 'form'; did you mean 'from'?",
          "2:36 expected allowed or denied, got 'alowed'; did you mean 'allowed'?",
          "2:44 unknown key 'tpc'; did you mean 'tcp'?",
        ],
      ],
      [
        'services that are none',
        'expect: [{ from: web, to: app, tcp: [0x50, 70000], icmp: ehco, protocol: 6, is: denied }]',
        [
          "2:38 '0x50' is no port",
          "2:44 '70000' is no port",
          "2:58 'ehco' is no icmp message",
          '2:74 protocol 6 is tcp, and has a port',
        ],
      ],
      [
        'both ends outside',
        'expect: [{ from: internet, to: 8.8.8.8, tcp: 1, is: denied }]',
        ['2:10 nothing can be tried: both ends are outside: such a packet never comes here'],
      ],
      [
        'the same interface',
        'expect: [{ from: app, to: app-1, tcp: 1, is: denied }]',
        [
          '2:10 nothing can be tried: app and app-1 are the same interface, app-1: what it sends to itself meets no gate',
        ],
      ],
      [
        'no family in common',
        'expect: [{ from: "fd00::1", to: app, tcp: 1, is: denied }]',
        ['2:10 nothing can be tried: fd00::1 and app have no address family in common'],
      ],
      [
        'ICMP over IPv6',
        'expect: [{ from: web-1, to: web-2, icmp: echo, family: 6, is: denied }]',
        ['2:10 nothing can be tried: icmp is for IPv4'],
      ],
      [
        'cells of a matrix that are none',
        'matrix: { between: [web, app], tcp: 80, udp: 80, allowed: [web>app, wbe>app:80, web>app:80, web>app:81, web>web:80] }',
        [
          "2:60 'web>app' is no cell of a matrix",
          "2:69 'wbe' is not in this matrix; did you mean 'web'?",
          "2:81 '80' may be tcp/80 or udp/80",
          "2:93 the matrix does not test '81'",
          "2:105 'web>web:80' goes from web to itself, which no matrix tests",
        ],
      ],
      [
        'a matrix without services, and of one end',
        'matrix: { between: [web], allowed: [] }',
        ['2:9 the matrix does not say what is sent', '2:20 a matrix takes two ends or more'],
      ],
      ['nothing', 'expect: []', ['2:9 the file expects nothing']],
      ['neither list nor matrix', '', ['1:1 the file expects nothing']],
      ['a list of words', 'expect: [web]', ['2:10 expected a mapping, got a string']],
    ];
  for (const [what, text, problems] of mistakes) {
    test(what, () => assert.deepEqual(files.problems(text), problems));
  }

  test('a name that is an interface and another group is ambiguous, unless they are the same', () => {
    const both = CONFIG.replace('  web-1: {', '  app: {');
    const expectations = 'expect: [{ from: app, to: web-2, tcp: 1, is: denied }]';
    const { problems } = files.load(expectations, both);
    assert.deepEqual(
      problems.map(({ message }) => message),
      ["'app' is an interface, and a group on other interfaces as well"],
    );
    assert.match(
      problems[0].hint!,
      /^write sg:app for the group, eni-[0-9a-f]{17} for the interface$/,
    );
    const same = CONFIG.replace('  app-1: {', '  app: {');
    assert.equal(checksOf(files.suite(expectations, same)).length, 1);
  });

  test('more than the limit is refused in no time, at the entry that passes it', () => {
    const many = Array.from({ length: 300 }, (_, i) => i + 1).join(', ');
    const matrix = `matrix:\n  - { between: [web-1, web-2], tcp: 1, allowed: [] }\n  - { between: [web, app, internet], tcp: [${many}], udp: [${many}], icmp: [${many.slice(0, 890)}], allowed: [] }\n`;
    const began = process.cpuUsage();
    const { suite, problems } = files.load(matrix);
    assert.equal(suite, undefined);
    // Of the processor: a machine with much else to do takes no more of it.
    const { user } = process.cpuUsage(began);
    assert.ok(user < 5e6, `${user} µs`);
    assert.deepEqual(
      problems.map(({ code, at, message }) => [code, at!.line, message]),
      [
        [
          'too-many-cases',
          4,
          `more than ${CASES_MAX} single tests in one file: the limit was passed here`,
        ],
      ],
    );
    const ends = Array.from({ length: 2000 }, (_, i) => `8.8.${i >> 8}.${i & 255}`).join(', ');
    assert.deepEqual(
      files
        .load(`matrix: { between: [${ends}], tcp: 1, allowed: [] }`)
        .problems.map(({ code }) => code),
      ['too-many-cases'],
    );
  });

  test('errors of the configuration are told as well; without one, so is that', () => {
    const bad = CONFIG.replace('ports: 8080', 'ports: 80800');
    const { suite, problems } = files.load('expect: [{ from: a, to: b, tpc: 1, is: denied }]', bad);
    assert.equal(suite, undefined);
    assert.deepEqual(
      problems.map(({ at, code }) => [at!.file.split('/').at(-1), code]),
      [
        ['expect.yaml', 'unknown-key'],
        ['config.yaml', 'bad-port'],
      ],
    );
    const file = files.write('none.yaml', 'expect: [{ from: a, to: b, tcp: 1, is: denied }]');
    const none = loadSuite(file, { netnsDirectory: '/run/netns' });
    assert.deepEqual(
      none.problems.map(({ message, hint }) => [message, hint]),
      [
        [
          'the file names no configuration to test',
          'write config: and its path, or give --config FILE',
        ],
      ],
    );
  });
});

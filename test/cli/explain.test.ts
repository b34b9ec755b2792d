/** `sgctl explain`: what it prints, how it exits, and what it makes of names. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseAddress, type Address, type Parsed } from '../../src/addr/address.ts';
import { parseQuestion } from '../../src/explain/question.ts';
import { answerQuestion } from '../../src/explain/question-ends.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import type {
  Endpoint,
  Explanation,
  Question,
  RuleRef,
  Service,
} from '../../src/explain/explanation.ts';
import { type Ran, runSgctl } from '../support/sgctl.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-explain-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function run(...args: readonly string[]): Ran {
  return runSgctl(['explain', ...args], { cwd: directory });
}

const TIERS = `uplink: { tun: up, addresses: [198.51.100.7/24] }
templates: [edge.yaml]
prefixLists:
  office: { id: pl-0123456789abcdef0, family: 4, maxEntries: 2, entries: [203.0.113.0/24] }
securityGroups:
  web:
    id: sg-0000000000000000a
    description: web servers
    ingress:
      - { protocol: tcp, ports: 22, from: 'pl:office', description: admins }
    egress:
      - { protocol: tcp, ports: 8080, to: 'sg:app', description: web to app }
  app:
    id: sg-0000000000000000b
    description: application servers
    ingress:
      - { protocol: tcp, ports: 8080, from: 'sg:web', description: web to app }
    egress:
      - { protocol: tcp, ports: 5432, to: 'sg:db' }
  db:
    id: sg-0000000000000000c
    description: databases
    ingress:
      - { protocol: tcp, ports: 5432, from: 'sg:app', description: app to db }
    egress: []
interfaces:
  web:
    device: { kind: tun, name: t0, netns: ns-web }
    addresses: [10.0.0.11, 'fd00:10::11']
    securityGroups: [web, edge]
  app:
    device: { kind: tun, name: t0, netns: ns-app }
    addresses: [10.0.0.12, 'fd00:10::12']
    securityGroups: [app]
  db:
    device: { kind: tun, name: t0, netns: ns-data }
    addresses: [10.0.0.13]
    securityGroups: [db]
  cache:
    device: { kind: tun, name: t1, netns: ns-data }
    addresses: [10.0.0.14]
    securityGroups: [db]
platformServices: [time-sync]
`;
const EDGE = `Resources:
  Edge:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupName: edge
      GroupDescription: HTTPS from anywhere
      SecurityGroupIngress:
        - IpProtocol: tcp
          FromPort: 443
          ToPort: 443
          CidrIp: 0.0.0.0/0
          Description: HTTPS
      SecurityGroupEgress:
        - IpProtocol: tcp
          FromPort: 0
          ToPort: 65535
          CidrIp: 0.0.0.0/0
`;
writeFileSync(join(directory, 'tiers.yaml'), TIERS);
writeFileSync(join(directory, 'edge.yaml'), EDGE);

/** The output with the ids of rules, which are hashes, put out of the way. */
function text(ran: Ran): string {
  return ran.stdout.replace(/sgr-[0-9a-f]{17}/g, 'sgr-ID');
}

describe('the text', () => {
  const cases: readonly (readonly [question: string, code: number, text: string])[] = [
    [
      'app -> db tcp 5432',
      0,
      `app -> db tcp 5432: allowed

IPv4  10.0.0.12 -> 10.0.0.13: allowed

  egress of app: allowed
    by    sg:app  tcp 5432 to sg:db
          tiers.yaml:19  sgr-ID
          10.0.0.13 is of sg:db
    tracked: no egress rule for 0.0.0.0/0 admits tcp 5432; idle time-out 60 s
    until established, 432000 s established

  ingress of db: allowed
    by    sg:db  tcp 5432 from sg:app
          tiers.yaml:24  sgr-ID  "app to db"
          10.0.0.12 is of sg:app
    tracked: no ingress rule for 0.0.0.0/0 admits tcp 5432; idle time-out 60 s
    until established, 432000 s established

IPv6  not asked: db has no IPv6 address
`,
    ],
    [
      'db -> app tcp 8080',
      1,
      `db -> app tcp 8080: refused

IPv4  10.0.0.13 -> 10.0.0.12: refused (egress-rules)

  egress of db: refused
    sg:db has no egress rules at all

  ingress of app: would be refused (not reached)
    no ingress rule of sg:app admits it
    near  sg:app  tcp 8080 from sg:web
          tiers.yaml:17  sgr-ID  "web to app"
          would match if the source were in sg:web (10.0.0.11, fd00:10::11)

IPv6  not asked: db has no IPv6 address
`,
    ],
    [
      '198.51.100.9 -> web tcp 443',
      0,
      `198.51.100.9 -> web tcp 443: allowed

IPv4  198.51.100.9 -> 10.0.0.11: allowed

  ingress of web: allowed
    by    sg:edge  tcp 443 from 0.0.0.0/0
          edge.yaml:8 (Edge)  sgr-ID  "HTTPS"
    untracked: a rule for 0.0.0.0/0 admits it, and another one every answer
          sg:edge  tcp 443 from 0.0.0.0/0  edge.yaml:8 (Edge)
          sg:edge  tcp 0-65535 to 0.0.0.0/0  edge.yaml:14 (Edge)

IPv6  not asked: 198.51.100.9 is an IPv4 address
`,
    ],
    [
      '198.51.100.9->web udp 443',
      1,
      `198.51.100.9 -> web udp 443: refused

IPv4  198.51.100.9 -> 10.0.0.11: refused (ingress-rules)

  ingress of web: refused
    no ingress rule of sg:web or sg:edge admits it
    near  sg:edge  tcp 443 from 0.0.0.0/0
          edge.yaml:8 (Edge)  sgr-ID  "HTTPS"
          is for tcp, not udp
    near  sg:web  tcp 22 from pl:office
          tiers.yaml:10  sgr-ID  "admins"
          is for tcp, not udp, and only if the port were 22, not 443, and the
          source were in pl:office (203.0.113.0/24)

IPv6  not asked: 198.51.100.9 is an IPv4 address
`,
    ],
    [
      'outside:10.0.0.11 -> app icmp echo',
      1,
      `outside:10.0.0.11 -> app icmp echo: refused

IPv4  10.0.0.11 -> 10.0.0.12: refused (uplink-spoof)

  uplink-spoof: 10.0.0.11 comes from outside and is an address of web

  ingress of app: would be refused (not reached)
    no ingress rule of sg:app admits it
    near  sg:app  tcp 8080 from sg:web
          tiers.yaml:17  sgr-ID  "web to app"
          is for tcp, not icmp, and only if the port were 8080

IPv6  not asked: icmp is for IPv4
`,
    ],
    [
      'db -> 169.254.169.123 udp 123',
      0,
      `db -> 169.254.169.123 udp 123: allowed

IPv4  10.0.0.13 -> 169.254.169.123 (platform): allowed

  egress of db: allowed
    169.254.169.123 is the platform's, and platformServices names this service,
    which groups never filter
    tracked: the answer has no rule to live by but its flow; idle time-out 30 s,
    180 s as a stream

IPv6  not asked: db has no IPv6 address
`,
    ],
    [
      'web -> 198.51.100.9 tcp 443',
      0,
      `web -> 198.51.100.9 tcp 443: allowed

IPv4  10.0.0.11 -> 198.51.100.9: allowed

  egress of web: allowed
    by    sg:edge  tcp 0-65535 to 0.0.0.0/0
          edge.yaml:14 (Edge)  sgr-ID
    tracked, unless sent from port 443: no ingress rule for 0.0.0.0/0 admits all
    of tcp; idle time-out 60 s until established, 432000 s established

IPv6  not asked: 198.51.100.9 is an IPv4 address
`,
    ],
  ];
  for (const [question, code, expected] of cases) {
    test(question, () => {
      const ran = run('tiers.yaml', question);
      assert.equal(text(ran), expected);
      assert.equal(ran.code, code);
    });
  }

  test('both families, each with its answer', () => {
    const { stdout, code } = run('tiers.yaml', 'web -> app tcp 8080');
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.startsWith('IPv')),
      ['IPv4  10.0.0.11 -> 10.0.0.12: allowed', 'IPv6  fd00:10::11 -> fd00:10::12: allowed'],
    );
    assert.equal(code, 0);
  });

  test('the options say the same as the short form', () => {
    const short = run('tiers.yaml', 'web -> app tcp 8080');
    assert.deepEqual(run('tiers.yaml', '--from', 'web', '--to', 'app', '--tcp', '8080'), short);
  });

  test('--family and --source-port', () => {
    const { stdout } = run(
      'tiers.yaml', '--from', 'web', '--to', '198.51.100.9', '--tcp', '443',
      '--source-port', '443', '--family', '4',
    ); // prettier-ignore
    assert.match(stdout, /^web -> 198\.51\.100\.9 tcp 443 from port 443: allowed\n/);
    assert.match(stdout, /^ {4}untracked: a rule for 0\.0\.0\.0\/0 admits it/m);
    assert.doesNotMatch(stdout, /IPv6/);
  });

  test('long lists are cut, and say so', () => {
    const rules = Array.from(
      { length: 7 },
      (_, i) => `      - { protocol: tcp, ports: ${i + 1}, from: 10.0.0.0/8 }\n`,
    );
    writeFileSync(
      join(directory, 'many.yaml'),
      `securityGroups:\n  g:\n    description: g\n    ingress:\n${rules.join('')}interfaces:\n  a: { device: { kind: tun, name: t0 }, addresses: [10.0.0.1], securityGroups: [g] }\n`,
    );
    const { stdout } = run('many.yaml', 'a -> a tcp 80');
    assert.equal(stdout.match(/^ {4}near {2}sg:g/gm)?.length, 5);
    assert.match(stdout, /^ {4}near {2}… 2 more \(--json has all\)$/m);
  });
});

/** Without a process of its own: what the names of a question stand for, the first of it, or the error. */
function resolve(question: string): Parsed<Question> {
  const asked = answer(question);
  return asked.ok ? { ok: true, value: asked.value.pairs[0].question } : asked;
}

function answer(question: string): ReturnType<typeof answerQuestion> {
  const file = join(directory, 'tiers.yaml');
  const { config } = loadConfig(file, { netnsDirectory: '/run/netns' });
  assert.ok(config);
  const parsed = parseQuestion(question);
  return parsed.ok ? answerQuestion(config, parsed.value) : parsed;
}

describe('names', () => {
  const app = resolve('app -> app tcp 1');
  assert.ok(app.ok && app.value.to.kind === 'interface');
  const { interfaceId } = app.value.to;
  const at = (text: string): Address => {
    const parsed = parseAddress(text);
    assert.ok(parsed.ok);
    return parsed.value;
  };

  const ends: readonly (readonly [end: string, endpoint: Endpoint])[] = [
    ['app', { kind: 'interface', interfaceId }],
    [interfaceId, { kind: 'interface', interfaceId }],
    ['ns-app', { kind: 'interface', interfaceId }],
    ['10.0.0.12', { kind: 'interface', interfaceId, address: at('10.0.0.12') }],
    ['fd00:10:0::12', { kind: 'interface', interfaceId, address: at('fd00:10::12') }],
    ['198.51.100.9', { kind: 'address', address: at('198.51.100.9') }],
    ['outside:10.0.0.12', { kind: 'address', address: at('10.0.0.12') }],
  ];
  for (const [end, endpoint] of ends) {
    test(`an end: ${end}`, () => {
      const question = resolve(`${end} → app udp 1`);
      assert.ok(question.ok);
      assert.deepEqual(question.value.from, endpoint);
    });
  }

  const services: readonly (readonly [text: string, service: Service])[] = [
    ['tcp 0', { kind: 'ports', protocol: 6, port: 0 }],
    ['UDP 65535', { kind: 'ports', protocol: 17, port: 65535 }],
    ['icmp echo', { kind: 'icmp', protocol: 1, type: 8, code: 0 }],
    ['icmp frag-needed', { kind: 'icmp', protocol: 1, type: 3, code: 4 }],
    ['icmp 3', { kind: 'icmp', protocol: 1, type: 3, code: 0 }],
    ['icmpv6 echo', { kind: 'icmp', protocol: 58, type: 128, code: 0 }],
    ['icmpv6 1/4', { kind: 'icmp', protocol: 58, type: 1, code: 4 }],
    ['protocol 50', { kind: 'protocol', protocol: 50 }],
  ];
  for (const [text, service] of services) {
    test(`a service: ${text}`, () => {
      const question = resolve(`app -> db ${text}`);
      assert.ok(question.ok);
      assert.deepEqual(question.value.service, service);
    });
  }

  const LIST =
    '    interfaces: web, app, db, cache; groups: default, web, app, db, edge; namespaces: ns-web, ns-app, ns-data; or write an address, a CIDR block, or internet\n';
  const wrong: readonly (readonly [question: string, message: string])[] = [
    ['webb -> db tcp 1', `there is no interface and no group 'webb'; did you mean 'web'?\n${LIST}`],
    [
      'web -> ns-ap tcp 1',
      `there is no interface and no group 'ns-ap'; did you mean 'ns-app'?\n${LIST}`,
    ],
    ['sg:edg -> db tcp 1', "there is no security group 'edg'; did you mean 'edge'?\n    groups: "],
    [
      'default -> db tcp 1',
      "the security group 'default' is on no interface\n    name a group that is on one, or put it on one\n",
    ],
    [
      'web -> ns-data tcp 1',
      "'ns-data' is the namespace of 2 interfaces\n    name one of them: db, cache\n",
    ],
    [
      'web -> 10.0.0.012 tcp 1',
      "'10.0.0.012' is not an IP address\n    a part with a leading zero is octal to some programs; write 10.0.0.12 if you mean decimal\n",
    ],
    ['web -> 10.0.0.1/24 tcp 1', "'10.0.0.1/24' has bits set beyond its prefix\n"],
    ['web -> outside:10.0.0.0/24 tcp 1', "'10.0.0.0/24' is a CIDR block, not an address\n"],
    [
      'web db tcp 1',
      "'web db tcp 1' is no question\n    write it as 'FROM -> TO tcp PORT', or udp PORT, icmp echo, icmpv6 echo, protocol N\n",
    ],
    ['web -> db tcp', "'tcp' says too little\n"],
    ['web -> db http 80', "'http' is no protocol here\n"],
    ['web -> db tcp 65536', "'65536' is no port\n    one port, from 0 to 65535\n"],
    ['web -> db tcp 080', "'080' is no port\n"],
    [
      'web -> db icmp ping',
      "'ping' is no icmp message\n    TYPE or TYPE/CODE, each from 0 to 255, or echo, echo-reply, unreachable, frag-needed, time-exceeded\n",
    ],
    ['web -> db icmp 8/256', "'8/256' is no icmp message\n"],
    ['web -> db protocol 6', 'protocol 6 is tcp, and has a port\n    ask about tcp\n'],
    ['web -> db protocol 256', "'256' is no protocol number\n"],
  ];
  for (const [question, message] of wrong) {
    test(`no question: ${question}`, () => {
      const asked = resolve(question);
      assert.ok(!asked.ok);
      assert.ok(`${asked.message}\n    ${asked.hint}\n`.startsWith(message), asked.message);
    });
  }

  const usage: readonly (readonly [args: readonly string[], message: string])[] = [
    [[], '--from is missing'],
    [['--from', 'web'], '--to is missing'],
    [['--from', 'web', '--to', 'db'], 'what is sent is missing'],
    [
      ['--from', 'web', '--to', 'db', '--tcp', '1', '--udp', '2'],
      '--tcp and --udp exclude each other',
    ],
    [['web -> db tcp 1', '--tcp', '1'], "the question is asked twice: 'web -> db tcp 1' and --tcp"],
    [['web -> db icmp echo', '--source-port', '1'], 'only tcp and udp have a source port'],
    [
      ['198.51.100.9 -> 2001:db8::1 tcp 1'],
      'no such packet can go from 198.51.100.9 to 2001:db8::1\n    IPv4: 2001:db8::1 is an IPv6 address\n    IPv6: 198.51.100.9 is an IPv4 address\n',
    ],
    [
      ['webb -> db tcp 1'],
      `there is no interface and no group 'webb'; did you mean 'web'?\n${LIST}`,
    ],
    [['web -> db tcp 1', '--family', '5'], "option '--family <family>' argument '5' is invalid."],
  ];
  for (const [args, message] of usage) {
    test(`exits 2: ${args.join(' ') || 'no question'}`, () => {
      const { code, stdout, stderr } = run('tiers.yaml', ...args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.ok(stderr.includes(`error: ${message}`), stderr);
    });
  }
});

describe('ends that stand for several', () => {
  /** `FROM > TO VERDICT` of each pair. */
  function pairs(question: string): string[] {
    const asked = answer(question);
    assert.ok(asked.ok, asked.ok ? '' : asked.message);
    return asked.value.pairs.map(
      ({ from, to, explanation }) => `${from} > ${to} ${explanation.verdict}`,
    );
  }

  for (const [question, expected] of [
    ['sg:app -> sg:db tcp 5432', ['app > db allowed', 'app > cache allowed']],
    // A name of both is the interface's.
    ['app -> db tcp 5432', ['app > db allowed']],
    ['edge -> sg:app tcp 8080', ['web > app allowed']],
    ['sg-0000000000000000c -> app tcp 1', ['db > app refused', 'cache > app refused']],
    // No packet of an interface to itself; nor of a family that one end has not.
    ['sg:db -> sg:db tcp 5432', ['db > cache refused', 'cache > db refused']],
    ['internet -> web tcp 443', ['198.51.100.7 > web allowed', '2001:db8:77::77 > web refused']],
    ['stranger -> db tcp 5432', ['198.51.100.7 > db refused']],
    // The office may, and who is beside it in the block may not.
    ['203.0.112.0/23 -> web tcp 22', ['203.0.112.0 > web refused', '203.0.113.0 > web allowed']],
    ['203.0.113.0/25 -> web tcp 22', ['203.0.113.0 > web allowed']],
    ['10.0.0.12/31 -> web tcp 443', ['10.0.0.12 > web refused', '10.0.0.13 > web refused']],
    ['web -> 10.0.0.12/32 tcp 8080', ['web > 10.0.0.12 allowed']],
    // No host has an address of the first or the last part of everything.
    [
      '0.0.0.0/0 -> 10.0.0.13 tcp 5432',
      [
        '1.0.0.0',
        '10.0.0.11',
        '10.0.0.12',
        '10.0.0.14',
        '10.0.0.15',
        '128.0.0.0',
        '203.0.113.0',
        '203.0.114.0',
      ].map((from) => `${from} > 10.0.0.13 ${from === '10.0.0.12' ? 'allowed' : 'refused'}`),
    ],
  ] as const) {
    test(question, () => assert.deepEqual(pairs(question), expected));
  }

  test('the text: a table, then each of them', () => {
    const { stdout, code } = run('tiers.yaml', 'sg:db -> sg:app tcp 8080');
    assert.equal(code, 1);
    const [head, table, ...rest] = stdout.split('\n\n');
    assert.equal(head, 'sg:db -> sg:app tcp 8080: 0 of 2 pairs allowed');
    assert.deepEqual(
      table.split('\n').map((line) => line.split(/ {2,}/)),
      [
        ['from', 'to', 'verdict', 'reason'],
        ['db', 'app', 'refused', 'IPv4: egress-rules'],
        ['cache', 'app', 'refused', 'IPv4: egress-rules'],
      ],
    );
    assert.equal(rest[0], 'db -> app tcp 8080: refused');
    assert.match(stdout, /^cache -> app tcp 8080: refused$/m);
  });

  test('--json: a list, each as it is alone', () => {
    const { stdout, code } = run('tiers.yaml', 'sg:app -> sg:db tcp 5432', '--json');
    assert.equal(code, 0);
    const alone = ['app -> db tcp 5432', 'app -> cache tcp 5432'].map(
      (question) => JSON.parse(run('tiers.yaml', question, '--json').stdout) as unknown,
    );
    assert.deepEqual(JSON.parse(stdout), alone);
  });

  test('too many are refused', () => {
    const members = Array.from(
      { length: 17 },
      (_, i) =>
        `  i${i}: { device: { name: t${i} }, addresses: [10.0.1.${i}], securityGroups: [g] }`,
    );
    writeFileSync(
      join(directory, 'crowd.yaml'),
      `securityGroups:\n  g: {}\ninterfaces:\n${members.join('\n')}\n`,
    );
    const { code, stderr } = run('crowd.yaml', 'g -> g tcp 1');
    assert.equal(code, 2);
    assert.match(stderr, /g -> g stands for 289 pairs, and at most 256 are answered at once/);
  });
});

test('--help tells the exit codes and has examples', () => {
  const { code, stdout } = run('--help');
  assert.equal(code, 0);
  assert.match(stdout, /^Usage: sgctl explain \[options\] \[file\] \[question\]$/m);
  assert.match(
    stdout,
    /^Exit code: 0 allowed \(in each family asked\), or the drop is explained;\n1 refused, /m,
  );
  assert.match(stdout, /^Examples:\n {2}sgctl explain config\/demo\.yaml /m);
});

describe('files', () => {
  test('a configuration with errors: they are printed, exit code 3', () => {
    writeFileSync(join(directory, 'bad.yaml'), TIERS.replace('sg:web', 'sg:wbe'));
    const { code, stdout, stderr } = run('bad.yaml', 'web -> app tcp 8080');
    assert.equal(code, 3);
    assert.equal(stdout, '');
    assert.match(stderr, /^bad\.yaml:17:\d+: error: .*'wbe'; did you mean 'web'\?/m);
  });

  test('no such file: exit code 3', () => {
    const { code, stderr } = run('nowhere.yaml', 'web -> app tcp 8080');
    assert.equal(code, 3);
    assert.match(stderr, /nowhere\.yaml: error: /);
  });

  test('the files stay as they are', () => {
    run('tiers.yaml', 'web -> app tcp 8080');
    assert.equal(readFileSync(join(directory, 'tiers.yaml'), 'utf8'), TIERS);
    assert.equal(readFileSync(join(directory, 'edge.yaml'), 'utf8'), EDGE);
  });
});

describe('--json', () => {
  test('has the question and the whole answer', () => {
    const { stdout, code } = run(
      'tiers.yaml',
      'web -> db tcp 5432',
      '--json',
      '--source-port',
      '9',
    );
    const parsed = JSON.parse(stdout) as Explanation & { file: string; question: unknown };
    assert.equal(code, 1);
    assert.equal(parsed.file, 'tiers.yaml');
    assert.deepEqual(parsed.question, {
      from: 'web',
      to: 'db',
      service: { kind: 'ports', protocol: 6, port: 5432, sourcePort: 9 },
      sourcePort: 9,
    });
    assert.equal(parsed.verdict, 'refused');
    assert.deepEqual(
      parsed.answers.map(({ family, reason }) => [family, reason]),
      [[4, 'ingress-rules']],
    );
    assert.deepEqual(parsed.notAsked, [{ family: 6, why: 'db has no IPv6 address' }]);
  });

  test('every rule is told with the place it was written at', () => {
    const questions = [
      'web -> app tcp 8080',
      'web -> db tcp 5432',
      'app -> db tcp 1',
      '198.51.100.9 -> web tcp 443',
      '198.51.100.9 -> web udp 1',
      '198.51.100.9 -> app udp 1',
    ];
    const rules = new Map<string, RuleRef>();
    for (const question of questions) {
      const { answers } = JSON.parse(run('tiers.yaml', question, '--json').stdout) as Explanation;
      for (const { gates } of answers) {
        for (const gate of gates) {
          const told = [
            ...(gate.decidedBy === undefined ? [] : [gate.decidedBy]),
            ...gate.alsoAdmittedBy,
            ...gate.nearMisses.map(({ rule }) => rule),
            ...(gate.tracking?.kind === 'untracked' ? gate.tracking.rules : []),
          ];
          for (const rule of told) rules.set(rule.id, rule);
        }
      }
    }
    const places = [...rules.values()].map(({ group, text: says, description, origin }) => {
      const { file, line, path, logicalId } = origin;
      const name = file.replace(`${directory}/`, '');
      const place = [name, line, path, logicalId ?? '-'].join(' ');
      return `${group.name}: ${says} "${description}" ${place}`;
    });
    assert.deepEqual(places.sort(), [
      'app: tcp 5432 to sg:db "" tiers.yaml 19 securityGroups.app.egress[0] -',
      'app: tcp 8080 from sg:web "web to app" tiers.yaml 17 securityGroups.app.ingress[0] -',
      'db: tcp 5432 from sg:app "app to db" tiers.yaml 24 securityGroups.db.ingress[0] -',
      'edge: tcp 0-65535 to 0.0.0.0/0 "" edge.yaml 14 Resources.Edge.Properties.SecurityGroupEgress[0] Edge',
      'edge: tcp 443 from 0.0.0.0/0 "HTTPS" edge.yaml 8 Resources.Edge.Properties.SecurityGroupIngress[0] Edge',
      'web: tcp 22 from pl:office "admins" tiers.yaml 10 securityGroups.web.ingress[0] -',
      'web: tcp 8080 to sg:app "web to app" tiers.yaml 12 securityGroups.web.egress[0] -',
    ]);
  });
});

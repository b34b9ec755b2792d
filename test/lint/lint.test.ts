import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { loadTemplateText } from '../../src/cloudformation/load-template.ts';
import { ADMIN_SERVICES } from '../../src/lint/lint-exposure.ts';
import { makeBudget } from '../../src/lint/lint-finding.ts';
import { lint, lintModel } from '../../src/lint/lint.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import type { Problem } from '../../src/source/problem.ts';
import { repositoryRoot } from '../support/repository.ts';
import { loadText, problemLines } from '../config/config-text.ts';

/** What lint says, of a configuration that must have no errors. */
function lintText(text: string): Problem[] {
  const { config, problems } = loadText(text);
  assert.ok(config, problemLines(problems).join('\n'));
  return lint(config);
}

/** Findings about the ingress (or egress) rules `items` of group `a`, which is on an interface, as are `b` and `c` (twice). */
function lintRules(
  items: readonly string[],
  direction: 'ingress' | 'egress' = 'ingress',
): string[] {
  const rules = items.map((item) => `      - { ${item} }\n`).join('');
  const text = `securityGroups:
  a:
    ${direction}:
${rules}  b: {}
  c: {}
prefixLists:
  office: { entries: [192.0.2.0/24, 198.51.100.0/24] }
  six: { entries: ["2001:db8::/32"] }
  world: { entries: [0.0.0.0/1, 128.0.0.0/1] }
  void: { family: 4, entries: [] }
interfaces:
  eni-a: { device: { name: t0 }, addresses: [10.0.0.1, "fd00::1"], securityGroups: [a] }
  eni-b: { device: { name: t1 }, addresses: [10.0.0.2], securityGroups: [b] }
  eni-c: { device: { name: t2 }, addresses: [10.0.0.3, "fd00::3"], securityGroups: [c] }
  eni-d: { device: { name: t3 }, addresses: ["fd00::4"], securityGroups: [c] }
`;
  return lines(lintText(text));
}

function lines(problems: readonly Problem[]): string[] {
  return problems.map(({ at, severity, code, message }) => {
    return `${at?.line ?? 0} ${severity} ${code}: ${message}`;
  });
}

for (const name of ['demo.yaml', 'two-vpcs.yaml']) {
  test(`nothing is said of config/${name}`, () => {
    const { config } = loadConfig(join(repositoryRoot(), 'config', name), {
      netnsDirectory: '/run/netns',
    });
    assert.ok(config);
    assert.deepEqual(lint(config), []);
  });
}

test('the example with two VPCs has no problems, and is about two', () => {
  const { config, problems } = loadConfig(join(repositoryRoot(), 'config/two-vpcs.yaml'), {
    netnsDirectory: '/run/netns',
  });
  assert.deepEqual(problems, []);
  const vpcs = [...config!.model.interfaces.values()].map(({ vpc }) => vpc?.name);
  assert.deepEqual(vpcs, ['shop', 'shop', 'data', 'data']);
});

describe('shadowed rules', () => {
  const shadow = (narrow: string, wide: string, line = 4, wideLine = 5): string =>
    `${line} warning shadowed-rule: the rule '${narrow}' adds nothing to '${wide}' (line ${wideLine})`;
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['a block in a block',
      ['protocol: tcp, ports: 80, from: 10.1.0.0/16', 'protocol: tcp, ports: 80, from: 10.0.0.0/8'],
      [shadow('tcp 80 from 10.1.0.0/16', 'tcp 80 from 10.0.0.0/8')]],
    ['the narrower one second',
      ['protocol: tcp, ports: 80, from: 10.0.0.0/8', 'protocol: tcp, ports: 80, from: 10.1.0.0/16'],
      [shadow('tcp 80 from 10.1.0.0/16', 'tcp 80 from 10.0.0.0/8', 5, 4)]],
    ['a port in a range',
      ['protocol: udp, ports: 53, from: sg:b', 'protocol: udp, ports: 1-53, from: sg:b'],
      [shadow('udp 53 from sg:b', 'udp 1-53 from sg:b')]],
    ['a protocol in all of them',
      ['protocol: 50, from: "fd00::/8"', 'protocol: all, from: "fd00::/8"'],
      [shadow('50 from fd00::/8', 'all from fd00::/8')]],
    ['an ICMP code in all codes, and a type in all types',
      ['protocol: icmp, type: 3, code: 4, from: sg:b', 'protocol: icmp, type: 3, from: sg:b'],
      [shadow('icmp type 3 code 4 from sg:b', 'icmp type 3 from sg:b')]],
    ['ICMP types in all types',
      ['protocol: icmpv6, type: 128, from: sg:b', 'protocol: icmpv6, from: sg:b'],
      [shadow('icmpv6 type 128 from sg:b', 'icmpv6 from sg:b')]],
    ['a prefix list in a block',
      ['protocol: tcp, ports: 80, from: "pl:office"', 'protocol: tcp, ports: 80, from: 0.0.0.0/0'],
      [shadow('tcp 80 from pl:office', 'tcp 80 from 0.0.0.0/0')]],
    ['a block in a prefix list',
      ['protocol: tcp, ports: 80, from: 192.0.2.7/32', 'protocol: tcp, ports: 80, from: "pl:office"'],
      [shadow('tcp 80 from 192.0.2.7/32', 'tcp 80 from pl:office')]],
    ['a group in everything, where its members have one family',
      ['protocol: tcp, ports: 80, from: sg:b', 'protocol: tcp, ports: 80, from: 0.0.0.0/0'],
      [shadow('tcp 80 from sg:b', 'tcp 80 from 0.0.0.0/0')]],
    ['a group in everything of both families',
      ['protocol: tcp, ports: 80, from: sg:c', 'protocol: tcp, ports: 80, from: [0.0.0.0/0, "::/0"]'],
      ["4 warning shadowed-rule: the rule 'tcp 80 from sg:c' adds nothing to 'tcp 80 from 0.0.0.0/0' (line 5) and 'tcp 80 from ::/0' (line 5)"]],
    ['the widest of several is named',
      ['protocol: tcp, ports: 80, from: 10.1.1.0/24', 'protocol: tcp, ports: 80, from: 10.1.0.0/16', 'protocol: tcp, ports: 1-90, from: 10.0.0.0/8'],
      [shadow('tcp 80 from 10.1.1.0/24', 'tcp 1-90 from 10.0.0.0/8', 4, 6), shadow('tcp 80 from 10.1.0.0/16', 'tcp 1-90 from 10.0.0.0/8', 5, 6)]],
    ['an item for several rules is told once',
      ['protocol: tcp, ports: [80, 81], from: [10.1.0.0/16, 10.2.0.0/16]', 'protocol: tcp, ports: 1-100, from: 10.0.0.0/8'],
      ["4 warning shadowed-rule: the rules 'tcp 80 from 10.1.0.0/16', 'tcp 80 from 10.2.0.0/16', 'tcp 81 from 10.1.0.0/16' and 'tcp 81 from 10.2.0.0/16' add nothing to 'tcp 1-100 from 10.0.0.0/8' (line 5)"]],
    ['two that mean the same: the later one',
      ['protocol: tcp, ports: 80, from: "pl:six"', 'protocol: tcp, ports: 80, from: "2001:db8::/32"'],
      [shadow('tcp 80 from 2001:db8::/32', 'tcp 80 from pl:six', 5, 4)]],
    // What looks alike and is not.
    ['another port', ['protocol: tcp, ports: 80, from: 10.0.0.0/8', 'protocol: tcp, ports: 81-90, from: 0.0.0.0/0'], []],
    ['a range that only overlaps', ['protocol: tcp, ports: 80-90, from: 10.0.0.0/8', 'protocol: tcp, ports: 85-95, from: 0.0.0.0/0'], []],
    ['another protocol', ['protocol: udp, ports: 53, from: 10.0.0.0/8', 'protocol: tcp, ports: 1-100, from: 10.0.0.0/8'], []],
    ['another family', ['protocol: tcp, ports: 80, from: "fd00::/8"', 'protocol: tcp, ports: 80, from: 0.0.0.0/0'], []],
    ['another type, though 3 is less than 8', ['protocol: icmp, type: 3, from: sg:b', 'protocol: icmp, type: 8, from: sg:b'], []],
    ['a group in a part of the addresses', ['protocol: tcp, ports: 80, from: sg:b', 'protocol: tcp, ports: 80, from: 10.0.0.0/8'], []],
    ['a group of two families in one of them', ['protocol: tcp, ports: 80, from: sg:c', 'protocol: tcp, ports: 80, from: 0.0.0.0/0'], []],
    ['another group with the same members', ['protocol: tcp, ports: 80, from: sg:b', 'protocol: tcp, ports: 80, from: sg:c'], []],
    ['a list of which one entry is outside', ['protocol: tcp, ports: 80, from: "pl:office"', 'protocol: tcp, ports: 80, from: 192.0.0.0/8'], []],
  ]; // prettier-ignore
  for (const [name, items, expected] of cases)
    test(name, () => assert.deepEqual(lintRules(items), expected));

  test('rules of the other direction shadow nothing', () => {
    const text = `securityGroups: { a: { ingress: [{ protocol: tcp, ports: 80, from: 10.0.0.0/8 }], egress: [{ protocol: all, to: 0.0.0.0/0 }] } }`;
    assert.deepEqual(lintText(text), []);
  });

  test('a rule is only called shadowed if no packet needs it', () => {
    // Rules over a small world, so that every packet of it can be tried.
    const rule = fc.record({
      protocol: fc.constantFrom('tcp', 'udp', 'all'),
      from: fc.integer({ min: 1, max: 4 }),
      span: fc.integer({ min: 0, max: 3 }),
      length: fc.integer({ min: 28, max: 32 }),
      host: fc.integer({ min: 0, max: 15 }),
    });
    const admits = (one: Rule, protocol: string, port: number, host: number): boolean =>
      (one.protocol === 'all' ||
        (one.protocol === protocol && port >= one.from && port <= one.from + one.span)) &&
      host >> (32 - one.length) === one.host >> (32 - one.length);
    type Rule = typeof rule extends fc.Arbitrary<infer T> ? T : never;
    const textOf = ({ protocol, from, span, length, host }: Rule): string => {
      const ports = protocol === 'all' ? '' : `, ports: ${from}-${from + span}`;
      const base = (host >> (32 - length)) << (32 - length);
      return `protocol: ${protocol}${ports}, from: 192.0.2.${base}/${length}`;
    };
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 6 }), (all) => {
        const rules = [...new Map(all.map((one) => [textOf(one), one])).values()];
        const told = new Set(lintRules(rules.map(textOf)).map((line) => parseInt(line, 10) - 4));
        for (const [i, one] of rules.entries()) {
          const single = rules.some(
            (other, j) =>
              i !== j &&
              everyPacket((...packet) => !admits(one, ...packet) || admits(other, ...packet)) &&
              (j < i ||
                !everyPacket((...packet) => !admits(other, ...packet) || admits(one, ...packet))),
          );
          assert.equal(told.has(i), single, `${textOf(one)} of\n${rules.map(textOf).join('\n')}`);
        }
      }),
      { numRuns: 200 },
    );
    function everyPacket(
      holds: (protocol: string, port: number, host: number) => boolean,
    ): boolean {
      for (const protocol of ['tcp', 'udp', 'gre'])
        for (let port = 1; port <= 7; port++)
          for (let host = 0; host < 16; host++) if (!holds(protocol, port, host)) return false;
      return true;
    }
  });

  test('of a group of thousands of rules not all are compared, and a notice says so', (t) => {
    const peers = Array.from({ length: 6000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`).join(', ');
    const text = `quotas: { rulesPerGroup: off, rulesTimesGroups: off }
securityGroups: { a: { ingress: [{ protocol: all, from: [${peers}] }] } }`;
    const { model } = loadText(text).config!;
    const [whole, tenth] = [makeBudget(), makeBudget()];
    tenth.steps /= 10;
    const startedMs = processorMs();
    const found = lintModel(model, whole);
    const wholeMs = processorMs() - startedMs;
    assert.deepEqual(
      found.map(({ code, severity }) => [severity, code]),
      [['notice', 'lint-incomplete']],
    );
    lintModel(model, tenth);
    const tenthMs = processorMs() - startedMs - wholeMs;
    t.diagnostic(`processor time: ${wholeMs} ms, and ${tenthMs} ms for a tenth of the comparisons`);
    // One rule may be compared with all others before anybody looks again.
    assert.ok(whole.steps > -6000, `${-whole.steps} comparisons beyond the bound`);
    // It is the comparisons that take time, and so the bound on them is one on the time.
    assert.ok(tenthMs < wholeMs / 2, `${wholeMs} ms, and ${tenthMs} ms for a tenth`);
  });
});

/** Processor time of this process: on a busy machine it grows no faster. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000);
}

describe('open to the internet', () => {
  for (const { port, name, protocols } of ADMIN_SERVICES) {
    test(`${port} (${name})`, () => {
      for (const protocol of protocols.map((number) => (number === 6 ? 'tcp' : 'udp')))
        assert.deepEqual(lintRules([`protocol: ${protocol}, ports: ${port}, from: 0.0.0.0/0`]), [
          `4 warning open-admin-port: ${protocol} ${port} (${name}) is open to 0.0.0.0/0`,
        ]);
    });
  }

  const open = (what: string, line = 4): string => `${line} warning open-admin-port: ${what}`;
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['both families are told together',
      ['protocol: tcp, ports: 22, from: [0.0.0.0/0, "::/0"]'],
      [open('tcp 22 (SSH) is open to 0.0.0.0/0 and ::/0')]],
    ['all that is routed of IPv6',
      ['protocol: tcp, ports: 22, from: "2000::/3"'],
      [open('tcp 22 (SSH) is open to 2000::/3')]],
    ['two halves',
      ['protocol: tcp, ports: 22, from: 0.0.0.0/1', 'protocol: tcp, ports: 22, from: 128.0.0.0/1'],
      [open('tcp 22 (SSH) is open to 0.0.0.0/1 and 128.0.0.0/1, together the whole internet')]],
    ['a half and two quarters, of IPv6',
      ['protocol: tcp, ports: 22, from: ["2000::/4", "3000::/5", "3800::/5"]'],
      [open('tcp 22 (SSH) is open to 2000::/4, 3000::/5 and 3800::/5, together the whole internet')]],
    ['a prefix list that has them',
      ['protocol: tcp, ports: 3389, from: "pl:world"'],
      [open('tcp 3389 (RDP) is open to pl:world')]],
    ['a range with many of them',
      ['protocol: tcp, ports: 5000-6000, from: 0.0.0.0/0'],
      [open('tcp 5000-6000, and with it 5432 (PostgreSQL), 5900 (VNC), 5985 (WinRM) and 5986 (WinRM with TLS), is open to 0.0.0.0/0')]],
    ['all TCP ports, also without port 0',
      ['protocol: tcp, ports: 1-65535, from: 0.0.0.0/0', 'protocol: udp, ports: all, from: "::/0"'],
      ['4 warning open-to-internet: every tcp port is open to 0.0.0.0/0', '5 warning open-to-internet: every udp port is open to ::/0']],
    ['every protocol',
      ['protocol: all, from: ["::/0"]'],
      ['4 warning open-to-internet: every port of every protocol is open to ::/0']],
    // What may well be meant.
    ['the ports of the web', ['protocol: tcp, ports: [80, 443, 8080], from: [0.0.0.0/0, "::/0"]'], []],
    ['half of the internet', ['protocol: tcp, ports: 22, from: 0.0.0.0/1'], []],
    ['two overlapping halves', ['protocol: tcp, ports: 22, from: [0.0.0.0/1, 64.0.0.0/2]'], ["4 warning shadowed-rule: the rule 'tcp 22 from 64.0.0.0/2' adds nothing to 'tcp 22 from 0.0.0.0/1' (line 4)"]],
    ['an office', ['protocol: tcp, ports: 22, from: ["pl:office", "fd00::/8"]'], []],
    ['a group', ['protocol: all, from: sg:b'], []],
    ['UDP to a TCP service', ['protocol: udp, ports: 22, from: 0.0.0.0/0'], []],
    ['ping', ['protocol: icmp, type: all, from: 0.0.0.0/0'], []],
  ]; // prettier-ignore
  for (const [name, items, expected] of cases)
    test(name, () => assert.deepEqual(lintRules(items), expected));

  test('egress to everywhere is not meant by it', () => {
    assert.deepEqual(lintRules(['protocol: all, to: [0.0.0.0/0, "::/0"]'], 'egress'), []);
  });
});

describe('members', () => {
  const on = (groups: string, interfaces: string): string[] =>
    lines(lintText(`securityGroups: { ${groups} }\ninterfaces: { ${interfaces} }`));
  const eni = (name: string, groups: string, host = 1): string =>
    `${name}: { device: { name: ${name} }, addresses: [10.0.0.${host}], securityGroups: [${groups}] }`;

  test('a group on no interface is a notice', () => {
    assert.deepEqual(on('a: {}, b: {}', eni('i', 'a')), [
      "1 notice unused-group: the security group 'b' is on no interface",
    ]);
  });

  test('a rule for it is a warning, told once an item', () => {
    assert.deepEqual(
      on(
        'a: { ingress: [{ protocol: tcp, ports: [80, 81], from: "sg:b" }] }, b: {}',
        eni('i', 'a'),
      ),
      [
        '1 warning unreachable-reference: sg:b is nobody: the security group is on no interface',
        "1 notice unused-group: the security group 'b' is on no interface",
      ],
    );
  });

  test('of the rules of a group that is on no interface itself nothing is said', () => {
    assert.deepEqual(
      on('a: {}, b: { ingress: [{ protocol: tcp, ports: 80, from: "sg:c" }] }, c: {}', eni('i', 'a')),
      ["1 notice unused-group: the security group 'b' is on no interface", "1 notice unused-group: the security group 'c' is on no interface"],
    ); // prettier-ignore
  });

  test('without interfaces nothing is known of members', () => {
    assert.deepEqual(
      on('a: { ingress: [{ protocol: all, from: "sg:b" }] }, b: { egress: [] }', ''),
      [],
    );
  });

  test('an empty prefix list', () => {
    assert.deepEqual(lintRules(['protocol: all, from: pl:void']), [
      '4 notice empty-prefix-list: pl:void is nobody: the prefix list is empty',
    ]);
  });

  test('a rule for oneself alone', () => {
    const groups = 'a: { ingress: [{ protocol: all, from: self }] }';
    assert.deepEqual(on(groups, eni('i', 'a')), [
      "1 notice lone-member: the rule is for members of 'a' among themselves, and there is only 'i'",
    ]);
    assert.deepEqual(on(groups, `${eni('i', 'a')}, ${eni('j', 'a', 2)}`), []);
    // The default group's own rule, which nobody wrote.
    assert.deepEqual(
      lines(lintText('interfaces: { i: { device: { name: x }, addresses: [10.0.0.1] } }')),
      [],
    );
    assert.deepEqual(on('default: {}', eni('i', 'default')), []);
  });

  test('a group without rules cuts its interface off', () => {
    const mute = (group: string, more: string): string =>
      `1 warning mute-group: the security group '${group}' has neither ingress nor egress rules${more}`;
    assert.deepEqual(on('a: { egress: [] }', eni('i', 'a')), [
      mute('a', ": nothing reaches or leaves 'i'"),
    ]);
    assert.deepEqual(
      on('a: { egress: [] }, b: { egress: [{ protocol: all, to: 127.0.0.1/32 }] }', eni('i', 'a, b')),
      [mute('a', ": nothing reaches or leaves 'i'"), mute('b', ": nothing reaches or leaves 'i'")],
    );
    assert.deepEqual(on('a: { egress: [] }, b: {}', eni('i', 'a, b')), [
      mute('a', ', and no rule names it: it does nothing'),
    ]);
    // A label: others name it.
    assert.deepEqual(
      on('a: { egress: [] }, b: { ingress: [{ protocol: all, from: "sg:a" }] }', eni('i', 'a, b')),
      [],
    );
    // Replies are all it sends.
    assert.deepEqual(
      on('a: { egress: [], ingress: [{ protocol: tcp, ports: 80, from: 10.0.0.0/8 }] }', eni('i', 'a')),
      [],
    );
  }); // prettier-ignore
});

describe('rules that never match', () => {
  test('a prefix list of the other family', () => {
    assert.deepEqual(lintRules(['protocol: icmp, type: 8, from: pl:six', 'protocol: icmpv6, from: pl:office', 'protocol: icmpv6, from: pl:six']), [
      "4 warning family-mismatch: the rule 'icmp type 8 from pl:six' never matches: icmp is for IPv4, the IPv6 prefix list 'six' is not",
      "5 warning family-mismatch: the rule 'icmpv6 from pl:office' never matches: icmpv6 is for IPv6, the IPv4 prefix list 'office' is not",
    ]); // prettier-ignore
  });

  test('of blocks in the configuration the loader speaks, and lint does not repeat it', () => {
    const text = 'securityGroups: { a: { ingress: [{ protocol: icmpv6, from: 0.0.0.0/0 }] } }';
    assert.deepEqual(
      loadText(text).problems.map(({ code }) => code),
      ['family-mismatch'],
    );
    assert.deepEqual(lintText(text), []);
  });

  test('blocks in a template', () => {
    const found = lintTemplate(`Resources:
  A:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: a
      SecurityGroupIngress:
        - { IpProtocol: icmpv6, CidrIp: 10.0.0.0/8 }
        - { IpProtocol: icmp, FromPort: 8, ToPort: -1, CidrIp: 10.0.0.0/8 }
`);
    assert.deepEqual(lines(found), [
      "7 warning family-mismatch: the rule 'icmpv6 from 10.0.0.0/8' never matches: icmpv6 is for IPv6, 10.0.0.0/8 is not",
    ]);
  });
});

test('what CDK writes for "no egress" is left alone', () => {
  const found = lintTemplate(`Resources:
  A:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: a
      SecurityGroupEgress:
        - { CidrIp: 255.255.255.255/32, Description: Disallow all traffic, FromPort: 252, IpProtocol: icmp, ToPort: 86 }
      VpcId: vpc-1
`);
  assert.deepEqual(lines(found), []);
});

function lintTemplate(text: string): Problem[] {
  const problems: Problem[] = [];
  const loaded = loadTemplateText(
    'template.yaml',
    text,
    { stackName: 'stack', parameters: new Map(), resolveGroup: () => undefined },
    problems,
  );
  assert.deepEqual(problemLines(problems), []);
  const model: PolicyModel = {
    groups: new Map(loaded!.groups.map((group) => [group.id, group])),
    prefixLists: new Map(loaded!.prefixLists.map((list) => [list.id, list])),
    interfaces: new Map(),
  };
  return lintModel(model);
}

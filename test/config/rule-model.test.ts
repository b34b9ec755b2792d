/** The rule model of AWS, sections 1.1 to 1.3 of what we know of it, through both ways in: our configuration and templates. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadTemplateText } from '../../src/cloudformation/load-template.ts';
import { ANY, PROTOCOL_ALL, type Rule } from '../../src/policy/model.ts';
import { ruleText } from '../../src/policy/rules.ts';
import type { Problem } from '../../src/source/problem.ts';
import { loadText, problemLines } from './config-text.ts';

interface Read {
  readonly rules: readonly Rule[];
  readonly texts: readonly string[];
  readonly messages: readonly string[];
  readonly hints: readonly string[];
}

/** The ingress rules that `items` make in a group of our configuration. */
function ours(...items: readonly string[]): Read {
  const text = `securityGroups:\n  other: {}\n  a:\n    ingress:\n${items.map((item) => `      - { ${item} }\n`).join('')}`;
  const { config, problems } = loadText(text);
  const group = [...(config?.model.groups.values() ?? [])].find(({ name }) => name === 'a');
  return read(group?.ingress ?? [], problems);
}

/** The same in a template. */
function templates(...items: readonly string[]): Read {
  const text = `Resources:\n  A:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      GroupDescription: a\n      SecurityGroupIngress:\n${items.map((item) => `        - { ${item} }\n`).join('')}`;
  const problems: Problem[] = [];
  const options = { stackName: 's', parameters: new Map(), resolveGroup: () => undefined };
  const loaded = loadTemplateText('t.yaml', text, options, problems);
  return read(loaded?.groups[0]?.ingress ?? [], problems);
}

function read(rules: readonly Rule[], problems: readonly Problem[]): Read {
  const nowhere = { groups: new Map(), prefixLists: new Map() };
  return {
    rules,
    texts: rules.map((rule) => ruleText(rule, nowhere)),
    // The full stop of AWS's texts is kept in one of the two ways in and not in the other.
    messages: problems.map(({ severity, message }) => `${severity}: ${message.replace(/\.$/, '')}`),
    hints: problems.map(({ hint }) => hint ?? ''),
  };
}

describe('protocols', () => {
  const cases: readonly (readonly [string, number, string])[] = [
    ['tcp', 6, 'tcp'],
    ['TCP', 6, 'tcp'],
    ['6', 6, 'tcp'],
    ['"6"', 6, 'tcp'],
    ['Udp', 17, 'udp'],
    ['17', 17, 'udp'],
    ['icmp', 1, 'icmp'],
    ['1', 1, 'icmp'],
    ['icmpv6', 58, 'icmpv6'],
    ['58', 58, 'icmpv6'],
    ['50', 50, '50'],
    ['"47"', 47, '47'],
    ['0', 0, '0'],
    ['255', 255, '255'],
    ['-1', PROTOCOL_ALL, 'all'],
    ['"-1"', PROTOCOL_ALL, 'all'],
  ];
  for (const [written, number, name] of cases) {
    test(`${written} comes back as ${name}`, () => {
      const hasPorts = number === 6 || number === 17;
      const own = hasPorts ? ', ports: 80' : number === 1 ? ', type: all' : '';
      const mine = ours(`protocol: ${written}${own}, from: 192.0.2.0/24`);
      const range = hasPorts ? ', FromPort: 80, ToPort: 80' : number === 1 ? ', FromPort: -1, ToPort: -1' : ''; // prettier-ignore
      const theirs = templates(`IpProtocol: ${written}${range}, CidrIp: 192.0.2.0/24`);
      for (const { rules, texts } of [mine, theirs]) {
        assert.equal(rules[0].protocol, number);
        assert.deepEqual(texts, [`${name}${hasPorts ? ' 80' : ''} from 192.0.2.0/24`]);
      }
    });
  }

  for (const word of ['esp', '256', '-2', 'ipv6-icmp']) {
    test(`${word} is refused in the words of AWS`, () => {
      const expected = [`error: Invalid value '${word}' for IP protocol. Unknown protocol`];
      assert.deepEqual(ours(`protocol: ${word}, from: 192.0.2.0/24`).messages, expected);
      assert.deepEqual(templates(`IpProtocol: ${word}, CidrIp: 192.0.2.0/24`).messages, expected);
    });
  }

  test("'all' is a word of ours; AWS refuses it", () => {
    assert.deepEqual(ours('protocol: all, from: 192.0.2.0/24').texts, ['all from 192.0.2.0/24']);
    assert.deepEqual(templates('IpProtocol: all, CidrIp: 192.0.2.0/24').messages, [
      "error: Invalid value 'all' for IP protocol. Unknown protocol",
    ]);
  });
});

describe('ranges', () => {
  test('a portless protocol covers all of it, whatever ports a template gives', () => {
    for (const protocol of ['-1', '50', '47', '132']) {
      const { rules } = templates(`IpProtocol: "${protocol}", FromPort: 80, ToPort: 443, CidrIp: 192.0.2.0/24`); // prettier-ignore
      assert.deepEqual([rules[0].fromPort, rules[0].toPort], [ANY, ANY], protocol);
    }
  });

  test('our configuration refuses such ports, since they would be ignored', () => {
    assert.deepEqual(ours('protocol: 132, ports: 80, from: 192.0.2.0/24').messages, [
      'error: ports have no effect with protocol 132',
    ]);
  });

  test('ICMP: type and code are no range; all of them are -1', () => {
    const cases: readonly (readonly [string, string, number, number])[] = [
      ['type: 8, code: 0', 'FromPort: 8, ToPort: 0', 8, 0],
      ['type: 8', 'FromPort: 8, ToPort: -1', 8, ANY],
      ['type: 3, code: 4', 'FromPort: 3, ToPort: 4', 3, 4],
      ['type: -1, code: -1', 'FromPort: -1, ToPort: -1', ANY, ANY],
      ['type: all', 'FromPort: "-1", ToPort: "-1"', ANY, ANY],
      ['type: 252, code: 86', 'FromPort: 252, ToPort: 86', 252, 86],
      ['type: 255, code: 255', 'FromPort: 255, ToPort: 255', 255, 255],
    ];
    for (const [mine, theirs, type, code] of cases)
      for (const { rules } of [
        ours(`protocol: icmp, ${mine}, from: 192.0.2.0/24`),
        templates(`IpProtocol: icmp, ${theirs}, CidrIp: 192.0.2.0/24`),
      ])
        assert.deepEqual([rules[0].fromPort, rules[0].toPort], [type, code], mine);
  });

  test('ICMPv6 without a type is all of it', () => {
    for (const { rules } of [
      ours('protocol: 58, from: "2001:db8::/32"'),
      templates('IpProtocol: "58", CidrIpv6: "2001:db8::/32"'),
    ])
      assert.deepEqual([rules[0].fromPort, rules[0].toPort], [ANY, ANY]);
  });

  const wrong: readonly (readonly [string, string, string])[] = [
    ['protocol: tcp, ports: 65536', 'IpProtocol: tcp, FromPort: 65536, ToPort: 65536', 'TCP/UDP (from) port (65536) out of range'],
    ['protocol: tcp, ports: -1', 'IpProtocol: tcp, FromPort: -1, ToPort: -1', 'TCP/UDP (from) port (-1) out of range'],
    ['protocol: udp, ports: 90-80', 'IpProtocol: udp, FromPort: 90, ToPort: 80', 'the port range is reversed: it goes from 90 down to 80'],
    ['protocol: icmp, type: 3, code: 256', 'IpProtocol: icmp, FromPort: 3, ToPort: 256', 'ICMP code (256) out of range'],
    ['protocol: icmp, type: 256', 'IpProtocol: icmp, FromPort: 256, ToPort: -1', 'ICMP type (256) out of range'],
    ['protocol: icmp, type: -1, code: 0', 'IpProtocol: icmp, FromPort: -1, ToPort: 0', 'ICMP code (0) is given for all types'],
  ]; // prettier-ignore
  for (const [mine, theirs, message] of wrong) {
    test(message, () => {
      assert.deepEqual(ours(`${mine}, from: 192.0.2.0/24`).messages, [`error: ${message}`]);
      const [told, ...more] = templates(`${theirs}, CidrIp: 192.0.2.0/24`).messages;
      assert.equal(told, `error: ${message.replace(/\.$/, '')}`);
      assert.deepEqual(more, []);
    });
  }

  test('both ports, or type and code, are needed', () => {
    const { messages } = templates('IpProtocol: tcp, FromPort: 80, CidrIp: 192.0.2.0/24');
    assert.match(messages[0], /Must specify both from and to ports with TCP\/UDP/);
    const icmp = templates('IpProtocol: icmp, CidrIp: 192.0.2.0/24').messages;
    assert.match(icmp[0], /Must specify both from and to ports with ICMP/);
    assert.deepEqual(ours('protocol: udp, from: 192.0.2.0/24').messages, ['error: a udp rule needs ports']); // prettier-ignore
    assert.deepEqual(ours('protocol: icmp, from: 192.0.2.0/24').messages, ['error: an icmp rule needs a type']); // prettier-ignore
  });
});

describe('blocks', () => {
  test('host bits: a template has them masked as AWS does, our configuration refuses them', () => {
    const masked = templates('IpProtocol: "-1", CidrIp: 100.68.0.18/18');
    assert.deepEqual(masked.texts, ['all from 100.68.0.0/18']);
    assert.match(masked.messages[0], /^warning: CIDR block 100\.68\.0\.18\/18 has bits set beyond/);
    assert.deepEqual(templates('IpProtocol: "-1", CidrIpv6: "2001:DB8:0:0::1/32"').texts, ['all from 2001:db8::/32']); // prettier-ignore
    const { messages, hints } = ours('protocol: all, from: 100.68.0.18/18');
    assert.deepEqual(messages, ["error: '100.68.0.18/18' has bits set beyond its prefix"]);
    assert.match(hints[0], /100\.68\.0\.0\/18/);
  });

  test('IPv6 comes back compressed and in lower case', () => {
    assert.deepEqual(ours('protocol: all, from: "2001:0DB8:0:0:0:0:0:0/32"').texts, ['all from 2001:db8::/32']); // prettier-ignore
  });

  test('a single host needs its length', () => {
    const { messages, hints } = ours('protocol: all, from: 192.0.2.1');
    assert.deepEqual(
      [messages, hints],
      [["error: '192.0.2.1' has no prefix length"], ['for a single host write 192.0.2.1/32']],
    );
  });

  test('a block of the other family is malformed', () => {
    assert.deepEqual(templates('IpProtocol: "-1", CidrIp: "::/0"').messages, ['error: CIDR block ::/0 is malformed']); // prettier-ignore
    assert.deepEqual(templates('IpProtocol: "-1", CidrIpv6: 0.0.0.0/0').messages, ['error: CIDR block 0.0.0.0/0 is malformed']); // prettier-ignore
  });
});

describe('duplicates', () => {
  const twice: readonly (readonly [string, readonly string[]])[] = [
    ['another spelling of the protocol', ['protocol: tcp, ports: 80, from: 10.0.0.0/8', 'protocol: "6", ports: 80-80, from: 10.0.0.0/8']],
    ['another description', ['protocol: all, from: self, description: a', 'protocol: -1, from: "sg:a", description: b']],
    ['another spelling of the block', ['protocol: all, from: "fd00::/8"', 'protocol: all, from: "FD00:0::/8"']],
    ['another spelling of all types', ['protocol: icmpv6, from: "::/0"', 'protocol: 58, type: all, code: all, from: "::/0"']],
  ]; // prettier-ignore
  for (const [name, items] of twice) {
    test(name, () => {
      const { rules, messages } = ours(...items);
      assert.equal(rules.length, 1);
      assert.match(messages[0], /^warning: the rule '.*' is given already on line 5$/);
    });
  }

  test('-1 with other ports, and other spellings of a block, in a template', () => {
    const all = templates(
      'IpProtocol: "-1", FromPort: 0, ToPort: 0, CidrIp: 10.0.0.0/8',
      'IpProtocol: -1, FromPort: 80, ToPort: 443, CidrIp: 10.0.0.0/8',
      'IpProtocol: -1, CidrIp: 10.1.2.3/8',
    );
    assert.deepEqual(all.texts, ['all from 10.0.0.0/8']);
    assert.equal(all.messages.filter((message) => /is there already/.test(message)).length, 2);
  });

  test('rules that differ in peer, range or direction are no duplicates', () => {
    const { rules, messages } = ours(
      'protocol: tcp, ports: 80, from: 10.0.0.0/8',
      'protocol: tcp, ports: 80, from: 10.0.0.0/9',
      'protocol: tcp, ports: 80-81, from: 10.0.0.0/8',
      'protocol: udp, ports: 80, from: 10.0.0.0/8',
      'protocol: icmp, type: 8, from: 10.0.0.0/8',
      'protocol: icmp, type: 8, code: 0, from: 10.0.0.0/8',
    );
    assert.deepEqual(messages, []);
    assert.equal(new Set(rules.map(({ id }) => id)).size, 6);
  });

  const told: readonly (readonly [string, RegExp])[] = [
    ['protocol: tcp, ports: 22, from: 0.0.0.0/0', /"peer: 0\.0\.0\.0\/0, TCP, from port: 22, to port: 22, ALLOW"/],
    ['protocol: all, from: "::/0"', /"peer: ::\/0, ALL, ALLOW"/],
    ['protocol: 50, from: 0.0.0.0/0', /"peer: 0\.0\.0\.0\/0, protocol: 50, ALLOW"/],
    ['protocol: icmp, type: 8, code: 0, from: "sg:other"', /"peer: sg-[0-9a-f]{17}, ICMP, type: 8, code: 0, ALLOW"/],
  ]; // prettier-ignore
  for (const [item, quoted] of told) {
    test(`AWS's answer is quoted: ${quoted.source}`, () => {
      const { hints } = ours(item, item);
      assert.match(hints[0], quoted);
      assert.match(hints[0], /^remove it; AWS refuses it: the specified rule ".*" already exists$/);
    });
  }
});

describe('texts', () => {
  const ALLOWED = 'aZ09 ._-:/()#,@[]+=&;{}!$*';
  const group = (name: string, description: string): string[] =>
    problemLines(loadText(`securityGroups: { ${JSON.stringify(name)}: { description: ${JSON.stringify(description)} } }`).problems)
      .map((line) => line.replace(/^\S+ (\w+) (\S+).*$/, '$1 $2')); // prettier-ignore

  test('a rule description has at most 255 characters of the set', () => {
    const described = (text: string): Read =>
      ours(`protocol: all, from: self, description: ${JSON.stringify(text)}`);
    for (const good of ['', ALLOWED, 'x'.repeat(255)]) {
      assert.deepEqual(described(good).messages, []);
      assert.equal(described(good).rules[0].description, good);
    }
    for (const bad of ['x'.repeat(256), 'a"b', "it's", 'a<b', 'a\tb', 'ä', 'a|b', 'a?'])
      assert.match(described(bad).messages[0], /^error: Invalid rule description\. Valid descriptions are strings less than 256 characters from the following set: /, bad); // prettier-ignore
  });

  test('so have names and descriptions of groups', () => {
    for (const good of [ALLOWED, 'x'.repeat(255)]) assert.deepEqual(group(good, good), []);
    for (const bad of ['x'.repeat(256), 'a"b', 'ä', 'a\t'])
      assert.deepEqual(group(bad, bad), ['error bad-name', 'error bad-description'], bad);
    for (const bad of ['', '  ', 'sg-web', 'sg-0123456789abcdef0'])
      assert.deepEqual(group(bad, 'a'), ['error bad-name'], bad);
    assert.deepEqual(group('Default', 'a'), ['error bad-name', 'error duplicate-name']);
  });

  test('blanks at the end of a name are cut off, and case makes no two names', () => {
    const { config, problems } = loadText(
      'securityGroups: { "web  ": { ingress: [{ protocol: all, from: "sg:web " }] } }',
    );
    assert.deepEqual(problemLines(problems), []);
    const names = [...config!.model.groups.values()].map(({ name }) => name);
    assert.deepEqual(names, ['default', 'web']);
    for (const other of ['web', 'WEB', 'Web '])
      assert.match(
        problemLines(
          loadText(`securityGroups: { "web  ": {}, ${JSON.stringify(other)}: {} }`).problems,
        )[0],
        /error duplicate-name/,
      );
  });
});

test('ids have 17 hexadecimal digits, or the 8 of old ones, and stay the same', () => {
  const load = (id: string): string[] =>
    problemLines(loadText(`securityGroups: { a: { id: ${id} } }`).problems);
  for (const good of ['sg-0123456789abcdef0', 'sg-00000000']) assert.deepEqual(load(good), []);
  for (const bad of ['sg-0123456789ABCDEF0', 'sg-123', 'pl-0123456789abcdef0', 'foo'])
    assert.deepEqual(load(bad), [`1:28 error bad-id securityGroups.a.id: Invalid id: "${bad}" (expecting "sg-...")`]); // prettier-ignore
  const first = ours('protocol: all, from: self', 'protocol: tcp, ports: 80, from: 10.0.0.0/8');
  const second = ours('protocol: tcp, ports: 80, from: 10.0.0.0/8, description: moved and described', 'protocol: all, from: self'); // prettier-ignore
  assert.deepEqual(
    first.rules.map(({ id }) => id),
    second.rules.map(({ id }) => id).reverse(),
  );
  for (const { id } of first.rules) assert.match(id, /^sgr-[0-9a-f]{17}$/);
});

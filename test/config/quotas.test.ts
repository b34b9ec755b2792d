import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AWS_QUOTAS } from '../../src/config/config-quotas.ts';
import { countRules } from '../../src/policy/quotas.ts';
import { loadText, problemLines } from './config-text.ts';

/** `count` different blocks of a family, as a YAML list. */
function blocks(count: number, family: 4 | 6 = 4): string {
  const texts = Array.from({ length: count }, (_, i) =>
    family === 4 ? `10.${i >> 8}.${i & 255}.0/24` : `"fd00:${(i + 1).toString(16)}::/32"`,
  );
  return `[${texts.join(', ')}]`;
}

function group(direction: 'ingress' | 'egress', peers: string, more = ''): string {
  const key = direction === 'ingress' ? 'from' : 'to';
  return `${more}securityGroups: { a: { ${direction}: [{ protocol: all, ${key}: ${peers} }] }, other: {} }\n`;
}

function found(text: string): string[] {
  return problemLines(loadText(text).problems);
}

const WARNING = 'more than the 60 AWS takes unless its quota is raised';

test('the groups of all VPCs count together, as AWS counts them by Region', () => {
  const text = `vpcs: { a: {}, b: {} }
securityGroups: { a/x: {}, a/y: {}, b/x: {} }
quotas: { securityGroups: MAX }
`;
  // Each VPC has its default group.
  assert.deepEqual(found(text.replace('MAX', '5')), []);
  assert.match(
    found(text.replace('MAX', '4')).join('\n'),
    /error quota-groups .*there are 5 security groups/,
  );
});

describe('rules of a group', () => {
  for (const direction of ['ingress', 'egress'] as const) {
    for (const family of [4, 6] as const) {
      test(`${direction}, IPv${family}: 59 and 60 pass, 61 does not`, () => {
        for (const count of [59, 60])
          assert.deepEqual(found(group(direction, blocks(count, family))), [], `${count}`);
        assert.deepEqual(found(group(direction, blocks(61, family))), [
          `1:19 warning quota-rules securityGroups.a: the security group 'a' has 61 ${direction} rules for IPv${family}, ${WARNING}`,
        ]);
      });
    }
  }

  test('60 of each family, both ways, are within the quota', () => {
    const peers = `${blocks(60).slice(0, -1)}, ${blocks(60, 6).slice(1)}`;
    const text = `securityGroups: { a: { ingress: [{ protocol: all, from: ${peers} }], egress: [{ protocol: all, to: ${peers} }] } }`;
    assert.deepEqual(found(text), []);
  });

  test('a rule for two ports counts twice', () => {
    const text = (ports: string): string =>
      `securityGroups: { a: { ingress: [{ protocol: tcp, ports: ${ports}, from: ${blocks(30)} }] } }`;
    assert.deepEqual(found(text('[80, 443]')), []);
    assert.match(found(text('[80, 443, 8080]'))[0] ?? '', /has 90 ingress rules for IPv4/);
  });

  test('a group counts 1 in both families', () => {
    const peers = (count: number): string => blocks(count).replace(']', ', "sg:other"]');
    assert.deepEqual(found(group('ingress', peers(59))), []);
    assert.match(found(group('ingress', peers(60)))[0] ?? '', /has 61 ingress rules for IPv4/);
    const six = blocks(60, 6).replace(']', ', "sg:other"]');
    assert.match(found(group('ingress', six))[0] ?? '', /has 61 ingress rules for IPv6/);
  });

  test('a prefix list counts its most entries, in its own family', () => {
    const list = (maxEntries: number, cidr = '10.0.0.0/8'): string =>
      `prefixLists: { p: { entries: ["${cidr}"], maxEntries: ${maxEntries} } }\n`;
    assert.deepEqual(found(group('ingress', 'pl:p', list(60))), []);
    assert.deepEqual(found(group('ingress', 'pl:p', list(61))), [
      `2:19 warning quota-rules securityGroups.a: the security group 'a' has 61 ingress rules for IPv4, ${WARNING}`,
    ]);
    const both = blocks(60).replace(']', ', "pl:p"]');
    assert.deepEqual(found(group('ingress', both, list(60, 'fd00::/8'))), []);
    assert.match(found(group('ingress', both, list(1)))[0] ?? '', /has 61 ingress rules for IPv4/);
  });

  test('the count is exact', () => {
    const { config } = loadText(
      `prefixLists: { p: { entries: ["fd00::/8"], maxEntries: 7 } }\n${group('egress', '[10.0.0.0/8, sg:other, self, "pl:p", "::/0"]').replace('securityGroups', 'securityGroups')}`,
    );
    const rules = [...config!.model.groups.values()].find(({ name }) => name === 'a')!.egress;
    assert.deepEqual(
      [countRules(rules, 4, config!.model), countRules(rules, 6, config!.model)],
      [3, 10],
    );
  });

  test('AWS answers in its own words', () => {
    const [problem] = loadText(group('ingress', blocks(61))).problems;
    assert.match(
      problem.hint ?? '',
      /^AWS refuses it: The maximum number of rules per security group has been reached\. /,
    );
  });
});

describe('the setting', () => {
  test('a stated quota is an error to exceed; it can be lower or higher than that of AWS', () => {
    assert.deepEqual(found(group('ingress', blocks(3), 'quotas: { rulesPerGroup: 2 }\n')), [
      "2:19 error quota-rules securityGroups.a: the security group 'a' has 3 ingress rules for IPv4, more than the 2 of quotas.rulesPerGroup",
    ]);
    const higher = group('ingress', blocks(61), 'quotas: { rulesPerGroup: 61 }\n');
    assert.deepEqual(found(higher), []);
    const { config } = loadText(higher);
    assert.deepEqual(config?.quotas, {
      ...AWS_QUOTAS,
      rulesPerGroup: { max: 61, isGiven: true },
    });
  });

  test('off is no limit', () => {
    assert.deepEqual(found(group('ingress', blocks(300), 'quotas: { rulesPerGroup: off }\n')), []);
  });

  test('anything else is refused', () => {
    const cases: readonly (readonly [string, string])[] = [
      ['{ rulesPerGroup: 0 }', "error bad-quota quotas.rulesPerGroup: '0' can't be the quota rulesPerGroup"],
      ['{ rulesPerGroup: 1001 }', "error bad-quota quotas.rulesPerGroup: '1001' can't be the quota rulesPerGroup"],
      ['{ groupsPerInterface: 17 }', "error bad-quota quotas.groupsPerInterface: '17' can't be the quota groupsPerInterface"],
      ['{ securityGroups: 0x10 }', "error bad-quota quotas.securityGroups: '0x10' can't be the quota securityGroups"],
      ['{ securityGroups: none }', "error bad-quota quotas.securityGroups: 'none' can't be the quota securityGroups"],
      ['{ securityGroups: [1] }', 'error wrong-kind quotas.securityGroups: expected a whole number or a string, got a list'],
      ['{ rulesPerGroups: 1 }', "error unknown-key quotas.rulesPerGroups: unknown key 'rulesPerGroups'; did you mean 'rulesPerGroup'?"],
      ['60', 'error wrong-kind quotas: expected a mapping, got a number'],
    ]; // prettier-ignore
    for (const [text, expected] of cases)
      assert.deepEqual(
        found(`quotas: ${text}\n`).map((line) => line.replace(/^\S+ /, '')),
        [expected],
        text,
      );
  });
});

describe('groups of an interface', () => {
  const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
  const text = (count: number, more = ''): string => {
    const groups = NAMES.map((name) => `${name}: {}`).join(', ');
    return `${more}securityGroups: { ${groups} }
interfaces: { i: { device: { name: x }, addresses: [10.0.0.9], securityGroups: [${NAMES.slice(0, count).join(', ')}] } }\n`;
  };

  test('5 pass, 6 do not, unless the quota is raised', () => {
    assert.deepEqual(found(text(5)), []);
    assert.deepEqual(found(text(6)), [
      "2:15 warning quota-memberships interfaces.i.securityGroups: the interface 'i' has 6 security groups, more than the 5 AWS takes unless its quota is raised",
    ]);
    assert.deepEqual(found(text(6, 'quotas: { groupsPerInterface: 6 }\n')), []);
    assert.deepEqual(found(text(6, 'quotas: { groupsPerInterface: off }\n')), []);
    assert.deepEqual(found(text(2, 'quotas: { groupsPerInterface: 1 }\n')), [
      "3:15 error quota-memberships interfaces.i.securityGroups: the interface 'i' has 2 security groups, more than the 1 of quotas.groupsPerInterface",
    ]);
  });
});

describe('rules times groups', () => {
  test('AWS refuses quotas whose product is more than 1,000', () => {
    assert.deepEqual(found('quotas: { rulesPerGroup: 200 }\n'), []);
    assert.deepEqual(found('quotas: { rulesPerGroup: 201 }\n'), [
      '1:26 warning quota-product quotas.rulesPerGroup: 201 rules a group times 5 groups an interface is 1005, more than 1000',
    ]);
    assert.deepEqual(found('quotas: { groupsPerInterface: 16 }\n'), []);
    assert.deepEqual(found('quotas: { rulesPerGroup: 63, groupsPerInterface: 16 }\n'), [
      '1:26 warning quota-product quotas.rulesPerGroup: 63 rules a group times 16 groups an interface is 1008, more than 1000',
    ]);
    assert.deepEqual(found('quotas: { rulesPerGroup: 201, rulesTimesGroups: off }\n'), []);
    assert.deepEqual(found('quotas: { rulesPerGroup: off }\n'), []);
    assert.deepEqual(found('quotas: { rulesTimesGroups: 299 }\n'), [
      '1:9 error quota-product quotas: 60 rules a group times 5 groups an interface is 300, more than 299',
    ]);
  });

  test('where one of the two is off, the rules on an interface are counted', () => {
    const text = (count: number): string => `quotas: { rulesPerGroup: off }
securityGroups:
  a: { ingress: [{ protocol: all, from: ${blocks(count)} }] }
  b: { ingress: [{ protocol: all, from: [192.0.2.0/24, "::/0"] }] }
interfaces: { i: { device: { name: x }, addresses: [10.0.0.9], securityGroups: [a, b] } }\n`;
    assert.deepEqual(found(text(999)), []);
    assert.deepEqual(found(text(1000)), [
      "5:15 warning quota-product interfaces.i.securityGroups: the groups of the interface 'i' have 1001 ingress rules for IPv4 together, more than the 1000 AWS takes unless its quota is raised",
    ]);
  });
});

describe('prefix lists and groups', () => {
  const list = (maxEntries: number, more = ''): string =>
    `${more}prefixLists: { p: { entries: [10.0.0.0/8], maxEntries: ${maxEntries} } }\n`;

  test('a prefix list has room for 1,000 entries, unless the quota is raised', () => {
    assert.deepEqual(found(list(1000)), []);
    assert.deepEqual(found(list(1001)), [
      "1:16 warning quota-entries prefixLists.p: the prefix list 'p' has room for 1001 entries, more than the 1000 AWS takes unless its quota is raised",
    ]);
    assert.deepEqual(found(list(5000, 'quotas: { prefixListEntries: off }\n')), []);
    assert.deepEqual(found(list(11, 'quotas: { prefixListEntries: 10 }\n')), [
      "2:16 error quota-entries prefixLists.p: the prefix list 'p' has room for 11 entries, more than the 10 of quotas.prefixListEntries",
    ]);
  });

  test('the default group counts among the security groups', () => {
    const text = (max: number): string =>
      `quotas: { securityGroups: ${max} }\nsecurityGroups: { a: {}, b: {} }\n`;
    assert.deepEqual(found(text(3)), []);
    assert.deepEqual(found(text(2)), [
      '2:26 error quota-groups securityGroups.b: there are 3 security groups, more than the 2 of quotas.securityGroups',
    ]);
    const many = Array.from({ length: 2499 }, (_, i) => `  g${i}: {}\n`).join('');
    assert.deepEqual(found(`securityGroups:\n${many}`), []);
    assert.deepEqual(found(`securityGroups:\n${many}  last: {}\n`), [
      '2501:3 warning quota-groups securityGroups.last: there are 2501 security groups, more than the 2500 AWS takes unless its quota is raised',
    ]);
  });
});

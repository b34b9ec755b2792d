/** What a configuration says of audit: rules, groups and interfaces that only audit, and how that is written again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareConfigs, isSamePolicy } from '../../src/daemon/changes.ts';
import { INTERFACE_AUDIT } from '../../src/policy/audit.ts';
import type { Config } from '../../src/config/config.ts';
import type { SecurityGroup } from '../../src/policy/model.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { writeCommands } from '../../src/outputs/write-commands.ts';
import { writeConfiguration } from '../../src/outputs/write-configuration.ts';
import { writeTemplate } from '../../src/outputs/write-template.ts';
import { writeTerraform } from '../../src/outputs/write-terraform.ts';
import { loadText, problemLines } from './config-text.ts';

function text(group: string, more = ''): string {
  return `securityGroups:
  db:
${group}
interfaces:
  db:
    device: { kind: tun, name: eth0, netns: db }
    addresses: [10.0.0.12]
    securityGroups: [db]
${more}`;
}

const RULES = `    ingress:
      - { protocol: tcp, ports: 80, from: 10.0.0.0/8 }
      - { protocol: tcp, ports: [80, 81], from: 10.0.0.0/8, audit: true }
    egress:
      - { protocol: udp, ports: 53, to: 10.0.0.2/32, audit: true, description: ours }`;

function good(written: string): Config {
  const { config, problems } = loadText(written);
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.ok(config !== undefined);
  return config;
}

function group(config: Config): SecurityGroup {
  return [...config.model.groups.values()].find(({ name }) => name === 'db')!;
}

test('rules that audit are beside the rules, and a list of them alone is a list', () => {
  const config = good(text(RULES));
  const { ingress, egress, audited = [] } = group(config);
  assert.deepEqual(
    ingress.map((rule) => ruleText(rule, config.model)),
    ['tcp 80 from 10.0.0.0/8'],
  );
  assert.deepEqual(egress, [], 'nothing that AWS has of its own');
  assert.deepEqual(
    audited.map((rule) => [ruleText(rule, config.model), rule.audit, rule.description]),
    [
      ['tcp 80 from 10.0.0.0/8', true, ''],
      ['tcp 81 from 10.0.0.0/8', true, ''],
      ['udp 53 to 10.0.0.2/32', true, 'ours'],
    ],
  );
  const ids = [...ingress, ...audited].map(({ id }) => id);
  assert.equal(new Set(ids).size, 4, 'a rule that audits the same is another rule');
});

test('it is warned of, at its place', () => {
  const { problems } = loadText(text(`    audit: true\n${RULES}`, '    audit: true\n'));
  assert.deepEqual(problemLines(problems), [
    "2:3 warning audit-on securityGroups.db: the security group 'db' is in audit mode: what no rule admits passes",
    "6:9 warning audit-on securityGroups.db.ingress[1]: 3 rules of 'db' only audit: what would be dropped passes",
    "10:3 warning audit-on interfaces.db: the interface 'db' is in audit mode: what no rule admits passes",
  ]);
});

test('false is as nothing, and anything else is refused', () => {
  const { problems, config } = loadText(text('    audit: false\n    ingress: []'));
  assert.deepEqual(problems, []);
  assert.equal(group(config!).audited, undefined);
  const wrong = text(
    "    audit: 'yes'\n    ingress: [{ protocol: tcp, ports: 1, from: self, audit: 1 }]",
    '    audit: on\n',
  );
  assert.deepEqual(
    loadText(wrong)
      .problems.filter(({ severity }) => severity === 'error')
      .map(({ path }) => path),
    ['securityGroups.db.audit', 'securityGroups.db.ingress[0].audit', 'interfaces.db.audit'],
  );
});

test('a repeated rule that audits is warned of, and peers that are not there are refused', () => {
  const twice = '{ protocol: tcp, ports: 1, from: self, audit: true }';
  const { problems } = loadText(text(`    ingress: [${twice}, ${twice}]`));
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['audit-on', 'duplicate-rule'],
  );
  const nobody = '{ protocol: tcp, ports: 1, from: sg-0123456789abcdef0, audit: true }';
  assert.deepEqual(
    loadText(text(`    ingress: [${nobody}]`))
      .problems.filter(({ severity }) => severity === 'error')
      .map(({ code }) => code),
    ['unknown-group'],
  );
});

test('a rule with a DNS name can not audit', () => {
  const named = '{ protocol: tcp, ports: 443, to: dns:api.example.com, audit: true }';
  const { problems } = loadText(text(`    egress: [${named}]`));
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error').map(({ code }) => code),
    ['audit-of-name'],
  );
});

test('a reload that brings or ends audit says so, and is another policy', () => {
  const plain = good(text('    ingress: [{ protocol: tcp, ports: 80, from: self }]'));
  const rule = good(text('    ingress: [{ protocol: tcp, ports: 80, from: self, audit: true }]'));
  const mode = good(
    text('    audit: true\n    ingress: [{ protocol: tcp, ports: 80, from: self }]'),
  );
  const own = good(
    text('    ingress: [{ protocol: tcp, ports: 80, from: self }]', '    audit: true\n'),
  );
  const changed = compareConfigs(plain, rule);
  assert.deepEqual(changed.rules.added, ['db ingress: tcp 80 from sg:db (audit)']);
  assert.deepEqual(changed.rules.removed, ['db ingress: tcp 80 from sg:db']);
  assert.equal(compareConfigs(plain, mode).rules.added.length, 4);
  assert.deepEqual(compareConfigs(plain, own).interfaces.changed, ['db']);
  for (const [before, after] of [
    [plain, rule],
    [plain, mode],
    [plain, own],
    [own, plain],
  ])
    assert.equal(isSamePolicy(before, after, compareConfigs(before, after)), false);
  assert.equal(isSamePolicy(rule, rule, compareConfigs(rule, rule)), true);
});

test('written as our configuration it is the same', () => {
  const config = good(text(`    audit: true\n${RULES}`, '    audit: true\n'));
  const { text: written, losses } = writeConfiguration(config);
  assert.deepEqual(losses, []);
  const again = good(written);
  const facts = (one: Config): unknown => [
    group(one).audited?.map(({ id, direction, audit, description }) => [
      id,
      direction,
      audit,
      description,
    ]),
    [...one.model.interfaces.values()].map(({ audit }) => audit),
  ];
  assert.deepEqual(facts(again), facts(config));
});

test('what others have no word for is left out, and said', () => {
  const { model } = good(text(`    audit: true\n${RULES}`, '    audit: true\n'));
  for (const { text: written, losses } of [
    writeTemplate(model),
    writeTerraform(model),
    writeCommands(model),
  ]) {
    assert.deepEqual(losses.slice(0, 3), [
      '3 rules of db only audit, and are not written',
      'the group db is in audit mode: it gets the tag secgroupd:audit, and AWS enforces its rules all the same',
      'the interface db is in audit mode: what it lets pass so is refused there',
    ]);
    assert.match(written, /80/);
    assert.doesNotMatch(written, /\b81\b|10\.0\.0\.2\/32/);
  }
});

test('the rules of an interface in audit mode are everything, both ways, both families', () => {
  assert.deepEqual(
    INTERFACE_AUDIT.map((rule) => ruleText(rule, { groups: new Map(), prefixLists: new Map() })),
    ['all from 0.0.0.0/0', 'all from ::/0', 'all to 0.0.0.0/0', 'all to ::/0'],
  );
});

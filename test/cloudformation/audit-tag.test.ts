/** The tag `secgroupd:audit` of a template: on a group, on a network interface, and values that are none. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadConfig, type LoadedConfig } from '../../src/config/load-config.ts';
import { loadInput } from '../../src/inputs/load-input.ts';
import { groupAudit } from '../../src/policy/audit.ts';
import { load } from './helpers.ts';

const TRUE = [{ Key: 'secgroupd:audit', Value: 'true' }];

function template(groupTags: unknown, cardTags: unknown = []): string {
  return JSON.stringify({
    Parameters: { Given: { Type: 'String' } },
    Resources: {
      Web: {
        Type: 'AWS::EC2::SecurityGroup',
        Properties: { GroupDescription: 'd', VpcId: 'vpc-1', Tags: groupTags },
      },
      Card: {
        Type: 'AWS::EC2::NetworkInterface',
        Properties: {
          ...{ SubnetId: 'subnet-1', PrivateIpAddress: '10.0.0.11', Tags: cardTags },
          GroupSet: [{ 'Fn::GetAtt': ['Web', 'GroupId'] }],
        },
      },
    },
  });
}

/** Whether the group audits, and what is reported. */
function tried(groupTags: unknown): readonly [boolean | undefined, ...string[]] {
  const { template: loaded, raw } = load(template(groupTags));
  const web = loaded?.groups.find(({ name }) => name === 'st-Web');
  const told = raw.map(({ severity, code, message }) => `${severity} ${code}: ${message}`);
  return [web === undefined ? undefined : groupAudit(web).length === 4, ...told];
}

test('a group with the tag audits; other tags and the value false leave it enforced', () => {
  assert.deepEqual(tried(TRUE), [true]);
  assert.deepEqual(tried([{ Key: 'secgroupd:audit', Value: true }]), [true]);
  assert.deepEqual(tried([...TRUE, { Key: 'secgroupd:audit', Value: 'false' }]), [false]);
  assert.deepEqual(tried([{ Key: 'audit', Value: 'true' }]), [false]);
  assert.deepEqual(tried(undefined), [false]);
});

test('a value that is none is an error, and one that is not known is told: neither audits', () => {
  assert.deepEqual(tried([{ Key: 'secgroupd:audit', Value: 'yes' }]), [
    false,
    "error bad-property: the value of the tag secgroupd:audit must be true or false: not 'yes'",
  ]);
  assert.deepEqual(tried([{ Key: 'secgroupd:audit' }]), [
    false,
    'error bad-property: the value of the tag secgroupd:audit must be true or false: there is none',
  ]);
  const [audits, told] = tried([{ Key: 'secgroupd:audit', Value: { Ref: 'Given' } }]);
  assert.equal(audits, false);
  assert.match(
    told,
    /^warning unknown-value: the tag secgroupd:audit of 'Web' can't be known here: .*; the rules are enforced$/,
  );
});

function configured(t: TestContext, cardTags: unknown, key = ''): LoadedConfig {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-audit-tag-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 't.yaml'), template(TRUE, cardTags));
  const file = join(folder, 'config.yaml');
  writeFileSync(
    file,
    `templates: [{ file: t.yaml, stackName: st }]
interfaces: { card: { from: st/Card, device: { name: a, netns: a }${key} } }
`,
  );
  return loadConfig(file, { netnsDirectory: '/run/netns' });
}

test("an interface of a configuration takes it from the template's, unless the configuration says otherwise", (t) => {
  const audits = ({ config, problems }: LoadedConfig): boolean | undefined => {
    assert.ok(config !== undefined, JSON.stringify(problems));
    return [...config.model.interfaces.values()][0].audit;
  };
  const loaded = configured(t, TRUE);
  assert.equal(audits(loaded), true);
  const warned = loaded.problems.filter(({ code }) => code === 'audit-on');
  assert.equal(warned.length, 2, 'of the group and of the interface');
  assert.equal(audits(configured(t, [])), undefined);
  assert.equal(audits(configured(t, TRUE, ', audit: false')), undefined);
});

test('a template by itself has it, too: for sgctl diff', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-audit-tag-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 't.json');
  writeFileSync(file, template(TRUE, TRUE));
  const { config, problems } = loadInput(file, { netnsDirectory: '/run/netns' });
  assert.ok(config !== undefined, JSON.stringify(problems));
  const [card] = config.model.interfaces.values();
  assert.equal(card.audit, true);
  assert.equal(groupAudit(config.model.groups.get(card.groupIds[0])!).length, 4);
});

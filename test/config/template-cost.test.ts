/** What reading many templates and large ones costs, told without a clock: how often things are looked at. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTemplateFiles, NO_SETTINGS } from '../../src/inputs/read-templates.ts';
import { parseTemplate } from '../../src/cloudformation/template-tree.ts';
import { addOutsideRules } from '../../src/config/config-templates.ts';
import { makeGroupDirectory } from '../../src/config/config-names.ts';
import type { GroupId, SecurityGroup } from '../../src/policy/model.ts';

const ORIGIN = { file: 't.yaml', line: 1, column: 1, path: '' };

function group(id: string): SecurityGroup {
  return { id, name: id, description: '', ingress: [], egress: [], origin: ORIGIN };
}

test('a template that has been parsed is not parsed again', () => {
  const text =
    'Resources:\n  G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}\n';
  const tree = parseTemplate('t.yaml', text);
  // Whoever parses the text finds no template in it.
  const given = { file: 't.yaml', text: 'AWS::CloudFormation::Stack, [', tree };
  const { files } = readTemplateFiles([given], NO_SETTINGS);
  const { model, problems } = files.get('t.yaml')!;
  assert.deepEqual(problems, []);
  assert.deepEqual(
    [...model!.groups.values()].map(({ name }) => name),
    ['t-G'],
  );
});

class CountingMap extends Map<GroupId, readonly string[]> {
  static asked = 0;
  override get(id: GroupId): readonly string[] | undefined {
    CountingMap.asked++;
    return super.get(id);
  }
}

test('groups do not each ask every template what it leaves open', () => {
  const groups = Array.from({ length: 200 }, (_, i) => group(`sg-${i}`));
  const gaps = Array.from({ length: 50 }, (_, i) => new CountingMap([[`sg-${i}`, [`why ${i}`]]]));
  gaps[1].set('sg-0', ['and why 1']);
  const outside = { rules: [], egress: new Set<GroupId>(), emptied: new Set<GroupId>(), gaps };
  const found = addOutsideRules(groups, outside);
  assert.equal(CountingMap.asked, 0);
  assert.deepEqual(found[0].gaps?.ingress, ['why 0', 'and why 1']);
  assert.deepEqual(found[49].gaps?.egress, ['why 49']);
  assert.equal(found[50], groups[50]);
});

test('a logical id that many stacks have is still found by its stack, and ambiguous without', () => {
  const directory = makeGroupDirectory();
  const reader = { problems: [], misses: [] };
  for (let i = 0; i < 300; i++) {
    const named = { id: `sg-${i}`, name: `s${i}-G`, origin: { ...ORIGIN, logicalId: 'G' } };
    assert.ok(directory.add(reader, named, { at: ORIGIN, path: '' }, { stackName: `s${i}` }));
  }
  assert.deepEqual(directory.resolve('s299/G'), { ok: true, value: 'sg-299' });
  const found = directory.resolve('G');
  assert.ok(!found.ok);
  assert.match(found.message, /could be any of 300 security groups/);
});

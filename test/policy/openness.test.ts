/** AWS's own rules stand only where it is certain that nothing is said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Direction, Rule, SecurityGroup } from '../../src/policy/model.ts';
import { addToGroup, openGroup, type Said } from '../../src/policy/openness.ts';
import { ruleText } from '../../src/policy/rules.ts';

const ORIGIN = { file: 't.yaml', line: 1, column: 1, path: '' };
const NAMES = { groups: new Map(), prefixLists: new Map() };
const SILENT: Said = { rules: [], isStated: false, gaps: [] };
const OWN_EGRESS = ['all to 0.0.0.0/0', 'all to ::/0'];

function makeRule(direction: Direction, port: number): Rule {
  return {
    id: `sgr-${direction}-${port}`,
    direction,
    protocol: 6,
    fromPort: port,
    toPort: port,
    peer: { kind: 'cidr', cidr: { family: 4, words: [0x0a000000], length: 8 } },
    description: '',
    origin: ORIGIN,
  };
}

function make(name: string, ingress: Said, egress: Said): SecurityGroup {
  return openGroup({ id: 'sg-1', name, description: '', origin: ORIGIN }, { ingress, egress });
}

function texts(group: SecurityGroup, direction: Direction): string[] {
  return group[direction].map((rule) => ruleText(rule, NAMES).replace(/sg:\S+/, 'self'));
}

test('of silence AWS makes everything out, and in the group default everything from itself', () => {
  assert.deepEqual(texts(make('web', SILENT, SILENT), 'egress'), OWN_EGRESS);
  assert.deepEqual(texts(make('web', SILENT, SILENT), 'ingress'), []);
  assert.equal(make('default', SILENT, SILENT).ingress.length, 1);
});

test('a list, also one of which nothing was understood, is no silence', () => {
  const stated: Said = { rules: [], isStated: true, gaps: [] };
  const group = make('default', stated, stated);
  assert.deepEqual([group.ingress, group.egress], [[], []]);
  assert.equal(group.gaps, undefined);
});

test('what was not understood closes its direction, keeps what is written, and is told', () => {
  const open: Said = { rules: [], isStated: false, gaps: ['a macro'] };
  const group = make('default', { ...open, rules: [makeRule('ingress', 1)] }, SILENT);
  assert.deepEqual(texts(group, 'ingress'), ['tcp 1 from 10.0.0.0/8']);
  assert.deepEqual(texts(group, 'egress'), OWN_EGRESS);
  assert.deepEqual(group.gaps, { ingress: ['a macro'] });
  assert.deepEqual(texts(make('web', SILENT, open), 'egress'), []);
});

test("what another template says sends AWS's own rules away, and no others", () => {
  const added = makeRule('egress', 2);
  const silent = make('web', SILENT, SILENT);
  const egress = new Set<Direction>(['egress']);
  assert.deepEqual(texts(addToGroup(silent, { rules: [added], stated: egress }), 'egress'), [
    'tcp 2 to 10.0.0.0/8',
  ]);
  assert.deepEqual(addToGroup(silent, { rules: [], stated: egress }).egress, []);
  const written = make('web', SILENT, { rules: [added], isStated: true, gaps: [] });
  assert.deepEqual(addToGroup(written, { rules: [added], stated: egress }).egress, [added]);
  const ingress = { rules: [makeRule('ingress', 3)], stated: new Set<Direction>() };
  assert.deepEqual(texts(addToGroup(silent, ingress), 'egress'), OWN_EGRESS);
  const both = new Set<Direction>(['ingress', 'egress']);
  const emptied = addToGroup(make('default', SILENT, SILENT), { rules: [], stated: both });
  assert.deepEqual([emptied.ingress, emptied.egress], [[], []]);
});

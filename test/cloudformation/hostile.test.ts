/** Templates that mean harm: each ends with an error that names the limit, after a bounded number of steps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExportDirectory } from '../../src/cloudformation/exports.ts';
import {
  buildTemplate,
  openTemplate,
  surveyTemplate,
} from '../../src/cloudformation/load-template.ts';
import { TEXT_CHARS_MAX, TOTAL_CHARS_MAX } from '../../src/cloudformation/scope.ts';
import { findDeepNesting } from '../../src/source/nesting.ts';
import { readPlainText } from '../../src/source/plain-yaml.ts';
import type { Problem } from '../../src/source/problem.ts';
import { PLAIN_LIMITS } from '../../src/source/yaml.ts';
import { load, OPTIONS } from './helpers.ts';

function output(value: unknown, more: object = {}): string {
  return JSON.stringify({
    Resources: { G: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'd' } } },
    ...more,
    Outputs: { O: { Value: value, Export: { Name: 'o' } } },
  });
}

function nest(depth: number, inner: unknown, wrap: (inner: unknown) => unknown): unknown {
  let value = inner;
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
}

const LOOP = 'Transform: AWS::LanguageExtensions\nResources:\n';
const BODY = '{Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}';

function loops(depth: number): string {
  let body = `{ "G${Array.from({ length: depth }, (_, i) => `\${I${i}}`).join('')}": ${BODY} }`;
  for (let i = depth - 1; i >= 0; i--) {
    body = `{ "Fn::ForEach::L${i}": [I${i}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], ${body}] }`;
  }
  return `${LOOP}  ${body}\n`;
}

function conditions(count: number, make: (next: string) => unknown): object {
  const entries = Array.from({ length: count }, (_, i) => [`C${i}`, make(`C${i + 1}`)] as const);
  return {
    Conditions: { ...Object.fromEntries(entries), [`C${count}`]: { 'Fn::Equals': ['a', 'a'] } },
  };
}

// prettier-ignore
const BOMBS: readonly (readonly [what: string, text: () => string, code: string, message: RegExp, stepsMax: number])[] = [
  ['a text that grows thirty times at every level',
    () => output(nest(20, 'x', (inner) => ({ 'Fn::Sub': ['${A}'.repeat(30), { A: inner }] }))),
    'template-limit', /^an expression makes a text longer than 100000 characters$/, 150_000],
  ['many long texts',
    () => output({ 'Fn::Length': Array.from({ length: 200 }, () => ({ 'Fn::Sub': '${P}'.repeat(20) })) }, { Parameters: { P: { Type: 'String', Default: 'z'.repeat(4000) } } }),
    'template-limit', /^expressions make more than 10000000 characters of text in all$/, 150],
  ['functions nested too deep for a file',
    () => output('X').replace('"X"', () => `${'{"Fn::Base64":'.repeat(5000)}"x"${'}'.repeat(5000)}`),
    'too-deep', /^the file is nested more than 100 levels deep$/, 0],
  ['brackets without end',
    () => `Resources: ${'['.repeat(100_000)}`,
    'too-deep', /^the file is nested more than 100 levels deep$/, 0],
  ['conditions that hold two of the next, a hundred times',
    () => output({ 'Fn::If': ['C0', 'a', 'b'] }, conditions(1000, (next) => ({ 'Fn::And': [{ Condition: next }, { Condition: next }] }))),
    'template-limit', /^expressions are nested more than 300 deep$/, 250],
  ['a condition that holds itself',
    () => output({ 'Fn::If': ['C', 'a', 'b'] }, { Conditions: { C: { 'Fn::Not': [{ Condition: 'D' }] }, D: { 'Fn::Not': [{ Condition: 'C' }] } } }),
    'circular-reference', /^circular reference: C -> D -> C$/, 10],
  ['a group named after itself',
    () => JSON.stringify({ Resources: { G: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'd', GroupName: { Ref: 'G' } } } } }),
    'circular-reference', /^circular reference: G -> G$/, 5],
  ['subnets whose blocks are each other\'s',
    () => output({ 'Fn::GetAtt': 'A.CidrBlock' }, { Resources: { A: { Type: 'AWS::EC2::Subnet', Properties: { CidrBlock: { 'Fn::GetAtt': 'B.CidrBlock' } } }, B: { Type: 'AWS::EC2::Subnet', Properties: { CidrBlock: { 'Fn::GetAtt': 'A.CidrBlock' } } } } }),
    'circular-reference', /^circular reference: A\.CidrBlock -> B\.CidrBlock -> A\.CidrBlock$/, 10],
  ['ten loops of ten inside each other',
    () => loops(10),
    'template-limit', /^the loops make more than 50000 values$/, 0],
  ['a loop that makes the same key',
    () => `${LOOP}  "Fn::ForEach::L": [I, [a, b], {G: ${BODY}}]\n`,
    'duplicate-key', /^the loop makes the key 'G' twice$/, 5],
  ['a list copied a million times',
    () => output({ 'Fn::Length': Array.from({ length: 20_000 }, () => ({ 'Fn::Length': { Ref: 'P' } })) }, { Parameters: { P: { Type: 'CommaDelimitedList', Default: 'a,'.repeat(2000) } } }),
    'template-limit', /^the template needs more than 1000000 evaluation steps$/, 1_010_000],
  ['a flattened line of blanks',
    () => `A:\nType: AWS::EC2::SecurityGroup\nProperties:\nGroupName: a${' '.repeat(900_000)}\t\n`,
    'lost-indentation', /^the template has lost its indentation \(line 1\), and nobody can tell where /, 0],
  ['a text of openings that are never closed',
    () => output('{{resolve:'.repeat(90_000), { Resources: { G: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: '${'.repeat(10_000) } } } }),
    'bad-description', /^Invalid security group description/, 5],
  ['six thousand resources',
    () => JSON.stringify({ Resources: Object.fromEntries(Array.from({ length: 6000 }, (_, i) => [`G${i}`, { Type: 'AWS::EC2::SecurityGroup' }])) }),
    'template-limit', /^the template has 6000 resources; at most 5000 are read$/, 0],
  ['a billion laughs',
    () => `Metadata:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, i) => `  a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(10)}]\n`).join('')}Resources: {}\n`,
    'yaml-alias-expansion', /^the aliases expand to more than 50000 values/, 0],
];

/** What reading a template took, in the units of its budget: both 0 where no tree was made. */
function readCounting(text: string): {
  readonly problems: readonly Problem[];
  readonly steps: number;
  readonly chars: number;
} {
  const problems: Problem[] = [];
  const exports = new ExportDirectory();
  const open = openTemplate('t.yaml', text, { ...OPTIONS, exports }, problems);
  if (open === undefined) return { problems, steps: 0, chars: 0 };
  buildTemplate(surveyTemplate(open));
  exports.warnOfCircles();
  const { steps, chars } = open.scope.budget;
  return { problems, steps, chars };
}

for (const [what, makeText, code, message, stepsMax] of BOMBS) {
  test(what, () => {
    const { problems, steps, chars } = readCounting(makeText());
    const first = problems.find((problem) => problem.severity === 'error');
    assert.equal(first?.code, code);
    assert.match(first.message, message);
    assert.ok(steps <= stepsMax, `took ${steps} steps`);
    assert.ok(chars <= TOTAL_CHARS_MAX + TEXT_CHARS_MAX, `made ${chars} characters`);
    assert.ok(problems.length < 10_000);
  });
}

test('brackets without end are not read to the end', () => {
  const start = 'Resources: ';
  const text = `${start}${'['.repeat(100_000)}`;
  assert.equal(findDeepNesting(text, 100), start.length + 100);
});

test('twice the groups take twice the work, and no library', () => {
  const steps = [250, 500, 750].map((count) => {
    const groups = Array.from({ length: count }, (_, i) => groupText(i)).join('');
    const text = `Parameters:\n  Office: { Type: String, Default: 198.51.100.0/24 }\nResources:\n${groups}`;
    for (const dialect of ['core', 'aws'] as const)
      assert.notEqual(readPlainText('t.yaml', text, dialect, PLAIN_LIMITS), undefined, dialect);
    const work = readCounting(text);
    assert.deepEqual(
      work.problems.filter(({ code }) => code !== 'many-resources'),
      [],
    );
    return work.steps;
  });
  assert.equal(steps[1] - steps[0], steps[2] - steps[1]);
  assert.ok(steps[0] < 250 * 20, `${steps[0]} steps`);
});

function groupText(i: number): string {
  return `  Group${i}:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: group ${i}
      SecurityGroupIngress:
        - IpProtocol: tcp
          FromPort: ${1000 + i}
          ToPort: ${1000 + i}
          CidrIp: !Ref Office
        - { IpProtocol: udp, FromPort: 53, ToPort: 53, CidrIp: 10.0.0.0/8 } # DNS
      Tags: [{ Key: Name, Value: !Sub "\${AWS::StackName}-${i}" }]
`;
}

test('a hundred circles of shared conditions are evaluated once each', () => {
  const text = output(
    { 'Fn::If': ['C0', 'a', 'b'] },
    conditions(40, (next) => ({ 'Fn::And': [{ Condition: next }, { Condition: next }] })),
  );
  const { template, problems } = load(text);
  assert.deepEqual(problems, []);
  assert.equal(template?.exports.get('o'), 'a');
});

/** Parameters: defaults, overrides, types and limits; loops over them; exports and imports. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExportDirectory } from '../../src/cloudformation/exports.ts';
import { defaultEgress, give, load, readExample } from './helpers.ts';

function withParameter(declaration: string): string {
  return `Parameters:
  P: ${declaration}
Resources:
  V: {Type: AWS::EC2::VPC}
Outputs:
  O: {Value: !Sub ['\${v}', {v: !If [IsList, !Join ['|', !Ref P], !Ref P]}], Export: {Name: o}}
Conditions:
  IsList: !Equals [${/List/.test(declaration) ? 'a' : 'b'}, a]
`;
}

// prettier-ignore
const VALUES: readonly (readonly [declaration: string, override: string | undefined, expected: string])[] = [
  ['{Type: String, Default: a}', undefined, 'a'],
  ['{Type: String, Default: a}', 'b', 'b'],
  ['{Type: String, Default: ""}', undefined, ''],
  ['{Type: Number, Default: 080}', undefined, '080'],
  ['{Type: Number, Default: 1.5, MinValue: 1, MaxValue: 2}', undefined, '1.5'],
  ['{Type: CommaDelimitedList, Default: "a, b ,c"}', undefined, 'a|b|c'],
  ['{Type: "List<Number>", Default: "1,2"}', '3,4', '3|4'],
  ['{Type: "List<AWS::EC2::SecurityGroup::Id>"}', 'sg-1,sg-2', 'sg-1|sg-2'],
  ['{Type: AWS::EC2::SecurityGroup::GroupName}', 'web', 'web'],
  ['{Type: AWS::SSM::Parameter::Name, Default: /a}', undefined, '/a'],
  ['{Type: String, AllowedValues: [a, b]}', 'b', 'b'],
  ['{Type: String, MinLength: 1, MaxLength: 2}', 'ab', 'ab'],
];

for (const [declaration, override, expected] of VALUES) {
  test(`${declaration} with ${override ?? 'its default'} is ${expected}`, () => {
    const parameters = give(override === undefined ? {} : { P: override });
    const { template, problems } = load(withParameter(declaration), { parameters });
    assert.deepEqual(problems, []);
    assert.equal(template?.exports.get('o'), expected);
  });
}

// prettier-ignore
const MISTAKES: readonly (readonly [declaration: string, override: string | undefined, problem: string])[] = [
  ['{Type: Number}', 'x', "1:1 error bad-parameter: the value 'x' of the parameter 'P' is not a number"],
  ['{Type: Number, Default: x}', undefined, "2:30 error bad-parameter: the value 'x' of the parameter 'P' is not a number"],
  ['{Type: "List<Number>"}', '1,x', "1:1 error bad-parameter: the value 'x' of the parameter 'P' is not a number"],
  ['{Type: Number, MinValue: 3}', '2', "1:1 error bad-parameter: the value '2' of the parameter 'P' is out of range"],
  ['{Type: Number, MaxValue: 3}', '4', "1:1 error bad-parameter: the value '4' of the parameter 'P' is out of range"],
  ['{Type: String, AllowedValues: [a, b]}', 'c', "1:1 error bad-parameter: the value 'c' of the parameter 'P' is not one of its AllowedValues"],
  ['{Type: String, MinLength: 3}', 'ab', "1:1 error bad-parameter: the value 'ab' of the parameter 'P' has 2 characters"],
  ['{Type: String, MaxLength: 1}', 'ab', "1:1 error bad-parameter: the value 'ab' of the parameter 'P' has 2 characters"],
  ['{Type: String}', 'x'.repeat(4097), "1:1 error bad-parameter: the value of the parameter 'P' has 4097 characters"],
  ['{Type: Text, Default: a}', undefined, "2:13 error bad-parameter: unknown parameter type 'Text'"],
  ['{Default: a}', undefined, "2:3 error bad-parameter: the parameter 'P' has no Type"],
  ['{Type: CommaDelimitedList, Default: [a, b]}', undefined, "2:42 error bad-parameter: the default of 'P' must be text or a number, not a list"],
  ['text', undefined, "2:3 error bad-parameter: the parameter 'P' must be a mapping with a Type, not a string"],
];

for (const [declaration, override, problem] of MISTAKES) {
  test(`${declaration.slice(0, 60)}: ${problem}`, () => {
    const parameters = give(override === undefined ? {} : { P: override });
    assert.deepEqual(load(withParameter(declaration), { parameters }).problems, [problem]);
  });
}

test('a value for a parameter that is not there is an error', () => {
  const parameters = give({ Q: 'x' });
  assert.deepEqual(load(withParameter('{Type: String, Default: a}'), { parameters }).problems, [
    "1:1 error unknown-parameter: the template has no parameter 'Q'",
  ]);
});

const LOOP = `Transform: AWS::LanguageExtensions
Parameters:
  Ports: {Type: CommaDelimitedList, Default: '80,443'}
Resources:
  G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}
  Fn::ForEach::Rules:
    - Port
    - !Ref Ports
    - Http\${Port}:
        Type: AWS::EC2::SecurityGroupIngress
        Properties:
          GroupId: !GetAtt G.GroupId
          IpProtocol: tcp
          FromPort: !Ref Port
          ToPort: !Ref Port
          CidrIp: 0.0.0.0/0
          Description: !Sub 'port \${Port}'
  Fn::ForEach::Nets:
    - Net
    - [10.1.0.0/16, 10.2.0.0/16]
    - Fn::ForEach::Ports:
        - Port
        - [22, 23]
        - 'Admin&{Net}P\${Port}':
            Type: AWS::EC2::SecurityGroupIngress
            Properties: {GroupId: !GetAtt G.GroupId, IpProtocol: tcp, FromPort: '\${Port}', ToPort: !Ref Port, CidrIp: !Ref Net}
`;

test('Fn::ForEach writes its body out, also inside another', () => {
  const { template, rules, problems } = load(LOOP);
  assert.deepEqual(problems, []);
  assert.deepEqual(rules, [
    'st-G < tcp 80 from 0.0.0.0/0',
    'st-G < tcp 443 from 0.0.0.0/0',
    'st-G < tcp 22 from 10.1.0.0/16',
    'st-G < tcp 23 from 10.1.0.0/16',
    'st-G < tcp 22 from 10.2.0.0/16',
    'st-G < tcp 23 from 10.2.0.0/16',
    ...defaultEgress('st-G'),
  ]);
  const written = template!.groups[0].ingress;
  assert.deepEqual(
    written.map((rule) => [rule.origin.line, rule.origin.logicalId, rule.description]),
    [
      [9, 'Http80', 'port 80'],
      [9, 'Http443', 'port 443'],
      [24, 'Admin1010016P22', ''],
      [24, 'Admin1010016P23', ''],
      [24, 'Admin1020016P22', ''],
      [24, 'Admin1020016P23', ''],
    ],
  );
});

test('Fn::ForEach without its transform works, with a warning; a bad one is an error', () => {
  assert.deepEqual(load(LOOP.replace(/^.*\n/, '\n')).problems, [
    '6:3 warning transform: Fn::ForEach needs the transform AWS::LanguageExtensions',
  ]);
  const frame = 'Transform: AWS::LanguageExtensions\nResources:\n  V: {Type: AWS::EC2::VPC}\n';
  assert.deepEqual(load(`${frame}  Fn::ForEach::L: [a, b]\n`).problems, [
    '4:3 error bad-function: Fn::ForEach::L has the wrong arguments',
  ]);
  assert.deepEqual(load(`${frame}  Fn::ForEach::L: [a, !Ref X, {}]\n`).problems, [
    "4:28 warning unknown-value: what Fn::ForEach::L loops over can't be known here: the resource 'X' is not written out, and the loop Fn::ForEach::L can't be written out; what it makes is not seen",
  ]);
  assert.deepEqual(load(`${frame}  Fn::ForEach::L: [a, !Ref AWS::Region, {}]\n`).problems, [
    "4:28 error bad-function: the collection of Fn::ForEach::L must be a list of texts, not 'us-east-1'",
  ]);
});

test('exports of one template are imports of another', () => {
  const exports = new ExportDirectory();
  const network = load(
    `Resources:
  Web: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}
Conditions: {No: !Equals [a, b]}
Outputs:
  Id: {Value: !GetAtt Web.GroupId, Export: {Name: !Sub '\${AWS::StackName}-web'}}
  Unknown: {Value: !ImportValue other, Export: {Name: unknown}}
  Off: {Condition: No, Value: x, Export: {Name: off}}
  Plain: {Value: !Ref Nobody}
`,
    { exports },
  );
  assert.deepEqual(network.problems, []);
  const webId = network.template!.groups[0].id;
  assert.deepEqual(network.template!.exports, new Map([['st-web', webId]]));
  assert.ok(network.template!.groups[0].egress.every(({ implied }) => implied === true));
  const service = load(
    `Resources:
  G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [
    {IpProtocol: tcp, FromPort: 80, ToPort: 80, SourceSecurityGroupId: !ImportValue st-web}]}}
`,
    { stackName: 'two', exports, resolveGroup: (id) => (id === webId ? id : undefined) },
  );
  assert.deepEqual(service.problems, []);
  assert.deepEqual(service.rules, [`two-G < tcp 80 from sg:${webId}`, ...defaultEgress('two-G')]);
});

test('the example of a template as people write it loads without a word', () => {
  const { rules, problems } = load(readExample('web-stack.yaml').toString('utf8'), {
    parameters: give({ ServicePort: '9000' }),
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(rules, [
    'st-load-balancer < tcp 80 from 0.0.0.0/0',
    'st-load-balancer < tcp 80 from ::/0',
    'st-load-balancer < tcp 443 from 0.0.0.0/0',
    'st-load-balancer < tcp 443 from ::/0',
    'st-load-balancer > tcp 9000 to sg:st-service',
    'st-service < tcp 9000 from sg:st-load-balancer',
    'st-service < tcp 22 from 198.51.100.0/24',
    'st-service < icmp type 8 from 198.51.100.0/24',
    ...defaultEgress('st-service'),
  ]);
});

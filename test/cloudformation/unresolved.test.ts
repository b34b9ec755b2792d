/** References to nothing in what concerns groups: told where they stand, evaluated or not, and once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './helpers.ts';

const GROUP = 'Type: AWS::EC2::SecurityGroup';
const RULE = 'IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 10.0.0.0/8';

/** Line 1 is `Parameters:`, line 6 a group with these properties and attributes. */
function template(properties: string, attributes = '', more = ''): string {
  return `Parameters: {P: {Type: String, Default: p}}
Conditions: {No: !Equals [a, b]}
Resources:
  Other: {Type: AWS::SNS::Topic}
  L: {Type: AWS::EC2::PrefixList, Properties: {AddressFamily: IPv4, PrefixListName: l, MaxEntries: 1}}
  G: {${GROUP}, ${attributes}Properties: {GroupDescription: d, ${properties}}}
${more}`;
}

function told(text: string): readonly string[] {
  return load(text).problems.filter((line) => line.includes('unresolved-reference'));
}

const NOTHING = (name: string): string =>
  `'${name}' is neither a parameter nor a resource of this template`;

// prettier-ignore
const NOWHERE: readonly (readonly [what: string, text: string, lines: readonly string[]])[] = [
  ['a tag, by Ref', template('Tags: [{Key: a, Value: !Ref Nope}]'), [`6:100 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['a tag, by Fn::Ref in full', template('Tags: [{Key: a, Value: {Ref: Nope}}]'), [`6:95 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['a tag, by GetAtt', template('Tags: [{Key: a, Value: !GetAtt Nope.Arn}]'), [`6:103 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['a tag, by GetAtt of a list', template('Tags: [{Key: a, Value: !GetAtt [Nope, Arn]}]'), [`6:103 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['two variables of a text', template('Tags: [{Key: a, Value: !Sub "${Nope}-${Neither.Arn}-${P}"}]'), [`6:100 warning unresolved-reference: ${NOTHING('Nope')}`, `6:100 warning unresolved-reference: ${NOTHING('Neither')}`]],
  ['DependsOn', template('', 'DependsOn: Nope, '), [`6:49 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['DependsOn, a list', template('', 'DependsOn: [Other, Nope], '), [`6:57 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['DependsOn of a parameter', template('', 'DependsOn: P, '), ["6:49 warning unresolved-reference: 'P' is a parameter of this template, not a resource"]],
  ['an attribute of a parameter', template('Tags: [{Key: a, Value: !GetAtt P.Arn}]'), ["6:103 warning unresolved-reference: 'P' is a parameter of this template, not a resource"]],
  ['a branch that is not taken', template(`SecurityGroupIngress: [{${RULE}, Description: !If [No, !Ref Nope, x]}]`), [`6:186 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['a rule that does not exist', template('', '', `  R: {Type: AWS::EC2::SecurityGroupIngress, Condition: No, Properties: {GroupId: !Ref Nope, ${RULE}}}\n`), [`7:87 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['a prefix list', template('', '', '  M: {Type: AWS::EC2::PrefixList, DependsOn: Nope, Properties: {AddressFamily: IPv4, PrefixListName: m, MaxEntries: 1, Tags: [{Key: a, Value: !Ref AWS::Nope}]}}\n'), [`7:148 warning unresolved-reference: ${NOTHING('AWS::Nope')}`, `7:46 warning unresolved-reference: ${NOTHING('Nope')}`]],
  ['a value that is needed: an error, told once', template('VpcId: !Ref Nope'), [`6:84 error unresolved-reference: ${NOTHING('Nope')}`]],
];

for (const [what, text, lines] of NOWHERE) {
  test(`a reference to nothing in ${what}`, () => {
    assert.deepEqual([...told(text)].sort(), [...lines].sort());
  });
}

// prettier-ignore
const SOMEWHERE: readonly (readonly [what: string, text: string])[] = [
  ['parameters, resources, pseudo parameters', template('Tags: [{Key: a, Value: !Sub "${P}${Other}${Other.TopicName}${AWS::StackName}${!Literal}"}, {Key: b, Value: !Ref AWS::Region}]', 'DependsOn: [Other, L], ')],
  ['variables of its own', template('Tags: [{Key: a, Value: !Sub ["${X}${Y.Z}", {X: 1, Y.Z: 2}]}]')],
  ['no value', template('Tags: !Ref AWS::NoValue')],
  ['names that functions give', `Transform: AWS::LanguageExtensions\nMappings: {Names: {x: {Group: G}}}\n${template('Tags: [{Key: a, Value: {Ref: !FindInMap [Names, x, Group]}}, {Key: b, Value: !GetAtt [!FindInMap [Names, x, Group], GroupId]}, {Key: c, Value: {Ref: !Sub "Oth${P}"}}, {Key: d, Value: {Fn::GetAtt: !Split [., Other.TopicName]}}]')}`],
  ['what a transform may make', `Transform: AWS::Serverless-2016-10-31\n${template('Tags: [{Key: a, Value: !GetAtt FunctionRole.Arn}]', 'DependsOn: FunctionRole, ')}`],
  ['what a macro may make', template('Tags: [{Key: a, Value: !Ref Nope}]', '', "  Fn::Transform: {Name: Mine}\n")],
  ['what a module makes', template('Tags: [{Key: a, Value: !Ref Net.Vpc}]', 'DependsOn: Net, ', '  Net: {Type: My::Team::Network::MODULE}\n')],
  ['what a macro is given', template('Fn::Transform: {Name: Mine, Parameters: {X: !Ref Nope}}')],
  ['a loop that can\'t be written out', `Transform: AWS::LanguageExtensions\n${template('', '', "  Fn::ForEach::L: [Id, !Ref P, {'A${Id}': {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: !Ref Id}}}]\n")}`],
  ['other kinds', template('', '', '  T: {Type: AWS::SNS::Topic, DependsOn: Nope, Properties: {TopicName: !Ref Nope}}\n')],
];

for (const [what, text] of SOMEWHERE) {
  test(`no reference to nothing: ${what}`, () => {
    assert.deepEqual(told(text), []);
  });
}

/** Parameters of the query protocols: what is read, and what is refused. The SDK as an oracle is in oracle.test.ts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ApiError } from '../../src/api/action.ts';
import { NAME_LENGTH_MAX, PAIRS_MAX, readPairs, shown } from '../../src/api/form.ts';
import { readParameters } from '../../src/api/query-reader.ts';
import { SERVICES } from '../../src/api/services.ts';

/** What a query string means to an action, or the error. */
function read(name: string, text: string): unknown {
  const [service, action] = name.split(':');
  const table = SERVICES.get(service)!;
  try {
    return readParameters(table, table.operation(action)!, readPairs(text));
  } catch (error) {
    if (error instanceof ApiError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

const GROUPS = 'ec2:DescribeSecurityGroups';
const AUTHORIZE = 'ec2:AuthorizeSecurityGroupIngress';
const STACK = 'cloudformation:CreateStack';
const CHANGE_SET = 'cloudformation:CreateChangeSet';

describe('parameters', () => {
  const cases: readonly (readonly [name: string, action: string, text: string, meaning: unknown])[] = [
    ['none', GROUPS, '', {}],
    ['a list, in any order and with gaps', GROUPS, 'GroupId.10=c&GroupId.2=b&GroupId.1=a', { GroupIds: ['a', 'b', 'c'] }],
    ['lists in a list', GROUPS, 'Filter.3.Name=x&Filter.3.Value.1=1&Filter.3.Value.7=2', { Filters: [{ Name: 'x', Values: ['1', '2'] }] }],
    ['a wrapped value', 'ec2:ModifyVpcAttribute', 'VpcId=v&EnableDnsSupport.Value=false', { VpcId: 'v', EnableDnsSupport: { Value: false } }],
    ['whole numbers, also negative', AUTHORIZE, 'FromPort=-1&ToPort=65535', { FromPort: -1, ToPort: 65535 }],
    ['booleans in any case', GROUPS, 'DryRun=TRUE', { DryRun: true }],
    ['escapes and plus signs', GROUPS, 'GroupName.1=a+b%20c%2Bd%C3%A9', { GroupNames: ['a b c+dé'] }],
    ['an empty text', GROUPS, 'NextToken=', { NextToken: '' }],
    ['a value with an equals sign', GROUPS, 'NextToken=a=b', { NextToken: 'a=b' }],
    ['a structure in a list in a list', AUTHORIZE, 'IpPermissions.1.Groups.1.GroupId=g&IpPermissions.1.Groups.2.UserId=u', { IpPermissions: [{ UserIdGroupPairs: [{ GroupId: 'g' }, { UserId: 'u' }] }] }],
    ['a time', 'ec2:DescribeNetworkInsightsAnalyses', 'AnalysisStartTime=2026-01-02T03:04:05.678Z', { AnalysisStartTime: new Date('2026-01-02T03:04:05.678Z') }],
    ['lists of the query protocol', STACK, 'Parameters.member.2.ParameterKey=b&Parameters.member.1.ParameterKey=a&NotificationARNs=', { Parameters: [{ ParameterKey: 'a' }, { ParameterKey: 'b' }], NotificationARNs: [] }],
    ['a map', CHANGE_SET, 'ResourcesToImport.member.1.ResourceIdentifier.entry.1.key=k&ResourcesToImport.member.1.ResourceIdentifier.entry.1.value=v', { ResourcesToImport: [{ ResourceIdentifier: { k: 'v' } }] }],
    ["what CloudFormation's table lacks", STACK, 'StackName=s&NewThing.member.1=x&StackName.x=y', { StackName: 's' }],
    ['an object that is called __proto__', STACK, '__proto__=x&Parameters.member.1.__proto__.a=1', { Parameters: [{}] }],
  ]; // prettier-ignore
  for (const [name, action, text, meaning] of cases)
    test(name, () => assert.deepEqual(read(action, text), meaning));

  const refused: readonly (readonly [name: string, action: string, text: string, message: string])[] = [
    ['an unknown one', GROUPS, 'Nonsense=1', 'UnknownParameter: The parameter Nonsense is not recognized'],
    ['one in a structure', GROUPS, 'Filter.1.Colour=1', 'UnknownParameter: The parameter Filter.1.Colour is not recognized'],
    ["a member's name in the SDK", GROUPS, 'GroupIds.1=a', 'UnknownParameter: The parameter GroupIds.1 is not recognized'],
    ['item 0', GROUPS, 'GroupId.0=a', 'UnknownParameter: The parameter GroupId.0 is not recognized'],
    ['item 01', GROUPS, 'GroupId.01=a', 'UnknownParameter: The parameter GroupId.01 is not recognized'],
    ['item 100000', GROUPS, 'GroupId.100000=a', 'UnknownParameter: The parameter GroupId.100000 is not recognized'],
    ['a part too many', GROUPS, 'GroupId.1.x=a', 'UnknownParameter: The parameter GroupId.1.x is not recognized'],
    ['an empty part', GROUPS, 'Filter..Name=a', 'UnknownParameter: The parameter Filter..Name is not recognized'],
    ['a value of a list', GROUPS, 'GroupId=a', 'InvalidParameterValue: Value (a) for parameter GroupId is invalid. It has parts, and no value.'],
    ['one that is given twice', GROUPS, 'GroupId.1=a&GroupId.1=b', 'InvalidParameterCombination: The parameter GroupId.1 is given more than once'],
    ['a number that is none', AUTHORIZE, 'FromPort=80x', 'InvalidParameterValue: Value (80x) for parameter FromPort is invalid. It is no whole number.'],
    ['an empty number', AUTHORIZE, 'FromPort=', 'InvalidParameterValue: Value () for parameter FromPort is invalid. It is no whole number.'],
    ['a fraction', AUTHORIZE, 'FromPort=1.5', 'InvalidParameterValue: Value (1.5) for parameter FromPort is invalid. It is no whole number.'],
    ['a number that would be rounded', AUTHORIZE, 'FromPort=9007199254740993', 'InvalidParameterValue: Value (9007199254740993) for parameter FromPort is invalid. It is no whole number.'],
    ['a boolean that is none', GROUPS, 'DryRun=yes', 'InvalidParameterValue: Value (yes) for parameter DryRun is invalid. It is neither true nor false.'],
    ['a time that is none', 'ec2:DescribeNetworkInsightsAnalyses', 'AnalysisStartTime=2026-13-45', 'InvalidParameterValue: Value (2026-13-45) for parameter AnalysisStartTime is invalid. It is no time as in 2026-01-31T12:00:00Z.'],
    ['a character that XML can not carry', GROUPS, 'NextToken=a%00b', 'InvalidParameterValue: Value (a?b) for parameter NextToken is invalid. It has characters that XML can not carry.'],
    ['a wrong number of CloudFormation', STACK, 'TimeoutInMinutes=soon', 'ValidationError: Value (soon) for parameter TimeoutInMinutes is invalid. It is no whole number.'],
    ['bytes that are no UTF-8', GROUPS, 'NextToken=%ff', 'MalformedQueryString: The query string contains a syntax error: %ff'],
  ]; // prettier-ignore
  for (const [name, action, text, message] of refused)
    test(`${name}: refused`, () => assert.equal(read(action, text), message));

  test('more than the most, or a name that is too long: refused', () => {
    const many = Array.from({ length: PAIRS_MAX }, (_, i) => `GroupId.${i + 1}=a`).join('&');
    assert.equal((read(GROUPS, many) as { GroupIds: string[] }).GroupIds.length, PAIRS_MAX);
    assert.equal(
      read(GROUPS, `${many}&a=b`),
      `MalformedQueryString: The request has more than ${PAIRS_MAX} parameters.`,
    );
    assert.match(
      String(read(GROUPS, `${'a'.repeat(NAME_LENGTH_MAX + 1)}=`)),
      /^UnknownParameter: .* more than 256 characters\.$/,
    );
  });
});

test('any text is read or refused, and nothing else is thrown', () => {
  const part = fc.constantFrom(
    'Filter',
    'GroupId',
    'Name',
    'Value',
    '1',
    '2',
    '0',
    'member',
    'entry',
    'key',
    '',
    '__proto__',
    'constructor',
    'Parameters',
    'IpPermissions',
    'Groups',
    'DryRun',
    'FromPort',
  );
  const pair = fc
    .tuple(fc.array(part, { maxLength: 6 }), fc.string())
    .map(([path, value]) => `${path.join('.')}=${encodeURIComponent(value.toWellFormed())}`);
  const text = fc.oneof(
    fc.array(pair).map((pairs) => pairs.join('&')),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.constantFrom(GROUPS, AUTHORIZE, STACK, CHANGE_SET), text, (action, query) => {
      read(action, query);
    }),
    { numRuns: 2000 },
  );
});

test("a stranger's text is shown short, and without what a terminal would act on", () => {
  assert.equal(shown('a\u001b[2J\u202eb\r\n'), 'a?[2J?b??');
  assert.equal(shown('x'.repeat(65)), `${'x'.repeat(64)}…`);
});

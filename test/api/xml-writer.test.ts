/** Answers and errors as XML, byte by byte. The SDK as an oracle is in oracle.test.ts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError } from '../../src/api/action.ts';
import { SERVICES } from '../../src/api/services.ts';
import { escapeXml, writeAnswer, writeError } from '../../src/api/xml-writer.ts';

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n';

function write(name: string, output: object): string {
  const [service, action] = name.split(':');
  const table = SERVICES.get(service)!;
  return writeAnswer(table, table.operation(action)!, output, 'ID').replace(HEAD, '');
}

describe('an answer', () => {
  const ec2 = (name: string, inside: string): string =>
    `<${name}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>ID</requestId>${inside}</${name}Response>`;

  test('leaves out what is absent, and has an empty element for an empty list', () => {
    assert.equal(
      write('ec2:DescribeVpcs', {
        Vpcs: [{ VpcId: 'vpc-1', IsDefault: true, Tags: [], State: undefined }],
      }),
      ec2(
        'DescribeVpcs',
        '<vpcSet><item><isDefault>true</isDefault><tagSet></tagSet><vpcId>vpc-1</vpcId></item></vpcSet>',
      ),
    );
    assert.equal(write('ec2:DescribeVpcs', { Vpcs: [] }), ec2('DescribeVpcs', '<vpcSet></vpcSet>'));
    assert.equal(write('ec2:DescribeVpcs', {}), ec2('DescribeVpcs', ''));
  });

  test('has times with milliseconds and Z', () => {
    const CreationTime = new Date('2026-01-02T03:04:05Z');
    assert.equal(
      write('ec2:DescribeFlowLogs', { FlowLogs: [{ CreationTime }] }),
      ec2(
        'DescribeFlowLogs',
        '<flowLogSet><item><creationTime>2026-01-02T03:04:05.000Z</creationTime></item></flowLogSet>',
      ),
    );
  });

  test('of an action that answers nothing', () => {
    assert.equal(write('ec2:CreateTags', {}), ec2('CreateTags', '<return>true</return>'));
    assert.equal(
      write('cloudformation:DeleteStack', {}),
      '<DeleteStackResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></DeleteStackResponse>',
    );
  });

  test('has nothing that the table does not know', () => {
    assert.equal(
      write('ec2:CreateSecurityGroup', { GroupId: 'sg-1', Secret: 'x' }),
      ec2('CreateSecurityGroup', '<groupId>sg-1</groupId>'),
    );
  });

  test('of a wrong type is an error of the action', () => {
    assert.throws(
      () => write('ec2:CreateSecurityGroup', { GroupId: 1 }),
      /the answer's GroupId is no text/,
    );
  });
});

describe('an error', () => {
  const error = new ApiError('InvalidGroup.NotFound', "The security group '<x>' does not exist");

  test("in EC2's form, also where the service is not known", () => {
    const expected = `${HEAD}<Response><Errors><Error><Code>InvalidGroup.NotFound</Code><Message>The security group '&lt;x&gt;' does not exist</Message></Error></Errors><RequestID>ID</RequestID></Response>`;
    assert.equal(writeError(SERVICES.get('ec2'), error, 'ID'), expected);
    assert.equal(writeError(undefined, error, 'ID'), expected);
  });

  test('in the form of the query protocol, and whose fault it is', () => {
    const of = (status: number): string =>
      writeError(SERVICES.get('sts'), new ApiError('A', 'b', status), 'ID').replace(HEAD, '');
    const form = (type: string): string =>
      `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>${type}</Type><Code>A</Code><Message>b</Message></Error><RequestId>ID</RequestId></ErrorResponse>`;
    assert.equal(of(400), form('Sender'));
    assert.equal(of(500), form('Receiver'));
  });
});

test('text is escaped, and what XML can not carry is replaced', () => {
  assert.equal(escapeXml('a<b>&"c"\'\r\n\té😀'), 'a&lt;b&gt;&amp;"c"\'&#13;\n\té😀');
  assert.equal(
    escapeXml('\u0000\u000b\u001f\ufffe\uffff\ud800x'),
    '\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdx',
  );
});

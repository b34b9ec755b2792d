/** SSM: the one parameter, in the protocol that its clients speak, and its errors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { send, type Got, type Key } from './request.ts';
import { READER, startService, WRITER } from './service.ts';

const VERSION = '/cdk-bootstrap/hnb659fds/version';

interface Asked {
  readonly target?: string;
  readonly body?: string;
  readonly key?: Key;
  readonly date?: Date;
}

function ask(port: number, { target = 'AmazonSSM.GetParameter', body = `{"Name":"${VERSION}"}`, key = READER, date }: Asked): Promise<Got> {
  const headers = { 'content-type': 'application/x-amz-json-1.1' };
  const sent = { service: 'ssm', body, headers, signed: { 'x-amz-target': target } };
  return send(port, key, date === undefined ? sent : { ...sent, date });
} // prettier-ignore

test('the version of the bootstrap is there', async (t) => {
  const { port } = await startService(t);
  const got = await ask(port, {});
  assert.equal(got.status, 200);
  assert.equal(got.headers['content-type'], 'application/x-amz-json-1.1');
  assert.deepEqual(JSON.parse(got.body), {
    Parameter: {
      ARN: `arn:aws:ssm:us-east-1:123456789012:parameter${VERSION}`,
      DataType: 'text',
      LastModifiedDate: 0,
      Name: VERSION,
      Type: 'String',
      Value: '33',
      Version: 1,
    },
  });
});

test('errors have a type in the body', async (t) => {
  const { port, unknown } = await startService(t);
  const other = { ...WRITER, secretAccessKey: 'x'.repeat(40) };
  const nobody = { ...WRITER, accessKeyId: 'AKIANOBODYNOBODY1234' };
  const late = new Date(Date.now() - 16 * 60_000);
  const cases: readonly (readonly [Asked, string])[] = [
    [{ body: '{"Name":"/other"}' }, 'ParameterNotFound'],
    [{ body: '{}' }, 'ParameterNotFound'],
    [{ body: '[]' }, 'SerializationException'],
    [{ body: '{' }, 'SerializationException'],
    [{ body: '' }, 'SerializationException'],
    [{ target: 'AmazonSSM.PutParameter' }, 'UnknownOperationException'],
    [{ target: 'Other.GetParameter' }, 'UnknownOperationException'],
    [{ key: other }, 'InvalidSignatureException'],
    [{ key: nobody }, 'UnrecognizedClientException'],
    [{ date: late }, 'InvalidSignatureException'],
  ];
  for (const [asked, type] of cases) {
    const { status, body } = await ask(port, asked);
    const { __type: told } = JSON.parse(body) as { __type: string };
    assert.deepEqual([status, told], [400, type]);
  }
  assert.deepEqual(unknown.all, { 'ssm:PutParameter': 1 });
});

/** The server over real connections: what is answered, in which protocol, and what strangers can't do. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { action, ApiError, type Action } from '../../src/api/action.ts';
import { BODY_MAX } from '../../src/api/connections.ts';
import { RequestLimit } from '../../src/api/token-bucket.ts';
import { StoreError } from '../../src/store/store.ts';
import { send } from './request.ts';
import { READER, startService, WRITER } from './service.ts';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}';
const REGIONS = 'Action=DescribeRegions&Version=2016-11-15';
const IDENTITY = 'Action=GetCallerIdentity&Version=2011-06-15';

/** An action that ends when it is told to, and tells when it has begun. */
function slowAction(): {
  readonly slow: Action;
  readonly atWork: Promise<void>;
  readonly goOn: () => void;
} {
  let goOn = (): void => undefined;
  const waiting = new Promise<void>((resolve) => (goOn = resolve));
  let began = (): void => undefined;
  const atWork = new Promise<void>((resolve) => (began = resolve));
  const slow = action('ec2', 'DeleteVpc', 'write', async () => {
    began();
    await waiting;
    return { output: {} };
  });
  return { slow, atWork, goOn };
}

describe('an answer', () => {
  test("is in EC2's form, with the request's id in body and header", async (t) => {
    const { port } = await startService(t);
    const { status, headers, body } = await send(port, READER, { body: REGIONS });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/xml;charset=UTF-8');
    assert.match(String(headers['x-amzn-requestid']), new RegExp(`^${UUID}$`));
    assert.equal(
      body,
      `<?xml version="1.0" encoding="UTF-8"?>\n<DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>${String(headers['x-amzn-requestid'])}</requestId><regionInfo><item><optInStatus>opt-in-not-required</optInStatus><regionName>us-east-1</regionName><regionEndpoint>ec2.us-east-1.amazonaws.com</regionEndpoint></item></regionInfo></DescribeRegionsResponse>`,
    );
  });

  test("is in the query protocol's form for STS", async (t) => {
    const { port } = await startService(t);
    const { status, headers, body } = await send(port, WRITER, { service: 'sts', body: IDENTITY });
    assert.equal(status, 200);
    assert.match(
      body,
      /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<GetCallerIdentityResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/"><GetCallerIdentityResult><UserId>AIDA[A-Z2-7]{17}<\/UserId><Account>123456789012<\/Account><Arn>arn:aws:iam::123456789012:user\/writer<\/Arn><\/GetCallerIdentityResult><ResponseMetadata><RequestId>/,
    );
    assert.ok(body.includes(`<RequestId>${String(headers['x-amzn-requestid'])}</RequestId>`));
  });

  test('is not given where the query string was added to a signed request', async (t) => {
    const { port } = await startService(t);
    const got = await send(port, WRITER, { method: 'GET', path: `/?${REGIONS}` });
    assert.deepEqual([got.status, got.code], [401, 'AuthFailure']);
  });

  test('of /health needs no key', async (t) => {
    const { port } = await startService(t);
    const got = await send(port, undefined, { method: 'GET', path: '/health' });
    assert.deepEqual([got.status, got.body], [200, 'ok\n']);
  });

  test('has the revision of a change, and so has the access log', async (t) => {
    const tag: Action = action('ec2', 'CreateTags', 'write', async (params: object) => {
      assert.deepEqual(params, { Resources: ['sg-1'], Tags: [{ Key: 'a', Value: '' }] });
      const away = Array.from({ length: 22 }, (_, i) => `h ${i}`);
      const notInForce = { away, behind: [] };
      return { output: {}, revision: 17, notInForce, headers: { 'x-secgroupd-impact': 'cut=3' } };
    });
    const { port, records } = await startService(t, { actions: [tag] });
    const body = 'Action=CreateTags&Version=2016-11-15&ResourceId.1=sg-1&Tag.1.Key=a&Tag.1.Value=';
    const got = await send(port, WRITER, { body });
    assert.deepEqual(
      [got.status, got.headers['x-secgroupd-revision'], got.headers['x-secgroupd-impact']],
      [200, '17', 'cut=3'],
    );
    assert.match(String(got.headers['x-secgroupd-away']), /^h%200, h%201, .*, h%2019, and 2 more$/);
    assert.equal(got.headers['x-secgroupd-behind'], undefined);
    assert.match(got.body, /<return>true<\/return><\/CreateTagsResponse>$/);
    const [{ requestId, ms, ...record }] = records;
    assert.match(requestId, new RegExp(`^${UUID}$`));
    assert.ok(ms >= 0);
    assert.deepEqual(record, {
      from: '127.0.0.1',
      who: 'writer',
      accessKeyId: WRITER.accessKeyId,
      service: 'ec2',
      action: 'CreateTags',
      outcome: 'ok',
      status: 200,
      revision: 17,
      away: Array.from({ length: 20 }, (_, i) => `h ${i}`),
    });
  });
});

const THROWS: Action = action('ec2', 'DeleteVpc', 'write', async () => {
  throw new ApiError('DependencyViolation', 'it is <in> use & "so" on');
});
const FAILS: Action = action('ec2', 'DeleteSubnet', 'write', async () => {
  throw new Error('the secret cause');
});

const FULL: Action = action('ec2', 'CreateSubnet', 'write', async () => {
  throw new StoreError('full', 'the store /secret/path: full');
});
const UNSURE: Action = action('ec2', 'CreateVpc', 'write', async () => {
  throw new StoreError('failed', 'the store /secret/path: failed', { committed: 'unknown' });
});

describe('an error', () => {
  const cases: readonly (readonly [
    name: string,
    sent: Parameters<typeof send>[2],
    key: typeof WRITER | undefined,
    status: number,
    code: string,
    message: RegExp,
  ])[] = [
    ['of an action', { body: 'Action=DeleteVpc' }, WRITER, 400, 'DependencyViolation', /^it is &lt;in&gt; use &amp; "so" on$/],
    ['that is ours', { body: 'Action=DeleteSubnet' }, WRITER, 500, 'InternalError', /^An internal error has occurred; the server's log/],
    ['of a full store', { body: 'Action=CreateSubnet' }, WRITER, 503, 'ServiceUnavailable', /^The store has no room\. Nothing was changed\. The server's log has it under [0-9a-f-]{36}$/],
    ['of a store that fails', { body: 'Action=CreateVpc' }, WRITER, 503, 'ServiceUnavailable', /^The store failed\. It is not known whether the change was made: look/],
    ['for an unknown action', { body: 'Action=RunInstances' }, WRITER, 400, 'InvalidAction', /RunInstances is not served here/],
    ['for no action', { body: '' }, WRITER, 400, 'MissingAction', /must name one action/],
    ['for two actions', { body: `${REGIONS}&Action=DeleteVpc` }, WRITER, 400, 'MissingAction', /must name one/],
    ['for another version', { body: 'Action=DescribeRegions&Version=2010-01-01' }, WRITER, 400, 'NoSuchVersion', /2016-11-15 is/],
    ['for an unknown parameter', { body: `${REGIONS}&Nonsense.1=x` }, WRITER, 400, 'UnknownParameter', /^The parameter Nonsense\.1 is not recognized$/],
    ['for a reader who writes', { body: 'Action=DeleteVpc' }, READER, 403, 'UnauthorizedOperation', /user\/reader is not authorized to perform: ec2:DeleteVpc/],
    ['for a wrong secret', { body: REGIONS }, { ...WRITER, secretAccessKey: 'x'.repeat(40) }, 401, 'AuthFailure', /^AWS was not able to validate/],
    ['for an unknown key', { body: REGIONS }, { ...WRITER, accessKeyId: 'AKIANOBODYNOBODY1234' }, 401, 'AuthFailure', /^AWS was not able to validate/],
    ['for a late request', { body: REGIONS, date: new Date(Date.now() - 16 * 60_000) }, WRITER, 400, 'RequestExpired', /expired/],
    ['for no signature', { body: REGIONS }, undefined, 403, 'MissingAuthenticationToken', /sign it/],
    ['for another service', { body: '', service: 'iam' }, WRITER, 400, 'InvalidAction', /iam is not served/],
    ['for a wrong filter', { body: `${REGIONS}&Filter.1.Name=colour&Filter.1.Value.1=x` }, WRITER, 400, 'InvalidParameterValue', /'colour' is invalid/],
    ['for a dry run', { body: `${REGIONS}&DryRun=true` }, WRITER, 412, 'DryRunOperation', /would have succeeded/],
    ['for JSON', { body: '{}', headers: { 'content-type': 'application/json' } }, WRITER, 415, 'MalformedQueryString', /form/],
    ['for a broken escape', { body: 'Action=%zz' }, WRITER, 400, 'MalformedQueryString', /syntax error/],
    ['for bytes that are no UTF-8', { body: Buffer.from([0x41, 0x3d, 0xff]) }, WRITER, 400, 'MalformedQueryString', /UTF-8/],
    ['for another path', { path: '/bucket', body: REGIONS }, WRITER, 404, 'InvalidAction', /path/],
    ['for PUT', { method: 'PUT', body: REGIONS }, WRITER, 405, 'InvalidAction', /POST or GET/],
    ['for a compressed body', { body: REGIONS, headers: { 'content-encoding': 'gzip' } }, WRITER, 415, 'MalformedQueryString', /compressed/],
  ]; // prettier-ignore
  for (const [name, sent, key, status, code, message] of cases)
    test(`${name}: ${status} ${code}`, async (t) => {
      const { port } = await startService(t, { actions: [THROWS, FAILS, FULL, UNSURE] });
      const got = await send(port, key, sent);
      assert.deepEqual([got.status, got.code], [status, code]);
      assert.match(got.message ?? '', message);
      assert.match(
        got.body,
        /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<Response><Errors><Error>/,
      );
      assert.match(got.body, new RegExp(`<RequestID>${UUID}</RequestID></Response>$`));
    });

  const sts: readonly (readonly [
    name: string,
    key: typeof WRITER,
    status: number,
    code: string,
  ])[] = [
    [
      'an unknown key',
      { ...WRITER, accessKeyId: 'AKIANOBODYNOBODY1234' },
      403,
      'InvalidClientTokenId',
    ],
    [
      'a wrong secret',
      { ...WRITER, secretAccessKey: 'x'.repeat(40) },
      403,
      'SignatureDoesNotMatch',
    ],
  ];
  for (const [name, key, status, code] of sts)
    test(`of STS for ${name}: ${status} ${code}`, async (t) => {
      const { port } = await startService(t);
      const got = await send(port, key, { service: 'sts', body: IDENTITY });
      assert.deepEqual([got.status, got.code], [status, code]);
      assert.match(
        got.body,
        /<ErrorResponse xmlns="https:\/\/sts.amazonaws.com\/doc\/2011-06-15\/"><Error><Type>Sender<\/Type>/,
      );
    });

  test('that is ours is told in the log, with its cause, and not to the client', async (t) => {
    const { port, logged } = await startService(t, { actions: [FAILS] });
    const got = await send(port, WRITER, { body: 'Action=DeleteSubnet' });
    assert.ok(!got.body.includes('secret cause'));
    assert.deepEqual(logged, ['an action failed: the secret cause']);
  });
});

describe('the access log', () => {
  test('says why a signature did not count, and holds no secret', async (t) => {
    const { port, records } = await startService(t);
    await send(port, { ...WRITER, secretAccessKey: 'x'.repeat(40) }, { body: REGIONS });
    assert.deepEqual(
      records.map(({ outcome, status, reason, who }) => [outcome, status, reason, who]),
      [['AuthFailure', 401, 'wrong-signature', undefined]],
    );
    assert.ok(!JSON.stringify(records).includes('xxx'));
  });

  test("bounds and cleans a stranger's text", async (t) => {
    const { port, records } = await startService(t);
    const body = `Action=${encodeURIComponent(`\u001b[31m\r\n${'A'.repeat(5000)}`)}`;
    await send(port, WRITER, { body });
    assert.equal(records[0].action, `?[31m??${'A'.repeat(57)}…`);
  });

  test('names an unknown action once, and counts it', async (t) => {
    const { port, logged, unknown } = await startService(t);
    for (let i = 0; i < 3; i++) await send(port, WRITER, { body: 'Action=RunInstances' });
    assert.deepEqual(logged, ['a client asked for an action that is not served: ec2:RunInstances']);
    assert.deepEqual(unknown.all, { 'ec2:RunInstances': 3 });
  });
});

test('a key that asks too fast is told so, and another is not', async (t) => {
  const { port } = await startService(t, { limit: new RequestLimit(0.001, 2) });
  const codes: (string | undefined)[] = [];
  for (const key of [WRITER, WRITER, WRITER, READER])
    codes.push((await send(port, key, { body: REGIONS })).code);
  assert.deepEqual(codes, [undefined, undefined, 'RequestLimitExceeded', undefined]);
  // Who only has the id can't use up its requests.
  for (let i = 0; i < 5; i++)
    await send(port, { ...READER, secretAccessKey: 'x'.repeat(40) }, { body: REGIONS });
  assert.equal((await send(port, READER, { body: REGIONS })).code, undefined);
});

/** A connection that is written to by hand. */
async function open(
  port: number,
): Promise<{ socket: Socket; text: () => string; closed: Promise<void> }> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  return { socket, text: () => text, closed };
}

describe('a stranger', () => {
  test('who sends garbage is answered with 400', async (t) => {
    const { port } = await startService(t);
    for (const garbage of [
      '\0\0\0\0\r\n\r\n',
      'GET\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00',
      'POST / HTTP/9.9\r\n\r\n',
    ]) {
      const { socket, text, closed } = await open(port);
      socket.write(garbage);
      await closed;
      assert.match(text(), /^HTTP\/1\.1 400 Bad Request\r\n/);
    }
    assert.equal((await send(port, WRITER, { body: REGIONS })).status, 200);
  });

  test('who sends large headers is answered with 431', async (t) => {
    const { port } = await startService(t);
    const { socket, text, closed } = await open(port);
    socket.write(`GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`);
    await closed;
    assert.match(text(), /^HTTP\/1\.1 431 /);
  });

  test('whose header or body does not go on is answered with 408', async (t) => {
    const { port } = await startService(t, { headersTimeoutMs: 300, requestTimeoutMs: 600 });
    for (const start of [
      'POST / HTTP/1.1\r\nhost: a\r\n',
      `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nauthorization: AWS4-HMAC-SHA256 Credential=${WRITER.accessKeyId}/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=${'a'.repeat(64)}\r\nx-amz-date: 20260101T000000Z\r\n\r\nabc`,
    ]) {
      const { socket, text, closed } = await open(port);
      socket.write(start);
      await closed;
      assert.match(text(), /^HTTP\/1\.1 408 /);
    }
  });

  test('who sends a body that is too long is told so, announced or not', async (t) => {
    const { port } = await startService(t);
    const body = 'a'.repeat(BODY_MAX + 1);
    const announced = await send(port, WRITER, { body });
    assert.deepEqual([announced.status, announced.code], [413, 'RequestEntityTooLarge']);
    const chunked = await send(port, WRITER, { body, headers: { 'transfer-encoding': 'chunked' } });
    assert.deepEqual([chunked.status, chunked.code], [413, 'RequestEntityTooLarge']);
    const longest = await send(port, WRITER, { body: body.slice(1) });
    assert.deepEqual([longest.status, longest.code], [400, 'UnknownParameter']);
  });

  test('who opens all connections keeps nobody out', async (t) => {
    const { port } = await startService(t, { connectionsMax: 20 });
    const strangers = await Promise.all(Array.from({ length: 60 }, () => open(port)));
    for (const { socket } of strangers) socket.write('POST / HTTP/1.1\r\nhost: a\r\nx: a');
    assert.equal((await send(port, WRITER, { body: REGIONS })).status, 200);
    assert.ok(strangers.filter(({ socket }) => !socket.destroyed).length <= 20);
    for (const { socket } of strangers) socket.destroy();
  });

  test('does not end a call at work by opening connections', async (t) => {
    const { slow, atWork, goOn } = slowAction();
    const { port } = await startService(t, { actions: [slow], connectionsMax: 5 });
    const call = send(port, WRITER, { body: 'Action=DeleteVpc' });
    await atWork;
    const strangers = await Promise.all(Array.from({ length: 30 }, () => open(port)));
    // The server has taken them all in when the first have lost their places.
    await Promise.all(strangers.slice(0, 20).map(({ closed }) => closed));
    goOn();
    assert.equal((await call).status, 200);
    for (const { socket } of strangers) socket.destroy();
  });
});

test('a stop lets the call at work end, and takes no other', async (t) => {
  const { slow, atWork, goOn } = slowAction();
  const { port, stop } = await startService(t, { actions: [slow] });
  const idle = await open(port);
  const call = send(port, WRITER, { body: 'Action=DeleteVpc' });
  await atWork;
  const stopped = stop();
  await idle.closed;
  await assert.rejects(send(port, WRITER, { body: REGIONS }), { code: 'ECONNREFUSED' });
  goOn();
  const got = await call;
  assert.deepEqual([got.status, got.headers['connection']], [200, 'close']);
  await stopped;
});

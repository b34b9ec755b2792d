/** Signatures of version 4: AWS's published example, the SDK's signer, and what is tampered with. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { SignatureV4 } from '@smithy/signature-v4';
import { ApiError } from '../../src/api/action.ts';
import { readCredential } from '../../src/api/credential.ts';
import { readPairs } from '../../src/api/form.ts';
import type { ApiKey } from '../../src/api/keys.ts';
import { refusalOf, SKEW_MAX_MS, type SignedRequest } from '../../src/api/signature.ts';
import { Sha256 } from './sha256.ts';

/** AWS, "Authenticating Requests: examples of the complete version 4 signing process". */
const EXAMPLE_KEY: ApiKey = {
  accessKeyId: 'AKIDEXAMPLE00000',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  accountId: '123456789012',
  name: 'example',
  policy: 'read',
};
const NOW = Date.parse('2015-08-30T12:36:00Z');
const BODY = 'Action=DescribeRegions&Version=2016-11-15&RegionName.1=us-east-1';

function check(request: SignedRequest, key: ApiKey = EXAMPLE_KEY, nowMs = NOW): string {
  const header = (name: string): string | undefined => {
    const at = request.rawHeaders.findIndex(
      (each, i) => i % 2 === 0 && each.toLowerCase() === name,
    );
    return at === -1 ? undefined : request.rawHeaders[at + 1];
  };
  try {
    const credential = readCredential(header, readPairs(request.query));
    if (credential === undefined) return 'not signed';
    return refusalOf(request, credential, key, nowMs) ?? 'ok';
  } catch (error) {
    if (error instanceof ApiError) return error.code;
    throw error;
  }
}

interface Signing {
  readonly key?: ApiKey;
  readonly method?: string;
  readonly body?: string;
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly service?: string;
  readonly dateMs?: number;
  readonly presign?: number;
}

/** Lets the SDK's signer sign a request. */
async function sign(signing: Signing = {}): Promise<SignedRequest> {
  const { key = EXAMPLE_KEY, body = BODY, query = {}, service = 'ec2', dateMs = NOW } = signing;
  const { accessKeyId, secretAccessKey, sessionToken } = key;
  const signer = new SignatureV4({
    credentials: {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
    },
    region: 'us-east-1',
    service,
    sha256: Sha256 as never,
  });
  const request = {
    method: signing.method ?? 'POST',
    protocol: 'http:',
    hostname: '127.0.0.1',
    port: 8773,
    path: '/',
    query,
    headers: {
      host: '127.0.0.1:8773',
      'content-type': 'application/x-www-form-urlencoded',
      ...signing.headers,
    },
    body,
  };
  const signed =
    signing.presign === undefined
      ? await signer.sign(request, { signingDate: new Date(dateMs) })
      : await signer.presign(request, {
          signingDate: new Date(dateMs),
          expiresIn: signing.presign,
        });
  const encode = (text: string): string =>
    encodeURIComponent(text).replace(
      /[!'()*]/g,
      (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
    );
  return {
    method: signed.method,
    path: '/',
    query: Object.entries(signed.query ?? {})
      .map(([name, value]) => `${encode(name)}=${encode(String(value))}`)
      .join('&'),
    rawHeaders: Object.entries(signed.headers).flat(),
    body: Buffer.from(body),
  };
}

/** A request with one header set anew, or taken away. */
function withHeader(
  request: SignedRequest,
  name: string,
  value: string | undefined,
): SignedRequest {
  const rawHeaders: string[] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2)
    if (request.rawHeaders[i].toLowerCase() !== name)
      rawHeaders.push(request.rawHeaders[i], request.rawHeaders[i + 1]);
  if (value !== undefined) rawHeaders.push(name, value);
  return { ...request, rawHeaders };
}

function headerOf(request: SignedRequest, name: string): string {
  const at = request.rawHeaders.findIndex((each, i) => i % 2 === 0 && each.toLowerCase() === name);
  return request.rawHeaders[at + 1];
}

test("AWS's example: GET iam ListUsers of 2015-08-30", () => {
  const key = { ...EXAMPLE_KEY, accessKeyId: 'AKIDEXAMPLE' };
  const example = (signature: string): SignedRequest => ({
    method: 'GET',
    path: '/',
    query: 'Action=ListUsers&Version=2010-05-08',
    rawHeaders: [
      ...['Host', 'iam.amazonaws.com'],
      ...['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8'],
      ...['X-Amz-Date', '20150830T123600Z'],
      'Authorization',
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=${signature}`,
    ],
    body: Buffer.alloc(0),
  });
  const published = '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7';
  assert.equal(check(example(published), key), 'ok');
  assert.equal(check(example(published.replace('5d', '5e')), key), 'wrong-signature');
});

describe("the SDK's signer", () => {
  const token = { ...EXAMPLE_KEY, sessionToken: 'a+token/with==' };
  const good: readonly (readonly [name: string, signing: Signing, key?: ApiKey])[] = [
    ['a form', {}],
    ['an empty body', { body: '' }],
    [
      'GET with a query',
      {
        method: 'GET',
        body: '',
        query: { Action: 'DescribeRegions', 'Filter.1.Value.1': "a b/c+d~e*'(ü)" },
      },
    ],
    ['a header with blanks', { headers: { 'x-amz-user-agent': '  a   b  ' } }],
    ['a session token', { key: token }, token],
    [
      'a presigned address',
      { method: 'GET', body: '', presign: 60, query: { Action: 'DescribeRegions' } },
    ],
    [
      'a presigned address with a token',
      { method: 'GET', body: '', presign: 60, key: token },
      token,
    ],
  ];
  for (const [name, signing, key] of good)
    test(`${name} is right`, async () => {
      assert.equal(check(await sign(signing), key), 'ok');
    });
});

describe('what is tampered with', () => {
  test('the body', async () => {
    const request = await sign();
    const body = Buffer.from(BODY.replace('us-east-1', 'us-east-2'));
    assert.equal(check({ ...request, body }), 'wrong-body-hash');
    const hash = createHash('sha256').update(body).digest('hex');
    assert.equal(
      check({ ...withHeader(request, 'x-amz-content-sha256', hash), body }),
      'wrong-signature',
    );
  });

  test('a body that nobody signed', async () => {
    const request = await sign({ headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } });
    assert.equal(check(request), 'wrong-body-hash');
  });

  test('the query, the method, a signed header, the host', async () => {
    const request = await sign({ query: { a: '1' } });
    assert.equal(check(request), 'ok');
    assert.equal(check({ ...request, query: 'a=2' }), 'wrong-signature');
    assert.equal(check({ ...request, query: 'a=1&b=2' }), 'wrong-signature');
    assert.equal(check({ ...request, method: 'GET' }), 'wrong-signature');
    assert.equal(check({ ...request, path: '/x' }), 'wrong-signature');
    assert.equal(check(withHeader(request, 'host', 'elsewhere')), 'wrong-signature');
    assert.equal(check(withHeader(request, 'content-type', 'text/plain')), 'wrong-signature');
  });

  test('headers that are added', async () => {
    const request = await sign();
    assert.equal(check(withHeader(request, 'x-other', 'a')), 'ok');
    assert.equal(check(withHeader(request, 'x-amz-target', 'a')), 'header-unsigned');
    for (const name of ['Host', 'X-Amz-Date', 'Authorization', 'Content-Type']) {
      const rawHeaders = [...request.rawHeaders, name, headerOf(request, name.toLowerCase())];
      assert.equal(check({ ...request, rawHeaders }), 'header-twice');
    }
  });

  test('a host that was not signed', async () => {
    const request = await sign();
    const authorization = headerOf(request, 'authorization').replace(';host;', ';');
    assert.equal(check(withHeader(request, 'authorization', authorization)), 'header-unsigned');
  });

  test('service, region and day of the scope', async () => {
    const request = await sign();
    for (const [from, to, refusal] of [
      ['/ec2/', '/sts/', 'wrong-signature'],
      ['/us-east-1/', '/us-east-2/', 'wrong-signature'],
      ['/20150830/', '/20150831/', 'wrong-signature'],
    ]) {
      const authorization = headerOf(request, 'authorization').replace(from, to);
      assert.equal(check(withHeader(request, 'authorization', authorization)), refusal);
    }
  });

  test('a presigned address: longer, another action, another signature', async () => {
    const request = await sign({
      method: 'GET',
      body: '',
      presign: 60,
      query: { Action: 'DescribeRegions' },
    });
    assert.equal(
      check({ ...request, query: request.query.replace('Expires=60', 'Expires=600') }),
      'wrong-signature',
    );
    assert.equal(
      check({ ...request, query: request.query.replace('DescribeRegions', 'DeleteVpc') }),
      'wrong-signature',
    );
    assert.equal(
      check({ ...request, query: request.query.replace(/Signature=..../, 'Signature=0000') }),
      'wrong-signature',
    );
    assert.equal(
      check({ ...request, query: `${request.query}&X-Amz-Expires=60` }),
      'IncompleteSignature',
    );
  });
});

describe('who and when', () => {
  test('a wrong secret, a token that is missing, wrong, or too much', async () => {
    assert.equal(
      check(await sign(), { ...EXAMPLE_KEY, secretAccessKey: 'x'.repeat(40) }),
      'wrong-signature',
    );
    const token = { ...EXAMPLE_KEY, sessionToken: 'token' };
    assert.equal(check(await sign(), token), 'wrong-token');
    assert.equal(
      check(await sign({ key: { ...token, sessionToken: 'tokem' } }), token),
      'wrong-token',
    );
    assert.equal(check(await sign({ key: token })), 'wrong-token');
  });

  test('fifteen minutes either way, to the millisecond', async () => {
    const request = await sign();
    for (const [ms, outcome] of [
      [SKEW_MAX_MS, 'ok'],
      [SKEW_MAX_MS + 1, 'expired'],
      [-SKEW_MAX_MS, 'ok'],
      [-SKEW_MAX_MS - 1, 'not-yet-valid'],
    ] as const)
      assert.equal(check(request, EXAMPLE_KEY, NOW + ms), outcome);
  });

  test('a presigned address holds as long as it says', async () => {
    const request = await sign({ method: 'GET', body: '', presign: 3600 });
    for (const [ms, outcome] of [
      [3_600_000, 'ok'],
      [3_600_001, 'expired'],
      [-SKEW_MAX_MS, 'ok'],
      [-SKEW_MAX_MS - 1, 'not-yet-valid'],
    ] as const)
      assert.equal(check(request, EXAMPLE_KEY, NOW + ms), outcome);
  });

  test('the same request again passes within its time, as at AWS', async () => {
    const request = await sign();
    assert.deepEqual([check(request), check(request)], ['ok', 'ok']);
  });
});

describe('a credential', () => {
  const scope = 'AKIDEXAMPLE00000/20150830/us-east-1/ec2/aws4_request';
  const signature = 'a'.repeat(64);
  const whole = `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=${signature}`;
  const cases: readonly (readonly [name: string, authorization: string, date?: string])[] = [
    ['another algorithm', whole.replace('HMAC-SHA256', 'ECDSA-P256-SHA256')],
    ['version 2', 'AWS AKIDEXAMPLE00000:signature'],
    ['nothing', ''],
    ['no scope', whole.replace(scope, '')],
    ['a scope with a part too many', whole.replace('/ec2/', '/ec2/x/')],
    ['a signature that is too short', whole.replace(signature, 'aa')],
    ['headers that are not sorted', whole.replace('=host', '=x;host')],
    ['a header twice', whole.replace('=host', '=host;host')],
    ['no headers', whole.replace('=host', '=')],
    ['a part twice', `${whole}, SignedHeaders=host`],
    ['a part without a value', `${whole}, what`],
    ['no date', whole, ''],
    ['a date in another form', whole, '2015-08-30T12:36:00Z'],
    [
      '65 headers',
      whole.replace('=host', `=${Array.from({ length: 65 }, (_, i) => `h${i + 100}`).join(';')}`),
    ],
  ];
  for (const [name, authorization, date = '20150830T123600Z'] of cases)
    test(`with ${name} is refused`, () => {
      const rawHeaders = ['authorization', authorization, 'x-amz-date', date, 'host', 'a'];
      assert.equal(
        check({ method: 'POST', path: '/', query: '', rawHeaders, body: Buffer.alloc(0) }),
        'IncompleteSignature',
      );
    });

  test('in header and query at once is refused', () => {
    const rawHeaders = ['authorization', whole, 'x-amz-date', '20150830T123600Z', 'host', 'a'];
    assert.equal(
      check({
        method: 'POST',
        path: '/',
        query: `X-Amz-Signature=${signature}`,
        rawHeaders,
        body: Buffer.alloc(0),
      }),
      'IncompleteSignature',
    );
  });

  test('that is not there is told as such', () => {
    assert.equal(
      check({
        method: 'POST',
        path: '/',
        query: '',
        rawHeaders: ['host', 'a'],
        body: Buffer.alloc(0),
      }),
      'not signed',
    );
  });
});

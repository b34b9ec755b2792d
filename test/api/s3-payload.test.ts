/** Bodies in chunks: AWS's published examples, and what somebody on the way could do to them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError } from '../../src/api/action.ts';
import { readCredential, type Credential } from '../../src/api/credential.ts';
import type { ReadRequest } from '../../src/api/protocol.ts';
import { crc32 } from '../../src/api/s3/crc.ts';
import { readPayload } from '../../src/api/s3/payload.ts';
import { refusalOf } from '../../src/api/signature.ts';

const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
const NOW = Date.parse('2013-05-24T00:00:00Z');
const SCOPE = 'AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request';
const CHUNKS = ['a'.repeat(65_536), 'a'.repeat(1024), ''];

interface Example {
  readonly headers: Readonly<Record<string, string>>;
  readonly seed: string;
  /** Of the chunks, and of the trailer. */
  readonly signatures: readonly string[];
  readonly trailer: string;
}

const COMMON = {
  host: 's3.amazonaws.com',
  'x-amz-date': '20130524T000000Z',
  'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  'content-encoding': 'aws-chunked',
  'x-amz-decoded-content-length': '66560',
};

/** AWS, "Transferring payload in multiple chunks", the example of a PUT of 66,560 bytes. */
const CHUNKED: Example = {
  headers: {
    ...COMMON,
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'content-length': '66824',
  },
  seed: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
  signatures: [
    'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
    '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
    'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
  ],
  trailer: '\r\n',
};

/** The same with a trailer: AWS, "Including trailing headers". */
const TRAILED: Example = {
  headers: {
    ...COMMON,
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    'x-amz-trailer': 'x-amz-checksum-crc32c',
  },
  seed: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e',
  signatures: [
    'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
    '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
    '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
  ],
  trailer:
    'x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n',
};

function bodyOf({ signatures, trailer }: Example): string {
  const chunks = CHUNKS.map((data, i) => {
    const head = `${data.length.toString(16)};chunk-signature=${signatures[i]}\r\n`;
    return data === '' ? head : `${head}${data}\r\n`;
  });
  return chunks.join('') + trailer;
}

function credentialOf({ headers, seed }: Example): Credential {
  const names = Object.keys(headers).sort().join(';');
  const authorization = `AWS4-HMAC-SHA256 Credential=${SCOPE}, SignedHeaders=${names}, Signature=${seed}`;
  return readCredential((name) => (name === 'authorization' ? authorization : headers[name]), [])!;
}

/** @returns the bytes, or the code of the refusal */
function read(example: Example, body: string): string {
  const request: Pick<ReadRequest, 'body' | 'header' | 'credential' | 'secret'> = {
    body: Buffer.from(body),
    header: (name) => example.headers[name],
    credential: credentialOf(example),
    secret: SECRET,
  };
  try {
    return Buffer.from(readPayload(request)).toString();
  } catch (error) {
    assert.ok(error instanceof ApiError);
    return error.code;
  }
}

for (const [name, example] of [
  ['a body in chunks', CHUNKED],
  ['a body with a trailer', TRAILED],
] as const)
  // prettier-ignore
  describe(name, () => {
    const body = bodyOf(example);

    test('is signed as in the example of AWS, with what comes before it', () => {
      const request = {
        method: 'PUT',
        path: '/examplebucket/chunkObject.txt',
        query: '',
        rawHeaders: Object.entries(example.headers).flat(),
        body: Buffer.from(body),
      };
      const key = {
        accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
        secretAccessKey: SECRET,
        accountId: '123456789012',
        name: 'example',
        policy: 'write',
      } as const;
      assert.equal(refusalOf(request, credentialOf(example), key, NOW), undefined);
      // Not assert.equal, which would print both texts.
      assert.ok(read(example, body) === CHUNKS.join(''));
    });

    const cases: readonly (readonly [what: string, body: string, code: string])[] = [
      ['a byte that is another', body.replace('aaa', 'aab'), 'SignatureDoesNotMatch'],
      ['a chunk that is left out', body.slice(body.indexOf('400;')), 'SignatureDoesNotMatch'],
      ['a chunk that comes twice', body.replace('400;', `${body.slice(0, body.indexOf('400;'))}400;`), 'SignatureDoesNotMatch'],
      ['a chunk that is not signed', body.replace(/;chunk-signature=[0-9a-f]+/, ''), 'SignatureDoesNotMatch'],
      ['an end that is missing', body.slice(0, body.indexOf('\r\n0;') + 2), 'InvalidRequest'],
      ['a size that is too large', body.replace('10000;', '1000000;'), 'InvalidRequest'],
      ['something behind it', `${body}x`, 'InvalidRequest'],
      ['no chunk at all', 'aaaa', 'InvalidRequest'],
    ]; // prettier-ignore
    for (const [what, tampered, code] of cases)
      test(`${what}: ${code}`, () => assert.equal(read(example, tampered), code));
  });

test('a trailer can not be changed, left out, or added', () => {
  const body = bodyOf(TRAILED);
  assert.equal(read(TRAILED, body.replace('sOO8/Q==', 'sOO8/A==')), 'SignatureDoesNotMatch');
  assert.equal(
    read(TRAILED, body.slice(0, body.indexOf('x-amz-checksum'))),
    'SignatureDoesNotMatch',
  );
  assert.equal(read(CHUNKED, bodyOf({ ...CHUNKED, trailer: 'x-a:b\r\n\r\n' })), 'InvalidRequest');
});

test('chunks that are not signed have a length and a checksum', () => {
  const headers = {
    ...COMMON,
    'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': '5',
    'x-amz-trailer': 'x-amz-checksum-crc32',
  };
  const example: Example = { ...TRAILED, headers };
  const sum = crc32(Buffer.from('hello')).toString('base64');
  const body = (text: string, trailer: string): string => `5\r\n${text}\r\n0\r\n${trailer}\r\n`;
  assert.equal(read(example, body('hello', `x-amz-checksum-crc32:${sum}\r\n`)), 'hello');
  assert.equal(read(example, body('hallo', `x-amz-checksum-crc32:${sum}\r\n`)), 'BadDigest');
  assert.equal(read(example, body('hello', '')), 'MalformedTrailerError');
  const longer = { ...example, headers: { ...headers, 'x-amz-decoded-content-length': '6' } };
  assert.equal(read(longer, body('hello', `x-amz-checksum-crc32:${sum}\r\n`)), 'IncompleteBody');
});

test('another way to sign a body is not served', () => {
  const mode = 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD';
  const headers = { ...COMMON, 'x-amz-content-sha256': mode };
  assert.equal(read({ ...CHUNKED, headers }, bodyOf(CHUNKED)), 'NotImplemented');
  const plain = { ...COMMON, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' };
  assert.equal(read({ ...CHUNKED, headers: plain }, bodyOf(CHUNKED)), 'InvalidRequest');
});

/** The page's signature, checked by the server's own code, and when a session is renewed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SignatureV4 } from '@smithy/signature-v4';
import { readCredential } from '../../../src/api/credential.ts';
import type { ApiKey } from '../../../src/api/keys.ts';
import { refusalOf, SKEW_MAX_MS } from '../../../src/api/signature.ts';
import { renewalDelayMs } from '../../../src/console/page/logic/renewal.ts';
import {
  maySign,
  signRequest,
  type AccessKey,
  type UnsignedRequest,
} from '../../../src/console/page/logic/sign-request.ts';
import { Sha256 } from '../../api/sha256.ts';

const KEY: ApiKey = {
  accessKeyId: 'AKIDEXAMPLE00000',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
  accountId: '123456789012',
  name: 'example',
  policy: 'read',
};
const NOW = Date.parse('2026-12-01T01:02:03.456Z');
const SCOPE = { region: 'local', service: 'console' };
const REQUEST: UnsignedRequest = {
  method: 'POST',
  host: '127.0.0.1:8080',
  path: '/api/sign-in',
  contentType: 'application/json',
  body: '{}',
};

/** What the server says of a signed request: `ok`, or why not. */
function check(
  headers: Readonly<Record<string, string>>,
  key: ApiKey = KEY,
  { method, host, path, body }: UnsignedRequest = REQUEST,
  nowMs = NOW,
): string {
  const all = { host, ...headers };
  const credential = readCredential(
    (name) => Object.entries(all).find(([one]) => one.toLowerCase() === name)?.[1],
    [],
  );
  assert.ok(credential !== undefined);
  const request = {
    ...{ method, path, query: '', body: Buffer.from(body) },
    rawHeaders: Object.entries(all).flat(),
  };
  return refusalOf(request, credential, key, nowMs) ?? 'ok';
}

test('what the page signs is what the server checks', async () => {
  const headers = await signRequest(REQUEST, KEY, SCOPE, NOW);
  assert.equal(check(headers), 'ok');
  assert.equal(JSON.stringify(headers).includes(KEY.secretAccessKey), false);
  assert.equal('host' in headers, false);
  assert.equal(check(headers, { ...KEY, secretAccessKey: 'another' }), 'wrong-signature');
  assert.equal(check(headers, KEY, { ...REQUEST, body: '{"a":1}' }), 'wrong-body-hash');
  assert.equal(check(headers, KEY, { ...REQUEST, host: 'other:8080' }), 'wrong-signature');
  assert.equal(check(headers, KEY, { ...REQUEST, path: '/api/apply' }), 'wrong-signature');
  assert.equal(check(headers, KEY, REQUEST, NOW + SKEW_MAX_MS + 1000), 'expired');
});

test('a session signs its token along', async () => {
  const session: AccessKey & ApiKey = { ...KEY, sessionToken: 'a.b/c=' };
  const headers = await signRequest(REQUEST, session, SCOPE, NOW);
  assert.equal(check(headers, session), 'ok');
  const without = { ...headers, 'x-amz-security-token': 'x' };
  assert.equal(check(without, session), 'wrong-signature');
});

test('it is the signature that the signer of the SDK makes', async () => {
  const headers = await signRequest(REQUEST, KEY, SCOPE, NOW);
  const signer = new SignatureV4({
    ...SCOPE,
    credentials: { accessKeyId: KEY.accessKeyId, secretAccessKey: KEY.secretAccessKey },
    sha256: Sha256 as never,
  });
  const signed = await signer.sign(
    {
      ...{ method: 'POST', protocol: 'http:', hostname: '127.0.0.1', port: 8080 },
      ...{ path: REQUEST.path, query: {}, body: REQUEST.body },
      headers: { host: REQUEST.host, 'content-type': REQUEST.contentType },
    },
    { signingDate: new Date(NOW) },
  );
  assert.equal(headers['authorization'], signed.headers['authorization']);
});

test('Node.js signs as a browser does on a page of this machine', () => {
  assert.equal(maySign(), true);
});

test('a session is renewed while there is time to try again, and at its last token it ends', () => {
  const endsMs = NOW + 8 * 3_600_000;
  const wait = (leftMs: number, ends = endsMs): number =>
    renewalDelayMs({ expiresMs: NOW + leftMs, endsMs: ends }, NOW);
  assert.equal(wait(900_000), 540_000);
  assert.equal(wait(-5), 0);
  assert.equal(wait(60_000, NOW + 60_000), 60_000);
  assert.equal(wait(2 ** 40), 2 ** 31 - 1);
});

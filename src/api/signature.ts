/**
 * This file checks signatures of version 4 (AWS, "Create a signed AWS API request").
 *
 * Theory of operation
 *
 * What is signed: method, path, query string, the headers that are named, and the hash of the body. The hash is always
 * that of the body that came: a client's own header for it must agree, and UNSIGNED-PAYLOAD does not. `host` and all
 * headers x-amz-* must be among the signed ones, else somebody on the way could add them. A header that comes twice is
 * refused if it is one of those that count here: two programs could each take another one for the one.
 *
 * S3 signs otherwise. A path is encoded once there, not twice. And a client may say in place of the hash that the body
 * is not signed, or is signed in pieces (s3/payload.ts checks those), since it sends what it has not read to the end.
 *
 * Time. A signature holds for 15 minutes before and after its date, a presigned address as long as it says, and the
 * day of the scope must be that of the date.
 *
 * Replays. A request that is sent again within that time passes again, as at AWS. A memory of signatures would refuse
 * honest calls: dates have seconds, so two equal calls of the aws CLI within one second have one signature, and so may
 * a retry. Who could replay a request has read it on the wire: that takes root on loopback, and elsewhere TLS is a
 * condition. What a second time does is bounded by the actions: a rule is there once, and a client token counts once.
 *
 * Secrets. Signatures and tokens are compared in constant time. Ids of keys are no secrets: they stand in each request.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { ApiKey } from './keys.ts';
import { ALGORITHM, type Credential } from './credential.ts';

export const SKEW_MAX_MS = 15 * 60 * 1000;
const SECOND_MS = 1000;
/** Headers that decide something here, besides x-amz-*. */
const ONCE = new Set([
  'host',
  'authorization',
  'content-type',
  'content-encoding',
  'content-length',
]);

export interface SignedRequest {
  readonly method: string;
  /** Not decoded, without the query string. */
  readonly path: string;
  /** Not decoded, without the question mark. */
  readonly query: string;
  /** Names and values in turns, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array;
}

/** Why a signature does not count. The details go to the log and, where AWS tells them too, to the client. */
export type Refusal =
  | 'unknown-key'
  | 'wrong-signature'
  | 'wrong-token'
  | 'expired-token'
  | 'wrong-body-hash'
  | 'header-twice'
  | 'header-unsigned'
  | 'wrong-scope-date'
  | 'expired'
  | 'not-yet-valid';

/**
 * Checks a signature.
 * @param key that the credential names
 * @returns undefined if it is right, else why not
 */
export function refusalOf(
  request: SignedRequest,
  credential: Credential,
  key: ApiKey,
  nowMs: number,
): Refusal | undefined {
  const headers = headersByName(request.rawHeaders);
  if (headers === undefined) return 'header-twice';
  const isSigned = new Set(credential.signedHeaders);
  for (const name of headers.keys())
    if ((name === 'host' || name.startsWith('x-amz-')) && !isSigned.has(name))
      return 'header-unsigned';
  if (!isSigned.has('host')) return 'header-unsigned';

  const ownHash = headers.get('x-amz-content-sha256');
  const placeholder = placeholderOf(credential, ownHash);
  const bodyHash = placeholder ?? sha256(request.body);
  if (placeholder === undefined && ownHash !== undefined && ownHash !== bodyHash)
    return 'wrong-body-hash';

  const signature = signatureOf(request, headers, credential, bodyHash, key.secretAccessKey);
  if (!isSame(signature, credential.signature)) return 'wrong-signature';
  if (!isSame(key.sessionToken ?? '', credential.sessionToken ?? '')) return 'wrong-token';
  return timeRefusalOf(credential, nowMs);
}

const UNSIGNED = 'UNSIGNED-PAYLOAD';

/** What stands for the hash of the body where a client of S3 does not give that; undefined: the hash counts. */
function placeholderOf(
  { service, expiresS }: Credential,
  ownHash: string | undefined,
): string | undefined {
  if (service !== 's3') return undefined;
  if (ownHash === undefined) return expiresS === undefined ? undefined : UNSIGNED;
  return ownHash === UNSIGNED || ownHash.startsWith('STREAMING-') ? ownHash : undefined;
}

function timeRefusalOf({ date, day, expiresS }: Credential, nowMs: number): Refusal | undefined {
  if (!date.startsWith(day)) return 'wrong-scope-date';
  const signedMs = timeOf(date);
  if (Number.isNaN(signedMs)) return 'wrong-scope-date';
  const lastMs = signedMs + (expiresS === undefined ? SKEW_MAX_MS : expiresS * SECOND_MS);
  if (nowMs > lastMs) return 'expired';
  return nowMs < signedMs - SKEW_MAX_MS ? 'not-yet-valid' : undefined;
}

/** `20261129T052613Z` in milliseconds; NaN for a date that there is not. */
export function timeOf(date: string): number {
  return Date.parse(date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}

/** The signature that a request must have, as 64 hexadecimal digits. */
export function signatureOf(
  request: SignedRequest,
  headers: ReadonlyMap<string, string>,
  { day, region, service, date, signedHeaders }: Credential,
  bodyHash: string,
  secret: string,
): string {
  const canonical = [
    request.method,
    service === 's3' ? pathOfS3(request.path) : canonicalPath(request.path),
    canonicalQuery(request.query),
    ...signedHeaders.map((name) => `${name}:${headers.get(name) ?? ''}`),
    '',
    signedHeaders.join(';'),
    bodyHash,
  ].join('\n');
  // Node.js gives the bytes of headers as Latin-1; all else is ASCII by now.
  const hash = sha256(Buffer.from(canonical, 'latin1'));
  const scope = scopeOf({ day, region, service });
  const toSign = [ALGORITHM, date, scope, hash].join('\n');
  return hmac(signingKey({ day, region, service }, secret), toSign).toString('hex');
}

type Scope = Pick<Credential, 'day' | 'region' | 'service'>;

export function scopeOf({ day, region, service }: Scope): string {
  return `${day}/${region}/${service}/aws4_request`;
}

/** The key for all that is signed on one day for one service. */
export function signingKey({ day, region, service }: Scope, secret: string): Buffer {
  let key: Buffer = Buffer.from(`AWS4${secret}`);
  for (const part of [day, region, service, 'aws4_request']) key = hmac(key, part);
  return key;
}

/** Headers by name in lower case, trimmed and with single blanks; undefined if one that counts came twice. */
export function headersByName(rawHeaders: readonly string[]): Map<string, string> | undefined {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    const value = rawHeaders[i + 1].trim().replace(/ +/g, ' ');
    const before = headers.get(name);
    if (before !== undefined && (ONCE.has(name) || name.startsWith('x-amz-'))) return undefined;
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

/** A path is encoded once more. Served is `/` alone but by S3, so that no other is met but in AWS's example. */
function canonicalPath(path: string): string {
  return path === '' ? '/' : path.split('/').map(encode).join('/');
}

/** The path as it is sent, but each character encoded in one way. Bytes that are no UTF-8 stay as they are. */
function pathOfS3(path: string): string {
  try {
    return path
      .split('/')
      .map((part) => encode(decodeURIComponent(part)))
      .join('/');
  } catch {
    return path;
  }
}

/** The pairs of a query string, encoded in one way and sorted; without the signature of a presigned address. */
export function canonicalQuery(query: string): string {
  return query
    .split('&')
    .filter((pair) => pair !== '' && !pair.startsWith('X-Amz-Signature='))
    .map((pair) => {
      const equals = pair.indexOf('=');
      const name = equals === -1 ? pair : pair.slice(0, equals);
      const value = equals === -1 ? '' : pair.slice(equals + 1);
      return [recode(name), recode(value)] as const;
    })
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** What the reader of parameters decodes (form.ts), encoded as the signature has it. */
function recode(text: string): string {
  return encode(decodeURIComponent(text.replaceAll('+', ' ')));
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Compares without telling by its time how much is alike. */
export function isSame(a: string, b: string): boolean {
  return timingSafeEqual(
    createHash('sha256').update(a).digest(),
    createHash('sha256').update(b).digest(),
  );
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

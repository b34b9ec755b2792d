/**
 * This file reads what a request says of its signature: the header `Authorization`, or the parameters of a presigned
 * address. Nothing of it is believed yet; signature.ts checks it.
 */
import { ApiError } from './action.ts';
import type { Pair } from './form.ts';

export const ALGORITHM = 'AWS4-HMAC-SHA256';

export interface Credential {
  readonly accessKeyId: string;
  /** The scope: `20261129`, region, service. */
  readonly day: string;
  readonly region: string;
  readonly service: string;
  /** In lower case, sorted, each once. */
  readonly signedHeaders: readonly string[];
  /** 64 hexadecimal digits. */
  readonly signature: string;
  /** `20261129T052613Z` */
  readonly date: string;
  /** Of a presigned address; undefined for a signature in the header. */
  readonly expiresS: number | undefined;
  readonly sessionToken: string | undefined;
}

/** More than any client signs. */
const SIGNED_HEADERS_MAX = 64;
const EXPIRES_MAX_S = 604_800;
const SCOPE = /^([A-Za-z0-9]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request$/;
const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]+$/;
const SIGNATURE = /^[0-9a-f]{64}$/;
const DATE = /^\d{8}T\d{6}Z$/;

/** Whether a query parameter belongs to the signature and not to the action. */
export function isOfSignature(name: string): boolean {
  return name.startsWith('X-Amz-');
}

/**
 * Reads the credential of a request.
 * @param header finds a header's value by its name in lower case
 * @returns undefined if it is not signed
 * @throws ApiError (IncompleteSignature) if it is signed, but not so that it could be checked
 */
export function readCredential(
  header: (name: string) => string | undefined,
  query: readonly Pair[],
): Credential | undefined {
  const authorization = header('authorization');
  const isPresigned = query.some(
    ([name]) => name === 'X-Amz-Signature' || name === 'X-Amz-Algorithm',
  );
  if (authorization !== undefined && isPresigned)
    throw incomplete('it is signed in its header and in its query string');
  if (authorization !== undefined) return fromHeader(authorization, header);
  return isPresigned ? fromQuery(query) : undefined;
}

function fromHeader(text: string, header: (name: string) => string | undefined): Credential {
  const [algorithm] = text.split(' ', 1);
  checkAlgorithm(algorithm);
  const parts = new Map<string, string>();
  for (const part of text.slice(algorithm.length).split(',')) {
    const equals = part.indexOf('=');
    const name = part.slice(0, Math.max(equals, 0)).trim();
    if (equals === -1 || parts.has(name))
      throw incomplete('the header Authorization can not be read');
    parts.set(name, part.slice(equals + 1).trim());
  }
  return make({
    scope: parts.get('Credential'),
    signedHeaders: parts.get('SignedHeaders'),
    signature: parts.get('Signature'),
    date: header('x-amz-date'),
    expiresS: undefined,
    sessionToken: header('x-amz-security-token'),
  });
}

function fromQuery(query: readonly Pair[]): Credential {
  const parts = new Map<string, string>();
  for (const [name, value] of query) {
    if (!isOfSignature(name)) continue;
    if (parts.has(name)) throw incomplete(`${name.slice(0, 40)} is given twice`);
    parts.set(name, value);
  }
  checkAlgorithm(parts.get('X-Amz-Algorithm') ?? '');
  const expires = parts.get('X-Amz-Expires') ?? '';
  const expiresS = /^\d{1,6}$/.test(expires) ? Number(expires) : NaN;
  if (!(expiresS >= 1 && expiresS <= EXPIRES_MAX_S))
    throw incomplete(`X-Amz-Expires goes from 1 to ${EXPIRES_MAX_S}`);
  return make({
    scope: parts.get('X-Amz-Credential'),
    signedHeaders: parts.get('X-Amz-SignedHeaders'),
    signature: parts.get('X-Amz-Signature'),
    date: parts.get('X-Amz-Date'),
    expiresS,
    sessionToken: parts.get('X-Amz-Security-Token'),
  });
}

function checkAlgorithm(algorithm: string): void {
  if (algorithm !== ALGORITHM) throw incomplete(`only ${ALGORITHM} is served`);
}

function make(parts: {
  readonly scope: string | undefined;
  readonly signedHeaders: string | undefined;
  readonly signature: string | undefined;
  readonly date: string | undefined;
  readonly expiresS: number | undefined;
  readonly sessionToken: string | undefined;
}): Credential {
  const scope = SCOPE.exec(parts.scope ?? '');
  if (scope === null) throw incomplete('Credential is not ID/YYYYMMDD/REGION/SERVICE/aws4_request');
  const signedHeaders = (parts.signedHeaders ?? '').split(';');
  const isSorted = signedHeaders.every((name, i) => i === 0 || signedHeaders[i - 1] < name);
  if (
    signedHeaders.length > SIGNED_HEADERS_MAX ||
    !isSorted ||
    !signedHeaders.every((name) => HEADER_NAME.test(name))
  )
    throw incomplete('SignedHeaders is not a sorted list of names');
  const { signature = '', date = '', expiresS, sessionToken } = parts;
  if (!SIGNATURE.test(signature)) throw incomplete('Signature has not 64 hexadecimal digits');
  if (!DATE.test(date)) throw incomplete('X-Amz-Date is not YYYYMMDDTHHMMSSZ');
  const [, accessKeyId, day, region, service] = scope;
  return {
    accessKeyId,
    day,
    region,
    service,
    signedHeaders,
    signature,
    date,
    expiresS,
    sessionToken,
  };
}

function incomplete(why: string): ApiError {
  return new ApiError(
    'IncompleteSignature',
    `The request signature does not conform to AWS standards: ${why}.`,
  );
}

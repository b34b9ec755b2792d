/**
 * This file signs a request as AWS has it (signature version 4), so that the server learns who asks and not the secret.
 *
 * Only what the page sends is covered: one path without a query, and a body. The host is the one that the browser
 * writes into the request; whoever reads the signature can use it for that request alone, for some minutes.
 */

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of a session that AssumeRole gave. */
  readonly sessionToken?: string;
}

export interface UnsignedRequest {
  readonly method: string;
  /** As `location.host` has it. */
  readonly host: string;
  /** Without characters that a path has to escape. */
  readonly path: string;
  readonly contentType: string;
  readonly body: string;
}

export interface Scope {
  readonly region: string;
  readonly service: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const TERMINATOR = 'aws4_request';

/** Whether this browser signs: pages that came without TLS may not, but for those of this machine. */
export function maySign(): boolean {
  // TypeScript's types say that it is always there.
  return (globalThis.crypto as { readonly subtle?: unknown } | undefined)?.subtle !== undefined;
}

/** The headers to send besides Host. */
export async function signRequest(
  { method, host, path, contentType, body }: UnsignedRequest,
  { accessKeyId, secretAccessKey, sessionToken }: AccessKey,
  { region, service }: Scope,
  nowMs: number,
): Promise<Record<string, string>> {
  const date = new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const day = date.slice(0, 8);
  const bodyHash = await sha256(body);
  // In the order of the alphabet, as they are signed.
  const headers: readonly (readonly [name: string, value: string])[] = [
    ['content-type', contentType],
    ['host', host],
    ['x-amz-content-sha256', bodyHash],
    ['x-amz-date', date],
    ...(sessionToken === undefined ? [] : [['x-amz-security-token', sessionToken] as const]),
  ];
  const signedHeaders = headers.map(([name]) => name).join(';');
  const canonical = [
    ...[method, path, ''],
    ...headers.map(([name, value]) => `${name}:${value}`),
    ...['', signedHeaders, bodyHash],
  ].join('\n');
  const scope = [day, region, service, TERMINATOR].join('/');
  const toSign = [ALGORITHM, date, scope, await sha256(canonical)].join('\n');
  let key: Bytes = encode(`AWS4${secretAccessKey}`);
  for (const part of [day, region, service, TERMINATOR]) key = await hmac(key, part);
  const signature = hexOf(await hmac(key, toSign));
  const credential = `Credential=${accessKeyId}/${scope}`;
  return {
    // The browser writes Host itself, and lets nobody else do so.
    ...Object.fromEntries(headers.filter(([name]) => name !== 'host')),
    authorization: `${ALGORITHM} ${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
  };
}

type Bytes = Uint8Array<ArrayBuffer> | ArrayBuffer;

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

async function sha256(text: string): Promise<string> {
  return hexOf(await crypto.subtle.digest('SHA-256', encode(text)));
}

async function hmac(key: Bytes, text: string): Promise<ArrayBuffer> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', key, algorithm, false, ['sign']);
  return crypto.subtle.sign('HMAC', imported, encode(text));
}

function hexOf(bytes: ArrayBuffer): string {
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Requests to S3 as the SDK's signer signs them, over a plain connection: what the test says is what is sent. */
import { SignatureV4 } from '@smithy/signature-v4';
import { exchange, type Got, type Key } from './request.ts';
import { Sha256 } from './sha256.ts';

export interface S3Request {
  readonly method?: string;
  /** As it is sent. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly host?: string;
  /** In seconds: signs in the query string. */
  readonly presign?: number;
  /** What is sent in place of what was signed. */
  readonly instead?: { readonly path?: string; readonly body?: string | Buffer };
}

export async function sendS3(
  port: number,
  key: Key & { readonly sessionToken?: string },
  sent: S3Request,
): Promise<Got> {
  const { method = 'GET', path, query = {}, body = '', host = `127.0.0.1:${port}`, instead } = sent;
  const signer = new SignatureV4({
    credentials: key,
    region: 'us-east-1',
    service: 's3',
    uriEscapePath: false,
    applyChecksum: true,
    sha256: Sha256 as never,
  });
  const request = {
    method,
    protocol: 'http:',
    hostname: '127.0.0.1',
    port,
    path,
    query: { ...query },
    headers: { host, ...sent.headers },
    body,
  };
  const signed =
    sent.presign === undefined
      ? await signer.sign(request)
      : await signer.presign(request, { expiresIn: sent.presign });
  const pairs = Object.entries(signed.query ?? {}).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`,
  );
  const target = instead?.path ?? path;
  return exchange(
    {
      host: '127.0.0.1',
      port,
      method,
      path: pairs.length === 0 ? target : `${target}?${pairs.join('&')}`,
      headers: signed.headers,
      agent: false,
    },
    instead?.body ?? body,
  );
}

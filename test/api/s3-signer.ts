/** Requests to S3 as the SDK's signer signs them, over a plain connection: what the test says is what is sent. */
import { request as httpRequest } from 'node:http';
import { SignatureV4 } from '@smithy/signature-v4';
import type { Key } from './request.ts';
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

export interface S3Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  readonly code: string | undefined;
}

export async function sendS3(
  port: number,
  key: Key & { readonly sessionToken?: string },
  sent: S3Request,
): Promise<S3Answer> {
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
  return new Promise((resolve, reject) => {
    const call = httpRequest(
      {
        host: '127.0.0.1',
        port,
        method,
        path: pairs.length === 0 ? target : `${target}?${pairs.join('&')}`,
        headers: signed.headers,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const code = /<Code>(.*?)<\/Code>/.exec(text)?.[1];
          const { statusCode: status = 0, headers } = response;
          resolve({ status, headers, body: text, code });
        });
      },
    );
    call.on('error', reject);
    call.end(instead?.body ?? body);
  });
}

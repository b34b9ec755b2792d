/** Signed requests by hand, independent of src/: what goes over the wire is what the test says. */
import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest, type Agent, type RequestOptions } from 'node:http';

export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface Sent {
  readonly service?: string;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** The path that is signed; absent: `/`. */
  readonly signedPath?: string;
  /** Headers that are signed, besides `host` and `x-amz-date`. */
  readonly signed?: Readonly<Record<string, string>>;
  readonly date?: Date;
  /** Keeps connections; otherwise each request has its own. */
  readonly agent?: Agent;
}

export interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** Of an error. */
  readonly code: string | undefined;
  readonly message: string | undefined;
}

const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest();

/** The headers of a signed request to `/`. */
export function signedHeaders(key: Key, port: number, sent: Sent): Record<string, string> {
  const { service = 'ec2', method = 'POST', body = '', date = new Date() } = sent;
  const { signedPath = '/' } = sent;
  const stamp = date.toISOString().replace(/[-:]|\.\d+/g, '');
  const day = stamp.slice(0, 8);
  const headers = { host: `127.0.0.1:${port}`, 'x-amz-date': stamp, ...sent.signed };
  const lines = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  const names = lines.map(([name]) => name).join(';');
  const canonical = [
    method, signedPath, '', ...lines.map((line) => line.join(':')), '', names, sha256(body),
  ].join('\n'); // prettier-ignore
  const scope = `${day}/us-east-1/${service}/aws4_request`;
  const signing = [day, 'us-east-1', service, 'aws4_request'].reduce<string | Buffer>(
    hmac,
    `AWS4${key.secretAccessKey}`,
  );
  const signature = hmac(
    signing,
    `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(canonical)}`,
  ).toString('hex');
  return {
    ...headers,
    'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
    authorization: `AWS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
    ...sent.headers,
  };
}

/** Sends a request, signed if there is a key, and reads the answer. */
export async function send(port: number, key: Key | undefined, sent: Sent): Promise<Got> {
  const { method = 'POST', path = '/', body = '', agent = false } = sent;
  const headers = key === undefined ? { ...sent.headers } : signedHeaders(key, port, sent);
  return exchange({ host: '127.0.0.1', port, method, path, headers, agent }, body);
}

/** Sends a request, and reads the answer. */
export async function exchange(options: RequestOptions, body: string | Buffer): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: text,
          code: /<Code>(.*?)<\/Code>/.exec(text)?.[1],
          message: /<Message>(.*?)<\/Message>/s.exec(text)?.[1],
        });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

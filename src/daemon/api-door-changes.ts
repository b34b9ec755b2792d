/**
 * This file asks servers of the API for changes that instances of this host need, where hosts share a store.
 *
 * A server that can't be reached is followed by the next, beginning with the one that answered last. What a server has
 * been sent is asked of no other: it may have been done. A call that is made again is answered with what is there, so
 * whoever gets no answer asks again.
 *
 * The key is read anew for each call, so that it can be changed while the daemon runs. A signature tells nobody the
 * secret, but who is on the way could answer in the place of a server: so beyond loopback it takes TLS (api-option.ts).
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import aws4 from 'aws4';
import { DOOR_CALLS_TARGET, type DoorCall, type DoorCallName } from '../estate/door-calls.ts';
import { RequestError } from '../queries/traffic-filter.ts';
import type { ApiPlace } from '../service/api-option.ts';
import { readText } from '../source/read-text.ts';
import type { DoorChange, DoorChanges } from './door-changes.ts';

const TIMEOUT_MS = 15_000;
const ANSWER_MAX = 1 << 20;
const KEY_MAX = 1 << 16;
/** Any: the server believes the scope of a signature, and answers for all regions. */
const REGION = 'us-east-1';

/** Where it can't have been done, since nothing was sent. */
class NotReached extends Error {}

interface Answer {
  readonly status: number;
  readonly body: string;
}

export class ApiDoorChanges implements DoorChanges {
  private readonly place: ApiPlace;
  private first = 0;

  constructor(place: ApiPlace) {
    this.place = place;
  }

  async make<Name extends DoorCallName>({
    name,
    ...call
  }: DoorCall<Name>): Promise<DoorChange<Name>> {
    const { urls } = this.place;
    const troubles: string[] = [];
    for (let i = 0; i < urls.length; i++) {
      const at = (this.first + i) % urls.length;
      try {
        const answer = await this.ask(urls[at], name, JSON.stringify(call));
        this.first = at;
        return read(answer) as DoorChange<Name>;
      } catch (error) {
        if (!(error instanceof NotReached)) throw error;
        troubles.push(`${urls[at]}: ${error.message}`);
      }
    }
    throw new RequestError(`no server of the API can be reached: ${troubles.join('; ')}`);
  }

  private async ask(url: string, name: string, body: string): Promise<Answer> {
    const { host, hostname, port, protocol } = new URL(url);
    const headers = {
      host,
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `${DOOR_CALLS_TARGET}.${name}`,
    };
    const signed = aws4.sign(
      { method: 'POST', path: '/', service: 'secgroupd', region: REGION, headers, body },
      readKey(this.place.keyFile),
    );
    const isTls = protocol === 'https:';
    const options = {
      // A name in brackets is an address of IPv6.
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? (isTls ? 443 : 80) : port,
      method: 'POST',
      path: '/',
      headers: signed.headers,
      timeout: TIMEOUT_MS,
      agent: false as const,
      ...(isTls && this.place.caFile !== undefined ? { ca: readFile(this.place.caFile) } : {}),
    };
    return new Promise((resolve, reject) => {
      let isConnected = false;
      const sent = (isTls ? httpsRequest : httpRequest)(options, (response) => {
        readAnswer(response).then(resolve, reject);
      });
      sent.on('socket', (socket) =>
        socket.once(isTls ? 'secureConnect' : 'connect', () => {
          isConnected = true;
        }),
      );
      sent.on('timeout', () =>
        sent.destroy(new Error(`it did not answer within ${TIMEOUT_MS / 1000} s`)),
      );
      sent.on('error', ({ message }) => {
        const text = `${url}: ${message}`;
        reject(
          isConnected
            ? new RequestError(`${text}; nobody knows whether it was done: ask again`)
            : new NotReached(message),
        );
      });
      sent.end(body);
    });
  }
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > ANSWER_MAX) throw new RequestError('the answer of the API is too long');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() };
}

function read({ status, body }: Answer): DoorChange {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = JSON.parse(body) as Readonly<Record<string, unknown>>;
  } catch {
    throw new RequestError(`what answers at --api is no server of the API (status ${status})`);
  }
  if (status !== 200)
    throw new RequestError(
      typeof value['message'] === 'string' ? value['message'] : `the API answers ${status}`,
    );
  return value as unknown as DoorChange;
}

interface SigningKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** @throws RequestError; it tells nothing of what is in the file */
function readKey(file: string): SigningKey {
  let key: Partial<SigningKey> | null;
  try {
    key = JSON.parse(readFile(file)) as Partial<SigningKey> | null;
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError(`${file} has no key as sgctl api key create --json prints it`);
  }
  const { accessKeyId, secretAccessKey } = key ?? {};
  if (typeof accessKeyId === 'string' && typeof secretAccessKey === 'string')
    return { accessKeyId, secretAccessKey };
  throw new RequestError(`${file} has no key as sgctl api key create --json prints it`);
}

function readFile(file: string): string {
  const problems: Parameters<typeof readText>[1] = [];
  const text = readText(file, problems, KEY_MAX);
  if (text !== undefined) return text;
  throw new RequestError(`${file}: ${problems[0].message}`);
}

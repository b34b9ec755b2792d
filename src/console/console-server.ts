/**
 * This server is the console's: the files of its page, and what the page asks below `/api/`.
 *
 * Theory of operation
 *
 * Problem. Whoever can reach it can connect, and every page in the user's browser can send requests. None of them may
 * learn anything or make the console large or slow; guard.ts and the entrance (visitor.ts) have who is answered.
 *
 * Limits. At most CONNECTIONS_MAX connections, with REQUEST_TIMEOUT_MS for a request to come in; headers of
 * HEADER_BYTES, bodies of BODY_BYTES_MAX; ANSWERS_MAX requests at a time. A body is read only of a request that has a
 * token, and of one to sign in, of which SIGN_INS_MAX are served at a time and bodies have SIGN_IN_BYTES_MAX. Answers
 * are written whole; one that is not read within ANSWER_TIMEOUT_MS ends its connection. Streams have bounds of their
 * own (event-stream.ts).
 *
 * Whatever a route throws becomes an answer, and what is no ConsoleFailure is also told to `onError`.
 */
import { X509Certificate } from 'node:crypto';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { RequestError } from '../queries/traffic-filter.ts';
import type { Failure } from './contract.ts';
import type { EventHub } from './event-stream.ts';
import { ConsoleFailure } from './failure.ts';
import { checkOrigin, namesOf, type Place } from './guard.ts';
import type { PageFile } from './page-files.ts';
import type { Asked } from './routes.ts';
import type { Answered, Entrance, SignInRequest, Visitor } from './visitor.ts';
import { PACKINGS, Written, type Packing } from './written.ts';

export const BODY_BYTES_MAX = 64 * 1024;
export const CONNECTIONS_MAX = 64;
const HEADER_BYTES = 16 * 1024;
const ANSWERS_MAX = 32;
/** To sign in: whoever does so has shown nothing yet. */
const SIGN_INS_MAX = 8;
const SIGN_IN_BYTES_MAX = 1024;
const REQUEST_TIMEOUT_MS = 15_000;
const ANSWER_TIMEOUT_MS = 60_000;
const API = '/api/';
/** How a path is read; whose it is does not matter then. */
const BASE = 'http://console';

/** Of every answer. Nothing is loaded from elsewhere, and nobody may show the page in theirs. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};

export interface ConsoleServerParts<V extends Visitor> {
  readonly routes: { answer(asked: Asked, visitor: V): Promise<unknown> };
  readonly entrance: Entrance<V>;
  readonly events: EventHub;
  readonly files: ReadonlyMap<string, PageFile>;
  /** What whoever came the wrong way is told to do. */
  readonly hint: string;
  /** Called with each failure on our side. */
  readonly onError: (error: unknown) => void;
  /** Called with each request below `/api/`, when it has been answered. */
  readonly onAnswer?: (answered: Answered<V>) => void;
}

export interface ConsolePlace {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  /** PEM. Without it the server speaks HTTP. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
}

/** Starts to listen. @throws Error with `code` (EADDRINUSE, EACCES) from the listen call */
export async function listenForConsole<V extends Visitor>(
  parts: ConsoleServerParts<V>,
  { host, port, tls }: ConsolePlace,
): Promise<Server> {
  const isOurName = namesOf(host, tls === undefined ? undefined : new X509Certificate(tls.cert));
  const place = (): Place => ({
    ...{ port: portOf(server), isOurName, isTls: tls !== undefined, hint: parts.hint },
  });
  const answerer = new Answerer(parts, place);
  const settings = {
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    // A handshake that does not go on ends as a header does.
    handshakeTimeout: REQUEST_TIMEOUT_MS,
    maxHeaderSize: HEADER_BYTES,
    ...tls,
  };
  const onRequest: RequestListener = (request, response) => void answerer.answer(request, response);
  const server =
    tls === undefined
      ? createHttpServer(settings, onRequest)
      : createHttpsServer(settings, onRequest);
  // With TLS the connection counts from before its handshake, which would hold it otherwise.
  server.on('connection', (socket: Socket) => answerer.connections.add(socket));
  server.on('clientError', (_error, socket: Socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  // For example: no descriptors are left for another connection.
  server.on('error', parts.onError);
  return server;
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo | null)?.port ?? 0;
}

/** Bounds the connections. When there are too many, the oldest of which nobody has shown a token gives way. */
class Connections {
  private readonly sockets = new Map<string, Socket>();
  private readonly trusted = new Set<string>();

  add(socket: Socket): void {
    const key = keyOf(socket);
    if (this.sockets.size >= CONNECTIONS_MAX) {
      const [oldest] = [...this.sockets].find(([one]) => !this.trusted.has(one)) ?? [];
      if (oldest === undefined) {
        socket.destroy();
        return;
      }
      this.sockets.get(oldest)?.destroy();
      this.sockets.delete(oldest);
    }
    this.sockets.set(key, socket);
    socket.once('close', () => {
      if (this.sockets.get(key) !== socket) return;
      this.sockets.delete(key);
      this.trusted.delete(key);
    });
  }

  trust(socket: Socket): void {
    const key = keyOf(socket);
    if (this.sockets.has(key)) this.trusted.add(key);
  }
}

/** The other end of a connection. With TLS there are two sockets for one, which have it in common. */
function keyOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** What is known of a request so far. */
interface State<V extends Visitor> {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  /** Below `/api/`; undefined: it is for a file of the page. */
  path: string | undefined;
  visitor: V | undefined;
}

class Answerer<V extends Visitor> {
  readonly connections = new Connections();
  private readonly parts: ConsoleServerParts<V>;
  private readonly place: () => Place;
  private answers = 0;
  private signIns = 0;

  constructor(parts: ConsoleServerParts<V>, place: () => Place) {
    this.parts = parts;
    this.place = place;
  }

  /** Never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startMs = performance.now();
    // It has no socket any more once a body was not read to the end.
    const from = request.socket.remoteAddress ?? '';
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    response.on('error', () => response.destroy());
    const { method = '' } = request;
    const state: State<V> = { request, response, method, path: undefined, visitor: undefined };
    let end: Pick<Answered<V>, 'status' | 'failure' | 'answer'>;
    try {
      end = { status: 200, answer: await this.decide(state) };
    } catch (error) {
      end = this.fail(response, error);
    }
    const { path, visitor } = state;
    if (path === undefined) return;
    const ms = Math.round((performance.now() - startMs) * 1000) / 1000;
    this.parts.onAnswer?.({ from, method, path, visitor, ...end, ms });
  }

  private async decide(state: State<V>): Promise<unknown> {
    const { request, response, method } = state;
    const { headers } = request;
    const { pathname, searchParams } = urlOf(request);
    const isApi = pathname.startsWith(API);
    if (isApi) state.path = pathname.slice(API.length);
    const refusal = checkOrigin(headers, this.place(), !isApi);
    if (refusal !== undefined)
      throw new ConsoleFailure(refusal.status, refusal.error, refusal.hint);
    if (!isApi) {
      if (method !== 'GET' && method !== 'HEAD') throw new ConsoleFailure(405, 'ask with GET');
      this.sendFile(request, response, pathname);
      return undefined;
    }
    if (method !== 'GET' && method !== 'POST')
      throw new ConsoleFailure(405, 'ask with GET or POST');
    const path = pathname.slice(API.length);
    if (path === 'sign-in') return this.signIn(state, path);
    const visitor = this.parts.entrance.admit(headers.authorization);
    state.visitor = visitor;
    this.connections.trust(request.socket);
    this.parts.entrance.count?.(visitor);
    if (path === 'renew' && method === 'POST') return this.signIn(state, path);
    if (path === 'events' && method === 'GET') {
      this.stream(response, visitor);
      return undefined;
    }
    const body = method === 'POST' ? jsonOf(await readBody(request, BODY_BYTES_MAX)) : undefined;
    if (this.answers >= ANSWERS_MAX)
      throw new ConsoleFailure(503, 'too much is asked at the moment', 'try again');
    this.answers++;
    try {
      const asked = { method, path, query: searchParams, body } as const;
      const answer = await this.parts.routes.answer(asked, visitor);
      await sendAnswer(request, response, answer instanceof Written ? answer : new Written(answer));
      return answer;
    } finally {
      this.answers--;
    }
  }

  private async signIn(state: State<V>, path: SignInRequest['path']): Promise<unknown> {
    const { request, response, method } = state;
    const { entrance } = this.parts;
    if (method === 'GET') {
      sendJson(response, 200, entrance.way);
      return undefined;
    }
    if (entrance.signIn === undefined)
      throw new ConsoleFailure(404, 'there is nothing of that name');
    if (this.signIns >= SIGN_INS_MAX)
      throw new ConsoleFailure(503, 'too many sign in at the moment', 'try again');
    this.signIns++;
    try {
      const { answer, visitor } = await entrance.signIn({
        path,
        url: request.url ?? '',
        rawHeaders: request.rawHeaders,
        header: (name) => {
          const value = request.headers[name];
          return Array.isArray(value) ? value.join(',') : value;
        },
        readBody: () => readBody(request, SIGN_IN_BYTES_MAX),
      });
      state.visitor = visitor;
      sendJson(response, 200, answer);
      // Nobody else is to have the token.
      return undefined;
    } finally {
      this.signIns--;
    }
  }

  private stream(response: ServerResponse, visitor: V): void {
    response.setHeader('cache-control', 'no-store');
    // Whether it is read is watched by the hub.
    if (this.parts.events.add(response, visitor)) return;
    throw new ConsoleFailure(503, 'too many tabs are open', 'close one of them');
  }

  private sendFile(request: IncomingMessage, response: ServerResponse, path: string): void {
    const file = this.parts.files.get(path);
    if (file === undefined) throw new ConsoleFailure(404, 'there is nothing of that name');
    const { gzip, plain, type } = file;
    const isZipped = gzip !== undefined && accepts(request.headers['accept-encoding'], 'gzip');
    const { body, etag } = isZipped ? gzip : plain;
    response.setHeader('content-type', type);
    response.setHeader('etag', etag);
    response.setHeader('vary', 'accept-encoding');
    response.setHeader('cache-control', 'no-cache');
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304).end();
      return;
    }
    if (isZipped) response.setHeader('content-encoding', 'gzip');
    response.writeHead(200, { 'content-length': body.length });
    finish(response, request.method === 'HEAD' ? undefined : body);
  }

  private fail(
    response: ServerResponse,
    error: unknown,
  ): { readonly status: number; readonly failure: ConsoleFailure } {
    const failure = failureOf(error);
    const { status, message, hint, code } = failure;
    if (status === 500) this.parts.onError(error);
    if (response.headersSent) {
      response.destroy();
      return { status, failure };
    }
    // What is left of its body is not read.
    if (status === 413 || status === 401) response.setHeader('connection', 'close');
    const told: Failure = {
      error: message,
      ...(hint === undefined ? {} : { hint }),
      ...(code === undefined ? {} : { code }),
    };
    sendJson(response, status, told);
    return { status, failure };
  }
}

function failureOf(error: unknown): ConsoleFailure {
  if (error instanceof ConsoleFailure) return error;
  if (error instanceof RequestError) return new ConsoleFailure(400, error.message);
  return new ConsoleFailure(500, 'the console failed; its terminal or its log says why');
}

async function sendAnswer(
  { headers }: IncomingMessage,
  response: ServerResponse,
  answer: Written,
): Promise<void> {
  response.setHeader('vary', 'accept-encoding');
  const packing = answer.isLong
    ? PACKINGS.find((name) => accepts(headers['accept-encoding'], name))
    : undefined;
  if (packing !== undefined) response.setHeader('content-encoding', packing);
  sendBytes(response, 200, packing === undefined ? answer.plain : await answer.as(packing));
}

/** Short answers, and those with a secret: these are never packed. */
function sendJson(response: ServerResponse, status: number, value: unknown): void {
  sendBytes(response, status, Buffer.from(JSON.stringify(value)));
}

function sendBytes(response: ServerResponse, status: number, body: Buffer): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  finish(response, body);
}

/** Sends the answer. Who does not read it loses the connection. */
function finish(response: ServerResponse, body: Buffer | undefined): void {
  const timer = setTimeout(() => response.destroy(), ANSWER_TIMEOUT_MS).unref();
  response.once('close', () => clearTimeout(timer));
  response.end(body);
}

function urlOf(request: IncomingMessage): URL {
  const url = request.url ?? '';
  // `//host/path` would be an address of another host.
  if (url.startsWith('/') && URL.canParse(`${BASE}${url}`)) return new URL(`${BASE}${url}`);
  throw new ConsoleFailure(400, 'the path is malformed');
}

/** Whether `Accept-Encoding` takes a packing: by its name, else by `*`, and not with the weight 0. */
function accepts(header: string | string[] | undefined, packing: Packing): boolean {
  const text = (Array.isArray(header) ? header.join(',') : (header ?? '')).toLowerCase();
  const weights = new Map<string, string>();
  for (const part of text.split(',')) {
    const [name = '', weight = ''] = part.split(';').map((word) => word.trim());
    weights.set(name, weight);
  }
  const weight = weights.get(packing) ?? weights.get('*');
  return weight !== undefined && !/^q\s*=\s*0(?:\.0*)?$/.test(weight);
}

async function readBody(request: IncomingMessage, most: number): Promise<Buffer> {
  const type = request.headers['content-type'] ?? '';
  // A form of another page can't send that type.
  if (!/^application\/json\s*(?:;|$)/i.test(type))
    throw new ConsoleFailure(415, 'the body is JSON: say so by Content-Type: application/json');
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLong(most);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > most) throw tooLong(most);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new ConsoleFailure(400, 'the body is no JSON');
  }
}

function tooLong(most: number): ConsoleFailure {
  return new ConsoleFailure(413, `a body has at most ${most} bytes`);
}

/**
 * The API's HTTP server: from a connection to a request that has been read, and from an answer back.
 *
 * It listens on loopback unless it has a certificate (options.ts refuses the rest). Requests are untrusted until their
 * signature has been checked, so all that comes before is bounded here and in connections.ts: bytes of headers and
 * body, and the time both may take.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Logger } from 'pino';
import { ApiError } from './action.ts';
import { BODY_FREE, BODY_MAX, BodyBudget, connectionKey, Connections } from './connections.ts';
import type { Dispatcher, HttpAnswer, HttpRequest } from './dispatch.ts';
import { writeError, XML_TYPE } from './xml-writer.ts';

/** A presigned address with many parameters fits; Node.js counts the request line too. */
const HEADER_MAX = 16 << 10;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the 50 s or so after which clients give up a connection. */
const KEEP_ALIVE_MS = 60_000;
const CHECK_INTERVAL_MS = 1000;
/** How long calls at work may take to end when the server stops. */
const STOP_TIMEOUT_MS = 5000;
const NO_CONTENT = 204;
export const HEALTH_PATH = '/health';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** PEM. Without it the server speaks HTTP. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  readonly connectionsMax?: number;
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
  readonly log: Pick<Logger, 'error'>;
}

export class ApiServer {
  private readonly dispatcher: Dispatcher;
  private readonly server: Server;
  private readonly connections: Connections;
  private readonly budget = new BodyBudget();
  private readonly isTls: boolean;
  private readonly atWork = new Set<Promise<void>>();
  private isStopping = false;

  private constructor(dispatcher: Dispatcher, options: ListenOptions) {
    this.dispatcher = dispatcher;
    this.connections = new Connections(options.connectionsMax);
    this.isTls = options.tls !== undefined;
    const settings = {
      maxHeaderSize: HEADER_MAX,
      headersTimeout: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
      requestTimeout: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      // A handshake that does not go on ends as a header does.
      handshakeTimeout: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
      ...options.tls,
    };
    const onRequest: RequestListener = (request, response) => {
      const work = this.serve(request, response).finally(() => this.atWork.delete(work));
      this.atWork.add(work);
    };
    this.server =
      options.tls === undefined
        ? createHttpServer(settings, onRequest)
        : createHttpsServer(settings, onRequest);
    // With TLS the connection counts from before its handshake, which would hold it otherwise.
    this.server.on('connection', (socket: Socket) => this.connections.add(socket));
    this.server.on('clientError', answerBrokenRequest);
    this.server.on('error', (error) => options.log.error({ err: error }, 'a connection failed'));
  }

  /**
   * Starts to listen.
   * @throws Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL) from the listen call
   */
  static async listen(dispatcher: Dispatcher, options: ListenOptions): Promise<ApiServer> {
    const api = new ApiServer(dispatcher, options);
    await new Promise<void>((resolve, reject) => {
      api.server.once('error', reject);
      api.server.listen(options.port, options.host, resolve);
    });
    return api;
  }

  /** `http://127.0.0.1:4566` */
  get url(): string {
    const { address, family, port } = this.server.address() as AddressInfo;
    const host = family === 'IPv6' ? `[${address}]` : address;
    return `${this.isTls ? 'https' : 'http'}://${host}:${port}`;
  }

  /** Takes no new connection, lets calls at work end, and closes all. */
  async stop(): Promise<void> {
    this.isStopping = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.connections.closeIdle();
    const timer = setTimeout(() => this.connections.closeAll(), STOP_TIMEOUT_MS);
    await Promise.all(this.atWork);
    this.server.closeIdleConnections();
    await closed;
    clearTimeout(timer);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    const question = url.indexOf('?');
    const path = question === -1 ? url : url.slice(0, question);
    if (path === HEALTH_PATH && (method === 'GET' || method === 'HEAD')) {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
      return;
    }
    const connection = connectionKey(request.socket);
    let endCall: (() => void) | undefined;
    const body = new BodyReader(request, this.budget);
    const call: HttpRequest = {
      method,
      path,
      query: question === -1 ? '' : url.slice(question + 1),
      rawHeaders: request.rawHeaders,
      from: request.socket.remoteAddress ?? '',
      header: (name) => {
        const value = request.headers[name];
        return Array.isArray(value) ? value.join(',') : value;
      },
      readBody: async () => {
        const bytes = await body.read();
        endCall = this.connections.beginCall(connection);
        return bytes;
      },
    };
    try {
      const answer = await this.dispatcher.answer(call);
      send(response, answer, this.isStopping);
    } finally {
      endCall?.();
      body.release();
    }
  }
}

/** Reads one body, within the bounds. What is too much is thrown away as it comes: the client then sees the answer. */
class BodyReader {
  private readonly request: IncomingMessage;
  private readonly budget: BodyBudget;
  private length = 0;
  private taken = 0;

  constructor(request: IncomingMessage, budget: BodyBudget) {
    this.request = request;
    this.budget = budget;
  }

  /** @throws ApiError if it is too long, there is no room for it, or it ends early */
  async read(): Promise<Uint8Array> {
    const { request } = this;
    if (Number(request.headers['content-length'] ?? 0) > BODY_MAX) throw tooLong();
    const chunks: Buffer[] = [];
    await new Promise<void>((resolve, reject) => {
      const fail = (error: ApiError): void => {
        request.off('data', onData);
        request.resume();
        reject(error);
      };
      const onData = (chunk: Buffer): void => {
        this.length += chunk.length;
        const counted = Math.max(0, this.length - BODY_FREE) - this.taken;
        if (this.length > BODY_MAX) fail(tooLong());
        else if (!this.budget.take(counted)) fail(noRoom());
        else {
          this.taken += counted;
          chunks.push(chunk);
        }
      };
      request.on('data', onData);
      request.once('end', resolve);
      request.once('error', () => fail(endedEarly()));
      request.once('close', () => fail(endedEarly()));
    });
    return Buffer.concat(chunks);
  }

  /** Gives back what the body took. */
  release(): void {
    this.budget.give(this.taken);
    this.taken = 0;
  }
}

function tooLong(): ApiError {
  return new ApiError('RequestEntityTooLarge', `The body has more than ${BODY_MAX} bytes.`, 413);
}

function noRoom(): ApiError {
  return new ApiError('ServiceUnavailable', 'Too many requests are being read.', 503);
}

function endedEarly(): ApiError {
  return new ApiError('RequestTimeout', 'The body did not arrive as a whole.', 408);
}

function send(response: ServerResponse, answer: HttpAnswer, closes: boolean): void {
  // The client may have gone.
  if (response.destroyed || response.headersSent) return;
  response
    .writeHead(answer.status, {
      ...answer.headers,
      ...(answer.status === NO_CONTENT ? {} : { 'content-length': Buffer.byteLength(answer.body) }),
      ...(closes ? { connection: 'close' } : {}),
    })
    .end(answer.body);
}

const BROKEN: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers have too many bytes.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request took too long to arrive.'],
};

/** Answers what is no HTTP, or came too slowly, and closes. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, message] = BROKEN[error.code ?? ''] ?? [
    '400 Bad Request',
    'This is no HTTP request.',
  ];
  const body = writeError(undefined, new ApiError('MalformedQueryString', message), randomUUID());
  const head = `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: ${XML_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  socket.end(head + body, () => socket.destroy());
}

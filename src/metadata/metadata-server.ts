/**
 * MetadataServer answers an instance's questions about itself: IMDSv2 over HTTP, as AWS's.
 *
 * Theory of operation. Who asks is known by the source address, which the daemon has checked. A GET needs a token,
 * which only a PUT gives, and a PUT that came by a proxy gets none: so neither a program that can be made to fetch a
 * URL nor a proxy that stands open reads metadata (AWS, "Use the Instance Metadata Service"). There is no version 1.
 * Answers have a hop limit of 1 (bindSocket), so what an instance forwards for others gets none.
 *
 * Connections, headers and time are bounded, connections for each instance as well, and no body is read.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { Budget } from './budget.ts';
import { failureText, type FindInstance } from './instances.ts';
import { lookUp, metadataOf } from './metadata-tree.ts';
import { Tokens } from './tokens.ts';

const TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';
const TOKEN_HEADER = 'x-aws-ec2-metadata-token';
const TOKEN_PATH = '/latest/api/token';
/** AWS: 1 second to 6 hours. */
const TTL_MAX = 21_600;
/** Versions whose categories these are, and which cloud-init asks for. */
const VERSIONS = ['2009-04-04', '2016-09-02', '2018-09-24', '2021-03-23', 'latest'];
const HEADER_BYTES_MAX = 8192;
const PATH_LENGTH_MAX = 1024;
const HEADERS_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 5000;
const KEEP_ALIVE_MS = 5000;
const CONNECTIONS_MAX = 4096;
const CONNECTIONS_MAX_OF_ONE = 64;
const CHECK_MS = 1000;

export interface MetadataOptions {
  readonly find: FindInstance;
  readonly hasTags: boolean;
  readonly log: Pick<Logger, 'warn'>;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class MetadataServer {
  private readonly options: MetadataOptions;
  private readonly tokens = new Tokens();
  private readonly connections = new Budget(CONNECTIONS_MAX, CONNECTIONS_MAX_OF_ONE);
  /** Requests by the status of their answer. */
  readonly counts = new Map<number, number>();

  constructor(options: MetadataOptions) {
    this.options = options;
  }

  /** A server to be listened with; several share the tokens and the bounds. */
  makeServer(): Server {
    const settings = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
    };
    const server = createServer(settings, (request, response) => {
      void this.serve(request, response);
    });
    server.on('connection', (socket) => {
      const from = socket.remoteAddress ?? '';
      if (!this.connections.take(from)) socket.destroy();
      else socket.once('close', () => this.connections.give(from));
    });
    return server;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, text, headers } = await this.answer(request);
    this.counts.set(status, (this.counts.get(status) ?? 0) + 1);
    if (response.destroyed) return;
    const hasBody =
      request.headers['transfer-encoding'] !== undefined ||
      Number(request.headers['content-length'] ?? 0) > 0;
    response.writeHead(status, {
      'content-type': 'text/plain',
      'content-length': Buffer.byteLength(text),
      ...headers,
      ...(hasBody ? { connection: 'close' } : {}),
    });
    response.end(request.method === 'HEAD' ? undefined : text);
  }

  private async answer(request: IncomingMessage): Promise<Answer> {
    const { method = '', url = '', headers, socket } = request;
    const [path] = url.split('?', 1);
    if (path.length > PATH_LENGTH_MAX) return refusal(414);
    if (headers['x-forwarded-for'] !== undefined) return refusal(403);
    const isPut = method === 'PUT' && path === TOKEN_PATH;
    if (!isPut && method !== 'GET' && method !== 'HEAD') return refusal(405);
    const seconds = isPut ? readTtl(headers[TTL_HEADER]) : 0;
    if (seconds === undefined) return refusal(400);
    try {
      const instance = await this.options.find(socket.remoteAddress ?? '');
      if (instance === undefined) return refusal(403);
      const nowMs = Date.now();
      if (isPut) return { status: 200, text: this.tokens.make(instance.id, seconds, nowMs), headers: { [TTL_HEADER]: String(seconds) } }; // prettier-ignore
      const token = headers[TOKEN_HEADER];
      const left =
        typeof token === 'string' ? this.tokens.secondsLeft(token, instance.id, nowMs) : 0;
      if (left === 0) return refusal(401);
      const [, version = '', ...steps] = path.split('/').map(decode);
      const text =
        version === ''
          ? VERSIONS.join('\n')
          : VERSIONS.includes(version)
            ? lookUp(metadataOf(instance, this.options.hasTags), steps)
            : undefined;
      if (text === undefined) return refusal(404);
      return { status: 200, text, headers: { [TTL_HEADER]: String(left) } };
    } catch (error) {
      this.options.log.warn({ why: failureText(error) }, 'the daemon does not say who asks');
      return refusal(503);
    }
  }
}

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  414: 'URI Too Long',
  503: 'Service Unavailable',
};

/** What is no encoding stays as it is: nothing has such a name. */
function decode(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}

/** Nothing of the request is repeated. */
function refusal(status: number): Answer {
  return { status, text: `${status} - ${REFUSALS[status]}\n` };
}

function readTtl(text: string | readonly string[] | undefined): number | undefined {
  if (typeof text !== 'string' || !/^\d{1,5}$/.test(text)) return undefined;
  const seconds = Number(text);
  return seconds >= 1 && seconds <= TTL_MAX ? seconds : undefined;
}

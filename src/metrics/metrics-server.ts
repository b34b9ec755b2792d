/**
 * This server answers `/metrics` over HTTP, only on the configured address.
 *
 * Theory of operation
 *
 * Problem. Anybody who reaches the address may open many connections, send requests without end, never read answers,
 * or hold connections and say nothing. Prometheus must get its answer all the same, and the daemon must stay small.
 *
 * Limits. A connection has one request at a time. If it sends another before it has the answer (Prometheus never
 * does), it is closed. After a rendering, the next one starts no sooner than RENDER_PAUSES times as long as the last
 * one took. Requests that arrive meanwhile wait for the next rendering and all get the same bytes. So scrapes take
 * only a fixed share of the control plane's time, and figures are never older than the request. At most SCRAPERS_MAX
 * connections are held. When a new one arrives, the address with the most connections loses one: the one that has
 * been without a request for longest, or else the one that has been reading its answer for longest. An answer must be
 * read within ANSWER_TIMEOUT_MS.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

/** More than any Prometheus set-up opens. */
export const SCRAPERS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** How often Node.js checks for requests that arrive too slowly. */
const CHECK_INTERVAL_MS = 2000;
const RENDER_PAUSES = 3;

/** Where the text of a scrape comes from. prom-client's Registry is one. */
export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface ScrapeOptions {
  readonly answerTimeoutMs?: number;
  readonly log?: Pick<Logger, 'error'>;
}

/**
 * Starts to listen.
 * @throws Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL) from the listen call
 */
export async function listenForScrapes(
  text: MetricsText,
  address: { readonly host: string; readonly port: number },
  options: ScrapeOptions = {},
): Promise<Server> {
  const limits = new ConnectionLimits(options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS);
  const renderer = new Renderer(text);
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    },
    (request, response) => {
      if (!limits.beginAnswer(request.socket, response)) return;
      void answer(renderer, text.contentType, request, response, options);
    },
  );
  server.on('connection', (socket: Socket) => limits.add(socket));
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  // For example: no descriptors are left for another connection.
  server.on('error', (error) =>
    options.log?.error({ err: error }, 'a connection for metrics failed'),
  );
  return server;
}

/** `http://127.0.0.1:9469/metrics` */
export function scrapeUrl(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/metrics`;
}

interface Scraper {
  readonly socket: Socket;
  readonly address: string;
  /** A request is being answered, or its answer is being sent. */
  isBusy: boolean;
  sinceMs: number;
}

/** Bounds the number of connections, and the requests of each. */
class ConnectionLimits {
  private readonly answerTimeoutMs: number;
  private readonly scrapers = new Map<Socket, Scraper>();

  constructor(answerTimeoutMs: number) {
    this.answerTimeoutMs = answerTimeoutMs;
  }

  add(socket: Socket): void {
    if (this.scrapers.size >= SCRAPERS_MAX) this.makeRoom();
    const address = socket.remoteAddress ?? '';
    this.scrapers.set(socket, { socket, address, isBusy: false, sinceMs: performance.now() });
    socket.once('close', () => this.scrapers.delete(socket));
  }

  /** @returns false if the connection was closed because it already has a request at work */
  beginAnswer(socket: Socket, response: ServerResponse): boolean {
    const scraper = this.scrapers.get(socket);
    // One read may have brought two thousand of them.
    if (socket.destroyed) return false;
    if (scraper === undefined || scraper.isBusy) {
      closeCheaply(socket);
      return false;
    }
    scraper.isBusy = true;
    scraper.sinceMs = performance.now();
    const timer = setTimeout(() => socket.destroy(), this.answerTimeoutMs).unref();
    response.once('close', () => {
      clearTimeout(timer);
      scraper.isBusy = false;
      scraper.sinceMs = performance.now();
    });
    return true;
  }

  private makeRoom(): void {
    const counts = new Map<string, number>();
    for (const { address } of this.scrapers.values())
      counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const [first] = [...this.scrapers.values()]
      .filter(({ address }) => counts.get(address) === most)
      .sort((a, b) => Number(a.isBusy) - Number(b.isBusy) || a.sinceMs - b.sinceMs);
    this.scrapers.delete(first.socket);
    first.socket.destroy();
  }
}

/**
 * Closes a connection that has many requests at once. Node.js makes an error with a stack for each of them. Without
 * the stacks such a flood costs half as much (60,000 requests on Node.js 20: 1.3 to 1.8 s in place of 3.2 s).
 */
function closeCheaply(socket: Socket): void {
  const { stackTraceLimit } = Error;
  socket.prependOnceListener('close', () => (Error.stackTraceLimit = 0));
  socket.once('close', () => (Error.stackTraceLimit = stackTraceLimit));
  socket.destroy();
}

/** Renders the text: one rendering at a time, with a pause after each. */
class Renderer {
  private readonly text: MetricsText;
  /** The next rendering. It has not begun, so new requests may wait for it. */
  private next: Promise<Buffer> | undefined;
  private last: Promise<unknown> = Promise.resolve();

  constructor(text: MetricsText) {
    this.text = text;
  }

  render(): Promise<Buffer> {
    if (this.next === undefined) {
      this.next = this.last.then(() => this.renderNow());
      this.last = this.next.then(
        () => this.pause(),
        () => this.pause(),
      );
    }
    return this.next;
  }

  private tookMs = 0;

  private async renderNow(): Promise<Buffer> {
    const startMs = performance.now();
    // Requests from here on need a later rendering, so that they see newer figures.
    this.next = undefined;
    try {
      return Buffer.from(await this.text.metrics());
    } finally {
      this.tookMs = performance.now() - startMs;
    }
  }

  private pause(): Promise<unknown> {
    return sleep(RENDER_PAUSES * this.tookMs, undefined, { ref: false });
  }
}

async function answer(
  renderer: Renderer,
  contentType: string,
  request: IncomingMessage,
  response: ServerResponse,
  { log }: ScrapeOptions,
): Promise<void> {
  // The rest of the request is not read.
  const refuse = (status: number, message: string, headers: Record<string, string> = {}): void => {
    response
      .writeHead(status, { 'content-type': 'text/plain', connection: 'close', ...headers })
      .end(`${message}\n`);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    refuse(405, 'metrics are asked for with GET', { allow: 'GET, HEAD' });
    return;
  }
  if (request.url?.split('?', 1)[0] !== '/metrics') {
    refuse(404, 'metrics are at /metrics');
    return;
  }
  try {
    const body = await renderer.render();
    response
      .writeHead(200, { 'content-type': contentType, 'content-length': body.length })
      .end(request.method === 'HEAD' ? undefined : body);
  } catch (error) {
    log?.error({ err: error }, 'the metrics could not be put into words');
    refuse(500, String(error instanceof Error ? error.message : error));
  }
}

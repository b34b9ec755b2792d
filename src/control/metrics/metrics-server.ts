/**
 * `/metrics` over HTTP, on the address the configuration names and no other.
 *
 * Theory of operation
 *
 * Problem. Whoever reaches the address may ask in a crowd, ask on and on, send requests without reading answers, or hold
 * connections and say nothing. Prometheus must get its answer all the same, and the daemon stay small.
 *
 * Limits. A connection has one request at work; one that sends the next before it has the answer (Prometheus never does) is
 * closed. After a rendering nothing is rendered for RENDER_PAUSES times as long as it took. Who asks meanwhile waits for
 * the next one, which is for all who wait, as the same bytes in memory: so scrapes take no more than a part of the control
 * side's time however many ask, and figures are never older than the request. SCRAPERS_MAX connections are held; beyond it
 * one gives its place to the new one: of the address that has most of them, the one that has been without a request for
 * longest, else the one that has been at its answer for longest. An answer has to be read within ANSWER_TIMEOUT_MS.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

/** More than any Prometheus set-up opens. */
export const SCRAPERS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 10_000;
/** How often Node.js looks for requests that take too long to come. */
const CHECK_INTERVAL_MS = 2000;
const RENDER_PAUSES = 3;

/** What the server asks at each scrape; prom-client's Registry is one. */
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
  const crowd = new Crowd(options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS);
  const renderer = new Renderer(text);
  const server = createServer(
    {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    },
    (request, response) => {
      if (!crowd.beginAnswer(request.socket, response)) return;
      void answer(renderer, text.contentType, request, response, options);
    },
  );
  server.on('connection', (socket: Socket) => crowd.add(socket));
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  // As when there are no descriptors left for another connection.
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
  /** A request is at work, or its answer on its way. */
  isBusy: boolean;
  sinceMs: number;
}

/** Everybody who is connected. */
class Crowd {
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

  /** @returns false if the connection is closed: it has a request at work already */
  beginAnswer(socket: Socket, response: ServerResponse): boolean {
    const scraper = this.scrapers.get(socket);
    // There may be two thousand of them in what one read brought.
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
 * Closes a connection that has many requests at once. Node.js makes an error for each of them then, and a stack for
 * each error, which took half the time that such a flood costs (60,000 requests on Node.js 20: 3.2 s, without 1.3 to 1.8 s).
 */
function closeCheaply(socket: Socket): void {
  const { stackTraceLimit } = Error;
  socket.prependOnceListener('close', () => (Error.stackTraceLimit = 0));
  socket.once('close', () => (Error.stackTraceLimit = stackTraceLimit));
  socket.destroy();
}

/** Makes the text for whoever asks, one at a time and not too often. */
class Renderer {
  private readonly text: MetricsText;
  /** Has not begun: whoever asks now gets it. */
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
    // From here on who asks is to see what happened since.
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
  // What else it sends is not waited for.
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

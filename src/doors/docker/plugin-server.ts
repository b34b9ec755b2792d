/**
 * PluginServer speaks Docker's plugin protocol: HTTP/1.1 on a unix socket, a POST with a JSON body for each call.
 *
 * Only root reaches the socket. What it sends is bounded all the same: bytes, time, and connections. A call that fails
 * is answered with `Err`, which Docker shows to whoever asked for the container; of a driver that manages addresses it
 * reads `Error` in its place. Status 404 says that a method isn't there, and Docker goes on without it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { Members } from './members.ts';

const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';
const ACTIVATE = '/Plugin.Activate';
const HEADER_BYTES_MAX = 16 << 10;
/** Docker's requests have some hundred bytes, and more with many published ports. */
const BODY_BYTES_MAX = 1 << 20;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Docker has one for each call at work. */
const CONNECTIONS_MAX = 1024;
/** Of the socket: whoever can write to it can add interfaces. */
const MODE = 0o600;
const FOLDER_MODE = 0o755;
/** Where a socket from systemd is (sd_listen_fds(3)). */
const LISTEN_FD = 3;

type Method = (request: Members) => unknown;

export interface PluginServerOptions {
  /** The methods of each driver, by its name in the protocol. */
  readonly drivers: Readonly<Record<string, ReadonlyMap<string, Method>>>;
  /** A dockerd has found the driver. */
  readonly onActivate: () => void;
  readonly log: Pick<Logger, 'warn' | 'debug'>;
}

export class PluginServer {
  private readonly options: PluginServerOptions;
  private readonly server: Server;
  /** By the path of a call. */
  private readonly methods: ReadonlyMap<string, Method>;

  constructor(options: PluginServerOptions) {
    this.options = options;
    this.methods = new Map(
      Object.entries(options.drivers).flatMap(([driver, methods]) =>
        [...methods].map(([name, method]) => [`/${driver}.${name}`, method] as const),
      ),
    );
    const settings = {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
    };
    this.server = createServer(settings, (request, response) => {
      void this.serve(request, response);
    });
    this.server.maxConnections = CONNECTIONS_MAX;
  }

  /**
   * Listens at `path`, or on the socket that systemd hands over.
   * @throws Error with the code of listen(2)
   */
  async listen(path: string, environment: NodeJS.ProcessEnv): Promise<void> {
    const isHanded =
      environment['LISTEN_PID'] === String(process.pid) && environment['LISTEN_FDS'] === '1';
    if (isHanded) {
      await this.begin({ fd: LISTEN_FD });
      return;
    }
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    rmSync(path, { force: true });
    const before = process.umask(0o777 & ~MODE);
    try {
      await this.begin({ path });
      chmodSync(path, MODE);
    } finally {
      process.umask(before);
    }
  }

  /** Takes no new connection, and lets calls at work end. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeIdleConnections();
    await closed;
  }

  private begin(place: { readonly fd: number } | { readonly path: string }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(place, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = '' } = request;
    const { log } = this.options;
    const called = this.methods.get(url);
    if (method !== 'POST' || (called === undefined && url !== ACTIVATE)) {
      request.resume();
      send(response, 404, { Err: 'secgroupd has no such method' });
      return;
    }
    try {
      const body = await readBody(request);
      if (called === undefined) {
        this.options.onActivate();
        send(response, 200, { Implements: Object.keys(this.options.drivers) });
        return;
      }
      const answer = await called(new Members(body.length === 0 ? {} : JSON.parse(body)));
      log.debug({ call: url }, 'done');
      send(response, 200, answer);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.warn({ call: url, why }, 'a call of Docker failed');
      const sentence = `secgroupd: ${why}`;
      send(response, 200, { Err: sentence, Error: sentence });
    }
  }
}

/** @throws Error if it is too long, or ends early */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // The rest is thrown away as it comes: the sender then sees the answer.
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  if (bytes > BODY_BYTES_MAX) throw new Error(`a request has at most ${BODY_BYTES_MAX} bytes`);
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, status: number, answer: unknown): void {
  // Docker may have given up.
  if (response.destroyed || response.headersSent) return;
  const text = `${JSON.stringify(answer)}\n`;
  response
    .writeHead(status, {
      'content-type': CONTENT_TYPE,
      'content-length': Buffer.byteLength(text),
    })
    .end(text);
}

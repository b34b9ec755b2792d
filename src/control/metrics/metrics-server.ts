/** `/metrics` over HTTP, on the address the configuration names and no other. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** More than any Prometheus set-up opens; a crowd beyond it is refused, not served slowly. */
const CONNECTIONS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;

/** What the server asks at each scrape; prom-client's Registry is one. */
export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/**
 * Starts to listen.
 * @throws Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL) from the listen call
 */
export async function listenForScrapes(
  text: MetricsText,
  address: { readonly host: string; readonly port: number },
): Promise<Server> {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      void answer(text, request, response);
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  return server;
}

/** `http://127.0.0.1:9469/metrics` */
export function scrapeUrl(server: Server): string {
  const { address, family, port } = server.address() as AddressInfo;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/metrics`;
}

async function answer(
  text: MetricsText,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end();
    return;
  }
  if (request.url?.split('?', 1)[0] !== '/metrics') {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('metrics are at /metrics\n');
    return;
  }
  try {
    const body = await text.metrics();
    response.writeHead(200, { 'content-type': text.contentType }).end(body);
  } catch (error) {
    response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`);
  }
}

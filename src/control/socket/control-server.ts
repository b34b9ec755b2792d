/**
 * The control socket: a unix socket that takes requests (protocol.ts) and answers them in their order.
 *
 * Limits. CONNECTIONS_MAX at once; a request of REQUEST_BYTES_MAX; a connection that says nothing for
 * IDLE_TIMEOUT_MS is closed, and so is one that does not read its answers (its next request is not
 * taken before the last answer has left). So neither garbage nor a crowd costs more than a little memory.
 *
 * The socket file is for its owner and group (0660); who may connect may change the configuration.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import {
  PROTOCOL_VERSION,
  REQUEST_BYTES_MAX,
  type MethodName,
  type Methods,
  type Request,
  type Response,
} from './protocol.ts';

const CONNECTIONS_MAX = 32;
const IDLE_TIMEOUT_MS = 60_000;
const SOCKET_MODE = 0o660;
const DIRECTORY_MODE = 0o750;
const NEWLINE = 0x0a;

export type Handlers = {
  readonly [name in MethodName]: (
    params: Methods[name]['params'],
  ) => Promise<Methods[name]['result']>;
};

/**
 * Listens at `path`, whose directory is made if need be. A socket that a dead daemon left is replaced.
 * @throws Error with `code`: EADDRINUSE if a living daemon has it, EACCES, …
 */
export async function listenForControl(path: string, handlers: Handlers): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  if (await isAnswered(path)) {
    throw Object.assign(new Error(`another daemon listens at ${path}`), { code: 'EADDRINUSE' });
  }
  rmSync(path, { force: true });
  const server = createServer((socket) => serve(socket, handlers));
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Nobody else may connect between the socket's making and its chmod.
    const umask = process.umask(0o117);
    server.listen(path, resolve);
    process.umask(umask);
  });
  chmodSync(path, SOCKET_MODE);
  return server;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

function serve(socket: Socket, handlers: Handlers): void {
  let received = Buffer.alloc(0);
  let isBusy = false;
  const close = (): void => {
    socket.destroy();
  };
  const takeNext = (): void => {
    if (isBusy) return;
    const end = received.indexOf(NEWLINE);
    if (end < 0) {
      if (received.length > REQUEST_BYTES_MAX)
        socket.end(line(refusal(`a request has at most ${REQUEST_BYTES_MAX} bytes`)));
      return;
    }
    const text = received.toString('utf8', 0, end);
    received = received.subarray(end + 1);
    isBusy = true;
    socket.pause();
    void answer(text, handlers).then((response) => {
      // The callback comes when the answer has left: a client that doesn't read is not asked for more.
      socket.write(line(response), () => {
        isBusy = false;
        socket.resume();
        takeNext();
      });
    });
  };
  socket.setTimeout(IDLE_TIMEOUT_MS, close);
  socket.on('error', close);
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    takeNext();
  });
}

async function answer(text: string, handlers: Handlers): Promise<Response> {
  let request: Request;
  try {
    request = JSON.parse(text) as Request;
  } catch {
    return refusal('a request is one JSON object a line');
  }
  if (typeof request !== 'object' || request === null)
    return refusal('a request is one JSON object a line');
  const { version, method, params } = request;
  if (version !== PROTOCOL_VERSION) {
    return refusal(
      `this daemon speaks version ${PROTOCOL_VERSION} of the protocol, not ${String(version)}; use the sgctl that came with it`,
    );
  }
  if (typeof method !== 'string' || !Object.hasOwn(handlers, method)) {
    return refusal(
      `unknown method '${String(method)}'; there are ${Object.keys(handlers).join(', ')}`,
    );
  }
  if (params !== undefined && (typeof params !== 'object' || params === null))
    return refusal('params is a JSON object');
  try {
    const handle = handlers[method as MethodName] as (params: unknown) => Promise<unknown>;
    return { version: PROTOCOL_VERSION, ok: true, result: await handle(params ?? {}) };
  } catch (error) {
    return refusal(error instanceof Error ? error.message : String(error));
  }
}

function refusal(error: string): Response {
  return { version: PROTOCOL_VERSION, ok: false, error };
}

function line(response: Response): string {
  return `${JSON.stringify(response)}\n`;
}

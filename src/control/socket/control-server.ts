/**
 * The control socket: a unix socket that takes requests (protocol.ts) and answers them in their order.
 *
 * Theory of operation
 *
 * Problem. Whoever may connect may be slow, broken or many; the daemon's packets must not notice, its memory
 * must stay bounded, and somebody with a real question must get through.
 *
 * Limits. CONNECTIONS_MAX at once, STREAMS_MAX of them streams; who comes beyond is told so and let go. A request
 * has at most REQUEST_BYTES_MAX. A connection that says nothing for IDLE_TIMEOUT_MS is closed, and so is one that
 * does not read its answer (its next request is not taken before that has left). Of a stream, no more than
 * STREAM_QUEUE_BYTES wait for the client: what comes beyond is not sent but counted, and if nothing at all is read
 * for STALL_TIMEOUT_MS the connection is closed.
 *
 * The socket file is for its owner and group (0660); who may connect may change the configuration.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Handlers } from './handlers.ts';
import { PROTOCOL_VERSION, REQUEST_BYTES_MAX, type Request, type Response } from './protocol.ts';
import type { Sink } from './stream.ts';

export const CONNECTIONS_MAX = 32;
export const STREAMS_MAX = 16;
const IDLE_TIMEOUT_MS = 60_000;
export const STREAM_QUEUE_BYTES = 1 << 20;
const STALL_TIMEOUT_MS = 30_000;
const SOCKET_MODE = 0o660;
const DIRECTORY_MODE = 0o750;
const NEWLINE = 0x0a;

export type ControlHandlers = Pick<Handlers, 'methods' | 'streams'>;

export interface ControlOptions {
  /** How long a stream's client may read nothing while something waits for it. */
  readonly stallTimeoutMs?: number;
}

/** A request that is to be answered: once, or on and on. */
type Task =
  | { readonly kind: 'refuse'; readonly error: string }
  | { readonly kind: 'method'; readonly answer: () => Promise<unknown> }
  | { readonly kind: 'stream'; readonly follow: (sink: Sink<unknown>) => () => void };

/**
 * Listens at `path`, whose directory is made if need be. A socket that a dead daemon left is replaced.
 * @throws Error with `code`: EADDRINUSE if a living daemon has it, EACCES, …
 */
export async function listenForControl(
  path: string,
  handlers: ControlHandlers,
  options: ControlOptions = {},
): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  if (await isAnswered(path)) {
    throw Object.assign(new Error(`another daemon listens at ${path}`), { code: 'EADDRINUSE' });
  }
  rmSync(path, { force: true });
  const crowd = new Crowd();
  const server = createServer((socket) => {
    if (crowd.admit(socket)) new Connection(socket, handlers, crowd, options).start();
  });
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

/** Everybody who is connected. */
class Crowd {
  private connections = 0;
  streams = 0;

  /** Counts a connection until it closes; turns it away if there are enough. */
  admit(socket: Socket): boolean {
    socket.on('error', () => socket.destroy());
    if (this.connections >= CONNECTIONS_MAX) {
      const error = `${CONNECTIONS_MAX} others ask at the moment; try again`;
      // A line fits the socket's buffer, whether or not anybody reads.
      socket.end(line(refusal(error)), () => socket.destroy());
      return false;
    }
    this.connections++;
    socket.once('close', () => this.connections--);
    return true;
  }
}

class Connection {
  private readonly socket: Socket;
  private readonly handlers: ControlHandlers;
  private readonly crowd: Crowd;
  private readonly stallTimeoutMs: number;
  private received = Buffer.alloc(0);
  private isBusy = false;
  private isStreaming = false;

  constructor(socket: Socket, handlers: ControlHandlers, crowd: Crowd, options: ControlOptions) {
    this.socket = socket;
    this.handlers = handlers;
    this.crowd = crowd;
    this.stallTimeoutMs = options.stallTimeoutMs ?? STALL_TIMEOUT_MS;
  }

  start(): void {
    const { socket } = this;
    socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      // What is said into a stream is not read, so that it takes no memory either.
      if (this.isStreaming) return;
      this.received = Buffer.concat([this.received, chunk]);
      this.takeNext();
    });
  }

  private takeNext(): void {
    const { socket } = this;
    if (this.isBusy) return;
    const end = this.received.indexOf(NEWLINE);
    if (end < 0) {
      if (this.received.length <= REQUEST_BYTES_MAX) return;
      this.isBusy = true;
      this.received = Buffer.alloc(0);
      const error = `a request has at most ${REQUEST_BYTES_MAX} bytes`;
      socket.end(line(refusal(error)), () => socket.destroy());
      return;
    }
    const text = this.received.toString('utf8', 0, end);
    this.received = this.received.subarray(end + 1);
    this.isBusy = true;
    socket.pause();
    const task = readTask(text, this.handlers);
    if (task.kind === 'stream') this.stream(task.follow);
    else void answerTask(task).then((response) => this.answer(response));
  }

  private answer(response: Response): void {
    const { socket } = this;
    // The callback comes when the answer has left: a client that doesn't read is not asked for more.
    socket.write(line(response), () => {
      this.isBusy = false;
      socket.resume();
      this.takeNext();
    });
  }

  private stream(follow: (sink: Sink<unknown>) => () => void): void {
    const { socket, crowd } = this;
    if (crowd.streams >= STREAMS_MAX) {
      this.answer(refusal(`${STREAMS_MAX} others watch at the moment; try again`));
      return;
    }
    const queue = new StreamQueue(socket, this.stallTimeoutMs);
    let stop: () => void;
    try {
      stop = follow(queue);
    } catch (error) {
      queue.stop();
      this.answer(refusal(messageOf(error)));
      return;
    }
    this.isStreaming = true;
    this.received = Buffer.alloc(0);
    crowd.streams++;
    queue.begin();
    socket.once('close', () => {
      crowd.streams--;
      queue.stop();
      stop();
    });
    // A stream may be silent for as long as nothing happens; that the client hangs up is seen by reading.
    socket.setTimeout(0);
    socket.resume();
  }
}

/** Answers on their way to a client that follows. */
class StreamQueue implements Sink<unknown> {
  private readonly socket: Socket;
  private readonly timer: NodeJS.Timeout;
  private missed = 0;
  /** When something last left, or nothing waited. */
  private movedMs = performance.now();

  constructor(socket: Socket, stallTimeoutMs: number) {
    this.socket = socket;
    this.timer = setInterval(() => {
      const isIdle = socket.writableLength === 0;
      if (isIdle) this.movedMs = performance.now();
      else if (performance.now() - this.movedMs > stallTimeoutMs) socket.destroy();
    }, stallTimeoutMs / 4).unref();
  }

  /** Tells the client that it is followed from now on. */
  begin(): void {
    this.write({ version: PROTOCOL_VERSION, ok: true, more: true });
  }

  send(result: unknown, items: number): boolean {
    const { socket, missed } = this;
    if (socket.writableLength > STREAM_QUEUE_BYTES) {
      this.missed += items;
      return false;
    }
    this.missed = 0;
    const more = { version: PROTOCOL_VERSION, ok: true, more: true } as const;
    this.write(missed === 0 ? { ...more, result } : { ...more, missed, result });
    return true;
  }

  miss(items: number): void {
    this.missed += items;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private write(response: Response): void {
    if (!this.socket.writable) return;
    this.socket.write(line(response), () => {
      this.movedMs = performance.now();
    });
  }
}

function readTask(text: string, { methods, streams }: ControlHandlers): Task {
  const refuse = (error: string): Task => ({ kind: 'refuse', error });
  let request: Request;
  try {
    request = JSON.parse(text) as Request;
  } catch {
    return refuse('a request is one JSON object a line');
  }
  if (typeof request !== 'object' || request === null)
    return refuse('a request is one JSON object a line');
  const { version, method, params } = request;
  if (version !== PROTOCOL_VERSION) {
    return refuse(
      `this daemon speaks version ${PROTOCOL_VERSION} of the protocol, not ${printed(version)}; use the sgctl that came with it`,
    );
  }
  const names = [...Object.keys(methods), ...Object.keys(streams)];
  if (typeof method !== 'string' || !names.includes(method))
    return refuse(`unknown method '${printed(method)}'; there are ${names.join(', ')}`);
  if (params !== undefined && (typeof params !== 'object' || params === null))
    return refuse('params is a JSON object');
  // What is in them is for the handler to check: their types are a promise of sgctl's, not of a stranger's.
  const given = (params ?? {}) as never;
  if (Object.hasOwn(streams, method)) {
    const follow = streams[method as keyof typeof streams];
    return { kind: 'stream', follow: (sink) => follow(given, sink) };
  }
  const handle = methods[method as keyof typeof methods] as (params: never) => Promise<unknown>;
  return { kind: 'method', answer: () => handle(given) };
}

async function answerTask(task: Exclude<Task, { kind: 'stream' }>): Promise<Response> {
  if (task.kind === 'refuse') return refusal(task.error);
  try {
    return { version: PROTOCOL_VERSION, ok: true, result: await task.answer() };
  } catch (error) {
    return refusal(messageOf(error));
  }
}

/** A stranger's word in our error: not too much of it. */
function printed(word: unknown): string {
  return String(word).slice(0, 64);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refusal(error: string): Response {
  return { version: PROTOCOL_VERSION, ok: false, error };
}

function line(response: Response): string {
  return `${JSON.stringify(response)}\n`;
}

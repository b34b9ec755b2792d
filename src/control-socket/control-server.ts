/**
 * The control server answers requests (protocol.ts) on a unix socket, in the order of each connection.
 *
 * Theory of operation
 *
 * Problem. Clients may be slow, broken or many. Packets must not be delayed, memory must stay bounded, and a person
 * with a real question must get through.
 *
 * Limits. There are at most CONNECTIONS_MAX connections, and STREAMS_MAX of them may be streams. When all places are
 * taken, a new connection replaces the one that has been silent for longest, or else one that has not read its answer
 * for UNREAD_GRACE_MS. Only if all are at work is the new one told so and closed. A request has at most
 * REQUEST_BYTES_MAX bytes. requests.ts reads it and accepts any bytes. A connection is closed if it sends nothing, or
 * does not read its answer, for IDLE_TIMEOUT_MS. Its next request is not read before the answer has been sent. At
 * most STREAM_QUEUE_BYTES of a stream wait for the client. Further answers are not sent but counted. If the client
 * reads nothing at all for STALL_TIMEOUT_MS, the connection is closed.
 *
 * Whatever a handler throws becomes an answer. If it is not a refusal, it is also logged.
 *
 * The socket file is for its owner and group (0660). Whoever may connect may ask for all that the handlers answer. A
 * program that needs little gets a socket of its own, with few of the handlers; the others are refused there.
 */
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { RequestError } from '../queries/traffic-filter.ts';
import { describeKind } from '../source/read-text.ts';
import { PROTOCOL_VERSION, REQUEST_BYTES_MAX, type Handlers, type Response } from './protocol.ts';
import { RequestLines } from './request-line.ts';
import { readRequest } from './requests.ts';
import type { Sink } from '../queries/stream.ts';

export const CONNECTIONS_MAX = 32;
export const STREAMS_MAX = 16;
const IDLE_TIMEOUT_MS = 60_000;
/** A client that has not read its answer for so long loses its place when others need it. */
const UNREAD_GRACE_MS = 2000;
export const STREAM_QUEUE_BYTES = 1 << 20;
const STALL_TIMEOUT_MS = 30_000;
const SOCKET_MODE = 0o660;
/** sun_path of unix(7), without the NUL at its end. */
const PATH_BYTES_MAX = 107;
const DIRECTORY_MODE = 0o750;

/** What a socket answers. All else is refused. */
export interface ControlHandlers {
  readonly methods: Partial<Handlers['methods']>;
  readonly streams: Partial<Handlers['streams']>;
}

export interface ControlOptions {
  /** How long a connection may send nothing, or leave its answer unread. */
  readonly idleTimeoutMs?: number;
  /** How long a stream's client may read nothing while answers wait for it. */
  readonly stallTimeoutMs?: number;
  /** Called with a description of each failure on our side. */
  readonly onError?: (what: string, error: unknown) => void;
}

/** A request to answer: once, or as a stream. */
type Task =
  | { readonly kind: 'refuse'; readonly error: string }
  | { readonly kind: 'method'; readonly name: string; readonly answer: () => Promise<unknown> }
  | {
      readonly kind: 'stream';
      readonly name: string;
      readonly follow: (sink: Sink<unknown>) => () => void;
    };

/**
 * Listens at `path` and creates its directory if needed. Only a socket that a dead daemon left is replaced.
 * @throws Error with `code`: EADDRINUSE if a living daemon has it, EEXIST if it is something else, EACCES, …
 */
export async function listenForControl(
  path: string,
  handlers: ControlHandlers,
  options: ControlOptions = {},
): Promise<Server> {
  // The kernel would cut a longer path.
  if (Buffer.byteLength(path) > PATH_BYTES_MAX)
    throw Object.assign(new Error('its path is too long'), { code: 'ENAMETOOLONG' });
  mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
  if (await isAnswered(path)) {
    throw Object.assign(new Error(`another daemon listens at ${path}`), { code: 'EADDRINUSE' });
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && !found.isSocket())
    throw Object.assign(new Error(`${path} is ${describeKind(found)}, not a socket`), {
      code: 'EEXIST',
    });
  rmSync(path, { force: true });
  const limits = new ConnectionLimits();
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (limits.hasRoom()) limits.add(new Connection(socket, handlers, limits, options));
    else turnAway(socket, busy(`${CONNECTIONS_MAX} others ask at the moment; try again`));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // The umask keeps others out between the creation of the socket and its chmod.
    const umask = process.umask(0o117);
    server.listen(path, resolve);
    process.umask(umask);
  });
  try {
    chmodSync(path, SOCKET_MODE);
  } catch (error) {
    server.close();
    throw error;
  }
  // For example: no descriptors are left for another connection.
  server.on('error', (error) => options.onError?.('a connection to the control socket', error));
  return server;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // EAGAIN: its queue of connections is full, so a daemon is there.
    probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'));
  });
}

/** Bounds the number of connections and streams. */
class ConnectionLimits {
  private readonly connections = new Set<Connection>();
  streams = 0;

  /** Finds a place for one more connection, by closing another if needed. @returns false if there is none */
  hasRoom(): boolean {
    if (this.connections.size < CONNECTIONS_MAX) return true;
    const known = [...this.connections];
    const silent = known.filter((one) => one.state === 'silent');
    const unread = known.filter((one) => one.state === 'unread' && one.quietMs > UNREAD_GRACE_MS);
    const longest = (silent.length > 0 ? silent : unread).sort((a, b) => b.quietMs - a.quietMs)[0];
    if (longest === undefined) return false;
    this.connections.delete(longest);
    longest.giveWay();
    return true;
  }

  add(connection: Connection): void {
    this.connections.add(connection);
    connection.start(() => this.connections.delete(connection));
  }
}

class Connection {
  private readonly socket: Socket;
  private readonly handlers: ControlHandlers;
  private readonly limits: ConnectionLimits;
  private readonly options: ControlOptions;
  private readonly lines = new RequestLines(REQUEST_BYTES_MAX);
  private sinceMs = performance.now();
  /** Idle; answering a request; waiting for the client to read the answer; following a stream; closed. */
  state: 'silent' | 'busy' | 'unread' | 'stream' | 'over' = 'silent';

  constructor(
    socket: Socket,
    handlers: ControlHandlers,
    limits: ConnectionLimits,
    options: ControlOptions,
  ) {
    this.socket = socket;
    this.handlers = handlers;
    this.limits = limits;
    this.options = options;
  }

  /** How long the connection has been in its state. */
  get quietMs(): number {
    return performance.now() - this.sinceMs;
  }

  start(onClose: () => void): void {
    const { socket, lines } = this;
    socket.setTimeout(this.options.idleTimeoutMs ?? IDLE_TIMEOUT_MS, () => socket.destroy());
    socket.once('close', onClose);
    socket.on('data', (chunk) => {
      // Bytes sent during a stream or after the end are discarded, so that they take no memory.
      if (this.state === 'stream' || this.state === 'over') return;
      lines.add(chunk);
      this.takeNext();
    });
  }

  /** Closes the connection because its place is needed. */
  giveWay(): void {
    const { socket, state } = this;
    if (state === 'unread') socket.destroy();
    else
      this.end(busy(`${CONNECTIONS_MAX} others ask at the moment, and this connection was silent`));
  }

  private enter(state: Connection['state']): void {
    this.state = state;
    this.sinceMs = performance.now();
  }

  private end(response: Response): void {
    this.enter('over');
    this.lines.clear();
    turnAway(this.socket, response);
  }

  private takeNext(): void {
    if (this.state !== 'silent') return;
    const request = this.lines.take();
    if (request === undefined) return;
    if (request === 'too long') {
      this.end(refusal(`a request has at most ${REQUEST_BYTES_MAX} bytes`));
      return;
    }
    this.enter('busy');
    this.socket.pause();
    const task = readTask(request, this.handlers);
    if (task.kind === 'stream') this.stream(task.name, task.follow);
    else void this.answerTask(task).then((text) => this.answer(text));
  }

  /** Makes the answer as a line. Never rejects. */
  private async answerTask(task: Exclude<Task, { kind: 'stream' }>): Promise<string> {
    if (task.kind === 'refuse') return line(refusal(task.error));
    try {
      return line({ version: PROTOCOL_VERSION, ok: true, result: await task.answer() });
    } catch (error) {
      return this.refuse(task.name, error);
    }
  }

  private refuse(name: string, error: unknown): string {
    if (!(error instanceof RequestError)) this.options.onError?.(name, error);
    return line(refusal(messageOf(error)));
  }

  private answer(text: string): void {
    const { socket } = this;
    this.enter('unread');
    // The callback runs when the answer has been sent. Only then is the next request read.
    socket.write(text, () => {
      if (this.state !== 'unread') return;
      this.enter('silent');
      socket.resume();
      this.takeNext();
    });
  }

  private stream(name: string, follow: (sink: Sink<unknown>) => () => void): void {
    const { socket, limits } = this;
    if (limits.streams >= STREAMS_MAX) {
      this.answer(line(refusal(`${STREAMS_MAX} others watch at the moment; try again`)));
      return;
    }
    const queue = new StreamQueue(socket, this.options.stallTimeoutMs ?? STALL_TIMEOUT_MS);
    let stop: () => void;
    try {
      stop = follow(queue);
    } catch (error) {
      queue.stop();
      this.answer(this.refuse(name, error));
      return;
    }
    this.enter('stream');
    this.lines.clear();
    limits.streams++;
    queue.begin();
    socket.once('close', () => {
      limits.streams--;
      queue.stop();
      stop();
    });
    // A stream may be silent for as long as nothing happens. Reading shows when the client hangs up.
    socket.setTimeout(0);
    socket.resume();
  }
}

/** Sends the reason and closes. One line fits the socket's buffer even if nobody reads. */
function turnAway(socket: Socket, response: Response): void {
  socket.end(line(response), () => socket.destroy());
}

/** The queue of answers to the client of a stream. */
class StreamQueue implements Sink<unknown> {
  private readonly socket: Socket;
  private readonly timer: NodeJS.Timeout;
  private missed = 0;
  /** When an answer was last sent, or nothing was waiting. */
  private movedMs = performance.now();

  constructor(socket: Socket, stallTimeoutMs: number) {
    this.socket = socket;
    this.timer = setInterval(() => {
      const isIdle = socket.writableLength === 0;
      if (isIdle) this.movedMs = performance.now();
      else if (performance.now() - this.movedMs > stallTimeoutMs) socket.destroy();
    }, stallTimeoutMs / 4).unref();
  }

  /** Tells the client that the stream has begun. */
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

function readTask(bytes: Buffer, { methods, streams }: ControlHandlers): Task {
  try {
    const { name, params } = readRequest(bytes, Object.keys({ ...methods, ...streams }));
    // requests.ts has checked that the parameters have the types that the handler takes.
    const given = params as never;
    const follow = streams[name as keyof typeof streams];
    if (follow !== undefined)
      return { kind: 'stream', name, follow: (sink) => follow(given, sink) };
    const handle = methods[name as keyof typeof methods] as (params: never) => Promise<unknown>;
    return { kind: 'method', name, answer: () => handle(given) };
  } catch (error) {
    return { kind: 'refuse', error: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refusal(error: string): Response {
  return { version: PROTOCOL_VERSION, ok: false, error };
}

function busy(error: string): Response {
  return { version: PROTOCOL_VERSION, ok: false, error, busy: true };
}

function line(response: Response): string {
  return `${JSON.stringify(response)}\n`;
}

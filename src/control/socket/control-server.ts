/**
 * The control socket: a unix socket that takes requests (protocol.ts) and answers them in their order.
 *
 * Theory of operation
 *
 * Problem. Whoever may connect may be slow, broken or many; the daemon's packets must not notice, its memory
 * must stay bounded, and somebody with a real question must get through.
 *
 * Limits. CONNECTIONS_MAX at once, STREAMS_MAX of them streams. When all places are taken the connection that has been silent
 * for longest gives its place to a new one, or else one that has not read its answer for a while; only if all are
 * at work is a new one told so and let go. A request has at most REQUEST_BYTES_MAX, and is read by requests.ts, which takes any bytes. A
 * connection that says nothing for IDLE_TIMEOUT_MS is closed, and so is one that does not read its answer (its next request is not taken
 * before that has left). Of a stream, no more than STREAM_QUEUE_BYTES wait for the client: what comes beyond is not sent but counted, and
 * if nothing at all is read for STALL_TIMEOUT_MS the connection is closed.
 *
 * Whatever a handler throws is an answer, and told to the daemon's log if it is no refusal.
 *
 * The socket file is for its owner and group (0660); who may connect may change the configuration.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { RequestError } from '../views/traffic-filter.ts';
import type { Handlers } from './handlers.ts';
import { PROTOCOL_VERSION, REQUEST_BYTES_MAX, type Response } from './protocol.ts';
import { RequestLines } from './request-line.ts';
import { readRequest } from './requests.ts';
import type { Sink } from './stream.ts';

export const CONNECTIONS_MAX = 32;
export const STREAMS_MAX = 16;
const IDLE_TIMEOUT_MS = 60_000;
/** Who has not read its answer for so long gives way to others. */
const UNREAD_GRACE_MS = 2000;
export const STREAM_QUEUE_BYTES = 1 << 20;
const STALL_TIMEOUT_MS = 30_000;
const SOCKET_MODE = 0o660;
const DIRECTORY_MODE = 0o750;

export type ControlHandlers = Pick<Handlers, 'methods' | 'streams'>;

export interface ControlOptions {
  /** How long a connection may say nothing, or not read its answer. */
  readonly idleTimeoutMs?: number;
  /** How long a stream's client may read nothing while something waits for it. */
  readonly stallTimeoutMs?: number;
  /** Told of what went wrong on our side, in words. */
  readonly onError?: (what: string, error: unknown) => void;
}

/** A request that is to be answered: once, or on and on. */
type Task =
  | { readonly kind: 'refuse'; readonly error: string }
  | { readonly kind: 'method'; readonly name: string; readonly answer: () => Promise<unknown> }
  | {
      readonly kind: 'stream';
      readonly name: string;
      readonly follow: (sink: Sink<unknown>) => () => void;
    };

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
    socket.on('error', () => socket.destroy());
    if (crowd.hasRoom()) crowd.add(new Connection(socket, handlers, crowd, options));
    else turnAway(socket, `${CONNECTIONS_MAX} others ask at the moment; try again`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Nobody else may connect between the socket's making and its chmod.
    const umask = process.umask(0o117);
    server.listen(path, resolve);
    process.umask(umask);
  });
  chmodSync(path, SOCKET_MODE);
  // As when there are no descriptors left for another connection.
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
    // EAGAIN: so many ask it that the kernel lets nobody wait any more.
    probe.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'));
  });
}

/** Everybody who is connected. */
class Crowd {
  private readonly connections = new Set<Connection>();
  streams = 0;

  /** Whether there is a place for one more, after somebody gave way if need be. */
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
  private readonly crowd: Crowd;
  private readonly options: ControlOptions;
  private readonly lines = new RequestLines(REQUEST_BYTES_MAX);
  private sinceMs = performance.now();
  /** It says nothing; a request is being answered; the answer is not read yet; it follows a stream; it is over. */
  state: 'silent' | 'busy' | 'unread' | 'stream' | 'over' = 'silent';

  constructor(socket: Socket, handlers: ControlHandlers, crowd: Crowd, options: ControlOptions) {
    this.socket = socket;
    this.handlers = handlers;
    this.crowd = crowd;
    this.options = options;
  }

  /** How long it has been in its state. */
  get quietMs(): number {
    return performance.now() - this.sinceMs;
  }

  start(onClose: () => void): void {
    const { socket, lines } = this;
    socket.setTimeout(this.options.idleTimeoutMs ?? IDLE_TIMEOUT_MS, () => socket.destroy());
    socket.once('close', onClose);
    socket.on('data', (chunk) => {
      // What is said into a stream, or after the end, is not read, so that it takes no memory either.
      if (this.state === 'stream' || this.state === 'over') return;
      lines.add(chunk);
      this.takeNext();
    });
  }

  /** Its place is needed. */
  giveWay(): void {
    const { socket, state } = this;
    if (state === 'unread') socket.destroy();
    else this.end(`${CONNECTIONS_MAX} others ask at the moment, and this connection was silent`);
  }

  private enter(state: Connection['state']): void {
    this.state = state;
    this.sinceMs = performance.now();
  }

  private end(error: string): void {
    this.enter('over');
    this.lines.clear();
    turnAway(this.socket, error);
  }

  private takeNext(): void {
    if (this.state !== 'silent') return;
    const request = this.lines.take();
    if (request === undefined) return;
    if (request === 'too long') {
      this.end(`a request has at most ${REQUEST_BYTES_MAX} bytes`);
      return;
    }
    this.enter('busy');
    this.socket.pause();
    const task = readTask(request, this.handlers);
    if (task.kind === 'stream') this.stream(task.name, task.follow);
    else void this.answerTask(task).then((text) => this.answer(text));
  }

  /** The answer as a line; never rejects. */
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
    // The callback comes when the answer has left: a client that doesn't read is not asked for more.
    socket.write(text, () => {
      if (this.state !== 'unread') return;
      this.enter('silent');
      socket.resume();
      this.takeNext();
    });
  }

  private stream(name: string, follow: (sink: Sink<unknown>) => () => void): void {
    const { socket, crowd } = this;
    if (crowd.streams >= STREAMS_MAX) {
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

/** Says why, and closes. A line fits the socket's buffer, whether or not anybody reads. */
function turnAway(socket: Socket, error: string): void {
  socket.end(line(refusal(error)), () => socket.destroy());
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

function readTask(bytes: Buffer, { methods, streams }: ControlHandlers): Task {
  try {
    const { name, params } = readRequest(bytes);
    // requests.ts has seen to it that they are of the kinds that the handler takes.
    const given = params as never;
    if (name in streams) {
      const follow = streams[name as keyof typeof streams];
      return { kind: 'stream', name, follow: (sink) => follow(given, sink) };
    }
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

function line(response: Response): string {
  return `${JSON.stringify(response)}\n`;
}

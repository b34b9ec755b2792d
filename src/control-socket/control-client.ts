/** This client sends requests to a running daemon over its control socket. */
import { connect, type Socket } from 'node:net';
import {
  PROTOCOL_VERSION,
  type MethodName,
  type Methods,
  type Response,
  type StreamName,
  type Streams,
} from './protocol.ts';

/** The path where the service listens. */
export const DEFAULT_SOCKET = '/run/secgroupd/control.sock';

/** The path where the service answers `instance` and `platform` alone. */
export const INSTANCES_SOCKET = '/run/secgroup-instances/daemon.sock';

/** Even a big answer, such as thousands of connections in a dry run, is well below this. */
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * `absent`: no daemon listens. `busy`: it has done nothing, and may be asked again. `refused`: it says no. `cut`: the
 * connection broke, which may be the daemon's end, or come before the answer that it is busy. `failed`: anything else.
 */
export type ControlFailure = 'absent' | 'busy' | 'refused' | 'cut' | 'failed';

/** The exchange with the daemon failed. The message is for a person. */
export class ControlError extends Error {
  readonly failure: ControlFailure;

  constructor(message: string, failure: ControlFailure = 'failed') {
    super(message);
    this.failure = failure;
  }
}

/**
 * Sends one request and returns its answer.
 * @throws ControlError if there is no daemon at `path`, it doesn't answer in time, or it refuses
 */
export async function ask<Name extends MethodName>(
  path: string,
  method: Name,
  params: Methods[Name]['params'],
  timeoutMs = 30_000,
): Promise<Methods[Name]['result']> {
  const text = await exchange(path, requestLine(method, params), timeoutMs);
  const response = JSON.parse(text) as Response;
  if (!response.ok) throw refusalOf(response);
  return response.result as Methods[Name]['result'];
}

/** What a client of a stream provides. */
export interface Follower<Result> {
  /** Called when the daemon has begun to follow: from now on nothing is overlooked. */
  readonly begin?: () => void;
  /**
   * Takes an answer. If it returns a promise, reading pauses until that resolves, so that unwritten answers do not
   * pile up.
   * @param missed how much was not sent since the answer before, because this client read too slowly
   */
  readonly take: (result: Result, missed: number) => void | Promise<void>;
  /** Ends the stream from this side. */
  readonly signal: AbortSignal;
}

/**
 * Follows a stream until it is hung up.
 * @throws ControlError if there is no daemon at `path`, it refuses, or it goes away
 */
export function follow<Name extends StreamName>(
  path: string,
  method: Name,
  params: Streams[Name]['params'],
  { begin, take, signal }: Follower<Streams[Name]['result']>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const socket = connect(path);
    const end = (error?: ControlError): void => {
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    signal.addEventListener('abort', () => end(), { once: true });
    socket.once('connect', () => socket.write(requestLine(method, params)));
    socket.once('error', (error: NodeJS.ErrnoException) => end(connectError(path, error)));
    socket.once('close', () => end(new ControlError(`the daemon at ${path} has gone`)));
    readLines(socket, end, (text) => {
      if (signal.aborted) return;
      const response = JSON.parse(text) as Response;
      if (!response.ok) end(refusalOf(response));
      else if (response.result === undefined) begin?.();
      else {
        const busy = take(response.result as Streams[Name]['result'], response.missed ?? 0);
        if (busy === undefined) return;
        socket.pause();
        busy.then(() => socket.resume(), reject);
      }
    });
  });
}

function readLines(
  socket: Socket,
  fail: (error: ControlError) => void,
  take: (line: string) => void,
): void {
  let chunks: Buffer[] = [];
  let bytes = 0;
  socket.on('data', (chunk) => {
    let rest = chunk;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      take(Buffer.concat([...chunks, rest.subarray(0, end)]).toString('utf8'));
      chunks = [];
      bytes = 0;
      rest = rest.subarray(end + 1);
    }
    chunks.push(rest);
    bytes += rest.length;
    if (bytes > RESPONSE_BYTES_MAX) fail(new ControlError('the answer is too long'));
  });
}

function requestLine(method: string, params: unknown): string {
  return `${JSON.stringify({ version: PROTOCOL_VERSION, method, params })}\n`;
}

function exchange(path: string, request: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const fail = (error: ControlError): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(timeoutMs, () =>
      fail(new ControlError(`the daemon at ${path} did not answer within ${timeoutMs / 1000} s`)),
    );
    socket.once('connect', () => socket.write(request));
    socket.once('error', (error: NodeJS.ErrnoException) => fail(connectError(path, error)));
    socket.once('close', () =>
      fail(new ControlError('the daemon closed the connection without an answer', 'cut')),
    );
    readLines(socket, fail, (text) => {
      socket.end();
      resolve(text);
    });
  });
}

function refusalOf({ error, busy }: Extract<Response, { ok: false }>): ControlError {
  return new ControlError(error, busy === true ? 'busy' : 'refused');
}

function connectError(path: string, error: NodeJS.ErrnoException): ControlError {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new ControlError(
        `no daemon listens at ${path}; is it running? (--socket PATH or --lab NAME names another one)`,
        'absent',
      );
    case 'EACCES':
      return new ControlError(
        `this user may not connect to ${path}; ask as root or as a member of the socket's group`,
      );
    case 'EPIPE':
    case 'ECONNRESET':
      return new ControlError(`${path}: ${error.message}`, 'cut');
    case 'EAGAIN':
      return new ControlError(`too many ask ${path} at the moment; try again`, 'busy');
    default:
      return new ControlError(`${path}: ${error.message}`);
  }
}

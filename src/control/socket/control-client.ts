/** Asks a running daemon over its control socket. */
import { connect, type Socket } from 'node:net';
import {
  PROTOCOL_VERSION,
  type MethodName,
  type Methods,
  type Response,
  type StreamName,
  type Streams,
} from './protocol.ts';

/** Where the service listens. */
export const DEFAULT_SOCKET = '/run/secgroupd/control.sock';

/** A big answer, as thousands of connections in a dry run, is well below. */
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;

/** What went wrong between here and the daemon, in words for a person. */
export class ControlError extends Error {}

/**
 * One request, one answer.
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
  if (!response.ok) throw new ControlError(response.error);
  return response.result as Methods[Name]['result'];
}

/** What a follower is given. */
export interface Follower<Result> {
  /** The daemon listens: from now on nothing escapes it. */
  readonly begin?: () => void;
  /**
   * No more is read until a promise it returns is done, so that what we can't write anywhere does not pile up here.
   * @param missed how much could not be sent since the answer before, because we read too slowly
   */
  readonly take: (result: Result, missed: number) => void | Promise<void>;
  /** Hang up, from our side. */
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
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(new ControlError(connectMessage(path, error))),
    );
    socket.once('close', () => end(new ControlError(`the daemon at ${path} has gone`)));
    readLines(socket, end, (text) => {
      if (signal.aborted) return;
      const response = JSON.parse(text) as Response;
      if (!response.ok) end(new ControlError(response.error));
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
    const fail = (message: string): void => {
      socket.destroy();
      reject(new ControlError(message));
    };
    socket.setTimeout(timeoutMs, () =>
      fail(`the daemon at ${path} did not answer within ${timeoutMs / 1000} s`),
    );
    socket.once('connect', () => socket.write(request));
    socket.once('error', (error: NodeJS.ErrnoException) => fail(connectMessage(path, error)));
    socket.once('close', () => fail('the daemon closed the connection without an answer'));
    readLines(
      socket,
      ({ message }) => fail(message),
      (text) => {
        socket.end();
        resolve(text);
      },
    );
  });
}

function connectMessage(path: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return `no daemon listens at ${path}; is it running? (--socket PATH or --lab NAME names another one)`;
    case 'EACCES':
      return `this user may not connect to ${path}; ask as root or as a member of the socket's group`;
    case 'EAGAIN':
      return `too many ask ${path} at the moment; try again`;
    default:
      return `${path}: ${error.message}`;
  }
}

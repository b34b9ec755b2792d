/** Asks a running daemon over its control socket. */
import { connect } from 'node:net';
import { PROTOCOL_VERSION, type MethodName, type Methods, type Response } from './protocol.ts';

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
  const text = await exchange(
    path,
    `${JSON.stringify({ version: PROTOCOL_VERSION, method, params })}\n`,
    timeoutMs,
  );
  const response = JSON.parse(text) as Response;
  if (!response.ok) throw new ControlError(response.error);
  return response.result as Methods[Name]['result'];
}

function exchange(path: string, request: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
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
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > RESPONSE_BYTES_MAX) fail('the answer is too long');
      if (chunk.at(-1) !== 0x0a) return;
      socket.end();
      resolve(Buffer.concat(chunks).toString('utf8'));
    });
    socket.once('close', () => fail('the daemon closed the connection without an answer'));
  });
}

function connectMessage(path: string, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return `no daemon listens at ${path}; is it running? (--socket PATH or --lab NAME names another one)`;
    case 'EACCES':
      return `this user may not connect to ${path}; ask as root or as a member of the socket's group`;
    default:
      return `${path}: ${error.message}`;
  }
}

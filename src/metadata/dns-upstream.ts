/**
 * DnsUpstream asks a resolver one question.
 *
 * Whoever can make an instance ask must not be able to answer in the resolver's place. So each question has an id of
 * its own from a secure generator, and a socket of its own, whose port the kernel chooses. The socket is connected, so
 * that the kernel drops what another host sends. An answer must repeat id and question (RFC 5452 section 9.1).
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { isAnswer, withId, type DnsQuestion } from './dns-message.ts';
import type { Resolver } from './resolvers.ts';

const ID_MAX = 0xffff;
/** RFC 1035 section 4.2.2. */
export const LENGTH_BYTES = 2;

export interface Asked {
  readonly query: Buffer;
  readonly question: DnsQuestion;
  readonly timeoutMs: number;
}

/** The answer, with the id of the query; undefined: none came in time, or nobody is there. */
export async function askResolver(
  resolver: Resolver,
  asked: Asked,
  isStream: boolean,
): Promise<Buffer | undefined> {
  const id = randomInt(ID_MAX + 1);
  const ask = isStream ? askByTcp : askByUdp;
  const answer = await ask(resolver, { ...asked, query: withId(asked.query, id) }, id);
  return answer === undefined ? undefined : withId(answer, asked.query.readUInt16BE(0));
}

function askByUdp(
  { address, port }: Resolver,
  { query, question, timeoutMs }: Asked,
  id: number,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    const end = (answer?: Buffer): void => {
      clearTimeout(timer);
      socket.removeAllListeners().on('error', () => undefined);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs).unref();
    // The process lives by the sockets that it answers at.
    socket.unref();
    socket.once('error', () => end());
    socket.on('message', (message) => {
      if (isAnswer(message, id, question)) end(message);
    });
    socket.connect(port, address, () => socket.send(query));
  });
}

function askByTcp(
  { address, port }: Resolver,
  { query, question, timeoutMs }: Asked,
  id: number,
): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let received = Buffer.alloc(0);
    const end = (answer?: Buffer): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, timeoutMs).unref();
    socket.unref();
    socket.on('error', () => end());
    socket.once('end', () => end());
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      const answer = unframed(received);
      if (answer === undefined) return;
      end(isAnswer(answer, id, question) ? answer : undefined);
    });
    socket.write(framed(query));
  });
}

/** The first message of what came over TCP; undefined: not all of it is there. */
export function unframed(received: Buffer): Buffer | undefined {
  if (received.length < LENGTH_BYTES) return undefined;
  const whole = LENGTH_BYTES + received.readUInt16BE(0);
  return received.length < whole ? undefined : received.subarray(LENGTH_BYTES, whole);
}

/** A message behind its length, as it goes over TCP. */
export function framed(message: Buffer): Buffer {
  const frame = Buffer.alloc(LENGTH_BYTES + message.length);
  frame.writeUInt16BE(message.length, 0);
  message.copy(frame, LENGTH_BYTES);
  return frame;
}

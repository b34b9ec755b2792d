/**
 * DnsForwarder answers what instances ask at the platform's DNS addresses with what a resolver of the host says.
 *
 * Theory of operation. Nothing is cached and no record is read: a message goes on as it came, but for its id. What
 * instances send is bounded for each and for all: questions a second (1,024, as AWS has it), questions that wait for an
 * answer, and connections. What is beyond that is dropped, as packets beyond AWS's limit are. Each question has its own
 * socket and its own time, so a resolver that is slow for one holds up nobody else. A connection is read no further
 * while its answers are not taken.
 */
import type { Socket as DatagramSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';
import { RequestLimit } from '../api/token-bucket.ts';
import { Budget } from './budget.ts';
import { fitAnswer, makeRefusal, readQuery, SERVFAIL, type DnsQuestion } from './dns-message.ts';
import { askResolver, framed, LENGTH_BYTES, unframed } from './dns-upstream.ts';
import type { Resolvers } from './resolvers.ts';

/** Amazon VPC User Guide, "DNS quotas": packets a second of each network interface. */
const QUESTIONS_PER_SECOND = 1024;
const WAITING_MAX = 4096;
const WAITING_MAX_OF_ONE = 256;
const CONNECTIONS_MAX = 1024;
const CONNECTIONS_MAX_OF_ONE = 16;
/** Of one connection. */
const PIPELINED_MAX = 8;
const IDLE_MS = 10_000;
const TRIES = 2;
const TRY_MS = 2000;

export interface DnsCounts {
  questions: number;
  answers: number;
  /** Answered with FORMERR or NOTIMP. */
  malformed: number;
  /** Too short for an answer, or an answer itself. */
  ignored: number;
  /** Beyond a limit. */
  limited: number;
  /** No resolver answered. */
  failed: number;
}

export class DnsForwarder {
  readonly counts: DnsCounts = {
    ...{ questions: 0, answers: 0, malformed: 0, ignored: 0, limited: 0, failed: 0 },
  };
  private readonly resolvers: Resolvers;
  private readonly tryMs: number;
  private readonly rate = new RequestLimit(QUESTIONS_PER_SECOND, QUESTIONS_PER_SECOND);
  private readonly waiting = new Budget(WAITING_MAX, WAITING_MAX_OF_ONE);
  private readonly connections = new Budget(CONNECTIONS_MAX, CONNECTIONS_MAX_OF_ONE);

  /** @param tryMs how long a resolver may take for an answer */
  constructor(resolvers: Resolvers, tryMs = TRY_MS) {
    this.resolvers = resolvers;
    this.tryMs = tryMs;
  }

  /** Answers datagrams that come to a socket. */
  serveDatagrams(socket: DatagramSocket): void {
    socket.on('message', (query, { address, port }) => {
      void this.answer(query, address, false).then((answer) => {
        // The instance may be gone; what can't be sent is lost, as any datagram.
        if (answer !== undefined) socket.send(answer, port, address, () => undefined);
      });
    });
  }

  /** Answers what comes by connections to a server. */
  serveConnections(server: Server): void {
    server.on('connection', (socket) => {
      const from = socket.remoteAddress ?? '';
      socket.on('error', () => socket.destroy());
      if (!this.connections.take(from)) {
        this.counts.limited++;
        socket.destroy();
        return;
      }
      socket.once('close', () => this.connections.give(from));
      socket.setTimeout(IDLE_MS, () => socket.destroy());
      new StreamOfQuestions(socket, (query) => this.answer(query, from, true));
    });
  }

  /** The answer to one message; undefined: none. */
  private async answer(
    query: Buffer,
    from: string,
    isStream: boolean,
  ): Promise<Buffer | undefined> {
    const { counts } = this;
    if (!this.rate.take(from, Date.now())) return this.drop('limited');
    const question = readQuery(query);
    if (question === undefined) return this.drop('ignored');
    if (typeof question === 'number') {
      counts.malformed++;
      return makeRefusal(query, question);
    }
    if (!this.waiting.take(from)) return this.drop('limited');
    counts.questions++;
    try {
      const answer = await this.ask(query, question, isStream);
      if (answer === undefined) {
        counts.failed++;
        return makeRefusal(query, SERVFAIL);
      }
      counts.answers++;
      return isStream ? answer : fitAnswer(answer, question);
    } finally {
      this.waiting.give(from);
    }
  }

  private async ask(
    query: Buffer,
    question: DnsQuestion,
    isStream: boolean,
  ): Promise<Buffer | undefined> {
    const resolvers = this.resolvers.now(Date.now());
    const rounds = resolvers.length === 1 && !isStream ? TRIES : 1;
    for (let round = 0; round < rounds; round++) {
      for (const resolver of resolvers) {
        const asked = { query, question, timeoutMs: this.tryMs };
        const answer = await askResolver(resolver, asked, isStream);
        if (answer !== undefined) return answer;
      }
    }
    return undefined;
  }

  private drop(why: 'ignored' | 'limited'): undefined {
    this.counts[why]++;
    return undefined;
  }
}

/** Reads questions of a connection, and writes their answers as they come. */
class StreamOfQuestions {
  private readonly socket: Socket;
  private readonly answer: (query: Buffer) => Promise<Buffer | undefined>;
  private received = Buffer.alloc(0);
  private waiting = 0;

  constructor(socket: Socket, answer: (query: Buffer) => Promise<Buffer | undefined>) {
    this.socket = socket;
    this.answer = answer;
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.take();
    });
    socket.on('drain', () => this.take());
  }

  private take(): void {
    const { socket } = this;
    for (;;) {
      if (this.waiting >= PIPELINED_MAX || socket.writableNeedDrain) {
        socket.pause();
        return;
      }
      const query = unframed(this.received);
      if (query === undefined) break;
      this.received = this.received.subarray(LENGTH_BYTES + query.length);
      this.waiting++;
      void this.answer(Buffer.from(query)).then((answer) => {
        this.waiting--;
        if (socket.destroyed) return;
        // What gets no answer over UDP ends a connection, which would wait for it otherwise.
        if (answer === undefined) socket.destroy();
        else socket.write(framed(answer));
        this.take();
      });
    }
    socket.resume();
  }
}

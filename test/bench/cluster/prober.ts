/**
 * The client of the real hosts: `prober.js ADDRESS STEADY MARKER...`. It sends a datagram of one flow to the steady port
 * every few milliseconds, from its start to its end, and asks by new flows which of the markers' ports are open.
 */
import { createSocket, type Socket } from 'node:dgram';
import { answer } from './child.ts';
import { nowMs } from './clock.ts';

export type ProberQuestion =
  /** Answers how many datagrams of the steady flow were sent so far, and which of them had no answer. */
  | { readonly kind: 'steady' }
  /** Sends to a port until it answers. Answers when that was. */
  | { readonly kind: 'await'; readonly port: number }
  /** Begins to try each marker's port by a new flow, again and again. */
  | { readonly kind: 'try' }
  /** Ends that, and answers with the tries. */
  | { readonly kind: 'tries' };

/** Of a port by a new flow. */
export interface Try {
  readonly port: number;
  readonly sentMs: number;
  /** undefined: there was no answer. */
  readonly answeredMs: number | undefined;
}

const STEADY_MS = 5;
const AWAIT_MS = 1;
const TRY_MS = 100;
/** As long as an answer is waited for, and a flow's socket is open. */
const ANSWER_MS = 3000;

const [address, steadyPort, ...ports] = process.argv.slice(2);
const steady = createSocket('udp4');
const isAnswered: boolean[] = [];
steady.on('message', (message) => (isAnswered[message.readUInt32BE()] = true));
steady.on('error', () => undefined);
setInterval(() => {
  const message = Buffer.alloc(4);
  message.writeUInt32BE(isAnswered.push(false) - 1);
  steady.send(message, Number(steadyPort), address);
}, STEADY_MS);

/** Below the ports that the kernel gives. With one that a flow had just before, a packet would be of that flow. */
const [SOURCE_FIRST, SOURCE_PAST] = [1024, 32_000];
let sourcePort = SOURCE_FIRST;

/** A socket that nothing was sent from for minutes. */
function fresh(onMessage: () => void): Socket {
  const socket = createSocket('udp4');
  socket.bind(sourcePort);
  sourcePort = sourcePort + 1 === SOURCE_PAST ? SOURCE_FIRST : sourcePort + 1;
  socket.on('message', onMessage);
  socket.on('error', () => undefined);
  return socket;
}

function awaitOpen(port: number): Promise<number> {
  return new Promise((resolve) => {
    const timer = setInterval(() => socket.send('?', port, address), AWAIT_MS);
    const socket = fresh(() => {
      clearInterval(timer);
      socket.removeAllListeners('message');
      setTimeout(() => socket.close(), ANSWER_MS);
      resolve(nowMs());
    });
  });
}

let tries: { port: number; sentMs: number; answeredMs: number | undefined }[] = [];
let trying: NodeJS.Timeout | undefined;

function tryAll(): void {
  for (const port of ports) {
    const one = {
      port: Number(port),
      sentMs: nowMs(),
      answeredMs: undefined as number | undefined,
    };
    tries.push(one);
    const socket = fresh(() => (one.answeredMs = nowMs()));
    socket.send('?', one.port, address);
    setTimeout(() => socket.close(), ANSWER_MS);
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, ANSWER_MS));

answer(async (question: ProberQuestion) => {
  switch (question.kind) {
    case 'steady': {
      const sent = isAnswered.length;
      await pause();
      const lost = isAnswered.slice(0, sent).flatMap((is, at) => (is ? [] : [at]));
      return { sent, lost };
    }
    case 'await':
      return awaitOpen(question.port);
    case 'try':
      tries = [];
      trying = setInterval(tryAll, TRY_MS);
      return undefined;
    case 'tries':
      clearInterval(trying);
      await pause();
      return tries;
  }
});

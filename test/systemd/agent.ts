/**
 * Runs inside the container's namespaces: `node agent.js ROLE HOST PORT FOLDER`. It is copied there alone, so
 * it imports nothing of ours.
 *
 * Roles:
 *   listen   takes TCP connections; speaks on each when told to, answers what the other side says
 *   connect  opens CONNECTIONS of them, and does the same
 *   receive  counts datagrams, and finds the longest gap between two
 *   send     sends a datagram every SEND_EVERY_MS
 *
 * FOLDER/round holds `NUMBER ROLE`: who speaks next. It then says one line on every connection, which is idle
 * otherwise, and writes FOLDER/answers-NUMBER when all have been answered. FOLDER/gap is written by `receive`.
 */
import { createSocket } from 'node:dgram';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';

const CONNECTIONS = 20;
const SEND_EVERY_MS = 5;
const POLL_MS = 20;
const WRITE_EVERY_MS = 100;

const [, , role, host, portText, folder] = process.argv;
const port = Number(portText);
const sockets = new Set<Socket>();
let round = 0;
let answered = new Set<Socket>();

/** Whole or not at all: somebody else reads it. */
function report(name: string, text: string): void {
  writeFileSync(join(folder, `${name}.new`), text);
  renameSync(join(folder, `${name}.new`), join(folder, name));
}

function take(socket: Socket): void {
  sockets.add(socket);
  socket.setNoDelay(true);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      hear(socket, line);
    }
  });
  const lost = (): void => {
    sockets.delete(socket);
    report(`lost-${role}`, 'a connection has ended');
  };
  socket.on('error', lost).on('close', lost);
}

function hear(socket: Socket, line: string): void {
  const [word, number] = line.split(' ');
  if (word === 'say') socket.write(`answer ${number}\n`);
  else if (Number(number) === round) {
    answered.add(socket);
    if (answered.size === CONNECTIONS) report(`answers-${round}`, String(answered.size));
  }
}

function speakWhenTold(): void {
  let text = '';
  try {
    text = readFileSync(join(folder, 'round'), 'utf8');
  } catch {
    return; // Not told yet.
  }
  const [number, who] = text.trim().split(' ');
  if (who !== role || Number(number) === round) return;
  round = Number(number);
  answered = new Set();
  for (const socket of sockets) socket.write(`say ${round}\n`);
}

function receive(): void {
  const socket = createSocket('udp4');
  let last: number | undefined;
  let longestMs = 0;
  let packets = 0;
  socket.on('message', () => {
    const now = performance.now();
    if (last !== undefined) longestMs = Math.max(longestMs, now - last);
    last = now;
    packets++;
  });
  socket.bind(port, host);
  setInterval(() => report('gap', JSON.stringify({ longestMs, packets })), WRITE_EVERY_MS);
}

function send(): void {
  const socket = createSocket('udp4');
  socket.on('error', () => undefined); // An answer of ICMP is not what this measures.
  let sent = 0;
  setInterval(() => {
    socket.send(Buffer.from(`packet ${sent}`), port, host);
    sent++;
    if (sent % 20 === 0) report('sent', String(sent));
  }, SEND_EVERY_MS);
}

switch (role) {
  case 'listen':
    createServer(take).listen(port, host, () => report('listening', ''));
    setInterval(speakWhenTold, POLL_MS);
    break;
  case 'connect':
    for (let i = 0; i < CONNECTIONS; i++) {
      const socket = connect(port, host, () => {
        take(socket);
        if (sockets.size === CONNECTIONS) report('connected', '');
      });
    }
    setInterval(speakWhenTold, POLL_MS);
    break;
  case 'receive':
    receive();
    break;
  case 'send':
    send();
    break;
  default:
    throw new Error(`unknown role '${role}'`);
}

/**
 * Holds many connections, to show a stall. `echo.js serve PORT` echoes. `echo.js ask HOST PORT COUNT SECONDS` holds
 * COUNT connections open and asks on each of them every second, for so many seconds and until each has been answered,
 * at most LIMIT_MS. It prints as JSON how many broke, how many were never answered, how many answers came, and the
 * longest wait for one, in ms.
 */
import { connect, createServer, type Socket } from 'node:net';
import { GUARD_MS } from '../support/guard-time.ts';

const ASK_EVERY_MS = 1000;
const BYTES = 8;
/** Less than who waits for the result gives it, so that this is told. */
const LIMIT_MS = GUARD_MS / 2;
const LOOK_EVERY_MS = 100;

const [mode, ...args] = process.argv.slice(2);

function ask(host: string, port: number, count: number, seconds: number): void {
  let broken = 0;
  let answers = 0;
  let longestMs = 0;
  let connected = 0;
  const sockets: Socket[] = [];
  const answered = new Set<Socket>();
  const startAsking = (): void => {
    console.log('ready');
    for (const socket of sockets) askOn(socket);
    const beganMs = Date.now();
    setInterval(() => {
      const passedMs = Date.now() - beganMs;
      const silent = count - answered.size;
      if (passedMs < LIMIT_MS && (passedMs < seconds * 1000 || silent > 0)) return;
      console.log(JSON.stringify({ broken, silent, answers, longestMs }));
      process.exit(0);
    }, LOOK_EVERY_MS);
  };
  const askOn = (socket: Socket): void => {
    let askedMs = 0;
    setTimeout(() => {
      setInterval(() => {
        if (askedMs !== 0) {
          longestMs = Math.max(longestMs, Date.now() - askedMs);
          return;
        }
        askedMs = Date.now();
        socket.write(Buffer.alloc(BYTES));
      }, ASK_EVERY_MS);
    }, Math.random() * ASK_EVERY_MS);
    socket.on('data', () => {
      answers++;
      answered.add(socket);
      longestMs = Math.max(longestMs, Date.now() - askedMs);
      askedMs = 0;
    });
  };
  for (let i = 0; i < count; i++) {
    const socket = connect({ host, port });
    socket.setNoDelay(true);
    socket.on('connect', () => {
      connected++;
      if (connected === count) startAsking();
    });
    socket.on('error', () => broken++);
    sockets.push(socket);
  }
}

if (mode === 'serve') {
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  }).listen({ port: Number(args[0]), backlog: 4096 }, () => {
    console.log('ready');
  });
} else {
  ask(args[0], Number(args[1]), Number(args[2]), Number(args[3]));
}

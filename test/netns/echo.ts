/**
 * Holds many connections, to show a stall. `echo.js serve PORT` echoes. `echo.js ask HOST PORT COUNT SECONDS` holds
 * COUNT connections open and asks on each of them every second. It prints as JSON how many broke, how many answers
 * came, and the longest wait for one, in ms.
 */
import { connect, createServer, type Socket } from 'node:net';

const ASK_EVERY_MS = 1000;
const BYTES = 8;

const [mode, ...args] = process.argv.slice(2);

function ask(host: string, port: number, count: number, seconds: number): void {
  let broken = 0;
  let answers = 0;
  let longestMs = 0;
  let connected = 0;
  const sockets: Socket[] = [];
  const startAsking = (): void => {
    console.log('ready');
    for (const socket of sockets) askOn(socket);
    setTimeout(() => {
      console.log(JSON.stringify({ broken, answers, longestMs }));
      process.exit(0);
    }, seconds * 1000);
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

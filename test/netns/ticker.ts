/**
 * A connection that shows when it stops: `ticker.js serve PORT` sends a line every 2 ms to whoever
 * connects; `ticker.js listen HOST PORT` prints the time (ms since 1970) of the last line it got, once it
 * has got none for 500 ms. `ticker.js serve-after PORT MS` is silent for so long and then speaks once.
 */
import { connect, createServer } from 'node:net';

const TICK_MS = 2;
const SILENCE_MS = 500;

const [mode, ...args] = process.argv.slice(2);

if (mode === 'serve') {
  createServer((socket) => {
    const timer = setInterval(() => socket.write('tick\n'), TICK_MS);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
    });
  }).listen(Number(args[0]), () => {
    console.log('ready');
  });
} else if (mode === 'serve-after') {
  createServer((socket) => {
    setTimeout(() => socket.write('tick\n'), Number(args[1]));
    socket.on('error', () => undefined);
  }).listen(Number(args[0]), () => {
    console.log('ready');
  });
} else {
  let last = 0;
  const finish = (): void => {
    console.log(`last ${last}`);
    process.exit(0);
  };
  const socket = connect({ host: args[0], port: Number(args[1]) });
  socket.on('data', () => {
    if (last === 0) console.log('ready');
    last = Date.now();
  });
  socket.on('error', finish);
  socket.on('close', finish);
  setInterval(() => {
    if (last !== 0 && Date.now() - last > SILENCE_MS) finish();
  }, 50);
}

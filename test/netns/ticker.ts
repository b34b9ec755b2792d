/**
 * A connection that shows when it stops. `ticker.js serve PORT` sends the time (ms since 1970) every 2 ms to whoever
 * connects. `ticker.js listen HOST PORT` prints the last time it got, once it has got none for 1.5 s. So it shows
 * when the last line that arrived was sent, however late a busy machine reads it. `ticker.js serve-after PORT MS` is
 * silent for that long and then speaks once.
 */
import { connect, createServer } from 'node:net';

const TICK_MS = 2;
const SILENCE_MS = 1500;

const [mode, ...args] = process.argv.slice(2);

if (mode === 'serve') {
  createServer((socket) => {
    const timer = setInterval(() => socket.write(`${Date.now()}\n`), TICK_MS);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
    });
  }).listen(Number(args[0]), () => {
    console.log('ready');
  });
} else if (mode === 'serve-after') {
  createServer((socket) => {
    setTimeout(() => socket.write(`${Date.now()}\n`), Number(args[1]));
    socket.on('error', () => undefined);
  }).listen(Number(args[0]), () => {
    console.log('ready');
  });
} else {
  let text = '';
  let seenMs = 0;
  const finish = (): void => {
    const whole = text.split('\n').slice(0, -1);
    console.log(`last ${whole.at(-1)}`);
    process.exit(0);
  };
  const socket = connect({ host: args[0], port: Number(args[1]) });
  socket.on('data', (data) => {
    if (seenMs === 0) console.log('ready');
    seenMs = Date.now();
    text = (text + data.toString()).slice(-100);
  });
  socket.on('error', finish);
  socket.on('close', finish);
  setInterval(() => {
    if (seenMs !== 0 && Date.now() - seenMs > SILENCE_MS) finish();
  }, 50);
}

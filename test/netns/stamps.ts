/**
 * `stamps.js ADDRESS`: sends a datagram to an address every few ms, and prints those that come: when each was sent, and
 * when it was seen here, in ns of the clock that all processes of a machine share. `sent N` says how many went out.
 */
import { createSocket } from 'node:dgram';

const PORT = 4000;
const EVERY_MS = 5;

const [address] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (message) => {
  process.stdout.write(`${message.toString()} ${process.hrtime.bigint()}\n`);
});
// There may be no way to it yet, or no longer.
socket.on('error', () => undefined);
socket.bind(PORT, () => {
  process.stdout.write('ready\n');
  setInterval(
    () => socket.send(String(process.hrtime.bigint()), PORT, address, () => undefined),
    EVERY_MS,
  );
});

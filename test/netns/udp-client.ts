/**
 * `node udp-client.js ADDRESS PORT COUNT [FROM]` sends that many datagrams, from a port if one is named, and prints the
 * answers until all have come, or until WAIT_MS after the last.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const WAIT_MS = 1500;

const [, , address, port, count, from = '0'] = process.argv;
const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
let answers = 0;
socket.on('message', (message) => {
  process.stdout.write(`${message.toString()}\n`);
  answers++;
  if (answers === Number(count)) socket.close();
});
socket.on('close', () => process.exit());
socket.bind(Number(from));
await once(socket, 'listening');
for (let i = 0; i < Number(count); i++) socket.send(`${i}`, Number(port), address);
await sleep(WAIT_MS);
socket.close();

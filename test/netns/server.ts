/**
 * The servers in the namespaces of the tests: `node server.js NAME` answers on both families
 *
 * - HTTP on PORTS: `/` with its name, `/blob` with BLOB_BYTES of a known pattern, `/ticks` with a line every 20 ms
 *   for ever;
 * - UDP on 5353: the datagram, with its name in front.
 *
 * It prints `ready` when all of them listen. It ends when its input ends, or when it is killed.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import { blob } from './blob.ts';

const PORTS = [80, 5432, 7000, 8080];
const UDP_PORT = 5353;
const TICK_MS = 20;

const name = process.argv[2];

function tick(response: ServerResponse): void {
  let count = 0;
  const timer = setInterval(() => response.write(`tick ${count++}\n`), TICK_MS);
  response.once('close', () => {
    clearInterval(timer);
  });
}

for (const port of PORTS) {
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    if (request.url === '/ticks') tick(response);
    else response.end(request.url === '/blob' ? blob() : `${name}\n`);
  });
  await once(server.listen(port, '::'), 'listening');
}

const socket = createSocket('udp6');
socket.on('message', (message, from) => {
  socket.send(`${name} ${message.toString()}`, from.port, from.address);
});
socket.bind(UDP_PORT, '::');
await once(socket, 'listening');
process.stdout.write('ready\n');

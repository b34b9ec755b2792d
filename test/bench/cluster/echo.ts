/** The server of the real hosts: `echo.js PORT...` sends each datagram back. */
import { createSocket } from 'node:dgram';

for (const port of process.argv.slice(2)) {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.on('error', () => undefined);
  socket.bind(Number(port));
}

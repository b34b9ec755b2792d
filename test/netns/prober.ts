/**
 * Answers, and finds out who answers, without a clock.
 *
 * `prober.js serve PORT… SENTINEL` takes TCP connections and echoes datagrams at the ports. `prober.js ask BASE
 * SENTINEL ADDRESS… -- PORT…` sends one of each to each address and port, from source ports that begin at BASE, and
 * prints as JSON which were answered.
 *
 * Theory of operation. What is dropped is not answered, and no wait tells that from a slow machine. So a datagram to
 * the sentinel's port, which is always admitted, follows. The one path between the two hosts keeps the order, and the
 * server's kernel answers a SYN at once: when the sentinel's answer is back, so is that of every SYN that passed.
 * Echoes of other sockets may be one turn of the server's loop late, so a second sentinel follows the first.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, isIPv6 } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

const [mode, ...args] = process.argv.slice(2);
const TURNS = 10;

async function bound(address: string, port: number): Promise<Socket> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  socket.bind(port);
  await once(socket, 'listening');
  return socket;
}

async function serve(ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const server = createServer((socket) => socket.on('error', () => undefined).resume());
    await once(server.listen(port, '::'), 'listening');
    for (const address of ['0.0.0.0', '::']) {
      const socket = createSocket(
        isIPv6(address) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' },
      );
      socket.bind(port, address);
      await once(socket, 'listening');
      socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    }
  }
  console.log('ready');
}

async function ask(
  base: number,
  sentinel: number,
  addresses: readonly string[],
  ports: readonly number[],
): Promise<void> {
  const answered: string[] = [];
  const sends: (() => Promise<unknown>)[] = [];
  let localPort = base;
  for (const address of addresses)
    for (const port of ports) {
      const socket = await bound(address, localPort);
      socket.once('message', () => answered.push(`udp ${address} ${port}`));
      sends.push(() => new Promise((resolve) => socket.send('?', port, address, resolve)));
      const tcp = connect({ host: address, port, localPort: localPort++ });
      tcp.once('connect', () => answered.push(`tcp ${address} ${port}`));
      tcp.on('error', () => undefined);
    }
  // The SYNs are sent by then, and no datagram is.
  for (let turn = 0; turn < TURNS; turn++) await nextTurn();
  for (const send of sends) await send();
  const last = await bound(addresses[0], localPort);
  for (let round = 0; round < 2; round++) {
    const back = once(last, 'message');
    last.send('?', sentinel, addresses[0]);
    await back;
  }
  for (let turn = 0; turn < TURNS; turn++) await nextTurn();
  console.log(JSON.stringify(answered.sort()));
  process.exit(0);
}

if (mode === 'serve') {
  await serve(args.map(Number));
} else {
  const [base, sentinel, ...rest] = args;
  const end = rest.indexOf('--');
  await ask(Number(base), Number(sentinel), rest.slice(0, end), rest.slice(end + 1).map(Number));
}

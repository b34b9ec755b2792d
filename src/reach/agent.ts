/**
 * The program inside a namespace: it offers servers and tries to reach others, as sgctl tells it.
 *
 * There is one process for each namespace, not for each probe: starting Node a hundred times would take longer than
 * the probes. Its argument is the name that it answers with. It ends when the process that started it is gone.
 */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type Server } from 'node:net';
import type { Offer, Probe, Reply, Request, Seen } from './agent-messages.ts';

const UDP_RESEND_MS = 300;
const PING_COUNT = 2;
const PING_INTERVAL_S = 0.3;
/** Exit code of ping(8) when no reply came. Any other trouble gives 2. */
const PING_NO_REPLY = 1;
/** Time beyond what ping was told to wait. */
const PING_GRACE_MS = 3000;

const name = process.argv[2] ?? '';

function offer({ kind, family, address, port }: Offer): Promise<Seen> {
  switch (kind) {
    case 'tcp': {
      const server = createServer((socket) => {
        socket.on('error', () => undefined); // The client deals with it.
        socket.end(name);
      });
      return listen(server, address, port);
    }
    case 'http':
      return listen(
        createHttpServer((_request, response) => response.end(`${name}\n`)),
        address,
        port,
      );
    case 'udp':
      return offerUdp(family, address, port);
    default:
      return kind satisfies never;
  }
}

function listen(server: Server, host: string, port: number): Promise<Seen> {
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(failed(error)));
    server.listen({ host, port, ipv6Only: true }, () => resolve({ seen: 'yes', detail: name }));
  });
}

function offerUdp(family: 4 | 6, address: string, port: number): Promise<Seen> {
  const socket = createSocket({ type: `udp${family}`, ipv6Only: family === 6 });
  socket.on('message', (question, from) => {
    // It may be refused on its way out. Then the client notices.
    socket.send(`${name} ${question.toString('latin1')}`, from.port, from.address, () => undefined);
  });
  return new Promise((resolve) => {
    socket.on('error', (error) => resolve(failed(error)));
    socket.bind({ port, address, exclusive: true }, () => resolve({ seen: 'yes', detail: name }));
  });
}

function probe(request: Probe, id: number): Promise<Seen> {
  switch (request.kind) {
    case 'tcp':
      return probeTcp(request);
    case 'udp':
      return probeUdp(request, `${process.pid}-${id}`);
    case 'ping':
      return ping(request);
    default:
      return request.kind satisfies never;
  }
}

function probeTcp({ address, port, family, source, timeoutMs }: Probe): Promise<Seen> {
  return new Promise((resolve) => {
    const local = source === undefined ? {} : { localAddress: source };
    const socket = connect({ host: address, port, family, ...local });
    let heard = '';
    let isConnected = false;
    const finish = (seen: Seen): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(seen);
    };
    const timer = setTimeout(() => {
      finish(
        isConnected
          ? { seen: 'error', detail: 'connected, and then heard nothing' }
          : { seen: 'no', detail: 'timed out' },
      );
    }, timeoutMs);
    socket.on('connect', () => (isConnected = true));
    socket.on('data', (data) => (heard += data.toString('latin1')));
    socket.on('end', () => finish({ seen: 'yes', detail: heard }));
    socket.on('error', (error) => finish(failed(error)));
  });
}

function probeUdp(request: Probe, question: string): Promise<Seen> {
  const { address, port, family, source, timeoutMs } = request;
  return new Promise((resolve) => {
    const socket = createSocket(`udp${family}`);
    let resend: NodeJS.Timeout | undefined;
    const finish = (seen: Seen): void => {
      clearTimeout(timer);
      clearInterval(resend);
      socket.close();
      resolve(seen);
    };
    const timer = setTimeout(() => finish({ seen: 'no', detail: 'timed out' }), timeoutMs);
    const ask = (): void => socket.send(question, port, address);
    socket.on('message', (answer) => {
      const [who = '', echoed] = answer.toString('latin1').split(' ');
      if (echoed === question) finish({ seen: 'yes', detail: who });
    });
    // Errors of `send` arrive here too.
    socket.on('error', (error) => finish(failed(error)));
    socket.bind({ port: 0, ...(source === undefined ? {} : { address: source }) }, () => {
      ask();
      // UDP may lose a packet, and that would say nothing about the groups.
      resend = setInterval(ask, UDP_RESEND_MS);
    });
  });
}

function ping({ address, family, source, timeoutMs }: Probe): Promise<Seen> {
  const from = source === undefined ? [] : ['-I', source];
  const wait = String(timeoutMs / 1000);
  const pace = ['-c', String(PING_COUNT), '-i', String(PING_INTERVAL_S), '-W', wait];
  const timeout = timeoutMs + PING_COUNT * PING_INTERVAL_S * 1000 + PING_GRACE_MS;
  return new Promise((resolve) => {
    const args = [`-${family}`, '-n', '-q', ...pace, ...from, address];
    execFile('ping', args, { timeout }, (error, stdout, stderr) => {
      const said = (stderr + stdout).trim();
      if (error === null) resolve({ seen: 'yes', detail: '' });
      else if (error.code === 'ENOENT') resolve({ ...failed(error), detail: 'ping was not found' });
      else if (/Network is unreachable/i.test(said))
        resolve({ seen: 'error', detail: said, code: 'ENETUNREACH' });
      // With exit code 1 an ICMP error may also have come back, and that is no silence.
      else if (Number(error.code) === PING_NO_REPLY && !/\+\d+ errors/.test(said))
        resolve({ seen: 'no', detail: 'no reply' });
      else resolve({ seen: 'error', detail: said === '' ? error.message : said });
    });
  });
}

function failed(error: Error & { readonly code?: unknown }): Seen {
  const { code, message } = error;
  return { seen: 'error', detail: message, ...(typeof code === 'string' ? { code } : {}) };
}

function reply(message: Reply): void {
  process.send?.(message);
}

if (process.send !== undefined) {
  process.on('message', (message) => {
    const request = message as Request;
    const { id } = request;
    const done = request.do === 'offer' ? offer(request) : probe(request, id);
    void done.then((seen) => reply({ kind: 'seen', id, ...seen }));
  });
  // The process that started this one is gone, for whatever reason.
  process.on('disconnect', () => process.exit(0));
  reply({ kind: 'started' });
}

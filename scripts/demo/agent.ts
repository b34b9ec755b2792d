/**
 * Runs inside one of the demo's namespaces: offers every service, and asks others on request.
 *
 * One process a namespace instead of one a probe: starting Node 48 times would take longer than
 * the probes. Talks to the quickstart over the IPC channel.
 */
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { FAMILIES, SERVICES } from './expectations.ts';
import type { Family } from './expectations.ts';

export interface ProbeRequest {
  readonly id: number;
  readonly kind: 'tcp' | 'udp';
  readonly family: Family;
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** `yes`: it answered, with its own name. `no`: silence. `error`: something else, as a refusal; `detail` says what. */
export interface ProbeAnswer {
  readonly id: number;
  readonly seen: 'yes' | 'no' | 'error';
  readonly detail: string;
}

const UDP_RESEND_MS = 400;
const name = process.argv[2] ?? '';

function offerAll(): Promise<unknown> {
  const offers = SERVICES.flatMap(({ kind, port }) => {
    switch (kind) {
      case 'ping':
        return []; // the kernel answers
      case 'http':
        return [offerHttp(port)];
      case 'tcp':
        return [offerTcp(port)];
      case 'udp':
        return FAMILIES.map((family) => offerUdp(port, family));
    }
  });
  return Promise.all(offers);
}

function offerHttp(port: number): Promise<void> {
  const server = createHttpServer((_request, response) => response.end(`${name}\n`));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '::', resolve);
  });
}

function offerTcp(port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // the client's business
    socket.end(name);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '::', resolve);
  });
}

function offerUdp(port: number, family: Family): Promise<void> {
  const socket = createSocket({ type: `udp${family}`, ipv6Only: family === 6 });
  socket.on('message', (question, from) => {
    // May be refused on the way out; the one who asked notices.
    socket.send(`${name} ${question.toString('latin1')}`, from.port, from.address, () => undefined);
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, resolve);
  });
}

function askTcp(request: ProbeRequest): Promise<Omit<ProbeAnswer, 'id'>> {
  return new Promise((resolve) => {
    const socket = connect({ host: request.address, port: request.port, family: request.family });
    let heard = '';
    const finish = (seen: ProbeAnswer['seen'], detail: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ seen, detail });
    };
    const timer = setTimeout(() => finish('no', 'timed out'), request.timeoutMs);
    socket.on('data', (data) => (heard += data.toString('latin1')));
    socket.on('end', () => finish('yes', heard));
    socket.on('error', (error) => finish('error', error.message));
  });
}

function askUdp(request: ProbeRequest): Promise<Omit<ProbeAnswer, 'id'>> {
  return new Promise((resolve) => {
    const socket = createSocket(`udp${request.family}`);
    const question = `${process.pid}-${request.id}`;
    const finish = (seen: ProbeAnswer['seen'], detail: string): void => {
      clearTimeout(timer);
      clearInterval(resend);
      socket.close();
      resolve({ seen, detail });
    };
    const ask = (): void =>
      socket.send(question, request.port, request.address, (error) => {
        if (error !== null) finish('error', error.message);
      });
    const timer = setTimeout(() => finish('no', 'timed out'), request.timeoutMs);
    // UDP may lose one; that would say nothing about the groups.
    const resend = setInterval(ask, UDP_RESEND_MS);
    socket.on('message', (answer) => {
      const [who = '', echoed] = answer.toString('latin1').split(' ');
      if (echoed === question) finish('yes', who);
    });
    socket.on('error', (error) => finish('error', error.message));
    ask();
  });
}

if (process.send !== undefined) {
  process.on('message', (message) => {
    const request = message as ProbeRequest;
    const asking = request.kind === 'tcp' ? askTcp(request) : askUdp(request);
    void asking.then((answer) => process.send?.({ id: request.id, ...answer }));
  });
  // The quickstart is gone, whatever ended it: so is the demo.
  process.on('disconnect', () => process.exit(0));
  await offerAll();
  process.send({ kind: 'offering' });
}

/** The DNS forwarder on loopback, between sockets of the test and a resolver that does what it is told. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { DnsForwarder } from '../../src/metadata/dns-forwarder.ts';
import { Resolvers, type Resolver } from '../../src/metadata/resolvers.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { ANSWER, message, record } from './messages.ts';

type Reply = (query: Buffer) => readonly Buffer[];

const HOST = '127.0.0.1';
const SHORT_MS = 100;

/** The answer to a query as a resolver gives it. */
function answerTo(query: Buffer, records = record(4)): Buffer {
  return message({ id: query.readUInt16BE(0), flags: ANSWER, records });
}

async function udpSocket(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.bind(0, HOST);
  await once(socket, 'listening');
  return socket;
}

async function resolverOf(
  t: TestContext,
  reply: Reply,
): Promise<Resolver & { ports: number[]; ids: number[] }> {
  const socket = await udpSocket(t);
  const ports: number[] = [];
  const ids: number[] = [];
  socket.on('message', (query, { port, address }) => {
    ports.push(port);
    ids.push(query.readUInt16BE(0));
    for (const one of reply(query)) socket.send(one, port, address);
  });
  const { port } = socket.address();
  const server = createServer((connection) => {
    connection.on('error', () => undefined);
    connection.on('data', (chunk) => {
      for (const one of reply(chunk.subarray(2))) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(one.length);
        // In two parts, as a network may deliver it.
        connection.write(Buffer.concat([length, one.subarray(0, 5)]));
        setImmediate(() => connection.write(one.subarray(5)));
      }
    });
  });
  t.after(() => server.close());
  await once(server.listen(port, HOST), 'listening');
  return { address: HOST, port, ports, ids };
}

interface Forwarding {
  readonly dns: DnsForwarder;
  readonly udpPort: number;
  readonly tcpPort: number;
}

async function forward(
  t: TestContext,
  resolvers: readonly Resolver[],
  tryMs = GUARD_MS,
): Promise<Forwarding> {
  const dns = new DnsForwarder(new Resolvers('/nowhere', resolvers), tryMs);
  const socket = await udpSocket(t);
  dns.serveDatagrams(socket);
  const server = createServer();
  t.after(() => server.close());
  dns.serveConnections(server);
  await once(server.listen(0, HOST), 'listening');
  const { port } = server.address() as AddressInfo;
  return { dns, udpPort: socket.address().port, tcpPort: port };
}

async function askUdp(t: TestContext, { udpPort }: Forwarding, query: Buffer): Promise<Buffer> {
  const socket = await udpSocket(t);
  socket.send(query, udpPort, HOST);
  const [answer] = (await once(socket, 'message')) as [Buffer];
  return answer;
}

test('a question goes on with another id and port each time, and its answer comes back', async (t) => {
  const resolver = await resolverOf(t, (query) => [answerTo(query)]);
  const place = await forward(t, [resolver]);
  for (let id = 0; id < 20; id++) {
    const answer = await askUdp(t, place, message({ id }));
    assert.deepEqual(answer, message({ id, flags: ANSWER, records: record(4) }));
  }
  assert.ok(new Set(resolver.ports).size > 15, 'ports');
  assert.ok(new Set(resolver.ids).size > 15, 'ids');
  assert.equal(place.dns.counts.answers, 20);
});

test('only the answer to the question counts, from the resolver that was asked', async (t) => {
  const resolver = await resolverOf(t, (query) => [
    Buffer.alloc(3),
    message({ id: query.readUInt16BE(0) ^ 1, flags: ANSWER, records: record(1) }),
    message({ id: query.readUInt16BE(0), flags: ANSWER, name: 'evil.example' }),
    query,
    answerTo(query, record(9)),
  ]);
  const place = await forward(t, [resolver]);
  assert.deepEqual(
    await askUdp(t, place, message({})),
    message({ flags: ANSWER, records: record(9) }),
  );
  // Another socket sends to the port that waits: the kernel drops what does not come from the resolver.
  const other = await udpSocket(t);
  const slow = await resolverOf(t, (query) => {
    other.send(answerTo(query, record(1)), slow.ports.at(-1), HOST);
    return [];
  });
  const second = await forward(t, [slow, resolver], 2 * SHORT_MS);
  assert.deepEqual(
    await askUdp(t, second, message({})),
    message({ flags: ANSWER, records: record(9) }),
    'the next resolver answers',
  );
});

test('SERVFAIL where nobody answers, FORMERR for what is malformed, nothing for an answer', async (t) => {
  const silent = await resolverOf(t, () => []);
  const place = await forward(t, [silent], SHORT_MS);
  assert.deepEqual(await askUdp(t, place, message({})), message({ flags: 0x8102 }));
  assert.equal(silent.ids.length, 2, 'asked twice');
  const broken = await askUdp(t, place, message({ counts: [0, 0, 0, 0] }));
  assert.equal(broken.readUInt16BE(2) & 15, 1);
  const socket = await udpSocket(t);
  socket.send(message({ flags: ANSWER }), place.udpPort, HOST);
  socket.send(Buffer.alloc(5), place.udpPort, HOST);
  socket.send(message({ counts: [0, 0, 0, 0] }), place.udpPort, HOST);
  await once(socket, 'message');
  assert.deepEqual(place.dns.counts, {
    ...{ questions: 1, answers: 0, malformed: 2, ignored: 2, limited: 0, failed: 1 },
  });
});

test('a long answer is cut over UDP, and whole over TCP', async (t) => {
  const resolver = await resolverOf(t, (query) => [answerTo(query, record(3000))]);
  const place = await forward(t, [resolver]);
  const cut = await askUdp(t, place, message({}));
  assert.deepEqual(cut, message({ flags: ANSWER | 0x0200 }));
  const socket = connect({ port: place.tcpPort, host: HOST });
  t.after(() => socket.destroy());
  const frames = [1, 2, 3].map((id) => {
    const query = message({ id });
    return Buffer.concat([Buffer.from([0, query.length]), query]);
  });
  // Three questions in one piece, the last of them in two.
  const all = Buffer.concat(frames);
  socket.write(all.subarray(0, -4));
  setImmediate(() => socket.write(all.subarray(-4)));
  let received = Buffer.alloc(0);
  const whole = message({ flags: ANSWER, records: record(3000) }).length;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk]);
    if (received.length >= 3 * (2 + whole)) break;
  }
  const ids = [0, 1, 2].map((i) => received.readUInt16BE(i * (2 + whole) + 2));
  assert.deepEqual(ids.sort(), [1, 2, 3]);
});

test('who asks too much is answered no more, until answers are there', async (t) => {
  const resolver = await resolverOf(t, () => []);
  const place = await forward(t, [resolver], GUARD_MS);
  const socket = await udpSocket(t);
  for (let id = 0; id < 300; id++) {
    socket.send(message({ id }), place.udpPort, HOST);
    // The kernel's queue is short.
    if (id % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  while (place.dns.counts.questions + place.dns.counts.limited < 260)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(place.dns.counts.questions, 256);
  assert.ok(place.dns.counts.limited > 0);
});

test('a connection that sends rubbish is closed', async (t) => {
  const place = await forward(t, [{ address: HOST, port: 1 }]);
  const socket = connect({ port: place.tcpPort, host: HOST });
  socket.on('error', () => undefined).resume();
  socket.write(Buffer.from([0, 3, 1, 2, 3]));
  await once(socket, 'close');
  assert.equal(place.dns.counts.ignored, 1);
});

/** `/metrics` over HTTP: what it answers, and what crowds, floods and slow readers can't do to it. */
import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  listenForScrapes,
  SCRAPERS_MAX,
  scrapeUrl,
  type MetricsText,
  type ScrapeOptions,
} from '../../src/metrics/metrics-server.ts';
import { until } from '../support/until.ts';

const GET = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n';

/** Metrics that count how often they were put into words. */
class Text implements MetricsText {
  readonly contentType = 'text/plain; version=0.0.4';
  renderings = 0;
  /** What a rendering waits for. */
  gate: Promise<unknown> = Promise.resolve();
  more = '';

  async metrics(): Promise<string> {
    const number = ++this.renderings;
    await this.gate;
    return `renderings ${number}\n${this.more}`;
  }
}

async function listen(
  t: TestContext,
  text: MetricsText,
  options: ScrapeOptions = {},
): Promise<{ readonly server: Server; readonly url: string; readonly enter: () => Socket }> {
  const server = await listenForScrapes(text, { host: '127.0.0.1', port: 0 }, options);
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const enter = (): Socket => {
    const { port } = server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    t.after(() => socket.destroy());
    return socket;
  };
  return { server, url: scrapeUrl(server), enter };
}

test('metrics are at /metrics, for GET and HEAD alone', async (t) => {
  const { url } = await listen(t, new Text());
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4');
  assert.equal(await answer.text(), 'renderings 1\n');
  const head = await fetch(url, { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), '13');
  assert.equal(await head.text(), '');
  const elsewhere = await fetch(url.replace('/metrics', '/'));
  assert.equal(elsewhere.status, 404);
  assert.equal(await elsewhere.text(), 'metrics are at /metrics\n');
  const posted = await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) });
  assert.equal(posted.status, 405);
  assert.equal(posted.headers.get('allow'), 'GET, HEAD');
});

test('metrics that fail are an answer, and told to the log', async (t) => {
  const told: unknown[] = [];
  const text = { contentType: '', metrics: () => Promise.reject(new Error('no figures')) };
  const log = { error: (...said: unknown[]) => told.push(said.at(-1)) };
  const { url, server } = await listen(t, text, { log });
  const answer = await fetch(url);
  assert.equal(answer.status, 500);
  assert.equal(await answer.text(), 'no figures\n');
  server.emit('error', new Error('EMFILE'));
  assert.deepEqual(told, [
    'the metrics could not be put into words',
    'a connection for metrics failed',
  ]);
  assert.equal((await fetch(url)).status, 500, 'it goes on');
});

test('who asks while others wait shares their rendering, and nobody gets one from before it asked', async (t) => {
  const text = new Text();
  const { url } = await listen(t, text);
  let open = (): void => undefined;
  text.gate = new Promise<void>((resolve) => (open = resolve));
  const first = fetch(url).then((answer) => answer.text());
  await until('the first is rendered', () => text.renderings === 1);
  const later = Array.from({ length: 20 }, () => fetch(url).then((answer) => answer.text()));
  await sleep(200);
  assert.equal(text.renderings, 1, 'one at a time');
  open();
  assert.equal(await first, 'renderings 1\n');
  assert.deepEqual(
    [...new Set(await Promise.all(later))],
    ['renderings 2\n'],
    'all that came meanwhile',
  );
});

test('one who asks on and on leaves the daemon most of its time', async (t) => {
  const BUSY_MS = 20;
  const text = {
    contentType: '',
    busyMs: 0,
    metrics() {
      const startMs = performance.now();
      while (performance.now() - startMs < BUSY_MS);
      this.busyMs += performance.now() - startMs;
      return Promise.resolve('x\n');
    },
  };
  const { url } = await listen(t, text);
  const startMs = performance.now();
  while (performance.now() - startMs < 1500 || text.busyMs < 3 * BUSY_MS)
    await (await fetch(url)).text();
  const share = text.busyMs / (performance.now() - startMs);
  assert.ok(share < 0.35, `${(100 * share).toFixed(0)} % went into scrapes`);
});

test('requests that do not wait for their answers close the connection, and take no memory', async (t) => {
  const text = new Text();
  text.more = 'x'.repeat(1 << 20);
  const { url, enter } = await listen(t, text);
  const before = process.memoryUsage().rss;
  const flood = Array.from({ length: 4 }, () => {
    const socket = enter();
    socket.pause();
    socket.write(GET.repeat(15_000));
    return socket;
  });
  await sleep(300);
  assert.equal((await fetch(url)).status, 200);
  assert.ok(process.memoryUsage().rss - before < 150_000_000, 'memory stays bounded');
  assert.ok(text.renderings < 10, `${text.renderings} renderings`);
  const closed = Promise.all(
    flood.map((socket) => new Promise((resolve) => socket.once('close', resolve))),
  );
  let received = '';
  for (const socket of flood) socket.on('data', (chunk) => (received += chunk.toString('latin1')));
  for (const socket of flood) socket.resume();
  await closed;
  const answers = received.split('HTTP/1.1 200').length - 1;
  assert.ok(answers <= flood.length, `${answers} answers over ${flood.length} connections`);
});

test('one request after the other on one connection is what Prometheus does', async (t) => {
  const { enter } = await listen(t, new Text());
  const socket = enter();
  let received = '';
  socket.on('data', (chunk) => (received += chunk.toString()));
  for (let i = 1; i <= 5; i++) {
    socket.write(GET);
    await until(`answer ${i}`, () => received.endsWith(`renderings ${i}\n`));
  }
  assert.equal(socket.destroyed, false);
});

test('idle connections give way, the longest idle first, and blind nobody', async (t) => {
  const { url, enter, server } = await listen(t, new Text());
  let count = 0;
  server.on('connection', () => count++);
  const closed = new Set<number>();
  for (let i = 0; i < SCRAPERS_MAX; i++) {
    enter().once('close', () => closed.add(i));
    await until('it is there', () => count === i + 1);
  }
  await sleep(50);
  assert.equal(closed.size, 0, 'so many are let be');
  assert.equal((await fetch(url)).status, 200);
  await until('one gave way', () => closed.size === 1);
  assert.ok(closed.has(0), 'the longest idle');
  for (let i = 0; i < 10; i++) enter();
  await until('and so on', () => closed.size >= 10);
  assert.equal((await fetch(url)).status, 200);
});

test('a crowd that does not read its answers costs itself', async (t) => {
  const text = new Text();
  text.more = 'x'.repeat(8 << 20);
  const { url, enter, server } = await listen(t, text, { answerTimeoutMs: 500 });
  const ends: Socket[] = [];
  server.on('connection', (socket: Socket) => ends.push(socket));
  const before = process.memoryUsage().rss;
  for (let i = 0; i < SCRAPERS_MAX; i++) {
    const socket = enter();
    socket.pause();
    socket.write(GET);
  }
  await until('all are there', () => ends.length === SCRAPERS_MAX);
  assert.equal((await fetch(url)).status, 200, 'a reader gets through');
  assert.ok(process.memoryUsage().rss - before < 200_000_000, 'they share the bytes');
  await until('they are let go in time', () =>
    ends.slice(0, SCRAPERS_MAX).every(({ destroyed }) => destroyed),
  );
});

test('the address with most connections gives way first', async (t) => {
  const { server, enter } = await listen(t, new Text());
  let count = 0;
  server.on('connection', () => count++);
  const { port } = server.address() as AddressInfo;
  // The first to come, and the longest idle; but alone.
  const lone = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' });
  t.after(() => lone.destroy());
  await until('it is there', () => count === 1);
  for (let i = 0; i < 2 * SCRAPERS_MAX; i++) {
    enter();
    await until('it is there', () => count === i + 2);
  }
  await sleep(50);
  let received = '';
  lone.on('data', (chunk) => (received += chunk.toString()));
  lone.write(GET);
  await until('it has its place', () => received.includes('renderings'));
});

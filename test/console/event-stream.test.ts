/** Streams of events: who reads too slowly misses and is told, states are never missed, and tabs are bounded. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveTop, TopAnswer } from '../../src/console/contract.ts';
import { EventHub, STREAMS_MAX, type EventResponse } from '../../src/console/event-stream.ts';
import type { Source, SourceListener } from '../../src/console/source.ts';
import { Follower, inputOf, openConsole } from './world.ts';

const TEXT = `
securityGroups: { web: {} }
interfaces:
  a: { device: { name: a }, addresses: [10.0.0.1], securityGroups: [web] }
`;

const TOP: TopAnswer = {
  ...{ timeMs: 1, intervalMs: 1000, flows: 0, maxFlows: 10, flowsOpenedRate: 0, hasAccounts: true },
  ...{ interfaces: [], topFlows: [], topRules: [], topDrops: [] },
};
const LIVE: LiveTop = {
  ...TOP,
  total: { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 },
};

/** A response whose reader takes nothing until it is told to. */
class FakeResponse {
  readonly texts: string[] = [];
  status = 0;
  isDestroyed = false;
  private readonly waiting: { readonly text: string; readonly done: () => void }[] = [];
  private onClose: (() => void) | undefined;

  get writableLength(): number {
    return this.waiting.reduce((sum, { text }) => sum + text.length, 0);
  }

  writeHead(status: number): this {
    this.status = status;
    return this;
  }

  write(text: string, done: (error: undefined) => void): boolean {
    this.waiting.push({ text, done: () => done(undefined) });
    return false;
  }

  once(_name: 'close', listener: () => void): this {
    this.onClose = listener;
    return this;
  }

  destroy(): this {
    this.isDestroyed = true;
    this.onClose?.();
    return this;
  }

  /** Its reader takes so many writes, or all. */
  take(most = Infinity): void {
    for (let i = 0; i < most && this.waiting.length > 0; i++) {
      const { text, done } = this.waiting.shift()!;
      this.texts.push(text);
      done();
    }
  }
}

function add(hub: EventHub, response: FakeResponse): boolean {
  return hub.add(response as unknown as EventResponse, { id: '', isGood: () => true });
}

function namesOf({ texts }: FakeResponse): readonly string[] {
  return texts.map((text) => text.split('\n')[0].replace('event: ', ''));
}

function makeHub(t: TestContext, options: ConstructorParameters<typeof EventHub>[0]): EventHub {
  const hub = new EventHub(options);
  t.after(() => hub.stop());
  return hub;
}

test('a slow reader misses events and is told how many, and others miss none', (t) => {
  const hub = makeHub(t, { queueBytes: 1000 });
  const [slow, quick] = [new FakeResponse(), new FakeResponse()];
  assert.ok(add(hub, slow) && add(hub, quick));
  for (let i = 0; i < 20; i++) {
    hub.send('top', LIVE);
    quick.take();
  }
  assert.equal(quick.texts.length, 20);
  slow.take();
  const sent = namesOf(slow).filter((name) => name === 'top').length;
  assert.ok(sent >= 1 && sent < 20, `${sent} were sent`);
  assert.equal(slow.texts.at(-1), `event: missed\ndata: {"count":${20 - sent}}\n\n`);
  hub.send('top', LIVE);
  slow.take();
  assert.deepEqual(namesOf(slow).slice(sent), ['missed', 'top']);
});

test('of a state the last one reaches also who was too slow, and who comes later', (t) => {
  const hub = makeHub(t, { queueBytes: 10 });
  const slow = new FakeResponse();
  assert.ok(add(hub, slow));
  hub.sendState('estate', { generation: 1 });
  for (let generation = 2; generation < 9; generation++) hub.sendState('estate', { generation });
  hub.sendState('source', { isReachable: false, why: 'it went', sinceMs: 5 });
  slow.take();
  assert.deepEqual(slow.texts, [
    'event: estate\ndata: {"generation":1}\n\n',
    'event: estate\ndata: {"generation":8}\n\n',
    'event: source\ndata: {"isReachable":false,"why":"it went","sinceMs":5}\n\n',
  ]);
  const late = new FakeResponse();
  assert.ok(add(hub, late));
  late.take();
  assert.deepEqual(namesOf(late), ['estate', 'source']);
});

test('names with line breaks stay within their line', (t) => {
  const hub = makeHub(t, {});
  const tab = new FakeResponse();
  assert.ok(add(hub, tab));
  hub.sendState('source', {
    isReachable: false,
    why: 'a\n\nevent: top\rdata: 1\u2028',
    sinceMs: 5,
  });
  tab.take();
  const [text] = tab.texts;
  assert.equal(text.split(/\r|\n/).length, 4);
  assert.equal(
    (JSON.parse(text.split('\n')[1].slice(6)) as { why: string }).why,
    'a\n\nevent: top\rdata: 1\u2028',
  );
});

test('who takes nothing is cut off, and who is silent for want of events is not', async (t) => {
  const hub = makeHub(t, { beatMs: 10, stallMs: 200, queueBytes: 100 });
  const [dead, alive] = [new FakeResponse(), new FakeResponse()];
  assert.ok(add(hub, dead) && add(hub, alive));
  for (let i = 0; i < 1000 && !dead.isDestroyed; i++) {
    await sleep(10);
    alive.take();
  }
  assert.ok(dead.isDestroyed);
  assert.ok(!alive.isDestroyed);
  assert.equal(hub.count, 1);
  assert.ok(alive.texts.length > 3 && alive.texts.every((text) => text === ': \n\n'));
});

test('there are so many streams and no more, and a place is free when one ends', async (t) => {
  const world = await openConsole(t, inputOf(TEXT));
  const followers: Follower[] = [];
  for (let i = 0; i < STREAMS_MAX; i++) followers.push(await Follower.open(t, world));
  const authorization = `Bearer ${world.token}`;
  const more = await world.send({ path: '/api/events', headers: { authorization } });
  assert.equal(more.status, 503);
  assert.deepEqual(JSON.parse(more.text), {
    error: 'too many tabs are open',
    hint: 'close one of them',
  });
  // Other questions are answered all the same.
  await world.get('about');
  followers[0].close();
  for (let i = 0; ; i++) {
    const last = await Follower.open(t, world).catch(() => undefined);
    if (last !== undefined) {
      await last.until(({ name }) => (name === 'source' ? true : undefined), 'the state');
      break;
    }
    assert.ok(i < 100, 'a place is free');
    await sleep(20);
  }
});

/** An input that tells what a test says. */
function tellingSource(): { readonly source: Source; readonly listener: () => SourceListener } {
  let listener: SourceListener | undefined;
  const source: Source = Object.assign(Object.create(inputOf(TEXT)) as Source, {
    start: (given: SourceListener) => (listener = given),
  });
  return { source, listener: () => listener! };
}

test('a browser that stops reading takes no memory, and the others go on', async (t) => {
  const { source, listener } = tellingSource();
  const world = await openConsole(t, source);
  const stuck = connect(world.port, '127.0.0.1');
  t.after(() => stuck.destroy());
  stuck.write(
    `GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:${world.port}\r\nAuthorization: Bearer ${world.token}\r\n\r\n`,
  );
  await once(stuck, 'data');
  stuck.pause();
  const follower = await Follower.open(t, world);
  const flow = { padding: 'x'.repeat(1000) } as unknown as TopAnswer['topFlows'][number];
  const large = { ...TOP, topFlows: new Array(50).fill(flow) as TopAnswer['topFlows'] };
  // Forty times of what may wait for one.
  const rounds = 400;
  for (let timeMs = 0; timeMs < rounds; timeMs++) {
    listener().top({ ...large, timeMs });
    await follower.until(
      ({ name, data }) =>
        name === 'top' && (data as TopAnswer).timeMs === timeMs ? true : undefined,
      `look ${timeMs}`,
    );
  }
  stuck.resume();
  let text = '';
  stuck.on('data', (bytes) => (text += bytes.toString()));
  for (let i = 0; i < 200 && !text.includes('event: missed'); i++) await sleep(20);
  const [, count] = /event: missed\ndata: \{"count":(\d+)\}/.exec(text) ?? [];
  assert.ok(Number(count) > 0 && Number(count) < rounds, `${count} were missed`);
});

test('a look is sent with few flows and interfaces, and the sum of all', async (t) => {
  const { source, listener } = tellingSource();
  const world = await openConsole(t, source);
  const follower = await Follower.open(t, world);
  const traffic = (passedBytes: number): TopAnswer['interfaces'][number]['ingress'] => ({
    ...{ passedPackets: 1, passedBytes, droppedPackets: 0, droppedBytes: 0 },
  });
  const interfaces = Array.from({ length: 300 }, (_, i) => ({
    ...{ name: `eni-${i}`, ingress: traffic(i), egress: traffic(0) },
  }));
  listener().top({ ...TOP, interfaces });
  const told = await follower.until(
    ({ name, data }) =>
      name === 'top' ? (data as { interfaces: TopAnswer['interfaces']; total: object }) : undefined,
    'a look',
  );
  assert.equal(told.interfaces.length, 100);
  assert.equal(told.interfaces[0].name, 'eni-299');
  assert.deepEqual(told.total, {
    ...{ passedPackets: 600, passedBytes: (299 * 300) / 2, droppedPackets: 0, droppedBytes: 0 },
  });
});

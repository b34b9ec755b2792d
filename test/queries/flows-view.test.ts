/** What `sgctl flows` shows and deletes, out of flow tables. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { incarnationIn, stateWordOf } from '../../src/conntrack/entry.ts';
import { refusedState } from '../../src/conntrack/name-marks.ts';
import {
  NAME_AWAITED,
  NAME_BEGUN,
  OPENED_LOCALLY,
  REPLIED,
  TCP_CLOSED,
  TCP_ESTABLISHED,
  REVOKED_FLOW,
  TCP_SYN_SENT,
} from '../../src/conntrack/states.ts';
import { FlowsView, type FlowsQuestion } from '../../src/queries/flows-view.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import { Seeing } from '../telemetry/seeing.ts';

async function remotePorts(view: FlowsView, question: FlowsQuestion): Promise<number[]> {
  return (await view.list(question)).flows.map(({ remotePort }) => remotePort);
}

test('a flow as people read it', async (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const state = TCP_ESTABLISHED | OPENED_LOCALLY | REPLIED;
  seeing.open({ state, idleMs: 1500, bytesOut: 2 ** 40, packetsOut: 7, rule: 0 });
  const view = new FlowsView(seeing.observatory, seeing.book);
  const { flows, matched, hasAccounts } = await view.list({});
  const [{ rule, ...flow }] = flows;
  assert.deepEqual([matched, hasAccounts], [1, true]);
  assert.deepEqual(flow, {
    interface: 'eni-web-1',
    protocol: 'tcp',
    localAddress: '10.0.0.11',
    localPort: 443,
    remoteAddress: '10.1.1.1',
    remotePort: 1000,
    openedBy: 'instance',
    state: 'established',
    packetsOut: 7,
    packetsIn: 0,
    bytesOut: 2 ** 40,
    bytesIn: 0,
    idleMs: 1500,
    expiresInMs: 98_500,
  });
  assert.equal(rule?.text, 'all from sg:default');
  assert.deepEqual(rule.group?.name, 'default');
});

test('filters of state, opener and idleness, and those past their time-out left out', async (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  seeing.open({ remotePort: 1, state: TCP_SYN_SENT | OPENED_LOCALLY, idleMs: 10 });
  seeing.open({ remotePort: 2, state: TCP_ESTABLISHED, idleMs: 50_000 });
  seeing.open({ remotePort: 3, state: TCP_ESTABLISHED, idleMs: 100_001 });
  const view = new FlowsView(seeing.observatory, seeing.book);
  assert.deepEqual(await remotePorts(view, {}), [1, 2]);
  assert.deepEqual(await remotePorts(view, { states: ['established'] }), [2]);
  assert.deepEqual(await remotePorts(view, { states: ['established', 'syn-sent'] }), [1, 2]);
  assert.deepEqual(await remotePorts(view, { openedBy: 'instance' }), [1]);
  assert.deepEqual(await remotePorts(view, { idleMs: 11 }), [2]);
  assert.deepEqual(await remotePorts(view, { remotePorts: ['1'] }), [1]);
  await assert.rejects(view.list({ states: ['open'] }), RequestError);
  await assert.rejects(
    view.list({ limit: 10_001 }),
    new RequestError('limit goes from 0 to 10000'),
  );
});

test('where a connection stands whose rule requires a server name', async (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const open = TCP_ESTABLISHED | OPENED_LOCALLY | REPLIED;
  seeing.open({ remotePort: 1, state: TCP_SYN_SENT | OPENED_LOCALLY | NAME_AWAITED });
  seeing.open({ remotePort: 2, state: open | NAME_AWAITED });
  seeing.open({ remotePort: 3, state: open | NAME_AWAITED | NAME_BEGUN });
  seeing.open({ remotePort: 4, state: open | NAME_BEGUN });
  seeing.open({ remotePort: 5, state: open });
  seeing.open({ remotePort: 6, state: refusedState(open | NAME_AWAITED) });
  seeing.open({ remotePort: 7, state: TCP_CLOSED | OPENED_LOCALLY | REPLIED });
  const view = new FlowsView(seeing.observatory, seeing.book);
  assert.deepEqual(
    (await view.list({})).flows.map(({ remotePort, state }) => `${remotePort} ${state}`),
    [
      ...['1 syn-sent', '2 tls-name-awaited', '3 tls-name-awaited', '4 established'],
      ...['5 established', '6 tls-name-refused', '7 closed'],
    ],
  );
  assert.deepEqual(await remotePorts(view, { states: ['tls-name-awaited'] }), [2, 3]);
  assert.deepEqual(await remotePorts(view, { states: ['tls-name-refused'] }), [6]);
  assert.deepEqual(await remotePorts(view, { states: ['established'] }), [4, 5]);
  assert.deepEqual(await remotePorts(view, { states: ['closed'] }), [7]);
});

test('orders and limits: the most first, and how many there are in all', async (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  for (let i = 1; i <= 500; i++) {
    // Neither sorted nor the other way round.
    const rank = (i * 7) % 501;
    seeing.open({ remotePort: rank, bytesOut: rank, packetsOut: 1000 - rank, idleMs: rank });
  }
  const view = new FlowsView(seeing.observatory, seeing.book);
  assert.deepEqual(await remotePorts(view, { sort: 'bytes', limit: 3 }), [500, 499, 498]);
  assert.deepEqual(await remotePorts(view, { sort: 'packets', limit: 3 }), [1, 2, 3]);
  assert.deepEqual(await remotePorts(view, { sort: 'idle', limit: 3 }), [500, 499, 498]);
  assert.deepEqual(await remotePorts(view, { sort: 'expires', limit: 1 }), [500]);
  const counted = await view.list({ limit: 0 });
  assert.deepEqual([counted.matched, counted.flows.length], [500, 0]);
  assert.equal((await view.list({ limit: 10 })).matched, 500);
});

test('a look at many flows lets others have their turn', async (t) => {
  const FLOWS = 300_000;
  const seeing = new Seeing(FLOWS);
  t.after(() => seeing.pump.stop());
  for (let i = 0; i < FLOWS; i++) seeing.open({ remotePort: i & 0xffff, remote: i });
  const view = new FlowsView(seeing.observatory, seeing.book);
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const { matched } = await view.list({ sort: 'bytes', limit: 5, ports: ['443'] });
  isDone = true;
  assert.equal(matched, FLOWS);
  assert.ok(turns >= 3, `${turns} turns for others`);
});

test('deleting: what matches and is not ended yet, by entry and incarnation, a few hundred at a time', async (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const [table] = seeing.tables;
  // The entry has been another flow's before.
  table.remove(seeing.open({ remotePort: 5 }));
  for (let i = 0; i < 600; i++) seeing.open({ remotePort: i, port: 1 });
  seeing.open({ remotePort: 700, port: 2 });
  seeing.open({ remotePort: 701, port: 1, state: REVOKED_FLOW });
  const view = new FlowsView(seeing.observatory, seeing.book);
  assert.equal(await view.end({ interfaces: ['eni-web-1'] }), 600);
  assert.deepEqual(
    seeing.endings.map(({ length }) => length / 3),
    [512, 88],
  );
  const [first] = seeing.endings;
  const incarnation = incarnationIn(stateWordOf(table, 0));
  assert.notEqual(incarnation, 0);
  assert.deepEqual(first.slice(0, 3), [0, 0, incarnation]);
});

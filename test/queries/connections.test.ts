/** Connections that belong to a packet: found in tables of any size, without keeping others waiting. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { OPENED_LOCALLY, TCP_ESTABLISHED } from '../../src/conntrack/states.ts';
import { assessImpact } from '../../src/daemon/impact.ts';
import { findConnections, readConnection } from '../../src/queries/connections.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { Seeing } from '../telemetry/seeing.ts';

const WEB = '10.0.0.11';
const PEER = 0xc6336407;
const PEER_TEXT = '198.51.100.7';

/** Time as the slices see it: a look at the clock takes 2 ms, so that every second run of entries ends a slice. */
function slowClock(t: TestContext): void {
  let nowMs = 0;
  t.mock.method(performance, 'now', () => (nowMs += 2));
}

/** @returns how many turns others had until it is done */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await work;
  isDone = true;
  return turns;
}

test('those of a packet are found, by who opened them, their protocol and the port asked for', async (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const state = TCP_ESTABLISHED;
  seeing.open({ remote: PEER, localPort: 443, remotePort: 1001, state });
  seeing.open({ remote: PEER, localPort: 443, remotePort: 1002, state, protocol: 17 });
  seeing.open({ remote: PEER, localPort: 80, remotePort: 1003, state });
  seeing.open({ remote: PEER + 1, localPort: 443, remotePort: 1004, state });
  seeing.open({ remote: PEER, localPort: 1005, remotePort: 443, state: state | OPENED_LOCALLY });
  const [table] = seeing.tables;
  const gone = seeing.open({ remote: PEER, localPort: 443, remotePort: 1006, state });
  table.remove(gone);

  const into = { from: PEER_TEXT, to: WEB, protocol: 6 };
  const outOf = { from: WEB, to: PEER_TEXT, protocol: 6 };
  const ask = async (...filters: Parameters<typeof findConnections>[2]): Promise<string[]> =>
    (await findConnections(seeing.tables, seeing.names, filters))
      .flat()
      .map(({ openedBy, localPort, remotePort }) => `${openedBy} ${localPort} ${remotePort}`);
  assert.deepEqual(await ask({ ...into, port: 443 }), ['remote 443 1001']);
  assert.deepEqual(await ask({ ...into, protocol: 17, port: 443 }), ['remote 443 1002']);
  assert.deepEqual(await ask({ ...into, port: undefined }), ['remote 443 1001', 'remote 80 1003']);
  assert.deepEqual(await ask({ ...outOf, port: 443 }), ['instance 1005 443']);
  assert.deepEqual(await ask({ ...outOf, port: 443 }, { ...into, port: 80 }), [
    'instance 1005 443',
    'remote 80 1003',
  ]);
  assert.deepEqual(await ask(), []);
});

test('the same as by reading every flow, and twenty at most of each filter', async (t) => {
  const FLOWS = 5000;
  const seeing = new Seeing(FLOWS);
  t.after(() => seeing.pump.stop());
  for (let i = 0; i < FLOWS; i++)
    seeing.open({
      remote: PEER + (i % 97),
      remotePort: 2000 + i,
      localPort: 400 + (i % 7),
      protocol: i % 3 === 0 ? 17 : 6,
      state: i % 5 === 0 ? TCP_ESTABLISHED | OPENED_LOCALLY : TCP_ESTABLISHED,
    });
  const [table] = seeing.tables;
  const all = Array.from({ length: FLOWS }, (_, flow) => readConnection(table, flow, seeing.names));
  for (const port of [undefined, 403]) {
    const [found] = await findConnections(seeing.tables, seeing.names, [
      { from: PEER_TEXT, to: WEB, protocol: 6, port },
    ]);
    const expected = all.filter(
      (one) =>
        one.openedBy === 'remote' &&
        one.protocol === 'tcp' &&
        one.remoteAddress === PEER_TEXT &&
        (port === undefined || one.localPort === port),
    );
    assert.deepEqual(found, expected.slice(0, 20));
    assert.ok(found.length > 0);
  }
});

test('a look at many flows, to find or to assess, lets others have their turn', async (t) => {
  const FLOWS = 100_000;
  const seeing = new Seeing(FLOWS);
  t.after(() => seeing.pump.stop());
  for (let i = 0; i < FLOWS; i++)
    seeing.open({ remotePort: i & 0xffff, remote: i, state: TCP_ESTABLISHED });
  const ports = new Map(seeing.config.interfaces.map(({ id }, i) => [id, i + 1]));
  const policy = compilePolicy({
    model: seeing.config.model,
    ports,
    ruleNumbers: new RuleNumbers(),
    special: seeing.config.special,
    generation: 2,
  });
  slowClock(t);
  // 49 runs of 2,048 entries; two of them fill a slice.
  const filter = { from: PEER_TEXT, to: WEB, protocol: 6, port: 1 };
  const finding = findConnections(seeing.tables, seeing.names, [filter]);
  assert.ok((await turnsDuring(finding)) >= 20);
  const assessing = assessImpact(seeing.tables, policy, seeing.names, String);
  assert.ok((await turnsDuring(assessing)) >= 20);
  assert.equal((await assessing).kept + (await assessing).cut, FLOWS);
});

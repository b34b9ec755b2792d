/** One instance's flows and another's: what the one opens never keeps the other from opening some. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FlowTables } from '../../src/engine/flow-limits.ts';
import { GAUGE_COUNT, GAUGE_EVICTED, GAUGE_HALF_OPEN } from '../../src/engine/counters.ts';
import { Conversation } from './conversation.ts';
import { tcp4, udp4 } from '../packets/build.ts';
import { Rig, type RigOptions } from './rig.ts';

const EVIL = '10.0.0.11';
const GOOD = '10.0.0.12';
const THIRD = '10.0.0.13';
const FAR = '198.51.100.9';

function makeRig(options: RigOptions): Rig {
  const rules = {
    ingress: ['tcp 22 from 9.0.0.0/8'],
    egress: ['all to 0.0.0.0/1', 'all to 128.0.0.0/1'],
  };
  return new Rig(
    {
      groups: { all: rules },
      interfaces: {
        evil: { addresses: [EVIL], groups: ['all'] },
        good: { addresses: [GOOD], groups: ['all'] },
        third: { addresses: [THIRD], groups: ['all'] },
      },
    },
    { ...options, acceptsMidstream: false },
  );
}

const target = (n: number): string => `100.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
const flood = (rig: Rig, from: number, count: number, nowMs = 0): void => {
  for (let n = from; n < from + count; n++)
    rig.send('evil', tcp4(EVIL, target(n), { srcPort: 1000, dstPort: 80, flags: 'S' }), nowMs);
};
/** An answered UDP flow, which nobody gives up. @returns whether it was opened */
function ask(rig: Rig, name: 'evil' | 'good' | 'third', n: number, nowMs = 0): boolean {
  const address = { evil: EVIL, good: GOOD, third: THIRD }[name];
  const there = { srcPort: 1024 + n, dstPort: 7 };
  const verdict = rig.send(name, udp4(address, FAR, there), nowMs);
  if (verdict !== 'uplink') {
    assert.equal(verdict, 'conntrack-full');
    return false;
  }
  const back = { srcPort: 7, dstPort: 1024 + n };
  assert.equal(rig.send('uplink', udp4(FAR, address, back), nowMs), name);
  return true;
}

function gauge(rig: Rig, index: number): number {
  const gauges = new Float64Array(GAUGE_COUNT);
  rig.engine.gates.writeGauges(gauges);
  return gauges[index];
}

test('a flood of SYNs from one instance costs no other the connection that waits for its answer', () => {
  const rig = makeRig({ maxFlows: 4096, maxHalfOpen: 64 });
  const talks = Array.from({ length: 16 }, (_, n) => new Conversation(GOOD, 2000 + n, FAR, 443));
  flood(rig, 0, 200);
  for (const talk of talks) {
    assert.equal(rig.send('good', talk.syn()), 'uplink');
    flood(rig, 1000, 300);
  }
  for (const talk of talks) {
    assert.equal(rig.send('uplink', talk.synAck()), 'good', 'its flow is still there');
    assert.equal(rig.send('good', talk.ack('client')), 'uplink');
    flood(rig, 2000, 100);
  }
  assert.equal(gauge(rig, GAUGE_HALF_OPEN), 64, 'what is left is the flood');
});

test('a flood towards an instance costs it no connection that it opens itself', () => {
  const rig = makeRig({ maxFlows: 4096, maxHalfOpen: 64 });
  const inward = (n: number): string =>
    rig.send(
      'uplink',
      tcp4(`9.0.${n >> 8}.${n & 255}`, GOOD, { srcPort: 1, dstPort: 22, flags: 'S' }),
    );
  const talk = new Conversation(GOOD, 2000, FAR, 443);
  for (let n = 0; n < 200; n++) assert.equal(inward(n), 'good');
  assert.equal(rig.send('good', talk.syn()), 'uplink');
  for (let n = 200; n < 1000; n++) assert.equal(inward(n), 'good');
  assert.equal(rig.send('uplink', talk.synAck()), 'good');
});

test('an interface at its own limit makes room at once, however many flows of others are older', () => {
  const rig = makeRig({ maxFlows: 4096 });
  rig.maxFlowsByPort[2] = 100;
  // Not one of the oldest is good's: the 64 that were once looked at, and many more.
  flood(rig, 0, 1000);
  for (let n = 0; n < 300; n++)
    assert.equal(
      rig.send(
        'uplink',
        tcp4(`9.0.${n >> 8}.${n & 255}`, GOOD, { srcPort: 1, dstPort: 22, flags: 'S' }),
      ),
      'good',
    );
  assert.equal(rig.flowsByPort[2], 100);
  assert.equal(gauge(rig, GAUGE_EVICTED), 200);
  for (let n = 0; n < 5; n++) {
    const talk = new Conversation('9.9.9.9', 3000 + n, GOOD, 22);
    assert.equal(rig.send('uplink', talk.syn()), 'good');
    assert.equal(rig.send('good', talk.synAck()), 'uplink');
    assert.equal(rig.send('uplink', talk.ack('client')), 'good');
  }
});

test('connections that were reset, or closed, make room at a limit; established ones do not', () => {
  const rig = makeRig({ maxFlows: 4096 });
  rig.maxFlowsByPort[2] = 8;
  for (let n = 0; n < 100; n++) {
    const talk = new Conversation('9.9.9.9', 3000 + n, GOOD, 22);
    assert.equal(rig.send('uplink', talk.syn()), 'good', `connection ${n}`);
    assert.equal(rig.send('good', talk.send('server', { flags: 'RA' })), 'uplink');
  }
  const kept = Array.from({ length: 8 }, (_, n) => new Conversation('9.9.9.8', 100 + n, GOOD, 22));
  for (const talk of kept) {
    assert.equal(rig.send('uplink', talk.syn()), 'good');
    assert.equal(rig.send('good', talk.synAck()), 'uplink');
    assert.equal(rig.send('uplink', talk.ack('client')), 'good');
  }
  const late = new Conversation('9.9.9.7', 100, GOOD, 22);
  assert.equal(rig.send('uplink', late.syn()), 'conntrack-full');
  for (const talk of kept) assert.equal(rig.send('good', talk.data('server')), 'uplink');
});

test('an instance that fills the table with answered flows leaves the others their part', () => {
  const maxFlows = 1200;
  const rig = makeRig({ maxFlows });
  let evil = 0;
  for (let n = 0; n < 2 * maxFlows; n++) if (ask(rig, 'evil', n)) evil++;
  // A quarter of the table is kept, a third of that for each; evil's own is in use.
  assert.equal(evil, maxFlows - 2 * 100);
  for (let n = 0; n < 100; n++) assert.ok(ask(rig, 'good', n), `flow ${n} of good`);
  assert.equal(ask(rig, 'good', 100), false);
  for (let n = 0; n < 100; n++) assert.ok(ask(rig, 'third', n), `flow ${n} of third`);
  assert.equal(ask(rig, 'evil', 5000), false);
  // Time gives back what is not used, and anybody may have what is nobody's.
  for (let n = 0; n < 300; n++) assert.ok(ask(rig, 'good', n, 31_000), `later flow ${n}`);
});

test('half-open flows beyond a part that is kept make room for those within theirs', () => {
  const rig = makeRig({ maxFlows: 120, maxHalfOpen: 120 });
  flood(rig, 0, 500);
  assert.equal(rig.flowsByPort[1], 100);
  for (let n = 0; n < 60; n++) assert.ok(ask(rig, 'good', n), `flow ${n}`);
  assert.equal(rig.flowsByPort[1] + rig.flowsByPort[2], 110, "third's ten are still there");
});

test('the part that is kept follows the interfaces that there are', () => {
  const rig = makeRig({ maxFlows: 120 });
  const text = {
    groups: { all: { egress: ['all to 0.0.0.0/1', 'all to 128.0.0.0/1'] } },
    interfaces: { evil: { addresses: [EVIL], groups: ['all'] } },
  };
  for (let n = 0; n < 100; n++) assert.ok(ask(rig, 'evil', n));
  assert.equal(ask(rig, 'evil', 100), false);
  rig.change(text);
  for (let n = 101; n < 121; n++) assert.ok(ask(rig, 'evil', n), 'nobody else is there');
  assert.equal(ask(rig, 'evil', 200), false);
});

test('in several loops: whatever the others fill, an interface opens as many as are kept for it', () => {
  const LOOPS = 3;
  const steps = fc.array(
    fc.record({ loop: fc.nat(LOOPS - 1), who: fc.nat(2), n: fc.nat(60_000) }),
    {
      minLength: 50,
      maxLength: 250,
      size: 'max',
    },
  );
  const names = ['evil', 'good', 'third'] as const;
  fc.assert(
    fc.property(steps, (taken) => {
      const lists: FlowTables[][] = Array.from({ length: LOOPS }, () => []);
      const rigs = lists.map((others) => makeRig({ maxFlows: 60, others }));
      lists.forEach((others, loop) => {
        for (const rig of rigs) if (rig !== rigs[loop]) others.push(rig);
      });
      const ofPort = (port: number): number =>
        rigs.reduce((sum, rig) => sum + rig.flowsByPort[port], 0);
      let nowMs = 0;
      for (const { loop, who, n } of taken) {
        // A millisecond each: every loop knows what the others have.
        nowMs++;
        const before = ofPort(who + 1);
        const isOpen = ask(rigs[loop], names[who], n, nowMs);
        // Five are kept for each.
        if (before < 5) assert.ok(isOpen, `${names[who]} has ${before}`);
        const total = ofPort(1) + ofPort(2) + ofPort(3);
        const unused = [1, 2, 3].reduce((sum, port) => sum + Math.max(0, 5 - ofPort(port)), 0);
        assert.ok(total + unused <= 60, `${total} flows, ${unused} kept and not used`);
      }
    }),
    { numRuns: 60 },
  );
});

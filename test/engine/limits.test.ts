/** Full tables: who makes room for whom, what is counted, and what exception policies let pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  GAUGE_COUNT,
  GAUGE_EVICTED,
  GAUGE_HALF_OPEN,
  GAUGE_PASSED_FRAGMENT,
  GAUGE_PASSED_INVALID,
  GAUGE_PASSED_TABLE_FULL,
} from '../../src/engine/counters.ts';
import { fragments4, ipv4, PROTOCOL, tcp4, tcp6, udp, udp4 } from '../packets/build.ts';
import { Conversation } from './conversation.ts';
import { Rig, type RigOptions } from './rig.ts';

const WEB = '10.0.0.11';
const WEB6 = 'fd00:10::11';
const DB = '10.0.0.12';

/** One gate a packet: the other side is outside. */
function makeRig(options: RigOptions): Rig {
  return new Rig(
    {
      groups: {
        web: {
          ingress: [
            'tcp 22 from 0.0.0.0/1',
            'tcp 22 from 128.0.0.0/1',
            'tcp 22 from ::/1',
            'tcp 22 from 8000::/1',
            'udp 53 from 0.0.0.0/1',
            'tcp 80 from 0.0.0.0/0',
          ],
        },
      },
      interfaces: {
        web: { addresses: [WEB, WEB6], groups: ['web'] },
        db: { addresses: [DB], groups: ['web'] },
      },
    },
    options,
  );
}

const outside = (n: number): string => `9.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
const syn = (n: number, to = WEB): Uint8Array =>
  tcp4(outside(n), to, { srcPort: 40000, dstPort: 22, flags: 'S' });

function establish(rig: Rig, n: number, nowMs = 0): Conversation {
  const talk = new Conversation(outside(n), 40000, WEB, 22);
  assert.equal(rig.send('uplink', talk.syn(), nowMs), 'web');
  assert.equal(rig.send('web', talk.synAck(), nowMs), 'uplink');
  assert.equal(rig.send('uplink', talk.ack('client'), nowMs), 'web');
  return talk;
}

function gaugesOf(rig: Rig): Float64Array {
  const gauges = new Float64Array(GAUGE_COUNT);
  rig.engine.gates.writeGauges(gauges);
  return gauges;
}

test('a full table gives up its oldest half-open flow, and never an established one', () => {
  // One place of the nine is kept for db.
  const rig = makeRig({ maxFlows: 9 });
  const talks = [1, 2, 3].map((n) => establish(rig, n));
  for (let n = 10; n < 15; n++) assert.equal(rig.send('uplink', syn(n), n), 'web');
  assert.equal(rig.states.length, 8);
  assert.equal(rig.send('uplink', syn(20), 20), 'web');
  assert.equal(gaugesOf(rig)[GAUGE_EVICTED], 1);
  const answer = (n: number): string =>
    rig.send(
      'web',
      tcp4(WEB, outside(n), { srcPort: 22, dstPort: 40000, flags: 'SA', seq: 5, ack: 1 }),
      21,
    );
  assert.equal(answer(11), 'uplink', 'the second oldest is still known');
  const strict = makeRig({ maxFlows: 9, acceptsMidstream: false });
  for (let n = 10; n < 19; n++) strict.send('uplink', syn(n), n);
  assert.equal(
    strict.send(
      'web',
      tcp4(WEB, outside(10), { srcPort: 22, dstPort: 40000, flags: 'SA', seq: 5, ack: 1 }),
      21,
    ),
    'tcp-midstream',
    'the oldest is gone',
  );
  for (let n = 100; n < 1100; n++) rig.send('uplink', syn(n), 30);
  for (const talk of talks) assert.equal(rig.send('uplink', talk.data('client'), 31), 'web');
  assert.deepEqual(rig.states.filter((state) => state === 'established').length, 3);
});

test('a table full of established flows refuses new ones, and counts them', () => {
  const rig = makeRig({ maxFlows: 3 });
  const talks = [1, 2, 3].map((n) => establish(rig, n));
  assert.equal(rig.send('uplink', syn(9)), 'conntrack-full');
  assert.equal(
    rig.send('uplink', tcp6('2001:db8::1', WEB6, { srcPort: 1, dstPort: 22, flags: 'S' })),
    'conntrack-full',
    'both families share the limit',
  );
  assert.equal(
    rig.send('uplink', tcp4(outside(9), WEB, { srcPort: 1, dstPort: 80, flags: 'S' })),
    'web',
    'untracked flows need no room',
  );
  assert.equal(rig.send('uplink', talks[0].data('client')), 'web');
  assert.match(rig.counts.join('\n'), /web ingress: .* dropped \(conntrack-full 2\)/);
});

test('half-open flows have a budget of their own, below what the table would hold', () => {
  const rig = makeRig({ maxFlows: 100, maxHalfOpen: 4 });
  for (let n = 0; n < 50; n++) assert.equal(rig.send('uplink', syn(n), n), 'web');
  assert.equal(rig.states.length, 4);
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 4);
  assert.equal(gaugesOf(rig)[GAUGE_EVICTED], 46);
  establish(rig, 1000, 60);
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 3, 'an answered flow leaves the budget');
});

test('SYN-ACK alone does not leave the budget; UDP leaves it with its first answer', () => {
  const rig = makeRig({ maxFlows: 100 });
  const talk = new Conversation(outside(1), 40000, WEB, 22);
  rig.send('uplink', talk.syn());
  rig.send('web', talk.synAck());
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 1, 'a flood from forged sources gets that far');
  rig.send('uplink', talk.ack('client'));
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 0);
  rig.send('uplink', udp4(outside(1), WEB, { srcPort: 1, dstPort: 53 }));
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 1);
  rig.send('web', udp4(WEB, outside(1), { srcPort: 53, dstPort: 1 }));
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 0);
});

test('a flood of ACKs picked up in mid-stream does not last five days', () => {
  const rig = makeRig({ maxFlows: 100 });
  rig.send('uplink', tcp4(outside(1), WEB, { srcPort: 1, dstPort: 22, flags: 'A' }), 0);
  assert.equal(gaugesOf(rig)[GAUGE_HALF_OPEN], 1);
  rig.engine.gates.tracker.sweep(100, 60_001);
  assert.deepEqual(rig.states, []);
});

test('an interface at its own limit makes room among its own half-open flows, or is refused alone', () => {
  const rig = makeRig({ maxFlows: 100 });
  rig.maxFlowsByPort[1] = 3;
  for (let n = 0; n < 20; n++) assert.equal(rig.send('uplink', syn(n), n), 'web');
  assert.equal(rig.states.length, 3);
  for (let n = 0; n < 20; n++)
    assert.equal(rig.send('uplink', syn(n, DB), n), 'db', 'the other interface has the table');
  const full = makeRig({ maxFlows: 100 });
  full.maxFlowsByPort[1] = 2;
  establish(full, 1);
  establish(full, 2);
  assert.equal(full.send('uplink', syn(3)), 'conntrack-full');
  assert.equal(full.send('uplink', syn(3, DB)), 'db');
});

test('time makes room: what is past its time-out goes before anything is given up', () => {
  const rig = makeRig({ maxFlows: 2 });
  rig.send('uplink', syn(1), 0);
  rig.send('uplink', syn(2), 59_000);
  assert.equal(rig.send('uplink', syn(3), 60_001), 'web');
  assert.equal(gaugesOf(rig)[GAUGE_EVICTED], 0);
});

test('a hundred thousand flows that end all at once are swept a bounded number at a time', () => {
  const flows = 1 << 17;
  // A part of the table is kept for db.
  const rig = makeRig({ maxFlows: 1.25 * flows, maxHalfOpen: flows });
  for (let n = 0; n < flows; n++) rig.send('uplink', syn(n), 0);
  assert.equal(rig.flows4.count, flows);
  const { tracker } = rig.engine.gates;
  const freed: number[] = [];
  while (rig.flows4.count > 0) freed.push(tracker.sweep(2048, 70_000));
  assert.deepEqual(freed, new Array(flows / 2048).fill(2048), 'each tick frees its share');
});

test('exception policies: on a full table', () => {
  const rig = makeRig({ maxFlows: 1, passes: { tableFull: true } });
  establish(rig, 1);
  assert.equal(rig.send('uplink', syn(2)), 'web');
  assert.equal(
    rig.send('uplink', tcp4(outside(2), WEB, { srcPort: 1, dstPort: 23, flags: 'S' })),
    'ingress-rules',
    'what the rules refuse has no excuse',
  );
  assert.equal(gaugesOf(rig)[GAUGE_PASSED_TABLE_FULL], 1);
});

test('exception policies: on an invalid packet', () => {
  const wild = { flags: 'A', seq: 5, ack: 7 };
  for (const [invalid, verdict] of [
    [false, 'tcp-window'],
    [true, 'web'],
  ] as const) {
    const rig = makeRig({ passes: { invalid } });
    const talk = establish(rig, 1);
    assert.equal(rig.send('uplink', talk.send('client', wild)), verdict);
    assert.equal(rig.send('uplink', talk.data('client')), 'web', 'and moves nothing');
    assert.equal(gaugesOf(rig)[GAUGE_PASSED_INVALID], invalid ? 1 : 0);
  }
  const rig = makeRig({ passes: { invalid: true } });
  const talk = establish(rig, 2);
  for (const flags of ['SR', 'F', ''])
    assert.equal(rig.send('uplink', talk.send('client', { flags })), 'web', flags);
  assert.equal(rig.send('web', talk.data('server')), 'uplink', 'odd flags move nothing either');
  assert.equal(rig.send('uplink', talk.ack('client')), 'web');
  assert.equal(
    rig.send('uplink', tcp4(outside(1), WEB, { srcPort: 1, dstPort: 23, flags: 'FPU' })),
    'ingress-rules',
    'odd flags still face the rules',
  );
  assert.equal(
    makeRig({}).send('uplink', tcp4(outside(1), WEB, { srcPort: 1, dstPort: 22, flags: 'FPU' })),
    'tcp-flags',
  );
});

test('exception policies: on fragment trouble', () => {
  const pieces = fragments4(
    ipv4({
      src: outside(1),
      dst: WEB,
      id: 5,
      protocol: PROTOCOL.udp,
      payload: udp(outside(1), WEB, { srcPort: 1, dstPort: 53, payload: 'z'.repeat(2000) }),
    }),
    1000,
  );
  assert.equal(makeRig({}).send('uplink', pieces[1]), 'fragment-early');
  const rig = makeRig({ passes: { fragment: true } });
  assert.equal(rig.send('uplink', pieces[1]), 'web');
  assert.equal(gaugesOf(rig)[GAUGE_PASSED_FRAGMENT], 1);
});

test('exception policies: what can not be decoded is dropped whatever they say', () => {
  const rig = makeRig({ passes: { tableFull: true, invalid: true, fragment: true } });
  assert.equal(rig.send('uplink', syn(1).subarray(0, 30)), 'truncated');
});

/** The fence: what is behind it stops at its moment, whatever is tracked, and nothing else does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  createFenceMemory,
  Fence,
  FENCE_NEVER,
  FENCE_TICK_MS,
  setFence,
} from '../../src/engine/fence.ts';
import { arp, ethernet, ETHER_TYPE, MAC_BROADCAST, tcp4, udp4 } from '../packets/build.ts';
import { DROPPED, frame, GATEWAY, Wire } from './frames.ts';
import { Rig } from './rig.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const OUT = '198.51.100.7';
const OUT_MAC = '06:00:00:00:00:0f';
/** `a` is behind the fence, `b` is not. */
const TEXT = {
  groups: { open: { ingress: ['all from 198.51.100.0/24', 'all from 10.0.0.0/8'] } },
  interfaces: {
    a: { addresses: [A], groups: ['open'] },
    b: { addresses: [B], groups: ['open'] },
  },
};
const A_PORT = 1;

class Moment {
  nowMs = 0;
  private readonly memory = createFenceMemory();
  readonly fence = new Fence(this.memory, 3, () => this.nowMs);

  constructor() {
    this.fence.ports[A_PORT] = 1;
  }

  until(bootMs: number): void {
    setFence(new Int32Array(this.memory), bootMs);
  }
}

test('the moment is cut to a tick before it, and to what an int32 holds', () => {
  const cell = new Int32Array(createFenceMemory());
  for (const [bootMs, tick] of [
    [0, 0],
    [-5, 0],
    [FENCE_TICK_MS - 0.1, 0],
    [FENCE_TICK_MS, 1],
    [12_345.6, 123],
    [Number.MAX_SAFE_INTEGER, FENCE_NEVER - 1],
    [Infinity, FENCE_NEVER],
  ]) {
    setFence(cell, bootMs);
    assert.equal(cell[0], tick, String(bootMs));
  }
});

test('memory that nobody has written yet is closed', () => {
  const { fence } = new Moment();
  fence.look();
  assert.deepEqual([fence.holds(A_PORT), fence.holds(2)], [true, false]);
});

test('a moment that has passed is told as passed, however long the machine has been up', () => {
  const moment = new Moment();
  const { fence } = moment;
  const DAY_MS = 86_400_000;
  for (const days of [0.1, 20, 25, 40, 50, 70, 200]) {
    moment.nowMs = days * DAY_MS;
    for (const untilMs of [0, moment.nowMs - DAY_MS, moment.nowMs]) {
      moment.until(untilMs);
      assert.ok(((fence.closesAtMs - moment.nowMs) | 0) <= 0, `${untilMs} after ${days} days`);
      assert.notEqual(fence.closesAtMs, 0);
    }
    moment.until(moment.nowMs + 9500);
    const leftMs = (fence.closesAtMs - moment.nowMs) | 0;
    assert.ok(leftMs > 9300 && leftMs <= 9501, String(leftMs));
    moment.until(Infinity);
    assert.equal(fence.closesAtMs, 0);
  }
});

test('packets stop at the moment, both ways and also of flows that are tracked', () => {
  const moment = new Moment();
  const { fence } = moment;
  const rig = new Rig(TEXT, { fence });
  const send = (from: string, src: string, dst: string): string =>
    rig.send(from, udp4(src, dst, { srcPort: 1, dstPort: 1 }));
  const all = (): readonly string[] => [
    send('a', A, OUT),
    send('uplink', OUT, A),
    send('b', B, A),
    send('a', A, B),
    send('b', B, OUT),
    send('uplink', OUT, B),
  ];
  const open = ['uplink', 'a', 'a', 'b', 'uplink', 'b'];
  moment.until(1000);
  fence.look();
  assert.deepEqual(all(), open);
  moment.nowMs = 999.9;
  assert.equal(fence.look(), false);
  assert.deepEqual(all(), open);
  moment.nowMs = 1000;
  assert.equal(fence.look(), true);
  const { states } = rig;
  assert.deepEqual(all(), ['fenced', 'fenced', 'fenced', 'fenced', 'uplink', 'b']);
  assert.deepEqual(rig.states, states, 'no flow of it has come or gone');
  assert.equal(fence.look(), false, 'it has closed before');
  moment.until(2000);
  fence.look();
  assert.deepEqual(all(), open);
  moment.nowMs = 1e9;
  moment.until(Infinity);
  fence.look();
  assert.deepEqual(all(), open);
  assert.deepEqual(rig.counts.slice(2, 4), [
    'a ingress: 8 passed, 2 dropped (fenced 2)',
    'a egress: 8 passed, 2 dropped (fenced 2)',
  ]);
});

test('a verdict is by the clock alone, whatever came before', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 500 }) }),
    fc.record({ kind: fc.constant('until' as const), ms: fc.integer({ min: -200, max: 900 }) }),
    fc.record({ kind: fc.constant('send' as const), which: fc.nat(3), port: fc.integer({ min: 1, max: 3 }) }),
  ); // prettier-ignore
  const ways = [
    ['a', A, OUT, 'uplink'],
    ['uplink', OUT, A, 'a'],
    ['b', B, OUT, 'uplink'],
    ['b', B, A, 'a'],
  ] as const;
  let fenced = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const moment = new Moment();
      const rig = new Rig(TEXT, { fence: moment.fence });
      let untilMs = 0;
      for (const one of steps) {
        if (one.kind === 'wait') moment.nowMs += one.ms;
        else if (one.kind === 'until') {
          untilMs = moment.nowMs + one.ms;
          moment.until(untilMs);
        } else {
          moment.fence.look();
          const [from, src, dst, to] = ways[one.which];
          const isOver = moment.nowMs >= Math.floor(Math.max(0, untilMs) / 100) * 100;
          const isFenced = isOver && (from === 'a' || to === 'a');
          if (isFenced) fenced++;
          const packet = udp4(src, dst, { srcPort: one.port, dstPort: one.port });
          assert.equal(rig.send(from, packet), isFenced ? 'fenced' : to);
        }
      }
    }),
  );
  assert.ok(fenced > 0);
});

test('what was judged before the moment, and is not written yet, is taken out of the batch', () => {
  const moment = new Moment();
  const wire = new Wire(TEXT, ['uplink'], { fence: moment.fence });
  moment.until(1000);
  moment.fence.look();
  wire.setMtu('a', 100);
  const to = (dst: string, length = 10): Uint8Array =>
    frame(
      udp4(OUT, dst, { srcPort: 1, dstPort: 1, payload: new Uint8Array(length) }),
      OUT_MAC,
      GATEWAY,
    );
  const contents = [to(A), to(B), to(A), to(A, 500)]; // prettier-ignore
  const sent = wire.receive('uplink', contents);
  assert.deepEqual(sent.map((one) => one.to), ['a', 'b', 'a', DROPPED]); // prettier-ignore
  assert.ok(wire.batch.tooBig.count > 0, 'it is cut, to be written behind the batch');
  moment.nowMs = 1000;
  assert.equal(moment.fence.look(), true);
  const { counters } = wire.rig.engine;
  assert.equal(wire.batch.withhold(counters, moment.fence, 0, contents.length), 2);
  assert.deepEqual([0, 1, 2].map((i) => wire.batch.slots[3 * i + 2]), [-1, 2, -1]); // prettier-ignore
  assert.equal(wire.batch.tooBig.count, 0);
  assert.deepEqual(wire.rig.counts, [
    'uplink ingress: 4 passed, 0 dropped',
    'a ingress: 0 passed, 3 dropped (fenced 3)',
    'b ingress: 1 passed, 0 dropped',
  ]);
});

test('nobody is told on the uplink that the address is here', () => {
  const moment = new Moment();
  const wire = new Wire(TEXT, ['uplink', 'a', 'b'], { fence: moment.fence });
  const ask = (from: string, senderIp: string, targetIp: string, senderMac: string): string => {
    const payload = arp({ operation: 'request', senderMac, senderIp, targetIp });
    const padded = new Uint8Array(46);
    padded.set(payload);
    return wire.pass(from, ethernet({ src: senderMac, dst: MAC_BROADCAST, etherType: ETHER_TYPE.arp, payload: padded })).to;
  }; // prettier-ignore
  const all = (): readonly string[] => [
    ask('uplink', OUT, A, OUT_MAC),
    ask('uplink', OUT, B, OUT_MAC),
    ask('a', A, B, '06:00:00:00:00:0a'),
  ];
  moment.until(1000);
  moment.fence.look();
  assert.deepEqual(all(), ['uplink', 'uplink', 'a']);
  moment.nowMs = 1000;
  moment.fence.look();
  assert.deepEqual(all(), [DROPPED, 'uplink', 'a']);
});

test('a packet that waits for its neighbour does not leave when the moment has passed', () => {
  const moment = new Moment();
  const wire = new Wire(TEXT, ['uplink'], { fence: moment.fence });
  moment.until(1000);
  moment.fence.look();
  for (const [from, src] of [
    ['a', A],
    ['b', B],
  ])
    // prettier-ignore
    wire.pass(from, tcp4(src, OUT, { srcPort: 1, dstPort: 1, flags: 'S' }));
  assert.equal(wire.link.waiting.count, 2);
  moment.nowMs = 1000;
  moment.fence.look();
  wire.link.settle(wire.rig.engine.counters, 0);
  assert.equal(wire.link.waiting.count, 1);
  assert.deepEqual(wire.rig.counts, [
    'uplink egress: 1 passed, 1 dropped (fenced 1)',
    'a egress: 1 passed, 0 dropped',
    'b egress: 1 passed, 0 dropped',
  ]);
});

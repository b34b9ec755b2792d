/** What the packet loop tells of packets and flows: events, accounts, rule hits, copies of packets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ACCOUNT_PACKETS_OUT,
  ACCOUNT_WORDS,
  accountBytes,
  createCarried,
  FlowAccounts,
} from '../../src/conntrack/accounts.ts';
import { readEvent, type FlowEvent, type PacketEvent } from '../../src/telemetry/packet-events.ts';
import {
  CAPTURE_BYTES,
  CAPTURE_COPIED,
  CAPTURE_LENGTH,
  CAPTURE_META,
  CAPTURE_RULE,
  CAPTURE_SEC,
  CAPTURE_USEC,
  CaptureReader,
  CaptureRing,
  captureRingBytes,
} from '../../src/engine/capture-ring.ts';
import {
  EVENTS_MAX,
  WANT_CAPTURE,
  WANT_DROPS,
  WANT_FLOWS,
  WANT_PASSES,
  WANT_UNTRACKED,
} from '../../src/engine/events.ts';
import { icmp4, tcp4, udp4, udp6 } from '../packets/build.ts';
import { Conversation } from './conversation.ts';
import { Rig, type RigOptions } from './rig.ts';

const WEB = '10.0.0.11';
const WEB6 = 'fd00:10::11';
const OUT = '9.0.0.1';
const OUT6 = '2001:db8::9';

function makeRig(options: RigOptions = {}): Rig {
  return new Rig(
    {
      groups: {
        web: {
          ingress: [
            'tcp 22 from 0.0.0.0/1',
            'udp 53 from 0.0.0.0/0',
            'udp 54 from ::/1',
            'udp 54 from 8000::/1',
          ],
        },
      },
      interfaces: { web: { addresses: [WEB, WEB6], groups: ['web'] } },
    },
    options,
  );
}

function takeAll(rig: Rig): (PacketEvent | FlowEvent)[] {
  const events: (PacketEvent | FlowEvent)[] = [];
  const { words, doubles } = rig.events;
  rig.events.drain((at) => events.push(readEvent(words, doubles, at, 0)), Infinity);
  return events;
}

const syn = (srcPort: number): Uint8Array => tcp4(OUT, WEB, { srcPort, dstPort: 22, flags: 'S' });

test('nothing is told that nobody wants', () => {
  const rig = makeRig();
  rig.send('uplink', syn(1));
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 1, dstPort: 23, flags: 'S' }));
  assert.equal(rig.events.isEmpty, true);
});

test('a drop is told with its reason, its gate and who it was between', () => {
  const rig = makeRig();
  rig.events.want(WANT_DROPS);
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 7, dstPort: 23, flags: 'SE' }), 5);
  rig.send('uplink', udp6(OUT6, WEB6, { srcPort: 8, dstPort: 9 }), 6);
  rig.send('uplink', icmp4(OUT, WEB, { type: 8, code: 0 }), 7);
  rig.send('uplink', Uint8Array.of(0x45), 8);
  const events = takeAll(rig) as PacketEvent[];
  assert.deepEqual(
    events.map(({ timeMs, reason, direction, rule, port }) => [
      timeMs,
      reason,
      direction,
      rule,
      port,
    ]),
    [
      [5, 'ingress-rules', 'ingress', undefined, 1],
      [6, 'ingress-rules', 'ingress', undefined, 1],
      [7, 'ingress-rules', 'ingress', undefined, 1],
      [8, 'truncated', 'ingress', undefined, 0],
    ],
  );
  assert.deepEqual(events[0].tuple, {
    family: 4,
    protocol: 6,
    localAddress: WEB,
    remoteAddress: OUT,
    localPort: 23,
    remotePort: 7,
  });
  assert.equal(events[0].tcpFlags, 0x42);
  assert.deepEqual([events[1].tuple?.localAddress, events[1].tuple?.remoteAddress], [WEB6, OUT6]);
  assert.deepEqual(events[2].icmp, { type: 8, code: 0 });
  assert.equal(events[3].tuple, undefined, 'no tuple of the packet before it');
});

test('a flow is told when it opens, and with what it carried when it ends', () => {
  const rig = makeRig();
  rig.events.want(WANT_FLOWS);
  const talk = new Conversation(OUT, 40000, WEB, 22);
  let bytesIn = 0;
  let bytesOut = 0;
  const send = (from: 'uplink' | 'web', packet: Uint8Array, nowMs: number): void => {
    if (from === 'web') bytesOut += packet.length;
    else bytesIn += packet.length;
    rig.send(from, packet, nowMs);
  };
  send('uplink', talk.syn(), 10);
  send('web', talk.synAck(), 20);
  send('uplink', talk.ack('client'), 30);
  send('uplink', talk.data('client', 100), 40);
  rig.engine.beginRound(433_000_000, 0, 0);
  rig.engine.gates.tracker.sweep(100, 433_000_000);
  const [opened, ended] = takeAll(rig) as FlowEvent[];
  assert.deepEqual([opened.kind, opened.state, opened.timeMs], ['opened', 'syn-sent', 10]);
  const { kind, state, endedBy, lastSeenMs, carried, tuple, rule } = ended;
  assert.deepEqual([kind, state, endedBy, lastSeenMs], ['ended', 'established', 'timeout', 40]);
  assert.equal(rule, opened.rule);
  assert.deepEqual([tuple.localPort, tuple.remotePort], [22, 40000]);
  assert.deepEqual(carried, {
    packetsOut: 1,
    packetsIn: 3,
    bytesOut,
    bytesIn,
    firstSeenMs: 10,
    interval: 0,
    flagsOut: 0xa,
    flagsIn: 0x2,
    flagsOutBefore: 0,
    flagsInBefore: 0,
  });
});

test('packets of untracked flows are told by themselves, those of tracked ones only to who wants all', () => {
  const rig = makeRig();
  const untracked = udp4(OUT, WEB, { srcPort: 1, dstPort: 53 });
  rig.events.want(WANT_UNTRACKED);
  rig.send('uplink', untracked);
  rig.send('uplink', syn(1));
  assert.deepEqual(
    (takeAll(rig) as PacketEvent[]).map(({ kind, isTracked, rule }) => [kind, isTracked, rule]),
    [['passed', false, rig.ruleNumber('web', 'ingress', 1)]],
  );
  rig.events.want(WANT_PASSES);
  rig.send('uplink', untracked);
  rig.send('uplink', syn(1));
  assert.deepEqual(
    (takeAll(rig) as PacketEvent[]).map(({ isTracked }) => isTracked),
    [false, true],
  );
});

test('a full ring loses what comes and counts it; what the policy says becomes of new flows', () => {
  for (const eventsFull of [true, false]) {
    const rig = makeRig({ passes: { eventsFull } });
    rig.events.want(WANT_DROPS);
    const dropped = tcp4(OUT, WEB, { srcPort: 1, dstPort: 23, flags: 'S' });
    for (let i = 0; i < EVENTS_MAX + 3; i++) rig.send('uplink', dropped);
    assert.equal(rig.events.lost, 3);
    const expected = eventsFull ? 'web' : 'events-full';
    assert.equal(rig.send('uplink', syn(1)), expected);
    assert.equal(rig.send('uplink', udp4(OUT, WEB, { srcPort: 1, dstPort: 53 })), expected);
    rig.events.drain(() => undefined, 2);
    assert.equal(rig.send('uplink', syn(1)), 'web', 'there is room again');
  }
});

test('rules count what they admitted: flows, and packets of untracked ones', () => {
  const rig = makeRig();
  const tcpRule = rig.ruleNumber('web', 'ingress', 0);
  const udpRule = rig.ruleNumber('web', 'ingress', 1);
  assert.equal(rig.ruleHits.lastHitSec[tcpRule], 0);
  rig.send('uplink', syn(1), 1000);
  rig.send('uplink', syn(1), 2000);
  rig.send('uplink', syn(2), 9000);
  for (let i = 0; i < 3; i++) rig.send('uplink', udp4(OUT, WEB, { srcPort: 1, dstPort: 53 }), 3000);
  assert.deepEqual([rig.ruleHits.hits[tcpRule], rig.ruleHits.lastHitSec[tcpRule]], [2, 10]);
  assert.deepEqual([rig.ruleHits.hits[udpRule], rig.ruleHits.lastHitSec[udpRule]], [3, 4]);
});

test('accounts: intervals start anew, counters go past 32 bits', () => {
  const accounts = new FlowAccounts(new SharedArrayBuffer(accountBytes(2)));
  const carried = (): ReturnType<typeof createCarried> =>
    createCarried(accounts.words, accounts.doubles, ACCOUNT_WORDS);
  accounts.open(1, 5, 100);
  accounts.add(1, true, 1, 60, 0x02, 5, 100);
  accounts.add(1, false, 2, 120, 0x12, 5, 110);
  assert.deepEqual(carried(), {
    packetsOut: 1,
    packetsIn: 2,
    bytesOut: 60,
    bytesIn: 120,
    firstSeenMs: 100,
    interval: 5,
    flagsOut: 0x2,
    flagsIn: 0xa,
    flagsOutBefore: 0,
    flagsInBefore: 0,
  });
  accounts.add(1, false, 1, 52, 0x11, 6, 60_200);
  assert.deepEqual(carried(), {
    packetsOut: 1,
    packetsIn: 3,
    bytesOut: 60,
    bytesIn: 172,
    firstSeenMs: 60_200,
    interval: 6,
    flagsOut: 0,
    flagsIn: 0x1,
    flagsOutBefore: 0x2,
    flagsInBefore: 0xa,
  });
  accounts.add(1, false, 1, 52, 0x04, 8, 180_200);
  const { flagsIn, flagsInBefore } = carried();
  assert.deepEqual([flagsIn, flagsInBefore], [0x4, 0], 'nothing of two intervals before');
  accounts.words[ACCOUNT_WORDS + ACCOUNT_PACKETS_OUT] = -3;
  accounts.add(1, true, 45, 1, 0, 8, 180_201);
  assert.equal(carried().packetsOut, 2 ** 32 + 42);
  assert.equal(carried().interval, 8);
  assert.equal(carried().packetsIn, 4);
  assert.equal(accounts.words[0], 0, "another flow's account");
});

test('capture copies what was judged, cut to the length asked for', () => {
  const rig = makeRig();
  rig.events.want(WANT_CAPTURE);
  rig.capture.snapLength = 40;
  const passed = syn(1);
  const dropped = udp4(OUT, WEB, { srcPort: 1, dstPort: 99, payload: new Uint8Array(100).fill(7) });
  rig.send('uplink', passed, 3.25);
  rig.send('uplink', dropped, 2_000_004.5);
  const copies: unknown[] = [];
  const { words, bytes } = rig.capture;
  rig.capture.drain((at, data) => {
    copies.push([
      words[at + CAPTURE_META] >>> 16,
      (words[at + CAPTURE_META] & 0xff) === 0,
      words[at + CAPTURE_RULE],
      words[at + CAPTURE_SEC],
      words[at + CAPTURE_USEC],
      words[at + CAPTURE_LENGTH],
      Buffer.from(bytes.subarray(data, data + words[at + CAPTURE_COPIED])).toString('hex'),
    ]);
  }, Infinity);
  const hex = (packet: Uint8Array): string => Buffer.from(packet.subarray(0, 40)).toString('hex');
  assert.deepEqual(copies, [
    [1, true, rig.ruleNumber('web', 'ingress', 0), 0, 3250, passed.length, hex(passed)],
    [1, false, -1, 2000, 4500, dropped.length, hex(dropped)],
  ]);
});

test('the capture ring gives back what was put in, in order, and counts the rest (against a list)', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('copy' as const), length: fc.nat(65535), times: fc.nat(40) }),
    fc.record({ kind: fc.constant('drain' as const), most: fc.nat(60) }),
  );
  const source = new DataView(new ArrayBuffer(65536));
  for (let i = 0; i < 65536; i++) source.setUint8(i, (i * 31) & 255);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(65535), (steps, snapLength) => {
      const buffer = new SharedArrayBuffer(captureRingBytes());
      const writer = new CaptureRing(buffer);
      const reader = new CaptureReader(buffer);
      reader.snapLength = snapLength;
      const kept: { length: number; serial: number }[] = [];
      let serial = 0;
      let lost = 0;
      const drain = (most: number): void => {
        reader.drain((at, data) => {
          const { length, serial: expected } = kept.shift()!;
          const copied = Math.min(length, snapLength);
          assert.equal(reader.words[at + CAPTURE_SEC], expected);
          assert.equal(reader.words[at + CAPTURE_USEC], expected % 1_000_000);
          assert.equal(reader.words[at + CAPTURE_LENGTH], length);
          assert.equal(reader.words[at + CAPTURE_COPIED], copied);
          for (const i of [0, copied >> 1, copied - 1])
            if (copied > 0) assert.equal(reader.bytes[data + i], source.getUint8(i));
        }, most);
      };
      for (const action of steps) {
        if (action.kind === 'drain') drain(action.most);
        else
          for (let i = 0; i < action.times; i++) {
            const lostBefore = reader.lost;
            writer.beginRound(++serial, serial % 1_000_000);
            writer.copy(source, 0, action.length, 1, 0, 0, -1);
            if (reader.lost > lostBefore) lost++;
            else kept.push({ length: action.length, serial });
          }
      }
      drain(Infinity);
      assert.deepEqual(kept, []);
      assert.equal(reader.lost, lost);
    }),
    { numRuns: 60 },
  );
  assert.ok(CAPTURE_BYTES > 2 * 65536);
});

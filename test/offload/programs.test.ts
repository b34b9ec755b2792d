/** What the kernel's programs forward of flows that an engine has admitted, packet by packet. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { STATE_WORDS, stateWordOf } from '../../src/conntrack/entry.ts';
import { recordWords, writeRecord } from '../../src/conntrack/flow-record.ts';
import type { FlowTable } from '../../src/conntrack/table.ts';
import { AUDITED_PACKETS, counterRow, EGRESS, INGRESS } from '../../src/engine/counters.ts';
import { type EventReader, WANT_PASSES } from '../../src/engine/events.ts';
import { loadNative } from '../../src/ports/native.ts';
import { Conversation } from '../engine/conversation.ts';
import { tcp4, udp4, udp6 } from '../packets/build.ts';
import { Rig } from '../engine/rig.ts';
import type { ModelText } from '../support/policy.ts';
import {
  ALIVE_MS,
  CAPACITY,
  KernelRig,
  LOOPBACK,
  requireOffload,
  type Extras,
} from './kernel-rig.ts';

const WEB = '10.0.0.11';
const DB = '10.0.0.12';
const WEB6 = 'fd00::11';
const DB6 = 'fd00::12';
const WEB_PORT = 1;
const DB_PORT = 2;

const RULES = ['tcp 0-65535 from sg:web', 'udp 0-65535 from sg:web'];

function tiers(ingress: readonly string[] = RULES): ModelText {
  return {
    groups: { web: { ingress: [] }, db: { ingress, revocation: 'recheck' } },
    interfaces: {
      web: { addresses: [WEB, WEB6], groups: ['web'] },
      db: { addresses: [DB, DB6], groups: ['db'] },
    },
  };
}

/** What decides what becomes of further packets of TCP: all behind when a flow was seen, but for its rule. */
function wordsOf(table: FlowTable): number[][] {
  return Array.from({ length: table.highWater }, (_, flow) => {
    const words = new Int32Array(recordWords(4));
    writeRecord(table, flow, 0, words, 0);
    return [stateWordOf(table, flow) & 0xffffff, ...words.subarray(3 - STATE_WORDS)];
  });
}

function start(t: TestContext): KernelRig | undefined {
  const addon = requireOffload(t);
  if (addon === undefined) return undefined;
  const kernel = new KernelRig(addon, tiers());
  t.after(() => kernel.close());
  return kernel;
}

/** Opens a connection by way of the engine. From then on the kernel has it. */
function connect(kernel: KernelRig, port = 40000, addresses = [WEB, DB]): Conversation {
  const talk = new Conversation(addresses[0], port, addresses[1], 5432, {
    client: { scale: 7 },
    server: { scale: 7 },
  });
  assert.equal(kernel.judge('web', 'db', talk.syn()), 'db');
  assert.equal(kernel.judge('db', 'web', talk.synAck()), 'web');
  assert.equal(kernel.isForwarded(talk.ack('client'), WEB_PORT), false, 'not established yet');
  assert.equal(kernel.judge('web', 'db', talk.ack('client')), 'db');
  return talk;
}

/** A further packet of a connection, without having the conversation move on. */
function next(talk: Conversation, from: 'client' | 'server', more: object = {}): Uint8Array {
  return talk.send(from, { flags: 'A', seq: talk[from].next, ...more });
}

for (const [family, addresses] of [
  ['IPv4', [WEB, DB]],
  ['IPv6', [WEB6, DB6]],
] as const) {
  test(`${family}: plain packets of an established connection are forwarded, others are not`, (t) => {
    const kernel = start(t);
    if (kernel === undefined) return;
    const talk = connect(kernel, 40000, [...addresses]);
    assert.equal(kernel.offload.count, 1);
    const yes = (packet: Uint8Array, port: number, extras?: Extras): void =>
      assert.equal(kernel.isForwarded(packet, port, extras), true);
    const no = (packet: Uint8Array, port: number, why: string, extras?: Extras): void =>
      assert.equal(kernel.isForwarded(packet, port, extras), false, why);
    yes(talk.data('client', 1000), WEB_PORT);
    yes(talk.ack('server'), DB_PORT);
    yes(talk.data('server', 10), DB_PORT);
    for (const flags of ['S', 'SA', 'FA', 'R', 'RA', '', 'F', 'P'])
      no(next(talk, 'client', { flags }), WEB_PORT, `flags ${flags}`);
    no(next(talk, 'client', { seq: talk.client.next + 20_000_000 }), WEB_PORT, 'beyond the window');
    no(
      next(talk, 'client', { ack: talk.server.next + 1 }),
      WEB_PORT,
      'acknowledges what was not sent',
    );
    no(next(talk, 'client'), DB_PORT, 'from the other interface’s MAC address');
    no(next(talk, 'client'), WEB_PORT, 'from another MAC address', { source: [2, 0, 0, 0, 9, 9] });
    no(next(talk, 'client'), WEB_PORT, 'padding', { padding: 1 });
    no(next(talk, 'client', { payload: 'x'.repeat(1500) }), WEB_PORT, 'longer than the MTU');
    yes(next(talk, 'client', { payload: 'x'.repeat(3000) }), WEB_PORT, {
      segmentBytes: 1400,
      segments: 3,
    });
    no(next(talk, 'client', { payload: 'x'.repeat(3000) }), WEB_PORT, 'segments beyond the MTU', {
      segmentBytes: 1490,
      segments: 3,
    });
    no(
      next(new Conversation(addresses[0], 40001, addresses[1], 5432), 'client'),
      WEB_PORT,
      'unknown',
    );
  });
}

test('IP options, fragments and a wrong length go to the loop', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  const tcp = {
    srcPort: 40000,
    dstPort: 5432,
    seq: talk.client.next,
    ack: talk.server.next,
    flags: 'A',
  };
  assert.equal(kernel.isForwarded(tcp4(WEB, DB, tcp), WEB_PORT), true);
  const options = Uint8Array.of(1, 1, 1, 1);
  assert.equal(kernel.isForwarded(tcp4(WEB, DB, tcp, { options }), WEB_PORT), false);
  assert.equal(kernel.isForwarded(tcp4(WEB, DB, tcp, { mf: true }), WEB_PORT), false);
  const cut = tcp4(WEB, DB, { ...tcp, payload: 'abc' }).subarray(0, 42);
  assert.equal(kernel.isForwarded(cut, WEB_PORT), false);
});

test('what the kernel has seen is known when the loop judges the next packet', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  assert.equal(kernel.isForwarded(talk.data('client', 1000), WEB_PORT), true);
  // Without what the kernel has seen, the FIN would acknowledge bytes that nobody sent.
  assert.equal(kernel.judge('db', 'web', talk.fin('server')), 'web');
  assert.equal(kernel.isForwarded(talk.data('client', 10), WEB_PORT), false, 'taken back');
  assert.equal(kernel.offload.count, 0);
  assert.equal(kernel.judge('web', 'db', talk.data('client', 10)), 'db');
  assert.equal(kernel.judge('web', 'db', talk.fin('client')), 'db');
  assert.deepEqual(kernel.rig.states, ['closing', 'closing']);
});

test('a connection that is opened anew takes nothing from the one before', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = new Conversation(WEB, 40000, DB, 5432);
  const plain = new Rig(tiers());
  // Both sides have forgotten it, and begin at lower numbers, while its entry lingers in the kernel.
  const anew = new Conversation(WEB, 40000, DB, 5432, {
    client: { next: 10 },
    server: { next: 20 },
  });
  const before = [talk.syn(), talk.synAck(), talk.ack('client')];
  const after = [anew.syn(), anew.synAck(), anew.ack('client'), anew.data('server')];
  for (const packet of [...before, ...after]) {
    const isFromWeb = packet[15] === 11;
    const [from, to] = isFromWeb ? ['web', 'db'] : ['db', 'web'];
    const verdict = plain.send(from, packet, kernel.nowMs);
    if (kernel.isForwarded(packet, isFromWeb ? WEB_PORT : DB_PORT)) assert.equal(verdict, to);
    else assert.equal(kernel.judge(from, to, packet), verdict);
  }
  kernel.offload.pullAll();
  assert.deepEqual(wordsOf(kernel.rig.flows4), wordsOf(plain.flows4));
});

test('what the loop has seen is known to the kernel', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  // It waited in the socket when its flow was handed over.
  assert.equal(kernel.judge('web', 'db', talk.data('client', 1000)), 'db');
  assert.equal(kernel.isForwarded(talk.ack('server'), DB_PORT), true);
});

test('a UDP flow is forwarded once it is answered, but for the packet that makes it a stream', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  for (const [make, from, to] of [
    [udp4, WEB, DB],
    [udp6, WEB6, DB6],
  ] as const) {
    const ask = make(from, to, { srcPort: 5000, dstPort: 5353 });
    const answer = make(to, from, { srcPort: 5353, dstPort: 5000 });
    assert.equal(kernel.judge('web', 'db', ask), 'db');
    assert.equal(kernel.isForwarded(ask, WEB_PORT), false, 'unanswered');
    assert.equal(kernel.judge('db', 'web', answer), 'web');
    assert.equal(kernel.isForwarded(answer, DB_PORT), true);
    assert.equal(kernel.isForwarded(ask, WEB_PORT), false, 'it asks again, which is noted');
    assert.equal(kernel.judge('web', 'db', ask), 'db');
    assert.equal(kernel.isForwarded(ask, WEB_PORT), true);
    assert.equal(kernel.isForwarded(answer, DB_PORT), false, 'it makes the flow a stream');
    assert.equal(kernel.judge('db', 'web', answer), 'web');
    assert.equal(kernel.isForwarded(ask, WEB_PORT), true);
    assert.equal(kernel.isForwarded(answer, DB_PORT), true);
  }
  assert.deepEqual(kernel.rig.states, Array(4).fill('udp-stream'));
  const dhcp = udp4(WEB, DB, { srcPort: 5000, dstPort: 67 });
  const offer = udp4(DB, WEB, { srcPort: 5067, dstPort: 5000 });
  kernel.judge('web', 'db', dhcp);
  kernel.judge('db', 'web', offer);
  assert.equal(kernel.offload.count, 2, 'DHCP is for the link layer');
  kernel.judge('web', 'db', udp4(WEB, DB, { srcPort: 5000, dstPort: 53 }));
  kernel.judge('db', 'web', udp4(DB, WEB, { srcPort: 53, dstPort: 5000 }));
  assert.equal(kernel.offload.count, 2, 'answers of DNS are read');
});

test('a change of rules holds for the next packet', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  const other = connect(kernel, 40001);
  kernel.rig.change(tiers());
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false, 'of the former policy');
  assert.equal(kernel.judge('web', 'db', next(talk, 'client')), 'db');
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), true, 'admitted by the new one');
  while (kernel.rig.engine.gates.recheckFlows(1, kernel.nowMs));
  assert.equal(
    kernel.isForwarded(next(other, 'client'), WEB_PORT),
    true,
    'checked without a packet',
  );
  kernel.rig.change(tiers(['tcp 1 from sg:web']));
  assert.equal(kernel.judge('web', 'db', next(talk, 'client')), 'revoked');
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false);
  while (kernel.rig.engine.gates.recheckFlows(1, kernel.nowMs));
  assert.equal(kernel.isForwarded(next(other, 'client'), WEB_PORT), false);
  assert.equal(kernel.offload.count, 0);
});

test('nothing passes when the loop is dead, or somebody watches', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  kernel.passTime(ALIVE_MS + 50);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false);
  kernel.offload.beginRound(kernel.nowMs);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), true);
  const reader: EventReader = kernel.rig.events;
  reader.want(WANT_PASSES);
  kernel.rig.ring.beginRound(kernel.nowMs);
  kernel.offload.beginRound(kernel.nowMs);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false);
  reader.want(0);
  kernel.rig.ring.beginRound(kernel.nowMs);
  kernel.offload.beginRound(kernel.nowMs);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), true);
  kernel.offload.stop();
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false);
});

test('nothing passes once a host has lost what a shared store gave it', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  const nowMs = loadNative().bootMs();
  for (const [fromMs, expected] of [
    [nowMs + 600_000, true],
    [nowMs - 200, false],
    [0, false],
    [Infinity, true],
  ]) {
    kernel.fenceFrom(Number(fromMs));
    kernel.offload.beginRound(kernel.nowMs);
    assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), expected, `${fromMs}`);
  }
});

test('a flow that is idle for too long is forwarded no more, and one in use does not end', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const ask = udp4(WEB, DB, { srcPort: 5000, dstPort: 5353 });
  const answer = udp4(DB, WEB, { srcPort: 5353, dstPort: 5000 });
  kernel.judge('web', 'db', ask);
  kernel.judge('db', 'web', answer);
  // UDP's time-out is 30 s.
  for (let i = 0; i < 5; i++) {
    kernel.passTime(20_000);
    kernel.offload.beginRound(kernel.nowMs);
    assert.equal(kernel.isForwarded(answer, DB_PORT), true);
    kernel.rig.engine.gates.tracker.sweep(100, kernel.nowMs);
  }
  assert.deepEqual(kernel.rig.states, ['udp', 'udp']);
  kernel.passTime(31_000);
  kernel.offload.beginRound(kernel.nowMs);
  assert.equal(kernel.isForwarded(answer, DB_PORT), false);
  kernel.rig.engine.gates.tracker.sweep(100, kernel.nowMs);
  assert.deepEqual(kernel.rig.states, []);
  assert.equal(kernel.offload.count, 0);
});

test('what was counted in the kernel is counted once', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  const before = kernel.rig.counts;
  assert.deepEqual(before, [
    'web ingress: 1 passed, 0 dropped',
    'web egress: 2 passed, 0 dropped',
    'db ingress: 2 passed, 0 dropped',
    'db egress: 1 passed, 0 dropped',
  ]);
  for (let i = 0; i < 10; i++) kernel.isForwarded(talk.data('client', 100), WEB_PORT);
  kernel.isForwarded(next(talk, 'client', { payload: 'x'.repeat(3000) }), WEB_PORT, {
    segmentBytes: 1400,
    segments: 3,
  });
  kernel.isForwarded(talk.ack('server'), DB_PORT);
  assert.deepEqual(kernel.rig.counts, before, 'not before the tick');
  kernel.tick();
  kernel.tick();
  assert.deepEqual(kernel.rig.counts, [
    'web ingress: 2 passed, 0 dropped',
    'web egress: 15 passed, 0 dropped',
    'db ingress: 15 passed, 0 dropped',
    'db egress: 2 passed, 0 dropped',
  ]);
});

test('a port that goes takes its flows with it, and its number stands for another interface then', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  kernel.offload.setPort(DB_PORT, 0, false, 1500);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false);
  assert.equal(kernel.offload.count, 0);
  assert.equal(kernel.judge('web', 'db', next(talk, 'client')), 'db');
  kernel.offload.setPort(DB_PORT, LOOPBACK, true, 1500);
  kernel.offload.setMac(DB_PORT, 0x0200, DB_PORT);
  assert.equal(kernel.judge('web', 'db', next(talk, 'client')), 'db');
  assert.equal(kernel.offload.count, 0, 'its entry lingers');
  kernel.passTime(200);
  kernel.offload.beginRound(kernel.nowMs);
  kernel.tick();
  assert.equal(kernel.judge('web', 'db', next(talk, 'client')), 'db');
  assert.equal(kernel.offload.count, 1);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), true);
});

test('packets go to the other end of a pair alone, and in few segments', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  // A TAP: who sends to it could have the kernel write a checksum over the ports.
  kernel.offload.setPort(DB_PORT, LOOPBACK, false, 1500);
  const talk = connect(kernel);
  assert.equal(kernel.isForwarded(next(talk, 'client'), WEB_PORT), false);
  assert.equal(kernel.isForwarded(next(talk, 'server'), DB_PORT), true);
  const many = next(talk, 'server', { payload: 'x'.repeat(1025) });
  assert.equal(kernel.isForwarded(many, DB_PORT, { segmentBytes: 1 }), false);
  assert.equal(kernel.isForwarded(many, DB_PORT, { segmentBytes: 2 }), true);
  kernel.offload.setPort(WEB_PORT, LOOPBACK, false, 1500);
  connect(kernel, 40001);
  assert.equal(kernel.offload.count, 1, 'neither is a pair');
});

test('flows beyond what there is room for go by the loop', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const bound = CAPACITY + 100;
  const ask = (i: number): Uint8Array => udp4(WEB, DB, { srcPort: 1000 + i, dstPort: 5353 });
  const answer = (i: number): Uint8Array => udp4(DB, WEB, { srcPort: 5353, dstPort: 1000 + i });
  const big = new KernelRig(requireOffload(t)!, tiers(), { maxFlows: 4 * CAPACITY });
  t.after(() => big.close());
  let forwarded = 0;
  for (let i = 0; i < bound; i++) {
    assert.equal(big.judge('web', 'db', ask(i)), 'db');
    assert.equal(big.judge('db', 'web', answer(i)), 'web');
    if (big.isForwarded(answer(i), DB_PORT)) forwarded++;
  }
  assert.equal(forwarded, big.offload.count);
  assert.ok(big.offload.count <= CAPACITY && big.offload.count > 0.9 * CAPACITY, `${forwarded}`);
  assert.equal(big.offload.refused, bound - big.offload.offered);
});

for (const side of ['web', 'db'] as const)
  test(`a flow that ${side} passes by audit alone stays with the loop, which counts each packet`, (t) => {
    const addon = requireOffload(t);
    if (addon === undefined) return;
    const text = tiers(side === 'db' ? [] : RULES);
    const kernel = new KernelRig(addon, audit(text, side));
    t.after(() => kernel.close());
    const talk = connect(kernel);
    for (let i = 0; i < 3; i++) {
      const packet = talk.data('client', 10);
      assert.equal(kernel.isForwarded(packet, WEB_PORT), false);
      assert.equal(kernel.judge('web', 'db', packet), 'db');
    }
    assert.equal(kernel.offload.count, 0);
    const port = side === 'web' ? WEB_PORT : DB_PORT;
    const row = counterRow(port, side === 'web' ? EGRESS : INGRESS);
    assert.equal(kernel.rig.engine.counters[row + AUDITED_PACKETS], 6);
  });

test('a flow in the kernel whose rule only audits by now comes back, and each packet counts', (t) => {
  const kernel = start(t);
  if (kernel === undefined) return;
  const talk = connect(kernel);
  const first = talk.data('client', 10);
  assert.equal(kernel.isForwarded(first, WEB_PORT), true);
  kernel.rig.change(audit(tiers([]), 'db'));
  const row = counterRow(DB_PORT, INGRESS) + AUDITED_PACKETS;
  for (let i = 1; i <= 3; i++) {
    const packet = talk.data('client', 10);
    assert.equal(kernel.isForwarded(packet, WEB_PORT), false);
    assert.equal(kernel.judge('web', 'db', packet), 'db');
    kernel.tick();
    assert.equal(kernel.rig.engine.counters[row], i, 'what the kernel forwarded before is no part');
  }
  assert.equal(kernel.offload.count, 0);
  kernel.rig.change(tiers());
  // The kernel's former entry lingers for a while.
  kernel.passTime(10_000);
  kernel.offload.beginRound(kernel.nowMs);
  kernel.tick();
  assert.equal(kernel.judge('web', 'db', talk.data('client', 10)), 'db');
  assert.equal(kernel.isForwarded(talk.data('client', 10), WEB_PORT), true, 'a rule admits it');
  assert.equal(kernel.rig.engine.counters[row], 3);
});

/** What the interface's group refuses passes by audit. */
function audit(text: ModelText, name: 'web' | 'db'): ModelText {
  const { groups, interfaces } = text;
  return {
    groups: name === 'web' ? { ...groups, web: { ingress: [], egress: [] } } : groups,
    interfaces: { ...interfaces, [name]: { ...interfaces[name], audit: true } },
  };
}

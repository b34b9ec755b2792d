/**
 * Flows that a gate lets pass by the rules alone, with the kernel's fast path: the programs forward their packets under
 * the policy in force, and what an engine without them notes of each is noted all the same.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { WANT_UNTRACKED } from '../../src/engine/events.ts';
import { CROWDED_IDLE_MS, UNTRACKED_IDLE_MS } from '../../src/engine/offload-untracked.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { tcp4, udp4 } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';
import { CAPACITY, KernelRig, requireOffload } from './kernel-rig.ts';

const WEB = '10.0.0.11';
const DB = '10.0.0.12';
const PORTS = { web: 1, db: 2 } as const;
type Name = keyof typeof PORTS;

const ALL = ['all from 0.0.0.0/0'];
const EVERYBODY = ['tcp 5432 from 0.0.0.0/0', 'udp 5432 from 0.0.0.0/0'];

function model(web: readonly string[], db: readonly string[]): ModelText {
  return {
    groups: { web: { ingress: [...web] }, db: { ingress: [...db] } },
    interfaces: {
      web: { addresses: [WEB], groups: ['web'] },
      db: { addresses: [DB], groups: ['db'] },
    },
  };
}

/** A server that everybody may reach, and a client whose gate tracks. */
const SERVER = model([], EVERYBODY);
/** Neither gate tracks. */
const OPEN = model(ALL, ALL);

class World {
  readonly kernel: KernelRig;

  constructor(t: TestContext, kernel: KernelRig) {
    this.kernel = kernel;
    t.after(() => kernel.close());
  }

  passes(from: Name, packet: Uint8Array): boolean {
    return this.kernel.isForwarded(packet, PORTS[from]);
  }

  /** Has the loop judge a packet that the kernel leaves to it. */
  judge(from: Name, packet: Uint8Array): void {
    assert.equal(this.passes(from, packet), false, 'the loop is to see it');
    const to = from === 'web' ? 'db' : 'web';
    assert.equal(this.kernel.judge(from, to, packet), to);
  }

  hits(): number {
    return this.kernel.rig.engine.gates.ruleHits.hits.reduce((sum, count) => sum + count, 0);
  }
}

function start(t: TestContext, text: ModelText): World | undefined {
  const addon = requireOffload(t);
  return addon === undefined ? undefined : new World(t, new KernelRig(addon, text));
}

function segment(from: Name, more: object = {}): Uint8Array {
  const [source, target] = from === 'web' ? [WEB, DB] : [DB, WEB];
  const [srcPort, dstPort] = from === 'web' ? [40_000, 5432] : [5432, 40_000];
  return tcp4(source, target, { srcPort, dstPort, flags: 'A', payload: 'more', ...more });
}

function datagram(from: Name, clientPort = 40_000): Uint8Array {
  const [source, target] = from === 'web' ? [WEB, DB] : [DB, WEB];
  const [srcPort, dstPort] = from === 'web' ? [clientPort, 5432] : [5432, clientPort];
  return udp4(source, target, { srcPort, dstPort });
}

function connect(world: World): Conversation {
  const talk = new Conversation(WEB, 40_000, DB, 5432);
  world.judge('web', talk.syn());
  world.judge('db', talk.synAck());
  world.judge('web', talk.ack('client'));
  return talk;
}

test('a server that everybody may reach: one gate tracks, and its window is checked', (t) => {
  const world = start(t, SERVER);
  if (world === undefined) return;
  const talk = connect(world);
  const { kernel } = world;
  assert.equal(kernel.rig.flows4.count, 1, 'the server’s gate has no flow');
  assert.equal(world.passes('web', talk.data('client', 100)), true);
  // Of each direction the loop judges a packet, with which it learns the rules.
  world.judge('db', talk.data('server', 100));
  assert.equal(world.passes('db', talk.data('server', 100)), true);
  const beyond = talk.client.next + 20_000_000;
  assert.equal(world.passes('web', talk.send('client', { flags: 'A', seq: beyond })), false);
  assert.equal(world.passes('web', talk.fin('client')), false);
});

test('each packet counts as a hit of the rule, as it does without the fast path', (t) => {
  const world = start(t, SERVER);
  if (world === undefined) return;
  const plain = new Rig(SERVER);
  const { kernel } = world;
  const talk = connect(world);
  const same = new Conversation(WEB, 40_000, DB, 5432);
  for (const [from, packet] of [
    ['web', same.syn()],
    ['db', same.synAck()],
    ['web', same.ack('client')],
  ] as const)
    plain.send(from, packet, kernel.nowMs);
  for (let i = 0; i < 10; i++) {
    assert.equal(world.passes('web', talk.data('client', 10)), true);
    plain.send('web', same.data('client', 10), kernel.nowMs);
  }
  kernel.tick();
  const hits = plain.engine.gates.ruleHits.hits.reduce((sum, count) => sum + count, 0);
  assert.equal(world.hits(), hits);
});

test('a change of rules: each direction waits for its next packet, and one that is shut out passes no more', (t) => {
  const world = start(t, SERVER);
  if (world === undefined) return;
  const talk = connect(world);
  world.judge('db', talk.data('server', 1));
  world.kernel.rig.change(SERVER);
  world.kernel.offload.setPolicy(world.kernel.rig.policy);
  world.judge('web', talk.data('client', 1));
  assert.equal(world.passes('web', talk.data('client', 1)), true);
  world.judge('db', talk.data('server', 1));
  assert.equal(world.passes('db', talk.data('server', 1)), true);
  world.kernel.rig.change(model([], []));
  assert.equal(world.passes('web', talk.data('client', 1)), false);
  assert.equal(world.kernel.judge('web', 'db', talk.data('client', 1)), 'ingress-rules');
});

test('neither gate tracks: no window is checked, and what opens and ends goes to the loop', (t) => {
  const world = start(t, OPEN);
  if (world === undefined) return;
  for (const flags of ['S', 'SA', 'FA', 'RA']) world.judge('web', segment('web', { flags }));
  assert.equal(world.kernel.offload.count, 0, 'none of them makes an entry');
  world.judge('web', segment('web'));
  assert.equal(world.kernel.rig.flows4.count, 0);
  assert.equal(world.kernel.offload.count, 1);
  assert.equal(world.passes('web', segment('web', { seq: 12_345_678, ack: 87_654_321 })), true);
  world.judge('db', segment('db'));
  assert.equal(world.passes('db', segment('db', { seq: 1 })), true);
  for (const flags of ['S', 'SA', 'FA', 'RA', '']) {
    assert.equal(world.passes('web', segment('web', { flags })), false, flags);
  }
});

test('a connection that no gate tracks: data begins its entry, its end takes that back, the last ACK brings none', (t) => {
  const world = start(t, OPEN);
  if (world === undefined) return;
  const { kernel } = world;
  const talk = new Conversation(WEB, 40_000, DB, 5432);
  world.judge('web', talk.syn());
  world.judge('db', talk.synAck());
  world.judge('web', talk.ack('client'));
  assert.equal(kernel.offload.count, 0, 'of an ACK nobody knows whether more follows');
  world.judge('web', talk.data('client', 10));
  assert.equal(kernel.offload.count, 1);
  world.judge('db', talk.ack('server'));
  assert.equal(world.passes('db', talk.data('server', 10)), true);
  assert.equal(world.passes('web', talk.ack('client')), true);
  world.judge('db', talk.fin('server'));
  assert.equal(kernel.offload.count, 0);
  assert.equal(kernel.offload.untracked.loose, 0);
  world.judge('web', talk.fin('client'));
  world.judge('db', talk.ack('server'));
  assert.equal(kernel.offload.count, 0);
});

test('who fills the room with one packet each of many flows keeps others out for seconds', (t) => {
  const world = start(t, OPEN);
  if (world === undefined) return;
  const { kernel } = world;
  world.judge('web', datagram('web'));
  for (let i = 0; i < CAPACITY; i++) kernel.judge('web', 'db', datagram('web', 1000 + i));
  const { refused } = kernel.offload;
  assert.ok(refused > 0);
  kernel.passTime(CROWDED_IDLE_MS + 1);
  kernel.offload.beginRound(kernel.nowMs);
  for (let i = 0; i < CAPACITY / 1024; i++) kernel.tick();
  world.judge('web', datagram('web', 999));
  assert.equal(kernel.offload.refused, refused);
  assert.equal(world.passes('web', datagram('web', 999)), true);
  // No more go than have to: half of the room may be taken by those that are idle.
  assert.ok(kernel.offload.untracked.loose > CAPACITY / 10, `${kernel.offload.untracked.loose}`);
});

test('an entry that belongs to nobody goes when it was idle for long, and comes back', (t) => {
  const world = start(t, OPEN);
  if (world === undefined) return;
  const { kernel } = world;
  world.judge('web', datagram('web'));
  assert.equal(world.passes('web', datagram('web')), true);
  kernel.passTime(UNTRACKED_IDLE_MS + 1);
  world.judge('web', datagram('web'));
  assert.equal(world.passes('web', datagram('web')), true);
  kernel.passTime(UNTRACKED_IDLE_MS + 1);
  kernel.offload.beginRound(kernel.nowMs);
  for (let i = 0; i < CAPACITY / 256; i++) kernel.tick();
  assert.equal(kernel.offload.count, 0);
  assert.equal(kernel.offload.untracked.loose, 0);
});

test('entries that belong to nobody have a quarter of the room', (t) => {
  const world = start(t, OPEN);
  if (world === undefined) return;
  const { kernel } = world;
  for (let i = 0; i < CAPACITY; i++) kernel.judge('web', 'db', datagram('web', 1000 + i));
  assert.ok(kernel.offload.count <= CAPACITY / 4, `${kernel.offload.count}`);
  assert.ok(kernel.offload.count > CAPACITY / 5, `${kernel.offload.count}`);
  assert.ok(kernel.offload.refused > 0);
});

test('where flow logs want each packet of them, the loop gets each', (t) => {
  const world = start(t, OPEN);
  if (world === undefined) return;
  const { kernel } = world;
  world.judge('web', datagram('web'));
  const want = (what: number): void => {
    kernel.rig.events.want(what);
    kernel.rig.engine.beginRound(kernel.nowMs, 0, 0);
    kernel.offload.beginRound(kernel.nowMs);
  };
  want(WANT_UNTRACKED);
  assert.equal(world.passes('web', datagram('web')), false);
  want(0);
  assert.equal(world.passes('web', datagram('web')), true);
});

for (const isOffloaded of [false, true]) {
  const path = isOffloaded ? 'with the fast path' : 'without it';
  test(`who opened a UDP flow is known as long as packets pass, ${path}`, () => {
    // A revoked flow, and so who opened an untracked one, is remembered for 300 s.
    const timeouts = { tcpEstablishedSec: 60 };
    const rig = new Rig(OPEN, { isOffloaded, timeouts: { web: timeouts, db: timeouts } });
    let nowMs = 0;
    for (let i = 0; i < 100; i++) {
      nowMs += 10_000;
      assert.equal(rig.send('web', datagram('web'), nowMs), 'db');
      assert.equal(rig.send('db', datagram('db'), nowMs), 'web');
    }
    if (isOffloaded) assert.ok(rig.kernel!.forwarded > 150, `${rig.kernel!.forwarded}`);
    // Now db may be asked by nobody, and what it sends would ask anew: it was web that opened.
    rig.change(model(['udp 40000 from sg:db'], []));
    assert.equal(rig.send('db', datagram('db'), nowMs + 1), 'revoked');
  });
}

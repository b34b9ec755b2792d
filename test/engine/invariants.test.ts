/** The memory of a packet loop, broken on purpose under an engine: no packet is judged by it (conntrack/invariant.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setStateWordOf } from '../../src/conntrack/entry.ts';
import { InvariantError } from '../../src/conntrack/invariant.ts';
import { STATE_COUNT, REVOKED_FLOW } from '../../src/conntrack/states.ts';
import { Batch, SLOT_LENGTH, SLOT_OFFSET, SLOT_WORDS } from '../../src/engine/batch.ts';
import { createLinkMemory } from '../../src/engine/link-memory.ts';
import { LinkLayer } from '../../src/engine/link.ts';
import { tcp4 } from '../packets/build.ts';
import { Rig } from './rig.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const OUT = '198.51.100.7';
const WEB_PORT = 1;
const APP_PORT = 2;

function makeRig(): Rig {
  return new Rig({
    groups: { web: { ingress: ['tcp 80 from 198.51.100.0/24'] } },
    interfaces: {
      web: { addresses: [WEB], groups: ['web'] },
      app: { addresses: [APP], groups: ['web'] },
    },
  });
}

/** A SYN to web from outside: a flow at one gate, the first entry. */
function opened(): Rig {
  const rig = makeRig();
  assert.equal(rig.send('uplink', syn(1)), 'web');
  assert.equal(rig.flows4.count, 1);
  return rig;
}

function syn(port: number): Uint8Array {
  return tcp4(OUT, WEB, { srcPort: port, dstPort: 80, flags: 'S' });
}

function ends(act: () => unknown, what: RegExp): void {
  assert.throws(act, (error) => error instanceof InvariantError && what.test(error.message));
}

function sweep(rig: Rig): void {
  rig.engine.gates.tracker.sweep(64, 0);
}

test('what is sound is swept, counted and goes on', () => {
  const rig = opened();
  sweep(rig);
  rig.engine.gates.tracker.assertCounts();
  assert.equal(rig.send('web', tcp4(WEB, OUT, { srcPort: 80, dstPort: 1, flags: 'SA', ack: 1 })), 'uplink'); // prettier-ignore
});

test('the sweep ends at a flow whose time-out nobody knows', () => {
  const wrongState = opened();
  setStateWordOf(wrongState.flows4, 0, STATE_COUNT);
  ends(() => sweep(wrongState), /in a state that does not exist$/);
  for (const port of [0, 3, 0xffff]) {
    const rig = opened();
    const { words } = rig.flows4;
    words[0] = (port << 16) | (words[0] & 0xffff);
    ends(() => sweep(rig), /of a port that does not exist$/);
  }
});

test('the sweep ends at a flow that a packet would not find', () => {
  const rig = opened();
  const { words } = rig.flows4;
  // It is another interface's now, by whatever wrote there.
  words[0] = (APP_PORT << 16) | (words[0] & 0xffff);
  ends(() => sweep(rig), /does not lead to an entry$/);
});

test('counts by port have to be those of the tables', () => {
  const rig = opened();
  rig.flowsByPort[WEB_PORT]++;
  ends(() => rig.engine.gates.tracker.assertCounts(), /all ports are not those of the tables$/);
  rig.flowsByPort[WEB_PORT] = 0;
  ends(() => rig.engine.gates.tracker.assertCounts(), /all ports are not those of the tables$/);
  // The flow's end finds its port without one.
  ends(() => rig.engine.gates.tracker.remove(rig.flows4, 0, 1), /a flow goes whose port has none$/);

  const halfOpen = opened();
  const limits = Reflect.get(halfOpen.engine.gates.tracker, 'limits') as { halfOpenFlows: number };
  for (const wrong of [2, -1]) {
    limits.halfOpenFlows = wrong;
    ends(() => halfOpen.engine.gates.tracker.assertCounts(), /half-open than there are$/);
  }
});

test('a flow whose state was written over is not in the line that its state says', () => {
  const rig = opened();
  // Revoked flows wait in another line than half-open ones.
  setStateWordOf(rig.flows4, 0, REVOKED_FLOW);
  ends(
    () => rig.engine.gates.tracker.remove(rig.flows4, 0, 1),
    /not in the line that its state says$/,
  );
});

/** A batch of `count` SYNs that come in by the uplink, as the loop reads them. */
function batchOf(count: number): Batch {
  const arena = new Uint8Array(count * 256);
  const batch = new Batch(arena, count);
  for (let i = 0; i < count; i++) {
    const packet = i === 1 ? syn(100).subarray(0, 30) : syn(100 + i);
    arena.set(packet, i * 256 + 56);
    batch.slots[i * SLOT_WORDS + SLOT_OFFSET] = i * 256 + 46;
    batch.slots[i * SLOT_WORDS + SLOT_LENGTH] = 10 + packet.length;
  }
  return batch;
}

test('a batch ends with as many packets passed and dropped as came in', () => {
  const rig = makeRig();
  const link = new LinkLayer(rig.policy, createLinkMemory(3));
  const hasEthernet = new Uint8Array(3);
  assert.equal(batchOf(4).process(rig.engine, link, hasEthernet, 0, 4, 0), 3);

  // A way out that counts nothing, or counts twice.
  const { engine } = rig;
  const judge = engine.judge.bind(engine);
  for (const broken of [
    () => -5,
    (...args: Parameters<typeof judge>): number => {
      judge(...args);
      return judge(...args);
    },
  ]) {
    let turn = 0;
    engine.judge = (...args) => (++turn === 3 ? broken(...args) : judge(...args));
    ends(
      () => batchOf(4).process(engine, link, hasEthernet, 0, 4, 0),
      /neither passed nor dropped$/,
    );
  }
});

test('no packet is counted for a port that does not exist', () => {
  const { engine } = opened();
  for (const [to, ended] of [
    [APP_PORT, false],
    [APP_PORT + 1, true],
  ] as const) {
    Object.assign(engine, { runFrom: 0, runTo: to, runPackets: 1, runBytes: 60 });
    if (ended) ends(() => engine.endRun(), /sent to a port that does not exist$/);
    else engine.endRun();
  }
});

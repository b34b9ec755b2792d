/**
 * Packets in batches, decoded ahead and with what is remembered of the packet before, against packets judged one
 * by one with nothing remembered: the same verdicts, flows and counts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Batch, SLOT_LENGTH, SLOT_OFFSET, SLOT_PORT, SLOT_WORDS } from '../../src/engine/batch.ts';
import { createLinkMemory } from '../../src/engine/link-memory.ts';
import { LinkLayer } from '../../src/engine/link.ts';
import { anyPacket } from '../packets/arbitrary.ts';
import { tcp4, tcp6, udp4 } from '../packets/build.ts';
import { Rig } from './rig.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const A6 = 'fd00:10::1';
const B6 = 'fd00:10::2';
const HEADROOM_BYTES = 36;
const VNET_BYTES = 10;
const SLOT_BYTES = 512;
const PACKETS_MAX = 80;

const TEXT = {
  groups: {
    a: {
      ingress: ['tcp 1000-1001 from sg:b', 'icmp -1/-1 from 0.0.0.0/0', 'udp 53 from 0.0.0.0/0'],
    },
    b: { ingress: ['tcp 1000-1001 from sg:a', 'udp 53 from sg:a', 'tcp 22 from ::/0'] },
  },
  interfaces: {
    a: { addresses: [A, A6], groups: ['a'] },
    b: { addresses: [B, B6], groups: ['b'] },
  },
};

interface Step {
  readonly port: number;
  readonly afterMs: number;
  readonly packets: readonly Uint8Array[];
}

/** Packets of a few connections, most of them again and again: where what is remembered is used. */
const flowPacket = fc
  .record({
    isReply: fc.boolean(),
    kind: fc.constantFrom('tcp4', 'tcp4', 'udp4', 'tcp6'),
    port: fc.constantFrom(1000, 1001, 53),
    flags: fc.constantFrom('S', 'SA', 'A', 'A', 'A', 'FA', 'R'),
    seq: fc.constantFrom(100, 101, 110),
    ack: fc.constantFrom(100, 101, 110),
  })
  .map(({ isReply, kind, port, flags, seq, ack }) => {
    const ends = isReply ? { srcPort: port, dstPort: 4000 } : { srcPort: 4000, dstPort: port };
    if (kind === 'udp4') return isReply ? udp4(B, A, ends) : udp4(A, B, ends);
    const options = { ...ends, flags, seq, ack };
    if (kind === 'tcp6') return isReply ? tcp6(B6, A6, options) : tcp6(A6, B6, options);
    return isReply ? tcp4(B, A, options) : tcp4(A, B, options);
  });

const packets = fc
  .array(
    fc.tuple(
      fc.oneof({ weight: 4, arbitrary: flowPacket }, { weight: 1, arbitrary: anyPacket }),
      fc.integer({ min: 1, max: 4 }),
    ),
    { maxLength: 40, size: 'max' },
  )
  .map((list) => list.flatMap(([packet, times]) => Array<Uint8Array>(times).fill(packet)))
  .map((list) => list.filter(({ length }) => length < SLOT_BYTES - 60).slice(0, PACKETS_MAX));

const step: fc.Arbitrary<Step> = fc.record({
  port: fc.constantFrom(0, 1, 2),
  afterMs: fc.constantFrom(0, 1, 29_999, 61_000, 200_000),
  packets,
});

/** @returns the port of each packet, negative for a drop */
function sendBatch(
  rig: Rig,
  link: LinkLayer,
  { port, packets: sent }: Step,
  nowMs: number,
): number[] {
  const arena = new Uint8Array(PACKETS_MAX * SLOT_BYTES);
  const batch = new Batch(arena, PACKETS_MAX);
  sent.forEach((packet, i) => {
    arena.set(packet, i * SLOT_BYTES + HEADROOM_BYTES + VNET_BYTES);
    batch.slots[i * SLOT_WORDS + SLOT_OFFSET] = i * SLOT_BYTES + HEADROOM_BYTES;
    batch.slots[i * SLOT_WORDS + SLOT_LENGTH] = VNET_BYTES + packet.length;
  });
  batch.process(rig.engine, link, new Uint8Array(3), port, sent.length, nowMs);
  return sent.map((_, i) => batch.slots[i * SLOT_WORDS + SLOT_PORT]);
}

function sendOne(rig: Rig, port: number, packet: Uint8Array, nowMs: number): number {
  rig.engine.forgetPackets();
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  return Math.max(-1, rig.engine.evaluate(view, 0, packet.length, port, 1, nowMs));
}

for (const maxFlows of [1000, 6]) {
  test(`batches do what single packets do, with room for ${maxFlows} flows`, () => {
    let passed = 0;
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 6, size: 'max' }),
        fc.boolean(),
        (steps, changesPolicy) => {
          const rig = new Rig(TEXT, { maxFlows });
          const twin = new Rig(TEXT, { maxFlows });
          const link = new LinkLayer(rig.policy, createLinkMemory(3));
          let nowMs = 0;
          for (const [i, one] of steps.entries()) {
            nowMs += one.afterMs;
            if (changesPolicy && i === 2) {
              const { groups, interfaces } = TEXT;
              const changed = {
                groups: { ...groups, b: { ingress: ['udp 53 from sg:a'] } },
                interfaces,
              };
              rig.change(changed);
              twin.change(changed);
            }
            const ports = sendBatch(rig, link, one, nowMs);
            assert.deepEqual(
              ports,
              one.packets.map((packet) => sendOne(twin, one.port, packet, nowMs)),
            );
            passed += ports.filter((port) => port >= 0).length;
            assert.deepEqual(rig.states, twin.states);
          }
          assert.deepEqual(rig.counts, twin.counts);
        },
      ),
      { numRuns: 100 },
    );
    assert.ok(passed > 500, `only ${passed} packets passed`);
  });
}

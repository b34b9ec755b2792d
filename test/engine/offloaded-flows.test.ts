/** Flows in the kernel that end, or are taken back, while a batch of packets is judged. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch, SLOT_LENGTH, SLOT_OFFSET } from '../../src/engine/batch.ts';
import { createLinkMemory } from '../../src/engine/link-memory.ts';
import { LinkLayer } from '../../src/engine/link.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { Conversation } from './conversation.ts';
import { Rig } from './rig.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const WEB_PORT = 1;
const HEADROOM_BYTES = 46;

function start(revocation: 'aws' | 'recheck' = 'aws'): { rig: Rig; talk: Conversation } {
  const rig = new Rig(
    {
      groups: { all: { ingress: ['tcp 8080 from sg:all'], revocation } },
      interfaces: {
        web: { addresses: [WEB], groups: ['all'] },
        app: { addresses: [APP], groups: ['all'] },
      },
    },
    { isOffloaded: true },
  );
  const talk = new Conversation(WEB, 40000, APP, 8080);
  assert.equal(rig.send('web', talk.syn()), 'app');
  assert.equal(rig.send('app', talk.synAck()), 'web');
  assert.equal(rig.send('web', talk.ack('client')), 'app');
  assert.equal(rig.kernel!.offload.count, 1);
  // It passes in the kernel, and is not counted yet.
  assert.equal(rig.send('web', talk.data('client', 100)), 'app');
  assert.equal(rig.kernel!.forwarded, 1);
  return { rig, talk };
}

/** Judges one packet as the packet loop does. */
function process({ engine, policy }: Rig, packet: Uint8Array, nowMs: number): void {
  const arena = new Uint8Array(HEADROOM_BYTES + VNET_HDR_BYTES + packet.length);
  arena.set(packet, HEADROOM_BYTES + VNET_HDR_BYTES);
  const batch = new Batch(arena, 1);
  batch.slots[SLOT_OFFSET] = HEADROOM_BYTES;
  batch.slots[SLOT_LENGTH] = VNET_HDR_BYTES + packet.length;
  const link = new LinkLayer(policy, createLinkMemory(3));
  batch.process(engine, link, new Uint8Array(3), WEB_PORT, 1, nowMs);
}

const COUNTED = [
  'web ingress: 1 passed, 0 dropped',
  'web egress: 4 passed, 0 dropped',
  'app ingress: 4 passed, 0 dropped',
  'app egress: 1 passed, 0 dropped',
];

test('a connection that is opened anew has what passed in the kernel counted, beside the packets of the batch', () => {
  const { rig, talk } = start();
  process(rig, talk.syn(), 10);
  assert.deepEqual(rig.counts, COUNTED);
  rig.kernel!.offload.tick(rig.kernel!.gauges);
  assert.deepEqual(rig.counts, COUNTED, 'and once');
});

test('so has one that is past its time-out', () => {
  const { rig, talk } = start();
  process(rig, talk.data('client', 100), 432_000_001);
  assert.deepEqual(rig.counts, COUNTED);
});

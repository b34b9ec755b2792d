/**
 * The fuzzer's conversations between real devices, with the kernel's fast path and without: two daemons get the same
 * packets at the same time, and what comes out must be the same, byte by byte.
 *
 * `scripts/fuzz --devices` runs as many as you like. Packets of the uplink are left out, which has no part in the fast
 * path.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTalks } from '../fuzz/corpus.ts';
import { POLICIES } from '../fuzz/policies.ts';
import { Random } from '../fuzz/random.ts';
import { TalkSource } from '../fuzz/talk-source.ts';
import { PORT_NAMES } from '../fuzz/world.ts';
import { requireOffload } from '../offload/kernel-rig.ts';
import { requireTools } from '../support/require.ts';
import { PacketWorld } from './packet-world.ts';
import { canRun } from './world.ts';

const PACKETS = 1000;
const PACKETS_A_POLICY = 250;
const PACKET_BYTES_MAX = 1400;
const PROGRESS_PACKETS = 5000;
/** The last world has the platform's services behind an interface, which is a port of its own for the daemon. */
const RULES = POLICIES.slice(0, 3).flat();

/** From scripts/fuzz. */
function setting(name: string): number | undefined {
  const text = process.env[name];
  return text === undefined || text === '' ? undefined : Number(text);
}

test('the fuzzer’s packets get the same verdicts with the fast path and without', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft') || requireOffload(t) === undefined) return;
  const seed = setting('FUZZ_DEVICES_SEED') ?? Date.now() % 2 ** 32;
  const packets = setting('FUZZ_DEVICES_PACKETS') ?? PACKETS;
  const again = `scripts/fuzz --devices --seed ${seed} --packets ${packets}`;
  t.diagnostic(again);
  const random = new Random(seed);
  const talks = readTalks().filter((talk) => talk.every(({ port }) => port > 0));
  const source = new TalkSource(talks, random);
  const settings = { metrics: { listen: '127.0.0.1:0' } };
  const worlds: PacketWorld[] = [];
  for (const offload of ['on', 'off'])
    worlds.push(await PacketWorld.start(t, RULES[0], { ...settings, offload }));
  for (let i = 0; i < packets; i++) {
    if (i % PACKETS_A_POLICY === PACKETS_A_POLICY - 1) {
      const rules = RULES[random.below(RULES.length)];
      for (const world of worlds) await world.reload(rules);
    }
    const { from, packet } = nextBetween(source);
    for (const world of worlds) world.send(from, packet);
    let [fast, slow] = worlds.map((world) => world.settle());
    if (fast.join() !== slow.join()) [fast, slow] = worlds.map((world) => world.settleLate());
    const hex = Buffer.from(packet).toString('hex');
    assert.deepEqual(fast, slow, `packet ${i}, from ${from}: ${hex}; again: ${again}`);
    if ((i + 1) % PROGRESS_PACKETS === 0) t.diagnostic(`${i + 1} packets`);
  }
  const offloaded = await worlds[0].offloadedPackets();
  t.diagnostic(`${packets} packets, ${offloaded} of them forwarded by the kernel`);
  assert.ok(offloaded > packets / 100, `${offloaded} of ${packets} packets took the fast path`);
});

/** The next packet that comes from an interface and fits its link. */
function nextBetween(source: TalkSource): { readonly from: string; readonly packet: Uint8Array } {
  for (;;) {
    const port = source.next();
    const { bytes, length } = source.mutator;
    if (port > 0 && length > 0 && length <= PACKET_BYTES_MAX)
      return { from: PORT_NAMES[port], packet: bytes.slice(0, length) };
  }
}

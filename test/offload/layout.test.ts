/** The memory of the fast path has one layout: what C says of it is what TypeScript says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as layout from '../../src/offload/layout.ts';
import { requireOffload } from './kernel-rig.ts';

test('C and TypeScript agree where things are', (t) => {
  const addon = requireOffload(t) as unknown as Readonly<Record<string, number>> | undefined;
  if (addon === undefined) return;
  const words: Readonly<Record<string, number>> = {
    FLOW_BYTES: layout.FLOW_WORDS,
    PORT_BYTES: layout.PORT_WORDS,
    CONTROL_BYTES: layout.CONTROL_WORDS,
    FLOW_PORTS: layout.FLOW_PORTS,
    FLOW_GENERATION: layout.FLOW_GENERATION,
    FLOW_SIDES: layout.FLOW_SIDES,
    FLOW_PACKETS: layout.FLOW_PACKETS,
    CONTROL_LOOPS: layout.CONTROL_LOOPS,
  };
  for (const [name, expected] of Object.entries(words))
    assert.equal(addon[name], 4 * expected, name);
});

test('a bucket has two flows on average where the table is full', () => {
  for (const capacity of [1024, 65_536, 1_000_000]) {
    const { buckets } = layout.tableSizes(capacity);
    assert.ok(
      buckets * layout.BUCKET_SLOTS >= 4 * capacity || buckets >= capacity / 2,
      `${capacity}`,
    );
    assert.equal(buckets & (buckets - 1), 0, 'a power of two');
  }
});

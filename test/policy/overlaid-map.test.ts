/** An OverlaidMap is compared with a plain Map, over many versions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OverlaidMap } from '../../src/policy/overlaid-map.ts';

interface Step {
  readonly kind: 'set' | 'delete' | 'version';
  readonly key: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('set', 'set', 'set', 'delete', 'version'),
  key: fc.nat(400),
});

test('it is the same as a plain map, and what it was made of stays as it was', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 800, size: 'max' }), (steps) => {
      let twin = new Map(Array.from({ length: 100 }, (_, i) => [i, { value: -i }]));
      let map = new OverlaidMap<number, { value: number }>(twin);
      const before: (readonly [OverlaidMap<number, object>, Map<number, object>])[] = [];
      steps.forEach(({ kind, key }, value) => {
        if (kind === 'version') {
          before.push([map, twin]);
          [map, twin] = [new OverlaidMap(map), new Map(twin)];
        } else if (kind === 'delete') {
          map.delete(key);
          twin.delete(key);
        } else {
          map.set(key, { value });
          twin.set(key, { value });
        }
        assert.equal(map.size, twin.size);
        assert.deepEqual(map.get(key), twin.get(key));
        assert.equal(map.has(key), twin.has(key));
      });
      for (const [ours, theirs] of [...before, [map, twin] as const]) {
        assert.deepEqual([...ours], [...theirs]);
        assert.deepEqual([...ours.keys()], [...theirs.keys()]);
        assert.deepEqual([...ours.values()], [...theirs.values()]);
      }
    }),
    { numRuns: 50 },
  );
});

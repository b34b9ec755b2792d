/** Who has the most, against a plain count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Shares } from '../../src/conntrack/shares.ts';

const OWNERS = 9;

test('the largest is the one a plain count names, of several the first, and whoever asks if it is one of them', () => {
  const steps = fc.array(fc.tuple(fc.nat(OWNERS - 1), fc.boolean()), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (taken) => {
      const shares = new Shares(OWNERS);
      const counts = new Array<number>(OWNERS).fill(0);
      for (const [owner, grows] of taken) {
        if (grows) shares.grow(owner);
        else if (counts[owner] > 0) shares.shrink(owner);
        if (grows || counts[owner] > 0) counts[owner] += grows ? 1 : -1;
        const most = Math.max(...counts);
        for (let asking = 0; asking < OWNERS; asking++) {
          assert.equal(shares.of(asking), counts[asking]);
          const expected = counts[asking] === most ? asking : counts.indexOf(most);
          assert.equal(shares.largestFor(asking), expected, counts.join());
        }
      }
    }),
    { numRuns: 500 },
  );
});

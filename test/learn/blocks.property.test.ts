/** Blocks hold all that was seen, and no more than the bound: compared with the slow twin, and for IPv6 by counting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrContains, formatCidr, parseAddress } from '../../src/addr/address.ts';
import { numberOf, sizeOf, summarize } from '../../src/learn/blocks.ts';
import { coveredBy, plainSummarize } from './plain-blocks.ts';

const BASE = 0x0a000000;
const near = fc.uniqueArray(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 14 });

test('blocks are those of the slow twin', () => {
  fc.assert(
    fc.property(near, fc.integer({ min: 0, max: 400 }), (offsets, more) => {
      const room = offsets.length + more;
      const blocks = summarize(4, offsets.map((one) => [BASE + one]), BigInt(room)); // prettier-ignore
      const plain = plainSummarize(offsets.map((one) => BASE + one), room); // prettier-ignore
      assert.deepEqual(
        blocks.map((block) => ({
          start: Number(numberOf(block.words)),
          size: Number(sizeOf(block)),
        })),
        plain,
      );
      const covered = coveredBy(plain);
      assert.ok(offsets.every((one) => covered.has(BASE + one)));
      assert.ok(covered.size <= room);
    }),
    { numRuns: 500 },
  );
});

test('of IPv6: all are held, and the bound is kept', () => {
  const word = fc.oneof(fc.constantFrom(0, 1, -1, 0x20010db8), fc.integer());
  const address = fc.tuple(fc.constantFrom(0x20010db8, 0x20010db9), word, word, word);
  const addresses = fc.uniqueArray(address, { minLength: 1, maxLength: 30, selector: (one) => one.join() }); // prettier-ignore
  fc.assert(
    fc.property(addresses, fc.bigInt({ min: 0n, max: 1n << 128n }), (all, more) => {
      const room = BigInt(all.length) + more;
      const blocks = summarize(6, all, room);
      assert.ok(all.every((words) => blocks.some((block) => cidrContains(block, { family: 6, words })))); // prettier-ignore
      assert.ok(blocks.reduce((sum, block) => sum + sizeOf(block), 0n) <= room);
      for (const one of blocks)
        assert.equal(blocks.filter((other) => cidrContains(other, one)).length, 1);
    }),
  );
});

test('what the bound of exactly what was seen gives, and wider ones', () => {
  const blocksOf = (texts: readonly string[], room: bigint): readonly string[] => {
    const words = texts.map((text) => {
      const parsed = parseAddress(text);
      assert.ok(parsed.ok);
      return parsed.value.words;
    });
    return summarize(words[0].length === 1 ? 4 : 6, words, room).map(formatCidr);
  };
  const four = ['10.0.0.0', '10.0.0.1', '10.0.0.2', '10.0.0.3'];
  assert.deepEqual(blocksOf([...four].reverse(), 4n), ['10.0.0.0/30']);
  assert.deepEqual(blocksOf(['10.0.0.1', '10.0.0.2'], 3n), ['10.0.0.1/32', '10.0.0.2/32']);
  assert.deepEqual(blocksOf(['10.0.0.1', '10.0.0.2'], 4n), ['10.0.0.0/30']);
  assert.deepEqual(blocksOf(['0.0.0.0', '255.255.255.255'], 1n << 32n), ['0.0.0.0/0']);
  assert.deepEqual(blocksOf(['2001:db8::1', '2001:db8::2'], 4n), ['2001:db8::/126']);
  // The near pair is joined, and the far one is not.
  assert.deepEqual(blocksOf(['10.0.0.8', '10.0.0.9', '10.0.0.11', '10.9.0.1'], 6n), ['10.0.0.8/30', '10.9.0.1/32']); // prettier-ignore
});

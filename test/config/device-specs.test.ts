import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macAddressOf, macAddressText } from '../../src/config/device-specs.ts';

const CASES = [
  ['eni-0123456789abcdef0', '02:78:9a:bc:de:f0'],
  ['eni-1a2b3c4d', '02:00:1a:2b:3c:4d'],
] as const;

test('an interface has a MAC address of 6 bytes, whether its id has 17 digits or 8', () => {
  for (const [id, text] of CASES) {
    assert.equal(macAddressText(id), text);
    const bytes = text.split(':').map((pair) => parseInt(pair, 16));
    assert.deepEqual([...macAddressOf(id)], bytes);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bytesOf,
  cidrContains,
  formatAddress,
  formatCidr,
  maskWords,
  parseAddress,
  parseCidr,
  sameAddress,
  type Address,
  type Parsed,
} from '../../src/addr/address.ts';

function value<T>(parsed: Parsed<T>): T {
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.message);
  return parsed.value;
}

const words = (count: number): fc.Arbitrary<number[]> =>
  fc.array(fc.integer(), { minLength: count, maxLength: count });
const anyAddress: fc.Arbitrary<Address> = fc.oneof(
  words(1).map((list) => ({ family: 4 as const, words: list })),
  // ::ffff:0:0/96 is refused as text.
  words(4)
    .filter(([a, b, c]) => a !== 0 || b !== 0 || c !== 0xffff)
    .map((list) => ({ family: 6 as const, words: list })),
);

test('addresses are their words in network order', () => {
  assert.deepEqual(value(parseAddress('10.0.0.11')), { family: 4, words: [0x0a00000b] });
  assert.deepEqual(value(parseAddress('255.255.255.255')), { family: 4, words: [-1] });
  assert.deepEqual(value(parseAddress('fd00:10::11')), {
    family: 6,
    words: [0xfd000010 | 0, 0, 0, 0x11],
  });
  assert.deepEqual(bytesOf(value(parseAddress('192.0.2.1'))), [192, 0, 2, 1]);
});

/** The same by a pattern: the slow twin. */
function wordByPattern(text: string): number | undefined {
  if (!/^(0|[1-9]\d*)(\.(0|[1-9]\d*)){3}$/.test(text)) return undefined;
  const bytes = text.split('.').map(Number);
  if (bytes.some((byte) => byte > 255)) return undefined;
  return (bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
}

test('four decimal parts are read as their pattern says, and nothing else is', () => {
  const part = fc.oneof(
    fc.nat(300).map(String),
    fc.constantFrom('', '0', '00', '01', '255', '256', '1e1', '-1', '+1', ' 1', '1 ', '0x1', '４'),
  );
  const text = fc
    .array(part, { minLength: 3, maxLength: 5 })
    .chain((parts) => fc.constantFrom('.', '.', '.', '..').map((dot) => parts.join(dot)));
  fc.assert(
    fc.property(text, (given) => {
      const parsed = parseAddress(given);
      const word = parsed.ok ? parsed.value.words[0] : undefined;
      assert.equal(word, wordByPattern(given), given);
    }),
    { numRuns: 3000 },
  );
});

test('what is no address is refused with what would be right', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      '192.168.010.1',
      "'192.168.010.1' is not an IP address",
      'a part with a leading zero is octal to some programs; write 192.168.10.1 if you mean decimal',
    ],
    [
      '10.0.0.256',
      "'10.0.0.256' is not an IP address",
      'each of the four parts goes from 0 to 255',
    ],
    [
      '1',
      "'1' is not an IP address",
      'write four decimal parts, as 10.0.0.11, or an IPv6 address, as fd00:10::11',
    ],
    [
      '0x0a.0.0.1',
      "'0x0a.0.0.1' is not an IP address",
      'write four decimal parts, as 10.0.0.11, or an IPv6 address, as fd00:10::11',
    ],
    [
      '',
      "'' is not an IP address",
      'write four decimal parts, as 10.0.0.11, or an IPv6 address, as fd00:10::11',
    ],
    [
      '10.0.0.1/32',
      "'10.0.0.1/32' is a CIDR block, not an address",
      'write the address alone: 10.0.0.1',
    ],
    ['fe80::1%eth0', "'fe80::1%eth0' is not an IPv6 address", 'leave the zone (%…) out'],
    ['fd00::1::2', "'fd00::1::2' is not an IPv6 address", 'write it as fd00:10::11'],
    ['::ffff:10.0.0.1', "'::ffff:10.0.0.1' is an IPv4 address in IPv6 form", 'write 10.0.0.1'],
  ];
  for (const [text, message, hint] of cases)
    assert.deepEqual(parseAddress(text), { ok: false, message, hint });
});

test('blocks have a length and no bits beyond it', () => {
  assert.deepEqual(value(parseCidr('0.0.0.0/0', 'refuse')), { family: 4, words: [0], length: 0 });
  assert.deepEqual(value(parseCidr('::/0', 'refuse')), {
    family: 6,
    words: [0, 0, 0, 0],
    length: 0,
  });
  assert.deepEqual(
    value(parseCidr('100.68.0.18/18', 'mask')),
    value(parseCidr('100.68.0.0/18', 'refuse')),
  );
  const cases: readonly (readonly [string, string, string])[] = [
    [
      '10.0.0.1/8',
      "'10.0.0.1/8' has bits set beyond its prefix",
      'the block is 10.0.0.0/8; for the one host write 10.0.0.1/32',
    ],
    ['10.0.0.1', "'10.0.0.1' has no prefix length", 'for a single host write 10.0.0.1/32'],
    ['fd00::1', "'fd00::1' has no prefix length", 'for a single host write fd00::1/128'],
    ['home', "'home' is not a CIDR block", 'write one as 10.0.0.0/16 or fd00:10::/64'],
    ['', "'' is not a CIDR block", 'write one as 10.0.0.0/16 or fd00:10::/64'],
    [
      '010.0.0.1',
      "'010.0.0.1' is not a CIDR block",
      'a part with a leading zero is octal to some programs; write 10.0.0.1 if you mean decimal',
    ],
    [
      '10.0.0.0/33',
      "'10.0.0.0/33' has a bad prefix length",
      'IPv4 takes a prefix length from 0 to 32',
    ],
    [
      '10.0.0.0/08',
      "'10.0.0.0/08' has a bad prefix length",
      'IPv4 takes a prefix length from 0 to 32',
    ],
    [
      '10.0.0.0/255.0.0.0',
      "'10.0.0.0/255.0.0.0' has a bad prefix length",
      'IPv4 takes a prefix length from 0 to 32',
    ],
    ['::/129', "'::/129' has a bad prefix length", 'IPv6 takes a prefix length from 0 to 128'],
  ];
  for (const [text, message, hint] of cases)
    assert.deepEqual(parseCidr(text, 'refuse'), { ok: false, message, hint });
});

test('text and words go both ways', () => {
  fc.assert(
    fc.property(anyAddress, (address) =>
      assert.deepEqual(value(parseAddress(formatAddress(address))), address),
    ),
  );
});

test('a masked address is in its block, and formatted blocks are canonical', () => {
  fc.assert(
    fc.property(anyAddress, fc.nat(128), (address, bits) => {
      const length = Math.min(bits, address.family === 4 ? 32 : 128);
      const block = { family: address.family, words: maskWords(address.words, length), length };
      assert.equal(cidrContains(block, address), true);
      assert.deepEqual(value(parseCidr(formatCidr(block), 'refuse')), block);
    }),
  );
});

test('a block holds just the addresses that share its bits', () => {
  const asBits = ({ words: list }: Address): string =>
    list.map((word) => (word >>> 0).toString(2).padStart(32, '0')).join('');
  fc.assert(
    fc.property(anyAddress, anyAddress, fc.nat(128), fc.boolean(), (a, other, bits, near) => {
      const length = Math.min(bits, a.family === 4 ? 32 : 128);
      const block = { family: a.family, words: maskWords(a.words, length), length };
      // A neighbour in the last bit of the prefix is the case that an off-by-one gets wrong.
      const flip = asBits(a)
        .split('')
        .map((bit, i) => (i === length - 1 ? String(1 - Number(bit)) : bit))
        .join('');
      const neighbour: Address = {
        family: a.family,
        words: (flip.match(/.{32}/g) ?? []).map((word) => parseInt(word, 2) | 0),
      };
      const b = near ? neighbour : other;
      const expected =
        a.family === b.family && asBits(a).slice(0, length) === asBits(b).slice(0, length);
      assert.equal(cidrContains(block, b), expected);
      assert.equal(sameAddress(a, b), a.family === b.family && asBits(a) === asBits(b));
    }),
  );
});

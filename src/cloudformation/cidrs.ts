/** This file evaluates Fn::Cidr, which splits a block into smaller ones. */
import { addressBits, formatCidr, parseCidr, refuse, type Parsed } from '../addr/address.ts';

const BLOCKS_MAX = 256;
const WORD_BITS = 32n;

/**
 * The first `countText` blocks of 2^cidrBits addresses in a block.
 * Source: AWS CloudFormation Template Reference, "Fn::Cidr": cidrBits is the inverse of the prefix length, so 8 gives
 * /24 in IPv4.
 */
export function splitCidr(
  blockText: string,
  countText: string,
  bitsText: string,
): Parsed<readonly string[]> {
  const block = parseCidr(blockText, 'mask');
  if (!block.ok) return block;
  const { family, length, words } = block.value;
  const width = addressBits(family);
  const count = readInteger(countText, 1, BLOCKS_MAX);
  if (count === undefined)
    return refuse(
      `the count '${countText}' is not a number from 1 to ${BLOCKS_MAX}`,
      'ask for fewer blocks',
    );
  const bits = readInteger(bitsText, 0, width);
  if (bits === undefined || width - bits < length) {
    return refuse(
      `cidrBits '${bitsText}' does not fit into ${formatCidr(block.value)}`,
      `give 0 to ${width - length}`,
    );
  }
  const room = 1n << BigInt(width - bits - length);
  if (BigInt(count) > room) {
    return refuse(
      `${formatCidr(block.value)} holds ${room} blocks of /${width - bits}, not ${count}`,
      'ask for fewer or smaller blocks',
    );
  }
  const first = words.reduce((sum, word) => (sum << WORD_BITS) | BigInt(word >>> 0), 0n);
  const blocks: string[] = [];
  for (let i = 0n; i < BigInt(count); i++) {
    const start = first + (i << BigInt(bits));
    const startWords = words.map((_, w) =>
      Number(BigInt.asIntN(32, start >> (WORD_BITS * BigInt(words.length - 1 - w)))),
    );
    blocks.push(formatCidr({ family, words: startWords, length: width - bits }));
  }
  return { ok: true, value: blocks };
}

function readInteger(text: string, min: number, max: number): number | undefined {
  if (!/^\d{1,3}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

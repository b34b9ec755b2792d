/**
 * Summarises addresses as blocks: as few as a bound on their size allows.
 *
 * Theory of operation. Each address is a block of its own at first. Two blocks are joined by the smallest block that
 * has both, and whatever lies between comes with it. Of all joins the one that takes in the fewest addresses that are
 * not yet in a block is made, as long as all blocks together stay within the bound. A join takes in no more than any
 * join of a block around it, so only neighbours are ever joined, and the addresses are sorted once. A join that takes
 * in nothing new is always made: the blocks of the bound `addresses.length` hold exactly the addresses.
 *
 * test/learn/plain-blocks.ts is the slow twin, which tries all pairs each time.
 */
import type { Cidr, Family } from '../addr/address.ts';
import type { Words } from './conversation.ts';

const WORD_BITS = 32n;
const WORD_MASK = 0xffffffffn;

/** A block while it is joined with others. Neighbours are linked in order. */
interface Block {
  readonly start: bigint;
  /** The last address. */
  readonly end: bigint;
  before: Block | undefined;
  after: Block | undefined;
  isGone: boolean;
}

/** A join of a block with its neighbour behind. */
interface Join {
  readonly one: Block;
  readonly other: Block;
  /** The block that has both. */
  readonly start: bigint;
  readonly end: bigint;
  /** Addresses that it takes in anew, as long as the two are neighbours. */
  readonly cost: bigint;
}

/**
 * @param addresses of one family, each once
 * @param room addresses that all blocks together may hold; not below how many addresses there are
 * @returns the blocks in order
 */
export function summarize(
  family: Family,
  addresses: readonly Words[],
  room: bigint,
): readonly Cidr[] {
  const numbers = addresses.map(numberOf).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  let first: Block | undefined;
  let last: Block | undefined;
  const heap = new Heap();
  for (const start of numbers) {
    const block: Block = { start, end: start, before: last, after: undefined, isGone: false };
    if (last === undefined) first = block;
    else {
      last.after = block;
      heap.push(joinOf(last, block));
    }
    last = block;
  }
  let size = BigInt(numbers.length);
  for (let join = heap.pop(); join !== undefined; join = heap.pop()) {
    if (join.one.isGone || join.other.isGone) continue;
    // All others cost at least as much.
    if (size + join.cost > room) break;
    size += join.cost;
    const made = replace(join);
    if (made.before === undefined) first = made;
    else heap.push(joinOf(made.before, made));
    if (made.after !== undefined) heap.push(joinOf(made, made.after));
  }
  const blocks: Cidr[] = [];
  for (let block = first; block !== undefined; block = block.after)
    blocks.push(cidrOf(family, block));
  return blocks;
}

/** How many addresses a block holds. */
export function sizeOf({ family, length }: Cidr): bigint {
  return 1n << BigInt((family === 4 ? 32 : 128) - length);
}

export function numberOf(words: Words): bigint {
  let number = 0n;
  for (const word of words) number = (number << WORD_BITS) | BigInt(word >>> 0);
  return number;
}

/**
 * The two blocks are neighbours, and each is aligned to its size. So the block of both holds nothing of a third one, or
 * holds it as a whole: then a neighbour's join costs less, and comes first.
 */
function joinOf(one: Block, other: Block): Join {
  let bits = 0n;
  for (let differing = one.start ^ other.end; differing !== 0n; differing >>= 1n) bits++;
  const start = (one.start >> bits) << bits;
  const end = start | ((1n << bits) - 1n);
  const cost = end - start - (one.end - one.start) - (other.end - other.start) - 1n;
  return { one, other, start, end, cost };
}

function replace({ one, other, start, end }: Join): Block {
  const { before } = one;
  const { after } = other;
  const made: Block = { start, end, before, after, isGone: false };
  one.isGone = true;
  other.isGone = true;
  if (before !== undefined) before.after = made;
  if (after !== undefined) after.before = made;
  return made;
}

function cidrOf(family: Family, { start, end }: Block): Cidr {
  const words: number[] = [];
  for (let i = family === 4 ? 0n : 3n; i >= 0n; i--)
    words.push(Number((start >> (i * WORD_BITS)) & WORD_MASK) | 0);
  let length = family === 4 ? 32 : 128;
  for (let rest = end - start; rest > 0n; rest >>= 1n) length--;
  return { family, words, length };
}

/** The cheapest first; of those that cost the same the smallest block, then the lowest. */
function isBefore(a: Join, b: Join): boolean {
  if (a.cost !== b.cost) return a.cost < b.cost;
  const [sizeA, sizeB] = [a.end - a.start, b.end - b.start];
  return sizeA !== sizeB ? sizeA < sizeB : a.start < b.start;
}

/** A binary heap. */
class Heap {
  private readonly joins: Join[] = [];

  push(join: Join): void {
    const { joins } = this;
    let at = joins.length;
    joins.push(join);
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!isBefore(join, joins[up])) break;
      joins[at] = joins[up];
      at = up;
    }
    joins[at] = join;
  }

  pop(): Join | undefined {
    const { joins } = this;
    const first = joins[0] as Join | undefined;
    const last = joins.pop();
    if (first === undefined || last === undefined || joins.length === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= joins.length) break;
      if (down + 1 < joins.length && isBefore(joins[down + 1], joins[down])) down++;
      if (!isBefore(joins[down], last)) break;
      joins[at] = joins[down];
      at = down;
    }
    joins[at] = last;
    return first;
  }
}

/**
 * Remembers of flows which end opened them, in a table of fixed size, where a newer flow takes the place of an older
 * one. So of very many flows at a time it knows fewer, and never anything wrong but for two with the same 64 bits of
 * hash.
 */
const SLOT_BITS = 16;
const SLOT_WORDS = 4;
const SLOT_SUM = 0;
const SLOT_DIFFERENCE = 1;
const SLOT_OPENER = 2;
const SLOT_MARK = 3;
/** Odd constants of high entropy (xxHash's primes). */
const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;

export class FlowMemory {
  private readonly slots = new Int32Array(SLOT_WORDS << SLOT_BITS);

  /** Whether the flow between the ends (hashSource and hashDestination) is known. */
  knows(one: number, other: number): boolean {
    const { slots } = this;
    const at = slotOf(one, other);
    return (
      slots[at + SLOT_MARK] !== 0 &&
      slots[at + SLOT_SUM] === ((one + other) | 0) &&
      slots[at + SLOT_DIFFERENCE] === (one ^ other)
    );
  }

  /** Of a flow that is known: whether `one` opened it, and the mark that it was noted with. */
  isOpenedBy(one: number, other: number): boolean {
    return this.slots[slotOf(one, other) + SLOT_OPENER] === one;
  }

  markOf(one: number, other: number): number {
    return this.slots[slotOf(one, other) + SLOT_MARK];
  }

  /** @param mark anything but 0 */
  note(opener: number, other: number, mark: number): void {
    const { slots } = this;
    const at = slotOf(opener, other);
    slots[at + SLOT_SUM] = opener + other;
    slots[at + SLOT_DIFFERENCE] = opener ^ other;
    slots[at + SLOT_OPENER] = opener;
    slots[at + SLOT_MARK] = mark;
  }
}

function slotOf(one: number, other: number): number {
  const mixed = Math.imul((one + other) | 0, PRIME_2) ^ Math.imul(one ^ other, PRIME_3);
  return (mixed >>> (32 - SLOT_BITS)) * SLOT_WORDS;
}

/** Two addresses, as a packet or a record has them; the words that an address of IPv4 has not are 0. */
export interface AddressPair {
  readonly src0: number;
  readonly src1: number;
  readonly src2: number;
  readonly src3: number;
  readonly dst0: number;
  readonly dst1: number;
  readonly dst2: number;
  readonly dst3: number;
}

/** The ends of a flow. */
export interface FlowEnds extends AddressPair {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly protocol: number;
}

export function hashSource({ src0, src1, src2, src3, srcPort, protocol }: FlowEnds): number {
  return hashEnd(src0, src1, src2, src3, srcPort, protocol);
}

export function hashDestination({ dst0, dst1, dst2, dst3, dstPort, protocol }: FlowEnds): number {
  return hashEnd(dst0, dst1, dst2, dst3, dstPort, protocol);
}

/** The hash of an end of a flow: its address, its port, the protocol. */
function hashEnd(
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  port: number,
  protocol: number,
): number {
  let hash = Math.imul(a0, PRIME_1) ^ Math.imul((port << 8) | protocol, PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_3) ^ a1;
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_1) ^ a2;
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2) ^ a3;
  return Math.imul(hash ^ (hash >>> 13), PRIME_3);
}

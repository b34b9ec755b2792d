/**
 * Remembers of flows who opened them, when something of them was last seen, and which conversation they are of: a table
 * of fixed size, where a newer flow takes the place of an older one.
 *
 * So of very many flows at a time it knows fewer. A flow that is not known any more is taken for a new one: its
 * opener is guessed, and it counts again.
 */
import type { Conversation } from './conversation.ts';

const SLOT_BITS = 17;
const SLOTS = 1 << SLOT_BITS;
const SLOT_WORDS = 4;
const SLOT_SUM = 0;
const SLOT_DIFFERENCE = 1;
const SLOT_OPENER = 2;
const SLOT_FLAGS = 3;
const IN_USE = 1;
const ANSWERED = 2;
/** Odd constants of high entropy (xxHash's primes). */
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;

export class FlowSlots {
  private readonly words = new Int32Array(SLOT_WORDS * SLOTS);
  private readonly lastMs = new Float64Array(SLOTS);
  private readonly conversations: (Conversation | undefined)[] = [];

  /** The slot of the flow between two ends (hashSource and hashDestination), or -1 if it is not known. */
  find(one: number, other: number): number {
    const slot = slotOf(one, other);
    const at = slot * SLOT_WORDS;
    const { words } = this;
    const isIt =
      words[at + SLOT_FLAGS] !== 0 &&
      words[at + SLOT_SUM] === ((one + other) | 0) &&
      words[at + SLOT_DIFFERENCE] === (one ^ other);
    return isIt ? slot : -1;
  }

  /** Notes a new flow. @returns its slot */
  note(opener: number, target: number, conversation: Conversation | undefined): number {
    const slot = slotOf(opener, target);
    const at = slot * SLOT_WORDS;
    const { words } = this;
    words[at + SLOT_SUM] = opener + target;
    words[at + SLOT_DIFFERENCE] = opener ^ target;
    words[at + SLOT_OPENER] = opener;
    words[at + SLOT_FLAGS] = IN_USE;
    this.conversations[slot] = conversation;
    return slot;
  }

  isOpenedBy(slot: number, end: number): boolean {
    return this.words[slot * SLOT_WORDS + SLOT_OPENER] === end;
  }

  isAnswered(slot: number): boolean {
    return (this.words[slot * SLOT_WORDS + SLOT_FLAGS] & ANSWERED) !== 0;
  }

  noteAnswer(slot: number): void {
    this.words[slot * SLOT_WORDS + SLOT_FLAGS] |= ANSWERED;
  }

  /** Undefined: there was no room for it. */
  conversationOf(slot: number): Conversation | undefined {
    return this.conversations[slot];
  }

  seenMs(slot: number): number {
    return this.lastMs[slot];
  }

  touch(slot: number, ms: number): void {
    this.lastMs[slot] = ms;
  }
}

function slotOf(one: number, other: number): number {
  const mixed = Math.imul((one + other) | 0, PRIME_2) ^ Math.imul(one ^ other, PRIME_3);
  return mixed >>> (32 - SLOT_BITS);
}

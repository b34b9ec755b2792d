/**
 * Holds the conversations that were seen, within bounds.
 *
 * Theory of operation. A scan asks at as many places as it likes, and a flood comes from as many addresses. So one
 * address may open a bounded number of conversations; what it opens beyond is counted and not told apart. When the
 * whole is full, conversations that nobody has answered are forgotten, all at once, and of each address it is
 * remembered how many they were: who scanned is known as a scanner also then. If that makes too little room, new
 * conversations are counted and not kept. What is counted so is told, since the proposal is not about it.
 */
import {
  addressKey,
  Conversation,
  conversationKey,
  type Ends,
  type Words,
} from './conversation.ts';

export const CONVERSATIONS_MAX = 262_144;
const PER_OPENER_MAX = 16_384;
/** Addresses of which it is remembered how much was forgotten. */
const TALLIES_MAX = 65_536;
/** Forgetting looks at everything, so it has to be worth while. */
const ROOM_MIN_PART = 1 / 8;

/** What found no room. */
export interface Beyond {
  flows: number;
  packets: number;
  bytes: number;
}

export class Conversations {
  /** Of what was never in memory. */
  readonly beyond: Beyond = { flows: 0, packets: 0, bytes: 0 };
  /** Of what nobody had answered, and was forgotten to make room. */
  readonly forgotten: Beyond = { flows: 0, packets: 0, bytes: 0 };
  private readonly max: number;
  private readonly perOpenerMax: number;
  private readonly byKey = new Map<string, Conversation>();
  private readonly perOpener = new Map<string, number>();
  /** By address: conversations that were forgotten. */
  private readonly tallies = new Map<string, number>();
  private isFull = false;

  constructor(max = CONVERSATIONS_MAX, perOpenerMax = PER_OPENER_MAX) {
    this.max = max;
    this.perOpenerMax = Math.min(max, perOpenerMax);
  }

  /** All that are in memory, in the order of their opening. */
  get all(): readonly Conversation[] {
    return [...this.byKey.values()];
  }

  /** How many conversations that the address opened were forgotten, or found no room. */
  forgottenOf(opener: Words): number {
    return this.tallies.get(addressKey(opener)) ?? 0;
  }

  /** Gives the conversation; undefined: there is no room for it. @param openerPort for the example */
  open(ends: Ends, openerPort: number): Conversation | undefined {
    const key = conversationKey(ends);
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const opener = addressKey(ends.opener);
    const own = this.perOpener.get(opener) ?? 0;
    if (own >= this.perOpenerMax || (this.byKey.size >= this.max && !this.makeRoom())) {
      this.tally(opener);
      return undefined;
    }
    const made = new Conversation(ends, openerPort);
    this.byKey.set(key, made);
    this.perOpener.set(opener, (this.perOpener.get(opener) ?? 0) + 1);
    return made;
  }

  private makeRoom(): boolean {
    if (this.isFull) return false;
    for (const [key, one] of this.byKey) {
      if (one.isAnswered) continue;
      this.byKey.delete(key);
      one.isForgotten = true;
      addTo(this.forgotten, one);
      const opener = addressKey(one.opener);
      this.perOpener.set(opener, this.perOpener.get(opener)! - 1);
      this.tally(opener);
    }
    const room = this.max - this.byKey.size;
    this.isFull = room < this.max * ROOM_MIN_PART;
    return room > 0;
  }

  private tally(opener: string): void {
    const { tallies } = this;
    const before = tallies.get(opener);
    if (before !== undefined || tallies.size < TALLIES_MAX) tallies.set(opener, (before ?? 0) + 1);
  }
}

export function addTo(sum: Beyond, { flows, packets, bytes }: Readonly<Beyond>): void {
  sum.flows += flows;
  sum.packets += packets;
  sum.bytes += bytes;
}

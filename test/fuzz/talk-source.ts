/**
 * Packets of several conversations of the corpus that go on side by side: as they are, varied, damaged, again, from
 * another port, or made up. A part is of connections that carry data (chatter.ts).
 */
import { Chatter } from './chatter.ts';
import type { Talk } from './corpus.ts';
import { Mutator } from './mutate.ts';
import type { Random } from './random.ts';
import { PORT_NAMES } from './world.ts';

const TALKS_AT_ONCE = 6;
const LONG_TALK = 32;

export class TalkSource {
  readonly mutator: Mutator;
  private readonly talks: readonly Talk[];
  private readonly random: Random;
  private readonly chatter: Chatter;
  private readonly slots: { talk: Talk; next: number }[];

  constructor(talks: readonly Talk[], random: Random) {
    this.mutator = new Mutator(random);
    this.talks = talks;
    this.random = random;
    this.chatter = new Chatter(random);
    this.slots = Array.from({ length: TALKS_AT_ONCE }, () => ({ talk: this.pickTalk(), next: 0 }));
  }

  /** Leaves a packet in the mutator. @returns the port it comes in by */
  next(): number {
    const { random, mutator } = this;
    if (random.oneIn(3)) return this.chat();
    const slot = this.slots[random.below(TALKS_AT_ONCE)];
    if (slot.next >= slot.talk.length) {
      slot.talk = this.pickTalk();
      slot.next = 0;
    }
    const roll = random.below(32);
    const isAgain = roll >= 27 && roll < 30;
    const packet = slot.talk[isAgain ? random.below(slot.talk.length) : slot.next];
    mutator.load(packet.bytes);
    if (roll < 14) slot.next++;
    else if (roll < 24) {
      mutator.vary();
      if (random.oneIn(2)) slot.next++;
    } else if (roll < 27) {
      if (random.oneIn(2)) mutator.vary();
      mutator.damage();
      if (random.oneIn(2)) mutator.damage();
    } else if (roll === 30) mutator.makeNoise();
    // A turned packet comes from the other side: mostly from where its source address lives.
    if (random.oneIn(24)) return random.below(PORT_NAMES.length);
    const owner = ownerOf(mutator.bytes);
    return roll < 14 || owner < 0 ? packet.port : owner;
  }

  private chat(): number {
    const { random, mutator } = this;
    const { port, bytes } = this.chatter.next();
    mutator.load(bytes);
    if (random.oneIn(32)) mutator.vary();
    return random.oneIn(64) ? random.below(PORT_NAMES.length) : port;
  }

  private pickTalk(): Talk {
    const { random, talks } = this;
    const talk = talks[random.below(talks.length)];
    // Long ones are rare, or they would be most of what is going on.
    return talk.length > LONG_TALK && !random.oneIn(8) ? talks[random.below(talks.length)] : talk;
  }
}

/** The port behind which the source address lives: by its last byte, for the addresses of policies.ts. */
function ownerOf(bytes: Uint8Array): number {
  const last = bytes[0] >> 4 === 6 ? bytes[23] : bytes[15];
  const first = bytes[0] >> 4 === 6 ? bytes[8] : bytes[12];
  if (first === 10 || first === 0xfd) {
    const host = bytes[0] >> 4 === 6 ? last - 0x10 : last - 10;
    return host >= 1 && host <= 3 ? host : -1;
  }
  return 0;
}

/**
 * Keeps the addresses that interfaces have learnt of names: (interface, address, name) and until when.
 *
 * Theory of operation
 *
 * Each packet loop has such a table in shared memory and is the only one that writes it. All loops read all tables: an
 * answer of a resolver may come to another loop than the connection that follows it. A loop has written what an answer
 * teaches before it hands on the answer, so the connection finds it.
 *
 * An entry may be anywhere in a window of WINDOW places, from the home of its address on. So nothing is ever moved, and
 * a reader that meets a writer can't be led astray. A word counts the changes of a place and is odd during one: who
 * sees it change has read nothing. All names of an address have one home, so a look-up reads one window.
 *
 * Bounds. An entry is free again when its time is over; nobody waits for the sweep. Each interface may have a number of
 * entries, and the table half as many as places. Where an interface or a window is full, the address is not learnt: an
 * address that is known never makes room for another one before its time. The hash is keyed, so nobody who chooses
 * addresses can fill one window.
 */
import { hashWords, type HashKey } from '../../conntrack/hash.ts';
import { hasNames, isNamedAt } from '../../policy/name-match.ts';
import { GATE_EGRESS, type CompiledPolicy } from '../../policy/compiled.ts';
import { hash2 } from '../../policy/word-table.ts';
import { hasInterface } from '../revocation.ts';
import { NAME_INTERFACE_FULL, NAME_LEARNT, NAME_RENEWED, NAME_TABLE_FULL } from './outcomes.ts';

/** About 1.3 MB, of which pages are taken as they are used. */
export const LEARNT_PLACES = 1 << 15;
const ENTRIES_MAX = LEARNT_PLACES / 2;
const WINDOW = 32;

const PLACE_WORDS = 10;
const VERSION = 0;
/** port << 4 | family; 0: the place is free. */
const OWNER = 1;
const ADDRESS = 2;
const NAME = 6;
const UNTIL_MS = 8;
/** How many answers have had it. */
const ANSWERS = 9;

const KEY_WORDS = 5;

export function learntBytes(): number {
  return 4 * LEARNT_PLACES * PLACE_WORDS;
}

export class LearntAddresses {
  // Of the place that `next` or `readPlace` has found.
  port = 0;
  family = 0;
  readonly address = new Int32Array(4);
  name0 = 0;
  name1 = 0;
  untilMs = 0;
  answers = 0;
  /** Entries, those included whose time is over and that the sweep has not met. Only the writer knows it. */
  count = 0;
  private readonly words: Int32Array;
  private readonly k0: number;
  private readonly k1: number;
  private readonly key = new Int32Array(KEY_WORDS);
  private readonly countByPort: Int32Array;
  private place = 0;
  private left = 0;
  private sweepAt = 0;

  /** @param ports number of ports, for the writer; 0 for a reader */
  constructor(memory: SharedArrayBuffer, key: HashKey, ports: number) {
    this.words = new Int32Array(memory);
    this.k0 = key.k0;
    this.k1 = key.k1;
    this.countByPort = new Int32Array(ports);
  }

  /** Aims at an address of an interface. `next` finds its names. */
  look(port: number, family: number, a0: number, a1: number, a2: number, a3: number): void {
    const { key } = this;
    key[0] = (port << 4) | family;
    key[1] = a0;
    key[2] = a1;
    key[3] = a2;
    key[4] = a3;
    this.place = hashWords(key, 0, KEY_WORDS, this.k0, this.k1) & (LEARNT_PLACES - 1);
    this.left = WINDOW;
  }

  /** Finds the next name that the address has now: name0 and name1. @returns false if there is no other */
  next(nowMs: number): boolean {
    const { key } = this;
    while (this.left > 0) {
      const place = this.place;
      this.left--;
      this.place = (place + 1) & (LEARNT_PLACES - 1);
      if (this.words[place * PLACE_WORDS + OWNER] !== key[0]) continue;
      if (!this.readPlace(place) || ((this.port << 4) | this.family) !== key[0]) continue;
      if (
        this.address[0] === key[1] &&
        this.address[1] === key[2] &&
        this.address[2] === key[3] &&
        this.address[3] === key[4] &&
        ((this.untilMs - nowMs) | 0) > 0
      )
        return true;
    }
    return false;
  }

  /** Reads an entry as it is at one moment. @returns false if the place is free, or is being written */
  readPlace(place: number): boolean {
    const { words, address } = this;
    const at = place * PLACE_WORDS;
    const version = Atomics.load(words, at + VERSION);
    const owner = Atomics.load(words, at + OWNER);
    if ((version & 1) !== 0 || owner === 0) return false;
    this.port = owner >>> 4;
    this.family = owner & 15;
    for (let i = 0; i < 4; i++) address[i] = Atomics.load(words, at + ADDRESS + i);
    this.name0 = Atomics.load(words, at + NAME);
    this.name1 = Atomics.load(words, at + NAME + 1);
    this.untilMs = Atomics.load(words, at + UNTIL_MS);
    this.answers = Atomics.load(words, at + ANSWERS);
    return Atomics.load(words, at + VERSION) === version;
  }

  /**
   * Learns that the address aimed at has a name. Only the loop that owns the table does.
   * @param portMax the most entries of an interface
   * @returns NAME_LEARNT, NAME_RENEWED, NAME_INTERFACE_FULL or NAME_TABLE_FULL
   */
  learn(name0: number, name1: number, untilMs: number, portMax: number, nowMs: number): number {
    const { words, key } = this;
    let free = -1;
    for (let i = 0; i < WINDOW; i++) {
      const at = ((this.place + i) & (LEARNT_PLACES - 1)) * PLACE_WORDS;
      if (words[at + OWNER] === key[0] && this.isAt(at, name0, name1)) {
        // A client may still hold an earlier answer that is good for longer.
        if (((untilMs - words[at + UNTIL_MS]) | 0) > 0)
          Atomics.store(words, at + UNTIL_MS, untilMs);
        Atomics.add(words, at + ANSWERS, 1);
        return NAME_RENEWED;
      }
      if (free < 0 && (words[at + OWNER] === 0 || this.isPast(at, nowMs))) free = at;
    }
    if (free < 0) return NAME_TABLE_FULL;
    if (words[free + OWNER] !== 0) this.clear(free);
    const port = key[0] >>> 4;
    if (this.countByPort[port] >= portMax) return NAME_INTERFACE_FULL;
    if (this.count >= ENTRIES_MAX) return NAME_TABLE_FULL;
    Atomics.add(words, free + VERSION, 1);
    Atomics.store(words, free + OWNER, key[0]);
    for (let i = 0; i < 4; i++) Atomics.store(words, free + ADDRESS + i, key[1 + i]);
    Atomics.store(words, free + NAME, name0);
    Atomics.store(words, free + NAME + 1, name1);
    Atomics.store(words, free + UNTIL_MS, untilMs);
    Atomics.store(words, free + ANSWERS, 1);
    Atomics.add(words, free + VERSION, 1);
    this.count++;
    this.countByPort[port]++;
    return NAME_LEARNT;
  }

  /** Frees entries whose time is over among the next so many places. */
  sweep(places: number, nowMs: number): void {
    if (this.count === 0) return;
    const { words } = this;
    for (let i = 0; i < places; i++) {
      const at = this.sweepAt * PLACE_WORDS;
      this.sweepAt = (this.sweepAt + 1) & (LEARNT_PLACES - 1);
      if (words[at + OWNER] !== 0 && this.isPast(at, nowMs)) this.clear(at);
    }
  }

  /**
   * Frees entries of interfaces that are gone, so that who gets their port learns for itself, and of names that no rule
   * of the interface has any more. The others stay.
   */
  keepFor(policy: CompiledPolicy): void {
    if (this.count === 0) return;
    const { words } = this;
    for (let at = 0; at < words.length; at += PLACE_WORDS) {
      if (words[at + OWNER] === 0) continue;
      const port = words[at + OWNER] >>> 4;
      if (!isNamed(policy, port, words[at + NAME], words[at + NAME + 1])) this.clear(at);
    }
  }

  /** Counts what was put into the memory before its loop began. The writer calls it once. */
  adopt(): void {
    const { words } = this;
    for (let at = 0; at < words.length; at += PLACE_WORDS) {
      if (words[at + OWNER] === 0) continue;
      this.count++;
      this.countByPort[words[at + OWNER] >>> 4]++;
    }
  }

  private isAt(at: number, name0: number, name1: number): boolean {
    const { words, key } = this;
    return (
      words[at + NAME] === name0 &&
      words[at + NAME + 1] === name1 &&
      words[at + ADDRESS] === key[1] &&
      words[at + ADDRESS + 1] === key[2] &&
      words[at + ADDRESS + 2] === key[3] &&
      words[at + ADDRESS + 3] === key[4]
    );
  }

  private isPast(at: number, nowMs: number): boolean {
    return ((this.words[at + UNTIL_MS] - nowMs) | 0) <= 0;
  }

  private clear(at: number): void {
    const { words } = this;
    this.count--;
    this.countByPort[words[at + OWNER] >>> 4]--;
    Atomics.add(words, at + VERSION, 1);
    Atomics.store(words, at + OWNER, 0);
    Atomics.add(words, at + VERSION, 1);
  }
}

/** Whether a rule of a port's interface has the name with this identity. */
export function isNamed(
  policy: CompiledPolicy,
  port: number,
  name0: number,
  name1: number,
): boolean {
  const { names, profiles } = policy;
  const gate = hasInterface(policy, port) ? 2 * profiles[port] + GATE_EGRESS : -1;
  if (!hasNames(names, gate)) return false;
  const place = names.places.get2(name0, name1, hash2(name0, name1));
  return place !== 0 && isNamedAt(names, gate, place - 1);
}

/**
 * The neighbour table of a TAP uplink: it knows the MAC addresses of next hops.
 *
 * Theory of operation
 *
 * Problem. Several hosts may be behind an uplink. Each of them can claim anything about MAC addresses, and none may
 * attract the others' traffic by it.
 *
 * What is believed. An entry is made only when a packet needs a next hop, never because somebody announced something.
 * It is INCOMPLETE until an answer (ARP reply, solicited neighbour advertisement) comes within ANSWER_MS of a
 * question of ours. REACHABLE_MS later the neighbour is asked again, at its own MAC address, while packets still go
 * there. If PROBES_MAX such questions get no answer, the entry is given up and everybody is asked. So a host that
 * answers for another's address gets nothing while that other one answers. If somebody announces the address with
 * another MAC address (gratuitous ARP, an override), the known neighbour is asked early, and nothing else changes. So
 * a router that failed over is found within some seconds. Nothing here protects the first question: ARP and neighbour
 * discovery can't (RFC 826, RFC 4861 section 11).
 *
 * Limits. There are SETS × WAYS entries. An entry in use (asked or confirmed lately) is never evicted from its set.
 * If all are in use, the new one is refused, and its packet is dropped as unresolved. A port may make CREATED_BURST
 * entries at once and then one every CREATED_MS, so an instance that scans a network takes a small part of the table.
 * An entry is asked for at most once every ASK_MS. The place in the table depends on a secret that is drawn at start.
 *
 * Sharing. Packet loops share the table, because the answer may come to another loop than the one that asked. A
 * writer locks an entry by making its version odd. If another writer has it, it gives up, which costs one question.
 * If the version changed during a read, the reader treats the entry as unknown. So no reader combines one neighbour's
 * address with another's MAC address.
 *
 * Time is the loop's clock, wrapped. Ages are unsigned, so a time slightly in the future (from another loop) counts
 * as old.
 */
import { randomInt } from 'node:crypto';

export const ASK_MS = 1000;
export const ANSWER_MS = 3000;
export const REACHABLE_MS = 30_000;
export const PROBES_MAX = 3;
export const CREATED_BURST = 32;
export const CREATED_MS = 50;

export const SETS = 256;
export const WAYS = 8;

/** What to ask after a lookup: nobody, everybody, or the neighbour itself. */
export const ASK_NOBODY = 0;
export const ASK_ALL = 1;
export const ASK_NEIGHBOUR = 2;

const ENTRY_WORDS = 12;
const VERSION = 0;
const STATE = 1;
const ADDRESS = 2;
const MAC_HIGH = 6;
const MAC_LOW = 7;
const CONFIRMED = 8;
const ASKED = 9;
/** Questions since the last answer. */
const ASKS = 10;

/** States, in the low bits. The bits above hold the family. */
const FREE = 0;
const INCOMPLETE = 1;
const KNOWN = 2;
const STATE_MASK = 3;
const FAMILY_SHIFT = 2;

const NONE = -1;

/** Creates the memory of a table that all loops share. */
export function createNeighbours(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(4 * (1 + SETS * WAYS * ENTRY_WORDS));
  new Int32Array(buffer)[SETS * WAYS * ENTRY_WORDS] = randomInt(2 ** 31);
  return buffer;
}

export class Neighbours {
  private readonly words: Int32Array;
  private readonly seed: number;
  /** By port: how far its new entries are paid for, as a time. At most CREATED_BURST entries ahead of now. */
  private readonly paidUntil: Int32Array;
  /** By port: 1 once it has made an entry. Until then paidUntil means nothing. */
  private readonly hasPaid: Uint8Array;
  /** The MAC address that lookUp found. */
  macHigh = 0;
  macLow = 0;
  /** Whom lookUp wants asked: ASK_… */
  ask = ASK_NOBODY;

  /**
   * @param memory from createNeighbours
   * @param ports number of ports
   */
  constructor(memory: SharedArrayBuffer, ports: number) {
    this.words = new Int32Array(memory);
    this.seed = this.words[SETS * WAYS * ENTRY_WORDS];
    this.paidUntil = new Int32Array(ports);
    this.hasPaid = new Uint8Array(ports);
  }

  /**
   * Looks a next hop up for a packet, and makes an entry if there is none. IPv4 addresses have a1 … a3 = 0.
   * @param port of the interface that the packet comes from
   * @returns whether the MAC address is known; `ask` says whom to ask, in either case
   */
  lookUp(
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    port: number,
    nowMs: number,
  ): boolean {
    this.ask = ASK_NOBODY;
    const { words } = this;
    const at = this.find(family, a0, a1, a2, a3);
    if (at === NONE) {
      this.create(family, a0, a1, a2, a3, port, nowMs);
      return false;
    }
    const version = Atomics.load(words, at + VERSION);
    const state = words[at + STATE];
    this.macHigh = words[at + MAC_HIGH];
    this.macLow = words[at + MAC_LOW];
    const confirmed = words[at + CONFIRMED];
    const asked = words[at + ASKED];
    if (
      (version & 1) !== 0 ||
      !this.isOf(at, family, a0, a1, a2, a3) ||
      Atomics.load(words, at + VERSION) !== version
    )
      return false;
    const isKnown = (state & STATE_MASK) === KNOWN;
    if (isKnown && (nowMs - confirmed) >>> 0 < REACHABLE_MS) return true;
    if ((nowMs - asked) >>> 0 < ASK_MS) return isKnown;
    return this.askAgain(at, version, state, nowMs);
  }

  /** Takes an answer. @returns whether we had asked and believe it */
  answer(
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    macHigh: number,
    macLow: number,
    nowMs: number,
  ): boolean {
    const { words } = this;
    const at = this.find(family, a0, a1, a2, a3);
    if (at === NONE) return false;
    const version = Atomics.load(words, at + VERSION);
    const isAsked = words[at + ASKS] > 0 && (nowMs - words[at + ASKED]) >>> 0 <= ANSWER_MS;
    const isKnown = (words[at + STATE] & STATE_MASK) === KNOWN;
    if (isKnown && (words[at + MAC_HIGH] !== macHigh || words[at + MAC_LOW] !== macLow)) {
      this.doubt(at, version, nowMs);
      return false;
    }
    if (!isAsked || !this.take(at, version)) return false;
    const isStill = this.isOf(at, family, a0, a1, a2, a3);
    if (isStill) {
      words[at + STATE] = (family << FAMILY_SHIFT) | KNOWN;
      words[at + MAC_HIGH] = macHigh;
      words[at + MAC_LOW] = macLow;
      words[at + CONFIRMED] = nowMs;
      words[at + ASKS] = 0;
    }
    this.give(at, version);
    return isStill;
  }

  /**
   * Takes an unasked claim on an address. If it names another MAC address than the known one, the known neighbour is
   * asked.
   */
  announce(
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    macHigh: number,
    macLow: number,
    nowMs: number,
  ): void {
    const { words } = this;
    const at = this.find(family, a0, a1, a2, a3);
    if (at === NONE || (words[at + STATE] & STATE_MASK) !== KNOWN) return;
    if (words[at + MAC_HIGH] === macHigh && words[at + MAC_LOW] === macLow) return;
    this.doubt(at, Atomics.load(words, at + VERSION), nowMs);
  }

  private find(family: number, a0: number, a1: number, a2: number, a3: number): number {
    const set = this.setOf(family, a0, a1, a2, a3);
    for (let way = 0; way < WAYS; way++) {
      const at = set + way * ENTRY_WORDS;
      if (this.isOf(at, family, a0, a1, a2, a3)) return at;
    }
    return NONE;
  }

  private isOf(
    at: number,
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): boolean {
    const { words } = this;
    return (
      words[at + ADDRESS] === a0 &&
      words[at + STATE] >>> FAMILY_SHIFT === family &&
      words[at + ADDRESS + 1] === a1 &&
      words[at + ADDRESS + 2] === a2 &&
      words[at + ADDRESS + 3] === a3
    );
  }

  private setOf(family: number, a0: number, a1: number, a2: number, a3: number): number {
    let hash = mix(this.seed ^ family, a0);
    hash = mix(hash, a1);
    hash = mix(hash, a2);
    hash = mix(hash, a3);
    hash ^= hash >>> 15;
    return (hash & (SETS - 1)) * WAYS * ENTRY_WORDS;
  }

  private create(
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    port: number,
    nowMs: number,
  ): void {
    const { words } = this;
    const at = this.findRoom(this.setOf(family, a0, a1, a2, a3), nowMs);
    if (at === NONE || !this.pay(port, nowMs)) return;
    const version = Atomics.load(words, at + VERSION);
    if (!this.take(at, version)) return;
    words[at + STATE] = (family << FAMILY_SHIFT) | INCOMPLETE;
    words[at + ADDRESS] = a0;
    words[at + ADDRESS + 1] = a1;
    words[at + ADDRESS + 2] = a2;
    words[at + ADDRESS + 3] = a3;
    words[at + MAC_HIGH] = 0;
    words[at + MAC_LOW] = 0;
    words[at + CONFIRMED] = nowMs;
    words[at + ASKED] = nowMs;
    words[at + ASKS] = 1;
    this.give(at, version);
    this.ask = ASK_ALL;
  }

  /**
   * A place in the set for a new entry: a free one, else the oldest unused one, incomplete ones first; NONE if all
   * are in use.
   */
  private findRoom(set: number, nowMs: number): number {
    const { words } = this;
    let found = NONE;
    let foundAge = 0;
    for (let way = 0; way < WAYS; way++) {
      const at = set + way * ENTRY_WORDS;
      const state = words[at + STATE] & STATE_MASK;
      if (state === FREE) return at;
      const idle = (nowMs - words[at + ASKED]) >>> 0;
      const isOld =
        idle > ANSWER_MS &&
        (state === INCOMPLETE || (nowMs - words[at + CONFIRMED]) >>> 0 >= REACHABLE_MS);
      if (!isOld) continue;
      // Incomplete entries count as older than all others.
      const age = (state === INCOMPLETE ? 0x100000000 : 0) + idle;
      if (age <= foundAge) continue;
      found = at;
      foundAge = age;
    }
    return found;
  }

  /** Takes one of the port's new entries. @returns false if its share is used up */
  private pay(port: number, nowMs: number): boolean {
    let ahead = (this.paidUntil[port] - nowMs) | 0;
    if (this.hasPaid[port] === 0 || ahead < 0 || ahead > CREATED_BURST * CREATED_MS) ahead = 0;
    if (ahead > (CREATED_BURST - 1) * CREATED_MS) return false;
    this.paidUntil[port] = (nowMs + ahead + CREATED_MS) | 0;
    this.hasPaid[port] = 1;
    return true;
  }

  /** Marks an entry as asked again, since its time has come. @returns whether its MAC address is still known */
  private askAgain(at: number, version: number, state: number, nowMs: number): boolean {
    const { words } = this;
    const isKnown = (state & STATE_MASK) === KNOWN;
    if (!this.take(at, version)) return isKnown;
    const isLost = isKnown && words[at + ASKS] >= PROBES_MAX;
    if (isLost) words[at + STATE] = (state & ~STATE_MASK) | INCOMPLETE;
    words[at + ASKS] = isLost ? 1 : Math.min(words[at + ASKS] + 1, PROBES_MAX);
    words[at + ASKED] = nowMs;
    this.give(at, version);
    const staysKnown = isKnown && !isLost;
    this.ask = staysKnown ? ASK_NEIGHBOUR : ASK_ALL;
    return staysKnown;
  }

  /** Makes the next packet ask a known neighbour again. */
  private doubt(at: number, version: number, nowMs: number): void {
    const { words } = this;
    if ((nowMs - words[at + CONFIRMED]) >>> 0 >= REACHABLE_MS || !this.take(at, version)) return;
    words[at + CONFIRMED] = (nowMs - REACHABLE_MS) | 0;
    this.give(at, version);
  }

  private take(at: number, version: number): boolean {
    return (
      (version & 1) === 0 &&
      Atomics.compareExchange(this.words, at + VERSION, version, version | 1) === version
    );
  }

  private give(at: number, version: number): void {
    Atomics.store(this.words, at + VERSION, (version + 2) | 0);
  }
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x9e3779b1);
  return mixed ^ (mixed >>> 16);
}

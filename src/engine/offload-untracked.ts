/**
 * Keeps what the fast path must know of flows that a gate lets pass by the rules alone (AWS, "Untracked connections").
 *
 * Theory of operation
 *
 * Problem. Such a flow has no entry at that gate. Both directions live by the rules, and the rules say the same of each
 * plain packet of a tuple as long as the policy is the same. So the kernel may forward its packets under one generation
 * of the policy. What an entry at the gate would have been told, somebody else must be told: hits of rules, which count
 * each packet of an untracked flow, and who opened a UDP flow (conntrack/udp-openers.ts), which must not be forgotten
 * while packets pass.
 *
 * A gate that tracks and one that doesn't is the usual pair: a server that everybody may reach, and its client. There
 * the entry in the kernel belongs to the one flow, whose window is checked, and goes with it. If neither gate tracks,
 * the entry is loose: it belongs to nobody, no window is checked, and it goes when it was idle for UNTRACKED_IDLE_MS.
 * Of TCP only a segment with data makes one, and what ends a connection takes it back: the last ACK of one that has
 * ended, of which nothing follows, must not fill the room.
 *
 * A direction passes in the kernel only after the loop has judged a packet of it under the policy in force. Then the
 * rules that admitted it are known. After a change of rules each direction waits for its next packet again.
 *
 * Limits. Anybody who may send by such rules can make loose entries, one a packet. So they have a quarter of the
 * entries at most, and what finds no room goes by the loop. While more than half of that is taken, an entry goes after
 * CROWDED_IDLE_MS: who floods us with one packet each of many flows keeps the others out no longer than that and a
 * round of the sweep.
 */
import { REVOKED_FLOW, STATE_COUNT } from '../conntrack/states.ts';
import type { UdpOpeners } from '../conntrack/udp-openers.ts';
import { BY_RULES, PASSES_FROM_LOWER, PASSES_FROM_UPPER, UNCHECKED } from '../offload/layout.ts';
import type { RuleHits } from './rule-hits.ts';

/** No rule: the gate has a flow, or has not been asked. */
export const NO_RULE_HERE = -1;
/** How long an entry is kept, and passes packets, without one. It comes back with the next packet. */
export const UNTRACKED_IDLE_MS = 30_000;
/** The same while there are many. */
export const CROWDED_IDLE_MS = 1000;
/** Of all entries, one in so many may be loose. */
const LOOSE_SHARE = 4;
/** Entries that a tick looks at: a round of 65,536 takes 13 s. */
const SWEEP_ENTRIES = 256;
/** The same while there are many: 3 s. */
const CROWDED_SWEEP_ENTRIES = 1024;
/** Words of an entry's rules: for the lower end's packets at the sender's and the receiver's gate, then the upper's. */
const RULE_WORDS = 4;

export interface UntrackedParts {
  readonly ruleHits: RuleHits;
  readonly udpOpeners: UdpOpeners;
  /** Idle time-outs: timeoutsMs[port * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
}

export class UntrackedEntries {
  /** Loose entries that the kernel has. */
  loose = 0;
  /** Of the packet that is judged: the rules by which its gates have let it pass untracked. */
  ruleAtEgress = NO_RULE_HERE;
  ruleAtIngress = NO_RULE_HERE;
  private readonly parts: UntrackedParts;
  private readonly first: number;
  private readonly capacity: number;
  /** By entry: from which ends packets have been judged under the entry's generation. */
  private readonly seen: Uint8Array;
  private readonly rules: Int32Array;
  private sweepAt = 0;

  /**
   * @param first number of the loop's first entry
   * @param capacity how many it has
   */
  constructor(parts: UntrackedParts, first: number, capacity: number) {
    this.parts = parts;
    this.first = first;
    this.capacity = capacity;
    this.seen = new Uint8Array(capacity);
    this.rules = new Int32Array(RULE_WORDS * capacity).fill(NO_RULE_HERE);
  }

  /** Whether there may be one loose entry more. */
  get hasRoom(): boolean {
    return this.loose < this.capacity / LOOSE_SHARE;
  }

  /** Begins a packet. */
  begin(): void {
    this.ruleAtEgress = NO_RULE_HERE;
    this.ruleAtIngress = NO_RULE_HERE;
  }

  /** Forgets what was judged of an entry. */
  forget(entry: number): void {
    const at = entry - this.first;
    this.seen[at] = 0;
    this.rules.fill(NO_RULE_HERE, RULE_WORDS * at, RULE_WORDS * (at + 1));
  }

  /** Notes that the packet which is judged has passed. Where both gates track, no direction waits for one. */
  see(entry: number, isLower: boolean, isTracked: boolean): void {
    const at = entry - this.first;
    if (isTracked) {
      this.seen[at] = PASSES_FROM_LOWER | PASSES_FROM_UPPER;
      return;
    }
    this.seen[at] |= isLower ? PASSES_FROM_LOWER : PASSES_FROM_UPPER;
    const word = RULE_WORDS * at + (isLower ? 0 : 2);
    this.rules[word] = this.ruleAtEgress;
    this.rules[word + 1] = this.ruleAtIngress;
  }

  /** Flags without the directions of which no packet has been judged yet. */
  asSeen(entry: number, flags: number): number {
    return flags & (BY_RULES | UNCHECKED | this.seen[entry - this.first]);
  }

  /**
   * Takes in that the kernel has forwarded packets of an entry, from an end.
   * @param side 0: the lower end has sent them
   * @param from the sender's port
   * @param to the receiver's
   * @param hash of the tuple
   * @param seenMs when the last one passed
   */
  count(
    entry: number,
    side: number,
    from: number,
    to: number,
    packets: number,
    isUdp: boolean,
    hash: number,
    seenMs: number,
  ): void {
    const word = RULE_WORDS * (entry - this.first) + 2 * side;
    this.countAt(this.rules[word], from, true, packets, isUdp, hash, seenMs);
    this.countAt(this.rules[word + 1], to, false, packets, isUdp, hash, seenMs);
  }

  /** The next entry to hold against its time-out; `steps` times a tick. */
  nextToSweep(): number {
    const entry = this.first + this.sweepAt;
    this.sweepAt = this.sweepAt + 1 === this.capacity ? 0 : this.sweepAt + 1;
    return entry;
  }

  /** How many entries a tick looks at. */
  get steps(): number {
    if (this.loose === 0) return 0;
    const wanted = this.isCrowded ? CROWDED_SWEEP_ENTRIES : SWEEP_ENTRIES;
    return wanted < this.capacity ? wanted : this.capacity;
  }

  /** How long a loose entry may be idle now. */
  get idleMs(): number {
    return this.isCrowded ? CROWDED_IDLE_MS : UNTRACKED_IDLE_MS;
  }

  private get isCrowded(): boolean {
    return this.loose > this.capacity / LOOSE_SHARE / 2;
  }

  private countAt(
    rule: number,
    port: number,
    fromLocal: boolean,
    packets: number,
    isUdp: boolean,
    hash: number,
    seenMs: number,
  ): void {
    if (rule === NO_RULE_HERE) return;
    const { ruleHits, udpOpeners, timeoutsMs } = this.parts;
    ruleHits.add(rule, packets);
    if (!isUdp) return;
    const idleMs = timeoutsMs[port * STATE_COUNT + REVOKED_FLOW];
    udpOpeners.note(hash, port, fromLocal, false, idleMs, seenMs);
  }
}

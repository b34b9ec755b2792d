/**
 * Reads and writes a flow outside a table: the words of its entry, with its age in place of the moment it was last
 * seen. Files that keep flows from one process to the next hold such records (service/snapshot.ts).
 */
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import {
  ENTRY_LAYOUT,
  FLOW_SEEN,
  FLOW_STATE,
  INCARNATION_MASK,
  KEY_ADDRESSES,
  KEY_ASKS_LOCALLY,
  KEY_META,
  KEY_WORDS_4,
  KEY_WORDS_6,
  ruleIn,
  ruleWordAt,
  seenAt,
  setRuleWordAt,
  setSeenAt,
  setStateWordAt,
  STATE_WORDS,
  stateWordAt,
  type FlowFamily,
  type FlowIndex,
} from './entry.ts';
import {
  ICMP_QUERY_FLOW,
  NAME_MARKS,
  OTHER,
  REVOKED_FLOW,
  STATE_MASK,
  STATE_NAMES,
  TCP_CLOSED,
  TCP_SYN_SENT,
  UDP_SINGLE,
  UDP_STREAM,
} from './states.ts';
import type { FlowTable } from './table.ts';
import { revokedState } from './track.ts';

/** All numbers that the words of a record depend on. Another version of the program may have others. */
export const RECORD_LAYOUT: readonly unknown[] = [...ENTRY_LAYOUT, STATE_NAMES];

const PROTOCOL_MASK = 0xff;
/** Bits of KEY_META between the role and the port, which no key has. */
const META_UNUSED = 0xfe00;

/** Words of a record. */
export function recordWords(family: FlowFamily): number {
  return recordMark(family) + STATE_WORDS;
}

/** The number that stands for the family in a file: the words of a record's key. */
export function recordMark(family: FlowFamily): number {
  return family === 4 ? KEY_WORDS_4 : KEY_WORDS_6;
}

/** The family that this number stands for in a file, or undefined. */
export function familyOfMark(mark: number): FlowFamily | undefined {
  if (mark === KEY_WORDS_4) return 4;
  return mark === KEY_WORDS_6 ? 6 : undefined;
}

/** Writes the record of a flow in use: recordWords(family) words, from to[at] on. */
export function writeRecord(
  table: FlowTable,
  flow: FlowIndex,
  nowMs: number,
  to: Int32Array,
  at: number,
): void {
  const { words, stride, keyWords } = table;
  for (let i = 0; i < stride; i++) to[at + i] = words[flow * stride + i];
  const seen = at + keyWords + FLOW_SEEN;
  to[seen] = (nowMs - to[seen]) | 0;
}

export class FlowRecord {
  readonly key: Int32Array;
  /** All of it: recordWords(family). */
  readonly words: Int32Array;
  /** Where the state begins. */
  private readonly at: number;

  /** @param words exactly one record. They are not copied: reads and writes go to them. */
  constructor(words: Int32Array) {
    this.words = words;
    this.at = words.length - STATE_WORDS;
    this.key = words.subarray(0, this.at);
  }

  get port(): number {
    return this.key[KEY_META] >>> 16;
  }

  set port(port: number) {
    this.key[KEY_META] = (port << 16) | (this.key[KEY_META] & 0xffff);
  }

  get family(): FlowFamily {
    return this.key.length === KEY_WORDS_4 ? 4 : 6;
  }

  /** The words of the local address. */
  get localAddress(): Int32Array {
    return this.key.subarray(KEY_ADDRESSES, (KEY_ADDRESSES + this.key.length) / 2);
  }

  /** The words of the remote address. */
  get remoteAddress(): Int32Array {
    return this.key.subarray((KEY_ADDRESSES + this.key.length) / 2);
  }

  /** Ends the flow: it is revoked wherever it is taken to. */
  revoke(): void {
    setStateWordAt(this.words, this.at, revokedState(this.stateWord));
  }

  /** Whether a tracker can have such an entry: who asks it of a record has it from somebody who may have made it up. */
  get isSound(): boolean {
    const meta = this.key[KEY_META];
    const protocol = meta & PROTOCOL_MASK;
    const isIcmp = protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
    if ((meta & META_UNUSED) !== 0 || ((meta & KEY_ASKS_LOCALLY) !== 0 && !isIcmp)) return false;
    if (this.stateWord < 0 || this.ageMs < 0) return false;
    const state = this.stateWord & STATE_MASK;
    if (state === REVOKED_FLOW) return true;
    if (protocol !== PROTO_TCP && (this.stateWord & NAME_MARKS) !== 0) return false;
    if (protocol === PROTO_TCP) return state >= TCP_SYN_SENT && state <= TCP_CLOSED;
    if (protocol === PROTO_UDP) return state === UDP_SINGLE || state === UDP_STREAM;
    return state === (isIcmp ? ICMP_QUERY_FLOW : OTHER);
  }

  get stateWord(): number {
    return stateWordAt(this.words, this.at);
  }

  get rule(): number {
    return ruleIn(ruleWordAt(this.words, this.at));
  }

  get ageMs(): number {
    return seenAt(this.words, this.at);
  }

  set ageMs(ageMs: number) {
    setSeenAt(this.words, this.at, ageMs);
  }

  /**
   * Writes the record's state into the entry that was inserted for its key. The entry keeps its own incarnation.
   * @param seen its "last seen" word; an age, where the packet loop converts it to its own clock later
   */
  fill(table: FlowTable, flow: FlowIndex, seen: number, ruleWord: number): void {
    const { words, at } = this;
    const place = flow * table.stride + table.keyWords;
    const incarnation = table.words[place + FLOW_STATE] & INCARNATION_MASK;
    for (let i = 0; i < STATE_WORDS; i++) table.words[place + i] = words[at + i];
    setStateWordAt(table.words, place, (this.stateWord & ~INCARNATION_MASK) | incarnation);
    setSeenAt(table.words, place, seen);
    setRuleWordAt(table.words, place, ruleWord);
  }
}

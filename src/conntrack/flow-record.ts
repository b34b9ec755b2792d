/**
 * Reads and writes a flow outside a table: the words of its entry, with its age in place of the moment it was last
 * seen. Files that keep flows from one process to the next hold such records (service/snapshot.ts).
 */
import {
  ENTRY_LAYOUT,
  FLOW_SEEN,
  FLOW_STATE,
  INCARNATION_MASK,
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
import { STATE_NAMES } from './states.ts';
import type { FlowTable } from './table.ts';

/** All numbers that the words of a record depend on. Another version of the program may have others. */
export const RECORD_LAYOUT: readonly unknown[] = [...ENTRY_LAYOUT, STATE_NAMES];

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
  private readonly words: Int32Array;
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

  get stateWord(): number {
    return stateWordAt(this.words, this.at);
  }

  get rule(): number {
    return ruleIn(ruleWordAt(this.words, this.at));
  }

  get ageMs(): number {
    return seenAt(this.words, this.at);
  }

  /**
   * Writes the record's state into the entry that was inserted for its key. The entry keeps its own incarnation. Its
   * "last seen" word holds an age until the packet loop converts it to its own clock.
   */
  fill(table: FlowTable, flow: FlowIndex, ageMs: number, ruleWord: number): void {
    const { words, at } = this;
    const place = flow * table.stride + table.keyWords;
    const incarnation = table.words[place + FLOW_STATE] & INCARNATION_MASK;
    for (let i = 0; i < STATE_WORDS; i++) table.words[place + i] = words[at + i];
    setStateWordAt(table.words, place, (this.stateWord & ~INCARNATION_MASK) | incarnation);
    setSeenAt(table.words, place, ageMs);
    setRuleWordAt(table.words, place, ruleWord);
  }
}

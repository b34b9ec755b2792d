/**
 * Defines the layout of a flow entry, and the functions that read and write its fields.
 *
 * An entry is a key, then a state. The key says who talks: interface, protocol and role; ports; local address; remote
 * address. It takes 4 words in an IPv4 table and 10 in an IPv6 one. The state takes STATE_WORDS words: when the flow
 * was last seen, its state word, its rule word, and what TCP needs.
 *
 * There are two ways to name an entry. Functions whose names end in …Of take a table and an entry number: that is the
 * usual way. Functions whose names end in …At take the table's words and the place of the entry's state in them
 * (`placeOf`). The packet path computes that place once a packet and hands it to the state machines (track.ts,
 * tcp.ts). The functions are small enough for V8 to inline them: they cost what the arithmetic costs.
 *
 * No file outside this folder knows an offset; test/house/entry-offsets.test.ts checks that.
 */
import { STATE_MASK } from './states.ts';

/** Number of an entry in its table. An index slot and a word offset are other numbers. */
export type FlowIndex = number;

export const NO_FLOW: FlowIndex = -1;

/** IP version. */
export type FlowFamily = 4 | 6;

// Key words, from the entry's start.
/** port << 16 | role << 8 | protocol */
export const KEY_META = 0;
/** The role bit of KEY_META: the local side asks (ICMP queries). */
export const KEY_ASKS_LOCALLY = 1 << 8;
/** local port << 16 | remote port */
export const KEY_PORTS = 1;
/** The local address, then the remote one. Each takes one word in IPv4 and four in IPv6. */
export const KEY_ADDRESSES = 2;
export const KEY_WORDS_4 = 4;
export const KEY_WORDS_6 = 10;

// State words, from the place of the entry's state.
/** nowMs of the packet that last kept the flow alive. */
export const FLOW_SEEN = 0;
/**
 * The state word: state in bits 0–4, marks, flags and window scales in bits 5–23 (states.ts), incarnation in bits
 * 24–30. A free entry has state 0.
 */
export const FLOW_STATE = 1;
/**
 * The rule word: bits 0–19 hold the number of the rule that admitted the flow, bits 20–31 the policy generation
 * modulo 4096.
 */
export const FLOW_RULE = 2;

// Only TCP uses these words (tcp.ts): three for the side that opened, three for the other.
export const TCP_OPENER = 3;
export const TCP_OTHER = 6;
/** Highest sequence number that the side sent, plus one; highest that it may send; highest that it acknowledged. */
export const TCP_SIDE_END = 0;
export const TCP_SIDE_MAX_END = 1;
export const TCP_SIDE_ACK = 2;
// In SYN_SENT (the opener's SYN is unanswered) two of these words hold something else, since an entry has no word to
// spare.
/** In SYN_SENT: the sequence number behind the SYN alone, without its data. Later: what the opener has acknowledged. */
export const TCP_BEHIND_SYN = TCP_OPENER + TCP_SIDE_ACK;
/**
 * In SYN_SENT: the window that the SYN offers, in bytes. Later: the highest sequence number that the other side may
 * send.
 */
export const TCP_SYN_WINDOW = TCP_OTHER + TCP_SIDE_MAX_END;
/** Largest window offered, in units of its scale: the opener's in the high 16 bits, the other's in the low. */
export const TCP_WINDOWS = 9;
export const STATE_WORDS = 10;

/** All numbers that the words of an entry depend on. A file of flow records holds them too (flow-record.ts). */
export const ENTRY_LAYOUT = [
  KEY_WORDS_4,
  KEY_WORDS_6,
  STATE_WORDS,
  [KEY_META, KEY_PORTS, KEY_ADDRESSES],
  [FLOW_SEEN, FLOW_STATE, FLOW_RULE, TCP_OPENER, TCP_OTHER],
  [TCP_SIDE_END, TCP_SIDE_MAX_END, TCP_SIDE_ACK, TCP_WINDOWS],
] as const;

const INCARNATION_SHIFT = 24;
/** The incarnation in a state word. It distinguishes flows that use the same entry one after the other. */
export const INCARNATION_MASK = 0x7f << INCARNATION_SHIFT;

const RULE_BITS = 20;
const RULE_MASK = (1 << RULE_BITS) - 1;
const GENERATION_MASK = 0xfff;
/** Rule number of a flow that no rule admitted: one to the platform, which groups do not filter. */
export const RULE_PLATFORM = RULE_MASK;

/** The slab of a flow table: entry e begins at word e * stride. */
export interface FlowSlab {
  readonly words: Int32Array;
  readonly keyWords: number;
  /** Words of an entry. */
  readonly stride: number;
}

/** The place of an entry's state in its table's words: the argument `at` of the functions whose names end in …At. */
export function placeOf(table: FlowSlab, flow: FlowIndex): number {
  return flow * table.stride + table.keyWords;
}

export function stateWordAt(words: Int32Array, at: number): number {
  return words[at + FLOW_STATE];
}

export function setStateWordAt(words: Int32Array, at: number, word: number): void {
  words[at + FLOW_STATE] = word;
}

export function seenAt(words: Int32Array, at: number): number {
  return words[at + FLOW_SEEN];
}

export function setSeenAt(words: Int32Array, at: number, nowMs: number): void {
  words[at + FLOW_SEEN] = nowMs;
}

export function ruleWordAt(words: Int32Array, at: number): number {
  return words[at + FLOW_RULE];
}

export function setRuleWordAt(words: Int32Array, at: number, word: number): void {
  words[at + FLOW_RULE] = word;
}

/** State, flags, window scales and incarnation in one word (FLOW_STATE). */
export function stateWordOf(table: FlowSlab, flow: FlowIndex): number {
  return stateWordAt(table.words, placeOf(table, flow));
}

export function setStateWordOf(table: FlowSlab, flow: FlowIndex, word: number): void {
  setStateWordAt(table.words, placeOf(table, flow), word);
}

/** The state alone (states.ts). 0 for a free entry. */
export function stateOf(table: FlowSlab, flow: FlowIndex): number {
  return stateWordOf(table, flow) & STATE_MASK;
}

export function isUsed(table: FlowSlab, flow: FlowIndex): boolean {
  return stateOf(table, flow) !== 0;
}

/** When the packet that last kept the flow alive came (nowMs). */
export function seenOf(table: FlowSlab, flow: FlowIndex): number {
  return seenAt(table.words, placeOf(table, flow));
}

export function setSeenOf(table: FlowSlab, flow: FlowIndex, nowMs: number): void {
  setSeenAt(table.words, placeOf(table, flow), nowMs);
}

/** How long nothing has kept the flow alive. */
export function idleMsOf(table: FlowSlab, flow: FlowIndex, nowMs: number): number {
  return (nowMs - seenOf(table, flow)) | 0;
}

/** Rule number and policy generation in one word (packRule). */
export function ruleWordOf(table: FlowSlab, flow: FlowIndex): number {
  return ruleWordAt(table.words, placeOf(table, flow));
}

export function setRuleWordOf(table: FlowSlab, flow: FlowIndex, word: number): void {
  setRuleWordAt(table.words, placeOf(table, flow), word);
}

/** Number of the rule that admitted the flow, or RULE_PLATFORM. */
export function ruleOf(table: FlowSlab, flow: FlowIndex): number {
  return ruleIn(ruleWordOf(table, flow));
}

/** Port number of the flow's interface. */
export function portOf(table: FlowSlab, flow: FlowIndex): number {
  return table.words[flow * table.stride + KEY_META] >>> 16;
}

/** Transport protocol (IANA). */
export function protocolOf(table: FlowSlab, flow: FlowIndex): number {
  return table.words[flow * table.stride + KEY_META] & 0xff;
}

/** Whether the local side asks, for an ICMP query. */
export function asksLocally(table: FlowSlab, flow: FlowIndex): boolean {
  return (table.words[flow * table.stride + KEY_META] & KEY_ASKS_LOCALLY) !== 0;
}

export function localPortOf(table: FlowSlab, flow: FlowIndex): number {
  return table.words[flow * table.stride + KEY_PORTS] >>> 16;
}

export function remotePortOf(table: FlowSlab, flow: FlowIndex): number {
  return table.words[flow * table.stride + KEY_PORTS] & 0xffff;
}

/** Words of an address. */
export function addressWordsOf(table: FlowSlab): number {
  return table.keyWords === KEY_WORDS_4 ? 1 : 4;
}

/** Where the local address begins in the table's words. */
export function localAddressAt(table: FlowSlab, flow: FlowIndex): number {
  return flow * table.stride + KEY_ADDRESSES;
}

/** Where the remote address begins in the table's words. */
export function remoteAddressAt(table: FlowSlab, flow: FlowIndex): number {
  return localAddressAt(table, flow) + addressWordsOf(table);
}

/** The incarnation in a state word, 0 to 127. */
export function incarnationIn(stateWord: number): number {
  return (stateWord & INCARNATION_MASK) >>> INCARNATION_SHIFT;
}

/** The rule number in a rule word. */
export function ruleIn(ruleWord: number): number {
  return ruleWord & RULE_MASK;
}

/** The policy generation in a rule word, wrapped as by wrapGeneration. */
export function generationIn(ruleWord: number): number {
  return ruleWord >>> RULE_BITS;
}

/** The part of a policy generation that an entry keeps. */
export function wrapGeneration(generation: number): number {
  return generation & GENERATION_MASK;
}

/** The rule word of a flow that `rule` admitted under `generation` of the policy. */
export function packRule(rule: number, generation: number): number {
  return rule | (generation << RULE_BITS);
}

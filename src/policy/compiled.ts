/**
 * What the packet path asks instead of rules: arrays that compile.ts makes and match.ts reads.
 *
 * Plain data over typed arrays, so that a structured clone hands it to the worker.
 *
 * A *profile* is a distinct set of groups on an interface; interfaces with the same groups share one. A
 * *gate* is a profile in one direction: 2 * profile + GATE_INGRESS or GATE_EGRESS. A *peer* is a number
 * for a CIDR, a prefix list or a group; PEER_ANY_4 and PEER_ANY_6 are the literal 0.0.0.0/0 and ::/0.
 *
 * Ports are covered by the nodes of a 16-ary tree over 0–65535 (5 levels: all, 4, 8, 12, 16 bits): a
 * single port is one node, a range at most 104. ICMP types and codes use the same tree as type << 8 | code.
 * `rules` maps (gate, protocol and node, peer) to a rule, but one rule of each peer stands in `peerRules`; the
 * addresses map to peers by prefix length. So a question costs (lengths in use) + (levels in use × peers of
 * that address) probes, however many rules there are and whatever traffic came before; a group's members change
 * without its rules. Large tables are out of the processor's caches, where a probe that finds nothing costs as
 * much as one that does: `levels` and the prefix tables' filters, which are small, spare most of those.
 *
 * Rejected: searching rules (linear), tuple space search with a cache (its cost can be driven by
 * traffic, CVE-2019-25076), a table of port segments × address classes (quadratic in rules, recompiled
 * as a whole), one entry per port (65,536 for a range).
 */
import { WordTable } from './word-table.ts';

export const GATE_INGRESS = 0;
export const GATE_EGRESS = 1;

export const PEER_ANY_4 = 1;
export const PEER_ANY_6 = 2;
export const PEER_FIRST = 3;

/** Protocol column of rules for every protocol, behind 0–255. */
export const PROTOCOL_COLUMN_ALL = 256;
export const PROTOCOL_COLUMNS = 257;

/** Bits of a port that level 0, 1, … 4 of the tree look at: 4 * level. */
export const PORT_LEVELS = 5;
export const LEVEL_BITS = 4;
export const PORT_BITS = 16;

/** Where the levels of PEER_ANY_4 and PEER_ANY_6 begin in `levels`, and the mask of each of its three parts. */
export const LEVELS_ANY_4 = 5;
export const LEVELS_ANY_6 = 10;
export const LEVELS_MASK = 31;
export const LEVEL_PEER_RULES = 15;

export const UPLINK_PORT = 0;

export const REVOKE_AWS = 0;
export const REVOKE_RECHECK = 1;
export const REVOKE_CUT = 2;

/** Rule numbers fit the 20 bits that a flow entry has for them. */
export const RULES_MAX = 1 << 20;

/** Peers by address: for each prefix length in use, longest first, (length, masked address) → peers. */
export interface PrefixTable {
  readonly lengths: Uint8Array;
  /** Masks of those lengths: as many int32 words a length as an address has. */
  readonly masks: Int32Array;
  /**
   * Key: prefix length, address words. Value: a peer; or, where there are several, minus (index into `lists`
   * plus 1) of them.
   */
  readonly table: WordTable;
  /**
   * A bit a key: bit (hash of the key) >>> filterShift. It has at least eight times as many bits as the table has
   * keys, so it says of most prefixes that are not there that they are not, in a fraction of the table's memory.
   */
  readonly filter: Int32Array;
  readonly filterShift: number;
}

/** Words of `peerRules` a peer, and where among them the rule and the count of others are. */
export const PEER_RULE_WORDS = 4;
export const PEER_RULE_RULE = 2;
export const PEER_RULE_MORE = 3;

export interface CompiledPolicy {
  /** Changes with every policy; flow entries remember it modulo 4096. */
  readonly generation: number;
  /**
   * By peer (but for PEER_ANY_4 and PEER_ANY_6) one rule of those that name it, 4 words: ruleHome; rulePorts; the
   * rule's number plus 1, or 0; and how many more of its rules there are in `rules`.
   */
  readonly peerRules: Int32Array;
  /**
   * The rules that are not in `peerRules`.
   * Key: gate; protocol column << 20 | level << 16 | port >> (16 - 4 * level); peer.
   * Value: the rule's number plus 1; or, where several rules share the key, minus (index into `lists`
   * plus 1) of their numbers plus 1, the one written first in front.
   */
  readonly rules: WordTable;
  /**
   * levels[gate * PROTOCOL_COLUMNS + column]: bit n is set if `rules` has a node of level n of some peer there; bit
   * LEVELS_ANY_4 + n, or LEVELS_ANY_6 + n, if it has one of PEER_ANY_4 or PEER_ANY_6; bit LEVEL_PEER_RULES if
   * `peerRules` has a rule there.
   */
  readonly levels: Uint16Array;
  readonly prefixes4: PrefixTable;
  readonly prefixes6: PrefixTable;
  /** Lists of peers, and of rules: a count, then that many. */
  readonly lists: Int32Array;
  /** open[gate * 4 + openColumn(family, protocol)] is 1 if a rule admits all ports from or to a literal /0. */
  readonly open: Uint8Array;

  /** By rule number: REVOKE_AWS, REVOKE_RECHECK or REVOKE_CUT; rules that are gone keep what they had. */
  readonly revocation: Uint8Array;

  /** By port. Port 0 is the uplink; interfaces have the others. -1: no interface has it. */
  readonly profiles: Int32Array;
  readonly sourceDestCheck: Uint8Array;
  /** 1: flows of the interface are tracked whatever the rules (NetworkInterface.alwaysTracked). */
  readonly alwaysTracked: Uint8Array;
  /**
   * TCP ports that were untracked under earlier policies (untracked-past.ts), as from << 16 | to: those of list l of a
   * port are pastRanges[pastStarts[4 * port + l]] up to where the next list starts.
   */
  readonly pastStarts: Int32Array;
  readonly pastRanges: Int32Array;
  /** Address words → port of the interface. */
  readonly hosts4: WordTable;
  readonly hosts6: WordTable;
  /** Address words → what the address is besides a host's (special-addresses.ts). */
  readonly special4: WordTable;
  readonly special6: WordTable;
  /** 240.0.0.0/4 is as any unicast block. */
  readonly allowsClassE: boolean;
}

/** Where a rule is, as one word of `peerRules`. */
export function ruleHome(gate: number, column: number): number {
  return (gate << 9) | column;
}

/** Its ports (ICMP: type << 8 | code), both included, as one word. */
export function rulePorts(from: number, to: number): number {
  return (from << 16) | to;
}

/** Column of `open` for TCP or UDP in a family; -1 for other protocols, whose flows are always tracked. */
export function openColumn(family: number, protocol: number): number {
  if (protocol !== 6 && protocol !== 17) return -1;
  return (family === 6 ? 2 : 0) + (protocol === 17 ? 1 : 0);
}

/** Gives a policy that came through a structured clone its tables' methods back. Copies no array. */
export function restorePolicy(plain: CompiledPolicy): CompiledPolicy {
  return {
    ...plain,
    rules: WordTable.makeFrom(plain.rules),
    prefixes4: { ...plain.prefixes4, table: WordTable.makeFrom(plain.prefixes4.table) },
    prefixes6: { ...plain.prefixes6, table: WordTable.makeFrom(plain.prefixes6.table) },
    hosts4: WordTable.makeFrom(plain.hosts4),
    hosts6: WordTable.makeFrom(plain.hosts6),
    special4: WordTable.makeFrom(plain.special4),
    special6: WordTable.makeFrom(plain.special6),
  };
}

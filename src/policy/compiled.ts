/**
 * Defines the compiled policy: the arrays that compile.ts makes and match.ts reads on the packet path in place of
 * rules.
 *
 * It is plain data over typed arrays, so a structured clone passes it to the worker.
 *
 * A *profile* is a distinct set of groups on an interface; interfaces with the same groups share one. A *gate* is a
 * profile in one direction: 2 * profile + GATE_INGRESS or GATE_EGRESS. A *peer* is a number for a CIDR, a prefix list
 * a group or a DNS name; PEER_ANY_4 and PEER_ANY_6 stand for exactly 0.0.0.0/0 and ::/0.
 *
 * Nodes of a 16-ary tree over 0–65535 cover ports (5 levels: all, then 4, 8, 12, 16 bits). A single port is one node,
 * a range at most 104. ICMP types and codes use the same tree, as type << 8 | code. `rules` maps (gate, protocol and
 * node, peer) to a rule, but one rule of each peer is in `peerRules`. Addresses map to peers by prefix length. So a
 * match costs (lengths in use) + (levels in use × peers of that address) lookups, however many rules there are and
 * whatever traffic came before. And a group's members change without its rules. Large tables do not fit the
 * processor's caches, and there a lookup that finds nothing costs as much as one that does. `levels` and the prefix
 * tables' filters are small, and avoid most of those.
 *
 * Rejected: searching rules (linear). Rejected: tuple space search with a cache (traffic can drive its cost,
 * CVE-2019-25076). Rejected: a table of port segments × address classes (quadratic in rules, recompiled as a whole).
 * Rejected: one entry per port (65,536 for a range).
 */
import { restoreNames, type CompiledNames } from './compiled-names.ts';
import { WordTable } from './word-table.ts';

export const GATE_INGRESS = 0;
export const GATE_EGRESS = 1;

export const PEER_ANY_4 = 1;
export const PEER_ANY_6 = 2;
export const PEER_FIRST = 3;

/** The protocol column of rules for all protocols, behind columns 0–255. */
export const PROTOCOL_COLUMN_ALL = 256;
export const PROTOCOL_COLUMNS = 257;

/** Levels of the port tree. Level n distinguishes ports by their first LEVEL_BITS * n bits. */
export const PORT_LEVELS = 5;
export const LEVEL_BITS = 4;
export const PORT_BITS = 16;

/** The bits in `levels` at which PEER_ANY_4 and PEER_ANY_6 begin, and the mask of each of its three parts. */
export const LEVELS_ANY_4 = 5;
export const LEVELS_ANY_6 = 10;
export const LEVELS_MASK = 31;
export const LEVEL_PEER_RULES = 15;

export const UPLINK_PORT = 0;

/** Of CompiledPolicy.platformPort: services of the platform are reached by the uplink. */
export const NO_PLATFORM_PORT = -1;

/**
 * The most ports at once, with the uplink. The shared counters and time-outs have room for so many: 0.8 KB each, of
 * memory that is taken as it is used. Interface numbers in flow keys would allow 65,535.
 */
export const PORTS_MAX = 8192;

export const REVOKE_AWS = 0;
export const REVOKE_RECHECK = 1;
export const REVOKE_CUT = 2;
/** The rule only audits (audit.ts): REVOKE_AUDIT + GATE_INGRESS or GATE_EGRESS. */
export const REVOKE_AUDIT = 3;

/** A flow entry has 20 bits for the rule number. */
export const RULES_MAX = 1 << 20;

/** Peers by address. For each prefix length in use, longest first, it maps (length, masked address) to peers. */
export interface PrefixTable {
  readonly lengths: Uint8Array;
  /** Masks of those lengths. A mask has as many int32 words as an address. */
  readonly masks: Int32Array;
  /** Key: prefix length, address words. Value: a peer; or, for several peers, minus (index into `lists` plus 1). */
  readonly table: WordTable;
  /**
   * The filter has one bit for each key: bit (hash of the key) >>> filterShift. It has at least eight times as many
   * bits as the table has keys. So it shows for most missing prefixes that they are missing, in a fraction of the
   * table's memory.
   */
  readonly filter: Int32Array;
  readonly filterShift: number;
}

/** Words of a peer in `peerRules`, and where among them the rule's number and the count of other rules are. */
export const PEER_RULE_WORDS = 4;
export const PEER_RULE_RULE = 2;
export const PEER_RULE_MORE = 3;

export interface CompiledPolicy {
  /** Changes with every policy. Flow entries keep it modulo 4096. */
  readonly generation: number;
  /**
   * By peer (except PEER_ANY_4 and PEER_ANY_6), one of the rules that name it, in 4 words: ruleHome; rulePorts; the
   * rule's number plus 1, or 0; and how many more rules of the peer are in `rules`.
   */
  readonly peerRules: Int32Array;
  /**
   * The rules that are not in `peerRules`. Key: gate; protocol column << 20 | level << 16 | port >> (16 - 4 * level);
   * peer. Value: the rule's number plus 1. Where several rules share the key: minus (index into `lists` plus 1), and
   * the list has their numbers plus 1, the rule written first in front.
   */
  readonly rules: WordTable;
  /**
   * levels[gate * PROTOCOL_COLUMNS + column]: bit n is set if `rules` has a node of level n for some peer; bit
   * LEVELS_ANY_4 + n or LEVELS_ANY_6 + n if it has one for PEER_ANY_4 or PEER_ANY_6; bit LEVEL_PEER_RULES if
   * `peerRules` has a rule.
   */
  readonly levels: Uint16Array;
  readonly prefixes4: PrefixTable;
  readonly prefixes6: PrefixTable;
  /** Lists of peers and lists of rules: a count, then as many numbers. */
  readonly lists: Int32Array;
  /** DNS names that rules have as peers. No prefix leads to them: packet loops learn their addresses. */
  readonly names: CompiledNames;
  /** open[gate * 4 + openColumn(family, protocol)] is 1 if a rule admits all ports from or to exactly /0. */
  readonly open: Uint8Array;

  /**
   * By peer, 1 for one whose rules admit no new flow: a group whose members are not known any more. Empty: there is
   * none. Flows that such a rule has admitted live on.
   */
  readonly stalePeers: Uint8Array;

  /** By rule number: REVOKE_…, with its gate for a rule that only audits. Rules that are gone keep theirs. */
  readonly revocation: Uint8Array;

  /** By port: the profile of the rules that only audit there; -1: none does. Empty: nothing is audited anywhere. */
  readonly auditProfiles: Int32Array;
  /** auditAll[auditCell(port, gate, family)]: number plus 1 of the rule that passes what no other admits; 0: none. */
  readonly auditAll: Int32Array;

  /** By port: its profile; -1 if no interface has the port. Port 0 is the uplink, interfaces have the others. */
  readonly profiles: Int32Array;
  readonly sourceDestCheck: Uint8Array;
  /** 1: flows of the interface are tracked whatever the rules are (NetworkInterface.alwaysTracked). */
  readonly alwaysTracked: Uint8Array;
  /**
   * TCP ports that were untracked under earlier policies (untracked-past.ts), as from << 16 | to. List l of a port is
   * in pastRanges, from pastStarts[4 * port + l] to the start of the next list.
   */
  readonly pastStarts: Int32Array;
  readonly pastRanges: Int32Array;
  /** Address words → port of the interface. */
  readonly hosts4: WordTable;
  readonly hosts6: WordTable;
  /** Address words → what else the address is (special-addresses.ts). */
  readonly special4: WordTable;
  readonly special6: WordTable;
  /** The port behind which the platform answers; NO_PLATFORM_PORT: there is none. */
  readonly platformPort: number;
  /** Whether 240.0.0.0/4 is treated like any unicast block. */
  readonly allowsClassE: boolean;
}

/** Gate and protocol column of a rule in one word of `peerRules`. */
export function ruleHome(gate: number, column: number): number {
  return (gate << 9) | column;
}

/** First and last port of a rule (ICMP: type << 8 | code) in one word. */
export function rulePorts(from: number, to: number): number {
  return (from << 16) | to;
}

/** Cell of `auditAll`. @param gate GATE_INGRESS or GATE_EGRESS */
export function auditCell(port: number, gate: number, family: number): number {
  return 4 * port + 2 * gate + (family === 6 ? 1 : 0);
}

/** Column of `open` for TCP or UDP in a family. -1 for other protocols: their flows are always tracked. */
export function openColumn(family: number, protocol: number): number {
  if (protocol !== 6 && protocol !== 17) return -1;
  return (family === 6 ? 2 : 0) + (protocol === 17 ? 1 : 0);
}

/** Gives the tables of a policy their methods back, after a structured clone. Copies no array. */
export function restorePolicy(plain: CompiledPolicy): CompiledPolicy {
  return {
    ...plain,
    rules: WordTable.makeFrom(plain.rules),
    names: restoreNames(plain.names),
    prefixes4: { ...plain.prefixes4, table: WordTable.makeFrom(plain.prefixes4.table) },
    prefixes6: { ...plain.prefixes6, table: WordTable.makeFrom(plain.prefixes6.table) },
    hosts4: WordTable.makeFrom(plain.hosts4),
    hosts6: WordTable.makeFrom(plain.hosts6),
    special4: WordTable.makeFrom(plain.special4),
    special6: WordTable.makeFrom(plain.special6),
  };
}

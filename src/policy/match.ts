/**
 * Finds the rule that admits a packet of no known flow, in a CompiledPolicy.
 *
 * It runs on the packet path: it allocates nothing, and its cost depends only on the shape of the policy (compiled.ts
 * says how). reference.ts gives the same answers by reading the rules one by one; a property test compares the two.
 */
import {
  auditCell,
  GATE_EGRESS,
  GATE_INGRESS,
  LEVEL_BITS,
  LEVELS_ANY_4,
  LEVELS_ANY_6,
  LEVELS_MASK,
  LEVEL_PEER_RULES,
  openColumn,
  PEER_ANY_4,
  PEER_ANY_6,
  PEER_RULE_MORE,
  PEER_RULE_RULE,
  PEER_RULE_WORDS,
  PORT_BITS,
  PROTOCOL_COLUMN_ALL,
  PROTOCOL_COLUMNS,
  ruleHome,
  type CompiledPolicy,
  type PrefixTable,
} from './compiled.ts';
import { hasNames } from './name-match.ts';
import { PAST_LISTS } from './untracked-past.ts';
import { hash2, hashKey, type WordTable } from './word-table.ts';

const KEY_WORDS_PREFIX_6 = 5;
/** The bit in `levels` at which peers other than PEER_ANY_4 and PEER_ANY_6 begin. */
const LEVELS_PEER = 0;

/** No rule admits the packet. */
export const NO_RULE = 0;

export class Matcher {
  private policy: CompiledPolicy;
  /** The only rule that may match, plus 1; NO_RULE: any rule may. */
  private onlyRule = NO_RULE;
  /** Whether rules of stale peers count (CompiledPolicy.stalePeers), as they do for flows that they have admitted. */
  countsStale = true;
  private readonly prefixKey6 = new Int32Array(KEY_WORDS_PREFIX_6);

  constructor(policy: CompiledPolicy) {
    this.policy = policy;
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
  }

  /**
   * Finds a rule of the gate that admits a packet.
   * @param port type << 8 | code for ICMP; 0 where there are no ports
   * @param a0 the remote address: a0 … a3 for IPv6, a0 alone for IPv4
   * @returns rule number plus 1, or NO_RULE
   */
  match(
    gate: number,
    family: number,
    protocol: number,
    port: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): number {
    // Rules for everywhere come first: they are common, need no address, and make a flow untracked.
    const open = this.matchAnywhere(gate, family, protocol, port);
    if (open !== NO_RULE || this.hasNoPeers(gate, protocol)) return open;
    return family === 4
      ? this.match4(gate, protocol, port, a0)
      : this.match6(gate, protocol, port, a0, a1, a2, a3);
  }

  /** Whether the rule with this number (plus 1) admits a packet, whatever other rules do. */
  admits(
    rule: number,
    gate: number,
    family: number,
    protocol: number,
    port: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): boolean {
    this.onlyRule = rule;
    const found = this.match(gate, family, protocol, port, a0, a1, a2, a3);
    this.onlyRule = NO_RULE;
    return found !== NO_RULE;
  }

  /**
   * Finds the rule by which audit lets a packet pass that no rule admits (audit.ts).
   * @param gate GATE_INGRESS or GATE_EGRESS, of the interface at `port`
   * @returns as match does
   */
  matchAudit(
    port: number,
    gate: number,
    family: number,
    protocol: number,
    rulePort: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): number {
    const { auditProfiles, auditAll } = this.policy;
    if (port >= auditProfiles.length) return NO_RULE;
    const profile = auditProfiles[port];
    const rule =
      profile < 0
        ? NO_RULE
        : this.match(2 * profile + gate, family, protocol, rulePort, a0, a1, a2, a3);
    return rule === NO_RULE ? auditAll[auditCell(port, gate, family)] : rule;
  }

  /** Does what match does, with only the rules whose peer is exactly 0.0.0.0/0 or ::/0. */
  matchAnywhere(gate: number, family: number, protocol: number, port: number): number {
    return family === 4
      ? this.matchNodes(gate, protocol, port, PEER_ANY_4, LEVELS_ANY_4)
      : this.matchNodes(gate, protocol, port, PEER_ANY_6, LEVELS_ANY_6);
  }

  /**
   * Whether TCP or UDP flows of this tuple, at the interface of `port`, live by the rules alone (AWS, "Untracked
   * connections"). A rule for everywhere admits them in one direction, and the other direction admits everything from
   * or to everywhere. Packets of both directions get the same answer.
   */
  isUntracked(
    port: number,
    family: number,
    protocol: number,
    localPort: number,
    remotePort: number,
  ): boolean {
    const { open, profiles, alwaysTracked } = this.policy;
    const column = openColumn(family, protocol);
    if (column < 0 || port >= profiles.length || alwaysTracked[port] === 1) return false;
    const ingress = 2 * profiles[port] + GATE_INGRESS;
    const egress = 2 * profiles[port] + GATE_EGRESS;
    if (ingress < 0) return false;
    if (
      open[egress * 4 + column] === 1 &&
      this.matchAnywhere(ingress, family, protocol, localPort) !== NO_RULE
    )
      return true;
    return (
      open[ingress * 4 + column] === 1 &&
      this.matchAnywhere(egress, family, protocol, remotePort) !== NO_RULE
    );
  }

  /**
   * Whether TCP connections of this tuple may have been untracked under an earlier policy (untracked-past.ts). It
   * reads at most 64 ranges, and only for a packet that would begin a connection in mid-stream.
   */
  wasUntracked(port: number, family: number, localPort: number, remotePort: number): boolean {
    const { pastStarts } = this.policy;
    const list = PAST_LISTS * port + (family === 6 ? 2 : 0);
    if (list + 2 >= pastStarts.length) return false;
    const middle = pastStarts[list + 1];
    return (
      this.isInPast(pastStarts[list], middle, localPort) ||
      this.isInPast(middle, pastStarts[list + 2], remotePort)
    );
  }

  /** Whether one of the ranges from `start` up to `end` includes the port. */
  private isInPast(start: number, end: number, port: number): boolean {
    const { pastRanges } = this.policy;
    for (let i = start; i < end; i++)
      if (pastRanges[i] >>> 16 <= port && port <= (pastRanges[i] & 0xffff)) return true;
    return false;
  }

  /** Whether the gate has no rule for this protocol and a peer other than everywhere. */
  private hasNoPeers(gate: number, protocol: number): boolean {
    const { levels } = this.policy;
    const row = gate * PROTOCOL_COLUMNS;
    const flags = levels[row + PROTOCOL_COLUMN_ALL] | levels[row + protocol];
    return (flags & (LEVELS_MASK | (1 << LEVEL_PEER_RULES))) === 0;
  }

  private match4(gate: number, protocol: number, port: number, address: number): number {
    const { lengths, masks, table, filter, filterShift } = this.policy.prefixes4;
    for (let i = 0; i < lengths.length; i++) {
      const length = lengths[i];
      const masked = address & masks[i];
      const hash = hash2(length, masked);
      const bit = hash >>> filterShift;
      if ((filter[bit >>> 5] & (1 << bit)) === 0) continue;
      const value = table.get2(length, masked, hash);
      if (value === 0) continue;
      const rule = this.matchPeers(gate, protocol, port, value);
      if (rule !== NO_RULE) return rule;
    }
    return NO_RULE;
  }

  private match6(
    gate: number,
    protocol: number,
    port: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): number {
    const prefixes: PrefixTable = this.policy.prefixes6;
    const { lengths, masks, table, filter, filterShift } = prefixes;
    const key = this.prefixKey6;
    for (let i = 0; i < lengths.length; i++) {
      key[0] = lengths[i]!;
      key[1] = a0 & masks[4 * i];
      key[2] = a1 & masks[4 * i + 1];
      key[3] = a2 & masks[4 * i + 2];
      key[4] = a3 & masks[4 * i + 3];
      const hash = hashKey(key, 0, KEY_WORDS_PREFIX_6);
      const bit = hash >>> filterShift;
      if ((filter[bit >>> 5] & (1 << bit)) === 0) continue;
      const value = table.find(key, hash);
      if (value === 0) continue;
      const rule = this.matchPeers(gate, protocol, port, value);
      if (rule !== NO_RULE) return rule;
    }
    return NO_RULE;
  }

  /** @param value from a prefix table: a peer, or a list of peers */
  private matchPeers(gate: number, protocol: number, port: number, value: number): number {
    if (value > 0) return this.matchPeer(gate, protocol, port, value);
    const { lists } = this.policy;
    const list = -value - 1;
    const end = list + 1 + lists[list];
    for (let i = list + 1; i < end; i++) {
      const rule = this.matchPeer(gate, protocol, port, lists[i]);
      if (rule !== NO_RULE) return rule;
    }
    return NO_RULE;
  }

  /**
   * Finds a rule of the gate that admits a packet and has a DNS name as its peer, whatever addresses the name has.
   * @param rule the only one that counts, plus 1
   * @returns its number plus 1, or NO_RULE
   */
  matchByName(rule: number, gate: number, protocol: number, port: number): number {
    const { names } = this.policy;
    if (!hasNames(names, gate)) return NO_RULE;
    const { starts, gatePeers } = names;
    let found = NO_RULE;
    this.onlyRule = rule;
    for (let i = starts[gate]; i < starts[gate + 1] && found === NO_RULE; i++)
      found = this.matchPeer(gate, protocol, port, gatePeers[i]);
    this.onlyRule = NO_RULE;
    return found;
  }

  /** Whether the rule with this number (plus 1) has this peer and admits a packet to it. */
  admitsPeer(rule: number, gate: number, protocol: number, port: number, peer: number): boolean {
    this.onlyRule = rule;
    const found = this.matchPeer(gate, protocol, port, peer);
    this.onlyRule = NO_RULE;
    return found !== NO_RULE;
  }

  /** Finds a rule of the gate with this peer that admits a packet. @returns its number plus 1, or NO_RULE */
  matchPeer(gate: number, protocol: number, port: number, peer: number): number {
    const { peerRules, stalePeers } = this.policy;
    if (!this.countsStale && peer < stalePeers.length && stalePeers[peer] === 1) return NO_RULE;
    const at = PEER_RULE_WORDS * peer;
    const home = peerRules[at];
    const ports = peerRules[at + 1];
    if (
      (home === ruleHome(gate, protocol) || home === ruleHome(gate, PROTOCOL_COLUMN_ALL)) &&
      ports >>> 16 <= port &&
      port <= (ports & 0xffff)
    ) {
      // 0 if the peer has no rule here.
      const rule = this.chosen(peerRules[at + PEER_RULE_RULE]);
      if (rule !== NO_RULE) return rule;
    }
    return peerRules[at + PEER_RULE_MORE] === 0
      ? NO_RULE
      : this.matchNodes(gate, protocol, port, peer, LEVELS_PEER);
  }

  /** @param part the bit in `levels` at which such peers begin */
  private matchNodes(
    gate: number,
    protocol: number,
    port: number,
    peer: number,
    part: number,
  ): number {
    const { rules, levels } = this.policy;
    const row = gate * PROTOCOL_COLUMNS;
    if (((levels[row + PROTOCOL_COLUMN_ALL] >>> part) & LEVELS_MASK) !== 0) {
      const rule = this.chosen(rules.get3(gate, PROTOCOL_COLUMN_ALL << 20, peer));
      if (rule !== NO_RULE) return rule;
    }
    let present = (levels[row + protocol] >>> part) & LEVELS_MASK;
    for (let level = 0; present !== 0; level++, present >>>= 1) {
      if ((present & 1) === 0) continue;
      const node =
        (protocol << 20) | (level << PORT_BITS) | (port >>> (PORT_BITS - LEVEL_BITS * level));
      const rule = this.chosen(rules.get3(gate, node, peer));
      if (rule !== NO_RULE) return rule;
    }
    return NO_RULE;
  }

  /** The rule that a value of `rules` gives: `onlyRule` if it is set and among them, otherwise the first. */
  private chosen(value: number): number {
    const { onlyRule } = this;
    if (value === 0) return NO_RULE;
    if (value > 0) return onlyRule === NO_RULE || onlyRule === value ? value : NO_RULE;
    const { lists } = this.policy;
    const list = -value - 1;
    if (onlyRule === NO_RULE) return lists[list + 1];
    const end = list + 1 + lists[list];
    for (let i = list + 1; i < end; i++) if (lists[i] === onlyRule) return onlyRule;
    return NO_RULE;
  }
}

/** Marks an address as one of no host in the table. */
export const NO_HOST = 0;

const hostKey6 = new Int32Array(4);

/** Looks an address up in hosts4 or hosts6, by family. @returns its value, or NO_HOST */
export function lookUpHost(
  hosts4: WordTable,
  hosts6: WordTable,
  family: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): number {
  if (family === 4) return hosts4.get1(a0);
  hostKey6[0] = a0;
  hostKey6[1] = a1;
  hostKey6[2] = a2;
  hostKey6[3] = a3;
  return hosts6.get(hostKey6);
}

/**
 * One gate: the groups of one interface, in one direction, asked about one packet.
 *
 * Theory of operation
 *
 * Order of questions: later fragment? known flow? ICMP error about a known flow? rules? untracked or
 * tracked? The flow table comes before the rules, so that what was admitted goes on when rules change
 * (AWS keeps tracked connections); the rules come before tracking, so that nothing is remembered of
 * what was refused. Each gate has its own flow entry, since each interface is a tracker of its own: the
 * sender's egress and the receiver's ingress are judged independently, and both must agree.
 *
 * "Local" is the instance's side. At an egress gate the source is local; at an ingress gate the
 * destination is.
 *
 * Untracked flows (AWS, "Untracked connections"): TCP or UDP that a rule for the literal 0.0.0.0/0 or
 * ::/0 admits, while the other direction admits everything from or to it on all ports. No entry is made
 * and both directions live by the rules alone, so the question has to give the same answer for either
 * packet of the flow: it asks about the tuple, not about the packet's direction.
 */
import type { FragmentTable } from '../conntrack/fragments.ts';
import { FRAGMENT_OF_DROPPED, FRAGMENT_OVERLAPS, FRAGMENT_PASSES } from '../conntrack/fragments.ts';
import {
  STATE_COUNT,
  STATE_MASK,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_REVOKED,
} from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  KEY_WORDS_6,
  NO_FLOW,
  type FlowIndex,
} from '../conntrack/table.ts';
import { advanceFlow, isTrackable, openFlow, revokedState } from '../conntrack/track.ts';
import { areFlagsLegal, isOpeningSyn } from '../conntrack/tcp.ts';
import { FLOW_IS_REVOKED, FLOW_PASSES, FLOW_REOPENS } from '../conntrack/verdicts.ts';
import { GATE_EGRESS, GATE_INGRESS, openColumn, type CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost, Matcher, NO_RULE } from '../policy/match.ts';
import { decodeQuoted } from '../wire/decode.ts';
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP } from '../wire/fields.ts';
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  ICMP_ERROR,
  ICMP_QUERY,
  ICMP_REPLY,
  Packet,
} from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import {
  CONNTRACK_FULL,
  EGRESS_RULES,
  FRAGMENT_OVERLAP,
  FRAGMENT_REFUSED,
  FRAGMENT_WITHOUT_FIRST,
  INGRESS_RULES,
  PASS,
  REVOKED,
  TCP_CLOSED_FLOW,
  TCP_FLAGS_ILLEGAL,
  TCP_MIDSTREAM,
  TCP_STATE,
  TCP_WINDOW,
} from './reasons.ts';
import {
  flowOutlives,
  hasInterface,
  GENERATION_MASK,
  RULE_BITS,
  RULE_MASK,
  RULE_PLATFORM,
} from './revocation.ts';

/** By verdict of conntrack/verdicts.ts; FLOW_REOPENS never gets here. */
const REASON_BY_VERDICT: readonly number[] = [
  PASS,
  PASS,
  PASS,
  TCP_CLOSED_FLOW,
  REVOKED,
  TCP_STATE,
  TCP_WINDOW,
];

/** Entries looked at to make room when the table is full, before a flow is refused. */
const SWEEP_WHEN_FULL = 64;

export interface Conntrack {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  readonly fragments: FragmentTable;
  /** Idle time-outs: timeoutsMs[interface * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
  /** Flows of both families together that may be tracked at once. */
  readonly maxFlows: number;
  /** Judge TCP packets of no known connection like new flows (true), or drop them unless they are SYNs. */
  readonly acceptsMidstream: boolean;
  /** Drop TCP packets outside the window of their connection. */
  readonly checksWindow: boolean;
}

export class Gates {
  private readonly conntrack: Conntrack;
  private policy: CompiledPolicy;
  private readonly matcher: Matcher;
  /** Flows that the policy of the last setPolicy has ended so far. */
  revokedFlows = 0;
  private recheckAt4 = 0;
  private recheckAt6 = 0;
  private readonly quoted = new Packet();
  private readonly key4 = new Int32Array(KEY_WORDS_4);
  private readonly key6 = new Int32Array(KEY_WORDS_6);

  constructor(policy: CompiledPolicy, conntrack: Conntrack) {
    this.policy = policy;
    this.matcher = new Matcher(policy);
    this.conntrack = conntrack;
  }

  /** Swaps the policy between two batches. Flows live on, or are revoked as their groups say (recheckFlows). */
  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.matcher.setPolicy(policy);
    this.recheckAt4 = 0;
    this.recheckAt6 = 0;
    this.revokedFlows = 0;
  }

  /**
   * Goes on with holding the flows against the policy that setPolicy brought, `entries` of each table at
   * a time, so that a big table makes no pause; a packet that finds its flow not yet held against it
   * does so itself. revokedFlows counts those that ended.
   * @returns whether there are more
   */
  recheckFlows(entries: number): boolean {
    const { flows4, flows6 } = this.conntrack;
    const end4 = Math.min(flows4.highWater, this.recheckAt4 + entries);
    const end6 = Math.min(flows6.highWater, this.recheckAt6 + entries);
    for (; this.recheckAt4 < end4; this.recheckAt4++) this.recheck(flows4, this.recheckAt4);
    for (; this.recheckAt6 < end6; this.recheckAt6++) this.recheck(flows6, this.recheckAt6);
    return this.recheckAt4 < flows4.highWater || this.recheckAt6 < flows6.highWater;
  }

  /** Holds an entry against the policy in force. @returns whether it is still in use afterwards */
  private recheck(table: FlowTable, flow: FlowIndex): boolean {
    const at = flow * table.stride + table.keyWords;
    const state = table.words[at + FLOW_STATE];
    if (state === 0) return false;
    const rule = table.words[at + FLOW_RULE];
    if (rule >>> RULE_BITS === (this.policy.generation & GENERATION_MASK)) return true;
    if (flowOutlives(table, flow, this.policy, this.matcher)) {
      table.words[at + FLOW_RULE] = (rule & RULE_MASK) | (this.policy.generation << RULE_BITS);
      return true;
    }
    this.revokedFlows++;
    const meta = table.words[flow * table.stride + KEY_META];
    if ((meta & 0xff) !== PROTO_TCP || !hasInterface(this.policy, meta >>> 16)) {
      table.remove(flow);
      return false;
    }
    // A TCP connection stays in the table as revoked: with its entry gone, the next packet of the side
    // that rules still let out would bring it back as one picked up in mid-stream.
    table.words[at + FLOW_STATE] = revokedState(state);
    table.words[at + FLOW_RULE] = (rule & RULE_MASK) | (this.policy.generation << RULE_BITS);
    return true;
  }

  /**
   * Judges a decoded packet at the gate of interface `port` in `direction` (GATE_INGRESS or GATE_EGRESS).
   * `view` holds the packet: an ICMP error's quotation is read from it.
   * @returns PASS, or a drop reason
   */
  judge(view: DataView, packet: Packet, port: number, direction: number, nowMs: number): number {
    const { fragments } = this.conntrack;
    if (packet.fragment === FRAGMENT_LATER) {
      const answer = fragments.laterFragment(2 * port + direction, packet, nowMs);
      if (answer === FRAGMENT_PASSES) return PASS;
      if (answer === FRAGMENT_OVERLAPS) return FRAGMENT_OVERLAP;
      return answer === FRAGMENT_OF_DROPPED ? FRAGMENT_REFUSED : FRAGMENT_WITHOUT_FIRST;
    }
    const reason = this.judgeWhole(view, packet, port, direction, nowMs);
    if (packet.fragment === FRAGMENT_FIRST)
      fragments.firstFragment(2 * port + direction, packet, reason === PASS, nowMs);
    return reason;
  }

  private judgeWhole(
    view: DataView,
    packet: Packet,
    port: number,
    direction: number,
    nowMs: number,
  ): number {
    if (packet.protocol === PROTO_TCP && !areFlagsLegal(packet.tcpFlags)) return TCP_FLAGS_ILLEGAL;
    const fromLocal = direction === GATE_EGRESS;
    const table = this.fillKey(packet, port, fromLocal);
    const key = packet.family === 4 ? this.key4 : this.key6;
    const flow = this.findLive(table, key, port, nowMs);
    if (flow !== NO_FLOW) {
      if (!this.recheck(table, flow)) return REVOKED;
      const verdict = this.advance(table, flow, packet, fromLocal, nowMs);
      if (verdict !== FLOW_REOPENS) return REASON_BY_VERDICT[verdict];
      table.remove(flow);
    }
    if (
      packet.icmpKind === ICMP_ERROR &&
      this.isAboutKnownFlow(view, packet, port, direction, nowMs)
    )
      return PASS;
    return this.judgeNewFlow(packet, port, direction, nowMs);
  }

  /** Moves the flow by the packet, and renews its time if the packet keeps it alive. @returns the verdict */
  private advance(
    table: FlowTable,
    flow: FlowIndex,
    packet: Packet,
    fromLocal: boolean,
    nowMs: number,
  ): number {
    const { words } = table;
    const at = flow * table.stride + table.keyWords;
    const before = words[at + FLOW_STATE] & STATE_MASK;
    const verdict = advanceFlow(words, at, packet, fromLocal);
    const after = words[at + FLOW_STATE] & STATE_MASK;
    // A closing connection lives by the moment it closed: packets of the dead don't keep it in the table.
    // A revoked one is kept for as long as something would bring it back.
    const isRenewed =
      verdict === FLOW_IS_REVOKED ||
      (verdict === FLOW_PASSES &&
        (after !== before || (after !== TCP_CLOSING && after !== TCP_CLOSED)));
    if (isRenewed) words[at + FLOW_SEEN] = nowMs;
    return verdict;
  }

  private judgeNewFlow(packet: Packet, port: number, direction: number, nowMs: number): number {
    const { conntrack } = this;
    const fromLocal = direction === GATE_EGRESS;
    const profile = this.policy.profiles[port];
    const { family, protocol } = packet;
    let rule: number;
    if (fromLocal && this.isPlatform(packet)) {
      // Never filtered on the way out. The answer passes because its flow is tracked: admitting whatever
      // bears the platform's address as its source would let a spoofer outside reach every port.
      rule = RULE_PLATFORM + 1;
    } else {
      const a0 = fromLocal ? packet.dst0 : packet.src0;
      const a1 = fromLocal ? packet.dst1 : packet.src1;
      const a2 = fromLocal ? packet.dst2 : packet.src2;
      const a3 = fromLocal ? packet.dst3 : packet.src3;
      rule = this.matcher.match(
        2 * profile + direction,
        family,
        protocol,
        rulePort(packet),
        a0,
        a1,
        a2,
        a3,
      );
      if (rule === NO_RULE) return fromLocal ? EGRESS_RULES : INGRESS_RULES;
      const localPort = fromLocal ? packet.srcPort : packet.dstPort;
      const remotePort = fromLocal ? packet.dstPort : packet.srcPort;
      if (this.isUntracked(profile, family, protocol, localPort, remotePort)) return PASS;
    }
    if (protocol === PROTO_TCP && !conntrack.acceptsMidstream && !isOpeningSyn(packet.tcpFlags))
      return TCP_MIDSTREAM;
    if (!isTrackable(packet)) return PASS;
    return this.track(packet, rule, fromLocal, nowMs);
  }

  /** Makes the entry for the key that fillKey left behind. */
  private track(packet: Packet, rule: number, fromLocal: boolean, nowMs: number): number {
    const { flows4, flows6, maxFlows } = this.conntrack;
    const table = packet.family === 4 ? flows4 : flows6;
    const key = packet.family === 4 ? this.key4 : this.key6;
    if (flows4.count + flows6.count >= maxFlows) this.sweep(SWEEP_WHEN_FULL, nowMs);
    if (flows4.count + flows6.count >= maxFlows) return CONNTRACK_FULL;
    const flow = table.insert(key);
    if (flow === NO_FLOW) return CONNTRACK_FULL;
    const at = flow * table.stride + table.keyWords;
    table.words[at + FLOW_SEEN] = nowMs;
    table.words[at + FLOW_RULE] = (rule - 1) | (this.policy.generation << RULE_BITS);
    openFlow(table.words, at, packet, fromLocal, this.conntrack.checksWindow);
    return PASS;
  }

  /** Looks at `entries` entries of each table and frees those past their time-out. Bounded work, called every tick. */
  sweep(entries: number, nowMs: number): void {
    this.sweepTable(this.conntrack.flows4, entries, nowMs);
    this.sweepTable(this.conntrack.flows6, entries, nowMs);
  }

  private sweepTable(table: FlowTable, entries: number, nowMs: number): void {
    const looks = Math.min(entries, table.highWater);
    for (let i = 0; i < looks; i++) {
      const flow = table.nextToSweep();
      if (flow === NO_FLOW) continue;
      const port = table.words[flow * table.stride + KEY_META] >>> 16;
      if (this.isExpired(table, flow, port, nowMs)) table.remove(flow);
    }
  }

  private findLive(table: FlowTable, key: Int32Array, port: number, nowMs: number): FlowIndex {
    const flow = table.find(key);
    if (flow === NO_FLOW || !this.isExpired(table, flow, port, nowMs)) return flow;
    table.remove(flow);
    return NO_FLOW;
  }

  private isExpired(table: FlowTable, flow: FlowIndex, port: number, nowMs: number): boolean {
    const at = flow * table.stride + table.keyWords;
    const state = table.words[at + FLOW_STATE] & STATE_MASK;
    const idleMs = (nowMs - table.words[at + FLOW_SEEN]) | 0;
    return idleMs > this.conntrack.timeoutsMs[port * STATE_COUNT + state];
  }

  /**
   * Whether the ICMP error quotes a packet that the other side of this flow sent, so that path MTU
   * discovery and refusals work without a rule for them. The error must be addressed to the sender of
   * the quoted packet: else anybody who guesses a flow could have errors about it delivered elsewhere.
   */
  private isAboutKnownFlow(
    view: DataView,
    packet: Packet,
    port: number,
    direction: number,
    nowMs: number,
  ): boolean {
    const { quoted } = this;
    if (decodeQuoted(view, packet, quoted) !== DECODE_OK) return false;
    if (
      quoted.family !== packet.family ||
      quoted.fragment === FRAGMENT_LATER ||
      quoted.icmpKind === ICMP_ERROR
    )
      return false;
    if (
      packet.dst0 !== quoted.src0 ||
      packet.dst1 !== quoted.src1 ||
      packet.dst2 !== quoted.src2 ||
      packet.dst3 !== quoted.src3
    )
      return false;
    // An error on its way in is about what the instance sent: the quoted source is local.
    const quotedFromLocal = direction === GATE_INGRESS;
    const table = this.fillKey(quoted, port, quotedFromLocal);
    const key = quoted.family === 4 ? this.key4 : this.key6;
    const flow = this.findLive(table, key, port, nowMs);
    const isKnown = flow !== NO_FLOW && !isRevoked(table, flow);
    this.fillKey(packet, port, direction === GATE_EGRESS);
    if (isKnown) return true;
    const localPort = quotedFromLocal ? quoted.srcPort : quoted.dstPort;
    const remotePort = quotedFromLocal ? quoted.dstPort : quoted.srcPort;
    return this.isUntracked(
      this.policy.profiles[port],
      quoted.family,
      quoted.protocol,
      localPort,
      remotePort,
    );
  }

  /** Whether flows of this tuple live by the rules alone (see the theory of operation). */
  private isUntracked(
    profile: number,
    family: number,
    protocol: number,
    localPort: number,
    remotePort: number,
  ): boolean {
    const column = openColumn(family, protocol);
    if (column < 0) return false;
    const { open } = this.policy;
    const ingress = 2 * profile + GATE_INGRESS;
    const egress = 2 * profile + GATE_EGRESS;
    if (
      open[egress * 4 + column] === 1 &&
      this.matcher.matchAnywhere(ingress, family, protocol, localPort) !== NO_RULE
    )
      return true;
    return (
      open[ingress * 4 + column] === 1 &&
      this.matcher.matchAnywhere(egress, family, protocol, remotePort) !== NO_RULE
    );
  }

  private isPlatform(packet: Packet): boolean {
    const { platform4, platform6 } = this.policy;
    return (
      lookUpHost(
        platform4,
        platform6,
        packet.family,
        packet.dst0,
        packet.dst1,
        packet.dst2,
        packet.dst3,
      ) !== 0
    );
  }

  /** Fills key4 or key6 with the packet's flow as the interface sees it; returns the table it belongs to. */
  private fillKey(packet: Packet, port: number, fromLocal: boolean): FlowTable {
    const localPort = fromLocal ? packet.srcPort : packet.dstPort;
    const remotePort = fromLocal ? packet.dstPort : packet.srcPort;
    const meta = (port << 16) | (asksFromLocal(packet, fromLocal) ? 1 << 8 : 0) | packet.protocol;
    if (packet.family === 4) {
      const key = this.key4;
      key[KEY_META] = meta;
      key[KEY_PORTS] = (localPort << 16) | remotePort;
      key[KEY_ADDRESSES] = fromLocal ? packet.src0 : packet.dst0;
      key[KEY_ADDRESSES + 1] = fromLocal ? packet.dst0 : packet.src0;
      return this.conntrack.flows4;
    }
    const key = this.key6;
    const source = fromLocal ? KEY_ADDRESSES : KEY_ADDRESSES + 4;
    const destination = fromLocal ? KEY_ADDRESSES + 4 : KEY_ADDRESSES;
    key[KEY_META] = meta;
    key[KEY_PORTS] = (localPort << 16) | remotePort;
    key[source] = packet.src0;
    key[source + 1] = packet.src1;
    key[source + 2] = packet.src2;
    key[source + 3] = packet.src3;
    key[destination] = packet.dst0;
    key[destination + 1] = packet.dst1;
    key[destination + 2] = packet.dst2;
    key[destination + 3] = packet.dst3;
    return this.conntrack.flows6;
  }
}

function isRevoked(table: FlowTable, flow: FlowIndex): boolean {
  const state = table.words[flow * table.stride + table.keyWords + FLOW_STATE];
  return (state & STATE_MASK) === TCP_REVOKED;
}

/** The role bit of an ICMP flow: whether the local side asks. Two hosts may ask each other under one identifier. */
function asksFromLocal(packet: Packet, fromLocal: boolean): boolean {
  if (packet.icmpKind === ICMP_QUERY) return fromLocal;
  return packet.icmpKind === ICMP_REPLY && !fromLocal;
}

/** What rules call the port: the destination's, ICMP type and code, or 0 where there is none. */
function rulePort(packet: Packet): number {
  const { protocol } = packet;
  if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6)
    return (packet.icmpType << 8) | packet.icmpCode;
  return packet.dstPort;
}

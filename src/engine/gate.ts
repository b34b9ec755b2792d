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
import { FRAGMENT_TO_JUDGE } from '../conntrack/fragments.ts';
import { isSegmentOf } from '../conntrack/quotation.ts';
import { STATE_MASK, TCP_REVOKED } from '../conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_STATE,
  KEY_META,
  NO_FLOW,
  type FlowIndex,
  type FlowTable,
} from '../conntrack/table.ts';
import { isTrackable } from '../conntrack/track.ts';
import { areFlagsLegal, isOpeningSyn } from '../conntrack/tcp.ts';
import { FLOW_ASKS_RULES, FLOW_PASSES, FLOW_REOPENS } from '../conntrack/verdicts.ts';
import { GATE_EGRESS, GATE_INGRESS, type CompiledPolicy } from '../policy/compiled.ts';
import { Matcher, NO_RULE } from '../policy/match.ts';
import { decodeQuoted } from '../wire/decode.ts';
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import { FRAGMENT_LATER, FRAGMENT_NONE, ICMP_ERROR, Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { ENDED_BY_REOPENING, EVENT_NO_RULE, type EventRing } from './events.ts';
import {
  GAUGE_COUNT,
  GAUGE_EVICTED,
  GAUGE_EVICTED_REVOKED,
  GAUGE_HALF_OPEN,
  GAUGE_OPENED,
  GAUGE_PASSED_FRAGMENT,
  GAUGE_PASSED_INVALID,
  GAUGE_PASSED_TABLE_FULL,
} from './counters.ts';
import {
  CONNTRACK_FULL,
  EGRESS_RULES,
  EVENTS_FULL,
  FRAGMENT_DUPLICATE,
  FRAGMENT_LIMIT,
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
import type { RuleHits } from './rule-hits.ts';
import { isToExempt, portOfDestination } from './scope.ts';
import { FLOW_IS_STALE, Tracker, type TrackerOptions } from './tracker.ts';

/** By what FragmentTable.offer answers; FRAGMENT_TO_JUDGE never gets here. */
const REASON_BY_FRAGMENT: readonly number[] = [
  PASS,
  PASS,
  FRAGMENT_WITHOUT_FIRST,
  FRAGMENT_REFUSED,
  FRAGMENT_OVERLAP,
  FRAGMENT_DUPLICATE,
  FRAGMENT_LIMIT,
];

/** By verdict of conntrack/verdicts.ts; FLOW_REOPENS and FLOW_ASKS_RULES never get here. */
const REASON_BY_VERDICT: readonly number[] = [
  PASS,
  PASS,
  PASS,
  TCP_CLOSED_FLOW,
  REVOKED,
  TCP_STATE,
  TCP_WINDOW,
];

/**
 * Exception policies: where tracking can't do what it should, a packet that the rules admit may be passed
 * instead of dropped (conntrack.exceptions). Each that passes so is counted (GAUGE_PASSED_…).
 */
export interface ExceptionPasses {
  /** No room to track the flow: it passes untracked. */
  readonly tableFull: boolean;
  /** A TCP packet that misfits its connection. */
  readonly invalid: boolean;
  /** A later fragment whose first one is not known. */
  readonly fragment: boolean;
  /** A new flow while the ring of events is full: it passes unrecorded. */
  readonly eventsFull: boolean;
}

export interface GateOptions extends TrackerOptions {
  readonly passes: ExceptionPasses;
  readonly fragments: FragmentTable;
  /** Judge TCP packets of no known connection like new flows (true), or drop them unless they are SYNs. */
  readonly acceptsMidstream: boolean;
  readonly ruleHits: RuleHits;
}

export class Gates {
  readonly tracker: Tracker;
  /** Flows that the policy of the last setPolicy has ended so far. */
  revokedFlows = 0;
  /** Of the packet last judged: its flow, and the number of the rule that admitted it; NO_FLOW and EVENT_NO_RULE if none. */
  flow: FlowIndex = NO_FLOW;
  rule = EVENT_NO_RULE;
  private readonly events: EventRing;
  private readonly ruleHits: RuleHits;
  private readonly passes: ExceptionPasses;
  /** Packets that exception policies let pass, by gauge. */
  private readonly excused = new Float64Array(GAUGE_COUNT);
  private readonly fragments: FragmentTable;
  private readonly acceptsMidstream: boolean;
  private policy: CompiledPolicy;
  private readonly matcher: Matcher;
  private recheckAt4 = 0;
  private recheckAt6 = 0;
  private readonly quoted = new Packet();

  constructor(policy: CompiledPolicy, options: GateOptions) {
    this.policy = policy;
    this.matcher = new Matcher(policy);
    this.tracker = new Tracker(options);
    this.tracker.setPolicy(policy);
    this.fragments = options.fragments;
    this.passes = options.passes;
    this.acceptsMidstream = options.acceptsMidstream;
    this.events = options.events;
    this.ruleHits = options.ruleHits;
  }

  /** Swaps the policy between two batches. Flows live on, or are revoked as their groups say (recheckFlows). */
  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.matcher.setPolicy(policy);
    this.tracker.setPolicy(policy);
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
  recheckFlows(entries: number, nowMs: number): boolean {
    const { flows4, flows6 } = this.tracker;
    const end4 = Math.min(flows4.highWater, this.recheckAt4 + entries);
    const end6 = Math.min(flows6.highWater, this.recheckAt6 + entries);
    for (; this.recheckAt4 < end4; this.recheckAt4++)
      this.recheckInTime(flows4, this.recheckAt4, nowMs);
    for (; this.recheckAt6 < end6; this.recheckAt6++)
      this.recheckInTime(flows6, this.recheckAt6, nowMs);
    return this.recheckAt4 < flows4.highWater || this.recheckAt6 < flows6.highWater;
  }

  /** Past its time-out a flow is absent: revoked, it would come back for the time-out of those. */
  private recheckInTime(table: FlowTable, flow: FlowIndex, nowMs: number): void {
    if (!this.tracker.freeExpired(table, flow, nowMs)) this.recheck(table, flow, nowMs);
  }

  /** Holds an entry against the policy in force. @returns whether it is still in use afterwards */
  private recheck(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    const at = flow * table.stride + table.keyWords;
    const state = table.words[at + FLOW_STATE];
    if (state === 0) return false;
    const rule = table.words[at + FLOW_RULE];
    if (rule >>> RULE_BITS === (this.policy.generation & GENERATION_MASK)) return true;
    const outlives = flowOutlives(table, flow, this.policy, this.matcher);
    table.words[at + FLOW_RULE] = (rule & RULE_MASK) | (this.policy.generation << RULE_BITS);
    if (outlives) return true;
    this.revokedFlows++;
    const port = table.words[flow * table.stride + KEY_META] >>> 16;
    return this.tracker.revoke(table, flow, !hasInterface(this.policy, port), nowMs);
  }

  /**
   * Judges a decoded packet at the gate of interface `port` in `direction` (GATE_INGRESS or GATE_EGRESS).
   * `from` is the port it came in by: what is kept of its fragments counts as that one's.
   * `view` holds the packet: an ICMP error's quotation is read from it.
   * @returns PASS, or a drop reason
   */
  judge(
    view: DataView,
    packet: Packet,
    from: number,
    port: number,
    direction: number,
    nowMs: number,
  ): number {
    this.forget();
    if (packet.fragment === FRAGMENT_NONE)
      return this.judgeWhole(view, packet, port, direction, nowMs);
    const { fragments } = this;
    const answer = fragments.offer(2 * port + direction, from, packet, nowMs);
    if (answer !== FRAGMENT_TO_JUDGE) return this.excuse(REASON_BY_FRAGMENT[answer]);
    const reason = this.judgeWhole(view, packet, port, direction, nowMs);
    fragments.settle(packet, reason === PASS, nowMs);
    return reason;
  }

  /** Forgets the flow and the rule of the packet judged before. */
  forget(): void {
    this.flow = NO_FLOW;
    this.rule = EVENT_NO_RULE;
  }

  /** Writes what the control plane wants to know of flows and exceptions. */
  writeGauges(gauges: Float64Array): void {
    for (let i = GAUGE_PASSED_TABLE_FULL; i <= GAUGE_PASSED_FRAGMENT; i++)
      gauges[i] = this.excused[i];
    gauges[GAUGE_HALF_OPEN] = this.tracker.halfOpenFlows;
    gauges[GAUGE_EVICTED] = this.tracker.evictedFlows;
    gauges[GAUGE_EVICTED_REVOKED] = this.tracker.evictedRevoked;
    gauges[GAUGE_OPENED] = this.tracker.openedFlows;
  }

  private judgeWhole(
    view: DataView,
    packet: Packet,
    port: number,
    direction: number,
    nowMs: number,
  ): number {
    return this.excuse(this.judgeStrictly(view, packet, port, direction, nowMs));
  }

  /** PASS for a reason that an exception policy excuses. What the rules refuse has no excuse. */
  private excuse(reason: number): number {
    if (reason === PASS) return PASS;
    const { passes } = this;
    let gauge = 0;
    if (reason === CONNTRACK_FULL && passes.tableFull) gauge = GAUGE_PASSED_TABLE_FULL;
    if ((reason === TCP_STATE || reason === TCP_WINDOW) && passes.invalid)
      gauge = GAUGE_PASSED_INVALID;
    if (reason === FRAGMENT_WITHOUT_FIRST && passes.fragment) gauge = GAUGE_PASSED_FRAGMENT;
    if (gauge === 0) return reason;
    this.excused[gauge]++;
    return PASS;
  }

  private judgeStrictly(
    view: DataView,
    packet: Packet,
    port: number,
    direction: number,
    nowMs: number,
  ): number {
    // Excused flags go on to the rules, like those of any packet: a flow may open with none of them.
    const isOdd = packet.protocol === PROTO_TCP && !areFlagsLegal(packet.tcpFlags);
    if (isOdd) {
      if (!this.passes.invalid) return TCP_FLAGS_ILLEGAL;
      this.excused[GAUGE_PASSED_INVALID]++;
    }
    const fromLocal = direction === GATE_EGRESS;
    const { tracker } = this;
    let verdict = tracker.follow(packet, port, direction, isOdd, nowMs);
    if (verdict === FLOW_IS_STALE) {
      if (!this.recheck(tracker.aimedTable, tracker.followed, nowMs)) return REVOKED;
      verdict = tracker.follow(packet, port, direction, isOdd, nowMs);
    }
    let ended = NO_FLOW;
    if (verdict >= 0) {
      if (verdict !== FLOW_REOPENS) {
        this.flow = tracker.followed;
        this.rule = tracker.followedRule & RULE_MASK;
        if (verdict === FLOW_PASSES) return PASS;
        return verdict === FLOW_ASKS_RULES
          ? this.judgeByRules(packet, port, direction, nowMs)
          : REASON_BY_VERDICT[verdict];
      }
      // Kept until the rules have admitted the SYN: else one that they refuse would have what has ended, or was
      // revoked, picked up in mid-stream by the next packet of the side that they still let out.
      ended = tracker.followed;
      tracker.aim(packet, port, fromLocal);
    }
    if (
      packet.icmpKind === ICMP_ERROR &&
      this.isAboutKnownFlow(view, packet, port, direction, nowMs)
    )
      return PASS;
    return this.judgeNewFlow(packet, port, direction, ended, nowMs);
  }

  /** @param ended what the packet opens anew, or NO_FLOW: forgotten if it is admitted */
  private judgeNewFlow(
    packet: Packet,
    port: number,
    direction: number,
    ended: FlowIndex,
    nowMs: number,
  ): number {
    const fromLocal = direction === GATE_EGRESS;
    const { family, protocol } = packet;
    const rule = this.findRule(packet, port, direction);
    const isUdp = protocol === PROTO_UDP;
    if (rule === NO_RULE) {
      // Whoever opened the flow while it was untracked still wants it: what is known of it is renewed.
      if (isUdp) this.tracker.isAnswer(port, fromLocal, nowMs);
      return fromLocal ? EGRESS_RULES : INGRESS_RULES;
    }
    if (rule !== RULE_PLATFORM + 1) {
      const localPort = fromLocal ? packet.srcPort : packet.dstPort;
      const remotePort = fromLocal ? packet.dstPort : packet.srcPort;
      if (this.matcher.isUntracked(port, family, protocol, localPort, remotePort)) {
        if (isUdp) this.tracker.noteUntracked(port, fromLocal, ended !== NO_FLOW, nowMs);
        return this.admitUntracked(rule - 1, ended);
      }
      if (isUdp && ended === NO_FLOW && this.tracker.isAnswer(port, fromLocal, nowMs)) {
        this.tracker.openRevoked(packet, this.wordOf(rule), fromLocal, nowMs);
        return REVOKED;
      }
      // A connection that lived by rules that are gone ends with them, as in AWS; a SYN may open it anew.
      if (
        protocol === PROTO_TCP &&
        !isOpeningSyn(packet.tcpFlags) &&
        this.matcher.wasUntracked(port, family, localPort, remotePort)
      )
        return REVOKED;
    }
    if (protocol === PROTO_TCP && !this.acceptsMidstream && !isOpeningSyn(packet.tcpFlags))
      return TCP_MIDSTREAM;
    if (!isTrackable(packet)) return this.admitUntracked(rule - 1, ended);
    if (!this.passes.eventsFull && this.events.isFull) return EVENTS_FULL;
    this.forgetEnded(ended);
    this.flow = this.tracker.open(packet, this.wordOf(rule), fromLocal, nowMs);
    // Also without room, for the exception that lets it pass: the rule has admitted it.
    this.rule = rule - 1;
    if (this.flow === NO_FLOW) return CONNTRACK_FULL;
    this.ruleHits.note(rule - 1);
    return PASS;
  }

  /**
   * A packet of a tracked connection that the rules in force decide about: a SYN of another connection on its ports,
   * or what follows an opening that was not seen whole.
   */
  private judgeByRules(packet: Packet, port: number, direction: number, nowMs: number): number {
    const isSyn = isOpeningSyn(packet.tcpFlags);
    if (!isSyn && !this.acceptsMidstream) return TCP_STATE;
    const rule = this.findRule(packet, port, direction);
    if (rule === NO_RULE) {
      if (!isSyn) return TCP_STATE;
      this.forget();
      return direction === GATE_EGRESS ? EGRESS_RULES : INGRESS_RULES;
    }
    this.tracker.take(packet, direction, this.wordOf(rule), nowMs);
    this.rule = rule - 1;
    this.ruleHits.note(rule - 1);
    return PASS;
  }

  /** The rule that admits a packet as one of a new flow, plus 1; RULE_PLATFORM + 1 where none is asked; or NO_RULE. */
  private findRule(packet: Packet, port: number, direction: number): number {
    const fromLocal = direction === GATE_EGRESS;
    // Never filtered on the way out. The answer passes because its flow is tracked: admitting whatever
    // bears the platform's address as its source would let a spoofer outside reach every port.
    if (fromLocal && isToExempt(this.policy, packet)) return RULE_PLATFORM + 1;
    return this.matcher.match(
      2 * this.policy.profiles[port] + direction,
      packet.family,
      packet.protocol,
      rulePort(packet),
      fromLocal ? packet.dst0 : packet.src0,
      fromLocal ? packet.dst1 : packet.src1,
      fromLocal ? packet.dst2 : packet.src2,
      fromLocal ? packet.dst3 : packet.src3,
    );
  }

  /** The FLOW_RULE word of what a rule (its number plus 1) admits now. */
  private wordOf(rule: number): number {
    return (rule - 1) | (this.policy.generation << RULE_BITS);
  }

  private admitUntracked(rule: number, ended: FlowIndex): number {
    if (!this.passes.eventsFull && this.events.isFull) return EVENTS_FULL;
    this.forgetEnded(ended);
    this.rule = rule;
    this.ruleHits.note(rule);
    return PASS;
  }

  private forgetEnded(ended: FlowIndex): void {
    const { tracker } = this;
    if (ended !== NO_FLOW) tracker.remove(tracker.aimedTable, ended, ENDED_BY_REOPENING);
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
    const { tracker } = this;
    tracker.aim(quoted, port, quotedFromLocal);
    const flow = tracker.find(nowMs);
    // Held against new rules as by a packet of its own: else errors about what they end would pass for a while.
    const isKnown =
      flow !== NO_FLOW &&
      this.recheck(tracker.aimedTable, flow, nowMs) &&
      isSentBy(tracker.aimedTable, flow, quoted, quotedFromLocal);
    tracker.aim(packet, port, direction === GATE_EGRESS);
    if (isKnown) return true;
    // With no flow to say so, an instance may only speak of what was sent to itself.
    if (!quotedFromLocal && portOfDestination(this.policy, quoted) !== port) return false;
    const localPort = quotedFromLocal ? quoted.srcPort : quoted.dstPort;
    const remotePort = quotedFromLocal ? quoted.dstPort : quoted.srcPort;
    return this.matcher.isUntracked(port, quoted.family, quoted.protocol, localPort, remotePort);
  }
}

/** Whether the flow lives and may have sent the quoted packet. */
function isSentBy(table: FlowTable, flow: FlowIndex, quoted: Packet, fromLocal: boolean): boolean {
  const at = flow * table.stride + table.keyWords;
  if ((table.words[at + FLOW_STATE] & STATE_MASK) === TCP_REVOKED) return false;
  return (
    quoted.protocol !== PROTO_TCP || isSegmentOf(table.words, at, quoted.tcpSequence, fromLocal)
  );
}

/** What rules call the port: the destination's, ICMP type and code, or 0 where there is none. */
function rulePort(packet: Packet): number {
  const { protocol } = packet;
  if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6)
    return (packet.icmpType << 8) | packet.icmpCode;
  return packet.dstPort;
}

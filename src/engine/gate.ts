/**
 * A gate judges packets by the groups of one interface in one direction.
 *
 * Theory of operation
 *
 * A gate asks in this order. Is it a later fragment? Does it belong to a known flow? Is it an ICMP error about a
 * known flow? Do the rules admit it? Does its flow get an entry? The flow table comes before the rules, so that an
 * admitted flow goes on when rules change (AWS keeps tracked connections). The rules come before tracking, so that
 * nothing refused is remembered. Each gate has its own flow entry, since each interface is a tracker of its own. The
 * sender's egress and the receiver's ingress are judged independently, and both must agree.
 *
 * "Local" is the instance's side. At an egress gate the source is local, at an ingress gate the destination.
 *
 * Untracked flows (AWS, "Untracked connections") are TCP or UDP. A rule for exactly 0.0.0.0/0 or ::/0 admits them,
 * and the other direction admits everything from or to that range on all ports. Such a flow gets no entry, and both
 * directions live by the rules alone. So the check must give the same answer for packets of both directions: it looks
 * at the tuple, not at the packet's direction.
 */
import type { FragmentTable } from '../conntrack/fragments.ts';
import { FRAGMENT_TO_JUDGE } from '../conntrack/fragments.ts';
import { isSegmentOf } from '../conntrack/quotation.ts';
import { REVOKED_FLOW } from '../conntrack/states.ts';
import {
  type FlowIndex,
  NO_FLOW,
  RULE_PLATFORM,
  generationIn,
  isUsed,
  packRule,
  placeOf,
  portOf,
  ruleIn,
  ruleWordOf,
  setRuleWordOf,
  stateOf,
  wrapGeneration,
} from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { isTrackable } from '../conntrack/track.ts';
import { areFlagsLegal, isOpeningSyn } from '../conntrack/tcp.ts';
import { FLOW_ASKS_RULES, FLOW_PASSES, FLOW_REOPENS } from '../conntrack/verdicts.ts';
import { GATE_EGRESS, GATE_INGRESS, type CompiledPolicy } from '../policy/compiled.ts';
import { NO_RULE, type Matcher } from '../policy/match.ts';
import { decodeQuoted } from '../wire/decode.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import { FRAGMENT_LATER, FRAGMENT_NONE, ICMP_ERROR, Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { ENDED_BY_REOPENING, EVENT_NO_RULE, type EventRing } from './events.ts';
import type { ExceptionPasses } from './exception-passes.ts';
import type { Fence } from './fence.ts';
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
  EVENTS_FULL,
  FENCED,
  FRAGMENT_DUPLICATE,
  FRAGMENT_LIMIT,
  FRAGMENT_OVERLAP,
  FRAGMENT_REFUSED,
  FRAGMENT_WITHOUT_FIRST,
  PASS,
  REVOKED,
  TCP_CLOSED_FLOW,
  TCP_FLAGS_ILLEGAL,
  TCP_MIDSTREAM,
  TCP_STATE,
  TCP_WINDOW,
} from './reasons.ts';
import { GateRules } from './gate-rules.ts';
import { hasInterface, isAudit, NO_HEIR, ruleAfter } from './revocation.ts';
import type { RuleHits } from './rule-hits.ts';
import { portOfDestination } from './scope.ts';
import { TlsNames } from './tls/tls-names.ts';
import { FLOW_IS_MARKED, FLOW_IS_STALE, Tracker } from './tracker.ts';
import type { TrackerOptions, TrackerSettings } from './tracker.ts';

/** Drop reason by result of FragmentTable.offer. FRAGMENT_TO_JUDGE is handled before. */
const REASON_BY_FRAGMENT: readonly number[] = [
  PASS,
  PASS,
  FRAGMENT_WITHOUT_FIRST,
  FRAGMENT_REFUSED,
  FRAGMENT_OVERLAP,
  FRAGMENT_DUPLICATE,
  FRAGMENT_LIMIT,
];

/** Drop reason by verdict (conntrack/verdicts.ts). FLOW_REOPENS and FLOW_ASKS_RULES are handled before. */
const REASON_BY_VERDICT: readonly number[] = [
  PASS,
  PASS,
  PASS,
  TCP_CLOSED_FLOW,
  REVOKED,
  TCP_STATE,
  TCP_WINDOW,
];

/** The settings of gates and of what they track. */
export interface GateSettings extends TrackerSettings {
  readonly passes: ExceptionPasses;
  /** Judge TCP packets of no known connection as new flows (true), or drop them unless they are SYNs (false). */
  readonly acceptsMidstream: boolean;
}

export interface GateOptions extends TrackerOptions {
  readonly settings: GateSettings;
  readonly fragments: FragmentTable;
  readonly ruleHits: RuleHits;
  readonly fence: Fence;
}

export class Gates {
  readonly tracker: Tracker;
  /** Flows that the policy in force has ended so far. */
  revokedFlows = 0;
  /** Of the packet judged last: its flow or NO_FLOW, and the number of the rule that admitted it or EVENT_NO_RULE. */
  flow: FlowIndex = NO_FLOW;
  rule = EVENT_NO_RULE;
  /** Whether the packet judged last is the first that a rule which only audits let pass. Its reader resets it. */
  isFirstAudited = false;
  /** Then what a required server name would have dropped it for; PASS: no rule admits it. */
  auditedFor = PASS;
  private readonly events: EventRing;
  readonly ruleHits: RuleHits;
  private readonly passes: ExceptionPasses;
  private readonly fence: Fence;
  /** Packets that exception policies let pass, by gauge. */
  private readonly excused = new Float64Array(GAUGE_COUNT);
  private readonly fragments: FragmentTable;
  private readonly acceptsMidstream: boolean;
  /** In force; setPolicy changes it. */
  policy: CompiledPolicy;
  readonly rules: GateRules;
  readonly matcher: Matcher;
  private readonly tlsNames: TlsNames;
  private recheckAt4 = 0;
  private recheckAt6 = 0;
  private readonly quoted = new Packet();
  /** The port that the packet came in by. */
  private from = 0;

  constructor(policy: CompiledPolicy, options: GateOptions) {
    this.policy = policy;
    this.rules = new GateRules(policy);
    this.matcher = this.rules.matcher;
    this.tracker = new Tracker(options);
    this.tracker.setPolicy(policy);
    this.tlsNames = new TlsNames(this.tracker, this.rules, options.flowsByPort.length);
    this.tlsNames.setPolicy(policy);
    this.fragments = options.fragments;
    this.passes = options.settings.passes;
    this.fence = options.fence;
    this.acceptsMidstream = options.settings.acceptsMidstream;
    this.events = options.events;
    this.ruleHits = options.ruleHits;
  }

  /** Swaps the policy between two batches. Flows live on, or are revoked as their groups say (recheckFlows). */
  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.rules.setPolicy(policy);
    this.tracker.setPolicy(policy);
    this.tlsNames.setPolicy(policy);
    this.recheckAt4 = 0;
    this.recheckAt6 = 0;
    this.revokedFlows = 0;
  }

  /**
   * Checks the next `entries` flows of each table against the policy of the last setPolicy. So a big table causes no
   * pause. A packet whose flow is not checked yet checks it first. revokedFlows counts the flows that ended.
   * @returns whether there are more flows to check
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

  /** Frees a flow past its time-out instead of revoking it: a revoked flow would be remembered longer. */
  private recheckInTime(table: FlowTable, flow: FlowIndex, nowMs: number): void {
    if (!this.tracker.freeExpired(table, flow, nowMs)) this.recheck(table, flow, nowMs);
  }

  /** Checks an entry against the policy in force. @returns whether it is still in use afterwards */
  private recheck(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    if (!isUsed(table, flow)) return false;
    const { generation } = this.policy;
    const rule = ruleWordOf(table, flow);
    if (generationIn(rule) === wrapGeneration(generation)) return true;
    const heir = ruleAfter(table, flow, this.policy, this.matcher);
    setRuleWordOf(table, flow, packRule(heir === NO_HEIR ? ruleIn(rule) : heir, generation));
    if (heir !== NO_HEIR) return this.tracker.renew(table, flow);
    this.revokedFlows++;
    const isPortGone = !hasInterface(this.policy, portOf(table, flow));
    return this.tracker.revoke(table, flow, isPortGone, nowMs);
  }

  /**
   * Judges a decoded packet at the gate of interface `port` in `direction` (GATE_INGRESS or GATE_EGRESS).
   * @param view holds the packet; an ICMP error's quotation is read from it
   * @param from the port it came in by: the fragment table counts its fragments for that port
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
    if (this.fence.holds(port)) return FENCED;
    this.from = from;
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

  /** Writes the gauges of flows and exceptions. */
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

  /** Returns PASS for a reason that an exception policy excuses. No policy excuses what the rules refuse. */
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
    // A packet with excused flags goes on to the rules like any other. A flow that is known is not moved by it.
    const hasIllegalFlags = packet.protocol === PROTO_TCP && !areFlagsLegal(packet.tcpFlags);
    if (hasIllegalFlags) {
      if (!this.passes.invalid) return TCP_FLAGS_ILLEGAL;
      this.excused[GAUGE_PASSED_INVALID]++;
    }
    const fromLocal = direction === GATE_EGRESS;
    const { tracker } = this;
    let verdict = tracker.follow(packet, port, direction, hasIllegalFlags, nowMs);
    if (verdict === FLOW_IS_STALE) {
      if (!this.recheck(tracker.aimedTable, tracker.followed, nowMs)) return REVOKED;
      verdict = tracker.follow(packet, port, direction, hasIllegalFlags, nowMs);
    }
    if (verdict === FLOW_IS_MARKED) {
      this.flow = tracker.followed;
      this.rule = ruleIn(tracker.followedRule);
      const { tlsNames } = this;
      const reason = tlsNames.judge(view, packet, port, direction, hasIllegalFlags, nowMs);
      if (reason !== PASS) return reason;
      verdict = tlsNames.follow(packet, port, direction, hasIllegalFlags, nowMs);
      // What the tracker drops is not what audit lets pass.
      if (verdict === FLOW_PASSES && tlsNames.auditedBy !== NO_RULE) {
        tlsNames.passByAudit(packet);
        this.note(tlsNames.auditedBy - 1, tlsNames.auditedFor);
        return PASS;
      }
    }
    let ended = NO_FLOW;
    if (verdict >= 0) {
      if (verdict !== FLOW_REOPENS) {
        this.flow = tracker.followed;
        this.rule = ruleIn(tracker.followedRule);
        if (verdict === FLOW_PASSES) return PASS;
        return verdict === FLOW_ASKS_RULES
          ? this.judgeByRules(packet, port, direction, nowMs)
          : REASON_BY_VERDICT[verdict];
      }
      // Keep the entry until the rules have admitted the SYN. Without it, a refused SYN would let the next packet of
      // the side that the rules still let out pick up, in mid-stream, a connection that has ended or was revoked.
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

  /** Judges a packet of a new flow. @param ended the flow that it opens anew, freed if it is admitted; or NO_FLOW */
  private judgeNewFlow(
    packet: Packet,
    port: number,
    direction: number,
    ended: FlowIndex,
    nowMs: number,
  ): number {
    const fromLocal = direction === GATE_EGRESS;
    const { family, protocol } = packet;
    let rule = this.rules.find(packet, port, direction, this.from, nowMs);
    const isUdp = protocol === PROTO_UDP;
    if (rule === NO_RULE) {
      // The side that opened the untracked flow is still sending: renew what is known about the flow.
      if (isUdp) this.tracker.isAnswer(port, fromLocal, nowMs);
      return this.rules.whyNone(packet, port, direction, this.from, nowMs);
    }
    if (rule !== RULE_PLATFORM + 1) {
      const localPort = fromLocal ? packet.srcPort : packet.dstPort;
      const remotePort = fromLocal ? packet.dstPort : packet.srcPort;
      if (this.matcher.isUntracked(port, family, protocol, localPort, remotePort)) {
        if (isUdp) this.tracker.noteUntracked(port, fromLocal, ended !== NO_FLOW, nowMs);
        this.tracker.passUntracked(direction, rule - 1);
        return this.admitUntracked(rule - 1, ended);
      }
      // A connection that lived by rules that are gone ends with them, as in AWS. A SYN may open it again.
      const isPast = isUdp
        ? ended === NO_FLOW && this.tracker.isAnswer(port, fromLocal, nowMs)
        : protocol === PROTO_TCP &&
          !isOpeningSyn(packet.tcpFlags) &&
          this.matcher.wasUntracked(port, family, localPort, remotePort);
      if (isPast && !isAudit(this.policy, rule - 1)) {
        const audited = this.rules.findAudit(packet, port, fromLocal, 1 - direction);
        if (audited === NO_RULE) {
          if (isUdp) this.tracker.openRevoked(packet, this.wordOf(rule), fromLocal, nowMs);
          return REVOKED;
        }
        rule = audited;
      }
    }
    if (protocol === PROTO_TCP && !this.acceptsMidstream && !isOpeningSyn(packet.tcpFlags))
      return TCP_MIDSTREAM;
    if (!isTrackable(packet)) return this.admitUntracked(rule - 1, ended);
    if (!this.passes.eventsFull && this.events.isFull) return EVENTS_FULL;
    this.forgetEnded(ended);
    this.flow = this.tracker.open(packet, this.wordOf(rule), fromLocal, nowMs);
    // Set the rule even without room, for the exception that lets the packet pass: the rule has admitted it.
    this.rule = rule - 1;
    if (this.flow === NO_FLOW) return CONNTRACK_FULL;
    if (this.rules.requiresTlsName) this.tlsNames.admit(packet, this.flow);
    this.note(rule - 1, this.rules.auditedFor);
    return PASS;
  }

  /**
   * Judges a packet of a tracked connection by the rules in force: a SYN of another connection on its ports, or a
   * packet behind an opening that was not seen whole.
   */
  private judgeByRules(packet: Packet, port: number, direction: number, nowMs: number): number {
    const isSyn = isOpeningSyn(packet.tcpFlags);
    if (!isSyn && !this.acceptsMidstream) return TCP_STATE;
    const rule = this.rules.find(packet, port, direction, this.from, nowMs);
    if (rule === NO_RULE) {
      if (!isSyn) return TCP_STATE;
      this.forget();
      return this.rules.whyNone(packet, port, direction, this.from, nowMs);
    }
    this.tracker.take(packet, direction, this.wordOf(rule), nowMs);
    if (direction === GATE_EGRESS) this.tlsNames.admit(packet, this.flow);
    this.note(rule - 1, this.rules.auditedFor);
    return PASS;
  }

  /** Notes that a rule has admitted something. @param auditedFor for `auditedFor`, if the rule only audits */
  private note(rule: number, auditedFor: number): void {
    this.rule = rule;
    this.ruleHits.note(rule);
    this.isFirstAudited = isAudit(this.policy, rule);
    this.auditedFor = auditedFor;
  }

  /** The rule word of a flow that a rule (its number plus 1) admits now. */
  private wordOf(rule: number): number {
    return packRule(rule - 1, this.policy.generation);
  }

  private admitUntracked(rule: number, ended: FlowIndex): number {
    if (!this.passes.eventsFull && this.events.isFull) return EVENTS_FULL;
    this.forgetEnded(ended);
    this.note(rule, this.rules.auditedFor);
    return PASS;
  }

  private forgetEnded(ended: FlowIndex): void {
    const { tracker } = this;
    if (ended !== NO_FLOW) tracker.remove(tracker.aimedTable, ended, ENDED_BY_REOPENING);
  }

  /**
   * Whether the ICMP error quotes a packet of a known flow, sent by the side that the error goes to. Such errors pass
   * without a rule, so that path MTU discovery and refusals work. The error must be addressed to the sender of the
   * quoted packet. Otherwise anybody who guesses a flow could have errors about it delivered elsewhere.
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
    // An inbound error is about a packet that the instance sent, so the quoted source is local.
    const quotedFromLocal = direction === GATE_INGRESS;
    const { tracker } = this;
    tracker.aim(quoted, port, quotedFromLocal);
    const flow = tracker.find(nowMs);
    // Check the flow against new rules, as a packet of its own would. Otherwise errors about an ended flow would pass.
    const isKnown =
      flow !== NO_FLOW &&
      this.recheck(tracker.aimedTable, flow, nowMs) &&
      isSentBy(tracker.aimedTable, flow, quoted, quotedFromLocal);
    tracker.aim(packet, port, direction === GATE_EGRESS);
    if (isKnown) return true;
    // Without a flow, an instance may only report about packets that were sent to itself.
    if (!quotedFromLocal && portOfDestination(this.policy, quoted) !== port) return false;
    const localPort = quotedFromLocal ? quoted.srcPort : quoted.dstPort;
    const remotePort = quotedFromLocal ? quoted.dstPort : quoted.srcPort;
    return this.matcher.isUntracked(port, quoted.family, quoted.protocol, localPort, remotePort);
  }
}

/** Whether the flow is not revoked and may have sent the quoted packet. */
function isSentBy(table: FlowTable, flow: FlowIndex, quoted: Packet, fromLocal: boolean): boolean {
  if (stateOf(table, flow) === REVOKED_FLOW) return false;
  const { protocol, tcpSequence } = quoted;
  return (
    protocol !== PROTO_TCP || isSegmentOf(table.words, placeOf(table, flow), tcpSequence, fromLocal)
  );
}

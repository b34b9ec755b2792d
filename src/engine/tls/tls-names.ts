/**
 * Judges connections whose rule requires the server name of TLS: `tlsName: required` beside a DNS name.
 *
 * Theory of operation
 *
 * An address is not a name: many sites share one. So a rule may require that the connection says the name too, in the
 * ClientHello with which TLS begins (RFC 6066). The gate that opens such a connection marks its entry (NAME_AWAITED).
 * Until the name is known, packets without data pass as ever. Of data, only parts of one ClientHello pass, in order,
 * each when it comes: nothing is held back, so a server gets the parts of one whose last part is refused. The last
 * part passes if the name is one that a rule requires and that has the connection's address. Otherwise the connection
 * is closed: its opener's data is dropped from then on, and only a new SYN opens it again.
 *
 * NAME_BEGUN says that parts are kept (hello-parts.ts). It stays when the name was good, until the other side has
 * acknowledged the ClientHello. A marked connection whose parts are gone (a restart, a move, a time-out) is closed with
 * the next data. The fast path leaves marked connections alone.
 *
 * What does not fit, but may come again and fit then, is dropped and closes nothing (TLS_NAME_AWAITED): data in a SYN
 * (the client sends it again without), data ahead of a gap, data of the server before the client's, fragments.
 * Where bytes may mean two things the connection is closed: the urgent bytes of TCP are none of the stream to some
 * receivers, and another content in the same place is the attack that hello-parts.ts tells of.
 *
 * Audit: what would be dropped by this passes if audit covers the connection, which is then an audited one.
 */
import {
  generationIn,
  packRule,
  placeOf,
  ruleIn,
  setRuleWordAt,
  stateWordAt,
  type FlowIndex,
} from '../../conntrack/entry.ts';
import { markAdmitted, markBegun, markNamed, refusedState } from '../../conntrack/name-marks.ts';
import {
  NAME_AWAITED,
  NAME_BEGUN,
  NAME_REFUSED,
  REVOKED_FLOW,
  STATE_MASK,
  TCP_SYN_SENT,
} from '../../conntrack/states.ts';
import type { FlowTable } from '../../conntrack/table.ts';
import { openerEnd } from '../../conntrack/tcp-sides.ts';
import { isOpeningSyn } from '../../conntrack/tcp.ts';
import { FLOW_PASSES } from '../../conntrack/verdicts.ts';
import { GATE_EGRESS, type CompiledPolicy } from '../../policy/compiled.ts';
import { NO_RULE } from '../../policy/match.ts';
import { TCP_ACK, TCP_RST, TCP_SYN, TCP_URG } from '../../wire/fields.ts';
import { FRAGMENT_NONE, type Packet } from '../../wire/packet.ts';
import type { GateRules } from '../gate-rules.ts';
import { PASS, TLS_NAME, TLS_NAME_AWAITED, TLS_NAMES_FULL } from '../reasons.ts';
import type { Tracker } from '../tracker.ts';
import { ClientHello, HELLO_NAMED } from './client-hello.ts';
import { HelloParts, NO_SLOT, PARTS_MORE, PARTS_WHOLE } from './hello-parts.ts';

export class TlsNames {
  /** Number plus 1 of the rule by which audit lets the packet pass that `judge` was called for last; or NO_RULE. */
  auditedBy = NO_RULE;
  /** Then the reason that it would have been dropped for. */
  auditedFor = PASS;
  private readonly tracker: Tracker;
  private readonly rules: GateRules;
  private readonly ports: number;
  /** Made when a policy requires a name for the first time. */
  private parts: HelloParts | null = null;
  private readonly hello = new ClientHello();

  /** @param ports number of ports */
  constructor(tracker: Tracker, rules: GateRules, ports: number) {
    this.tracker = tracker;
    this.rules = rules;
    this.ports = ports;
  }

  setPolicy(policy: CompiledPolicy): void {
    if (policy.names.requiresTlsName) this.makeParts();
  }

  private makeParts(): void {
    const { flows4, flows6 } = this.tracker;
    this.parts ??= new HelloParts(flows4, flows6, this.ports);
  }

  /** Marks the flow of a packet that a rule has admitted just now, by whether that rule requires a name. */
  admit(packet: Packet, flow: FlowIndex): void {
    const table = packet.family === 4 ? this.tracker.flows4 : this.tracker.flows6;
    markAdmitted(table.words, placeOf(table, flow), this.rules.requiresTlsName);
  }

  /**
   * Judges a packet of the marked flow that the tracker has found and has not moved yet. If it passes, `follow` moves
   * it.
   * @returns PASS or a drop reason
   */
  judge(
    view: DataView,
    packet: Packet,
    port: number,
    direction: number,
    hasIllegalFlags: boolean,
    nowMs: number,
  ): number {
    const { tracker, rules } = this;
    const { followed } = tracker;
    const fromLocal = direction === GATE_EGRESS;
    const table = packet.family === 4 ? tracker.flows4 : tracker.flows6;
    const at = placeOf(table, followed);
    this.auditedBy = NO_RULE;
    const reason = this.judgeData(view, packet, port, fromLocal, hasIllegalFlags, nowMs);
    if (reason === PASS) return PASS;
    const audited = rules.findAudit(packet, port, fromLocal, GATE_EGRESS);
    const isClosed = (stateWordAt(table.words, at) & NAME_REFUSED) !== 0;
    if (audited !== NO_RULE && !isClosed) {
      this.auditedBy = audited;
      this.auditedFor = reason;
      return PASS;
    }
    if (reason === TLS_NAME && !isClosed) {
      this.forget(table, followed);
      tracker.end(table, followed, refusedState(stateWordAt(table.words, at)), nowMs);
    }
    return reason;
  }

  /** Makes the flow one that passes by audit from here on, after `follow` has passed what `judge` was called for. */
  passByAudit(packet: Packet): void {
    const { followed, followedRule, flows4, flows6 } = this.tracker;
    const table = packet.family === 4 ? flows4 : flows6;
    const at = placeOf(table, followed);
    this.forget(table, followed);
    markAdmitted(table.words, at, false);
    setRuleWordAt(table.words, at, packRule(this.auditedBy - 1, generationIn(followedRule)));
  }

  /** Moves the flow by a packet that `judge` lets pass. @returns as Tracker.follow */
  follow(
    packet: Packet,
    port: number,
    direction: number,
    hasIllegalFlags: boolean,
    nowMs: number,
  ): number {
    const { tracker } = this;
    tracker.isNameJudged = true;
    const verdict = tracker.follow(packet, port, direction, hasIllegalFlags, nowMs);
    tracker.isNameJudged = false;
    if (verdict === FLOW_PASSES && direction !== GATE_EGRESS) this.noteAnswer(packet);
    return verdict;
  }

  /** Forgets a ClientHello that the other side has acknowledged as a whole: it takes no other one. */
  private noteAnswer(packet: Packet): void {
    const { tracker, parts } = this;
    const table = packet.family === 4 ? tracker.flows4 : tracker.flows6;
    const at = placeOf(table, tracker.followed);
    const word = stateWordAt(table.words, at);
    if ((word & (NAME_AWAITED | NAME_BEGUN)) !== NAME_BEGUN || parts === null) return;
    const slot = parts.find(table, tracker.followed);
    if (slot === NO_SLOT || (packet.tcpFlags & TCP_ACK) === 0) return;
    if (parts.offsetOf(slot, packet.tcpAcknowledgment) < parts.receivedOf(slot)) return;
    parts.release(slot);
    markAdmitted(table.words, at, false);
  }

  private judgeData(
    view: DataView,
    packet: Packet,
    port: number,
    fromLocal: boolean,
    hasIllegalFlags: boolean,
    nowMs: number,
  ): number {
    const { tracker } = this;
    const { tcpFlags } = packet;
    const table = packet.family === 4 ? tracker.flows4 : tracker.flows6;
    const word = stateWordAt(table.words, placeOf(table, tracker.followed));
    const state = word & STATE_MASK;
    // What the rules have ended is the tracker's to refuse.
    if (state === REVOKED_FLOW) return PASS;
    // The other fragments of a segment are not seen here, and may hold anything.
    const mayHaveData = packet.tcpPayloadBytes > 0 || packet.fragment !== FRAGMENT_NONE;
    if ((word & NAME_REFUSED) !== 0) {
      // So that both ends may give up: a new SYN, the opener's RST, and what the other side sends without data.
      const mayPass = !fromLocal || (tcpFlags & TCP_RST) !== 0;
      const isSyn = isOpeningSyn(tcpFlags) && packet.fragment === FRAGMENT_NONE;
      return isSyn || (mayPass && !mayHaveData && !hasIllegalFlags) ? PASS : TLS_NAME;
    }
    if (!mayHaveData && !hasIllegalFlags) return PASS;
    if (!fromLocal) return (word & NAME_AWAITED) === 0 ? PASS : TLS_NAME_AWAITED;
    if (packet.fragment !== FRAGMENT_NONE || hasIllegalFlags) return TLS_NAME_AWAITED;
    if ((tcpFlags & TCP_SYN) !== 0 || state === TCP_SYN_SENT) return TLS_NAME_AWAITED;
    return (tcpFlags & TCP_URG) !== 0 ? TLS_NAME : this.judgePart(view, packet, port, table, nowMs);
  }

  /** Judges data of the opener. */
  private judgePart(
    view: DataView,
    packet: Packet,
    port: number,
    table: FlowTable,
    nowMs: number,
  ): number {
    const { parts } = this;
    const { followed } = this.tracker;
    const at = placeOf(table, followed);
    const word = stateWordAt(table.words, at);
    const hasBegun = (word & NAME_BEGUN) !== 0;
    // A policy that requires no name has been put in force since.
    if (parts === null) return TLS_NAME;
    let slot = hasBegun ? parts.find(table, followed) : NO_SLOT;
    if (!hasBegun) {
      if (packet.tcpSequence !== openerEnd(table.words, at)) return TLS_NAME_AWAITED;
      slot = parts.open(table, followed, port, packet.tcpSequence, nowMs);
      if (slot === NO_SLOT) return TLS_NAMES_FULL;
      markBegun(table.words, at);
    }
    if (slot === NO_SLOT) return TLS_NAME;
    const offset = parts.offsetOf(slot, packet.tcpSequence);
    const received = parts.receivedOf(slot);
    const isNamed = (word & NAME_AWAITED) === 0;
    if (offset < 0) return TLS_NAME_AWAITED;
    if (offset > received) return isNamed ? PASS : TLS_NAME_AWAITED;
    const length = packet.tcpPayloadBytes;
    const start = packet.endOffset - length;
    if (!parts.isSame(slot, view, start, length, offset)) return TLS_NAME;
    parts.renew(slot, nowMs);
    const known = received - offset;
    if (isNamed || length <= known) return PASS;
    const result = parts.take(slot, view, start + known, length - known);
    if (result === PARTS_MORE) return PASS;
    return result === PARTS_WHOLE && this.isGood(parts, slot, packet, port, table, nowMs)
      ? PASS
      : TLS_NAME;
  }

  /** Judges a ClientHello that is whole, and notes it if a rule admits its name. */
  private isGood(
    parts: HelloParts,
    slot: number,
    packet: Packet,
    port: number,
    table: FlowTable,
    nowMs: number,
  ): boolean {
    const { tracker, rules, hello } = this;
    const { names, matcher } = rules;
    if (names === null || hello.read(parts.message, parts.gather(slot)) !== HELLO_NAMED)
      return false;
    const own = ruleIn(tracker.followedRule);
    const rule = names.findNamedRule(matcher, packet, port, own, hello, nowMs);
    if (rule === NO_RULE) return false;
    const at = placeOf(table, tracker.followed);
    markNamed(table.words, at);
    setRuleWordAt(table.words, at, packRule(rule - 1, generationIn(tracker.followedRule)));
    return true;
  }

  private forget(table: FlowTable, flow: FlowIndex): void {
    const { parts } = this;
    const slot = parts === null ? NO_SLOT : parts.find(table, flow);
    if (slot !== NO_SLOT) parts!.release(slot);
  }
}

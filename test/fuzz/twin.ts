/**
 * The plain twin of the engine: the same questions in the same order, with objects, strings and Maps.
 *
 * Theory of operation. What is compared is the verdict on every packet, the port it leaves by or the drop reason,
 * and what was decoded of it. Nothing of src/wire, src/conntrack or src/engine is used, so neither hides a mistake
 * of the other; the rules come as the model, before they are compiled. It is written from docs/conntrack.md,
 * docs/changes.md and docs/drop-reasons.md, each file naming its sections, and for the order of questions from
 * ARCHITECTURE.md, "The way of a packet".
 *
 * Exact as long as (1) flow tables have room for all, or 16 entries at most, which one look at them covers; (2)
 * fragments have room for all, or less than 30 s pass. Worlds are made so (episode.ts); what is beyond that is fuzzed without the twin.
 */
import type { PolicyModel } from '../../src/policy/model.ts';
import { decodePlainly, type TwinPacket } from './twin-decode.ts';
import { stateOf, TwinFlows, type FlowLimits } from './twin-flows.ts';
import { TwinFragments } from './twin-fragments.ts';
import {
  admittingRules,
  isAdmitted,
  isAudited,
  isUntracked,
  readInterfaces,
  type PlainInterface,
} from './twin-rules.ts';
import { isDhcpReply, isForTheLink, isMartian } from './twin-scope.ts';
import {
  advance,
  areLegal,
  flowKey,
  kindOf,
  portsOfFlow,
  type Flow,
  type Gate,
  type Opened,
} from './twin-packet-flow.ts';
import { canHaveSent, openTcpPlainly, takeAdmittedPlainly } from './twin-tcp.ts';

export interface TwinOptions extends Omit<FlowLimits, 'interfaces'> {
  readonly acceptsMidstream: boolean;
  readonly checksWindow: boolean;
  readonly hasUplink: boolean;
  readonly datagrams: number;
  /** docs/conntrack.md, "Exceptions". */
  readonly passes: {
    readonly tableFull: boolean;
    readonly invalid: boolean;
    readonly fragment: boolean;
    readonly eventsFull: boolean;
  };
  /** Nobody takes what the engine tells of flows, and there is no room to tell more. */
  readonly isEventRingFull: boolean;
  /** Addresses, as strings of a character a byte, that no interface may send from: the platform's and the uplink's own. */
  readonly reserved: readonly string[];
  readonly uplink: readonly string[];
  /** Services that are never filtered on the way out: address, protocol, port. */
  readonly exempt: readonly string[];
  readonly allowsClassE: boolean;
}

export class Twin {
  /** What the last packet was decoded to, or why it was not. */
  decoded: TwinPacket | string = '';
  /** How many packets each exception has let pass. */
  readonly excused = { tableFull: 0, invalid: 0, fragment: 0 };
  /** docs/howto/audit.md: packets and bytes that passed by audit alone, by interface and gate (`web ingress`). */
  readonly audited = new Map<string, readonly [packets: number, bytes: number]>();
  private readonly flows: TwinFlows<Flow>;
  private readonly fragments: TwinFragments;
  private readonly options: TwinOptions;
  private model: PolicyModel;
  private interfaces: readonly PlainInterface[];
  /** All rules before these. */
  private readonly past: (readonly PlainInterface[])[] = [];
  /** Who opened each UDP flow while it was untracked, and when its last packet came. */
  private readonly openers = new Map<string, { isLocal: boolean; seenMs: number }>();
  private changes = 0;
  /** Of the packet being judged. */
  private isFromPlatform = false;
  /** The gate whose refusal audit passes over, of what the packet passed by. */
  private auditedAt: Gate | undefined;
  private readonly portOf = new Map<string, number>();

  constructor(model: PolicyModel, options: TwinOptions) {
    this.options = options;
    this.model = model;
    this.interfaces = readInterfaces(model);
    this.flows = new TwinFlows({ ...options, interfaces: this.interfaces.length });
    this.fragments = new TwinFragments(options.datagrams);
    for (const { port, addresses } of this.interfaces)
      for (const address of addresses) this.portOf.set(address, port);
  }

  /** Whether something came about that this twin does not know the engine's answer to. */
  get isUnsure(): boolean {
    return this.fragments.isUnsure;
  }

  /** Flows within their time-outs, by state. */
  census(nowMs: number): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const flow of this.flows.live(nowMs)) {
      const state = stateOf(flow);
      counts[state] = (counts[state] ?? 0) + 1;
    }
    return counts;
  }

  /** Other rules for the same interfaces: docs/changes.md, "What happens to connections". */
  changeRules(model: PolicyModel): void {
    this.model = model;
    this.past.push(this.interfaces);
    this.interfaces = readInterfaces(model);
    this.changes++;
  }

  /** ARCHITECTURE.md, "Changing the policy": every flow is held against the new rules, some a round … */
  holdAll(nowMs: number): void {
    for (const flow of this.flows.live(nowMs)) this.hold(flow, nowMs);
  }

  /** The port the packet leaves by, or the name of the reason why it is dropped. */
  judge(bytes: Uint8Array, length: number, from: number, nowMs: number): number | string {
    const packet = decodePlainly(bytes, 0, length, false);
    this.decoded = packet;
    if (typeof packet === 'string') return packet;
    if (isForTheLink(packet))
      return from !== 0 &&
        (isDhcpReply(packet) || (packet.icmp?.type === 134 && packet.family === 6))
        ? 'rogue-server'
        : 'link-scope';
    if (isMartian(packet, this.options.allowsClassE)) return 'martian';
    const owner = this.portOf.get(packet.src);
    if (from === 0) {
      if (owner !== undefined) return 'uplink-spoof';
    } else if (owner !== from) {
      // Without the check it may speak for strangers alone: not for another interface, the platform or the uplink.
      const isStranger = owner === undefined && !this.options.reserved.includes(packet.src);
      if (this.interfaces[from - 1].isChecked || !isStranger) return 'source-check';
    }

    const to = this.portOf.get(packet.dst) ?? 0;
    if (to === from || (to === 0 && !this.isBeyondUplink(packet.dst))) return 'no-route';
    // docs/how-it-decides.md, "Services of the platform".
    const isFromPlatform = from !== 0 && this.interfaces[from - 1].isPlatform;
    this.isFromPlatform = isFromPlatform;
    const isToPlatform = to !== 0 && this.interfaces[to - 1].isPlatform;
    if (isToPlatform && (from === 0 || !this.isExempt(packet))) return 'no-route';
    if (isToPlatform && owner !== from) return 'source-check';
    if (isFromPlatform && to === 0) return 'no-route';
    if (from !== 0 && to !== 0 && isDhcpReply(packet)) return 'rogue-server';
    if (from !== 0 && !isFromPlatform) {
      const refusal = this.pass(bytes, packet, from, from, 'egress', nowMs, length);
      if (refusal !== undefined) return refusal;
    }
    if (to !== 0 && !isToPlatform) {
      const refusal = this.pass(bytes, packet, from, to, 'ingress', nowMs, length);
      if (refusal !== undefined) return refusal;
    }
    return to;
  }

  /** docs/how-it-decides.md: nothing is forwarded to 169.254.0.0/16 or fd00:ec2::/32 but where something is provided. */
  private isBeyondUplink(address: string): boolean {
    const { hasUplink, uplink, exempt } = this.options;
    const isOfBlock = address.startsWith(address.length === 4 ? '\xa9\xfe' : '\xfd\x00\x0e\xc2');
    const isProvided =
      uplink.includes(address) || exempt.some((service) => service.startsWith(`${address} `));
    return hasUplink && (!isOfBlock || isProvided);
  }

  private isExempt({ dst, protocol, dstPort }: TwinPacket): boolean {
    return this.options.exempt.includes(`${dst} ${protocol} ${dstPort}`);
  }

  /** Whether an address is an interface's: its port, or undefined. */
  portOfAddress(address: string): number | undefined {
    return this.portOf.get(address);
  }

  /** … or when its next packet comes. @returns whether it is still remembered */
  private hold(flow: Flow, nowMs: number): boolean {
    if (flow.heldAgainst === this.changes) return true;
    flow.heldAgainst = this.changes;
    if (flow.isRevoked || this.outlives(flow)) return true;
    this.flows.change(flow, () => (flow.isRevoked = true));
    // "What is tracked": so long since it ended, or its last packet since.
    flow.seenMs = nowMs;
    return true;
  }

  private outlives(flow: Flow): boolean {
    const { port, opened, auditedAt } = flow;
    if (opened === undefined) return true;
    const { gate, question, remote, rules } = opened;
    // "Enforced, an audited flow ends if no rule admits it, whatever revocation says", and goes by a rule that does.
    if (auditedAt !== undefined) {
      const asked = { ...question, ...portsOfFlow(flow, auditedAt) };
      const found = admittingRules(this.interfaces[port - 1][auditedAt], asked, remote);
      flow.opened = { ...opened, rules: found.map(({ id }) => id) };
      if (found.length > 0) flow.auditedAt = undefined;
      else if (!isAudited(this.interfaces[port - 1], auditedAt, asked, remote)) return false;
      return true;
    }
    const groups = [...this.model.groups.values()];
    // In these worlds all groups say the same.
    const revocation = groups[0].revocation ?? 'aws';
    if (revocation === 'aws') return true;
    const admitting = admittingRules(this.interfaces[port - 1][gate], question, remote);
    const left = rules.filter((id) => admitting.some((rule) => rule.id === id));
    if (revocation === 'recheck' ? admitting.length > 0 : left.length > 0) {
      if (revocation === 'cut' && left.length < rules.length)
        throw new Error(`not to be told which of ${rules.join(', ')} admitted the connection`);
      return true;
    }
    if (!isAudited(this.interfaces[port - 1], gate, question, remote)) return false;
    flow.auditedAt = gate;
    return true;
  }

  private pass(
    bytes: Uint8Array,
    packet: TwinPacket,
    from: number,
    port: number,
    gate: Gate,
    nowMs: number,
    length: number,
  ): string | undefined {
    this.auditedAt = undefined;
    const refusal = this.passFragment(bytes, packet, from, port, gate, nowMs);
    if (refusal !== undefined || this.auditedAt === undefined) return refusal;
    // "All packets of an audited flow count", at the gate whose rules would have refused it.
    const key = `${port} ${String(this.auditedAt)}`;
    const [packets, soFar] = this.audited.get(key) ?? [0, 0];
    this.audited.set(key, [packets + 1, soFar + length]);
    return undefined;
  }

  private passFragment(
    bytes: Uint8Array,
    packet: TwinPacket,
    from: number,
    port: number,
    gate: Gate,
    nowMs: number,
  ): string | undefined {
    if (packet.fragment === 'none') return this.passWhole(bytes, packet, port, gate, nowMs);
    // "Fragments": by gate, family, addresses, identification and, in IPv4, protocol.
    const protocol = packet.family === 4 ? packet.protocol : 'IPv6';
    const key = `${port} ${gate} ${protocol} ${packet.fragmentId} ${packet.src}${packet.dst}`;
    const refusal = this.fragments.pass(key, from, packet, nowMs, () =>
      this.passWhole(bytes, packet, port, gate, nowMs),
    );
    if (refusal !== 'fragment-early' || !this.options.passes.fragment) return refusal;
    this.excused.fragment++;
    return undefined;
  }

  /** "Exceptions": what passes nevertheless. */
  private passWhole(
    bytes: Uint8Array,
    packet: TwinPacket,
    port: number,
    gate: Gate,
    nowMs: number,
  ): string | undefined {
    const { passes } = this.options;
    const refusal = this.passStrictly(bytes, packet, port, gate, nowMs);
    if (passes.invalid && (refusal === 'tcp-state' || refusal === 'tcp-window'))
      this.excused.invalid++;
    else if (passes.tableFull && refusal === 'conntrack-full') this.excused.tableFull++;
    else return refusal;
    return undefined;
  }

  private passStrictly(
    bytes: Uint8Array,
    packet: TwinPacket,
    port: number,
    gate: Gate,
    nowMs: number,
  ): string | undefined {
    const { tcp, icmp } = packet;
    const hasIllegalFlags = tcp !== undefined && !areLegal(tcp);
    if (hasIllegalFlags) {
      if (!this.options.passes.invalid) return 'tcp-flags';
      this.excused.invalid++;
    }
    const isLocal = gate === 'egress';
    const key = flowKey(packet, port, isLocal);
    const flow = this.flows.find(key, nowMs);
    if (flow !== undefined) {
      if (!this.hold(flow, nowMs)) return 'revoked';
      if (!flow.isRevoked) this.auditedAt = flow.auditedAt;
      // "Exceptions", `invalid`: the packet passes and moves nothing. What has ended has ended.
      if (hasIllegalFlags && flow.isRevoked) return 'revoked';
      if (hasIllegalFlags) return flow.tcp!.state === 'closed' ? 'tcp-closed' : undefined;
      const verdict = this.flows.change(flow, () => advance(flow, packet, isLocal, nowMs));
      // A SYN opens it anew, and what is remembered goes once the rules have admitted that.
      if (verdict === 'asks') return this.passByRules(flow, packet, port, gate, nowMs);
      if (verdict !== 'reopens') return verdict;
      this.auditedAt = undefined;
    }
    if (icmp?.kind === 'error' && this.isAboutFlow(bytes, packet, port, gate, nowMs))
      return undefined;
    return this.passNew(packet, port, gate, key, nowMs);
  }

  /** src/conntrack/tcp.ts, notes 3 and 5: a SYN of another connection, or what follows an opening not seen whole. */
  private passByRules(
    flow: Flow,
    packet: TwinPacket,
    port: number,
    gate: Gate,
    nowMs: number,
  ): string | undefined {
    const tcp = packet.tcp!;
    const isSyn = tcp.flags === 'S';
    if (!isSyn && !this.options.acceptsMidstream) return 'tcp-state';
    const isLocal = gate === 'egress';
    const remote = isLocal ? packet.dst : packet.src;
    const isToPlatform = isLocal && this.isExempt(packet);
    const letIn = isToPlatform ? 'by rules' : this.letIn(packet, port, gate, remote);
    if (letIn === 'not') return isSyn ? `${gate}-rules` : 'tcp-state';
    this.auditedAt = letIn === 'by audit' ? gate : undefined;
    this.flows.change(flow, () => {
      const taken = takeAdmittedPlainly(flow.tcp!, tcp, flow.isOpenedLocally === isLocal);
      if (taken === 'turned') flow.isOpenedLocally = isLocal;
      if (taken === 'passes') flow.seenMs = nowMs;
    });
    if (flow.isOpenedLocally !== isLocal) return undefined;
    flow.opened = isToPlatform ? undefined : this.openedBy(packet, port, gate, remote);
    flow.auditedAt = this.auditedAt;
    return undefined;
  }

  private passNew(
    packet: TwinPacket,
    port: number,
    gate: Gate,
    key: string,
    nowMs: number,
  ): string | undefined {
    const own = this.interfaces[port - 1];
    const isLocal = gate === 'egress';
    const remote = isLocal ? packet.dst : packet.src;
    const { tcp, icmp } = packet;
    // "Where AWS is silent": traffic to the platform's services is never filtered, and tracked.
    const isToPlatform = isLocal && this.isExempt(packet);
    const isReopened = this.flows.find(key, nowMs) !== undefined;
    const opener = this.openerOf(key, nowMs);
    const letIn = isToPlatform ? 'by rules' : this.letIn(packet, port, gate, remote);
    let auditedAt = letIn === 'by audit' ? gate : undefined;
    if (!isToPlatform) {
      if (letIn === 'not') {
        if (opener !== undefined) opener.seenMs = nowMs;
        return `${gate}-rules`;
      }
      const ports = [packet.srcPort, packet.dstPort] as const;
      const [localPort, remotePort] = isLocal ? ports : [ports[1], ports[0]];
      if (isUntracked(own, packet, localPort, remotePort)) {
        if (packet.protocol === 17) {
          if (opener === undefined || isReopened) this.openers.set(key, { isLocal, seenMs: nowMs });
          else opener.seenMs = nowMs;
        }
        const unrecorded = this.refuseUnrecorded();
        if (unrecorded === undefined) this.flows.forget(key);
        return unrecorded;
      }
      // The same paragraph: "of UDP, until the side that had opened it …"; connections end with the rules that kept
      // them untracked, until a SYN opens them anew.
      const isAnswer = opener !== undefined && !isReopened && opener.isLocal !== isLocal;
      if (opener !== undefined && !isReopened) opener.seenMs = nowMs;
      const isPast =
        isAnswer ||
        (tcp !== undefined &&
          tcp.flags !== 'S' &&
          this.past.some((was) => isUntracked(was[port - 1], packet, localPort, remotePort)));
      if (isPast && auditedAt === undefined) {
        // docs/howto/audit.md: "Connections that were untracked when their rule began to audit go on, and count."
        const other = isLocal ? 'ingress' : 'egress';
        const asked = { ...packet, dstPort: isLocal ? localPort : remotePort };
        if (isAudited(own, other, asked, remote)) auditedAt = other;
        else {
          if (!isAnswer) return 'revoked';
          const revoked = this.makeFlow(packet, port, gate, key, nowMs);
          this.flows.openIfRoom({ ...revoked, isOpenedLocally: !isLocal, isRevoked: true }, nowMs);
          return 'revoked';
        }
      }
    }
    if (tcp !== undefined && tcp.flags !== 'S' && !this.options.acceptsMidstream)
      return 'tcp-midstream';
    // "What is tracked": ICMP messages that ask nothing are not.
    if (icmp !== undefined && icmp.kind !== 'query' && icmp.kind !== 'reply') {
      this.auditedAt = auditedAt;
      return this.refuseUnrecorded();
    }
    const unrecorded = this.refuseUnrecorded();
    if (unrecorded !== undefined) return unrecorded;
    this.auditedAt = auditedAt;
    const flow = { ...this.makeFlow(packet, port, gate, key, nowMs), auditedAt };
    const isOpen = this.flows.open(isToPlatform ? { ...flow, opened: undefined } : flow, nowMs);
    if (isOpen) this.openers.delete(key);
    return isOpen ? undefined : 'conntrack-full';
  }

  /** What the platform sends is an answer, or nothing. */
  private letIn(
    packet: TwinPacket,
    port: number,
    gate: Gate,
    remote: string,
  ): 'by rules' | 'by audit' | 'not' {
    const own = this.interfaces[port - 1];
    if (this.isFromPlatform) return 'not';
    if (isAdmitted(own[gate], packet, remote)) return 'by rules';
    return isAudited(own, gate, packet, remote) ? 'by audit' : 'not';
  }

  private makeFlow(packet: TwinPacket, port: number, gate: Gate, key: string, nowMs: number): Flow {
    const isLocal = gate === 'egress';
    const { tcp } = packet;
    return {
      key,
      port,
      kind: kindOf(packet),
      isOpenedLocally: isLocal,
      seenMs: nowMs,
      tcp: tcp === undefined ? undefined : openTcpPlainly(tcp, this.options.checksWindow),
      hasReplied: false,
      hasAskedAgain: false,
      isStream: false,
      isRevoked: false,
      heldAgainst: this.changes,
      auditedAt: undefined,
      ports: isLocal ? [packet.srcPort, packet.dstPort] : [packet.dstPort, packet.srcPort],
      opened: this.openedBy(packet, port, gate, isLocal ? packet.dst : packet.src),
    };
  }

  /** "Untracked flows": as long as it may be idle that was opened by somebody while it was untracked. */
  private openerOf(key: string, nowMs: number): { isLocal: boolean; seenMs: number } | undefined {
    const opener = this.openers.get(key);
    return opener === undefined || nowMs - opener.seenMs > 432_000_000 ? undefined : opener;
  }

  /** src/engine/events.ts, "Shape": what would begin a flow is refused while the ring is full, if that is asked for. */
  private refuseUnrecorded(): string | undefined {
    const { isEventRingFull, passes } = this.options;
    return isEventRingFull && !passes.eventsFull ? 'events-full' : undefined;
  }

  private openedBy(packet: TwinPacket, port: number, gate: Gate, remote: string): Opened {
    const { family, protocol, dstPort, icmp } = packet;
    const rules = this.interfaces[port - 1][gate];
    return {
      gate,
      remote,
      rules: admittingRules(rules, packet, remote).map(({ id }) => id),
      // "Where we differ": queries are tracked by type and identifier, so the code is not known later on.
      question: { family, protocol, dstPort, icmp: icmp && { type: icmp.type, code: 0 } },
    };
  }

  /** "ICMP errors", line by line. */
  private isAboutFlow(
    bytes: Uint8Array,
    packet: TwinPacket,
    port: number,
    gate: Gate,
    nowMs: number,
  ): boolean {
    const quoted = decodePlainly(bytes, packet.transportAt + 8, packet.end, true);
    if (typeof quoted === 'string') return false;
    if (quoted.family !== packet.family || quoted.src !== packet.dst) return false;
    if (quoted.fragment === 'later' || quoted.icmp?.kind === 'error') return false;
    const isQuotedLocal = gate === 'ingress';
    const flow = this.flows.find(flowKey(quoted, port, isQuotedLocal), nowMs);
    if (flow !== undefined && this.hold(flow, nowMs) && !flow.isRevoked) {
      const isOpener = flow.isOpenedLocally === isQuotedLocal;
      if (flow.tcp === undefined || canHaveSent(flow.tcp, quoted.quotedSeq, isOpener)) return true;
    }
    // Untracked: "if the instance itself sent or received the quoted packet by its addresses".
    if (!isQuotedLocal && this.portOf.get(quoted.dst) !== port) return false;
    const localPort = isQuotedLocal ? quoted.srcPort : quoted.dstPort;
    const remotePort = isQuotedLocal ? quoted.dstPort : quoted.srcPort;
    return isUntracked(this.interfaces[port - 1], quoted, localPort, remotePort);
  }
}

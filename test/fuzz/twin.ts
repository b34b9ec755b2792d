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
import { decodePlainly, type TwinPacket, type TwinSegment } from './twin-decode.ts';
import { stateOf, TwinFlows, type FlowLimits, type TwinFlow } from './twin-flows.ts';
import { TwinFragments } from './twin-fragments.ts';
import {
  admittingRules,
  isAdmitted,
  isUntracked,
  readInterfaces,
  type PlainInterface,
  type Question,
} from './twin-rules.ts';
import { isDhcpReply, isForTheLink, isMartian } from './twin-scope.ts';
import { advanceTcpPlainly, canHaveSent, openTcpPlainly, takeAdmittedPlainly } from './twin-tcp.ts';

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

interface Flow extends TwinFlow {
  /** What is asked of new rules; undefined: it goes to the platform, which no rule is asked about. */
  opened: Opened | undefined;
  /** The change of rules it was last held against, by number. */
  heldAgainst: number;
}

/** A flow as if it were opened again. */
interface Opened {
  readonly gate: Gate;
  readonly question: Question;
  readonly remote: string;
  /** Ids of all rules that admitted it. */
  readonly rules: readonly string[];
}

type Gate = 'ingress' | 'egress';

/** docs/drop-reasons.md, `tcp-flags`; with URG only where there can be data. */
const LEGAL_FLAGS: readonly string[] = ['S', 'SA', 'A', 'FA', 'R', 'RA'];
const LEGAL_URGENT_FLAGS: readonly string[] = ['S', 'A', 'FA'];

export class Twin {
  /** What the last packet was decoded to, or why it was not. */
  decoded: TwinPacket | string = '';
  /** How many packets each exception has let pass. */
  readonly excused = { tableFull: 0, invalid: 0, fragment: 0 };
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
      const refusal = this.pass(bytes, packet, from, from, 'egress', nowMs);
      if (refusal !== undefined) return refusal;
    }
    if (to !== 0 && !isToPlatform) {
      const refusal = this.pass(bytes, packet, from, to, 'ingress', nowMs);
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

  private outlives({ port, opened }: Flow): boolean {
    if (opened === undefined) return true;
    const { gate, question, remote, rules } = opened;
    const groups = [...this.model.groups.values()];
    // In these worlds all groups say the same.
    const revocation = groups[0].revocation ?? 'aws';
    if (revocation === 'aws') return true;
    const admitting = admittingRules(this.interfaces[port - 1][gate], question, remote);
    if (revocation === 'recheck') return admitting.length > 0;
    const left = rules.filter((id) => admitting.some((rule) => rule.id === id));
    if (left.length > 0 && left.length < rules.length)
      throw new Error(`not to be told which of ${rules.join(', ')} admitted the connection`);
    return left.length > 0;
  }

  private pass(
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
      // "Exceptions", `invalid`: the packet passes and moves nothing. What has ended has ended.
      if (hasIllegalFlags && flow.isRevoked) return 'revoked';
      if (hasIllegalFlags) return flow.tcp!.state === 'closed' ? 'tcp-closed' : undefined;
      const verdict = this.flows.change(flow, () => advance(flow, packet, isLocal, nowMs));
      // A SYN opens it anew, and what is remembered goes once the rules have admitted that.
      if (verdict === 'asks') return this.passByRules(flow, packet, port, gate, nowMs);
      if (verdict !== 'reopens') return verdict;
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
    if (!isToPlatform && !this.isLetIn(packet, port, gate, remote))
      return isSyn ? `${gate}-rules` : 'tcp-state';
    this.flows.change(flow, () => {
      const taken = takeAdmittedPlainly(flow.tcp!, tcp, flow.isOpenedLocally === isLocal);
      if (taken === 'turned') flow.isOpenedLocally = isLocal;
      if (taken === 'passes') flow.seenMs = nowMs;
    });
    if (flow.isOpenedLocally === isLocal)
      flow.opened = isToPlatform ? undefined : this.openedBy(packet, port, gate, remote);
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
    if (!isToPlatform) {
      if (!this.isLetIn(packet, port, gate, remote)) {
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
      // The same paragraph: "of UDP, until the side that had opened it …".
      if (opener !== undefined && !isReopened) {
        opener.seenMs = nowMs;
        if (opener.isLocal !== isLocal) {
          const revoked = this.makeFlow(packet, port, gate, key, nowMs);
          this.flows.openIfRoom({ ...revoked, isOpenedLocally: !isLocal, isRevoked: true }, nowMs);
          return 'revoked';
        }
      }
      // "Untracked flows": connections end with the rules that kept them untracked, until a SYN opens them anew.
      if (tcp !== undefined && tcp.flags !== 'S')
        if (this.past.some((was) => isUntracked(was[port - 1], packet, localPort, remotePort)))
          return 'revoked';
    }
    if (tcp !== undefined && tcp.flags !== 'S' && !this.options.acceptsMidstream)
      return 'tcp-midstream';
    // "What is tracked": ICMP messages that ask nothing are not.
    if (icmp !== undefined && icmp.kind !== 'query' && icmp.kind !== 'reply')
      return this.refuseUnrecorded();
    const unrecorded = this.refuseUnrecorded();
    if (unrecorded !== undefined) return unrecorded;
    const flow = this.makeFlow(packet, port, gate, key, nowMs);
    const isOpen = this.flows.open(isToPlatform ? { ...flow, opened: undefined } : flow, nowMs);
    if (isOpen) this.openers.delete(key);
    return isOpen ? undefined : 'conntrack-full';
  }

  /** What the platform sends is an answer, or nothing. */
  private isLetIn(packet: TwinPacket, port: number, gate: Gate, remote: string): boolean {
    return !this.isFromPlatform && isAdmitted(this.interfaces[port - 1][gate], packet, remote);
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

/** Moves the flow. @returns undefined if the packet passes, `reopens`, or the reason why not */
function advance(
  flow: Flow,
  packet: TwinPacket,
  isLocal: boolean,
  nowMs: number,
): string | undefined {
  const isFromOpener = flow.isOpenedLocally === isLocal;
  if (flow.isRevoked) {
    // "What is tracked": so long since it ended, or its last packet since.
    flow.seenMs = nowMs;
    // Without TCP nothing tells an opening but who sends it.
    const opens = packet.tcp === undefined ? isFromOpener : packet.tcp.flags === 'S';
    return opens ? 'reopens' : 'revoked';
  }
  if (flow.tcp !== undefined) {
    const before = flow.tcp.state;
    const verdict = advanceTcpPlainly(flow.tcp, packet.tcp!, isFromOpener);
    const { state } = flow.tcp;
    if (verdict === 'unchanged') return undefined;
    if (verdict !== 'passes') return verdict;
    // "What is tracked": a connection lives 30 s after FIN, 10 s after RST, whatever still comes.
    if (state !== before || (state !== 'closing' && state !== 'closed')) flow.seenMs = nowMs;
    return undefined;
  }
  flow.seenMs = nowMs;
  // "What is tracked": a stream has more than one request and response.
  if (!isFromOpener) {
    if (flow.hasAskedAgain) flow.isStream = true;
    flow.hasReplied = true;
  } else if (flow.hasReplied) flow.hasAskedAgain = true;
  return undefined;
}

function areLegal({ flags, isUrgent }: TwinSegment): boolean {
  return (isUrgent ? LEGAL_URGENT_FLAGS : LEGAL_FLAGS).includes(flags);
}

function kindOf({ protocol }: TwinPacket): Flow['kind'] {
  if (protocol === 6) return 'tcp';
  if (protocol === 17) return 'udp';
  return protocol === 1 || protocol === 58 ? 'icmp' : 'other';
}

/** The flow as the interface sees it: its own side first, whoever sends ("What is tracked", "tracked by"). */
function flowKey(packet: TwinPacket, port: number, isLocal: boolean): string {
  const { icmp } = packet;
  const addresses = isLocal ? packet.src + packet.dst : packet.dst + packet.src;
  let what: string;
  if (icmp === undefined) {
    what = isLocal ? `${packet.srcPort} ${packet.dstPort}` : `${packet.dstPort} ${packet.srcPort}`;
  } else if (icmp.kind === 'query' || icmp.kind === 'reply') {
    const isAskedLocally = (icmp.kind === 'query') === isLocal;
    what = `${isAskedLocally ? 'we ask' : 'they ask'} ${icmp.query} ${icmp.id}`;
  } else what = 'asks nothing';
  return `${port} ${packet.protocol} ${what} ${addresses}`;
}

/**
 * One packet, from the port it came in by to the port it goes out by, or to the reason it was dropped.
 *
 *   decode ► source check ► egress gate of A ─┬─► ingress gate of B ► B
 *                                             └─► uplink
 *   uplink ► spoof check ─────────────────────────► ingress gate of B ► B
 *
 * Ports 0 … interfaces - 1 are the interfaces; the uplink, if there is one, is the port behind them.
 * Every way out returns a port or minus a drop reason and counts it.
 */
import { GATE_EGRESS, GATE_INGRESS, type CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost } from '../policy/match.ts';
import { decode } from '../wire/decode.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { count, EGRESS, INGRESS } from './counters.ts';
import { Gates, type Conntrack } from './gate.ts';
import { LINK_SCOPE, MARTIAN, NO_ROUTE, PASS, SOURCE_CHECK, UPLINK_SPOOF } from './reasons.ts';
import { isLinkScope, isMartian } from './scope.ts';

export interface EngineParts {
  readonly policy: CompiledPolicy;
  readonly conntrack: Conntrack;
  /** counterBytes(ports) of shared memory. */
  readonly counters: Float64Array;
  readonly hasUplink: boolean;
}

export class Engine {
  readonly gates: Gates;
  readonly counters: Float64Array;
  /** The packet last evaluated; the caller may read it until the next one. */
  readonly packet = new Packet();
  private policy: CompiledPolicy;
  private readonly hasUplink: boolean;

  constructor(parts: EngineParts) {
    this.policy = parts.policy;
    this.gates = new Gates(parts.policy, parts.conntrack);
    this.counters = parts.counters;
    this.hasUplink = parts.hasUplink;
  }

  /** Number of the uplink port, whether or not there is one. */
  get uplinkPort(): number {
    return this.policy.profiles.length;
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.gates.setPolicy(policy);
  }

  /**
   * Judges the IP packet at `offset` that came in by `port`.
   * @param length bytes captured
   * @param packets what it counts as: 1, or the segments of a GSO superpacket
   * @returns the port to write it to, or minus a drop reason
   */
  evaluate(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    packets: number,
    nowMs: number,
  ): number {
    const { packet, counters, uplinkPort } = this;
    const fromUplink = port === uplinkPort;
    const status = decode(view, offset, length, packet);
    const reason =
      status !== DECODE_OK
        ? status
        : fromUplink
          ? this.checkFromUplink(packet)
          : this.checkFromInterface(packet, port);
    const direction = fromUplink ? INGRESS : EGRESS;
    if (reason !== PASS) return this.drop(port, direction, reason, packets, length);

    const to = this.route(packet);
    if (to < 0 || (fromUplink && to === uplinkPort))
      return this.drop(port, direction, NO_ROUTE, packets, length);

    if (!fromUplink) {
      const refused = this.gates.judge(view, packet, port, GATE_EGRESS, nowMs);
      if (refused !== PASS) return this.drop(port, EGRESS, refused, packets, length);
    }
    count(counters, port, direction, PASS, packets, length);
    if (to === uplinkPort) {
      count(counters, to, EGRESS, PASS, packets, length);
      return to;
    }
    const refused = this.gates.judge(view, packet, to, GATE_INGRESS, nowMs);
    if (refused !== PASS) return this.drop(to, INGRESS, refused, packets, length);
    count(counters, to, INGRESS, PASS, packets, length);
    return to;
  }

  /** Counts a drop; returns what evaluate returns for it. */
  drop(port: number, direction: number, reason: number, packets: number, bytes: number): number {
    count(this.counters, port, direction, reason, packets, bytes);
    return -reason;
  }

  /** Link scope comes before the source check: a host without an address yet speaks to its link from `::`. */
  private checkFromInterface(packet: Packet, port: number): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(packet)) return MARTIAN;
    if (this.policy.sourceDestCheck[port] === 1 && this.interfaceOfSource(packet) !== port)
      return SOURCE_CHECK;
    return PASS;
  }

  private checkFromUplink(packet: Packet): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(packet)) return MARTIAN;
    return this.interfaceOfSource(packet) >= 0 ? UPLINK_SPOOF : PASS;
  }

  /** Interface that the source address belongs to, or -1. */
  private interfaceOfSource(packet: Packet): number {
    const { hosts4, hosts6 } = this.policy;
    return (
      lookUpHost(
        hosts4,
        hosts6,
        packet.family,
        packet.src0,
        packet.src1,
        packet.src2,
        packet.src3,
      ) - 1
    );
  }

  /** The port of the destination: a local interface, else the uplink, else -1. */
  private route(packet: Packet): number {
    const { hosts4, hosts6 } = this.policy;
    const local =
      lookUpHost(
        hosts4,
        hosts6,
        packet.family,
        packet.dst0,
        packet.dst1,
        packet.dst2,
        packet.dst3,
      ) - 1;
    if (local >= 0) return local;
    return this.hasUplink ? this.uplinkPort : -1;
  }
}

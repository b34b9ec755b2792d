/**
 * One packet, from the port it came in by to the port it goes out by, or to the reason it was dropped.
 *
 *   decode ► source check ► egress gate of A ─┬─► ingress gate of B ► B
 *                                             └─► uplink
 *   uplink ► spoof check ─────────────────────────► ingress gate of B ► B
 *
 * Port 0 is the uplink, whether or not there is one; interfaces have the ports behind it.
 * Every way out returns a port or minus a drop reason and counts it.
 */
import { GATE_EGRESS, GATE_INGRESS, UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { NO_HOST } from '../policy/match.ts';
import { decode } from '../wire/decode.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { count, EGRESS, INGRESS } from './counters.ts';
import { Gates, type GateOptions } from './gate.ts';
import { LINK_SCOPE, MARTIAN, NO_ROUTE, PASS, SOURCE_CHECK, UPLINK_SPOOF } from './reasons.ts';
import { isLinkScope, isMartian, portOfDestination, portOfSource } from './scope.ts';

const NO_PORT = -1;

export interface EngineParts {
  readonly policy: CompiledPolicy;
  readonly conntrack: GateOptions;
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
    const { packet, counters } = this;
    const fromUplink = port === UPLINK_PORT;
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
    // The uplink is no transit, and what an instance sends to itself never leaves it: a packet that did
    // would meet at the ingress gate the very flow entry that its egress just made.
    if (to === NO_PORT || to === port) return this.drop(port, direction, NO_ROUTE, packets, length);

    if (!fromUplink) {
      const refused = this.gates.judge(view, packet, port, port, GATE_EGRESS, nowMs);
      if (refused !== PASS) return this.drop(port, EGRESS, refused, packets, length);
    }
    count(counters, port, direction, PASS, packets, length);
    if (to === UPLINK_PORT) {
      count(counters, to, EGRESS, PASS, packets, length);
      return to;
    }
    const refused = this.gates.judge(view, packet, port, to, GATE_INGRESS, nowMs);
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
    const isChecked = this.policy.sourceDestCheck[port] === 1;
    return isChecked && portOfSource(this.policy, packet) !== port ? SOURCE_CHECK : PASS;
  }

  private checkFromUplink(packet: Packet): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(packet)) return MARTIAN;
    return portOfSource(this.policy, packet) !== NO_HOST ? UPLINK_SPOOF : PASS;
  }

  /** The port of the destination: a local interface, else the uplink, else NO_PORT. */
  private route(packet: Packet): number {
    const local = portOfDestination(this.policy, packet);
    if (local !== NO_HOST) return local;
    return this.hasUplink ? UPLINK_PORT : NO_PORT;
  }
}

/**
 * The link layer of TAP ports: turns frames into IP packets and back, and answers as the instance's neighbour.
 *
 * An instance on a TAP sees one neighbour, the gateway, for every address but its own, as in a VPC. The link layer
 * answers ARP requests and neighbour solicitations for any address with GATEWAY_MAC, in place. Everything the
 * instance sends goes to the gates, whatever neighbour it was for. No frame passes from one port to another: IP
 * packets do, behind a new Ethernet header. On a TAP uplink the gateway answers only for the interfaces' addresses:
 * the others have their own hosts there.
 *
 * Learning. An instance's MAC address is learned from its packets that go on, and from its ARP and neighbour
 * messages. They must have an address of the instance as their source: a message that claims another's is spoofing
 * (NEIGHBOUR_SPOOF). A message without such an address (router solicitation, multicast report, duplicate address
 * detection) teaches nothing, because the host of a bridge sends such messages too, on a virtual machine's TAP. An
 * instance that was silent for REACHABLE_MS is asked for its address, and packets still go to the known one. For an
 * instance without a known address a few packets wait while it is asked (waiting.ts). Where the configuration gives the
 * MAC address, nothing is learned, and frames from another drop. Broadcast is no way out: Linux
 * does not hand TCP a segment that came so.
 *
 * Beyond an uplink there may be many hosts, and they are believed less. A packet goes to its next hop (next-hops.ts).
 * The next hop's MAC address comes from a table of answers to our own questions (neighbours.ts).
 *
 * The virtio header stands right before the frame. Its csum_start and hdr_len count from the frame's start, so they
 * move by the Ethernet header's length when that is added or removed.
 */
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost } from '../policy/match.ts';
import { etherPayload, etherType, isArpIpv4 } from '../wire/ethernet.ts';
import {
  ARP_BYTES,
  ARP_OPERATION,
  ARP_SENDER_ADDRESS,
  ARP_SENDER_MAC,
  ARP_TARGET_ADDRESS,
  ETHERNET_DESTINATION,
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE,
  ETHERNET_TYPE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ICMP_TYPE,
  IPV4_DESTINATION,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  NEIGHBOUR_TARGET,
  VNET_HDR_BYTES,
} from '../wire/fields.ts';
import { BAD_IP_VERSION } from '../wire/status.ts';
import { countUndelivered, EGRESS, INGRESS } from './counters.ts';
import { Leases } from './dhcp/leases.ts';
import { NOT_FOR_US } from './dhcp/verdicts.ts';
import { MAC_UNKNOWN_HIGH, MAC_UNKNOWN_LOW, type LinkMemory } from './link-memory.ts';
import { ASK_ALL, ASK_MS, ASK_NOBODY, Neighbours, REACHABLE_MS } from './neighbours.ts';
import {
  answerArp,
  answerSolicitation,
  ARP_REPLY,
  findLinkAddress,
  GATEWAY_MAC_HIGH,
  GATEWAY_MAC_LOW,
  isNeighbourMessage,
  isSoundAdvertisement,
  NEIGHBOUR_ADVERTISEMENT,
  NEIGHBOUR_FLAGS,
  NEIGHBOUR_SOLICITATION,
} from './neighbour-messages.ts';
import { createOpenFence, type Fence } from './fence.ts';
import { isOnLink, NO_NEXT_HOPS, type NextHops } from './next-hops.ts';
import type { OffloadedFlows } from './offloaded-flows.ts';
import { FENCED, LINK_SCOPE, MAC_SPOOF, NEIGHBOUR_SPOOF, UNRESOLVED } from './reasons.ts';
import { isLinkLocal6 } from './scope.ts';
import { moveVnetHeader } from './vnet-header.ts';
import { Waiting } from './waiting.ts';

/** receiveFrame's result when it has turned the frame into a reply to its own port. */
export const ANSWERED = 0;

const ARP_REQUEST = 1;
/** The group bit (I/G) in the high bits of a MAC address. */
const MAC_GROUP = 0x0100;
const ADVERTISEMENT_SOLICITED = 0x40000000;

export class LinkLayer {
  /**
   * By port: MAC address of the instance, as 16 high and 32 low bits. Packet loops share it, because an instance may
   * have spoken to another loop than the one that has a packet for it. A reader that sees half a change loses a frame.
   */
  private readonly macHigh: Int32Array;
  private readonly macLow: Int32Array;
  private readonly seenMs: Int32Array;
  private readonly askedMs: Int32Array;
  /** By port: 1 if the configuration gives the MAC address of the instance. */
  private readonly isFixed: Uint8Array;
  private readonly neighbours: Neighbours;
  private readonly fence: Fence;
  private policy: CompiledPolicy;
  private nextHops: NextHops = NO_NEXT_HOPS;
  /** The policy has changed since the waiting packets were admitted. */
  private isOutdated = false;
  /** The MAC address that `resolve` found. */
  private hopHigh = 0;
  private hopLow = 0;
  /** Length of the frame that receiveFrame last turned into an answer, with its virtio header. */
  answerBytes = 0;
  /** Packets that wait for a MAC address, and questions to send. */
  readonly waiting = new Waiting();
  /** What the instances are told of their interfaces. */
  readonly leases: Leases;

  /** @param memory of createLinkMemory */
  constructor(policy: CompiledPolicy, memory: LinkMemory, fence = createOpenFence()) {
    this.policy = policy;
    this.fence = fence;
    const ports = memory.macs.byteLength / 16;
    this.macHigh = new Int32Array(memory.macs, 0, ports);
    this.macLow = new Int32Array(memory.macs, 4 * ports, ports);
    this.seenMs = new Int32Array(memory.macs, 8 * ports, ports);
    this.askedMs = new Int32Array(memory.macs, 12 * ports, ports);
    this.isFixed = new Uint8Array(ports);
    this.leases = new Leases(ports);
    this.neighbours = new Neighbours(memory.neighbours, ports);
  }

  /** Sets the policy. Packets that wait were admitted by the old one: the next `settle` drops them. Call it at once. */
  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.isOutdated = true;
  }

  setNextHops(nextHops: NextHops): void {
    this.nextHops = nextHops;
  }

  /** Whether the MAC address of the instance on the port is known. */
  knows(port: number): boolean {
    return this.macHigh[port] !== MAC_UNKNOWN_HIGH || this.macLow[port] !== MAC_UNKNOWN_LOW;
  }

  /**
   * Resets a port that has another device now.
   * @param macHigh, macLow the instance's MAC address as 16 and 32 bits, or broadcast if it is not known
   */
  startPort(port: number, macHigh: number, macLow: number, nowMs: number): void {
    this.macHigh[port] = macHigh;
    this.macLow[port] = macLow;
    this.seenMs[port] = (nowMs - REACHABLE_MS) | 0;
    this.askedMs[port] = (nowMs - ASK_MS) | 0;
  }

  /** Has the port of an instance know this MAC address and no other, or learn again. */
  fixMac(port: number, isFixed: boolean, macHigh: number, macLow: number): void {
    this.isFixed[port] = isFixed ? 1 : 0;
    if (!isFixed) return;
    this.macHigh[port] = macHigh;
    this.macLow[port] = macLow;
  }

  /**
   * Takes a frame that came in by a TAP port.
   * @param at offset of its virtio header
   * @param length counted from there
   * @returns offset of the IP packet behind `at`; ANSWERED if the slot now holds a reply of answerBytes for the same
   *   port; or minus a drop reason
   */
  receiveFrame(view: DataView, at: number, length: number, port: number, nowMs: number): number {
    const frame = at + VNET_HDR_BYTES;
    const frameBytes = length - VNET_HDR_BYTES;
    const payload = etherPayload(view, frame, frameBytes);
    if (payload < 0) return payload;
    const type = etherType(view, frame, payload);
    if (type < 0) return type;
    if (this.isFixed[port] === 1) {
      const source = frame + ETHERNET_SOURCE;
      if (view.getUint16(source) !== this.macHigh[port]) return -MAC_SPOOF;
      if (view.getInt32(source + 2) !== this.macLow[port]) return -MAC_SPOOF;
    }
    const ip = frame + payload;
    const ipBytes = frameBytes - payload;
    if (type === ETHERTYPE_ARP) return this.receiveArp(view, at, ip, ipBytes, port, nowMs);
    // The frame names one family and the packet another: some stacks would believe the frame.
    const version = ipBytes > 0 ? view.getUint8(ip) >>> 4 : 0;
    if (version !== (type === ETHERTYPE_IPV4 ? 4 : 6)) return -BAD_IP_VERSION;
    if (version === 6 && isNeighbourMessage(view, ip, ipBytes)) {
      const message = view.getUint8(ip + IPV6_HEADER_BYTES + ICMP_TYPE);
      if (message === NEIGHBOUR_SOLICITATION)
        return this.receiveSolicitation(view, at, ip, port, nowMs);
      if (message === NEIGHBOUR_ADVERTISEMENT) {
        const reason = this.receiveAdvertisement(view, at, ip, ipBytes, port, nowMs);
        if (reason !== 0) return reason;
      }
    }
    return VNET_HDR_BYTES + payload;
  }

  /**
   * Takes a frame that may be a question about the link or the interface, as receiveFrame does.
   * @returns as receiveFrame; or TAKEN if `leases` has taken it
   */
  receiveQuestion(view: DataView, at: number, length: number, port: number, nowMs: number): number {
    const ip = this.receiveFrame(view, at, length, port, nowMs);
    if (ip <= 0) return ip;
    const taken = this.leases.receive(view, at + VNET_HDR_BYTES, at + ip, length - ip, port);
    return taken === NOT_FOR_US ? ip : taken;
  }

  /**
   * Learns the sender's MAC address. Call it for packets that went on. On the uplink it does nothing: there, only
   * answers to our questions are believed.
   */
  learn(view: DataView, at: number, port: number, nowMs: number): void {
    if (port === UPLINK_PORT) return;
    const source = at + VNET_HDR_BYTES + ETHERNET_SOURCE;
    this.macHigh[port] = view.getUint16(source);
    this.macLow[port] = view.getInt32(source + 2);
    this.seenMs[port] = nowMs;
  }

  /** Tells the kernel's fast path the MAC addresses of two ports' instances. */
  tellMacs(offload: OffloadedFlows, from: number, to: number): void {
    offload.setMac(from, this.macHigh[from], this.macLow[from]);
    offload.setMac(to, this.macHigh[to], this.macLow[to]);
  }

  /**
   * Finds the MAC address that the packet at `ip` needs on its way to `port`, and asks for it if necessary.
   * @param share port of the interface that the packet belongs to, if it goes to the uplink
   * @returns whether the address is known; `wrap` then uses it
   */
  resolve(view: DataView, ip: number, port: number, share: number, nowMs: number): boolean {
    if (port === UPLINK_PORT) return this.resolveNextHop(view, ip, share, nowMs);
    const high = this.macHigh[port];
    const low = this.macLow[port];
    this.hopHigh = high;
    this.hopLow = low;
    const isKnown = high !== MAC_UNKNOWN_HIGH || low !== MAC_UNKNOWN_LOW;
    if (isKnown && (nowMs - this.seenMs[port]) >>> 0 < REACHABLE_MS) return true;
    if ((nowMs - this.askedMs[port]) >>> 0 >= ASK_MS) {
      this.askedMs[port] = nowMs;
      const to = ip + IPV6_DESTINATION;
      if (view.getUint8(ip) >>> 4 === 4)
        this.ask(view, ip, port, 4, view.getInt32(ip + IPV4_DESTINATION), 0, 0, 0, true);
      else {
        const t0 = view.getInt32(to);
        const t1 = view.getInt32(to + 4);
        const t2 = view.getInt32(to + 8);
        this.ask(view, ip, port, 6, t0, t1, t2, view.getInt32(to + 12), true);
      }
    }
    return isKnown;
  }

  /**
   * Prepares, in `waiting`, what is written beside the batches: packets whose neighbour is now known, and questions.
   * Drops and counts packets that have waited too long.
   */
  settle(counters: Float64Array, nowMs: number): void {
    const { waiting } = this;
    const { view } = waiting;
    waiting.begin();
    let kept = 0;
    for (let i = 0; i < waiting.count; i++) {
      const port = waiting.portOf(i);
      const ip = waiting.ipOf(i);
      const isFenced = this.fence.holds(port) || this.fence.holds(waiting.shareOf(i));
      const isDead = this.isOutdated || isFenced;
      if (!isDead && this.resolve(view, ip, port, waiting.shareOf(i), nowMs))
        waiting.send(i, this.wrap(view, ip - VNET_HDR_BYTES, ip));
      else if (!isDead && !waiting.isPast(i, nowMs)) waiting.move(i, kept++);
      else {
        const direction = port === UPLINK_PORT ? EGRESS : INGRESS;
        const packets = waiting.packetsOf(i);
        const reason = isFenced ? FENCED : UNRESOLVED;
        countUndelivered(counters, port, direction, reason, packets, waiting.bytesOf(i));
      }
    }
    waiting.keep(kept);
    waiting.sendAsks();
    this.isOutdated = false;
  }

  /**
   * Puts an Ethernet header in front of the IP packet at `ip`, and the virtio header `vnet` in front of that. The
   * address is that of the last `resolve`. ETHERNET_HEADER_BYTES + VNET_HDR_BYTES of arena in front of `ip` must be
   * free.
   * @returns offset of the new virtio header
   */
  wrap(view: DataView, vnet: number, ip: number): number {
    const frame = ip - ETHERNET_HEADER_BYTES;
    const at = frame - VNET_HDR_BYTES;
    moveVnetHeader(view, vnet, at, ETHERNET_HEADER_BYTES - (ip - vnet - VNET_HDR_BYTES));
    view.setUint16(frame + ETHERNET_DESTINATION, this.hopHigh);
    view.setInt32(frame + ETHERNET_DESTINATION + 2, this.hopLow);
    view.setUint16(frame + ETHERNET_SOURCE, GATEWAY_MAC_HIGH);
    view.setInt32(frame + ETHERNET_SOURCE + 2, GATEWAY_MAC_LOW);
    view.setUint16(
      frame + ETHERNET_TYPE,
      view.getUint8(ip) >>> 4 === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6,
    );
    return at;
  }

  private resolveNextHop(view: DataView, ip: number, share: number, nowMs: number): boolean {
    const { neighbours, nextHops } = this;
    const is4 = view.getUint8(ip) >>> 4 === 4;
    const family = is4 ? 4 : 6;
    const to = ip + (is4 ? IPV4_DESTINATION : IPV6_DESTINATION);
    let a0 = view.getInt32(to);
    let a1 = is4 ? 0 : view.getInt32(to + 4);
    let a2 = is4 ? 0 : view.getInt32(to + 8);
    let a3 = is4 ? 0 : view.getInt32(to + 12);
    const gateway = is4 ? nextHops.gateway4 : nextHops.gateway6;
    if (gateway !== null && !isOnLink(nextHops, family, a0, a1, a2, a3)) {
      a0 = gateway[0];
      a1 = gateway[1];
      a2 = gateway[2];
      a3 = gateway[3];
    }
    const isKnown = neighbours.lookUp(family, a0, a1, a2, a3, share, nowMs);
    this.hopHigh = neighbours.macHigh;
    this.hopLow = neighbours.macLow;
    if (neighbours.ask !== ASK_NOBODY)
      this.ask(view, ip, UPLINK_PORT, family, a0, a1, a2, a3, neighbours.ask === ASK_ALL);
    return isKnown;
  }

  /** Asks for an address beyond `port`, with the packet's source as its own: everybody, or the host `resolve` found. */
  private ask(
    view: DataView,
    ip: number,
    port: number,
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    isForAll: boolean,
  ): void {
    const high = isForAll ? MAC_UNKNOWN_HIGH : this.hopHigh;
    const low = isForAll ? MAC_UNKNOWN_LOW : this.hopLow;
    const { waiting } = this;
    const own = GATEWAY_MAC_HIGH;
    if (family === 4) waiting.askArp(view, ip, port, a0, high, low, own, GATEWAY_MAC_LOW);
    else waiting.askNeighbour(view, ip, port, a0, a1, a2, a3, high, low, own, GATEWAY_MAC_LOW);
  }

  private receiveArp(
    view: DataView,
    at: number,
    arp: number,
    bytes: number,
    port: number,
    nowMs: number,
  ): number {
    if (!isArpIpv4(view, arp, bytes)) return -LINK_SCOPE;
    const operation = view.getUint16(arp + ARP_OPERATION);
    if (operation !== ARP_REQUEST && operation !== ARP_REPLY) return -LINK_SCOPE;
    const sender = view.getInt32(arp + ARP_SENDER_ADDRESS);
    const target = view.getInt32(arp + ARP_TARGET_ADDRESS);
    if (sender !== 0 && !this.maySpeakFor(port, 4, sender, 0, 0, 0)) return -NEIGHBOUR_SPOOF;
    if (port === UPLINK_PORT) {
      const high = view.getUint16(arp + ARP_SENDER_MAC);
      const low = view.getInt32(arp + ARP_SENDER_MAC + 2);
      this.hear(4, sender, 0, 0, 0, high, low, operation === ARP_REPLY, nowMs);
    } else if (sender !== 0) this.learn(view, at, port, nowMs);
    if (operation === ARP_REPLY) return -LINK_SCOPE;
    // Sender 0 probes whether an address is in use (RFC 5227). An answer would deny the instance its own address.
    if (sender === 0 || sender === target || !this.answersFor(port, 4, target, 0, 0, 0))
      return -LINK_SCOPE;
    answerArp(view, at, arp);
    this.answerBytes = arp + ARP_BYTES - at;
    return ANSWERED;
  }

  private receiveSolicitation(
    view: DataView,
    at: number,
    ip: number,
    port: number,
    nowMs: number,
  ): number {
    const source = ip + IPV6_SOURCE;
    const s0 = view.getInt32(source);
    const s1 = view.getInt32(source + 4);
    const s2 = view.getInt32(source + 8);
    const s3 = view.getInt32(source + 12);
    const isUnspecified = (s0 | s1 | s2 | s3) === 0;
    const isLinkLocal = isLinkLocal6(s0);
    if (!isUnspecified && !isLinkLocal && !this.maySpeakFor(port, 6, s0, s1, s2, s3))
      return -NEIGHBOUR_SPOOF;
    if (port !== UPLINK_PORT) {
      if (!isUnspecified && !isLinkLocal) this.learn(view, at, port, nowMs);
    } else if (!isUnspecified) {
      const mac = at + VNET_HDR_BYTES + ETHERNET_SOURCE;
      this.hear(6, s0, s1, s2, s3, view.getUint16(mac), view.getInt32(mac + 2), false, nowMs);
    }
    // Duplicate address detection comes from `::` (RFC 4862). An answer would take the address away.
    if (isUnspecified) return -LINK_SCOPE;
    const icmp = ip + IPV6_HEADER_BYTES;
    const target = icmp + NEIGHBOUR_TARGET;
    if (
      !this.answersFor(
        port,
        6,
        view.getInt32(target),
        view.getInt32(target + 4),
        view.getInt32(target + 8),
        view.getInt32(target + 12),
      )
    ) {
      return -LINK_SCOPE;
    }
    this.answerBytes = answerSolicitation(view, at, ip) - at;
    return ANSWERED;
  }

  /** @returns minus a drop reason, or 0 if the message goes on like any packet */
  private receiveAdvertisement(
    view: DataView,
    at: number,
    ip: number,
    bytes: number,
    port: number,
    nowMs: number,
  ): number {
    const icmp = ip + IPV6_HEADER_BYTES;
    const t0 = view.getInt32(icmp + NEIGHBOUR_TARGET);
    const t1 = view.getInt32(icmp + NEIGHBOUR_TARGET + 4);
    const t2 = view.getInt32(icmp + NEIGHBOUR_TARGET + 8);
    const t3 = view.getInt32(icmp + NEIGHBOUR_TARGET + 12);
    if (!this.maySpeakFor(port, 6, t0, t1, t2, t3)) {
      // Any host on an instance's link may have a link-local address there.
      return port !== UPLINK_PORT && isLinkLocal6(t0) ? 0 : -NEIGHBOUR_SPOOF;
    }
    const length = view.getUint16(ip + IPV6_PAYLOAD_LENGTH);
    if (length > bytes - IPV6_HEADER_BYTES || !isSoundAdvertisement(view, ip, length)) return 0;
    if (port !== UPLINK_PORT) {
      this.learn(view, at, port, nowMs);
      return 0;
    }
    const option = findLinkAddress(view, icmp, length);
    const mac = option === 0 ? at + VNET_HDR_BYTES + ETHERNET_SOURCE : option;
    const isSolicited = (view.getInt32(icmp + NEIGHBOUR_FLAGS) & ADVERTISEMENT_SOLICITED) !== 0;
    const high = view.getUint16(mac);
    this.hear(6, t0, t1, t2, t3, high, view.getInt32(mac + 2), isSolicited, nowMs);
    return 0;
  }

  /** Takes what a host beyond the uplink says about an address's MAC address, as an answer or unasked. */
  private hear(
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
    macHigh: number,
    macLow: number,
    isAnswer: boolean,
    nowMs: number,
  ): void {
    // A group's MAC address or none: frames for one host must not go there.
    if ((macHigh & MAC_GROUP) !== 0 || (macHigh | macLow) === 0) return;
    const { neighbours } = this;
    if (isAnswer) neighbours.answer(family, a0, a1, a2, a3, macHigh, macLow, nowMs);
    else neighbours.announce(family, a0, a1, a2, a3, macHigh, macLow, nowMs);
  }

  /** Whether a neighbour on `port` may claim the address: an interface's own; on the uplink, one of no interface. */
  private maySpeakFor(
    port: number,
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): boolean {
    // An address of no interface looks up as 0, which is the uplink's port.
    return lookUpHost(this.policy.hosts4, this.policy.hosts6, family, a0, a1, a2, a3) === port;
  }

  /**
   * Whether the gateway answers for the address on `port`: every address that a neighbour there may not claim, and on
   * the uplink none that is behind a closed fence.
   */
  private answersFor(
    port: number,
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): boolean {
    const owner = lookUpHost(this.policy.hosts4, this.policy.hosts6, family, a0, a1, a2, a3);
    // Another host may answer for it on that link.
    return owner !== port && !(port === UPLINK_PORT && this.fence.holds(owner));
  }
}

/**
 * The link layer of TAP ports: frames to IP packets and back, and the neighbour the instance talks to.
 *
 * An instance on a TAP sees one neighbour, the gateway, for every address but its own, as an instance in
 * a VPC does: ARP requests and neighbour solicitations for any address are answered with GATEWAY_MAC,
 * in place, and everything the instance sends goes to the gates whatever neighbour it had in mind. No
 * frame ever passes from one port to another; only IP packets do, behind a new Ethernet header. On a TAP
 * uplink the gateway answers for the interfaces' addresses only: the others have their own hosts there.
 *
 * The MAC address on the other side is learned from its ARP messages, what it says to its link, and its
 * packets, but only while they claim no address that is another's: an ARP or neighbour message that does
 * is spoofing (NEIGHBOUR_SPOOF). Until it is known, frames go to the broadcast address. What is said to
 * the link has to teach, too: a server that only answers has said nothing else when the first SYN comes
 * (duplicate address detection, MLD), and Linux hands TCP no segment that came by broadcast.
 *
 * The virtio header stands right before the frame; its csum_start and hdr_len count from the frame's
 * start, so they move by the Ethernet header's length when that is put on or taken off.
 */
import type { CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost } from '../policy/match.ts';
import { foldChecksum, sumWords } from '../wire/checksum.ts';
import { etherPayload, etherType, isArpIpv4 } from '../wire/ethernet.ts';
import {
  ARP_BYTES,
  ARP_OPERATION,
  ARP_SENDER_ADDRESS,
  ARP_SENDER_MAC,
  ARP_TARGET_ADDRESS,
  ARP_TARGET_MAC,
  ETHERNET_DESTINATION,
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE,
  ETHERNET_TYPE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ICMP_TYPE,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_ICMPV6,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_FLAG_NEEDS_CSUM,
  VNET_GSO_SIZE,
  VNET_HDR_BYTES,
  VNET_HDR_LEN,
} from '../wire/fields.ts';
import { BAD_IP_VERSION } from '../wire/status.ts';
import { LINK_SCOPE, NEIGHBOUR_SPOOF } from './reasons.ts';

/** The neighbour that stands for everything behind the gates: locally administered, the same on every port. */
export const GATEWAY_MAC_HIGH = 0x0273;
export const GATEWAY_MAC_LOW = 0x67000001;

/** virtio_net_hdr is in host byte order. */
export const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** What receiveFrame answers when the frame has been turned into a reply to its own port. */
export const ANSWERED = 0;

const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
const NEIGHBOUR_HOP_LIMIT = 255;
const NEIGHBOUR_TARGET = 8;
const NEIGHBOUR_FLAGS = 4;
const NEIGHBOUR_OPTIONS = 24;
const ADVERTISEMENT_BYTES = 32;
/** Router, solicited, override (RFC 4861 section 4.4). */
const ADVERTISEMENT_FLAGS = 0xe0000000;
const OPTION_TARGET_LINK_ADDRESS = 0x0201;

/** Memory for the MAC addresses of the instances on so many ports, all of them broadcast: not learned yet. */
export function createMacs(ports: number): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(8 * ports);
  new Int32Array(buffer, 0, ports).fill(0xffff);
  new Int32Array(buffer, 4 * ports).fill(-1);
  return buffer;
}

export class LinkLayer {
  /**
   * By port: MAC address of the instance, as 16 high and 32 low bits. Packet loops share it: an instance may
   * have spoken to another than the one that has a packet for it. Half an address from before a change of it
   * costs a frame.
   */
  private readonly macHigh: Int32Array;
  private readonly macLow: Int32Array;
  private policy: CompiledPolicy;
  /** Length of the frame that receiveFrame last answered in place, with its virtio header. */
  answerBytes = 0;

  /** @param macs of createMacs */
  constructor(policy: CompiledPolicy, macs: SharedArrayBuffer) {
    this.policy = policy;
    const ports = macs.byteLength / 8;
    this.macHigh = new Int32Array(macs, 0, ports);
    this.macLow = new Int32Array(macs, 4 * ports);
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
  }

  /**
   * A port that has another device now.
   * @param macHigh, macLow the instance's MAC address where it is known, as 16 and 32 bits; else broadcast
   */
  startPort(port: number, macHigh: number, macLow: number): void {
    this.macHigh[port] = macHigh;
    this.macLow[port] = macLow;
  }

  /**
   * Takes a frame that came in by a TAP port; `at` is its virtio header, `length` counts from there.
   * @returns offset of the IP packet behind `at`; ANSWERED if the slot now holds a reply of answerBytes to
   *   be written to the same port; or minus a drop reason
   */
  receiveFrame(view: DataView, at: number, length: number, port: number): number {
    const frame = at + VNET_HDR_BYTES;
    const frameBytes = length - VNET_HDR_BYTES;
    const payload = etherPayload(view, frame, frameBytes);
    if (payload < 0) return payload;
    const type = etherType(view, frame, payload);
    if (type < 0) return type;
    const ip = frame + payload;
    const ipBytes = frameBytes - payload;
    if (type === ETHERTYPE_ARP) return this.receiveArp(view, at, ip, ipBytes, port);
    // The frame says one family and the packet another: some stacks would believe the frame.
    const version = ipBytes > 0 ? view.getUint8(ip) >>> 4 : 0;
    if (version !== (type === ETHERTYPE_IPV4 ? 4 : 6)) return -BAD_IP_VERSION;
    if (version === 6 && isSolicitation(view, ip, ipBytes))
      return this.receiveSolicitation(view, at, ip, port);
    return VNET_HDR_BYTES + payload;
  }

  /** Remembers the sender's MAC address; call for packets that went on, or that were for the link alone. */
  learn(view: DataView, at: number, port: number): void {
    const source = at + VNET_HDR_BYTES + ETHERNET_SOURCE;
    this.macHigh[port] = view.getUint16(source);
    this.macLow[port] = view.getInt32(source + 2);
  }

  /**
   * Puts an Ethernet header before the IP packet at `ip`, and the virtio header `vnet` before that.
   * There must be ETHERNET_HEADER_BYTES + VNET_HDR_BYTES of arena in front of `ip` that nobody needs.
   * @returns offset of the new virtio header
   */
  wrap(view: DataView, vnet: number, ip: number, port: number): number {
    const frame = ip - ETHERNET_HEADER_BYTES;
    const at = frame - VNET_HDR_BYTES;
    moveVnetHeader(view, vnet, at, ETHERNET_HEADER_BYTES - (ip - vnet - VNET_HDR_BYTES));
    view.setUint16(frame + ETHERNET_DESTINATION, this.macHigh[port]);
    view.setInt32(frame + ETHERNET_DESTINATION + 2, this.macLow[port]);
    view.setUint16(frame + ETHERNET_SOURCE, GATEWAY_MAC_HIGH);
    view.setInt32(frame + ETHERNET_SOURCE + 2, GATEWAY_MAC_LOW);
    view.setUint16(
      frame + ETHERNET_TYPE,
      view.getUint8(ip) >>> 4 === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6,
    );
    return at;
  }

  private receiveArp(view: DataView, at: number, arp: number, bytes: number, port: number): number {
    if (!isArpIpv4(view, arp, bytes) || view.getUint16(arp + ARP_OPERATION) !== ARP_REQUEST)
      return -LINK_SCOPE;
    const sender = view.getInt32(arp + ARP_SENDER_ADDRESS);
    const target = view.getInt32(arp + ARP_TARGET_ADDRESS);
    if (sender !== 0 && !this.maySpeakFor(port, 4, sender, 0, 0, 0)) return -NEIGHBOUR_SPOOF;
    this.learn(view, at, port);
    // Sender 0 is a probe for an address in use (RFC 5227): an answer would tell the instance it may not have its own.
    if (sender === 0 || sender === target || !this.answersFor(port, 4, target, 0, 0, 0))
      return -LINK_SCOPE;
    this.answerFrom(view, at, port);
    view.setUint16(arp + ARP_OPERATION, ARP_REPLY);
    view.setUint16(arp + ARP_TARGET_MAC, this.macHigh[port]);
    view.setInt32(arp + ARP_TARGET_MAC + 2, this.macLow[port]);
    view.setInt32(arp + ARP_TARGET_ADDRESS, sender);
    setGatewayMac(view, arp + ARP_SENDER_MAC);
    view.setInt32(arp + ARP_SENDER_ADDRESS, target);
    this.answerBytes = arp + ARP_BYTES - at;
    return ANSWERED;
  }

  private receiveSolicitation(view: DataView, at: number, ip: number, port: number): number {
    const source = ip + IPV6_SOURCE;
    const s0 = view.getInt32(source);
    const s1 = view.getInt32(source + 4);
    const s2 = view.getInt32(source + 8);
    const s3 = view.getInt32(source + 12);
    const isUnspecified = (s0 | s1 | s2 | s3) === 0;
    const isLinkLocal = s0 >>> 22 === 0xfe80 >>> 6;
    if (!isUnspecified && !isLinkLocal && !this.maySpeakFor(port, 6, s0, s1, s2, s3))
      return -NEIGHBOUR_SPOOF;
    this.learn(view, at, port);
    // Duplicate address detection comes from `::` (RFC 4862): an answer would take the address away.
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
    this.answerFrom(view, at, port);
    for (let i = 0; i < 16; i += 4) {
      view.setInt32(ip + IPV6_DESTINATION + i, view.getInt32(source + i));
      view.setInt32(source + i, view.getInt32(target + i));
    }
    view.setUint16(ip + IPV6_PAYLOAD_LENGTH, ADVERTISEMENT_BYTES);
    view.setUint16(icmp + ICMP_TYPE, NEIGHBOUR_ADVERTISEMENT << 8);
    view.setUint16(icmp + 2, 0);
    view.setUint32(icmp + NEIGHBOUR_FLAGS, ADVERTISEMENT_FLAGS);
    view.setUint16(icmp + NEIGHBOUR_OPTIONS, OPTION_TARGET_LINK_ADDRESS);
    setGatewayMac(view, icmp + NEIGHBOUR_OPTIONS + 2);
    const sum = sumWords(
      view,
      source,
      32 + ADVERTISEMENT_BYTES,
      ADVERTISEMENT_BYTES + PROTO_ICMPV6,
    );
    view.setUint16(icmp + 2, foldChecksum(sum));
    this.answerBytes = icmp + ADVERTISEMENT_BYTES - at;
    return ANSWERED;
  }

  /** Turns the frame's addresses round: from the gateway to the instance, with a virtio header that asks for nothing. */
  private answerFrom(view: DataView, at: number, port: number): void {
    for (let i = 0; i < VNET_HDR_BYTES; i += 2) view.setUint16(at + i, 0);
    const frame = at + VNET_HDR_BYTES;
    view.setUint16(frame + ETHERNET_DESTINATION, this.macHigh[port]);
    view.setInt32(frame + ETHERNET_DESTINATION + 2, this.macLow[port]);
    setGatewayMac(view, frame + ETHERNET_SOURCE);
  }

  /** Whether a neighbour on `port` may claim the address: its interface's; on the uplink, any that is no interface's. */
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

  /** Whether the gateway stands for the address on `port`: any but the interface's own; on the uplink, the interfaces'. */
  private answersFor(
    port: number,
    family: number,
    a0: number,
    a1: number,
    a2: number,
    a3: number,
  ): boolean {
    return !this.maySpeakFor(port, family, a0, a1, a2, a3);
  }
}

/** Takes the link layer off: the virtio header moves to right before `ip`. @returns its new offset */
export function unwrap(view: DataView, vnet: number, ip: number): number {
  const linkBytes = ip - vnet - VNET_HDR_BYTES;
  if (linkBytes !== 0) moveVnetHeader(view, vnet, ip - VNET_HDR_BYTES, -linkBytes);
  return ip - VNET_HDR_BYTES;
}

/** Moves a virtio header and shifts what it counts from the frame's start. The two places may overlap. */
function moveVnetHeader(view: DataView, from: number, to: number, shift: number): void {
  const flagsAndType = view.getUint16(from + VNET_FLAGS);
  const hdrLen = view.getUint16(from + VNET_HDR_LEN, LITTLE_ENDIAN);
  const gsoSize = view.getUint16(from + VNET_GSO_SIZE);
  const csumStart = view.getUint16(from + VNET_CSUM_START, LITTLE_ENDIAN);
  const csumOffset = view.getUint16(from + VNET_CSUM_OFFSET);
  const hasChecksum = ((flagsAndType >>> 8) & VNET_FLAG_NEEDS_CSUM) !== 0;
  view.setUint16(to + VNET_FLAGS, flagsAndType);
  view.setUint16(to + VNET_HDR_LEN, hdrLen === 0 ? 0 : hdrLen + shift, LITTLE_ENDIAN);
  view.setUint16(to + VNET_GSO_SIZE, gsoSize);
  view.setUint16(to + VNET_CSUM_START, hasChecksum ? csumStart + shift : csumStart, LITTLE_ENDIAN);
  view.setUint16(to + VNET_CSUM_OFFSET, csumOffset);
}

function isSolicitation(view: DataView, ip: number, bytes: number): boolean {
  return (
    bytes >= IPV6_HEADER_BYTES + NEIGHBOUR_OPTIONS &&
    // Next header and hop limit: a lower one has come from beyond the link (RFC 4861 section 7.1.1).
    view.getUint16(ip + IPV6_NEXT_HEADER) === ((PROTO_ICMPV6 << 8) | NEIGHBOUR_HOP_LIMIT) &&
    view.getUint8(ip + IPV6_HEADER_BYTES + ICMP_TYPE) === NEIGHBOUR_SOLICITATION
  );
}

function setGatewayMac(view: DataView, at: number): void {
  view.setUint16(at, GATEWAY_MAC_HIGH);
  view.setInt32(at + 2, GATEWAY_MAC_LOW);
}

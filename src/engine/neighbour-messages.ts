/** Reads ARP and neighbour messages for the link layer, and addresses the answers. */
import { foldChecksum, sumWords } from '../wire/checksum.ts';
import { etherPayload, etherType, isArpIpv4 } from '../wire/ethernet.ts';
import {
  ARP_OPERATION,
  ARP_SENDER_ADDRESS,
  ARP_SENDER_MAC,
  ARP_TARGET_ADDRESS,
  ARP_TARGET_MAC,
  ETHERNET_DESTINATION,
  ETHERNET_SOURCE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV6,
  ICMP_TYPE,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  NEIGHBOUR_TARGET,
  PROTO_ICMPV6,
  VNET_HDR_BYTES,
} from '../wire/fields.ts';

/** The gateway's MAC address: locally administered, the same on every port. */
export const GATEWAY_MAC_HIGH = 0x0273;
export const GATEWAY_MAC_LOW = 0x67000001;

export const ARP_REPLY = 2;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
/** Offset of the options in a solicitation or an advertisement. */
export const NEIGHBOUR_OPTIONS = 24;
/** Type 2, one unit of 8 bytes. */
export const OPTION_TARGET_LINK_ADDRESS = 0x0201;
export const NEIGHBOUR_FLAGS = 4;
const NEIGHBOUR_HOP_LIMIT = 255;
const ADVERTISEMENT_BYTES = 32;
/** Router, solicited, override (RFC 4861 section 4.4). */
const ADVERTISEMENT_FLAGS = 0xe0000000;
/** Longer than any advertisement that a neighbour has reason to send. */
const ADVERTISEMENT_BYTES_MAX = 1280;

/** Addresses a frame as an answer: from the gateway to the sender, with a virtio header that asks for nothing. */
function answerFrom(view: DataView, at: number): void {
  for (let i = 0; i < VNET_HDR_BYTES; i += 2) view.setUint16(at + i, 0);
  const frame = at + VNET_HDR_BYTES;
  const source = frame + ETHERNET_SOURCE;
  view.setUint16(frame + ETHERNET_DESTINATION, view.getUint16(source));
  view.setInt32(frame + ETHERNET_DESTINATION + 2, view.getInt32(source + 2));
  setGatewayMac(view, source);
}

/** Turns the ARP request at `arp` into the answer, in place: the address is at the gateway's MAC address. */
export function answerArp(view: DataView, at: number, arp: number): void {
  answerFrom(view, at);
  const sender = view.getInt32(arp + ARP_SENDER_ADDRESS);
  const target = view.getInt32(arp + ARP_TARGET_ADDRESS);
  view.setUint16(arp + ARP_OPERATION, ARP_REPLY);
  const asker = at + VNET_HDR_BYTES + ETHERNET_DESTINATION;
  view.setUint16(arp + ARP_TARGET_MAC, view.getUint16(asker));
  view.setInt32(arp + ARP_TARGET_MAC + 2, view.getInt32(asker + 2));
  view.setInt32(arp + ARP_TARGET_ADDRESS, sender);
  setGatewayMac(view, arp + ARP_SENDER_MAC);
  view.setInt32(arp + ARP_SENDER_ADDRESS, target);
}

/**
 * Turns the neighbour solicitation in the packet at `ip` into the answer, in place. Without a link-layer address option
 * the answer is 8 bytes longer.
 * @returns where it ends
 */
export function answerSolicitation(view: DataView, at: number, ip: number): number {
  answerFrom(view, at);
  const source = ip + IPV6_SOURCE;
  const icmp = ip + IPV6_HEADER_BYTES;
  const target = icmp + NEIGHBOUR_TARGET;
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
  const sum = sumWords(view, source, 32 + ADVERTISEMENT_BYTES, ADVERTISEMENT_BYTES + PROTO_ICMPV6);
  view.setUint16(icmp + 2, foldChecksum(sum));
  return icmp + ADVERTISEMENT_BYTES;
}

/** Whether a packet may be a neighbour message and is long enough for one. The caller checks the ICMPv6 type. */
export function isNeighbourMessage(view: DataView, ip: number, bytes: number): boolean {
  return (
    bytes >= IPV6_HEADER_BYTES + NEIGHBOUR_OPTIONS &&
    // Next header and hop limit. A lower hop limit shows that the message came from beyond the link (RFC 4861 section
    // 7.1.1).
    view.getUint16(ip + IPV6_NEXT_HEADER) === ((PROTO_ICMPV6 << 8) | NEIGHBOUR_HOP_LIMIT)
  );
}

/**
 * Looks for a neighbour message in the frame at `frame`, to report its drop.
 * @returns the distance from `frame`: negative to an ARP message, positive to an IPv6 packet with a solicitation or
 *   an advertisement; 0 if it is neither
 */
export function findNeighbourMessage(view: DataView, frame: number, bytes: number): number {
  const payload = etherPayload(view, frame, bytes);
  if (payload < 0) return 0;
  const type = etherType(view, frame, payload);
  if (type === ETHERTYPE_ARP)
    return isArpIpv4(view, frame + payload, bytes - payload) ? -payload : 0;
  const ip = frame + payload;
  if (type !== ETHERTYPE_IPV6 || !isNeighbourMessage(view, ip, bytes - payload)) return 0;
  const message = view.getUint8(ip + IPV6_HEADER_BYTES + ICMP_TYPE);
  const isKnown = message === NEIGHBOUR_SOLICITATION || message === NEIGHBOUR_ADVERTISEMENT;
  return view.getUint8(ip) >>> 4 === 6 && isKnown ? payload : 0;
}

/** Checks an advertisement by RFC 4861 section 7.1.2, without its options. @param length the IPv6 payload's */
export function isSoundAdvertisement(view: DataView, ip: number, length: number): boolean {
  if (length < NEIGHBOUR_OPTIONS || length > ADVERTISEMENT_BYTES_MAX) return false;
  if (view.getUint8(ip + IPV6_HEADER_BYTES + 1) !== 0) return false;
  // Source, destination and message are adjacent.
  const sum = sumWords(view, ip + IPV6_SOURCE, 32 + length, length + PROTO_ICMPV6);
  return foldChecksum(sum) === 0;
}

/** @returns offset of the target's link-layer address; 0 if the advertisement has none */
export function findLinkAddress(view: DataView, icmp: number, length: number): number {
  for (let at = NEIGHBOUR_OPTIONS; at + 8 <= length;) {
    const option = view.getUint16(icmp + at);
    if (option === OPTION_TARGET_LINK_ADDRESS) return icmp + at + 2;
    const units = option & 0xff;
    if (units === 0) return 0;
    at += 8 * units;
  }
  return 0;
}

export function setGatewayMac(view: DataView, at: number): void {
  view.setUint16(at, GATEWAY_MAC_HIGH);
  view.setInt32(at + 2, GATEWAY_MAC_LOW);
}

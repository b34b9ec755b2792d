/**
 * Classifies the addresses of a packet, before any rule is asked: link scope, martian, local, platform. Sources: RFC
 * 6890 (special-purpose addresses), RFC 4291 sections 2.4 and 2.5.6, RFC 4890.
 */
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost } from '../policy/match.ts';
import { isInPlatformBlock, serviceBit, SPECIAL_PROVIDED } from '../policy/special-addresses.ts';
import {
  DHCP6_CLIENT_PORT,
  DHCP6_SERVER_PORT,
  DHCP_CLIENT_PORT,
  DHCP_SERVER_PORT,
  ROUTER_ADVERTISEMENT,
} from '../wire/dhcp-fields.ts';
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_UDP } from '../wire/fields.ts';
import { FRAGMENT_LATER, type Packet } from '../wire/packet.ts';
import { NO_ROUTE, PASS, SOURCE_CHECK } from './reasons.ts';

export const LOOPBACK_4 = 127;
export const MULTICAST_4 = 224;
export const CLASS_E = 240;
const BROADCAST_4 = -1;
const UNSPECIFIED_4 = 0;
const LINK_LOCAL_6_MASK = 0xffc00000 | 0;
const LINK_LOCAL_6 = 0xfe800000 | 0;
export const MAPPED_WORD = 0xffff;

/** Whether an IPv6 address is in fe80::/10. @param word0 its first word */
export function isLinkLocal6(word0: number): boolean {
  return (word0 & LINK_LOCAL_6_MASK) === LINK_LOCAL_6;
}

/**
 * Whether the packet ends at this link. It goes to a multicast or broadcast address, goes from or to an IPv6
 * link-local one, or is a message between neighbours (RFC 4890 section 4.3.3), whatever its addresses.
 */
export function isLinkScope(packet: Packet): boolean {
  if (packet.family === 4) {
    const dst = packet.dst0 >>> 24;
    return (dst >= MULTICAST_4 && dst < CLASS_E) || packet.dst0 === BROADCAST_4;
  }
  if (packet.dst0 >>> 24 === 0xff) return true;
  if (isLinkLocal6(packet.dst0)) return true;
  // No router forwards these (RFC 4291 section 2.5.6), and a rule for ::/0 would treat them as strangers.
  if (isLinkLocal6(packet.src0)) return true;
  return (
    packet.protocol === PROTO_ICMPV6 &&
    packet.fragment !== FRAGMENT_LATER &&
    isNeighbourMessage(packet.icmpType)
  );
}

/** The port as rules name it: the destination port, ICMP type and code, or 0 where there is none. */
export function rulePort(packet: Packet): number {
  const { protocol } = packet;
  if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6)
    return (packet.icmpType << 8) | packet.icmpCode;
  return packet.dstPort;
}

/** Whether it is a DHCP or DHCPv6 message to a client, which only a server sends. */
export function isDhcpReply(packet: Packet): boolean {
  if (packet.protocol !== PROTO_UDP) return false;
  const { srcPort, dstPort } = packet;
  if (packet.family === 4) return srcPort === DHCP_SERVER_PORT && dstPort === DHCP_CLIENT_PORT;
  return srcPort === DHCP6_SERVER_PORT && dstPort === DHCP6_CLIENT_PORT;
}

/** Whether a packet that ends at its link is a router advertisement. */
export function isRouterAdvertisement(packet: Packet): boolean {
  return (
    packet.protocol === PROTO_ICMPV6 &&
    packet.fragment !== FRAGMENT_LATER &&
    packet.icmpType === ROUTER_ADVERTISEMENT
  );
}

/**
 * Multicast listener discovery (130–132, 143), neighbour discovery (133–137), its inverse (141, 142) and its
 * certificates (148, 149), multicast router discovery (151–153). A receiver trusts them because of their hop limit of
 * 255, and the gates don't lower it.
 */
export function isNeighbourMessage(type: number): boolean {
  return (
    (type >= 130 && type <= 137) ||
    (type >= 141 && type <= 143) ||
    type === 148 ||
    type === 149 ||
    (type >= 151 && type <= 153)
  );
}

/**
 * Whether the source or destination is one that no packet on a wire may have. A host without an address speaks to its
 * link from the unspecified address (DHCP, duplicate address detection); beyond the link that is martian. 240.0.0.0/4
 * is reserved and not forwardable (RFC 6890 table 15), unless the configuration allows it.
 */
export function isMartian(policy: CompiledPolicy, packet: Packet): boolean {
  if (packet.family === 4) {
    const src = packet.src0 >>> 24;
    const dst = packet.dst0 >>> 24;
    return (
      src === LOOPBACK_4 ||
      (src >= MULTICAST_4 &&
        (src < CLASS_E || !policy.allowsClassE || packet.src0 === BROADCAST_4)) ||
      src === UNSPECIFIED_4 ||
      dst === LOOPBACK_4 ||
      dst === UNSPECIFIED_4 ||
      (dst >= CLASS_E && !policy.allowsClassE)
    );
  }
  return (
    packet.src0 >>> 24 === 0xff ||
    isReserved6(packet.src0, packet.src1, packet.src2, packet.src3) ||
    isReserved6(packet.dst0, packet.dst1, packet.dst2, packet.dst3)
  );
}

/** Unspecified, loopback, or IPv4-mapped. A mapped address would take an IPv4 address past the rules for IPv4. */
function isReserved6(a0: number, a1: number, a2: number, a3: number): boolean {
  if (a0 !== 0 || a1 !== 0) return false;
  return a2 === MAPPED_WORD || (a2 === 0 && (a3 === 0 || a3 === 1));
}

/** Port of the interface that the source address belongs to, or NO_HOST. */
export function portOfSource(policy: CompiledPolicy, packet: Packet): number {
  const { src0, src1, src2, src3 } = packet;
  return lookUpHost(policy.hosts4, policy.hosts6, packet.family, src0, src1, src2, src3);
}

/** Port of the interface that the destination address belongs to, or NO_HOST. */
export function portOfDestination(policy: CompiledPolicy, packet: Packet): number {
  const { dst0, dst1, dst2, dst3 } = packet;
  return lookUpHost(policy.hosts4, policy.hosts6, packet.family, dst0, dst1, dst2, dst3);
}

/** Whether the packet's source is an address of the platform or of the uplink device. */
export function isSpecialSource(policy: CompiledPolicy, packet: Packet): boolean {
  const { src0, src1, src2, src3 } = packet;
  const { special4, special6 } = policy;
  return lookUpHost(special4, special6, packet.family, src0, src1, src2, src3) !== 0;
}

/** Whether a packet goes to a service of the platform that groups never filter. */
export function isToExempt(policy: CompiledPolicy, packet: Packet): boolean {
  const bit = serviceBit(packet.protocol, packet.dstPort);
  return bit !== 0 && (specialOfDestination(policy, packet) & bit) !== 0;
}

/**
 * The reason why a packet can't come to the platform's port, or can't leave by another from there; PASS. Only an
 * instance asks, only services are asked, and only with an own address: what answers there tells instances apart by it,
 * also one that may forward for strangers.
 */
export function refusalAtPlatform(
  policy: CompiledPolicy,
  packet: Packet,
  from: number,
  to: number,
): number {
  const { platformPort } = policy;
  if (to !== platformPort) return from === platformPort && to === UPLINK_PORT ? NO_ROUTE : PASS;
  if (from === UPLINK_PORT || !isToExempt(policy, packet)) return NO_ROUTE;
  return portOfSource(policy, packet) === from ? PASS : SOURCE_CHECK;
}

/**
 * Whether the destination is link-local or the platform's, and no service is configured there. Such packets are not
 * forwarded (RFC 3927 section 7), whatever the rules say: what answers there answers for the host. An example is the
 * metadata service of a cloud, which hands out the host's credentials. Only the address counts, since fragments have
 * no ports.
 */
export function isUnprovided(policy: CompiledPolicy, packet: Packet): boolean {
  return (
    isInPlatformBlock(packet.family, packet.dst0) &&
    (specialOfDestination(policy, packet) & SPECIAL_PROVIDED) === 0
  );
}

function specialOfDestination(policy: CompiledPolicy, packet: Packet): number {
  const { dst0, dst1, dst2, dst3 } = packet;
  return lookUpHost(policy.special4, policy.special6, packet.family, dst0, dst1, dst2, dst3);
}

/**
 * What the addresses of a packet stand for, before any rule is asked.
 * Sources: RFC 6890 (special-purpose addresses), RFC 4291 section 2.4.
 */
import type { CompiledPolicy } from '../policy/compiled.ts';
import { lookUpHost } from '../policy/match.ts';
import type { Packet } from '../wire/packet.ts';

const LOOPBACK_4 = 127;
const MULTICAST_4 = 224;
const UNSPECIFIED_4 = 0;
const LINK_LOCAL_6_MASK = 0xffc00000 | 0;
const LINK_LOCAL_6 = 0xfe800000 | 0;
const MAPPED_WORD = 0xffff;

/** The destination ends at this link: multicast, broadcast, IPv6 link-local. */
export function isLinkScope(packet: Packet): boolean {
  if (packet.family === 4) return packet.dst0 >>> 24 >= MULTICAST_4;
  return packet.dst0 >>> 24 === 0xff || (packet.dst0 & LINK_LOCAL_6_MASK) === LINK_LOCAL_6;
}

/**
 * A source or destination that no packet on a wire may have. An unspecified source is how a host without
 * an address speaks to its link (DHCP, duplicate address detection): martian beyond that.
 */
export function isMartian(packet: Packet): boolean {
  if (packet.family === 4) {
    const src = packet.src0 >>> 24;
    const dst = packet.dst0 >>> 24;
    return (
      src === LOOPBACK_4 ||
      src >= MULTICAST_4 ||
      src === UNSPECIFIED_4 ||
      dst === LOOPBACK_4 ||
      dst === UNSPECIFIED_4
    );
  }
  return (
    packet.src0 >>> 24 === 0xff ||
    isReserved6(packet.src0, packet.src1, packet.src2, packet.src3) ||
    isReserved6(packet.dst0, packet.dst1, packet.dst2, packet.dst3)
  );
}

/** Unspecified, loopback, or IPv4-mapped (which would carry an IPv4 address past rules for IPv4). */
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

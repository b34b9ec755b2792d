/** The plain twin of engine/scope.ts: what the addresses of a packet stand for, before any rule is asked. */
import type { TwinPacket } from './twin-decode.ts';

/** RFC 4890 section 4.3.3, as docs/conntrack.md, "IPv6", lists them. */
const NEIGHBOUR_TYPES = new Set([
  ...[130, 131, 132, 143],
  ...[133, 134, 135, 136, 137],
  ...[141, 142, 148, 149],
  ...[151, 152, 153],
]);

/**
 * "IPv6", the paragraph on what ends at the link; for IPv4, multicast and broadcast (docs/drop-reasons.md,
 * `link-scope`), which are 224.0.0.0/4 and 255.255.255.255 (RFC 1112 section 4, RFC 919, RFC 6890).
 */
export function isForTheLink({ family, src, dst, icmp }: TwinPacket): boolean {
  if (family === 4)
    return dst === BROADCAST || (dst.charCodeAt(0) >= 224 && dst.charCodeAt(0) < 240);
  if (dst.charCodeAt(0) === 0xff || isLinkLocal(src) || isLinkLocal(dst)) return true;
  return icmp !== undefined && NEIGHBOUR_TYPES.has(icmp.type);
}

/** docs/drop-reasons.md, `rogue-server`: from a server's port to a client's (RFC 2131 section 4.1, RFC 8415 section 7.2). */
export function isDhcpReply({ family, protocol, srcPort, dstPort }: TwinPacket): boolean {
  if (protocol !== 17) return false;
  return family === 4 ? srcPort === 67 && dstPort === 68 : srcPort === 547 && dstPort === 546;
}

const BROADCAST = '\xff\xff\xff\xff';

/** fe80::/10. */
function isLinkLocal(address: string): boolean {
  return address.charCodeAt(0) === 0xfe && Math.floor(address.charCodeAt(1) / 64) === 2;
}

/** "IPv6": unspecified, loopback, IPv4-mapped, and multicast as a source; in IPv4 0/8, 127/8, 224/4 as a source, and 240/4 (RFC 6890). */
export function isMartian({ family, src, dst }: TwinPacket, allowsClassE: boolean): boolean {
  if (family === 4) {
    const source = src.charCodeAt(0);
    const destination = dst.charCodeAt(0);
    const isLoose = (first: number): boolean =>
      first === 0 || first === 127 || (first >= 240 && !allowsClassE);
    const isGroup = (source >= 224 && source < 240) || src === BROADCAST;
    return isLoose(source) || isGroup || isLoose(destination);
  }
  return src.charCodeAt(0) === 0xff || isReserved(src) || isReserved(dst);
}

const ZEROS = '\0'.repeat(16);

/** `::`, `::1` and ::ffff:0:0/96. */
function isReserved(address: string): boolean {
  if (!address.startsWith('\0\0')) return false;
  if (address.startsWith(ZEROS.slice(0, 15))) return address.charCodeAt(15) <= 1;
  return address.startsWith(`${ZEROS.slice(0, 10)}\xff\xff`);
}

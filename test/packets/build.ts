/**
 * The vocabulary tests write packets with: `tcp4('10.0.0.1', '10.0.0.2', { srcPort: 40000, dstPort: 443, flags: 'S' })`.
 *
 * Plain functions that return bytes. Lengths and checksums are right unless the test gives its own.
 * Fields of the IP header go last: `udp4(a, b, { srcPort: 1, dstPort: 53 }, { ttl: 1 })`.
 */
import type { AddressLike } from './bytes.ts';
import { PROTOCOL, ipv4, ipv6 } from './ip.ts';
import type { Ipv4Options, Ipv6Options } from './ip.ts';
import {
  icmp,
  icmp6ErrorMessage,
  icmp6 as icmp6Message,
  icmpErrorMessage,
  tcp,
  udp,
} from './transport.ts';
import type { IcmpErrorOptions, IcmpOptions, TcpOptions, UdpOptions } from './transport.ts';

export * from './bytes.ts';
export * from './ip.ts';
export * from './link.ts';
export {
  ICMP,
  ICMP6,
  icmp,
  icmp6ErrorMessage,
  icmpErrorMessage,
  solicitedNode,
  tcp,
  tcpFlags,
  udp,
} from './transport.ts';
export { icmp6 as icmp6Message } from './transport.ts';
export type { IcmpErrorOptions, IcmpOptions, TcpOptions, UdpOptions } from './transport.ts';

/** What the one-liners leave open of the IP headers. */
export type Ipv4Rest = Partial<Omit<Ipv4Options, 'src' | 'dst' | 'payload'>>;
export type Ipv6Rest = Partial<Omit<Ipv6Options, 'src' | 'dst' | 'payload'>>;

export function tcp4(
  src: AddressLike,
  dst: AddressLike,
  o: TcpOptions,
  ip: Ipv4Rest = {},
): Uint8Array {
  return ipv4({ src, dst, protocol: PROTOCOL.tcp, ...ip, payload: tcp(src, dst, o) });
}

export function udp4(
  src: AddressLike,
  dst: AddressLike,
  o: UdpOptions,
  ip: Ipv4Rest = {},
): Uint8Array {
  return ipv4({ src, dst, protocol: PROTOCOL.udp, ...ip, payload: udp(src, dst, o) });
}

export function icmp4(
  src: AddressLike,
  dst: AddressLike,
  o: IcmpOptions,
  ip: Ipv4Rest = {},
): Uint8Array {
  return ipv4({ src, dst, protocol: PROTOCOL.icmp, ...ip, payload: icmp(o) });
}

/** An ICMP error from `src` to `dst` about `o.quoted`. */
export function icmpError4(
  src: AddressLike,
  dst: AddressLike,
  o: IcmpErrorOptions,
  ip: Ipv4Rest = {},
): Uint8Array {
  return ipv4({ src, dst, protocol: PROTOCOL.icmp, ...ip, payload: icmpErrorMessage(o) });
}

export function tcp6(
  src: AddressLike,
  dst: AddressLike,
  o: TcpOptions,
  ip: Ipv6Rest = {},
): Uint8Array {
  return ipv6({ src, dst, nextHeader: PROTOCOL.tcp, ...ip, payload: tcp(src, dst, o) });
}

export function udp6(
  src: AddressLike,
  dst: AddressLike,
  o: UdpOptions,
  ip: Ipv6Rest = {},
): Uint8Array {
  return ipv6({ src, dst, nextHeader: PROTOCOL.udp, ...ip, payload: udp(src, dst, o) });
}

export function icmp6(
  src: AddressLike,
  dst: AddressLike,
  o: IcmpOptions,
  ip: Ipv6Rest = {},
): Uint8Array {
  return ipv6({ src, dst, nextHeader: PROTOCOL.icmp6, ...ip, payload: icmp6Message(src, dst, o) });
}

/** An ICMPv6 error from `src` to `dst` about `o.quoted`. */
export function icmpError6(
  src: AddressLike,
  dst: AddressLike,
  o: IcmpErrorOptions,
  ip: Ipv6Rest = {},
): Uint8Array {
  return ipv6({
    src,
    dst,
    nextHeader: PROTOCOL.icmp6,
    ...ip,
    payload: icmp6ErrorMessage(src, dst, o),
  });
}

/**
 * The results of decoding a packet. Only a packet with status 0 goes on. Every other status is also a drop reason of
 * the same number (engine/reasons.ts), so that every packet that can't be decoded is counted.
 */
export const DECODE_OK = 0;
export const TRUNCATED = 1;
export const BAD_IP_VERSION = 2;
export const BAD_IP_HEADER_LENGTH = 3;
export const BAD_IP_OPTIONS = 4;
export const IP_SOURCE_ROUTE = 5;
export const BAD_FRAGMENT = 6;
export const TINY_FRAGMENT = 7;
export const IPV6_EXTENSIONS = 8;
export const IPV6_ROUTING_0 = 9;
export const IPV6_JUMBOGRAM = 10;
export const BAD_TCP_HEADER = 11;
export const BAD_UDP_LENGTH = 12;
export const BAD_ICMP = 13;
export const FAMILY_MISMATCH = 14;
export const UNKNOWN_ETHERTYPE = 15;
export const VLAN_TAGGED = 16;
export const DECODE_STATUS_COUNT = 17;

/** Name and meaning by number, for metric labels and documentation. */
export const DECODE_STATUSES: readonly (readonly [name: string, meaning: string])[] = [
  ['decoded', 'decoded'],
  ['truncated', 'shorter than its own headers say'],
  ['bad-ip-version', 'the version nibble is neither 4 nor 6, or not what the frame says'],
  ['bad-ip-header-length', 'IPv4 header length below 20 bytes or beyond the packet'],
  ['bad-ip-options', 'IPv4 options that run past the header'],
  ['ip-source-route', 'IPv4 source routing: a way around the route the gates judged (RFC 7126)'],
  [
    'bad-fragment',
    'a fragment that ends beyond 65,535 bytes (ping of death) or whose length is not a multiple of 8',
  ],
  ['tiny-fragment', 'a first fragment too short to hold the ports it hides (RFC 1858, RFC 7112)'],
  [
    'ipv6-extensions',
    'an IPv6 extension chain that is too long, out of order, repeated or cut short',
  ],
  ['ipv6-routing-0', 'an IPv6 routing header of type 0 (RFC 5095)'],
  ['ipv6-jumbogram', 'an IPv6 jumbogram (RFC 2675)'],
  ['bad-tcp-header', 'a TCP header length below 20 bytes or beyond the packet'],
  ['bad-udp-length', 'a UDP length below 8 bytes or beyond the packet'],
  ['bad-icmp', 'an ICMP message shorter than its header'],
  ['family-mismatch', 'ICMPv6 in IPv4 or ICMP in IPv6'],
  ['unknown-ethertype', 'a frame that is neither IPv4, IPv6 nor ARP'],
  ['vlan-tagged', 'a frame tagged for a VLAN: an instance has no business in another one'],
];

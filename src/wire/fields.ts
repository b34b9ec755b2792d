/**
 * Offsets of header fields, in bytes from the header's start. The tests build packets without this file, so that they
 * notice a wrong offset.
 */

//  0                   1                   2                   3
//  |Version|  IHL  |      TOS      |          Total Length         |
//  |         Identification        |Flags|      Fragment Offset    |
//  |  Time to Live |    Protocol   |         Header Checksum       |
//  |                       Source Address                          |
//  |                    Destination Address                        |   RFC 791 section 3.1
export const IPV4_TOTAL_LENGTH = 2;
export const IPV4_ID = 4;
export const IPV4_FRAGMENT = 6;
export const IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9;
export const IPV4_CHECKSUM = 10;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;
export const IPV4_HEADER_BYTES = 20;
export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
export const IPV4_OFFSET_MASK = 0x1fff;

//  |Version| Traffic Class |           Flow Label                  |
//  |         Payload Length        |  Next Header  |   Hop Limit   |
//  |                    Source Address (16 bytes)                  |
//  |                    Destination Address (16 bytes)             |   RFC 8200 section 3
export const IPV6_PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;
export const IPV6_HEADER_BYTES = 40;

//  |  Next Header  |  Hdr Ext Len  |   Options or type-specific    |   RFC 8200 section 4.2, 4.4
export const EXTENSION_NEXT_HEADER = 0;
export const EXTENSION_LENGTH = 1;
export const ROUTING_TYPE = 2;

//  |  Next Header  |   Reserved    |      Fragment Offset    |Res|M|
//  |                         Identification                        |   RFC 8200 section 4.5
export const FRAGMENT_OFFSET = 2;
export const FRAGMENT_ID = 4;
export const FRAGMENT_HEADER_BYTES = 8;

//  |          Source Port          |       Destination Port        |
//  |                        Sequence Number                        |
//  |                    Acknowledgment Number                      |
//  | Offset|Rsrvd|     Flags       |            Window             |
//  |           Checksum            |         Urgent Pointer        |   RFC 9293 section 3.1
export const SOURCE_PORT = 0;
export const DESTINATION_PORT = 2;
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGMENT = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;
export const TCP_URGENT = 18;
export const TCP_HEADER_BYTES = 20;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;

//  |     Source, Destination Port  |    Length     |   Checksum    |   RFC 768
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;
export const UDP_HEADER_BYTES = 8;

//  |     Type      |     Code      |          Checksum             |
//  |     Identifier (queries)      |        Sequence Number        |   RFC 792, RFC 4443
export const ICMP_TYPE = 0;
export const ICMP_CODE = 1;
/** In neighbour solicitations and advertisements: the target address (RFC 4861 sections 4.3 and 4.4). */
export const NEIGHBOUR_TARGET = 8;
export const ICMP_IDENTIFIER = 4;
export const ICMP_HEADER_BYTES = 8;

//  | Destination (6) | Source (6) | EtherType |   IEEE 802.3; 802.1Q puts TPID and TCI before the EtherType
export const ETHERNET_DESTINATION = 0;
export const ETHERNET_SOURCE = 6;
export const ETHERNET_TYPE = 12;
export const ETHERNET_HEADER_BYTES = 14;
export const VLAN_TAG_BYTES = 4;
export const VLAN_ID_MASK = 0x0fff;

//  | Hardware type | Protocol type | Lengths | Operation | SHA (6) | SPA (4) | THA (6) | TPA (4) |   RFC 826
export const ARP_HARDWARE_TYPE = 0;
export const ARP_PROTOCOL_TYPE = 2;
export const ARP_LENGTHS = 4;
export const ARP_OPERATION = 6;
export const ARP_SENDER_MAC = 8;
export const ARP_SENDER_ADDRESS = 14;
export const ARP_TARGET_MAC = 18;
export const ARP_TARGET_ADDRESS = 24;
export const ARP_BYTES = 28;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;

/** IANA protocol numbers. */
export const PROTO_HOP_BY_HOP = 0;
export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ROUTING = 43;
export const PROTO_FRAGMENT = 44;
export const PROTO_ICMPV6 = 58;
export const PROTO_DESTINATION_OPTIONS = 60;

//  | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |   virtio 1.2 section 5.1.6, host byte order
export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
export const VNET_HDR_LEN = 2;
export const VNET_GSO_SIZE = 4;
export const VNET_CSUM_START = 6;
export const VNET_CSUM_OFFSET = 8;
export const VNET_HDR_BYTES = 10;
export const VNET_GSO_NONE = 0;
export const VNET_GSO_TCPV4 = 1;
export const VNET_GSO_TCPV6 = 4;
/** USO: the kernel cuts a UDP payload into datagrams of gso_size bytes (Linux 6.2). */
export const VNET_GSO_UDP_L4 = 5;
/** Added to a TCP type by OR: segmentation has to take care of the CWR flag. */
export const VNET_GSO_ECN = 0x80;
export const VNET_FLAG_NEEDS_CSUM = 1;
/** Somebody has verified the checksum. */
export const VNET_FLAG_DATA_VALID = 2;

/**
 * Offsets and numbers of DHCP, DHCPv6 and router discovery messages. The tests read and build such messages without
 * this file, so that they notice a wrong number.
 */

//  | op (1) | htype (1) | hlen (1) | hops (1) | xid (4) | secs (2) | flags (2) |   RFC 2131 section 2
//  | ciaddr (4) | yiaddr (4) | siaddr (4) | giaddr (4) | chaddr (16) | sname (64) | file (128) | cookie (4) | options
export const DHCP_OP = 0;
export const DHCP_XID = 4;
export const DHCP_FLAGS = 10;
export const DHCP_CLIENT_ADDRESS = 12;
export const DHCP_YOUR_ADDRESS = 16;
export const DHCP_RELAY_ADDRESS = 24;
export const DHCP_CLIENT_MAC = 28;
export const DHCP_COOKIE = 236;
export const DHCP_OPTIONS = 240;

/** op, htype, hlen and hops of a request and of a reply, where hardware addresses are those of Ethernet. */
export const DHCP_REQUEST_START = 0x01010600;
export const DHCP_REPLY_START = 0x02010600;
export const DHCP_MAGIC = 0x63825363;
export const DHCP_BROADCAST_FLAG = 0x8000;

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

/** Option 53 (RFC 2132 section 9.6). */
export const DHCP_DISCOVER = 1;
export const DHCP_OFFER = 2;
export const DHCP_REQUEST = 3;
export const DHCP_DECLINE = 4;
export const DHCP_ACK = 5;
export const DHCP_NAK = 6;
export const DHCP_RELEASE = 7;
export const DHCP_INFORM = 8;

/** RFC 2132, RFC 3442 (classless routes). */
export const OPTION4_PAD = 0;
export const OPTION4_MASK = 1;
export const OPTION4_ROUTER = 3;
export const OPTION4_DNS = 6;
export const OPTION4_MTU = 26;
export const OPTION4_REQUESTED = 50;
export const OPTION4_LEASE_TIME = 51;
export const OPTION4_TYPE = 53;
export const OPTION4_SERVER = 54;
export const OPTION4_CLIENT = 61;
export const OPTION4_ROUTES = 121;
export const OPTION4_END = 255;

//  | msg-type (1) | transaction-id (3) | options: code (2), length (2), value |   RFC 8415 section 8
export const DHCP6_OPTIONS = 4;

export const DHCP6_SERVER_PORT = 547;
export const DHCP6_CLIENT_PORT = 546;

/** RFC 8415 section 7.3. */
export const DHCP6_SOLICIT = 1;
export const DHCP6_ADVERTISE = 2;
export const DHCP6_REQUEST = 3;
export const DHCP6_CONFIRM = 4;
export const DHCP6_RENEW = 5;
export const DHCP6_REBIND = 6;
export const DHCP6_REPLY = 7;
export const DHCP6_RELEASE = 8;
export const DHCP6_DECLINE = 9;
export const DHCP6_INFORMATION_REQUEST = 11;

/** RFC 8415 section 21, RFC 3646 (DNS). */
export const OPTION6_CLIENT = 1;
export const OPTION6_SERVER = 2;
export const OPTION6_IA_NA = 3;
export const OPTION6_IA_ADDRESS = 5;
export const OPTION6_STATUS = 13;
export const OPTION6_DNS = 23;
/** IAID, T1, T2, before the options of an IA_NA. */
export const IA_NA_HEAD_BYTES = 12;
/** Address, preferred and valid lifetime, before the options of an IA address. */
export const IA_ADDRESS_HEAD_BYTES = 24;
/** A DUID is a type and at most 128 bytes (RFC 8415 section 11.1). */
export const DUID_BYTES_MAX = 130;

/** RFC 8415 section 21.13. */
export const STATUS6_SUCCESS = 0;
export const STATUS6_NOT_ON_LINK = 4;

/** ICMPv6 types (RFC 4861 sections 4.1 and 4.2). */
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const SOLICITATION_HEAD_BYTES = 8;
export const ADVERTISEMENT_HEAD_BYTES = 16;

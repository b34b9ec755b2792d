/**
 * The reasons to drop a packet. Numbers 1 … DECODE_STATUS_COUNT - 1 are the statuses of wire/status.ts; the rest
 * follow here. A name is a metric label and a word that people search for, so it is never reused or renamed.
 */
import { DECODE_STATUS_COUNT, DECODE_STATUSES } from '../wire/status.ts';

/** No reason: the packet goes on. */
export const PASS = 0;
export const SOURCE_CHECK = DECODE_STATUS_COUNT;
export const UPLINK_SPOOF = DECODE_STATUS_COUNT + 1;
export const MARTIAN = DECODE_STATUS_COUNT + 2;
export const LINK_SCOPE = DECODE_STATUS_COUNT + 3;
export const NO_ROUTE = DECODE_STATUS_COUNT + 4;
export const EGRESS_RULES = DECODE_STATUS_COUNT + 5;
export const INGRESS_RULES = DECODE_STATUS_COUNT + 6;
export const TCP_CLOSED_FLOW = DECODE_STATUS_COUNT + 7;
export const TCP_MIDSTREAM = DECODE_STATUS_COUNT + 8;
export const CONNTRACK_FULL = DECODE_STATUS_COUNT + 9;
export const FRAGMENT_WITHOUT_FIRST = DECODE_STATUS_COUNT + 10;
export const FRAGMENT_REFUSED = DECODE_STATUS_COUNT + 11;
export const FRAGMENT_OVERLAP = DECODE_STATUS_COUNT + 12;
export const NEIGHBOUR_SPOOF = DECODE_STATUS_COUNT + 13;
export const WRITE_FAILED = DECODE_STATUS_COUNT + 14;
export const REVOKED = DECODE_STATUS_COUNT + 15;
export const TCP_FLAGS_ILLEGAL = DECODE_STATUS_COUNT + 16;
export const TCP_STATE = DECODE_STATUS_COUNT + 17;
export const TCP_WINDOW = DECODE_STATUS_COUNT + 18;
export const FRAGMENT_DUPLICATE = DECODE_STATUS_COUNT + 19;
export const FRAGMENT_LIMIT = DECODE_STATUS_COUNT + 20;
export const EVENTS_FULL = DECODE_STATUS_COUNT + 21;
export const BAD_OFFLOAD = DECODE_STATUS_COUNT + 22;
export const PACKET_TOO_BIG = DECODE_STATUS_COUNT + 23;
export const UNRESOLVED = DECODE_STATUS_COUNT + 24;
export const MAC_SPOOF = DECODE_STATUS_COUNT + 25;
export const ROGUE_SERVER = DECODE_STATUS_COUNT + 26;
export const BAD_DHCP = DECODE_STATUS_COUNT + 27;
export const STALE_GROUPS = DECODE_STATUS_COUNT + 28;
export const FENCED = DECODE_STATUS_COUNT + 29;
export const TLS_NAME = DECODE_STATUS_COUNT + 30;
export const TLS_NAME_AWAITED = DECODE_STATUS_COUNT + 31;
export const TLS_NAMES_FULL = DECODE_STATUS_COUNT + 32;
export const REASON_COUNT = DECODE_STATUS_COUNT + 33;

/** Name and meaning by number, for metric labels and documentation. Entry 0 is "passed". */
export const REASONS: readonly (readonly [name: string, meaning: string])[] = [
  ['passed', 'not dropped'],
  ...DECODE_STATUSES.slice(1),
  ['source-check', "an instance sent from an address that is not its interface's"],
  [
    'uplink-spoof',
    "a packet from outside bears a local interface's address: it would pass as a member of that interface's groups",
  ],
  [
    'martian',
    'a source or destination no packet on a wire may have (loopback, multicast source, unspecified)',
  ],
  [
    'link-scope',
    'neighbour discovery, MLD, IGMP, DHCP, multicast, broadcast: not filtered by groups, and not forwarded',
  ],
  [
    'no-route',
    'for no local interface and there is no uplink, back to where it came from, or to an address of the platform without a configured service; from the platform to the uplink, or the other way',
  ],
  ['egress-rules', 'no egress rule of the groups on the interface admits it'],
  ['ingress-rules', 'no ingress rule of the groups on the interface admits it'],
  [
    'tcp-closed',
    'the connection was refused, or reset by who sends this; only a new SYN reopens it',
  ],
  ['tcp-midstream', 'a TCP packet of no known connection that is no SYN (midstream: drop)'],
  [
    'conntrack-full',
    'the flow would have to be tracked and the table is full (conntrack_allowance_exceeded)',
  ],
  [
    'fragment-early',
    'a later fragment whose first fragment was not seen: it has no ports to judge',
  ],
  [
    'fragment-refused',
    'a fragment of a datagram that was given up: its first fragment was dropped, or one overlapped',
  ],
  [
    'fragment-overlap',
    'a fragment that overlaps another, or contradicts where the datagram ends: nothing more of it passes (RFC 5722)',
  ],
  [
    'neighbour-spoof',
    "an ARP or neighbour message that claims an address that is not the interface's",
  ],
  [
    'write-failed',
    'the device on the other side refused the packet; of a stream: no guest is connected, or it does not read',
  ],
  [
    'revoked',
    'the connection was ended by a change of rules (revocation: recheck or cut) or by hand; only a new SYN opens it again, without TCP only the side that had opened it',
  ],
  [
    'tcp-flags',
    'a combination of TCP flags that no connection has (null, Xmas, SYN-FIN, lone FIN): a scan',
  ],
  ['tcp-state', 'a TCP packet whose flags have no business in the state of its connection'],
  [
    'tcp-window',
    'a TCP packet outside the window that both ends agreed on: forged, or of another time',
  ],
  [
    'fragment-duplicate',
    'a fragment that covers exactly what another did: the receiver has had one',
  ],
  ['fragment-limit', 'a fragment beyond the 128 that a datagram may come in'],
  [
    'events-full',
    'it would open a flow, and the ring of events is full: nobody could record it (exceptions.eventsFull: drop)',
  ],
  [
    'bad-offload',
    'its virtio header would have the kernel write a checksum elsewhere than into the header that was judged, or cut it as what it is not',
  ],
  [
    'packet-too-big',
    'longer than the MTU of the device it is for, and not to be cut; its sender is told by ICMP, if it may be',
  ],
  [
    'unresolved',
    'nobody on the link of the TAP answers for the next hop (ARP, neighbour discovery): an address that is not there, or a guest that is down',
  ],
  ['mac-spoof', "a frame from another MAC address than the interface's (device.mac)"],
  [
    'rogue-server',
    "an instance sent what only the network's DHCP server or router sends: a DHCP or DHCPv6 reply for another instance, or a router advertisement",
  ],
  [
    'bad-dhcp',
    'a DHCP or DHCPv6 question or a router solicitation that is malformed, comes by a relay, or names another MAC address than its frame',
  ],
  [
    'stale-groups',
    'it would open a flow, and only rules that name groups admit it: the store has been away for so long that their members count for nothing new (--stale deny-new-after)',
  ],
  [
    'fenced',
    'to or from an interface that the store gave this host, while the store may hold that the host is gone: another host may have the interface (--fence lease)',
  ],
  [
    'tls-name',
    'its rule requires a server name of TLS, and the connection did not begin with a ClientHello that has it: it is closed, and only a new SYN opens it again (tlsName: required)',
  ],
  [
    'tls-name-awaited',
    'its rule requires a server name of TLS, which was not seen yet: data in the SYN, ahead of a gap, of the server, in fragments, or of a connection whose beginning was not seen (tlsName: required)',
  ],
  [
    'tls-names-full',
    'too many connections wait for their server name, of this interface or of all; the client sends it again (tlsName: required)',
  ],
];

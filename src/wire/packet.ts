/**
 * What decoding leaves behind: one record a direction, made once and written over by every packet.
 *
 * Every field is a number and is set by every decode, so that a short packet can't show the ports of
 * the one before it. All are int32 (addresses and sequence numbers are negative from 2^31 on): a value
 * beyond int32 would be boxed on the heap, and the packet path allocates nothing.
 */

/** Not fragmented, or an atomic fragment (RFC 6946): judged by its own ports. */
export const FRAGMENT_NONE = 0;
/** Offset 0 with more to come: has the ports, decides for the rest. */
export const FRAGMENT_FIRST = 1;
/** Offset above 0: has no ports; protocol is what the IP or fragment header names. */
export const FRAGMENT_LATER = 2;

/** No ICMP message that asks or answers. */
export const ICMP_OTHER = 0;
/** A query with an identifier (echo, timestamp, information, address mask): the sender asks. */
export const ICMP_QUERY = 1;
/** The answer to one: the receiver asked. */
export const ICMP_REPLY = 2;
/** An error that quotes the packet it is about. */
export const ICMP_ERROR = 3;

export class Packet {
  /** wire/status.ts. Nothing else is valid unless DECODE_OK. */
  status = 0;
  /**
   * For the decoder alone: 1 if it left the fields of fragments and ICMP as they are when cleared, so that the
   * next plain packet need not clear them. Half the fields of a record, and half the stores.
   */
  isSparse = 0;
  /** 4 or 6. */
  family = 0;
  /** Transport protocol (IANA); for FRAGMENT_LATER in IPv6, the fragment header's next header. */
  protocol = 0;

  /** Offset of the IP header in the view. */
  ipOffset = 0;
  /** Offset of the transport header; of the fragment's data for FRAGMENT_LATER. */
  transportOffset = 0;
  /** Offset just beyond the IP packet: the smaller of what was captured and what the header declares. */
  endOffset = 0;

  /** Source and destination: word 0 alone for IPv4, words 0–3 for IPv6; the rest is 0. */
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;

  /**
   * TCP and UDP: the ports. ICMP queries and replies: the identifier on the side that asked, the query's
   * type on the side that answers, so that a query and its reply are the two directions of one flow.
   * Everything else, and FRAGMENT_LATER: 0.
   */
  srcPort = 0;
  dstPort = 0;

  fragment = FRAGMENT_NONE;
  fragmentId = 0;
  /** Where this fragment's data starts and ends, in bytes of the original payload. */
  fragmentOffset = 0;
  fragmentEnd = 0;
  /** 1 if fragments behind this one follow, else 0. */
  fragmentMore = 0;

  /** TCP only, else 0. */
  tcpFlags = 0;
  tcpSequence = 0;
  tcpAcknowledgment = 0;
  tcpWindow = 0;
  /** Bytes of data in this packet; of the part that is here, for a first fragment. */
  tcpPayloadBytes = 0;
  /** Window scale of a SYN or SYN-ACK, 0–14 (RFC 7323); -1 if it has none, and for every other packet. */
  tcpWindowScale = -1;

  /** ICMP and ICMPv6 only, else 0 and ICMP_OTHER. */
  icmpType = 0;
  icmpCode = 0;
  icmpKind = ICMP_OTHER;
}

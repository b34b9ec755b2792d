/**
 * The record that decoding fills. A record is made once and overwritten by many packets. The engine has one for each
 * packet of a group that it prepares together (engine/lookahead.ts), and one for the packet that an ICMP error
 * quotes.
 *
 * After a decode no field holds a value of the packet before, so a short packet can't show another packet's ports.
 * All fields are int32 (addresses and sequence numbers are negative from 2^31 on). A larger number would be allocated
 * on the heap, and the packet path allocates nothing.
 */

/** Not fragmented, or an atomic fragment (RFC 6946). It is judged by its own ports. */
export const FRAGMENT_NONE = 0;
/** Offset 0 with more to come. It has the ports and decides for the other fragments. */
export const FRAGMENT_FIRST = 1;
/** Offset above 0. It has no ports; `protocol` is what the IP or fragment header names. */
export const FRAGMENT_LATER = 2;

/** Neither query, reply nor error. */
export const ICMP_OTHER = 0;
/** A query with an identifier (echo, timestamp, information, address mask). */
export const ICMP_QUERY = 1;
/** The reply to a query. */
export const ICMP_REPLY = 2;
/** An error that quotes the packet it is about. */
export const ICMP_ERROR = 3;

export class Packet {
  /** A status of wire/status.ts. The other fields are valid only if it is DECODE_OK. */
  status = 0;
  /**
   * 1 if the fragment and ICMP fields are already cleared, so that decoding the next plain packet need not clear
   * them. That saves half the stores. Only the decoder uses it.
   */
  isSparse = 0;
  /** 4 or 6. */
  family = 0;
  /** Transport protocol (IANA). For FRAGMENT_LATER in IPv6: the fragment header's next header. */
  protocol = 0;

  /** Offset of the IP header in the view. */
  ipOffset = 0;
  /** Offset of the transport header. For FRAGMENT_LATER: of the fragment's data. */
  transportOffset = 0;
  /** Offset just beyond the IP packet: the captured end or the end that the header declares, whichever comes first. */
  endOffset = 0;

  /** Source and destination address. IPv4 uses word 0 and leaves the others 0; IPv6 uses words 0–3. */
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;

  /**
   * TCP and UDP: the ports. ICMP queries and replies: the identifier stands for the port of the side that asked, the
   * query's type for the port of the side that answers. So a query and its reply are the two directions of one flow.
   * 0 for everything else and for FRAGMENT_LATER.
   */
  srcPort = 0;
  dstPort = 0;

  fragment = FRAGMENT_NONE;
  fragmentId = 0;
  /** Where this fragment's data starts and ends, in bytes of the whole payload. */
  fragmentOffset = 0;
  fragmentEnd = 0;
  /** 1 if more fragments follow behind this one, else 0. */
  fragmentMore = 0;

  /** TCP only, else 0. */
  tcpFlags = 0;
  tcpSequence = 0;
  tcpAcknowledgment = 0;
  tcpWindow = 0;
  /** Bytes of data in this packet. For a first fragment: bytes of the data that it holds itself. */
  tcpPayloadBytes = 0;
  /** Window scale of a SYN or SYN-ACK, 0–14 (RFC 7323). -1 for one without the option, and for every other packet. */
  tcpWindowScale = -1;

  /** ICMP and ICMPv6 only. Otherwise 0 and ICMP_OTHER. */
  icmpType = 0;
  icmpCode = 0;
  icmpKind = ICMP_OTHER;
}

/**
 * Walks the IPv6 extension headers (RFC 8200 section 4). This is the only place that finds the upper protocol.
 *
 * The walk passes hop-by-hop options, routing headers, destination options and fragment headers. Any other number
 * ends it and is the upper protocol. That includes ESP and AH: groups judge them as protocols 50 and 51 in both
 * families. An unknown number needs a rule for that number or for all protocols.
 *
 * A chain has at most five headers: hop-by-hop options once and first, routing once, fragment once, destination
 * options twice (section 4.1). So the walk is short whatever is sent (RFC 8504 section 5.3).
 *
 * Routing headers of type 0 are refused, others pass. Types 2 and 4 (Mobile IPv6, segment routing) name further hops
 * too, but only a host that was set up for it forwards such a packet, and then that host's own gate judges it again.
 */
import {
  EXTENSION_LENGTH,
  EXTENSION_NEXT_HEADER,
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID,
  FRAGMENT_OFFSET,
  PROTO_DESTINATION_OPTIONS,
  PROTO_FRAGMENT,
  PROTO_HOP_BY_HOP,
  PROTO_ROUTING,
  ROUTING_TYPE,
} from './fields.ts';
import { FRAGMENT_FIRST, FRAGMENT_LATER, type Packet } from './packet.ts';
import { DECODE_OK, IPV6_EXTENSIONS, IPV6_ROUTING_0, TINY_FRAGMENT, TRUNCATED } from './status.ts';

const FRAGMENT_OFFSET_MASK = 0xfff8;
const MORE_FRAGMENTS = 1;

/**
 * Walks on from packet.transportOffset. Moves transportOffset to the upper header, and sets protocol and the fragment
 * fields. The caller must check the lengths of fragments.
 * @param declaredEnd the packet's end as its own header declares it
 * @returns DECODE_OK, or the status with which the chain is refused
 */
export function walkExtensions(view: DataView, packet: Packet, declaredEnd: number): number {
  let at = packet.transportOffset;
  let next = packet.protocol;
  let fragmented = false;
  let destinationOptions = 0;
  let routing = 0;
  for (let headers = 0; ; headers++) {
    if (
      next !== PROTO_HOP_BY_HOP &&
      next !== PROTO_ROUTING &&
      next !== PROTO_DESTINATION_OPTIONS &&
      next !== PROTO_FRAGMENT
    ) {
      packet.protocol = next;
      packet.transportOffset = at;
      return DECODE_OK;
    }
    if (at + FRAGMENT_HEADER_BYTES > packet.endOffset)
      return fragmented ? TINY_FRAGMENT : TRUNCATED;
    let bytes = FRAGMENT_HEADER_BYTES;
    if (next === PROTO_FRAGMENT) {
      // A fragment inside a fragment: reassembly would build a packet that we never saw.
      if (fragmented) return IPV6_EXTENSIONS;
      fragmented = true;
      const field = view.getUint16(at + FRAGMENT_OFFSET);
      packet.fragmentId = view.getInt32(at + FRAGMENT_ID);
      packet.fragmentOffset = field & FRAGMENT_OFFSET_MASK;
      packet.fragmentEnd = packet.fragmentOffset + declaredEnd - at - FRAGMENT_HEADER_BYTES;
      packet.fragmentMore = field & MORE_FRAGMENTS;
      if (packet.fragmentOffset !== 0) {
        packet.fragment = FRAGMENT_LATER;
        packet.protocol = view.getUint8(at + EXTENSION_NEXT_HEADER);
        packet.transportOffset = at + bytes;
        return DECODE_OK;
      }
      // A fragment header with offset 0 and no more to follow is an atomic fragment: a whole packet (RFC 6946).
      if (packet.fragmentMore === 1) packet.fragment = FRAGMENT_FIRST;
    } else {
      // Hop-by-hop options come first or not at all. Destination options come at most twice, the others once.
      if (next === PROTO_HOP_BY_HOP && headers !== 0) return IPV6_EXTENSIONS;
      if (next === PROTO_DESTINATION_OPTIONS && ++destinationOptions > 2) return IPV6_EXTENSIONS;
      if (next === PROTO_ROUTING) {
        if (++routing > 1) return IPV6_EXTENSIONS;
        // Type 0 lists further hops, so it can bounce packets between hosts and around filters (RFC 5095).
        if (view.getUint8(at + ROUTING_TYPE) === 0) return IPV6_ROUTING_0;
      }
      bytes = (view.getUint8(at + EXTENSION_LENGTH) + 1) << 3;
      if (at + bytes > packet.endOffset) return fragmented ? TINY_FRAGMENT : TRUNCATED;
    }
    next = view.getUint8(at + EXTENSION_NEXT_HEADER);
    at += bytes;
  }
}

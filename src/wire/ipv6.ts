/**
 * The IPv6 extension header walk (RFC 8200 section 4): the single place that finds the upper protocol.
 *
 * Hop-by-hop options, routing, destination options and the fragment header are passed; every other
 * number ends the walk as the upper protocol, AH and ESP included, so that groups judge them as
 * protocols 51 and 50 in both families. A number nobody knows is a protocol nobody allowed.
 *
 * The longest chain has five headers: hop-by-hop options once and first, routing and fragment once,
 * destination options twice (section 4.1). So a walk is short whatever is sent (RFC 8504 section 5.3).
 *
 * Routing headers pass but for type 0: a type 2 or 4 header (Mobile IPv6, segment routing) names further
 * hops too, but only a host that was set up for it sends the packet on, and then that host's own gate
 * judges it again.
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
 * Walks from packet.transportOffset; moves transportOffset to the upper header and sets protocol and
 * the fragment fields, whose lengths the caller must check. `declaredEnd` is the packet's end by its own header.
 * @returns DECODE_OK, or why the chain is refused
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
      // Fragments inside fragments: reassembly would build a packet we never saw.
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
      // Offset 0 and nothing more is an atomic fragment: a whole packet (RFC 6946).
      if (packet.fragmentMore === 1) packet.fragment = FRAGMENT_FIRST;
    } else {
      // Hop-by-hop options stand first or nowhere; the others at most once, destination options twice.
      if (next === PROTO_HOP_BY_HOP && headers !== 0) return IPV6_EXTENSIONS;
      if (next === PROTO_DESTINATION_OPTIONS && ++destinationOptions > 2) return IPV6_EXTENSIONS;
      if (next === PROTO_ROUTING) {
        if (++routing > 1) return IPV6_EXTENSIONS;
        // Type 0 lists further hops: it bounces packets between hosts and around filters (RFC 5095).
        if (view.getUint8(at + ROUTING_TYPE) === 0) return IPV6_ROUTING_0;
      }
      bytes = (view.getUint8(at + EXTENSION_LENGTH) + 1) << 3;
      if (at + bytes > packet.endOffset) return fragmented ? TINY_FRAGMENT : TRUNCATED;
    }
    next = view.getUint8(at + EXTENSION_NEXT_HEADER);
    at += bytes;
  }
}

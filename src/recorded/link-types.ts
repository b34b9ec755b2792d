/**
 * Finds the IP packet in what a capture has of a frame, by the type of its link.
 *
 * Sources: draft-ietf-opsawg-pcaplinktype (numbers and headers), IEEE 802.1Q and 802.1ad (tags).
 */
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  VLAN_TAG_BYTES,
} from '../wire/fields.ts';

/** Results that are no offset. */
export const NOT_IP = -1;
export const CUT_SHORT = -2;
export const UNKNOWN_LINK = -3;

const LINKTYPE_NULL = 0;
const LINKTYPE_ETHERNET = 1;
/** DLT_RAW as BSDs number it: files of some programs have it. */
const DLT_RAW_12 = 12;
const DLT_RAW_14 = 14;
const LINKTYPE_RAW = 101;
const LINKTYPE_LOOP = 108;
const LINKTYPE_LINUX_SLL = 113;
const LINKTYPE_IPV4 = 228;
const LINKTYPE_IPV6 = 229;
const LINKTYPE_LINUX_SLL2 = 276;

const NULL_BYTES = 4;
const SLL_BYTES = 16;
const SLL2_BYTES = 20;
const ETHERTYPE_QINQ = 0x88a8;
/** As switches wrote it before 802.1ad. */
const ETHERTYPE_OLD_QINQ = 0x9100;
/** More tags in a row than anybody has. */
const TAGS_MAX = 4;

/** @returns where the IP packet begins, from `offset` on; NOT_IP, CUT_SHORT or UNKNOWN_LINK */
export function findIp(view: DataView, offset: number, captured: number, linkType: number): number {
  switch (linkType) {
    case LINKTYPE_ETHERNET:
      return behindType(view, offset, captured, ETHERNET_HEADER_BYTES - 2, ETHERNET_HEADER_BYTES);
    case LINKTYPE_RAW:
    case LINKTYPE_IPV4:
    case LINKTYPE_IPV6:
    case DLT_RAW_12:
    case DLT_RAW_14:
      return atVersion(view, offset, captured, 0);
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP:
      // The family's number is the operating system's, in its byte order. The packet says it as well.
      return atVersion(view, offset, captured, NULL_BYTES);
    case LINKTYPE_LINUX_SLL:
      return behindType(view, offset, captured, SLL_BYTES - 2, SLL_BYTES);
    case LINKTYPE_LINUX_SLL2:
      return behindType(view, offset, captured, 0, SLL2_BYTES);
    default:
      return UNKNOWN_LINK;
  }
}

/** @param typeAt where the EtherType is. @param headerBytes where its payload is, or the first tag */
function behindType(
  view: DataView,
  offset: number,
  captured: number,
  typeAt: number,
  headerBytes: number,
): number {
  if (captured < headerBytes) return CUT_SHORT;
  let type = view.getUint16(offset + typeAt);
  let payload = headerBytes;
  for (let tags = 0; isTag(type); tags++) {
    if (tags === TAGS_MAX) return NOT_IP;
    if (captured < payload + VLAN_TAG_BYTES) return CUT_SHORT;
    type = view.getUint16(offset + payload + 2);
    payload += VLAN_TAG_BYTES;
  }
  return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? payload : NOT_IP;
}

function isTag(type: number): boolean {
  return type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ || type === ETHERTYPE_OLD_QINQ;
}

function atVersion(view: DataView, offset: number, captured: number, headerBytes: number): number {
  if (captured <= headerBytes) return CUT_SHORT;
  const version = view.getUint8(offset + headerBytes) >>> 4;
  return version === 4 || version === 6 ? headerBytes : NOT_IP;
}

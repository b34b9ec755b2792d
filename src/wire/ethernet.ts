/** Ethernet, 802.1Q and ARP: the layers that a TAP device has below IP. */
import {
  ARP_BYTES,
  ARP_HARDWARE_TYPE,
  ARP_LENGTHS,
  ARP_PROTOCOL_TYPE,
  ETHERNET_HEADER_BYTES,
  ETHERNET_TYPE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  VLAN_ID_MASK,
  VLAN_TAG_BYTES,
} from './fields.ts';
import { TRUNCATED, UNKNOWN_ETHERTYPE, VLAN_TAGGED } from './status.ts';

const HARDWARE_ETHERNET = 1;
/** Hardware address length 6, protocol address length 4. */
const LENGTHS_ETHERNET_IPV4 = 0x0604;

/**
 * Finds the payload of the frame at `offset`.
 *
 * A priority tag (VLAN id 0) is skipped. A tag for a VLAN is refused: with it a host might reach a segment whose
 * traffic nobody judges.
 * @returns the payload's distance from `offset`, or minus a status
 */
export function etherPayload(view: DataView, offset: number, length: number): number {
  if (length < ETHERNET_HEADER_BYTES) return -TRUNCATED;
  if (view.getUint16(offset + ETHERNET_TYPE) !== ETHERTYPE_VLAN) return ETHERNET_HEADER_BYTES;
  if (length < ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES) return -TRUNCATED;
  if ((view.getUint16(offset + ETHERNET_TYPE + 2) & VLAN_ID_MASK) !== 0) return -VLAN_TAGGED;
  return ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
}

/**
 * Reads the EtherType of a frame.
 * @param payload the payload's distance from `offset` (etherPayload)
 * @returns the EtherType if it is IPv4, IPv6 or ARP, otherwise minus a status
 */
export function etherType(view: DataView, offset: number, payload: number): number {
  const type = view.getUint16(offset + payload - 2);
  const known = type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 || type === ETHERTYPE_ARP;
  return known ? type : -UNKNOWN_ETHERTYPE;
}

/** Whether `length` bytes at `offset` are an ARP message for Ethernet and IPv4 (RFC 826). */
export function isArpIpv4(view: DataView, offset: number, length: number): boolean {
  return (
    length >= ARP_BYTES &&
    view.getUint16(offset + ARP_HARDWARE_TYPE) === HARDWARE_ETHERNET &&
    view.getUint16(offset + ARP_PROTOCOL_TYPE) === ETHERTYPE_IPV4 &&
    view.getUint16(offset + ARP_LENGTHS) === LENGTHS_ETHERNET_IPV4
  );
}

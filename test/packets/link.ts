/** Ethernet, ARP and IPv6 neighbour discovery. */
import { addressBytes, bytes, concat, macBytes, uint } from './bytes.ts';
import type { AddressLike, MacLike } from './bytes.ts';
import { PROTOCOL, ipv6 } from './ip.ts';
import { ICMP6, icmp6, solicitedNode } from './transport.ts';

export const ETHER_TYPE = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  serviceVlan: 0x88a8,
} as const;

export const MAC_BROADCAST = 'ff:ff:ff:ff:ff:ff';

/** IEEE 802.1Q. */
export interface VlanTag {
  readonly id: number;
  readonly priority?: number;
  readonly dropEligible?: boolean;
  /** Default 0x8100. */
  readonly tagProtocol?: number;
}

export interface EthernetOptions {
  readonly src: MacLike;
  readonly dst: MacLike;
  readonly etherType: number;
  /** A VLAN id, a tag, or tags from the outermost inwards. */
  readonly vlan?: number | VlanTag | readonly VlanTag[];
  readonly payload: Uint8Array;
}

/** A frame as TAP hands it over: no preamble, no frame check sequence, not padded to 60 bytes. */
export function ethernet(o: EthernetOptions): Uint8Array {
  const tags = tagList(o.vlan).map((tag) =>
    concat(
      uint(tag.tagProtocol ?? ETHER_TYPE.vlan, 2),
      uint((tag.priority ?? 0) * 0x2000 + (tag.dropEligible === true ? 0x1000 : 0) + tag.id, 2),
    ),
  );
  return concat(macBytes(o.dst), macBytes(o.src), ...tags, uint(o.etherType, 2), o.payload);
}

function tagList(vlan: EthernetOptions['vlan']): readonly VlanTag[] {
  if (vlan === undefined) return [];
  if (typeof vlan === 'number') return [{ id: vlan }];
  return 'id' in vlan ? [vlan] : vlan;
}

/** RFC 826, for IPv4 over Ethernet. */
export interface ArpOptions {
  readonly operation: 'request' | 'reply' | number;
  readonly senderMac: MacLike;
  readonly senderIp: AddressLike;
  /** Default zeros, as in a request. */
  readonly targetMac?: MacLike;
  readonly targetIp: AddressLike;
  readonly hardwareType?: number;
  readonly protocolType?: number;
}

/** The ARP packet alone; `ethernet` puts it into a frame. */
export function arp(o: ArpOptions): Uint8Array {
  const operation = o.operation === 'request' ? 1 : o.operation === 'reply' ? 2 : o.operation;
  return concat(
    uint(o.hardwareType ?? 1, 2),
    uint(o.protocolType ?? ETHER_TYPE.ipv4, 2),
    bytes(6, 4),
    uint(operation, 2),
    macBytes(o.senderMac),
    addressBytes(o.senderIp),
    macBytes(o.targetMac ?? new Uint8Array(6)),
    addressBytes(o.targetIp),
  );
}

/** RFC 4861 section 4.3. */
export interface NeighborSolicitationOptions {
  readonly src: AddressLike;
  /** Default the solicited-node multicast address of `target`. */
  readonly dst?: AddressLike;
  readonly target: AddressLike;
  /** Source link-layer address option; absent: none, as in duplicate address detection. */
  readonly sourceMac?: MacLike;
  /** Anything but 255 is a forgery from beyond the link. */
  readonly hopLimit?: number;
}

/** The whole IPv6 packet. */
export function ndNeighborSolicitation(o: NeighborSolicitationOptions): Uint8Array {
  const dst = o.dst ?? solicitedNode(o.target);
  const option = o.sourceMac === undefined ? bytes() : concat(bytes(1, 1), macBytes(o.sourceMac));
  const payload = concat(addressBytes(o.target), option);
  return neighborPacket(o.src, dst, o.hopLimit, {
    type: ICMP6.neighborSolicitation,
    rest: 0,
    payload,
  });
}

/** RFC 4861 section 4.4. */
export interface NeighborAdvertisementOptions {
  readonly src: AddressLike;
  readonly dst: AddressLike;
  readonly target: AddressLike;
  /** Target link-layer address option; absent: none. */
  readonly targetMac?: MacLike;
  readonly router?: boolean;
  /** Default true. */
  readonly solicited?: boolean;
  /** Default true. */
  readonly override?: boolean;
  readonly hopLimit?: number;
}

/** The whole IPv6 packet. */
export function ndNeighborAdvertisement(o: NeighborAdvertisementOptions): Uint8Array {
  const option = o.targetMac === undefined ? bytes() : concat(bytes(2, 1), macBytes(o.targetMac));
  const flags =
    (o.router === true ? 4 : 0) + (o.solicited === false ? 0 : 2) + (o.override === false ? 0 : 1);
  const payload = concat(addressBytes(o.target), option);
  return neighborPacket(o.src, o.dst, o.hopLimit, {
    type: ICMP6.neighborAdvertisement,
    rest: flags * 2 ** 29,
    payload,
  });
}

function neighborPacket(
  src: AddressLike,
  dst: AddressLike,
  hopLimit: number | undefined,
  message: { readonly type: number; readonly rest: number; readonly payload: Uint8Array },
): Uint8Array {
  const payload = icmp6(src, dst, message);
  return ipv6({ src, dst, hopLimit: hopLimit ?? 255, nextHeader: PROTOCOL.icmp6, payload });
}

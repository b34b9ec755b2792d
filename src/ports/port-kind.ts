/**
 * The kinds of port: what is behind a port of the packet path, and what differs with it.
 *
 * Nobody else asks what a kind is called. A further kind is a row of PORT_KINDS; native/kinds.c opens its devices. If
 * its packets are read and written in another way, that goes into port-io.ts.
 *
 * The engine needs no change. Whatever the kind, a packet in the arena has a virtio header of VNET_HDR_BYTES in front,
 * which says what its sender left to the device (checksums, segmentation). A kind whose devices have no such header
 * reads with an empty one, and does what the header asks for before it writes.
 */
import { ETHERNET_HEADER_BYTES } from '../wire/fields.ts';

/** As the configuration writes it, and native/kinds.c. */
export type PortKindName = 'tun' | 'tap' | 'attach' | 'veth' | 'stream';

export interface PortKind {
  /** Frames carry Ethernet: there is a link with neighbours on it. Otherwise each is an IP packet. */
  readonly hasEthernet: boolean;
  /**
   * Its frames come and go by packet sockets on an interface of a host, which is kept from it (native/guard.c). Without
   * `isAttached` that is the other end of its device, in the daemon's own namespace (host-side.ts).
   */
  readonly isSocket: boolean;
  /** Somebody else made its device, and goes on to configure it. */
  readonly isAttached: boolean;
  /** What is written to it comes to the guest, and to no kernel of this host's. */
  readonly leadsToGuest: boolean;
  /**
   * Its device is a unix socket of ours, named by its path, and whoever connects is the guest (stream-port.ts). There
   * is no interface and no virtio header, and one queue.
   */
  readonly isStream: boolean;
}

const NOTHING: PortKind = {
  hasEthernet: false,
  isSocket: false,
  isAttached: false,
  leadsToGuest: false,
  isStream: false,
};

const PORT_KINDS: Readonly<Record<PortKindName, PortKind>> = {
  tun: { ...NOTHING },
  tap: { ...NOTHING, hasEthernet: true },
  attach: { ...NOTHING, hasEthernet: true, isSocket: true, isAttached: true, leadsToGuest: true },
  veth: { ...NOTHING, hasEthernet: true, isSocket: true },
  stream: { ...NOTHING, hasEthernet: true, leadsToGuest: true, isStream: true },
};

/** Of a port without a device, by which nothing is read or written. */
export const NO_KIND: PortKindName = 'tun';

export const PORT_KIND_NAMES = Object.keys(PORT_KINDS) as readonly PortKindName[];

/** The uplink's device is one of ours: whatever is beyond another has addresses that nobody declares. */
export const UPLINK_KIND_NAMES = PORT_KIND_NAMES.filter((name) => isTunKind(PORT_KINDS[name]));

/** Devices that we make. */
export const MADE_KIND_NAMES = PORT_KIND_NAMES.filter((name) => isMadeHere(PORT_KINDS[name]));

export function portKind(name: PortKindName): PortKind {
  return PORT_KINDS[name];
}

/** Whether its device is a TUN or TAP of ours, which exists as long as a descriptor of it is open. */
export function isTunKind({ isSocket, isStream }: PortKind): boolean {
  return !isSocket && !isStream;
}

/** Whether its device is an end of a pair of ours, which stays until it is removed. */
export function isPairKind({ isSocket, isAttached }: PortKind): boolean {
  return isSocket && !isAttached;
}

/** Whether its device is an interface that we make and may configure. */
export function isMadeHere({ isAttached, isStream }: PortKind): boolean {
  return !isAttached && !isStream;
}

/** Bytes between the virtio header and the IP packet of an untagged frame. */
export function linkBytesOf({ hasEthernet }: PortKind): number {
  return hasEthernet ? ETHERNET_HEADER_BYTES : 0;
}

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
export type PortKindName = 'tun' | 'tap' | 'attach' | 'stream';

export interface PortKind {
  /** Frames carry Ethernet: there is a link with neighbours on it. Otherwise each is an IP packet. */
  readonly hasEthernet: boolean;
  /**
   * Somebody else made its device, and goes on to configure it. We hold packet sockets on it, and keep the host from
   * it (native/guard.c).
   */
  readonly isAttached: boolean;
  /** What is written to it comes to the guest, and to no kernel of this host's. */
  readonly leadsToGuest: boolean;
  /**
   * Its device is a unix socket of ours, named by its path, and whoever connects is the guest (stream-port.ts). There
   * is no interface and no virtio header, and one queue.
   */
  readonly isStream: boolean;
}

const PORT_KINDS: Readonly<Record<PortKindName, PortKind>> = {
  tun: { hasEthernet: false, isAttached: false, leadsToGuest: false, isStream: false },
  tap: { hasEthernet: true, isAttached: false, leadsToGuest: false, isStream: false },
  attach: { hasEthernet: true, isAttached: true, leadsToGuest: true, isStream: false },
  stream: { hasEthernet: true, isAttached: false, leadsToGuest: true, isStream: true },
};

/** Of a port without a device, by which nothing is read or written. */
export const NO_KIND: PortKindName = 'tun';

export const PORT_KIND_NAMES = Object.keys(PORT_KINDS) as readonly PortKindName[];

/** The uplink's device is one of ours: whatever is beyond another has addresses that nobody declares. */
export const UPLINK_KIND_NAMES = PORT_KIND_NAMES.filter((name) => isTunKind(PORT_KINDS[name]));

export function portKind(name: PortKindName): PortKind {
  return PORT_KINDS[name];
}

/** Whether its device is a TUN or TAP of ours: an interface that we make and may configure. */
export function isTunKind({ isAttached, isStream }: PortKind): boolean {
  return !isAttached && !isStream;
}

/** Bytes between the virtio header and the IP packet of an untagged frame. */
export function linkBytesOf({ hasEthernet }: PortKind): number {
  return hasEthernet ? ETHERNET_HEADER_BYTES : 0;
}

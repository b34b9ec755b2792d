/** Says of each interface of a network namespace whether it is in use, and what it is joined to. */
import type { ListedLink, Native } from './native.ts';

export interface PlacedLink {
  readonly ifindex: number;
  readonly name: string;
  /** As `ip -d link` calls it (`veth`, `bridge`, `tun`); empty: a card, or what the kernel has no kind for. */
  readonly kind: string;
  readonly isLoopback: boolean;
  /** Up, and with a carrier: something is at the other end. A TUN or TAP has one while a process holds it. */
  readonly isLive: boolean;
  /** Of the kind `tun` alone. */
  readonly tun?: 'tun' | 'tap';
  /** The index of what it is on top of, or of the other end of a pair; absent: of nothing. */
  readonly link?: number;
  /** The number that the namespace of `link` has in this one; absent: it is this one. */
  readonly linkNamespaceId?: number;
}

// Source: linux/if_arp.h and linux/if.h.
const ARPHRD_ETHER = 1;
const IFF_UP = 1 << 0;
const IFF_LOOPBACK = 1 << 3;
const IFF_LOWER_UP = 1 << 16;

/** @throws NativeError if the namespace can't be entered */
export function placedLinks(
  native: Pick<Native, 'listLinks'>,
  netns: string | undefined,
): PlacedLink[] {
  return native.listLinks(netns).map(place);
}

function place({ ifindex, name, kind, flags, type, link, linkNetnsId }: ListedLink): PlacedLink {
  return {
    ...{ ifindex, name, kind },
    isLoopback: (flags & IFF_LOOPBACK) !== 0,
    isLive: (flags & IFF_UP) !== 0 && (flags & IFF_LOWER_UP) !== 0,
    ...(kind === 'tun' ? { tun: type === ARPHRD_ETHER ? 'tap' : 'tun' } : {}),
    ...(link === 0 ? {} : { link }),
    ...(linkNetnsId < 0 ? {} : { linkNamespaceId: linkNetnsId }),
  };
}

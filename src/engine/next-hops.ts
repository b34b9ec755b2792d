/**
 * Finds the next hop of a packet on the link of a TAP uplink: its destination if that is on the link, else the
 * gateway of its family. The control plane makes the data (daemon/next-hops.ts), the packet loops read it.
 */

/** Words of an on-link prefix: family, address and mask of 4 words each. */
const PREFIX_WORDS = 9;

export interface NextHops {
  /** Prefixes of the uplink's own addresses, PREFIX_WORDS each. */
  readonly onLink: Int32Array;
  /** The gateway of each family, 4 words, or null. */
  readonly gateway4: Int32Array | null;
  readonly gateway6: Int32Array | null;
}

/** Treats every destination as on the link. */
export const NO_NEXT_HOPS: NextHops = {
  onLink: new Int32Array(0),
  gateway4: null,
  gateway6: null,
};

/** Whether the address is on the link, so that it is its own next hop. IPv4 addresses have a1 … a3 = 0. */
export function isOnLink(
  nextHops: NextHops,
  family: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): boolean {
  const onLink = nextHops.onLink;
  for (let at = 0; at < onLink.length; at += PREFIX_WORDS) {
    if (
      onLink[at] === family &&
      (a0 & onLink[at + 5]) === onLink[at + 1] &&
      (a1 & onLink[at + 6]) === onLink[at + 2] &&
      (a2 & onLink[at + 7]) === onLink[at + 3] &&
      (a3 & onLink[at + 8]) === onLink[at + 4]
    )
      return true;
  }
  return false;
}

/**
 * Which interface of a host is attached, where its name is not known beforehand: runtimes call them vnet3 or veth1a2b.
 *
 * An interface of the configuration has addresses and groups of its own, so a match leads to one interface or to
 * none. What is compared is the host's alone: the name, the alias and the MAC address of the host's end. Whoever is
 * behind the interface can change none of them.
 */

/** An interface as the kernel lists it. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** Empty: it has none. */
  readonly alias: string;
  /** `fe:54:00:00:00:11`; empty: none of 6 bytes. */
  readonly mac: string;
}

/** At the start of the alias of the host's end of a pair that a secgroupd made (pair.ts). It fits no match. */
export const PAIR_MARK = 'secgroupd ';

/** All that is given must hold. */
export interface LinkMatch {
  /** A name, in which `*` stands for any characters, also none, and `?` for one. */
  readonly name?: string;
  /** As `ip link set … alias` sets it, whole. */
  readonly alias?: string;
  /** The MAC address of the interface itself, in lower case. It is not the instance's. */
  readonly hostMac?: string;
}

export function isPattern(name: string): boolean {
  return /[*?]/.test(name);
}

export function fitsMatch({ name, alias, hostMac }: LinkMatch, link: Link): boolean {
  return (
    !link.alias.startsWith(PAIR_MARK) &&
    (name === undefined || fitsPattern(name, link.name)) &&
    (alias === undefined || alias === link.alias) &&
    (hostMac === undefined || hostMac === link.mac)
  );
}

/** Each character of the pattern moves the set of places in the name that may have been reached. */
function fitsPattern(pattern: string, name: string): boolean {
  let places = new Set([0]);
  for (let i = 0; i < pattern.length; i++) {
    const next = new Set<number>();
    for (const place of places)
      if (pattern[i] === '*') for (let j = place; j <= name.length; j++) next.add(j);
      else if (place < name.length && (pattern[i] === '?' || pattern[i] === name[place]))
        next.add(place + 1);
    places = next;
  }
  return places.has(name.length);
}

/** Whether there can be an interface that fits both. The length that a name may have is not looked at. */
export function canBothFit(a: LinkMatch, b: LinkMatch): boolean {
  return (
    canBeSame(a.alias, b.alias) &&
    canBeSame(a.hostMac, b.hostMac) &&
    (a.name === undefined || b.name === undefined || canMeet(a.name, b.name))
  );
}

function canBeSame(a: string | undefined, b: string | undefined): boolean {
  return a === undefined || b === undefined || a === b;
}

/** Whether some name fits both patterns. Row by row: whether their rests from i and from j on have such a name. */
function canMeet(a: string, b: string): boolean {
  let below: boolean[] = [];
  for (let i = a.length; i >= 0; i--) {
    const row = new Array<boolean>(b.length + 1).fill(false);
    for (let j = b.length; j >= 0; j--) {
      const hasBoth = i < a.length && j < b.length;
      if (a[i] === '*') row[j] = below[j] || (j < b.length && row[j + 1]);
      else if (b[j] === '*') row[j] = row[j + 1] || (i < a.length && below[j]);
      else if (hasBoth) row[j] = (a[i] === b[j] || a[i] === '?' || b[j] === '?') && below[j + 1];
      else row[j] = i === a.length && j === b.length;
    }
    below = row;
  }
  return below[0];
}

/** `vnet*`, `alias web-1`, `vnet* alias web-1`: no interface is called so, since names have no blank. */
export function matchLabel({ name, alias, hostMac }: LinkMatch): string {
  return [
    ...(name === undefined ? [] : [name]),
    ...(alias === undefined ? [] : [`alias ${alias}`]),
    ...(hostMac === undefined ? [] : [`hostMac ${hostMac}`]),
  ].join(' ');
}

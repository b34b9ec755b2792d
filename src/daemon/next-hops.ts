/** This file converts the uplink's addresses and gateways to next hops for the packet loops (engine/next-hops.ts). */
import { maskWords, type Address, type Family } from '../addr/address.ts';
import type { NextHops } from '../engine/next-hops.ts';
import type { UplinkConfig } from '../config/config.ts';

const WORDS = 4;
const ALL_ONES = [-1, -1, -1, -1];

/**
 * Makes the next hops of the uplink. Its own addresses say what is on its link. The gateways route the rest, or else
 * the host that has the device.
 */
export function nextHopsOf({ addresses, gateways }: UplinkConfig): NextHops {
  const onLink = addresses.flatMap(({ address, length }) => [
    address.family,
    ...padded(maskWords(address.words, length)),
    ...padded(maskWords(ALL_ONES.slice(0, address.words.length), length)),
  ]);
  const routers = [...gateways, ...addresses.map(({ address }) => address)];
  return {
    onLink: Int32Array.from(onLink),
    gateway4: firstOf(routers, 4),
    gateway6: firstOf(routers, 6),
  };
}

function firstOf(routers: readonly Address[], family: Family): Int32Array | null {
  const found = routers.find((address) => address.family === family);
  return found === undefined ? null : Int32Array.from(padded(found.words));
}

/** Pads an address to four words. IPv4 has one word, and the others are 0. */
function padded(words: readonly number[]): number[] {
  return Array.from({ length: WORDS }, (_, i) => words[i] ?? 0);
}

/**
 * Chooses the packet loop of a pair of hosts, where there are several loops.
 *
 * Theory of operation
 *
 * Loops share nothing that a packet changes. Each has its own thread, its own queue of every device, its own flow
 * tables, fragments and counters. So all packets of a flow must come to the same loop, with their fragments and the
 * ICMP errors about them. The kernel sees to that, by a program that native/steer.c gives to each device. The loop's
 * number is a hash of the two addresses, in either order, modulo the number of loops.
 *
 * This file has the same hash, for flows that come from a snapshot and not from a packet. Both must stay equal;
 * test/netns/steering.test.ts compares them.
 *
 * Rejected: ports in the hash (later fragments have none). Rejected: passing packets between loops (two more copies
 * and a lock for each). Rejected: a secret in the hash. It would have to outlive the process, since packets wait in
 * the queues over a restart; and whoever chooses addresses can find one for each loop anyway.
 */
import { PAIR_HASH_FACTOR, PAIR_HASH_LAST_FACTOR, PAIR_HASH_SEED } from '../ports/native.ts';

/**
 * @param words both addresses in network order: `addressWords` words from `at` on, and as many behind them
 * @returns 0 to loops - 1
 */
export function loopOfPair(
  words: Int32Array,
  at: number,
  addressWords: number,
  loops: number,
): number {
  let hash = PAIR_HASH_SEED;
  for (let i = at; i < at + addressWords; i++) {
    hash = Math.imul(hash ^ words[i] ^ words[i + addressWords], PAIR_HASH_FACTOR);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, PAIR_HASH_LAST_FACTOR);
  hash ^= hash >>> 16;
  // The kernel takes the program's result as a 16-bit number, modulo the queues.
  return (hash & 0xffff) % loops;
}

/**
 * Which packet loop a pair of hosts belongs to, where there are several.
 *
 * Theory of operation
 *
 * Loops share nothing that a packet changes: each has its own thread, its own queue of every device, its own
 * flow tables, fragments and counters. So all packets of a flow have to come to the same loop, and with them
 * its fragments and the ICMP errors about it. The kernel sees to that by a program that native/steer.c gives each
 * device: the loop's number is a hash of the two addresses, whichever way round, modulo the loops.
 *
 * Here is the same hash for flows that come from a snapshot, not from a packet. It gives the number by which the
 * program chose, so both must stay equal; test/netns/steering.test.ts holds them together.
 *
 * Rejected: ports in the hash (later fragments have none), handing packets over between loops (two more copies
 * and a lock for each), a secret in the hash (it would have to outlive the process, since packets wait in the
 * queues over a restart; who chooses addresses can find one of each loop anyway).
 */
import { PAIR_HASH_FACTOR, PAIR_HASH_LAST_FACTOR, PAIR_HASH_SEED } from '../ports/native.ts';

/**
 * @param words addresses in network order: `addressWords` words from `at` on, and as many behind them
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
  // The kernel takes the program's answer for a number of 16 bits, and that modulo the queues.
  return (hash & 0xffff) % loops;
}

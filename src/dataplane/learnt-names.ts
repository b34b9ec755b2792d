/**
 * Reads the addresses of DNS names that packet loops have learnt, for the control plane, and gives loops that have not
 * begun what an earlier process had learnt.
 */
import type { HashKey } from '../conntrack/hash.ts';
import { isLearnable } from '../engine/names/learnable.ts';
import { isNamed, LEARNT_PLACES, LearntAddresses } from '../engine/names/learnt-addresses.ts';
import type { NameSettings } from '../engine/names/names.ts';
import { NAME_LEARNT } from '../engine/names/outcomes.ts';
import { PORTS_MAX, type CompiledPolicy } from '../policy/compiled.ts';

/** An address of a name at the interface of a port. */
export interface LearntAddress {
  readonly port: number;
  readonly family: 4 | 6;
  /** One for IPv4, four for IPv6. */
  readonly words: readonly number[];
  /** The name's identity (policy/dns-names.ts). */
  readonly identity: readonly [number, number];
  /** Until when it counts, on the loops' scaled clock. */
  readonly untilMs: number;
  /** How many answers have had it. */
  readonly answers: number;
}

/** @param nowMs of the loops' scaled clock: what is over by then is left out */
export function readLearnt(
  memory: SharedArrayBuffer,
  key: HashKey,
  nowMs: number,
): readonly LearntAddress[] {
  const table = new LearntAddresses(memory, key, 0);
  const found: LearntAddress[] = [];
  for (let place = 0; place < LEARNT_PLACES; place++) {
    if (!table.readPlace(place) || ((table.untilMs - nowMs) | 0) <= 0) continue;
    const { port, family, address, name0, name1, untilMs, answers } = table;
    const isIpv4 = family === 4;
    found.push({
      port,
      family: isIpv4 ? 4 : 6,
      words: [...address.subarray(0, isIpv4 ? 1 : 4)],
      identity: [name0, name1],
      untilMs,
      answers,
    });
  }
  return found;
}

export interface Recall {
  /** Of loops that have not begun. */
  readonly memories: readonly SharedArrayBuffer[];
  readonly key: HashKey;
  readonly policy: CompiledPolicy;
  readonly settings: NameSettings;
  readonly nowMs: number;
}

/**
 * Has loops know addresses as if they had learnt them: those of names that rules of the interface still have, and that
 * they could learn now. Nothing counts for longer than settings allow.
 * @returns how many they know
 */
export function recallLearnt(
  { memories, key, policy, settings, nowMs }: Recall,
  learnt: readonly Omit<LearntAddress, 'answers'>[],
): number {
  const tables = memories.map((memory) => new LearntAddresses(memory, key, PORTS_MAX));
  const { acceptsPrivate, maxAddresses, maxLifetimeMs } = settings;
  let known = 0;
  for (const { port, family, words, identity, untilMs } of learnt) {
    const [a0, a1 = 0, a2 = 0, a3 = 0] = words;
    const leftMs = Math.min((untilMs - nowMs) | 0, maxLifetimeMs);
    if (leftMs <= 0 || !isNamed(policy, port, ...identity)) continue;
    if (!isLearnable(policy, acceptsPrivate, family, a0, a1, a2, a3)) continue;
    // Loops read each other's tables, so it does not matter whose it is.
    const table = tables[known % tables.length];
    table.look(port, family, a0, a1, a2, a3);
    const outcome = table.learn(...identity, (nowMs + leftMs) | 0, maxAddresses, nowMs);
    if (outcome === NAME_LEARNT) known++;
  }
  return known;
}

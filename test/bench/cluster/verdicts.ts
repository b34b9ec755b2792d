/**
 * Whether what packets met was of a revision that could be in force.
 *
 * Each state of the marker opens one port. When a packet is judged, the host may have any revision between the last one
 * that it had acknowledged and the newest. So a port that was open must be that of one of these, and one that was
 * closed must not be that of all of them.
 */
import type { Try } from './prober.ts';

/** One after the other, in the order of the store. */
export interface MarkerState {
  readonly port: number;
  readonly revision: number;
  /** When its commit was asked for: before that nobody can have it. */
  readonly startedMs: number;
}

export interface Acknowledged {
  readonly revision: number;
  /** When it was known. */
  readonly knownMs: number;
}

/** @returns tries whose verdict is of no revision that could be in force */
export function wrongVerdicts(
  tries: readonly Try[],
  states: readonly MarkerState[],
  acknowledged: readonly Acknowledged[],
  /** A packet is judged within this time of its sending. */
  judgedMs: number,
): readonly Try[] {
  return tries.filter(({ port, sentMs, answeredMs }) => {
    const known = acknowledged.findLast(({ knownMs }) => knownMs <= sentMs)?.revision ?? 0;
    const first = Math.max(
      0,
      states.findLastIndex(({ revision }) => revision <= known),
    );
    const endMs = answeredMs ?? sentMs + judgedMs;
    const possible = states
      .slice(first)
      .filter(({ startedMs }, i) => i === 0 || startedMs <= endMs);
    return answeredMs === undefined
      ? possible.every((state) => state.port === port)
      : !possible.some((state) => state.port === port);
  });
}

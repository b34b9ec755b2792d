/**
 * This file brings what interfaces have learnt of DNS names into a snapshot of flows, and back into a later process.
 *
 * An address that is learnt opens connections, so nothing here is believed that has not the form of it: all of it is
 * dropped then. What a rule has no name for, or no name may have by the settings of now, the loops leave out
 * (dataplane/learnt-names.ts). A lifetime goes on while nobody runs: by the clock of the boot or by the wall clock,
 * whichever says that more time has passed. Setting a clock back keeps no address alive.
 */
import type { LearntAddress } from '../dataplane/learnt-names.ts';
import type { InterfaceId } from '../policy/model.ts';

export interface SavedNames {
  /** When it was saved: ms since 1970. */
  readonly atMs: number;
  readonly learnt: readonly SavedName[];
}

/** An address of one word or four, with the two words of its name's identity. */
export type SavedName = readonly [
  interfaceId: InterfaceId,
  words: readonly number[],
  identity: readonly [number, number],
  /** How long it would have counted, in ms of the scaled clock. */
  leftMs: number,
];

/** Sixteen loops with full tables. */
const NAMES_MAX = 16 * 16_384;

/** @param nowMs of the loops' scaled clock @param wallMs since 1970 */
export function saveNames(
  learnt: readonly LearntAddress[],
  idOf: (port: number) => InterfaceId | undefined,
  nowMs: number,
  wallMs: number,
): SavedNames {
  return {
    atMs: wallMs,
    learnt: learnt.flatMap(({ port, words, identity, untilMs }): SavedName[] => {
      const id = idOf(port);
      return id === undefined ? [] : [[id, words, identity, (untilMs - nowMs) | 0]];
    }),
  };
}

export interface RestoredNames {
  /** Since they were saved, by CLOCK_BOOTTIME. */
  readonly elapsedMs: number;
  readonly wallMs: number;
  readonly timeScale: number;
  /** Of the loops' scaled clock. */
  readonly nowMs: number;
  /** The port of an interface that is there under the id, with the device that it had; undefined: none is. */
  readonly portOf: (id: InterfaceId) => number | undefined;
}

/** What still counts of saved names; undefined if they are none. */
export function restoreNames(
  saved: unknown,
  { elapsedMs, wallMs, timeScale, nowMs, portOf }: RestoredNames,
): readonly Omit<LearntAddress, 'answers'>[] | undefined {
  if (!isSavedNames(saved)) return undefined;
  const passedMs = timeScale * Math.max(0, elapsedMs, wallMs - saved.atMs);
  return saved.learnt.flatMap(([id, words, identity, savedMs]) => {
    const port = portOf(id);
    const leftMs = Math.floor(savedMs - passedMs);
    if (port === undefined || leftMs <= 0) return [];
    const family = words.length === 1 ? 4 : 6;
    return [{ port, family, words, identity, untilMs: (nowMs + leftMs) | 0 }];
  });
}

function isSavedNames(value: unknown): value is SavedNames {
  if (typeof value !== 'object' || value === null) return false;
  const { atMs, learnt } = value as Record<keyof SavedNames, unknown>;
  if (!Number.isFinite(atMs) || !Array.isArray(learnt) || learnt.length > NAMES_MAX) return false;
  return learnt.every(isSavedName);
}

function isSavedName(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [id, words, identity, leftMs] = value as unknown[];
  return (
    typeof id === 'string' &&
    isWords(words) &&
    (words.length === 1 || words.length === 4) &&
    isWords(identity) &&
    identity.length === 2 &&
    isInt32(leftMs)
  );
}

function isWords(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every(isInt32);
}

function isInt32(value: unknown): boolean {
  return typeof value === 'number' && (value | 0) === value;
}

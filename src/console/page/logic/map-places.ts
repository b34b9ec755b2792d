/** This file keeps where nodes of the map stand, as text. What was kept may be of another version, or damaged. */
import type { Place } from './map-layout.ts';

/** Places that are kept: of all maps that were looked at, the latest. */
const PLACES_MAX = 2000;
const FAR = 100_000;

/** @param text undefined or damaged: no place is known */
export function readPlaces(text: string | undefined): Map<string, Place> {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    return new Map();
  }
  if (!Array.isArray(value)) return new Map();
  return new Map(value.flatMap(readPlace));
}

function readPlace(entry: unknown): (readonly [string, Place])[] {
  if (!Array.isArray(entry)) return [];
  const [id, x, y] = entry as unknown[];
  return typeof id === 'string' && isNear(x) && isNear(y) ? [[id, { x, y }]] : [];
}

function isNear(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= FAR;
}

/** The text of what was known with what is known now. */
export function writePlaces(
  before: ReadonlyMap<string, Place>,
  now: ReadonlyMap<string, Place>,
): string {
  const older = [...before].filter(([id]) => !now.has(id));
  const all = [...older, ...now].slice(-PLACES_MAX);
  return JSON.stringify(all.map(([id, { x, y }]) => [id, x, y]));
}

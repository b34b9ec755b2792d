/** This file reads the options that say where a store is, and what holds while it is away. */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../source/duration.ts';
import { parsePlace } from '../store/place.ts';

/** Reads a place: an absolute path is made of a path, so that it means the same to whoever is told it. */
export function parseStorePlace(text: string): string {
  try {
    const place = parsePlace(text);
    return place.kind === 'file' ? place.path : place.url;
  } catch (error) {
    if (error instanceof RangeError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** @returns whether packets of what the store gave flow only while this host's lease of it lives */
export function parseFence(text: string): 'none' | 'lease' {
  if (text === 'none' || text === 'lease') return text;
  throw new InvalidArgumentError("it is 'none' or 'lease'");
}

/** @returns after how many ms without the store rules that name groups admit nothing new; Infinity: never */
export function parseStale(text: string): number {
  if (text === 'keep') return Infinity;
  const [, duration] = /^deny-new-after:(.+)$/.exec(text) ?? [];
  const ms = duration === undefined ? undefined : parseDuration(duration);
  if (ms !== undefined) return ms;
  throw new InvalidArgumentError("it is 'keep', or 'deny-new-after:' and 90s, 10m or 2h");
}

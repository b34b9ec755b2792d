/** This file reads the option that says where a store is. */
import { InvalidArgumentError } from 'commander';
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

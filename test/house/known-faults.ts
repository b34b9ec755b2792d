/**
 * Lists faults that existed when the rules of this folder were made, and are tolerated. The lists may only get
 * shorter.
 */

/** Files that import each other in a circle. */
export const KNOWN_IN_CIRCLES: ReadonlySet<string> = new Set();

/** Files that only tests use. */
export const KNOWN_UNREACHED: readonly string[] = [];

/** Writes numbers of things in messages. */

/**
 * Returns `1 warning`, `2 warnings`, `3 entries`.
 * @param shown how the number is written, if not with all its digits
 */
export function count(amount: number, noun: string, shown = String(amount)): string {
  if (amount === 1) return `${shown} ${noun}`;
  return `${shown} ${/[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ie` : noun}s`;
}

/** Finds the known word nearest to a mistyped one, for "did you mean". */

const LISTED_MAX = 12;

/** The nearest word of `known`, ignoring case. At most a third of its letters, or `slipsMax`, may be wrong. */
export function closest(
  word: string,
  known: Iterable<string>,
  slipsMax = Math.floor(word.length / 3),
): string | undefined {
  let best: string | undefined;
  let bestDistance = slipsMax + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Returns `a, b, c and 7 more`, or 'none' for an empty list. */
export function listWords(words: readonly string[]): string {
  return words.length === 0 ? 'none' : listFirst(words, LISTED_MAX);
}

/** Returns `a, b, c and 7 more`, with as many words as `most` in front; all of them if there are no more. */
export function listFirst(words: readonly string[], most: number): string {
  const shown = words.slice(0, most).join(', ');
  return words.length > most ? `${shown} and ${words.length - most} more` : shown;
}

/** Returns `; did you mean 'web'?` for the end of a message, or nothing. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const meant = closest(word, known);
  return meant === undefined ? '' : `; did you mean '${meant}'?`;
}

/** Counts insertions, deletions, replacements and swaps of neighbours. Returns `limit` as soon as it can't be less. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(replace, last[j] + 1, row[j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, beforeLast[j - 2] + 1);
      }
      row.push(cost);
    }
    if (Math.min(...row) >= limit) return limit;
    beforeLast = last;
    last = row;
  }
  return last[b.length];
}

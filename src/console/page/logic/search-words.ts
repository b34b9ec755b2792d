/** This file finds things by the words of the filter box. */

/** Whether every word is somewhere in the texts, whatever the case. No word finds everything. */
export function matchesWords(words: readonly string[], texts: Iterable<string>): boolean {
  if (words.length === 0) return true;
  const all = [...texts].join('\n').toLowerCase();
  return words.every((word) => all.includes(word));
}

/** The words of what was typed, in lower case. */
export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
}

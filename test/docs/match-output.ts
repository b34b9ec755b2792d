/** Whether a command printed what the page shows. `...` on a line of its own: any lines; within a line: any text. */

const ANY = '...';
/** With the blanks around it, so that columns may be of any width. */
const ANY_TEXT = /\s*\.\.\.\s*/;

/** What sgctl says while it waits on a slow machine. */
const PROGRESS = /^(?:waiting for the daemon to be ready|sgctl: [^:]*)… ?(?:\d+ s)?$/;

/** Blanks count as one, and those at the end of a line as none. */
function normalise(line: string): string {
  return line.replace(/\s+/g, ' ').trimEnd();
}

export function matchesOutput(shown: readonly string[], printed: string): boolean {
  const actual = toLines(printed);
  const expected = shown.map(normalise);
  while (expected.at(-1) === '') expected.pop();
  const patterns = expected.map((line) => (line.trim() === ANY ? undefined : toPattern(line)));
  // reached[j]: the patterns so far can account for exactly the first j lines.
  let reached = new Set([0]);
  for (const pattern of patterns) {
    const next = new Set<number>();
    for (const j of reached) {
      if (pattern === undefined) for (let k = j; k <= actual.length; k++) next.add(k);
      else if (j < actual.length && pattern.test(actual[j])) next.add(j + 1);
    }
    reached = next;
  }
  return reached.has(actual.length);
}

function toLines(printed: string): string[] {
  const lines = printed
    .split('\n')
    .map(normalise)
    .filter((line) => !PROGRESS.test(line));
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

function toPattern(line: string): RegExp {
  const parts = line.split(ANY_TEXT).map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'u');
}

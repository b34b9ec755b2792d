/** The part of README.md that says which scenarios show which clause of the requirements. */

export interface Clause {
  /** Heading it stands under: `1 TCP`. */
  readonly section: string;
  readonly text: string;
  /** `tcp-open: A handshake is followed state by state, at both gates`. */
  readonly scenarios: readonly string[];
}

/**
 * Reads `### SECTION`, `- CLAUSE` and `  - FILE: SCENARIO` below the heading `## Which scenario shows what`. A line that
 * goes on in the next one, further in, is one line.
 */
export function readClauses(markdown: string): Clause[] {
  const start = markdown.indexOf('\n## Which scenario shows what\n');
  const end = markdown.indexOf('\n## ', start + 1);
  const part = markdown.slice(start, end < 0 ? undefined : end).replace(/\n {4,}(?=\S)/g, ' ');
  const clauses: { section: string; text: string; scenarios: string[] }[] = [];
  let section = '';
  for (const line of start < 0 ? [] : part.split('\n')) {
    if (line.startsWith('### ')) section = line.slice(4);
    else if (line.startsWith('- ')) clauses.push({ section, text: line.slice(2), scenarios: [] });
    else if (line.startsWith('  - ')) clauses.at(-1)?.scenarios.push(line.slice(4));
  }
  return clauses;
}

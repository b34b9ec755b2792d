/**
 * This file turns the text of a template into a tree with positions. The text is YAML or JSON (source/yaml.ts). Lost
 * indentation is restored (reindent.ts), and so are continuation lines that only other readers accept
 * (source/continuations.ts).
 */
import { indentContinuations } from '../source/continuations.ts';
import type { Position, Problem } from '../source/problem.ts';
import { parseDocument, type Node } from '../source/yaml.ts';
import {
  findFlattened,
  moveBack,
  movePositionBack,
  restoreIndentation,
  type Restored,
} from './reindent.ts';

/** AWS's limit for a template in S3. AWS never takes a larger one. */
export const TEMPLATE_BYTES_MAX = 1_048_576;

export interface TemplateTree {
  /** Undefined if there is no tree. Then there is an error. */
  readonly root: Node | undefined;
  readonly problems: readonly Problem[];
}

export function parseTemplate(file: string, text: string): TemplateTree {
  const problems: Problem[] = [];
  const first = findFlattened(text);
  if (first !== undefined) {
    const restored = restoreIndentation(file, text, first, problems);
    const root = restored === undefined ? undefined : parseShifted(file, restored, problems);
    return { root, problems };
  }
  const root = parseDocument(file, text, problems, 'aws');
  const indented = root === undefined ? indentContinuations(text) : undefined;
  if (indented === undefined) return { root, problems };
  const again: Problem[] = [];
  const mended = parseShifted(file, indented, again);
  return mended === undefined ? { root, problems } : { root: mended, problems: again };
}

/** The tree of a text with restored indentation, with positions in the file. */
function parseShifted(
  file: string,
  { text, shifts }: Restored,
  problems: Problem[],
): Node | undefined {
  const found: Problem[] = [];
  const root = parseDocument(file, text, found, 'aws');
  const moveAt = (at: Position | undefined): Position | undefined =>
    at === undefined ? undefined : movePositionBack(at, shifts);
  problems.push(...found.map((problem) => ({ ...problem, at: moveAt(problem.at) })));
  return root === undefined ? undefined : moveBack(root, shifts);
}

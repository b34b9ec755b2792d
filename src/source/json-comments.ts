/**
 * Finds comments in JSON, which has none. Read as YAML, `// no egress` would become part of the next key, so that the
 * key would be lost, and a comment with `#` would be ignored silently.
 */

import type { Position, Problem } from './problem.ts';

/** Matches a text that starts like a JSON document. */
const STARTS_AS_JSON = /^\uFEFF?\s*[{[]/;
export function startsAsJson(text: string): boolean {
  return STARTS_AS_JSON.test(text);
}

/** Matches a string, or what may start a comment: behind a blank or a punctuation mark, or at the start of a line. */
const TOKEN = /"(?:[^"\\]|\\.)*"|(?<=^|[\s,:{}[\]])(?:\/\/|\/\*|#)/gm;

/**
 * The offset of the first comment in a JSON text; undefined if there is none, or if the text is not JSON. YAML in
 * flow style looks like JSON and has comments with `#`. So a `#` counts only if the rest of the text is JSON.
 */
export function findJsonComment(text: string): number | undefined {
  if (!STARTS_AS_JSON.test(text)) return undefined;
  let first: number | undefined;
  const bare: string[] = [];
  let last = 0;
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    if (match[0].startsWith('"')) continue;
    if (match[0] !== '#') return first ?? match.index;
    first ??= match.index;
    bare.push(text.slice(last, match.index));
    const end = text.indexOf('\n', match.index);
    last = end < 0 ? text.length : end;
    TOKEN.lastIndex = last;
  }
  if (first === undefined) return undefined;
  bare.push(text.slice(last));
  return isJson(bare.join('')) ? first : undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''));
    return true;
  } catch {
    return false;
  }
}

/** The error about a comment in JSON. */
export function commentProblem(at: Position): Problem {
  const message = 'a comment in JSON, which has none';
  return {
    severity: 'error',
    code: 'json-comment',
    at,
    path: '',
    message,
    hint: 'take it out, or write the file as YAML, where # starts a comment',
  };
}

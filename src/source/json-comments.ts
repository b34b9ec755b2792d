/**
 * Comments in JSON, which JSON does not have. Read as YAML, `// no egress` would become part of the key
 * after it, so that the key is lost; one with `#` would go unseen.
 */

import type { Position, Problem } from './problem.ts';

/** A text that starts as a JSON document does. */
const STARTS_AS_JSON = /^\uFEFF?\s*[{[]/;
export function startsAsJson(text: string): boolean {
  return STARTS_AS_JSON.test(text);
}

/** A string, or what may start a comment: after a blank or a punctuation mark, or at the start of a line. */
const TOKEN = /"(?:[^"\\]|\\.)*"|(?<=^|[\s,:{}[\]])(?:\/\/|\/\*|#)/gm;

/**
 * The offset of the first comment in a JSON text; undefined if there is none, or the text is none. Flow
 * style YAML looks alike and has comments with `#`: those are none in JSON if the rest of it is JSON.
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

/** The error about one. */
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

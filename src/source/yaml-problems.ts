/** Writes the problems of a text that is not valid YAML, or that exceeds a limit. */
import type { Position, Problem } from './problem.ts';

const SYNTAX_HINTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'YAML is indented with blanks, never with tabs',
  BAD_INDENT: 'entries of one list or mapping start in the same column',
  MULTIPLE_DOCS: "keep one document a file: remove the line '---' and what follows it",
  BLOCK_AS_IMPLICIT_KEY:
    'quote a value that ends in a colon, as "fd00:10::", or holds a colon and a blank',
  MULTILINE_IMPLICIT_KEY: 'is a colon missing after a key?',
  BAD_ALIAS: "a value that starts with '*' must be quoted",
};

export function mergeProblem(at: Position, path: string): Problem {
  return {
    severity: 'error',
    code: 'yaml-merge',
    at,
    path,
    message: "the merge key '<<' is no part of CloudFormation's YAML",
    hint: 'AWS refuses it: hash merges are not supported; write the values out',
  };
}

export function tooDeep(at: Position, path: string, depthMax: number): Problem {
  return {
    severity: 'error',
    code: 'too-deep',
    at,
    path,
    message: `the file is nested more than ${depthMax} levels deep`,
  };
}

export function syntaxProblem(
  code: string,
  message: string,
  at: Position,
  isJson: boolean,
): Problem {
  const hint = isJson
    ? (SYNTAX_HINTS[code] ??
      'look there and just before it for a comma, a quotation mark or a bracket too few or too many')
    : SYNTAX_HINTS[code];
  const text =
    code === 'MULTIPLE_DOCS'
      ? 'the file holds more than one document'
      : `not valid ${isJson ? 'JSON' : 'YAML'}: ${message.replace(/\.$/, '')}`;
  return {
    severity: 'error',
    code: 'yaml-syntax',
    at,
    path: '',
    message: text,
    ...(hint === undefined ? {} : { hint }),
  };
}

export function unreadable(file: string, error: unknown): Problem {
  const reason = error instanceof Error ? error.message : String(error);
  return {
    severity: 'error',
    code: 'yaml-syntax',
    at: { file, line: 1, column: 1 },
    path: '',
    message: `not valid YAML: ${reason}`,
  };
}

/** Reads a JSON file that another program wrote, within bounds, and finds places in it. */
import type { Position, Problem } from '../source/problem.ts';
import { readText } from '../source/yaml.ts';

/** A plan of some thousand resources has 20 MB. */
export const INPUT_BYTES_MAX = 128 * 1024 * 1024;

/** Plans have some twenty levels. Readers go down by calling themselves. */
const DEPTH_MAX = 500;

export interface JsonFile {
  readonly file: string;
  readonly value: unknown;
  /** The first place that names a thing by its address or id; the first line if none does. */
  readonly find: (name: string) => Position;
}

/** Undefined if it could not be read, which is reported. */
export function readJsonFile(file: string, problems: Problem[]): JsonFile | undefined {
  const text = readText(file, problems, INPUT_BYTES_MAX);
  return text === undefined ? undefined : parseJsonFile(file, text, problems);
}

export function parseJsonFile(
  file: string,
  text: string,
  problems: Problem[],
): JsonFile | undefined {
  if (isTooDeep(text)) {
    problems.push({
      ...{ severity: 'error', code: 'too-deep', at: { file, line: 1, column: 1 }, path: '' },
      message: `the JSON is nested more than ${DEPTH_MAX} deep`,
    });
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    return { file, value, find: makeFinder(file, text) };
  } catch (error) {
    problems.push({
      severity: 'error',
      code: 'bad-json',
      at: { file, line: 1, column: 1 },
      path: '',
      message: `this is no JSON: ${(error as Error).message.slice(0, 200)}`,
      hint: 'write the file again: it may have been cut off',
    });
    return undefined;
  }
}

function isTooDeep(text: string): boolean {
  let depth = 0;
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text.charCodeAt(i);
    if (isQuoted) {
      if (letter === BACKSLASH) i++;
      else if (letter === QUOTE) isQuoted = false;
    } else if (letter === QUOTE) isQuoted = true;
    else if (letter === BRACKET || letter === BRACE) {
      if (++depth > DEPTH_MAX) return true;
    } else if (letter === BRACKET + 2 || letter === BRACE + 2) depth--;
  }
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** The closing ones are two further. */
const BRACKET = 0x5b;
const BRACE = 0x7b;

/** Keys whose texts name things, in plans and in what AWS answers. */
const NAMING =
  /"(?:address|GroupId|SecurityGroupRuleId|PrefixListId|NetworkInterfaceId|SubnetId|VpcId|urn)"\s*:\s*("(?:[^"\\]|\\.){0,2000}")/g;

/** Finds places by an index that is made at the first question: a plan has thousands of names, and megabytes. */
function makeFinder(file: string, text: string): JsonFile['find'] {
  let index: Map<string, Position> | undefined;
  return (name) => {
    index ??= indexNames(file, text);
    return index.get(JSON.stringify(name)) ?? { file, line: 1, column: 1 };
  };
}

function indexNames(file: string, text: string): Map<string, Position> {
  const index = new Map<string, Position>();
  let line = 1;
  let start = 0;
  for (const match of text.matchAll(NAMING)) {
    for (
      let next = text.indexOf('\n', start);
      next >= 0 && next < match.index;
      next = text.indexOf('\n', start)
    ) {
      line++;
      start = next + 1;
    }
    if (!index.has(match[1])) index.set(match[1], { file, line, column: match.index - start + 1 });
  }
  return index;
}

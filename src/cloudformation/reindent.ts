/**
 * This file restores templates whose indentation was lost, for example when they were copied from a web page.
 *
 *     WebGroup:                              WebGroup:
 *     Type: AWS::EC2::SecurityGroup    ->      Type: AWS::EC2::SecurityGroup
 *     Properties:                              Properties:
 *     VpcId: !Ref Vpc                            VpcId: !Ref Vpc
 *
 * Theory of operation. Only one kind of text is recognised: a line `LogicalId:` in column 1 is directly followed by
 * `Type: AWS::…` in column 1, which no valid template can have. Blanks are restored only if there is exactly one way to
 * do so. Every line must have one of a few forms, and belong to one of the four kinds whose properties are known. Lists
 * may contain scalars only, since nobody can tell which lines of a list of mappings belong to an item and which to the
 * resource. Anything else is an error, not a guess: a rule in the wrong place opens a port.
 *
 * No line is added or removed. `shifts` says how far each line was moved, so that positions in the restored text can be
 * converted to positions in the file.
 */
import type { Position, Problem } from '../source/problem.ts';
import type { Node } from '../source/yaml.ts';
import { PROPERTIES_OF_KINDS } from './kinds.ts';
import { fail, report } from './reporting.ts';
import { abbreviate } from './values.ts';

export interface Restored {
  readonly text: string;
  /** For each line, counted from 0, how many blanks were added at its beginning. */
  readonly shifts: readonly number[];
}

/** More lines than anybody pastes. AWS's largest templates keep their indentation. */
const LINES_MAX = 5_000;
/** The patterns below take quadratic time in the blanks of a line. A longer line would be an attack, not a paste. */
const LINE_CHARS_MAX = 1_000;

const HEADER = /^([A-Za-z0-9]+):\s*(#.*)?$/;
const TYPE = /^Type:\s*(?:'(AWS::[\w:]+)'|"(AWS::[\w:]+)"|(AWS::[\w:]+))\s*(#.*)?$/;
/** One scalar that ends on its line: quoted, or plain and without anything that YAML could read as more. */
const SCALAR = `(?:![A-Za-z]+ +)?(?:'(?:[^']|'')*'|"(?:[^"\\\\]|\\\\.)*"|[^\\s!&*\\[\\]{}|>@\`"'#%,?](?:(?!: |:$| #)[^\\t])*)`;
const KEY_SCALAR = new RegExp(`^([A-Za-z0-9]+): +${SCALAR} *(?: #.*)?$`);
const ITEM = new RegExp(`^- +${SCALAR} *(?: #.*)?$`);
const BLANK = /^\s*(#.*)?$/;

/**
 * Attributes of a resource, which may come before or after its properties. No known kind has a property of such a name.
 */
const SCALAR_ATTRIBUTES = new Set([
  'Condition',
  'DependsOn',
  'DeletionPolicy',
  'UpdateReplacePolicy',
]);
const SCALAR_SECTIONS = new Set(['AWSTemplateFormatVersion', 'Description', 'Transform']);

/** The index of the line of the first resource without indentation. Undefined if the text is not flattened. */
export function findFlattened(text: string): number | undefined {
  const lines = splitLines(text);
  const index = lines.findIndex((line, i) => HEADER.test(line) && TYPE.test(lines[i + 1] ?? ''));
  return index < 0 ? undefined : index;
}

/** Restores the blanks. Undefined if that is not certain, which is reported. */
export function restoreIndentation(
  file: string,
  text: string,
  first: number,
  problems: Problem[],
): Restored | undefined {
  const lines = splitLines(text);
  const refuse = (index: number, message: string): undefined => {
    const hint =
      'indent the template as YAML wants it: resources under Resources, Type and Properties under each resource, properties under Properties';
    fail(
      { problems },
      'lost-indentation',
      { at: { file, line: index + 1, column: 1 }, path: '' },
      message,
      hint,
    );
    return undefined;
  };
  if (lines.length > LINES_MAX)
    return refuse(
      first,
      `the template has lost its indentation and has more than ${LINES_MAX} lines`,
    );
  const shifts = findShifts(lines);
  if (typeof shifts === 'number') {
    const line = abbreviate(lines[shifts] ?? '');
    return refuse(
      shifts,
      `the template has lost its indentation (line ${first + 1}), and nobody can tell where '${line}' belongs`,
    );
  }
  const message =
    'the template has lost its indentation; it was restored from the names of its properties';
  const hint =
    'AWS refuses it: the keys Type and Properties stand at the top; indent them under each resource by two blanks, and the properties by two more';
  report(
    problems,
    'warning',
    'lost-indentation',
    { at: { file, line: first + 1, column: 1 }, path: '' },
    message,
    hint,
  );
  // `split('
  // ')` as before: a carriage return stays where it was.
  const restored = text.split('\n').map((line, i) => ' '.repeat(shifts[i] ?? 0) + line);
  return { text: restored.join('\n'), shifts };
}

/** What the lines so far say about where the next one belongs. */
interface Place {
  /** The blanks before a logical id: none, or two under Resources. */
  base: number;
  /** The kind of the current resource. Undefined before its Type. */
  kind: string | undefined;
  /** Whether the previous line was a logical id. */
  isAtType: boolean;
  isInProperties: boolean;
  isInList: boolean;
}

/** The blanks to add to each line, or the index of the first line that could belong in more than one place. */
function findShifts(lines: readonly string[]): number[] | number {
  const place: Place = {
    base: 0,
    kind: undefined,
    isAtType: false,
    isInProperties: false,
    isInList: false,
  };
  const shifts: number[] = [];
  for (const [i, line] of lines.entries()) {
    if (line.length > LINE_CHARS_MAX) return i;
    const shift = BLANK.test(line) ? 0 : placeLine(place, lines, i);
    if (shift === undefined) return i;
    shifts.push(shift);
  }
  return shifts;
}

function placeLine(place: Place, lines: readonly string[], i: number): number | undefined {
  const line = lines[i];
  if (HEADER.test(line) && TYPE.test(lines[i + 1] ?? '')) {
    Object.assign(place, {
      kind: undefined,
      isAtType: true,
      isInProperties: false,
      isInList: false,
    });
    return place.base;
  }
  if (place.isAtType) {
    const type = TYPE.exec(line)!;
    place.isAtType = false;
    place.kind = type[1] ?? type[2] ?? type[3];
    return PROPERTIES_OF_KINDS.has(place.kind) ? place.base + 2 : undefined;
  }
  if (place.isInList && ITEM.test(line)) return place.base + 6;
  place.isInList = false;
  return place.kind === undefined
    ? placeSection(place, line)
    : placeInResource(place, place.kind, lines, i);
}

function placeSection(place: Place, line: string): number | undefined {
  if (/^Resources:\s*(#.*)?$/.test(line) && place.base === 0) {
    place.base = 2;
    return 0;
  }
  const key = KEY_SCALAR.exec(line)?.[1];
  return key !== undefined && SCALAR_SECTIONS.has(key) && place.base === 0 ? 0 : undefined;
}

function placeInResource(
  place: Place,
  kind: string,
  lines: readonly string[],
  i: number,
): number | undefined {
  const line = lines[i];
  const scalarKey = KEY_SCALAR.exec(line)?.[1];
  if (scalarKey !== undefined && SCALAR_ATTRIBUTES.has(scalarKey)) return place.base + 2;
  const key = scalarKey ?? HEADER.exec(line)?.[1];
  if (key === 'Properties' && scalarKey === undefined && !place.isInProperties) {
    place.isInProperties = true;
    return place.base + 2;
  }
  if (!place.isInProperties || key === undefined || !PROPERTIES_OF_KINDS.get(kind)!.includes(key))
    return undefined;
  if (scalarKey !== undefined) return place.base + 4;
  // A key without a value is a list, if list items follow. It can't be a mapping: nobody could tell where it ends.
  let next = i + 1;
  while (next < lines.length && BLANK.test(lines[next])) next++;
  place.isInList = ITEM.test(lines[next] ?? '');
  return place.isInList ? place.base + 4 : undefined;
}

/** The tree with positions in the file in place of those in the restored text. */
export function moveBack(node: Node, shifts: readonly number[]): Node {
  const at = movePositionBack(node.at, shifts);
  switch (node.kind) {
    case 'scalar':
      return { ...node, at };
    case 'list':
      return { ...node, at, items: node.items.map((item) => moveBack(item, shifts)) };
    case 'mapping': {
      const entries = node.entries.map(({ key, keyAt, value }) => ({
        key,
        keyAt: movePositionBack(keyAt, shifts),
        value: moveBack(value, shifts),
      }));
      return { ...node, at, entries };
    }
    default:
      return node satisfies never;
  }
}

export function movePositionBack(at: Position, shifts: readonly number[]): Position {
  return { ...at, column: Math.max(1, at.column - (shifts[at.line - 1] ?? 0)) };
}

function splitLines(text: string): string[] {
  return text.split('\n').map((line) => line.replace(/\r$/, ''));
}

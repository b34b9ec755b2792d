/**
 * This file matches the filters of describe calls: values with wildcards, one of them has to match, and so does each
 * filter.
 */
import { ApiError } from './action.ts';
import { shown } from './form.ts';

export interface Filter {
  readonly Name?: string;
  readonly Values?: readonly string[];
}

export interface Tag {
  readonly Key: string;
  readonly Value: string;
}

/** The values of an item under a filter's name; several where the item has a list. */
export type FilterFields<T> = Readonly<Record<string, (item: T) => readonly string[]>>;

const TAG_PREFIX = 'tag:';
const TAG_KEY = 'tag-key';

/**
 * Makes a test of a call's filters.
 * @param tagsOf has the tags of an item, for the filters `tag:KEY` and `tag-key`; undefined: it has none
 * @throws ApiError (InvalidParameterValue) for a name that is not among the fields, or a filter without values
 */
export function filterTest<T>(
  filters: readonly Filter[] | undefined,
  fields: FilterFields<T>,
  tagsOf?: (item: T) => readonly Tag[],
): (item: T) => boolean {
  const tests = (filters ?? []).map((filter) => testOf(filter, fields, tagsOf));
  return (item) => tests.every((test) => test(item));
}

function testOf<T>(
  { Name: name = '', Values: values = [] }: Filter,
  fields: FilterFields<T>,
  tagsOf: ((item: T) => readonly Tag[]) | undefined,
): (item: T) => boolean {
  if (values.length === 0)
    throw new ApiError('InvalidParameterValue', `The filter '${shown(name)}' has no values`);
  const valuesOf = fieldOf(name, fields, tagsOf);
  if (valuesOf === undefined)
    throw new ApiError('InvalidParameterValue', `The filter '${shown(name)}' is invalid`);
  const patterns = values.map(parsePattern);
  return (item) =>
    valuesOf(item).some((value) => patterns.some((pattern) => matches(pattern, value)));
}

function fieldOf<T>(
  name: string,
  fields: FilterFields<T>,
  tagsOf: ((item: T) => readonly Tag[]) | undefined,
): ((item: T) => readonly string[]) | undefined {
  if (Object.hasOwn(fields, name)) return fields[name];
  if (tagsOf === undefined) return undefined;
  if (name === TAG_KEY) return (item) => tagsOf(item).map(({ Key }) => Key);
  if (!name.startsWith(TAG_PREFIX)) return undefined;
  const key = name.slice(TAG_PREFIX.length);
  return (item) =>
    tagsOf(item)
      .filter(({ Key }) => Key === key)
      .map(({ Value }) => Value);
}

/** A character, or a wildcard: any one, any number. */
type PatternPart = string | typeof ANY_ONE | typeof ANY_NUMBER;
const ANY_ONE = 1;
const ANY_NUMBER = 2;

function parsePattern(text: string): readonly PatternPart[] {
  const parts: PatternPart[] = [];
  const characters = [...text];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i];
    if (character === '\\' && i + 1 < characters.length) parts.push(characters[++i]);
    else if (character === '?') parts.push(ANY_ONE);
    else if (character === '*') {
      if (parts[parts.length - 1] !== ANY_NUMBER) parts.push(ANY_NUMBER);
    } else parts.push(character);
  }
  return parts;
}

/**
 * Matches without backing up further than to the last `*`: a regular expression would take exponential time on
 * `*a*a*a*b`.
 */
function matches(pattern: readonly PatternPart[], text: string): boolean {
  const characters = [...text];
  let p = 0;
  let star = -1;
  let resume = 0;
  for (let i = 0; i < characters.length;) {
    const part = pattern[p];
    if (part === ANY_NUMBER) {
      star = p++;
      resume = i;
    } else if (p < pattern.length && (part === ANY_ONE || part === characters[i])) {
      p++;
      i++;
    } else if (star !== -1) {
      p = star + 1;
      i = ++resume;
    } else return false;
  }
  while (pattern[p] === ANY_NUMBER) p++;
  return p === pattern.length;
}

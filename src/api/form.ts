/**
 * This file reads the pairs of a query string or a form body. Strangers send them, so their number and the length of
 * names are bounded before anything is made of them.
 */
import { ApiError } from './action.ts';

/** A call that authorizes 1,000 rules has some 4,000. */
export const PAIRS_MAX = 10_000;
/** The longest name that the table has is below this. */
export const NAME_LENGTH_MAX = 256;
/** Of a name or value that is shown in a message. */
const SHOWN_MAX = 64;

export type Pair = readonly [name: string, value: string];

/**
 * Splits `a=1&b=2` and decodes it. A plus sign is a blank.
 * @throws ApiError for a broken percent sign, bytes that are no UTF-8, too many pairs or too long a name
 */
export function readPairs(text: string): Pair[] {
  const pairs: Pair[] = [];
  let start = 0;
  while (start <= text.length) {
    const ampersand = text.indexOf('&', start);
    const end = ampersand === -1 ? text.length : ampersand;
    if (end > start) {
      if (pairs.length === PAIRS_MAX)
        throw new ApiError(
          'MalformedQueryString',
          `The request has more than ${PAIRS_MAX} parameters.`,
        );
      pairs.push(readPair(text.slice(start, end)));
    }
    start = end + 1;
  }
  return pairs;
}

function readPair(text: string): Pair {
  const equals = text.indexOf('=');
  const name = decode(equals === -1 ? text : text.slice(0, equals));
  if (name.length > NAME_LENGTH_MAX)
    throw new ApiError(
      'UnknownParameter',
      `The parameter ${shown(name)} is not recognized: its name has more than ${NAME_LENGTH_MAX} characters.`,
    );
  return [name, equals === -1 ? '' : decode(text.slice(equals + 1))];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new ApiError(
      'MalformedQueryString',
      `The query string contains a syntax error: ${shown(text)}`,
    );
  }
}

/** A stranger's text for a message: bounded, and without characters that a terminal would act on. */
export function shown(text: string): string {
  const short = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;

  return short
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/g, '?');
}

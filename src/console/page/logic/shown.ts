/**
 * This file makes strangers' text safe to look at. Names and descriptions come from templates, accounts and containers.
 *
 * Preact writes them as text nodes, so they can't become markup. But a text may still deceive the reader: control
 * characters hide parts of it, and bidirectional marks show it in another order. These are shown as escapes.
 */

/** Control characters, line breaks, marks of direction, characters without width, tags, halves of surrogate pairs. */
const DECEIVING =
  /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

/** Longer texts are cut in tables and on the map; the whole of them is in a panel. */
const SHORT_MAX = 60;

/** The text with every character that nobody sees, or that moves others, as `\u{202e}`. */
export function shown(text: string): string {
  return text.replace(
    DECEIVING,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** The same, cut to `max` characters. */
export function shownShort(text: string, max = SHORT_MAX): string {
  const characters = [...shown(text)];
  return characters.length <= max
    ? characters.join('')
    : `${characters.slice(0, max - 1).join('')}…`;
}

/** Text to roff, for the man(7) macros. */

/** Text that is printed as it is: no escape of roff, no request, and hyphens that can be copied. */
export function escapeRoff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&');
}

/** An argument of a macro: quoted, on one line. */
export function quoteRoff(text: string): string {
  return `"${escapeRoff(text.replace(/\s+/g, ' ')).replaceAll('"', '\\(dq')}"`;
}

/** A term and what it means, as in a list of options. */
export function tagged(term: string, meaning: string): string {
  return `.TP\n.B ${quoteRoff(term)}\n${sentence(meaning)}\n`;
}

/** As a sentence: with a capital, unless that would change a name, and a full stop. */
export function sentence(text: string): string {
  const plain = text.replace(/\s+/g, ' ').trim();
  return escapeRoff(/[.!?:]$/.test(plain) ? plain : `${plain}.`);
}

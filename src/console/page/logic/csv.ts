/** This file writes tables as CSV (RFC 4180), safe to open in a spreadsheet. */

/** A spreadsheet would run what begins so as a formula: a stranger's name could do what it likes there. */
const FORMULA = /^[=+\-@\t\r]/;

/** The rows as CSV with CRLF, as the RFC has it. */
export function csvText(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

function cell(text: string): string {
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** A screen of a terminal as SVG: monospaced text with the few styles that sgctl uses. */

const COLUMN_PX = 8.4;
const ROW_PX = 18;
const MARGIN_PX = 12;
const BACKGROUND = '#16191d';
const FOREGROUND = '#d5d9de';

/** By SGR code; what is not here is plain. */
const STYLES: Readonly<Record<string, string>> = {
  '1': 'font-weight:bold',
  '2': 'fill:#878d96',
  '31': 'fill:#ff6b6b',
  '32': 'fill:#63d297',
  '33': 'fill:#f0c674',
};

// Written with the character's number: editors show it as nothing.
const ESCAPE = String.fromCharCode(27);
const SEQUENCE = new RegExp(`${ESCAPE}\\[([?\\d;]*)([a-zA-Z])`, 'g');

/** Text without what steers a terminal. */
export function plainText(text: string): string {
  return text.replace(SEQUENCE, '').replaceAll('\r', '');
}

/** @param lines with SGR sequences @param columns width of the terminal */
export function terminalSvg(lines: readonly string[], columns: number): string {
  const width = Math.ceil(2 * MARGIN_PX + columns * COLUMN_PX);
  const height = 2 * MARGIN_PX + lines.length * ROW_PX;
  const rows = lines.map((line, i) => {
    const y = MARGIN_PX + (i + 0.75) * ROW_PX;
    return `<text x="${MARGIN_PX}" y="${y}" xml:space="preserve">${spans(line)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<rect width="100%" height="100%" rx="6" fill="${BACKGROUND}"/>`,
    `<g font-family="ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="${FOREGROUND}">`,
    ...rows,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function spans(line: string): string {
  let style = '';
  let from = 0;
  const parts: string[] = [];
  const add = (text: string): void => {
    if (text === '') return;
    parts.push(style === '' ? escape(text) : `<tspan style="${style}">${escape(text)}</tspan>`);
  };
  for (const match of line.matchAll(SEQUENCE)) {
    add(line.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === 'm') style = STYLES[match[1]] ?? '';
  }
  add(line.slice(from).replaceAll('\r', ''));
  return parts.join('');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

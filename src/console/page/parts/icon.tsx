/** This file draws the small signs of the page. They stand beside words and say nothing of their own. */

/** Paths on a square of 16 units, drawn with lines. */
const PATHS = {
  allowed: 'M3 8.5 6.5 12 13 4.5',
  refused: 'M4 4 12 12M12 4 4 12',
  perhaps: 'M5.5 6a2.5 2.5 0 1 1 3.4 2.3c-.6.3-.9.7-.9 1.4M8 12.2v.1',
  note: 'M8 7v5M8 4.2v.1',
  warning: 'M8 2.5 14.5 13.5H1.5ZM8 6.5v3.5M8 11.8v.1',
  close: 'M4 4 12 12M12 4 4 12',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  fit: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM10.7 10.7 14 14',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M4.5 3 12.5 8 4.5 13Z',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
  moon: 'M13.5 9.5A6 6 0 0 1 6.5 2.5 6 6 0 1 0 13.5 9.5Z',
  system: 'M2 3h12v8H2ZM5.5 13.5h5M8 11v2.5',
  keys: 'M1.5 4h13v8h-13ZM4 6.5h.1M6.5 6.5h.1M9 6.5h.1M11.8 6.5h.1M5 9.5h6',
  leave: 'M9.5 4.5v-2h-7v11h7v-2M6 8h8M11.5 5.5 14 8l-2.5 2.5',
  arrow: 'M2.5 8h11M9.5 4l4 4-4 4',
  copy: 'M5.5 5.5h8v8h-8ZM10.5 5.5v-3h-8v8h3',
  save: 'M8 2v8.5M4.5 7 8 10.5 11.5 7M2.5 13.5h11',
  remove: 'M3 4.5h10M6 4.5V2.5h4v2M4.5 4.5l.6 9h5.8l.6-9',
  shield: 'M8 1.5 13.5 3.5V8c0 3.2-2.3 5.4-5.5 6.5C4.8 13.4 2.5 11.2 2.5 8V3.5Z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

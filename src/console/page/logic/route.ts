/** This file reads and writes the part of the address after `#`: which view is shown, and what it is about. */

// prettier-ignore
export const VIEWS = ['map', 'why', 'live', 'draft', 'matrix', 'history', 'hosts', 'about'] as const;
export type ViewName = (typeof VIEWS)[number];

export interface Route {
  readonly view: ViewName;
  /** What follows `?`: `q` of why, `group` of draft and so on. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** `#/why?q=web…` → view and parameters. What is no view is the map. */
export function parseRoute(hash: string): Route {
  const [path, query = ''] = splitAt(hash.replace(/^#\/?/, ''), '?');
  const view = VIEWS.find((name) => name === path) ?? 'map';
  return { view, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a view, for links. */
export function routeHash(
  view: ViewName,
  parameters: Readonly<Record<string, string>> = {},
): string {
  const query = new URLSearchParams(parameters).toString();
  return query === '' ? `#/${view}` : `#/${view}?${query}`;
}

/** The token in `#token=…`, with which `sgctl console` hands out its address. Undefined: there is none. */
export function tokenIn(hash: string): string | undefined {
  return /^#token=([\w-]+)$/.exec(hash)?.[1];
}

function splitAt(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** This file makes rows and columns of the matrix, as they are shown and as they are saved. */
import type { MatrixCell, MatrixEnd, MatrixView } from '../../contract.ts';
import { serviceWords } from './question-words.ts';
import { matchesWords } from './search-words.ts';

export interface Matrix {
  readonly columns: readonly MatrixEnd[];
  readonly rows: readonly {
    /** The row's place among all ends. */
    readonly at: number;
    readonly end: MatrixEnd;
    /** By column; undefined: nothing is allowed. */
    readonly cells: readonly (MatrixCell | undefined)[];
  }[];
}

/**
 * The matrix. A part of the world that nothing is allowed from is no row, and one that nothing is allowed to no column.
 * Words leave the ends that they find, against all whom these reach and who reaches these.
 */
export function matrixTable({ ends, cells }: MatrixView, words: readonly string[]): Matrix {
  const isFound = ends.map((end) => matchesWords(words, [end.label, end.kind]));
  const kept = cells.filter(({ from, to }) => isFound[from] === true || isFound[to] === true);
  // That nobody reaches an interface is worth a row and a column.
  const own = ends.flatMap(({ kind }, at) =>
    kind === 'interfaces' && isFound[at] === true ? [at] : [],
  );
  const inOrder = (places: readonly number[]): number[] =>
    [...new Set([...own, ...places])].sort((a, b) => a - b);
  const rows = inOrder(kept.map(({ from }) => from));
  const columns = inOrder(kept.map(({ to }) => to));
  const byPlace = new Map(kept.map((cell) => [cell.from * ends.length + cell.to, cell]));
  return {
    columns: columns.flatMap((to) => ends[to] ?? []),
    rows: rows.flatMap((from) => {
      const end = ends[from];
      if (end === undefined) return [];
      return { at: from, end, cells: columns.map((to) => byPlace.get(from * ends.length + to)) };
    }),
  };
}

/** The table as texts, with headings. */
export function matrixRows({ columns, rows }: Matrix): string[][] {
  return [
    ['from \\ to', ...columns.map(({ label }) => label)],
    ...rows.map(({ end, cells }) => [
      end.label,
      ...cells.map((cell) =>
        cell === undefined
          ? ''
          : `${cell.services.join('; ')}${cell.isPerhaps === true ? ' (perhaps)' : ''}`,
      ),
    ]),
  ];
}

/** A question about a cell. Undefined: an end of it can't be asked about. */
export function questionOfCell(
  from: MatrixEnd,
  to: MatrixEnd,
  services: readonly string[],
): string | undefined {
  const [start, end] = [wordOf(from), wordOf(to)];
  return start === undefined || end === undefined
    ? undefined
    : `${start} -> ${end} ${serviceWords(services[0] ?? '')}`;
}

/** Interfaces and blocks are called by one word; a class of several, or a name, is not. */
function wordOf({ kind, label }: MatrixEnd): string | undefined {
  if (kind === 'name' || kind === 'members') return undefined;
  return /^\S+$/.test(label) ? label : undefined;
}

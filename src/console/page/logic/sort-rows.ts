/** This file sorts the rows of a table. */

export interface Sorting {
  /** The column's name. */
  readonly column: string;
  readonly isDescending: boolean;
}

/** Numbers inside of texts count as numbers: `eni-9` comes before `eni-10`. */
const collator = new Intl.Collator('en', { numeric: true });

/** A sorted copy; rows that are equal stay as they were. */
export function sortRows<Row>(
  rows: readonly Row[],
  valueOf: (row: Row) => string | number,
  isDescending: boolean,
): Row[] {
  const sign = isDescending ? -1 : 1;
  return rows
    .map((row) => ({ row, value: valueOf(row) }))
    .sort((a, b) => sign * compare(a.value, b.value))
    .map(({ row }) => row);
}

function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return collator.compare(String(a), String(b));
}

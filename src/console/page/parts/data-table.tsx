/**
 * This file is the table of long lists: sorted by a click on a heading, and with only those rows in the document that
 * are in sight, so that ten thousand flows cost no more than thirty.
 */
import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { rowWindow } from '../logic/row-window.ts';
import { sortRows, type Sorting } from '../logic/sort-rows.ts';
import { useScroll } from './use-scroll.ts';

export interface TableColumn<Row> {
  readonly name: string;
  readonly title: string;
  readonly isNumber?: true;
  /** What it is sorted by, and the text of the cell where `cell` is not given. */
  readonly value: (row: Row) => string | number;
  readonly cell?: (row: Row) => ComponentChildren;
  /** It is the row's name: a heading of the row. */
  readonly isHeading?: true;
}

const ROW_PX = 32;
/** Until the browser has said how high the table is; how wide does not matter. */
const START = { top: 0, left: 0, width: 0, height: 640 };

interface TableProperties<Row> {
  readonly label: string;
  readonly columns: readonly TableColumn<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  /** Absent: as they come. */
  readonly sorting?: Sorting;
  /** What stands there without rows. */
  readonly empty: string;
}

export function DataTable<Row>(properties: TableProperties<Row>) {
  const { label, columns, rows, keyOf, empty } = properties;
  const [sorting, setSorting] = useState<Sorting | undefined>(properties.sorting);
  const sorted = useMemo(() => {
    const column = columns.find(({ name }) => name === sorting?.column);
    return sorting === undefined || column === undefined
      ? rows
      : sortRows(rows, column.value, sorting.isDescending);
  }, [rows, columns, sorting]);
  const { frame, scroll } = useScroll(START);
  const sight = rowWindow(sorted.length, ROW_PX, scroll.top, scroll.height);
  return (
    <div class="table-frame" ref={frame} role="region" aria-label={label} tabIndex={0}>
      <table class="data" aria-rowcount={sorted.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <Heading key={column.name} column={column} sorting={sorting} sort={setSorting} />
            ))}
          </tr>
        </thead>
        <tbody>
          <Spacer height={sight.above} columns={columns.length} />
          {sorted.slice(sight.first, sight.end).map((row, i) => (
            <tr key={keyOf(row)} aria-rowindex={sight.first + i + 2}>
              {columns.map((column) => (
                <Cell key={column.name} column={column} row={row} />
              ))}
            </tr>
          ))}
          <Spacer height={sight.below} columns={columns.length} />
        </tbody>
      </table>
      {rows.length === 0 && <p class="table-empty">{empty}</p>}
    </div>
  );
}

/** Stands for the rows that are not in the document. */
function Spacer({ height, columns }: { readonly height: number; readonly columns: number }) {
  if (height === 0) return null;
  return (
    <tr aria-hidden="true" class="spacer">
      <td colSpan={columns} style={{ height: `${height}px` }} />
    </tr>
  );
}

function Heading<Row>({
  column,
  sorting,
  sort,
}: {
  readonly column: TableColumn<Row>;
  readonly sorting: Sorting | undefined;
  readonly sort: (sorting: Sorting) => void;
}) {
  const { name, title, isNumber } = column;
  const isSorted = sorting?.column === name;
  const order = !isSorted ? 'none' : sorting.isDescending ? 'descending' : 'ascending';
  // Of numbers one wants to see the largest first.
  const isDescending = isSorted ? !sorting.isDescending : isNumber === true;
  return (
    <th scope="col" aria-sort={order} class={isNumber === true ? 'number' : ''}>
      <button type="button" class="sort" onClick={() => sort({ column: name, isDescending })}>
        {title}
        <span class="sort-sign" aria-hidden="true">
          {isSorted ? (sorting.isDescending ? '▾' : '▴') : ''}
        </span>
      </button>
    </th>
  );
}

function Cell<Row>({ column, row }: { readonly column: TableColumn<Row>; readonly row: Row }) {
  const { value, cell, isNumber, isHeading } = column;
  const content = cell === undefined ? value(row) : cell(row);
  const title = typeof content === 'string' ? content : undefined;
  const type = isNumber === true ? 'number' : '';
  return isHeading === true ? (
    <th scope="row" class={type} title={title}>
      {content}
    </th>
  ) : (
    <td class={type} title={title}>
      {content}
    </td>
  );
}

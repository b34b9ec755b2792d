/** `--wide` and `--columns`: which columns a table has, the same in every command that lists something. */
import type { Command } from 'commander';
import { choiceList } from './filter-options.ts';
import { fitTable, terminalColumns, type Column } from './fit-table.ts';
import { paint } from './output.ts';

export interface TableOptions {
  readonly wide?: true;
  readonly columns?: readonly string[];
}

/** As `--columns` takes it: `packets out/in` is `packets-out-in`. */
export function columnName(title: string): string {
  return title.replaceAll(/[ /]+/g, '-');
}

/** Adds both. @param titles of the columns there are */
export function addTableOptions(command: Command, titles: readonly string[]): Command {
  return command
    .option('--wide', 'all columns and nothing cut, also on a narrow terminal')
    .addOption(
      choiceList('--columns <names>', 'these columns, in this order', titles.map(columnName)),
    );
}

export function titlesOf(columns: readonly Column[]): readonly string[] {
  return columns.map(({ title }) => title);
}

/** The columns that were asked for, and the rows with these alone. */
export function chooseColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  wanted: readonly string[] | undefined,
): [columns: readonly Column[], rows: readonly (readonly string[])[]] {
  if (wanted === undefined) return [columns, rows];
  const names = columns.map(({ title }) => columnName(title));
  const places = [...new Set(wanted)].map((name) => names.indexOf(name));
  return [
    // Whoever asks for a column gets it, if cut.
    places.map((i) => withoutLeaving(columns[i])),
    rows.map((row) => places.map((i) => row[i])),
  ];
}

function withoutLeaving({ leaves: _, ...column }: Column): Column {
  return column;
}

/** A table for stdout as the options want it; says which columns found no room. */
export function formatList(
  allColumns: readonly Column[],
  allRows: readonly (readonly string[])[],
  { wide, columns: wanted }: TableOptions,
  width = terminalColumns(),
): string {
  const [columns, rows] = chooseColumns(allColumns, allRows, wanted);
  const { lines, leftOut } = fitTable(columns, rows, wide === true ? undefined : width);
  if (leftOut.length === 0) return lines.join('\n');
  const names = leftOut.map(columnName).join(', ');
  return [...lines, paint(`(no room for ${names}: --wide, --columns)`, 'dim')].join('\n');
}

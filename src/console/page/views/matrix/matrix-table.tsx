/** This is the table of the matrix. Its headings stay in sight. Cells out of sight are not in the document. */
import type { MatrixEnd } from '../../../contract.ts';
import type { Matrix } from '../../logic/matrix-table.ts';
import { questionOfCell } from '../../logic/matrix-table.ts';
import { routeHash } from '../../logic/route.ts';
import { rowWindow } from '../../logic/row-window.ts';
import { shown, shownShort } from '../../logic/shown.ts';
import { useScroll } from '../../parts/use-scroll.ts';

const ROW_PX = 44;
const COLUMN_PX = 132;
/** Until the browser has told the size of the table. */
const START = { top: 0, left: 0, width: 1200, height: 700 };
const LABEL_LETTERS = 28;
const CELL_LETTERS = 34;

export function MatrixTable({ table }: { readonly table: Matrix }) {
  const { columns, rows } = table;
  const { frame, scroll } = useScroll(START);
  const down = rowWindow(rows.length, ROW_PX, scroll.top, scroll.height);
  const across = rowWindow(columns.length, COLUMN_PX, scroll.left, scroll.width);
  const visible = columns.slice(across.first, across.end);
  return (
    <div
      class="table-frame matrix-frame"
      ref={frame}
      tabIndex={0}
      role="region"
      aria-label="Matrix"
    >
      <table
        class="matrix-table"
        aria-rowcount={rows.length + 1}
        aria-colcount={columns.length + 1}
      >
        <thead>
          <tr aria-rowindex={1}>
            <th scope="col" class="corner">
              From <span class="muted">\ To</span>
            </th>
            <Gap width={across.above} />
            {visible.map((end, i) => (
              <th
                key={i + across.first}
                scope="col"
                aria-colindex={across.first + i + 2}
                title={shown(end.label)}
              >
                <span class="muted end-kind">{end.kind}</span>
                {shownShort(end.label, LABEL_LETTERS)}
              </th>
            ))}
            <Gap width={across.below} />
          </tr>
        </thead>
        <tbody>
          <Spacer height={down.above} />
          {rows.slice(down.first, down.end).map((row, i) => (
            <tr key={row.at} aria-rowindex={down.first + i + 2}>
              <th scope="row" title={shown(row.end.label)}>
                <span class="muted end-kind">{row.end.kind}</span>
                {shownShort(row.end.label, LABEL_LETTERS)}
              </th>
              <Gap width={across.above} />
              {visible.map((to, j) => (
                <MatrixCellView
                  key={j + across.first}
                  {...{ from: row.end, to }}
                  cell={row.cells[across.first + j]}
                />
              ))}
              <Gap width={across.below} />
            </tr>
          ))}
          <Spacer height={down.below} />
        </tbody>
      </table>
    </div>
  );
}

function MatrixCellView({
  from,
  to,
  cell,
}: {
  readonly from: MatrixEnd;
  readonly to: MatrixEnd;
  readonly cell: Matrix['rows'][number]['cells'][number];
}) {
  if (cell === undefined)
    return (
      <td class="none">
        <span aria-label="nothing">·</span>
      </td>
    );
  const text = cell.services.join('; ');
  const question = questionOfCell(from, to, cell.services);
  return (
    <td class={cell.isPerhaps === true ? 'some perhaps' : 'some'} title={shown(text)}>
      {question === undefined ? (
        shownShort(text, CELL_LETTERS)
      ) : (
        <a href={routeHash('why', { q: question })}>{shownShort(text, CELL_LETTERS)}</a>
      )}
      {cell.isPerhaps === true && <span class="muted"> perhaps</span>}
    </td>
  );
}

function Gap({ width }: { readonly width: number }) {
  return width === 0 ? null : (
    <td aria-hidden="true" class="gap" style={{ minWidth: `${width}px` }} />
  );
}

function Spacer({ height }: { readonly height: number }) {
  if (height === 0) return null;
  return (
    <tr aria-hidden="true">
      <td class="gap" style={{ height: `${height}px` }} />
    </tr>
  );
}

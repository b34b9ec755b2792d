/** This view is the matrix: every end against every other, with what one may open to the other. */
import { useEffect, useMemo } from 'preact/hooks';
import type { MatrixView as MatrixAnswer } from '../../../contract.ts';
import { useAsk } from '../../browser/api.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { generation } from '../../browser/live.ts';
import { saveFile } from '../../browser/save-file.ts';
import { useStore } from '../../browser/store.ts';
import { csvText } from '../../logic/csv.ts';
import { formatNumberOf } from '../../logic/format.ts';
import { matrixRows, matrixTable, type Matrix } from '../../logic/matrix-table.ts';
import { shown } from '../../logic/shown.ts';
import { Icon } from '../../parts/icon.tsx';
import { Answered, Empty, Note } from '../../parts/states.tsx';
import { MatrixTable } from './matrix-table.tsx';

export function MatrixView() {
  const inForce = useStore(generation);
  const asked = useAsk<MatrixAnswer>('matrix', true);
  const isOld = asked.last !== undefined && inForce > 0 && asked.last.generation !== inForce;
  useEffect(() => {
    if (isOld) asked.again();
  }, [inForce]);
  return (
    <>
      <h1 class="hidden">Matrix</h1>
      <Answered asked={asked} what="the matrix">
        {(matrix) => <LoadedMatrix matrix={matrix} />}
      </Answered>
    </>
  );
}

function LoadedMatrix({ matrix }: { readonly matrix: MatrixAnswer }) {
  const words = useFilterWords();
  const table = useMemo(() => matrixTable(matrix, words), [matrix, words]);
  if (matrix.ends.length === 0)
    return <Empty title="The matrix is empty">There are no interfaces and no rules.</Empty>;
  return (
    <div class="matrix">
      <div class="tools">
        <p>
          The row opens the connection, the column is reached.{' '}
          <span class="muted">
            {formatNumberOf(table.rows.length, 'row')},{' '}
            {formatNumberOf(table.columns.length, 'column')}
            {words.length > 0 && `, of ${matrix.ends.length} ends`}
          </span>
        </p>
        <SaveButton table={table} />
      </div>
      {matrix.isTooLarge !== undefined && <Note kind="warning">{shown(matrix.isTooLarge)}</Note>}
      {table.rows.length === 0 ? (
        <Empty title="The filter finds no end" />
      ) : (
        <MatrixTable table={table} />
      )}
    </div>
  );
}

function SaveButton({ table }: { readonly table: Matrix }) {
  return (
    <button
      type="button"
      onClick={() => saveFile('matrix.csv', csvText(matrixRows(table)), 'text/csv')}
    >
      <Icon name="save" /> Save as CSV
    </button>
  );
}

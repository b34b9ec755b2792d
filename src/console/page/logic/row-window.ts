/** This file says which rows of a long table are in sight, so that only these are in the document. */

export interface RowWindow {
  /** The first row that is in the document, and the one after the last. */
  readonly first: number;
  readonly end: number;
  /** Heights of what stands for the others, in pixels. */
  readonly above: number;
  readonly below: number;
}

/** Rows beyond either edge, so that scrolling shows no gap. */
const MARGIN_ROWS = 10;

/** @param scrollTop, viewHeight, rowHeight in pixels */
export function rowWindow(
  count: number,
  rowHeight: number,
  scrollTop: number,
  viewHeight: number,
): RowWindow {
  const last = Math.max(0, count - Math.ceil(viewHeight / rowHeight) - MARGIN_ROWS);
  const first = Math.min(last, Math.max(0, Math.floor(scrollTop / rowHeight) - MARGIN_ROWS));
  const end = Math.min(count, Math.ceil((scrollTop + viewHeight) / rowHeight) + MARGIN_ROWS);
  return {
    first,
    end: Math.max(first, end),
    above: first * rowHeight,
    below: Math.max(0, count - Math.max(first, end)) * rowHeight,
  };
}

/** Prints what templates have for the interfaces of a configuration to stand for (`from`), with their groups. */
import type { TemplateInterface } from '../inputs/template-interfaces.ts';
import { tableLines, terminalColumns } from './fit-table.ts';

/** What `from` takes stays whole; the end of the line is what is cut. */
const COLUMNS = [{ title: 'FROM' }, { title: 'TYPE' }, { title: 'GROUPS' }] as const;
const INDENT = '  ';

/** The same as a table that fits the terminal, or `width`; no lines if there are none. */
export function interfaceLines(
  interfaces: readonly TemplateInterface[],
  width = terminalColumns(),
): readonly string[] {
  if (interfaces.length === 0) return [];
  const rows = interfaces.map(({ from, type, groups, gaps }) => [
    from,
    type.replace(/^AWS::/, ''),
    [...groups, ...(gaps.length === 0 ? [] : [`not known: ${gaps.join('; ')}`])].join(', '),
  ]);
  const inner = width === undefined ? undefined : width - INDENT.length;
  return tableLines(COLUMNS, rows, inner).map((line) => `${INDENT}${line}`);
}

/** The options of `sgctl rules`, and the columns to choose from. */
import type { RULE_ORDERS } from '../queries/rules-view.ts';
import type { Column } from './fit-table.ts';
import type { SocketOptions } from './socket.ts';
import type { TableOptions } from './table-options.ts';
import type { TemplateOptions } from './template-options.ts';

export interface RulesOptions extends SocketOptions, TableOptions, TemplateOptions {
  readonly group?: readonly string[];
  readonly direction?: readonly string[];
  readonly neverHit?: true;
  readonly sort?: (typeof RULE_ORDERS)[number];
  readonly json?: true;
}

export const RULE_COLUMNS: readonly Column[] = [
  { title: 'group', min: 8 },
  { title: 'direction' },
  { title: 'rule', min: 22 },
  { title: 'hits', align: 'right' },
  { title: 'last hit', align: 'right', leaves: 2 },
  { title: 'flows', align: 'right', leaves: 3 },
  { title: 'from', min: 16, leaves: 1 },
  { title: 'id', leaves: 4 },
  { title: 'description', min: 8, leaves: 5 },
];
const LIVE_TITLES = ['hits', 'last hit', 'flows'];
/** What a file can say of a rule. */
export const FILE_COLUMNS: readonly Column[] = RULE_COLUMNS.filter(
  ({ title }) => !LIVE_TITLES.includes(title),
);

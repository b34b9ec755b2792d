/**
 * This file brings the rows of a store into the layout of keys.ts.
 *
 * Before, what hosts enforce had no folder of its own (`groups/sg-…`), a host's rows were spread over several
 * (`applied/HOST`, `declared/HOST/…`), names and addresses that files declare were claimed by rows, and nothing said
 * who is in a group. What hosts say of themselves is not carried over: they say it anew.
 */
import type { Checked } from '../policy/refusals.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import {
  LAYOUT_KEY,
  UNENFORCED_FOLDERS,
  VALUE_FOLDERS,
  valueKey,
  type ValueFolder,
} from './keys.ts';
import { RowError, RowReader } from './row-reader.ts';
import { ROW_FORMS } from './rows.ts';

const LAYOUT = 2;
/** An interface brings up to eight rows with it. */
const ROWS_MAX = 12;
const MOVED = VALUE_FOLDERS.filter((folder) => !UNENFORCED_FOLDERS.includes(folder));
const DROPPED = ['applied/', 'declared/', 'previews/', 'previewed/'];

/** An EstateClient. */
interface Changer {
  readonly estate: Estate;
  change(work: (edit: Edit) => Checked<undefined>): Promise<unknown>;
}

/**
 * Moves the rows that are where they were before. It can be interrupted, and run by several at once.
 * @throws Error if a newer version has made the layout
 */
export async function upgradeLayout(client: Changer): Promise<void> {
  checkLayout(client.estate.textOf(LAYOUT_KEY));
  const { estate } = client;
  const old = estate.keys().filter((key) => isOld(key, estate.textOf(key)));
  for (let at = 0; at < old.length; at += ROWS_MAX)
    await client.change((edit) => {
      for (const key of old.slice(at, at + ROWS_MAX)) move(edit, key);
      return { ok: true, value: undefined };
    });
}

/** @param text of the row LAYOUT_KEY @throws Error if this version does not know it */
export function checkLayout(text: string | undefined): void {
  const layout = text === undefined ? LAYOUT : RowReader.parse(LAYOUT_KEY, text).integer('layout');
  if (layout === LAYOUT) return;
  throw new Error(
    `the rows of the store have layout ${layout}, and this version knows ${LAYOUT}: install the version that made them`,
  );
}

function isOld(key: string, text: string | undefined): boolean {
  if (DROPPED.some((prefix) => key.startsWith(prefix))) return true;
  if (/^(names|addresses)\//.test(key)) return text?.includes('"host":') === true;
  return MOVED.some((folder) => key.startsWith(`${folder}/`));
}

function move(edit: Edit, key: string): void {
  const text = edit.text(key);
  edit.remove(key);
  const [folder, id] = key.split('/') as [ValueFolder, string];
  if (text === undefined || !MOVED.includes(folder)) return;
  try {
    if (folder === 'interfaces')
      edit.write(folder, id, ROW_FORMS[folder].decode(id, RowReader.parse(key, text)));
    else edit.put(valueKey(folder, id), text);
  } catch (error) {
    if (!(error instanceof RowError)) throw error;
    // It closes what it is about, as it did before.
    edit.put(valueKey(folder, id), text);
  }
}

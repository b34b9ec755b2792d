/**
 * Previews: what a change would do that nobody makes, asked of the hosts by the store.
 *
 * Theory of operation. Whoever asks writes `desired/previews/ID` with the rows that the change would write. Each host
 * that follows the store answers with `hosts/HOST/previewed/ID`. Neither row is content, so nothing is put in force for
 * it. Then the one who asked removes the question, and after it the answers. A host commits its answer with the
 * condition that the question is still there, so that no answer comes after that.
 *
 * Who is killed meanwhile leaves the question. It is removed a while after another one has started
 * (`removeOldPreviews`).
 */
import type { Commit } from '../store/store.ts';
import { Edit } from './edit.ts';
import type { EstateClient } from './estate-client.ts';
import { isContent, type Estate } from './estate.ts';
import {
  isPreviewKey,
  parseValueKey,
  previewedKey,
  previewKey,
  type ValueFolder,
  type ValuePlace,
} from './keys.ts';
import { RowReader } from './row-reader.ts';
import { ROW_FORMS } from './rows.ts';

/** What a host says of a change. Texts are for people. */
export interface HostImpact {
  /** Connections that would live on, those that would be cut, and those that live on and could not be opened again. */
  readonly kept: number;
  readonly cut: number;
  readonly refusedAnew: number;
  /** The rules that had admitted the cut ones, each with how many. */
  readonly cutBy: readonly string[];
  /** The first of them. */
  readonly cutConnections: readonly string[];
  readonly refusedConnections: readonly string[];
  /** How many rules would admit something anew, and the first of them. */
  readonly admits: number;
  readonly admitted: readonly string[];
}

export type PreviewAnswer =
  { readonly impact: HostImpact } | { readonly impact: undefined; readonly why: string };

/** Of these the rules of a host are made. */
const JUDGED: readonly ValueFolder[] = ['groups', 'prefix-lists', 'interfaces'];
/** Rows that one commit removes at most. */
const ROWS_MAX = 100;

/** The question what an edit would do; undefined: nothing that is there changes for any host. */
export function previewText(edit: Edit): string | undefined {
  const commit = edit.commit();
  const puts = commit.puts.filter(({ key }) => isContent(key));
  const deletes = commit.deletes.filter(isContent);
  const isJudged = [...puts.map(({ key }) => key), ...deletes].some(
    (key) => JUDGED.includes(parseValueKey(key)!.folder) && edit.estate.revisionOf(key) > 0,
  );
  return isJudged ? JSON.stringify({ puts, deletes }) : undefined;
}

/** The edit that a question is about. @throws RowError if it can't be read */
export function readPreview(estate: Estate, id: string): Edit {
  const key = previewKey(id);
  const row = RowReader.parse(key, estate.textOf(key) ?? '');
  const edit = new Edit(estate);
  for (const put of row.objects('puts')) {
    const name = put.text('key');
    const place = placeOf(put, name);
    const value = ROW_FORMS[place.folder].decode(
      place.id,
      RowReader.parse(name, put.text('value')),
    );
    edit.write(place.folder, place.id, value);
  }
  for (const name of row.texts('deletes')) {
    const place = placeOf(row, name);
    edit.erase(place.folder, place.id);
  }
  return edit;
}

function placeOf(row: RowReader, key: string): ValuePlace {
  return (isContent(key) ? parseValueKey(key) : undefined) ?? row.fail('key', 'of a value');
}

/** What writes the answer of a host, unless nobody waits for it any more. */
export function answerCommit(
  estate: Estate,
  id: string,
  host: string,
  { impact, ...rest }: PreviewAnswer,
): Commit {
  const key = previewKey(id);
  return {
    conditions: [{ key, revision: estate.revisionOf(key) }],
    puts: [{ key: previewedKey(id, host), value: JSON.stringify({ ...rest, ...impact }) }],
    deletes: [],
  };
}

/** What a host has answered; undefined: nothing yet. @throws RowError if it can't be read */
export function readAnswer(estate: Estate, id: string, host: string): PreviewAnswer | undefined {
  const key = previewedKey(id, host);
  const text = estate.textOf(key);
  if (text === undefined) return undefined;
  const row = RowReader.parse(key, text);
  if (row.has('why')) return { impact: undefined, why: row.text('why') };
  return {
    impact: {
      kept: row.integer('kept'),
      cut: row.integer('cut'),
      refusedAnew: row.integer('refusedAnew'),
      cutBy: row.texts('cutBy'),
      cutConnections: row.texts('cutConnections'),
      refusedConnections: row.texts('refusedConnections'),
      admits: row.integer('admits'),
      admitted: row.texts('admitted'),
    },
  };
}

/** Removes a question, then the answers of these hosts. */
export async function removePreview(
  client: EstateClient,
  id: string,
  hosts: readonly string[],
): Promise<void> {
  await removeRows(client, [previewKey(id)]);
  await removeRows(
    client,
    hosts.map((host) => previewedKey(id, host)),
  );
}

/**
 * Removes what there is now of questions and answers, once nobody can wait for it any more: another server may have
 * asked a moment ago. What is left then is of one who was killed.
 * @param over resolves when whoever asked has ceased to wait
 */
export async function removeOldPreviews(
  client: EstateClient,
  over: Promise<unknown>,
): Promise<void> {
  const { estate } = client;
  const found = (): readonly string[] => estate.keys().filter(isPreviewKey);
  const ids = new Set(found().map(idOf));
  await over;
  await removeRows(client, [...ids].map(previewKey));
  await removeRows(
    client,
    found().filter((key) => ids.has(idOf(key))),
  );
}

function idOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

async function removeRows(client: EstateClient, keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += ROWS_MAX)
    await client.change((edit) => {
      for (const key of keys.slice(at, at + ROWS_MAX)) edit.remove(key);
      return { ok: true, value: undefined };
    });
}

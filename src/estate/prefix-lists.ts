/**
 * Calls on managed prefix lists: create, modify, restore, delete.
 *
 * A list keeps the entries of its former versions, so that one can be restored; the oldest ones go where there are more
 * than FORMER_MAX. AWS says no number.
 */
import { isId } from '../policy/ids.ts';
import type { PrefixListId } from '../policy/model.ts';
import { malformedIdText, unknownPrefixListText } from '../policy/permissions.ts';
import {
  checkPrefixListDelete,
  createPrefixList,
  modifyPrefixList,
  restorePrefixList,
  type ManagedPrefixList,
  type NewPrefixList,
  type PrefixListChange,
} from '../policy/prefix-lists.ts';
import { collect, unlessRefused, type Checked } from '../policy/refusals.ts';
import type { Tag } from '../policy/tags.ts';
import { checkNotDeclared, newTags, refused, unlessDeclared, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import type { EstatePrefixList, ListChange } from './model.ts';
import { estateOrigin } from './rows.ts';

const FORMER_MAX = 20;

export function createEstatePrefixList(
  edit: Edit,
  given: Omit<NewPrefixList, 'id' | 'origin'> & { readonly tags: readonly Tag[] },
  context: CallContext,
): Checked<EstatePrefixList> {
  const id = context.newId('pl');
  const { prefixListEntries } = context.quotas;
  const list = createPrefixList({ ...given, id, origin: estateOrigin(id) }, prefixListEntries);
  const tags = newTags(given.tags);
  if (!list.ok) return list;
  if (!tags.ok) return tags;
  const value: EstatePrefixList = {
    list: list.value,
    lastChange: 'create',
    former: new Map(),
    tags: tags.value,
  };
  edit.write('prefix-lists', id, value);
  return { ok: true, value };
}

export function modifyEstatePrefixList(
  edit: Edit,
  id: PrefixListId,
  change: PrefixListChange,
  { quotas }: CallContext,
): Checked<EstatePrefixList> {
  return changeList(edit, id, 'modify', ({ list }) => {
    if (change.maxEntries !== undefined) {
      // A larger list must fit into the groups that name it: none may come meanwhile, and none of them may grow.
      edit.use(id);
      for (const { group } of edit.groupsThatName(id)) edit.read('groups', group.id);
    }
    return modifyPrefixList(list, change, {
      prefixListEntries: quotas.prefixListEntries,
      rulesPerGroup: quotas.rulesPerGroup,
      users: edit.groupsThatName(id).map(({ group }) => group),
      prefixLists: { get: (other) => edit.peek('prefix-lists', other)?.list },
    });
  });
}

/** Gives a list the entries of a former version, as a new version. */
export function restoreVersion(
  edit: Edit,
  id: PrefixListId,
  version: number,
  currentVersion: number | undefined,
): Checked<EstatePrefixList> {
  return changeList(edit, id, 'restore', ({ list, former }) =>
    restorePrefixList(list, version, former.get(version), currentVersion),
  );
}

export function deletePrefixList(edit: Edit, id: PrefixListId): Checked<EstatePrefixList> {
  const found = findPrefixList(edit, id);
  if (!found.ok) return found;
  edit.requireUnused(id);
  const users = edit.groupsThatName(id).map(({ group }) => group.id);
  const refusals = [
    ...checkNotDeclared(id, found.value),
    ...collect(checkPrefixListDelete({ id }, users)),
  ];
  if (refusals.length === 0) edit.erase('prefix-lists', id);
  return unlessRefused(found.value, refusals);
}

/** A list that is there. @returns AWS's refusal otherwise */
export function findPrefixList(edit: Edit, id: PrefixListId): Checked<EstatePrefixList> {
  const found = edit.read('prefix-lists', id);
  if (found !== undefined) return { ok: true, value: found };
  return isId('pl', id)
    ? refused('InvalidPrefixListID.NotFound', unknownPrefixListText(id))
    : refused('InvalidPrefixListId.Malformed', malformedIdText('pl', id));
}

function changeList(
  edit: Edit,
  id: PrefixListId,
  lastChange: ListChange,
  work: (before: EstatePrefixList) => Checked<ManagedPrefixList>,
): Checked<EstatePrefixList> {
  const found = unlessDeclared(id, findPrefixList(edit, id));
  if (!found.ok) return found;
  const done = work(found.value);
  if (!done.ok) return done;
  const before = found.value.list;
  const kept = [...found.value.former];
  if (done.value.version !== before.version) kept.push([before.version, before.entries]);
  const former = new Map(kept.slice(-FORMER_MAX));
  const value = { ...found.value, list: done.value, lastChange, former };
  edit.write('prefix-lists', id, value);
  return { ok: true, value };
}

/** CreateTags and DeleteTags, on everything that has tags. */
import { AUDIT_TAG } from '../policy/audit-tags.ts';
import type { Checked } from '../policy/refusals.ts';
import { addTags, removeTags, type Tag } from '../policy/tags.ts';
import { attachmentFromTags, TAG_PREFIX } from './attachments.ts';
import { checkNotDeclared, refused, unlessDeclared, unlessMalformed } from './calls.ts';
import type { Edit } from './edit.ts';
import { findGroup } from './groups.ts';
import { changeInterface } from './interfaces.ts';
import type { DeclaredAt, EstateInterface, Tags } from './model.ts';
import { checkOneOwner } from './one-owner.ts';
import { findPrefixList } from './prefix-lists.ts';
import { findSubnet } from './subnets.ts';
import { findVpc } from './vpcs.ts';

type Change = (tags: Tags) => Checked<Tags>;

export function createTags(
  edit: Edit,
  ids: readonly string[],
  added: readonly Tag[],
): Checked<undefined> {
  return changeAll(edit, ids, (tags) => unlessMalformed(added, addTags(tags, added)));
}

/** @param removed keys, with a value if only a tag of that value is meant; none: all tags */
export function deleteTags(
  edit: Edit,
  ids: readonly string[],
  removed: readonly { readonly key: string; readonly value?: string | undefined }[],
): Checked<undefined> {
  return changeAll(edit, ids, (tags) => removeTags(tags, removed.length > 0 ? removed : tags));
}

function changeAll(edit: Edit, ids: readonly string[], change: Change): Checked<undefined> {
  for (const id of ids) {
    const done = changeTags(edit, id, change);
    if (!done.ok) return done;
  }
  return { ok: true, value: undefined };
}

function changeTags(edit: Edit, id: string, change: Change): Checked<unknown> {
  switch (id.slice(0, id.indexOf('-'))) {
    case 'vpc':
      return rewrite(findVpc(edit, id), id, change, (value) => edit.write('vpcs', id, value));
    case 'subnet':
      return rewrite(findSubnet(edit, id), id, change, (value) => edit.write('subnets', id, value));
    case 'sg':
      return rewrite(findGroup(edit, id), id, change, (value) => edit.write('groups', id, value));
    case 'pl':
      return rewrite(findPrefixList(edit, id), id, change, (value) =>
        edit.write('prefix-lists', id, value),
      );
    case 'sgr':
      return changeRuleTags(edit, id, change);
    case 'eni':
      return changeInterface(edit, id, (before) => retag(edit, before, change));
    default:
      return refused('InvalidID', `The ID '${id}' is not valid`);
  }
}

function rewrite<T extends { readonly tags: Tags; readonly declaredAt?: DeclaredAt }>(
  there: Checked<T>,
  id: string,
  change: Change,
  write: (value: T) => void,
): Checked<unknown> {
  const found = unlessDeclared(id, there);
  if (!found.ok) return found;
  const tags = change(found.value.tags);
  if (tags.ok) write({ ...found.value, tags: tags.value });
  return tags;
}

function changeRuleTags(edit: Edit, id: string, change: Change): Checked<unknown> {
  const groupId = edit.estate.groupOfRule(id)?.group.id;
  const group = groupId === undefined ? undefined : edit.read('groups', groupId);
  if (group === undefined) {
    const message = `The security group rule ID '${id}' does not exist`;
    return refused('InvalidSecurityGroupRuleId.NotFound', message);
  }
  const refusals = checkNotDeclared(id, group);
  if (refusals.length > 0) return { ok: false, refusals };
  const tags = change(group.ruleTags.get(id) ?? []);
  if (!tags.ok) return tags;
  const ruleTags = new Map([...group.ruleTags, [id, tags.value]]);
  edit.write('groups', group.group.id, { ...group, ruleTags });
  return tags;
}

/** An interface that its tags attach follows them; one that a call attached stays where it is. */
function retag(edit: Edit, before: EstateInterface, change: Change): Checked<EstateInterface> {
  const tags = change(before.tags);
  if (!tags.ok) return tags;
  const value = { ...before, tags: tags.value };
  if (before.attachment?.isByTags === false || placeTags(before.tags) === placeTags(tags.value))
    return { ok: true, value };
  const attachment = attachmentFromTags(edit, before.id, tags.value);
  if (!attachment.ok) return attachment;
  const refusals = checkOneOwner(edit, before, attachment.value);
  if (refusals.length > 0) return { ok: false, refusals };
  return { ok: true, value: { ...value, attachment: attachment.value } };
}

function placeTags(tags: Tags): string {
  return JSON.stringify(tags.filter(({ key }) => key.startsWith(TAG_PREFIX) && key !== AUDIT_TAG));
}

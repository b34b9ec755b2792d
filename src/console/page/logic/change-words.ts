/** This file says in words what a change changed, and finds changes by words. */
import type { ChangedGroup, ConsoleChange } from '../../contract.ts';
import { formatNumberOf } from './format.ts';
import { matchesWords } from './search-words.ts';

/** `web: 2 rules added, 1 removed; 3 interfaces`. */
export function whatOf({ groups, others }: ConsoleChange): string {
  const parts = [
    ...groups.map((group) => `${group.name}: ${whatOfGroup(group)}`),
    ...others.map(otherText),
  ];
  return parts.length === 0 ? 'nothing that hosts enforce' : parts.join('; ');
}

/** `3 interfaces`, `1 prefix list`. */
export function otherText({ kind, count }: ConsoleChange['others'][number]): string {
  const many = kind.replaceAll('-', ' ');
  const one = many.endsWith('ses') ? `${many.slice(0, -2)}is` : many.slice(0, -1);
  return formatNumberOf(count, one, many);
}

export function whatOfGroup({ what, addedCount, removedCount }: ChangedGroup): string {
  const rules = [
    ...(addedCount > 0 ? [`${formatNumberOf(addedCount, 'rule')} added`] : []),
    ...(removedCount > 0 ? [`${formatNumberOf(removedCount, 'rule')} removed`] : []),
  ].join(', ');
  if (what === 'changed') return rules === '' ? 'changed' : rules;
  return rules === '' ? what : `${what}, ${rules}`;
}

/** The changes in which all words are somewhere: who, by what, groups, rules, revision. */
export function findChanges(
  changes: readonly ConsoleChange[],
  words: readonly string[],
): readonly ConsoleChange[] {
  if (words.length === 0) return changes;
  return changes.filter((change) => matchesWords(words, textsOf(change)));
}

function textsOf(change: ConsoleChange): string[] {
  const { revision, who, actions, by, groups } = change;
  return [
    ...[String(revision), who.name, who.accessKeyId, who.arn, by, whatOf(change)],
    ...actions,
    ...groups.flatMap(({ id, added, removed }) => [id, ...added, ...removed]),
  ];
}

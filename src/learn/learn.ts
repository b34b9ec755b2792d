/** From conversations to a proposal: whose interfaces they are, what is set apart, which groups the rest needs. */
import type { Cidr } from '../addr/address.ts';
import type { Conversation } from './conversation.ts';
import { addTo, type Beyond, type Conversations } from './conversations.ts';
import {
  OWNERS_MAX,
  Owners,
  ownersInBlocks,
  ownersOfLog,
  PRIVATE_BLOCKS,
  type Owner,
} from './owners.ts';
import { setApart, type Sorted, type Thresholds } from './set-apart.ts';

/** How it is known whose addresses are whose. */
export type OwnersBasis = 'given' | 'flow-log' | 'blocks' | 'private';

export interface SortOptions {
  readonly thresholds: Thresholds;
  /** Interfaces that are known; undefined: they are found. */
  readonly given?: readonly Owner[];
  /** Addresses that are interfaces, where none are known. */
  readonly blocks?: readonly Cidr[];
}

export interface Learnt extends Sorted {
  readonly owners: Owners;
  readonly basis: OwnersBasis;
  /** Conversations between others. */
  readonly unrelated: Readonly<Beyond> & { readonly conversations: number };
  /** Interfaces that no rule is proposed for. */
  readonly idle: readonly Owner[];
}

/** @returns a sentence without a full stop if there are too many interfaces */
export function sortConversations(
  conversations: Conversations,
  { thresholds, given, blocks }: SortOptions,
): Learnt | string {
  const { all } = conversations;
  const [found, basis] = findOwners(all, given, blocks);
  if (found.length > OWNERS_MAX)
    return `${found.length} addresses are taken for interfaces, and at most ${OWNERS_MAX} can be proposed for: say which are with --config or --own`;
  const owners = new Owners(found);
  const unrelated = { flows: 0, packets: 0, bytes: 0, conversations: 0 };
  const seen: Conversation[] = [];
  for (const conversation of all) {
    const [opener, target] = [owners.of(conversation.opener), owners.of(conversation.target)];
    if (opener !== target) seen.push(conversation);
    else {
      addTo(unrelated, conversation);
      unrelated.conversations++;
    }
  }
  const sorted = setApart(seen, conversations, owners, thresholds);
  const busy = new Set<number>();
  for (const { opener, target } of sorted.kept) busy.add(owners.of(opener)).add(owners.of(target));
  const idle = found.filter((_, i) => !busy.has(i));
  return { ...sorted, owners, basis, unrelated, idle };
}

function findOwners(
  all: readonly Conversation[],
  given: readonly Owner[] | undefined,
  blocks: readonly Cidr[] | undefined,
): readonly [readonly Owner[], OwnersBasis] {
  if (given !== undefined) return [given, 'given'];
  if (blocks !== undefined) return [ownersInBlocks(all, blocks), 'blocks'];
  const logged = ownersOfLog(all);
  return logged.length > 0
    ? [logged, 'flow-log']
    : [ownersInBlocks(all, PRIVATE_BLOCKS), 'private'];
}

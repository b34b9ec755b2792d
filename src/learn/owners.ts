/**
 * Says which addresses are those of interfaces that groups are proposed for.
 *
 * A configuration or a daemon knows. Else a flow log names the interface of each record, and often which end of it is
 * the interface's own; where it does not, the own addresses are those that all records of the interface have in
 * common: the fewest that cover them. Else whoever asks names blocks, or private addresses are taken for interfaces.
 */
import {
  cidrContains,
  formatAddress,
  parseCidr,
  type Address,
  type Cidr,
} from '../addr/address.ts';
import { isId, stableId } from '../policy/ids.ts';
import type { InterfaceId, VpcRef } from '../policy/model.ts';
import { addressKey, addressText, type Conversation, type Words } from './conversation.ts';

/** More are not proposed for at once: the packet path has no more ports (policy/compiled.ts). */
export const OWNERS_MAX = 8000;
const NAME_CHARS_MAX = 60;

/** Blocks that no interface of the Internet has. Sources: RFC 1918, RFC 6598, RFC 4193. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'];
export const PRIVATE_BLOCKS: readonly Cidr[] = PRIVATE.map((text) => {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
});

/** An interface that groups are proposed for. */
export interface Owner {
  readonly id: InterfaceId;
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly vpc?: VpcRef;
}

export class Owners {
  readonly all: readonly Owner[];
  private readonly byAddress = new Map<string, number>();

  constructor(all: readonly Owner[]) {
    this.all = all;
    all.forEach(({ addresses }, i) => {
      for (const { words } of addresses) {
        const key = addressKey(words);
        if (!this.byAddress.has(key)) this.byAddress.set(key, i);
      }
    });
  }

  /** The number of the interface that has the address, or -1. */
  of(words: Words): number {
    return this.byAddress.get(addressKey(words)) ?? -1;
  }
}

export function isIn(blocks: readonly Cidr[], words: Words): boolean {
  const address: Address = { family: words.length === 1 ? 4 : 6, words };
  return blocks.some((block) => cidrContains(block, address));
}

/** The interfaces whose addresses are in the blocks: one for each address that was seen. */
export function ownersInBlocks(
  conversations: readonly Conversation[],
  blocks: readonly Cidr[],
): readonly Owner[] {
  const found = new Map<string, Words>();
  for (const { opener, target } of conversations)
    for (const words of [opener, target]) {
      const key = addressKey(words);
      if (!found.has(key) && isIn(blocks, words)) found.set(key, words);
    }
  return [...found.values()].sort(compareWords).map((words) => {
    const text = addressText(words);
    const name = `ip-${text.replace(/[^0-9a-f]+/g, '-').replace(/^-|-$/g, '')}`;
    return { id: stableId('eni', 'learnt', text), name, addresses: [addressOf(words)] };
  });
}

/** The interfaces that a flow log names; empty if it names none. */
export function ownersOfLog(conversations: readonly Conversation[]): readonly Owner[] {
  const seen = new Map<string, Conversation[]>();
  const own = new Map<string, Map<string, Words>>();
  const taken = new Map<string, string>();
  const take = (interfaceId: string, words: Words): void => {
    const key = addressKey(words);
    if (taken.has(key)) return;
    taken.set(key, interfaceId);
    const addresses = own.get(interfaceId) ?? new Map<string, Words>();
    own.set(interfaceId, addresses.set(key, words));
  };
  for (const conversation of conversations)
    for (const { interfaceId, isOpener } of conversation.places) {
      if (isOpener !== undefined)
        take(interfaceId, isOpener ? conversation.opener : conversation.target);
      const list = seen.get(interfaceId);
      if (list === undefined) seen.set(interfaceId, [conversation]);
      else list.push(conversation);
    }
  // Those with much to go by first: what they have no other has.
  const order = [...seen].sort(
    ([a, one], [b, other]) => other.length - one.length || (a < b ? -1 : 1),
  );
  for (const [interfaceId, list] of order)
    coverAll(list, interfaceId, taken, (words) => take(interfaceId, words));
  const ids = [...own.keys()].sort();
  return ids.map((interfaceId) => ({
    id: isId('eni', interfaceId) ? interfaceId : stableId('eni', 'learnt', interfaceId),
    name: nameOf(interfaceId),
    addresses: [...own.get(interfaceId)!.values()].sort(compareWords).map(addressOf),
  }));
}

/** Takes addresses, the one that most conversations have first, until each conversation has one that is taken. */
function coverAll(
  conversations: readonly Conversation[],
  interfaceId: string,
  taken: ReadonlyMap<string, string>,
  take: (words: Words) => void,
): void {
  const isOwn = (words: Words): boolean => taken.get(addressKey(words)) === interfaceId;
  let open = conversations;
  for (;;) {
    open = open.filter(({ opener, target }) => !isOwn(opener) && !isOwn(target));
    const counts = new Map<string, { readonly words: Words; count: number; asTarget: number }>();
    for (const { opener, target } of open)
      for (const words of [opener, target]) {
        const key = addressKey(words);
        if (taken.has(key)) continue;
        const known = counts.get(key) ?? { words, count: 0, asTarget: 0 };
        known.count++;
        if (words === target) known.asTarget++;
        counts.set(key, known);
      }
    const best = [...counts.values()].sort(
      (a, b) =>
        b.count - a.count ||
        Number(isIn(PRIVATE_BLOCKS, b.words)) - Number(isIn(PRIVATE_BLOCKS, a.words)) ||
        b.asTarget - a.asTarget ||
        compareWords(a.words, b.words),
    )[0];
    // What is left is of two others: the interface stood between them.
    if (best === undefined) return;
    take(best.words);
  }
}

/** IPv4 first, then by number. */
export function compareWords(a: Words, b: Words): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return (a[i] >>> 0) - (b[i] >>> 0);
  return 0;
}

function addressOf(words: Words): Address {
  return { family: words.length === 1 ? 4 : 6, words };
}

/** A stranger's text, as a name of ours may be. */
function nameOf(interfaceId: string): string {
  const plain = interfaceId.replace(/[^A-Za-z0-9_.-]+/g, '-').slice(0, NAME_CHARS_MAX);
  return plain === '' ? 'interface' : plain;
}

/** `web (10.0.0.11)` where the name does not say it, for telling. */
export function ownerText({ name, addresses }: Owner): string {
  return name.startsWith('ip-') ? formatAddress(addresses[0]) : name;
}

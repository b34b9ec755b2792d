/** The parts of the world that rules distinguish: ranges of addresses, each wholly in or out of every block. */
import {
  addressBits,
  bytesOf,
  formatAddress,
  addressOf,
  type Cidr,
  type Family,
} from '../addr/address.ts';
import type { Tri } from '../policy/doubt.ts';
import type { Peer, PolicyModel } from '../policy/model.ts';
import { subnetBlocks } from '../policy/subnets.ts';

export interface Region {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** Blocks of a label; more are counted. */
const BLOCKS_SHOWN = 4;

/** All parts of a family, in order. */
export function regionsOf(models: readonly PolicyModel[], family: Family): readonly Region[] {
  const end = 1n << BigInt(addressBits(family));
  const cuts = new Set([0n, end]);
  for (const model of models) {
    for (const cidr of blocksOf(model)) {
      if (cidr.family !== family) continue;
      const [first, last] = rangeOf(cidr);
      cuts.add(first).add(last + 1n);
    }
  }
  const sorted = [...cuts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return sorted.slice(0, -1).map((first, i) => ({ family, first, last: sorted[i + 1] - 1n }));
}

/** The blocks that rules name, by themselves or in lists, and those that subnets ask for. */
function* blocksOf({ groups, prefixLists, interfaces }: PolicyModel): Generator<Cidr> {
  for (const { ingress, egress, audited = [], possible = [] } of groups.values())
    for (const { peer } of [...ingress, ...egress, ...audited, ...possible])
      if (peer.kind === 'cidr') yield peer.cidr;
  for (const { entries } of prefixLists.values()) for (const { cidr } of entries) yield cidr;
  yield* subnetBlocks(interfaces.values());
}

/** Whether a peer includes a part of the world, where nobody is a member of a group. */
export function regionIncludes(peer: Peer, region: Region, model: PolicyModel): Tri {
  switch (peer.kind) {
    case 'cidr':
      return covers(peer.cidr, region) ? 'yes' : 'no';
    case 'group':
    case 'dns':
      return 'no';
    case 'prefixList': {
      const list = model.prefixLists.get(peer.prefixListId);
      if (list?.entries.some(({ cidr }) => covers(cidr, region)) === true) return 'yes';
      if (list === undefined) return { why: 'nothing is known of it' };
      const [gap] = list.gaps ?? [];
      return gap === undefined ? 'no' : { why: gap };
    }
    default:
      return peer satisfies never;
  }
}

function covers(cidr: Cidr, { family, first, last }: Region): boolean {
  if (cidr.family !== family) return false;
  const [from, to] = rangeOf(cidr);
  return from <= first && last <= to;
}

function rangeOf(cidr: Cidr): readonly [bigint, bigint] {
  const first = bytesOf(cidr).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return [first, first + (1n << BigInt(addressBits(cidr.family) - cidr.length)) - 1n];
}

/** Joins parts that touch, each family by itself. */
export function joinRegions(regions: readonly Region[]): readonly Region[] {
  const joined: Region[] = [];
  for (const region of [...regions].sort(
    (a, b) => a.family - b.family || (a.first < b.first ? -1 : 1),
  )) {
    const before = joined.at(-1);
    if (before?.family === region.family && before.last + 1n === region.first)
      joined[joined.length - 1] = { ...before, last: region.last };
    else joined.push(region);
  }
  return joined;
}

/** A part as the blocks that it is made of: `0.0.0.0/1`, `10.0.0.0/8`; of many the range. */
export function regionLabel({ family, first, last }: Region): string {
  const bits = BigInt(addressBits(family));
  const blocks: string[] = [];
  for (let at = first; at <= last && blocks.length <= BLOCKS_SHOWN;) {
    let length = bits;
    // The largest block that begins here and ends in the part.
    while (length > 0n) {
      const size = 1n << (bits - length + 1n);
      if (at % size !== 0n || at + size - 1n > last) break;
      length--;
    }
    blocks.push(`${text(family, at)}/${length}`);
    at += 1n << (bits - length);
  }
  return blocks.length <= BLOCKS_SHOWN
    ? blocks.join(' ')
    : `${text(family, first)}-${text(family, last)}`;
}

function text(family: Family, address: bigint): string {
  const bytes = Uint8Array.from({ length: addressBits(family) / 8 }, (_, i) =>
    Number((address >> BigInt(addressBits(family) - 8 * (i + 1))) & 0xffn),
  );
  return formatAddress(addressOf(bytes));
}

/**
 * This file resolves a CIDR block as an end of a question. It stands for each interface with an address in it, and
 * for one outside address of each part that rules, prefix lists and interfaces distinguish. A verdict about such an
 * address holds for its whole part.
 */
import {
  addressBits,
  parseCidr,
  refuse,
  type Address,
  type Cidr,
  type Parsed,
} from '../addr/address.ts';
import type { PolicyModel } from '../policy/model.ts';

/** Nobody reads an answer with more parts than this. */
const PARTS_MAX = 64;
const WORD = 32n;

/** No host has an address in these blocks (RFC 6890, RFC 4291). They are left out of larger blocks. */
const NO_HOSTS: readonly Cidr[] = [
  ...['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3'],
  // All but global unicast (2000::/3) and unique local addresses (fc00::/7).
  ...['::/3', '4000::/2', '8000::/2', 'c000::/3', 'e000::/4', 'f000::/5', 'f800::/6', 'fe00::/7'],
].map((text) => {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
});

/** Finds the first address of each part, in their order. */
export function partsOfBlock(block: Cidr, text: string, model: PolicyModel): Parsed<Address[]> {
  const [first, end] = rangeOf(block);
  const cuts = new Set([first]);
  const cutAt = (cidr: Cidr): void => {
    if (cidr.family !== block.family) return;
    for (const at of rangeOf(cidr)) if (at > first && at < end) cuts.add(at);
  };
  blocksIn(model).forEach(cutAt);
  NO_HOSTS.forEach(cutAt);
  const holes = NO_HOSTS.filter(({ family }) => family === block.family).map(rangeOf);
  const starts = [...cuts].sort((a, b) => (a < b ? -1 : 1));
  const possible = starts.filter((at) => !holes.some(([from, to]) => at >= from && at < to));
  // A block without any possible host may still be asked about.
  const kept = possible.length > 0 ? possible : [first];
  if (kept.length <= PARTS_MAX)
    return { ok: true, value: kept.map((at) => addressAt(at, block.family)) };
  return refuse(
    `rules and interfaces tell ${kept.length} parts of ${text} apart, and at most ${PARTS_MAX} are asked for`,
    'name a smaller block, a group or an address',
  );
}

/** Collects every block that a decision may depend on. */
function blocksIn({ groups, prefixLists, interfaces }: PolicyModel): Cidr[] {
  const rules = [...groups.values()].flatMap(({ ingress, egress }) => [...ingress, ...egress]);
  return [
    ...rules.flatMap(({ peer }) => (peer.kind === 'cidr' ? [peer.cidr] : [])),
    ...[...prefixLists.values()].flatMap(({ entries }) => entries.map(({ cidr }) => cidr)),
    ...[...interfaces.values()].flatMap(({ addresses }) =>
      addresses.map((one) => ({ ...one, length: addressBits(one.family) })),
    ),
  ];
}

/** The range of a block, [first address, last address + 1). */
function rangeOf({ family, words, length }: Cidr): [from: bigint, to: bigint] {
  const from = words.reduce((sum, word) => (sum << WORD) | BigInt(word >>> 0), 0n);
  return [from, from + (1n << BigInt(addressBits(family) - length))];
}

function addressAt(at: bigint, family: Address['family']): Address {
  const count = addressBits(family) / Number(WORD);
  const words = Array.from({ length: count }, (_, i) =>
    Number(BigInt.asIntN(Number(WORD), at >> (WORD * BigInt(count - 1 - i)))),
  );
  return { family, words };
}

/**
 * Gives addresses to interfaces whose addresses the input does not know, so that questions can name them and a lab can
 * have them. They are made up: a verdict that depends on one is not decidable, which is why the blocks go along that
 * the true address must be in.
 */
import {
  addressBits,
  cidrContains,
  formatAddress,
  formatCidr,
  type Address,
  type Cidr,
  type Family,
} from '../addr/address.ts';
import type { InterfaceId } from '../policy/model.ts';
import { problemAt } from '../policy/problem-at.ts';
import { listWords } from '../source/suggest.ts';
import type { Problem } from '../source/problem.ts';
import {
  readAddresses,
  readBlocks,
  type DraftInterface,
  type DraftNetwork,
  type PlannedAddresses,
} from './draft-parts.ts';

/** What is there to have addresses, and the networks that it is in. */
export interface Places {
  readonly interfaces: ReadonlyMap<string, DraftInterface>;
  readonly subnets: ReadonlyMap<string, DraftNetwork>;
  readonly vpcs: ReadonlyMap<string, DraftNetwork>;
}

/** AWS keeps the first four addresses of a subnet, and the last. */
const FIRST_HOST = 4;
/** Where nothing is known of the network. Sources: RFC 1918, RFC 4193. */
const SOMEWHERE: Readonly<Record<Family, Cidr>> = {
  4: { family: 4, words: [0x0a000000], length: 8 },
  6: { family: 6, words: [0xfd000000 | 0, 0, 0, 0], length: 8 },
};
const ANYWHERE: Readonly<Record<Family, Cidr>> = {
  4: { family: 4, words: [0], length: 0 },
  6: { family: 6, words: [0, 0, 0, 0], length: 0 },
};

/**
 * @param asked addresses that a person gave, by the name of the interface
 * @returns the addresses of each interface that can have one
 */
export function planAddresses(
  draft: Places,
  asked: ReadonlyMap<string, string>,
  problems: Problem[],
): ReadonlyMap<InterfaceId, PlannedAddresses> {
  const interfaces = [...draft.interfaces.values()];
  const pool = new Pool();
  const planned = new Map<InterfaceId, PlannedAddresses>();
  refuseStrangers(interfaces, asked, problems);
  for (const one of interfaces) {
    const texts = asked.has(one.name) ? [asked.get(one.name)!] : one.addresses;
    const addresses = readAddresses(texts, one.origin, problems);
    for (const address of addresses) pool.take(address, one, problems);
    if (texts.length > 0) planned.set(one.id, { addresses });
  }
  for (const one of interfaces) {
    const known = planned.get(one.id)?.addresses ?? [];
    const lacks = familiesOf(one, known);
    if (lacks.length === 0) continue;
    const made = lacks.map((family) => makeUp(one, family, draft, pool, problems));
    if (made.includes(undefined)) continue;
    planned.set(one.id, {
      addresses: [...known, ...made.flatMap((each) => each?.addresses ?? [])],
      within: made.flatMap((each) => each?.within ?? []),
    });
  }
  return planned;
}

/** The families of which it has an address that is not known. */
function familiesOf({ lacksIpv6 }: DraftInterface, known: readonly Address[]): readonly Family[] {
  const lacks6 = lacksIpv6 === true && !known.some(({ family }) => family === 6);
  return [...(known.length === 0 ? [4 as const] : []), ...(lacks6 ? [6 as const] : [])];
}

function makeUp(
  one: DraftInterface,
  family: Family,
  draft: Places,
  pool: Pool,
  problems: Problem[],
): PlannedAddresses | undefined {
  const within = blocksOf(one, family, draft, problems);
  const address = within.map((block) => pool.next(block)).find((found) => found !== undefined);
  if (address === undefined) {
    const message = `there is no free address for ${one.name} in ${within.map(formatCidr).join(', ')}`;
    const hint = `give it one: --address '${one.name}=10.0.0.10'`;
    problems.push(problemAt(one.origin, 'error', 'no-address', message, hint));
    return undefined;
  }
  const isAnywhere = within[0] === SOMEWHERE[family];
  return { addresses: [address], within: isAnywhere ? [ANYWHERE[family]] : within };
}

function refuseStrangers(
  interfaces: readonly DraftInterface[],
  asked: ReadonlyMap<string, string>,
  problems: Problem[],
): void {
  const names = interfaces.map(({ name }) => name);
  for (const name of asked.keys()) {
    if (names.includes(name)) continue;
    const message = `there is no interface '${name}' to give an address to`;
    const hint = `interfaces: ${listWords(names)}`;
    problems.push({
      ...{ severity: 'error', code: 'unknown-interface', at: undefined, path: '' },
      ...{ message, hint },
    });
  }
}

/** The blocks that its address of a family is in: those of the subnet, else of the VPC, else any. */
function blocksOf(
  one: DraftInterface,
  family: Family,
  draft: Places,
  problems: Problem[],
): readonly Cidr[] {
  const subnet = draft.subnets.get(one.subnetId ?? '');
  const vpc = draft.vpcs.get(one.vpcId ?? subnet?.vpcId ?? '');
  for (const network of [subnet, vpc]) {
    const blocks = readBlocks(network?.blocks ?? [], one.origin, problems);
    const own = blocks.filter((block) => block.family === family);
    if (own.length > 0) return own;
  }
  return [SOMEWHERE[family]];
}

/** The addresses that are taken. */
class Pool {
  private readonly owners = new Map<string, string>();
  /** Where to look on in a block: looking from its start for each interface would be quadratic. */
  private readonly offsets = new Map<string, number>();

  take(address: Address, { name, origin }: DraftInterface, problems: Problem[]): void {
    const text = formatAddress(address);
    const owner = this.owners.get(text);
    if (owner === undefined) {
      this.owners.set(text, name);
      return;
    }
    const message = `${name} and ${owner} have the same address ${text}`;
    const hint =
      'one network can be judged at a time: take one VPC (`sgctl import aws --print-commands --vpc vpc-…`), or give one of the two another address with --address';
    problems.push(problemAt(origin, 'error', 'duplicate-address', message, hint));
  }

  /** A free address of the block; undefined if there is none. */
  next(block: Cidr): Address | undefined {
    const key = formatCidr(block);
    const { family, words } = block;
    const size = 2 ** (addressBits(family) - block.length);
    const last = words.length - 1;
    const first = size > 2 * FIRST_HOST ? FIRST_HOST : 0;
    for (let offset = this.offsets.get(key) ?? first; offset < size; offset++) {
      const address: Address = {
        family,
        words: [...words.slice(0, last), (words[last] + offset) | 0],
      };
      if (!cidrContains(block, address)) return undefined;
      const text = formatAddress(address);
      if (this.owners.has(text)) continue;
      this.owners.set(text, key);
      this.offsets.set(key, offset + 1);
      return address;
    }
    return undefined;
  }
}

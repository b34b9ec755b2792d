/** This file reads the sections `vpc` and `vpcs`: one VPC, or several by name, with their blocks and subnets. */
import { cidrCovers, formatCidr, type Address, type Cidr } from '../addr/address.ts';
import { isId, stableId } from '../policy/ids.ts';
import type { Origin, VpcId } from '../policy/model.ts';
import { ONLY_VPC_ID, ONLY_VPC_NAME } from '../policy/vpcs.ts';
import { get, type Entry, type Node } from '../source/yaml.ts';
import { readCidrs, type CidrAt } from './config-addresses.ts';
import { fail, originOf, readEntries, readText, report, type Reader } from './config-reader.ts';

/** Source: Amazon VPC User Guide, "VPC CIDR blocks". */
const VPC_LENGTHS = { 4: { min: 16, max: 28 }, 6: { min: 44, max: 60 } } as const;

/** '/' is excluded, since it separates the name of a VPC from that of a group. */
const VPC_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;

/** A block and where it was written. */
export interface Block {
  readonly cidr: Cidr;
  readonly origin: Origin;
}

export interface DeclaredVpc {
  readonly id: VpcId;
  /** Whether the configuration gives the id. A made-up id never matches that of a template. */
  readonly hasOwnId: boolean;
  /** Whether the configuration gives the name. */
  readonly isNamed: boolean;
  readonly name: string;
  readonly origin: Origin;
  readonly blocks: readonly Block[];
  /** The address of AWS's DNS: base + 2 of the primary block. */
  readonly dnsAddresses: readonly Address[];
  readonly subnets: readonly Cidr[];
}

/** The VPCs of the file. Without either section there is one, and it has no blocks to check addresses against. */
export function readVpcs(reader: Reader, file: string, root: Node): readonly DeclaredVpc[] {
  const only = get(root, 'vpc');
  const several = get(root, 'vpcs');
  const entries = readEntries(reader, several);
  if (only !== undefined && several !== undefined) {
    const hint = "write the blocks of 'vpc' into 'vpcs', under a name";
    fail(reader, several, 'two-forms', "both 'vpc' and 'vpcs' are given", hint);
  }
  if (entries.length === 0) {
    const origin = only === undefined ? { file, line: 0, column: 0, path: '' } : originOf(only);
    const names = { id: ONLY_VPC_ID, hasOwnId: false, name: ONLY_VPC_NAME, isNamed: false };
    return [{ ...names, origin, ...readNetworks(reader, only) }];
  }
  const vpcs = entries.map((entry) => readVpc(reader, entry));
  refuseSameIds(reader, entries, vpcs);
  return vpcs;
}

function readVpc(reader: Reader, entry: Entry): DeclaredVpc {
  const { key: name, keyAt, value: node } = entry;
  const place = { at: keyAt, path: node.path };
  if (!VPC_NAME.test(name)) {
    const hint = "use 1 to 64 letters, digits, '-', '_' and '.'";
    fail(reader, place, 'bad-name', `'${name}' can't be the name of a VPC`, hint);
  }
  const idNode = get(node, 'id');
  const given = readText(reader, idNode);
  const isGood = given !== undefined && isId('vpc', given);
  if (given !== undefined && !isGood) {
    const hint = 'an id is vpc- and 17 (or 8) lower-case hexadecimal digits';
    fail(reader, idNode!, 'bad-id', `Invalid id: "${given}" (expecting "vpc-...")`, hint);
  }
  const id = isGood ? given : stableId('vpc', 'vpcs', name);
  const names = { id, hasOwnId: isGood, name, isNamed: true };
  return { ...names, origin: originOf(place), ...readNetworks(reader, node) };
}

function refuseSameIds(
  reader: Reader,
  entries: readonly Entry[],
  vpcs: readonly DeclaredVpc[],
): void {
  for (const [i, { id }] of vpcs.entries()) {
    const first = vpcs.findIndex((vpc) => vpc.id === id);
    if (first === i) continue;
    const message = `the id ${id} is taken by the VPC '${vpcs[first].name}'`;
    fail(reader, get(entries[i].value, 'id')!, 'duplicate-id', message, 'give each VPC its own id');
  }
}

function readNetworks(
  reader: Reader,
  section: Node | undefined,
): Pick<DeclaredVpc, 'blocks' | 'dnsAddresses' | 'subnets'> {
  const blocks = readCidrs(reader, get(section, 'cidrBlocks'));
  const subnets = readCidrs(reader, get(section, 'subnets'));
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  for (const { cidr, node } of blocks) warnOfSize(reader, cidr, node);
  refuseOverlaps(reader, blocks, 'block');
  refuseOverlaps(reader, subnets, 'subnet');
  for (const { cidr, node } of subnets) {
    if (blocks.length > 0 && !blocks.some((block) => cidrCovers(block.cidr, cidr))) {
      fail(
        reader,
        node,
        'subnet-outside-vpc',
        `the subnet ${formatCidr(cidr)} is in no block of the VPC`,
        `blocks: ${blocks.map((block) => formatCidr(block.cidr)).join(', ')}`,
      );
    }
  }
  // AWS's DNS has an address in the primary block, which is the first IPv4 block.
  const primary = blocks.find(({ cidr }) => cidr.family === 4);
  return {
    blocks: blocks.map(({ cidr, node }) => ({ cidr, origin: originOf(node) })),
    dnsAddresses: primary === undefined ? [] : [dnsAddressOf(primary.cidr)],
    subnets: subnets.map(({ cidr }) => cidr),
  };
}

function warnOfSize(reader: Reader, cidr: Cidr, node: Node): void {
  const { min, max } = VPC_LENGTHS[cidr.family];
  if (cidr.length >= min && cidr.length <= max) return;
  const message = `${formatCidr(cidr)} is no size AWS gives a VPC`;
  const hint = `IPv${cidr.family} blocks of a VPC go from /${min} to /${max}`;
  report(reader, 'warning', node, 'vpc-size', message, hint);
}

function refuseOverlaps(reader: Reader, cidrs: readonly CidrAt[], what: string): void {
  for (const [i, { cidr, node }] of cidrs.entries()) {
    const other = cidrs.slice(0, i).find((earlier) => overlaps(earlier.cidr, cidr));
    if (other === undefined) continue;
    fail(
      reader,
      node,
      `${what}-overlap`,
      `the ${what} ${formatCidr(cidr)} overlaps the ${what} ${formatCidr(other.cidr)}`,
      'remove one of the two, or make them disjoint',
    );
  }
}

export function overlaps(one: Cidr, other: Cidr): boolean {
  return cidrCovers(one, other) || cidrCovers(other, one);
}

export function dnsAddressOf(cidr: Cidr): Address {
  return addOffset(cidr, 2);
}

export function routerOf(cidr: Cidr): Address {
  return addOffset(cidr, 1);
}

function addOffset(cidr: Cidr, offset: number): Address {
  return { family: 4, words: [(cidr.words[0] + offset) | 0] };
}

/** Addresses: of the VPC, and who has which. */
import {
  cidrContains,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  sameAddress,
  type Address,
  type Cidr,
  type Parsed,
} from '../../addr/address.ts';
import type { Networks } from '../../cloudformation/networks.ts';
import { get, type Node } from '../../source/yaml.ts';
import {
  fail,
  lineText,
  readItems,
  readText,
  report,
  take,
  type Place,
  type Reader,
} from './config-reader.ts';

/** Source: Amazon VPC User Guide, "VPC CIDR blocks". */
const VPC_LENGTHS = { 4: { min: 16, max: 28 }, 6: { min: 44, max: 60 } } as const;

export interface Vpc {
  readonly cidrBlocks: readonly Cidr[];
  /** Base + 2 of each VPC, where AWS has its DNS. */
  readonly dnsAddresses: readonly Address[];
  /** Base + 1 of each subnet, where AWS has its router. */
  readonly routerAddresses: readonly Address[];
}

interface CidrAt {
  readonly cidr: Cidr;
  readonly node: Node;
}

/** Reads `vpc`; without it there are no addresses of its own, and no bounds to check addresses against. */
export function readVpc(reader: Reader, section: Node | undefined): Vpc {
  const blocks = readCidrs(reader, get(section, 'cidrBlocks'));
  const subnets = readCidrs(reader, get(section, 'subnets'));
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  for (const { cidr, node } of blocks) {
    const { min, max } = VPC_LENGTHS[cidr.family];
    if (cidr.length < min || cidr.length > max) {
      report(
        reader,
        'warning',
        node,
        'vpc-size',
        `${formatCidr(cidr)} is no size AWS gives a VPC`,
        `IPv${cidr.family} blocks of a VPC go from /${min} to /${max}`,
      );
    }
  }
  refuseOverlaps(reader, blocks, 'block');
  refuseOverlaps(reader, subnets, 'subnet');
  for (const { cidr, node } of subnets) {
    if (blocks.length > 0 && !blocks.some((block) => covers(block.cidr, cidr))) {
      fail(
        reader,
        node,
        'subnet-outside-vpc',
        `the subnet ${formatCidr(cidr)} is in no block of the VPC`,
        `blocks: ${blocks.map((block) => formatCidr(block.cidr)).join(', ')}`,
      );
    }
  }
  // The DNS address is that of the primary block, the first IPv4 one.
  const primary = blocks.find(({ cidr }) => cidr.family === 4);
  return {
    cidrBlocks: blocks.map(({ cidr }) => cidr),
    dnsAddresses: primary === undefined ? [] : [addOffset(primary.cidr, 2)],
    routerAddresses: subnets.flatMap(({ cidr }) => (cidr.family === 4 ? [addOffset(cidr, 1)] : [])),
  };
}

/** `vpc` with the VPCs and subnets of templates: their DNS and router addresses are the platform's as well. */
export function addNetworks(vpc: Vpc, networks: readonly Networks[]): Vpc {
  const dnsAddresses = [...vpc.dnsAddresses];
  const routerAddresses = [...vpc.routerAddresses];
  const addTo = (list: Address[], address: Address): void => {
    if (!list.some((known) => sameAddress(known, address))) list.push(address);
  };
  for (const { vpcs, subnets } of networks) {
    for (const cidr of vpcs) addTo(dnsAddresses, addOffset(cidr, 2));
    for (const cidr of subnets) if (cidr.family === 4) addTo(routerAddresses, addOffset(cidr, 1));
  }
  const cidrBlocks = [...vpc.cidrBlocks, ...networks.flatMap(({ blocks }) => blocks)];
  return { cidrBlocks, dnsAddresses, routerAddresses };
}

/** A list of CIDR blocks without host bits. */
export function readCidrs(reader: Reader, list: Node | undefined): readonly CidrAt[] {
  return readItems(reader, list).flatMap((node) => {
    const text = readText(reader, node);
    const cidr =
      text === undefined ? undefined : take(reader, node, 'bad-cidr', parseCidr(text, 'refuse'));
    return cidr === undefined ? [] : [{ cidr, node }];
  });
}

/** `10.0.0.1/16`: an address and the length of its on-link prefix. */
export function parseAddressWithLength(
  text: string,
): Parsed<{ readonly address: Address; readonly length: number }> {
  const cidr = parseCidr(text, 'mask');
  if (!cidr.ok) {
    return text.includes('/')
      ? cidr
      : {
          ...cidr,
          hint: `write the on-link prefix as well, as ${text}/${text.includes(':') ? 64 : 24}`,
        };
  }
  const address = parseAddress(text.slice(0, text.indexOf('/')));
  return address.ok
    ? { ok: true, value: { address: address.value, length: cidr.value.length } }
    : address;
}

/** Which address belongs to what, so that none has two owners, and none is one that can't be a host's. */
export class AddressRegistry {
  readonly #owners = new Map<string, { readonly place: Place; readonly what: string }>();
  readonly #cidrBlocks: readonly Cidr[];
  readonly #reserved: readonly Address[];
  readonly #allowsClassE: boolean;

  /** @param reserved what no interface may have */
  constructor({ cidrBlocks }: Vpc, reserved: readonly Address[], allowsClassE: boolean) {
    this.#cidrBlocks = cidrBlocks;
    this.#reserved = reserved;
    this.#allowsClassE = allowsClassE;
  }

  /** Checks an address of the uplink itself. It may be the router's: it often plays that part. */
  addUplink(reader: Reader, address: Address, place: Place): void {
    if (this.#checkHost(reader, address, place)) this.#claim(reader, address, place, 'the uplink');
  }

  /** Checks a private address of an interface. */
  addPrivate(reader: Reader, address: Address, place: Place, what: string): void {
    if (!this.#checkHost(reader, address, place)) return;
    const text = formatAddress(address);
    if (this.#reserved.some((reserved) => sameAddress(reserved, address))) {
      // Where groups don't filter what goes there, everyone could reach an instance with this address.
      fail(
        reader,
        place,
        'reserved-address',
        `${text} is reserved for the platform`,
        'give the interface another address',
      );
      return;
    }
    const blocks = this.#cidrBlocks.filter(({ family }) => family === address.family);
    if (blocks.length > 0 && !blocks.some((block) => cidrContains(block, address))) {
      report(
        reader,
        'warning',
        place,
        'address-outside-vpc',
        `${text} is in no block of the VPC`,
        `IPv${address.family} blocks: ${blocks.map(formatCidr).join(', ')}`,
      );
    }
    this.#claim(reader, address, place, what);
  }

  #checkHost(reader: Reader, address: Address, place: Place): boolean {
    const kind = specialKind(address);
    if (kind === undefined || (kind === CLASS_E && this.#allowsClassE)) return true;
    fail(
      reader,
      place,
      'bad-address',
      `${formatAddress(address)} is ${kind}, not an address of a host`,
      kind === CLASS_E
        ? 'set `classE: true` to use this block as any other'
        : 'give a unicast address, as 10.0.0.11 or fd00:10::11',
    );
    return false;
  }

  #claim(reader: Reader, address: Address, place: Place, what: string): void {
    const text = formatAddress(address);
    const first = this.#owners.get(text);
    if (first === undefined) {
      this.#owners.set(text, { place, what });
      return;
    }
    fail(
      reader,
      place,
      'duplicate-address',
      `${text} belongs to ${first.what} on ${lineText(first.place.at, place.at)} already`,
      'give each interface its own addresses',
    );
  }
}

const CLASS_E = 'a reserved address (class E)';

/** The first that contains an address says what it is. */
const SPECIAL_BLOCKS: readonly (readonly [Cidr, string])[] = (
  [
    ['0.0.0.0/8', 'in "this network"'],
    ['127.0.0.0/8', 'a loopback address'],
    ['224.0.0.0/4', 'a multicast address'],
    ['255.255.255.255/32', 'the broadcast address'],
    ['240.0.0.0/4', CLASS_E],
    ['::/128', 'the unspecified address'],
    ['::1/128', 'the loopback address'],
    ['ff00::/8', 'a multicast address'],
  ] as const
).map(([text, kind]) => {
  const parsed = parseCidr(text, 'refuse');
  if (!parsed.ok) throw new Error(parsed.message);
  return [parsed.value, kind] as const;
});

function specialKind(address: Address): string | undefined {
  return SPECIAL_BLOCKS.find(([block]) => cidrContains(block, address))?.[1];
}

function refuseOverlaps(reader: Reader, cidrs: readonly CidrAt[], what: string): void {
  for (const [i, { cidr, node }] of cidrs.entries()) {
    const other = cidrs
      .slice(0, i)
      .find((earlier) => covers(earlier.cidr, cidr) || covers(cidr, earlier.cidr));
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

function covers(outer: Cidr, inner: Cidr): boolean {
  return outer.length <= inner.length && cidrContains(outer, inner);
}

function addOffset(cidr: Cidr, offset: number): Address {
  return { family: 4, words: [(cidr.words[0] + offset) | 0] };
}

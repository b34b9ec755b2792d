/** This file reads addresses and records which interface owns each. */
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
} from '../addr/address.ts';
import type { VpcRef } from '../policy/model.ts';
import type { Node } from '../source/yaml.ts';
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

export interface CidrAt {
  readonly cidr: Cidr;
  readonly node: Node;
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

/** The blocks that an interface's addresses should be in, and their VPC where there are several. */
export interface VpcBlocks {
  readonly cidrBlocks: readonly Cidr[];
  readonly ref: VpcRef | undefined;
}

/**
 * Records the owner of each address. No address may have two owners, and an address must be one that a host can have.
 */
export class AddressRegistry {
  readonly #owners = new Map<string, { readonly place: Place; readonly what: string }>();
  readonly #reserved: readonly Address[];
  readonly #allowsClassE: boolean;

  /** @param reserved addresses that no interface may have */
  constructor(reserved: readonly Address[], allowsClassE: boolean) {
    this.#reserved = reserved;
    this.#allowsClassE = allowsClassE;
  }

  /** Checks an address of the uplink itself. It may be the router's address: the uplink often is the router. */
  addUplink(reader: Reader, address: Address, place: Place): void {
    if (this.#checkHost(reader, address, place)) this.#claim(reader, address, place, 'the uplink');
  }

  /** Notes an address of a service of the platform that is behind a port of its own. */
  addPlatform(reader: Reader, address: Address, place: Place): void {
    this.#claim(reader, address, place, 'the platform');
  }

  /** Checks a private address of an interface in a VPC. */
  addPrivate(
    reader: Reader,
    address: Address,
    place: Place,
    what: string,
    { cidrBlocks, ref }: VpcBlocks,
  ): void {
    if (!this.#checkHost(reader, address, place)) return;
    const text = formatAddress(address);
    if (this.#reserved.some((reserved) => sameAddress(reserved, address))) {
      // Traffic to a service's address may be exempt from groups, so everyone could reach an instance that had it.
      fail(
        reader,
        place,
        'reserved-address',
        `${text} is reserved for the platform`,
        'give the interface another address',
      );
      return;
    }
    const blocks = cidrBlocks.filter(({ family }) => family === address.family);
    if (blocks.length > 0 && !blocks.some((block) => cidrContains(block, address))) {
      report(
        reader,
        'warning',
        place,
        'address-outside-vpc',
        `${text} is in no block of the VPC${ref === undefined ? '' : ` '${ref.name}'`}`,
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

/** The first block that contains an address names its kind. */
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

/** What an address is that no host has; undefined: a host may have it. */
export function specialKind(address: Address): string | undefined {
  return SPECIAL_BLOCKS.find(([block]) => cidrContains(block, address))?.[1];
}

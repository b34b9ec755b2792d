/**
 * This file says which addresses of a subnet may be given away, and who has one. Each address that somebody has is a
 * row (`addresses/VPC/ADDRESS`), but for those that files declare: their interfaces say it.
 *
 * The row names the interface that has the address. Or it is a lease: a container runtime wants the address before it
 * says what for (Docker's IPAM). A lease keeps others from the address for a while, and then counts as no row at all,
 * since a runtime that is killed never gives it back. So a lease that nobody came for ends by itself, also if its host
 * is gone for good. Clocks of hosts that share a store may differ by less than that time.
 */
import {
  cidrContains,
  formatAddress,
  maskWords,
  sameAddress,
  type Address,
  type Cidr,
} from '../addr/address.ts';
import type { InterfaceId, VpcId } from '../policy/model.ts';
import type { Checked } from '../policy/refusals.ts';
import { addressAt, sizeOf } from './blocks.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import { addressKey } from './keys.ts';
import { isRelease, readRelease } from './release-text.ts';
import { refuseEarly } from './released.ts';
import type { SubnetId } from './model.ts';

/** Source: Amazon VPC User Guide, "Subnet CIDR blocks": the first four addresses and the last one are AWS's. */
export const RESERVED_FIRST = 4;
export const RESERVED_LAST = 1;

/**
 * What a lease lasts. Docker says within seconds what it wants an address for, and it gives each call 30 s. A hundred
 * containers at once take a minute or two on a slow machine.
 */
export const LEASE_MS = 10 * 60_000;

/** Its members are not called `host` and `interfaceId`: these are in the rows of what a host's file declares. */
export interface Lease {
  /** Who asked for it, such as `docker`. */
  readonly leasedBy: string;
  /** The host. */
  readonly on: string;
  readonly subnetId: SubnetId;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** An interface of the owner had the address until then. */
  readonly wasUsed?: boolean;
}

/** The lease that a row is; undefined: an interface has the address. */
export function readLease(text: string): Lease | undefined {
  // Thousands of rows may be looked at for one that is free, and nearly all are interfaces'.
  return text.startsWith('{"leasedBy":') ? (JSON.parse(text) as Lease) : undefined;
}

export function leaseText({ leasedBy, on, subnetId, since, wasUsed }: Lease): string {
  return JSON.stringify({ leasedBy, on, subnetId, since, wasUsed });
}

/** The row of an address that an interface has. */
export function claimText(interfaceId: InterfaceId): string {
  return JSON.stringify({ interfaceId });
}

/** Whether nobody has an address. The commit fails if somebody takes it meanwhile. */
export function isFree(edit: Edit, vpcId: VpcId, address: Address): boolean {
  const text = edit.text(addressKey(vpcId, formatAddress(address)));
  return isFreeRow(text) && !isDeclared(edit, vpcId, address);
}

function isFreeRow(text: string | undefined): boolean {
  if (text === undefined || isRelease(text)) return true;
  const lease = readLease(text);
  return lease !== undefined && Date.now() - lease.since > LEASE_MS;
}

/**
 * Why an address that is free may not be given out yet; undefined: it may.
 * @param edit its call is made again when it may
 */
export function whyTooEarly(
  edit: Edit,
  vpcId: VpcId,
  address: Address,
): Checked<never> | undefined {
  const key = addressKey(vpcId, formatAddress(address));
  const revision = releasedAt(edit, key);
  return revision === undefined ? undefined : refuseEarly(edit, address, revision);
}

/**
 * When an interface lost an address that is free now; undefined: none had it that is remembered. What the same call
 * takes from one interface and gives to another was not released.
 */
function releasedAt(edit: Edit, key: string): number | undefined {
  const text = edit.peekText(key) ?? '';
  if (text !== (edit.estate.textOf(key) ?? '')) return undefined;
  const revision = edit.estate.revisionOf(key);
  return readLease(text)?.wasUsed === true ? revision : readRelease(text, revision);
}

/** Whether an interface in a file has an address. Should one come at the same time, the join leaves the call's out. */
function isDeclared({ estate }: Edit, vpcId: VpcId, address: Address): boolean {
  return estate.interfaceAt(vpcId, address)?.declaredAt !== undefined;
}

/** Who has an address that is in use, for a sentence. */
export function holderText(estate: Estate, vpcId: VpcId, address: Address): string {
  const lease = readLease(estate.textOf(addressKey(vpcId, formatAddress(address))) ?? '{}');
  if (lease !== undefined) return `${lease.leasedBy} on the host ${lease.on} has just taken it`;
  return `${estate.interfaceAt(vpcId, address)?.id ?? 'another interface'} has it`;
}

/** Whether an address of a subnet's block is the platform's. */
export function isReserved(block: Cidr, address: Address): boolean {
  for (let place = 0; place < RESERVED_FIRST; place++)
    if (sameAddress(addressAt(block, place), address)) return true;
  return sameAddress(lastOf(block), address);
}

/** Whether an interface of a subnet may have an address, by the subnet's block. */
export function isUsable(block: Cidr, address: Address): boolean {
  return cidrContains(block, address) && !isReserved(block, address);
}

/** The addresses that interfaces of a subnet may have, for a sentence. */
export function usableText(block: Cidr): string {
  const { words } = lastOf(block);
  const last = {
    ...block,
    words: words.map((word, i) => (i < words.length - 1 ? word : word - 1)),
  };
  return `${formatAddress(addressAt(block, RESERVED_FIRST))} to ${formatAddress(last)}`;
}

/**
 * An address that may be given out: the first one that nobody has had, from a place of the block on and then from its
 * beginning; else the one that was released least recently. No condition comes of those that are passed over: they
 * would be too many.
 * @param block a subnet's
 * @param part of the block, which the address is to be in
 * @param seed any number: callers with different ones seldom meet
 * @returns undefined if none is free; the refusal if those that are may not be given out yet
 */
export function firstFree(
  edit: Edit,
  vpcId: VpcId,
  block: Cidr,
  part: Cidr,
  seed: number,
): Checked<Address> | undefined {
  const places = Math.min(sizeOf(part), 2 ** 32);
  let least: { readonly address: Address; readonly revision: number } | undefined;
  for (let i = 0; i < places; i++) {
    const address = addressAt(part, (seed + i) % places);
    if (isReserved(block, address)) continue;
    const key = addressKey(vpcId, formatAddress(address));
    if (!isFreeRow(edit.peekText(key)) || isDeclared(edit, vpcId, address)) continue;
    const revision = releasedAt(edit, key);
    if (revision === undefined) return { ok: true, value: address };
    if (least === undefined || revision < least.revision) least = { address, revision };
  }
  if (least === undefined) return undefined;
  return refuseEarly(edit, least.address, least.revision) ?? { ok: true, value: least.address };
}

function lastOf({ family, words, length }: Cidr): Address {
  const ones = words.map(() => -1);
  const mask = maskWords(ones, length);
  return { family, words: words.map((word, i) => word | ~mask[i]) };
}

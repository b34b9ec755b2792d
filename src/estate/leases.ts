/**
 * Leases: a container runtime that manages addresses itself (Docker's IPAM) asks for one of a subnet, before it says
 * for which container. addresses.ts says what a lease is and how it ends by itself.
 *
 * The owner of a lease makes an interface of it (owned-interfaces.ts). When that interface goes, its addresses are
 * leases again until the owner gives them back: else somebody could have one between the two, and lose it by the
 * second.
 */
import {
  cidrContains,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  type Address,
  type Cidr,
} from '../addr/address.ts';
import type { VpcId } from '../policy/model.ts';
import type { Checked } from '../policy/refusals.ts';
import {
  firstFree,
  holderText,
  isFree,
  isReserved,
  leaseText,
  readLease,
  usableText,
  whyTooEarly,
  type Lease,
} from './addresses.ts';
import { addressAt, isWithin } from './blocks.ts';
import { refused } from './calls.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import { addressKey } from './keys.ts';
import { release } from './released.ts';
import type { EstateInterface, EstateSubnet, SubnetId } from './model.ts';

/** More ids than this are not listed in a sentence. */
const LISTED_MAX = 5;

/** Which addresses somebody wants to have addresses of. */
export interface PoolWish {
  /** The block of a subnet, as text. */
  readonly cidr: string;
  /** Undefined: whichever subnet has the block. */
  readonly subnetId: SubnetId | undefined;
  /** Undefined: whichever VPC has such a subnet. */
  readonly vpcId: VpcId | undefined;
  /** A part of the block, as text; undefined: all of it. */
  readonly range: string | undefined;
}

export interface Pool {
  readonly subnet: EstateSubnet;
  readonly block: Cidr;
  readonly range: Cidr;
  /** Of the subnet, as in AWS: the address after the block's first one. */
  readonly router: Address;
}

/** The subnet that has a block. */
export function findPool(estate: Estate, wish: PoolWish): Checked<Pool> {
  const parsed = parseCidr(wish.cidr, 'mask');
  if (!parsed.ok) return refused('InvalidParameterValue', parsed.message, parsed.hint);
  const block = parsed.value;
  const text = formatCidr(block);
  const subnets = estate
    .list('subnets')
    .filter(({ id, vpcId }) => id === (wish.subnetId ?? id) && vpcId === (wish.vpcId ?? vpcId));
  const found = subnets.filter(({ cidr, ipv6 }) =>
    [cidr, ipv6?.cidr].some((one) => one !== undefined && formatCidr(one) === text),
  );
  if (found.length === 0) {
    const where = wish.subnetId ?? wish.vpcId ?? 'any VPC';
    const named = subnets.find(({ id }) => id === wish.subnetId);
    const hint =
      named === undefined
        ? 'make it by a call of the EC2 API first (CreateSubnet), or let the runtime choose the addresses'
        : `its block is ${formatCidr(named.cidr)}`;
    return refused('InvalidSubnet.Range', `There is no subnet ${text} in ${where}`, hint);
  }
  if (found.length > 1) {
    const ids = found.map(({ id, vpcId }) => `${id} in ${vpcId}`);
    const listed = ids.length > LISTED_MAX ? [...ids.slice(0, LISTED_MAX), '…'] : ids;
    const message = `More than one subnet has ${text}`;
    return refused('InvalidParameterValue', message, `name one of ${listed.join(', ')}`);
  }
  const range = wish.range === undefined ? block : readRange(wish.range, block);
  if (range === undefined) {
    const message = `The range ${wish.range} is no part of ${text}`;
    return refused('InvalidParameterValue', message, 'write a block within it');
  }
  return { ok: true, value: { subnet: found[0], block, range, router: addressAt(block, 1) } };
}

export interface LeaseWish {
  readonly pool: Pool;
  readonly owner: string;
  readonly host: string;
  /** As text; undefined: any that is free. */
  readonly address: string | undefined;
}

export interface LeasedAddress {
  readonly address: Address;
  /** False: it is that of an interface that a call made and that nobody has, which is to be attached. */
  readonly isLeased: boolean;
}

/** @param seed any number: callers with different ones seldom want the same address */
export function leaseAddress(
  edit: Edit,
  { pool, owner, host, address }: LeaseWish,
  seed: number,
  nowMs = Date.now(),
): Checked<LeasedAddress> {
  const { subnet, block, range } = pool;
  const { vpcId } = subnet;
  const lease = leaseText({ leasedBy: owner, on: host, subnetId: subnet.id, since: nowMs });
  if (address === undefined) {
    const free = firstFree(edit, vpcId, block, range, seed);
    if (free === undefined) {
      const message = `There are not enough free addresses in subnet '${subnet.id}', ${formatCidr(range)}`;
      return refused('InsufficientFreeAddressesInSubnet', message, 'make it larger, or free some');
    }
    if (!free.ok) return free;
    edit.put(addressKey(vpcId, formatAddress(free.value)), lease);
    return { ok: true, value: { address: free.value, isLeased: true } };
  }
  const parsed = parseAddress(address);
  if (!parsed.ok) return refused('InvalidParameterValue', parsed.message, parsed.hint);
  const wanted = parsed.value;
  const wrong = checkPlace(subnet, block, wanted);
  if (!wrong.ok) return wrong;
  const key = addressKey(vpcId, formatAddress(wanted));
  const holder = edit.estate.interfaceAt(vpcId, wanted);
  if (holder !== undefined && isWaiting(holder))
    return { ok: true, value: { address: wanted, isLeased: false } };
  if (!isFree(edit, vpcId, wanted)) {
    const hint = holderText(edit.estate, vpcId, wanted);
    return refused('InvalidIPAddress.InUse', `Address ${formatAddress(wanted)} is in use.`, hint);
  }
  const early = whyTooEarly(edit, vpcId, wanted);
  if (early !== undefined) return early;
  edit.put(key, lease);
  return { ok: true, value: { address: wanted, isLeased: true } };
}

/** What stands against an address in a subnet's block. */
export function checkPlace(
  { id }: Pick<EstateSubnet, 'id'>,
  block: Cidr,
  address: Address,
): Checked<undefined> {
  const text = formatAddress(address);
  const hint = `the first four addresses of a subnet and its last one are the platform’s: ask for one from ${usableText(block)}`;
  if (!cidrContains(block, address)) {
    const message = `Address ${text} does not fall within the subnet ${id}, ${formatCidr(block)}`;
    return refused('InvalidParameterValue', message, hint);
  }
  if (!isReserved(block, address)) return { ok: true, value: undefined };
  const message = `Address ${text} is reserved in the subnet ${id}, ${formatCidr(block)}`;
  return refused('InvalidParameterValue', message, hint);
}

/** Gives a lease back. @returns whether there was one; what an interface has, or somebody else, stays */
export function releaseLease(
  edit: Edit,
  vpcId: VpcId,
  address: Address,
  { owner, host }: Pick<LeaseWish, 'owner' | 'host'>,
): boolean {
  const key = addressKey(vpcId, formatAddress(address));
  const lease = leaseOf(edit, key, owner, host);
  if (lease === undefined) return false;
  const since = edit.estate.revisionOf(key);
  if (lease.wasUsed === true) release(edit, vpcId, formatAddress(address), since);
  else edit.remove(key);
  return true;
}

/** The lease of an owner on a host that a row is, also one that has ended if nobody has taken the address since. */
export function leaseOf(edit: Edit, key: string, owner: string, host: string): Lease | undefined {
  const lease = readLease(edit.text(key) ?? '');
  return lease?.leasedBy === owner && lease.on === host ? lease : undefined;
}

/** Makes the addresses of an interface that goes leases again, if leases they were. */
export function leaseAgain(
  edit: Edit,
  { vpcId, subnetId, addresses, owner, attachment }: EstateInterface,
): void {
  if (subnetId === undefined || owner === undefined || attachment === undefined) return;
  const since = Date.now();
  const lease = { leasedBy: owner, on: attachment.host, subnetId, since, wasUsed: true };
  for (const address of addresses)
    edit.put(addressKey(vpcId, formatAddress(address)), leaseText(lease));
}

/** Whether a call made an interface, and nobody has it. */
function isWaiting({ owner, attachment, declaredAt }: EstateInterface): boolean {
  return owner === undefined && attachment === undefined && declaredAt === undefined;
}

function readRange(text: string, block: Cidr): Cidr | undefined {
  const parsed = parseCidr(text, 'mask');
  return parsed.ok && isWithin(parsed.value, block) ? parsed.value : undefined;
}

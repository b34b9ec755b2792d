/**
 * Calls on network interfaces: create, delete, modify, and their addresses.
 *
 * An address is one interface's in its VPC: a row (`addresses/VPC/ADDRESS`) says whose, so two calls can't give it away
 * twice. What names a group or a subnet keeps it from being deleted (Edit.use).
 */
import { formatAddress, parseAddress, type Address } from '../addr/address.ts';
import { macAddressText } from '../config/device-specs.ts';
import { checkInterfaceGroups } from '../policy/groups.ts';
import type { ConnectionTracking, GroupId, InterfaceId } from '../policy/model.ts';
import { IDLE_TIMEOUTS } from '../policy/idle-timeouts.ts';
import { makeRefusal, type Checked, type Refusal } from '../policy/refusals.ts';
import type { Tag } from '../policy/tags.ts';
import { DEFAULT_GROUP_NAME, foldGroupName } from '../policy/texts.ts';
import { attachmentFromTags } from './attachments.ts';
import { claimText, firstFree, isFree, isUsable, whyTooEarly } from './addresses.ts';
import {
  allOf,
  checkNotOwned,
  newTags,
  refused,
  unlessDeclared,
  type CallContext,
} from './calls.ts';
import type { Edit } from './edit.ts';
import { findGroup, peerSource } from './groups.ts';
import { addressKey, nameKey } from './keys.ts';
import type { EstateGroup, EstateInterface, EstateSubnet, SubnetId } from './model.ts';
import { release } from './released.ts';
import { findSubnet } from './subnets.ts';
import { vpcRef } from './rows.ts';

/** Of one family. Source: Amazon EC2 User Guide, "IP addresses per network interface", the largest instances. */
const ADDRESSES_MAX = 50;

/** Addresses of one family, as a call asks for them. */
export interface AddressWish {
  /** These. */
  readonly texts: readonly string[];
  /** And so many more, whichever are free. */
  readonly count: number;
}

export interface NewInterface {
  readonly subnetId: SubnetId;
  readonly ipv4: AddressWish;
  readonly ipv6: AddressWish;
  /** Empty: the default group of the VPC. */
  readonly groupIds: readonly GroupId[];
  readonly description: string;
  readonly sourceDestCheck: boolean;
  readonly connectionTracking: Partial<ConnectionTracking> | undefined;
  readonly tags: readonly Tag[];
}

export function createInterface(
  edit: Edit,
  given: NewInterface,
  context: CallContext,
): Checked<EstateInterface> {
  const subnet = findSubnet(edit, given.subnetId);
  if (!subnet.ok) return subnet;
  const { vpcId } = subnet.value;
  const id = context.newId('eni');
  const groupIds =
    given.groupIds.length > 0 ? given.groupIds : defaultGroups(edit, subnet.value.vpcId);
  const groups = readGroups(edit, groupIds, vpcId, context);
  if (!groups.ok) return groups;
  const tags = newTags(given.tags);
  if (!tags.ok) return tags;
  const refusals = checkTracking(given.connectionTracking ?? {});
  if (refusals.length > 0) return { ok: false, refusals };
  const attachment = attachmentFromTags(edit, id, tags.value);
  if (!attachment.ok) return attachment;
  const addresses = takeAddresses(edit, id, subnet.value, given.ipv4, given.ipv6);
  if (!addresses.ok) return addresses;
  edit.use(subnet.value.id);
  useGroups(edit, groups.value);
  const value: EstateInterface = {
    id,
    vpcId,
    subnetId: subnet.value.id,
    addresses: addresses.value,
    groupIds: groups.value.map(({ group }) => group.id),
    description: given.description,
    sourceDestCheck: given.sourceDestCheck,
    connectionTracking: given.connectionTracking,
    macAddress: macAddressText(id),
    attachment: attachment.value,
    tags: tags.value,
  };
  edit.write('interfaces', id, value);
  return { ok: true, value };
}

/** Deletes an interface. One that a call attached has to be detached first; one that its tags attach goes with them. */
export function deleteInterface(edit: Edit, id: InterfaceId): Checked<EstateInterface> {
  const found = unlessDeclared(id, findInterface(edit, id));
  if (!found.ok) return found;
  const { attachment } = found.value;
  if (attachment !== undefined && !attachment.isByTags) {
    const message = `Network interface '${id}' is currently in use.`;
    const { owner } = attachment;
    const hint =
      owner === undefined ? 'detach it first' : `an instance of ${owner} is it: end that first`;
    return refused('InvalidNetworkInterface.InUse', message, hint);
  }
  eraseInterface(edit, found.value);
  return found;
}

/** Erases an interface, whose addresses are free then. */
export function eraseInterface(edit: Edit, { id, vpcId, addresses }: EstateInterface): void {
  for (const address of addresses) release(edit, vpcId, formatAddress(address));
  edit.erase('interfaces', id);
}

export interface InterfaceChange {
  readonly groupIds?: readonly GroupId[];
  readonly description?: string;
  readonly sourceDestCheck?: boolean;
  readonly connectionTracking?: Partial<ConnectionTracking>;
}

export function modifyInterface(
  edit: Edit,
  id: InterfaceId,
  { groupIds, connectionTracking, ...rest }: InterfaceChange,
  context: CallContext,
): Checked<EstateInterface> {
  return changeInterface(edit, id, (before) => {
    const groups =
      groupIds === undefined ? undefined : readGroups(edit, groupIds, before.vpcId, context);
    if (groups?.ok === false) return groups;
    const refusals = checkTracking(connectionTracking ?? {});
    if (refusals.length > 0) return { ok: false, refusals };
    if (groups !== undefined) useGroups(edit, groups.value);
    const value = {
      ...before,
      ...rest,
      ...(groups === undefined ? {} : { groupIds: groups.value.map(({ group }) => group.id) }),
      ...(connectionTracking === undefined
        ? {}
        : { connectionTracking: { ...before.connectionTracking, ...connectionTracking } }),
    };
    return { ok: true, value };
  });
}

/** Gives an interface more addresses of one family. */
export function assignAddresses(
  edit: Edit,
  id: InterfaceId,
  family: 4 | 6,
  wish: AddressWish,
): Checked<{ readonly value: EstateInterface; readonly added: readonly Address[] }> {
  let added: readonly Address[] = [];
  const done = changeInterface(edit, id, (before) => {
    const subnet = subnetOf(edit, before);
    if (!subnet.ok) return subnet;
    const none: AddressWish = { texts: [], count: 0 };
    const [ipv4, ipv6] = family === 4 ? [wish, none] : [none, wish];
    const held = before.addresses.filter((one) => one.family === family).length;
    const refusals = checkCount(wish, held);
    if (refusals.length > 0) return { ok: false, refusals };
    const found = chooseAddresses(edit, id, subnet.value, ipv4, ipv6);
    if (!found.ok) return found;
    added = found.value;
    return { ok: true, value: { ...before, addresses: [...before.addresses, ...added] } };
  });
  return done.ok ? { ok: true, value: { value: done.value, added } } : done;
}

/** Takes addresses from other interfaces of the VPC, so that this one can have them. Primary addresses stay. */
export function takeFromOthers(
  edit: Edit,
  id: InterfaceId,
  texts: readonly string[],
): Checked<undefined> {
  const found = findInterface(edit, id);
  if (!found.ok) return found;
  const wanted = allOf(texts.map(readAddress));
  if (!wanted.ok) return wanted;
  for (const address of wanted.value) {
    const holder = edit.estate.interfaceAt(found.value.vpcId, address);
    if (holder === undefined || holder.id === id) continue;
    const done = unassignAddresses(edit, holder.id, address.family, [formatAddress(address)]);
    if (!done.ok) return done;
  }
  return { ok: true, value: undefined };
}

/** Takes addresses of one family from an interface; its primary IPv4 address stays. */
export function unassignAddresses(
  edit: Edit,
  id: InterfaceId,
  family: 4 | 6,
  texts: readonly string[],
): Checked<EstateInterface> {
  return changeInterface(edit, id, (before) => {
    const owned = checkNotOwned(id, before);
    if (owned.length > 0) return { ok: false, refusals: owned };
    const wanted = allOf(texts.map(readAddress));
    if (!wanted.ok) return wanted;
    const gone = new Set(wanted.value.map(formatAddress));
    const [primary] = before.addresses.filter(({ family }) => family === 4);
    for (const text of gone) {
      if (before.addresses.some((one) => one.family === family && formatAddress(one) === text))
        continue;
      const message = `Some of [${text}] are not assigned to interface ${id}`;
      return refused('InvalidParameterValue', message);
    }
    if (primary !== undefined && gone.has(formatAddress(primary))) {
      const message = `The primary private IP address ${formatAddress(primary)} cannot be unassigned`;
      return refused('InvalidParameterValue', message);
    }
    for (const text of gone) release(edit, before.vpcId, text);
    const addresses = before.addresses.filter((one) => !gone.has(formatAddress(one)));
    return { ok: true, value: { ...before, addresses } };
  });
}

/** An interface that is there. @returns AWS's refusal otherwise */
export function findInterface(edit: Edit, id: InterfaceId): Checked<EstateInterface> {
  const found = edit.read('interfaces', id);
  if (found !== undefined) return { ok: true, value: found };
  const message = `The networkInterface ID '${id}' does not exist`;
  return refused('InvalidNetworkInterfaceID.NotFound', message);
}

/** Changes an interface that a call made. */
export function changeInterface(
  edit: Edit,
  id: InterfaceId,
  work: (before: EstateInterface) => Checked<EstateInterface>,
): Checked<EstateInterface> {
  const found = unlessDeclared(id, findInterface(edit, id));
  if (!found.ok) return found;
  const done = work(found.value);
  if (done.ok) edit.write('interfaces', id, done.value);
  return done;
}

/**
 * Groups that an interface may have, as the policy says. An unknown one is refused; nothing falls back to the default.
 */
export function readGroups(
  edit: Edit,
  ids: readonly GroupId[],
  vpcId: string,
  { quotas, accountId }: CallContext,
): Checked<readonly EstateGroup[]> {
  const groups = allOf([...new Set(ids)].map((id) => findGroup(edit, id)));
  if (!groups.ok) return groups;
  const refusals = checkInterfaceGroups(
    groups.value.map(({ group }) => group),
    { vpc: vpcRef(vpcId) },
    quotas,
    peerSource(edit),
    accountId,
  );
  return refusals.length > 0 ? { ok: false, refusals } : groups;
}

/** The groups can't be deleted by a call that has not seen that the interface has them. */
export function useGroups(edit: Edit, groups: readonly EstateGroup[]): void {
  for (const { group } of groups) {
    edit.has(nameKey(group.vpc.id, foldGroupName(group.name)));
    edit.use(group.id);
  }
}

function defaultGroups(edit: Edit, vpcId: string): readonly GroupId[] {
  const found = edit.estate.groupByName(vpcId, DEFAULT_GROUP_NAME);
  return found === undefined ? [] : [found.group.id];
}

function subnetOf(edit: Edit, { id, subnetId }: EstateInterface): Checked<EstateSubnet> {
  if (subnetId !== undefined) return findSubnet(edit, subnetId);
  const message = `The interface '${id}' is in no subnet: whoever made it chose its addresses`;
  return refused('InvalidParameterValue', message);
}

/** The addresses of a new interface: at least one of IPv4. */
function takeAddresses(
  edit: Edit,
  id: InterfaceId,
  subnet: EstateSubnet,
  ipv4: AddressWish,
  ipv6: AddressWish,
): Checked<readonly Address[]> {
  const refusals = [...checkCount(ipv4, 0), ...checkCount(ipv6, 0)];
  if (refusals.length > 0) return { ok: false, refusals };
  const count = ipv4.texts.length + ipv4.count === 0 ? 1 : ipv4.count;
  const more =
    subnet.assignIpv6AddressOnCreation && ipv6.texts.length + ipv6.count === 0 ? 1 : ipv6.count;
  return chooseAddresses(edit, id, subnet, { ...ipv4, count }, { ...ipv6, count: more });
}

/** Whether an interface may have so many more addresses of a family. */
function checkCount({ texts, count }: AddressWish, held: number): readonly Refusal[] {
  if (!Number.isInteger(count) || count < 0)
    return [makeRefusal('InvalidParameterValue', `There can't be ${count} addresses`)];
  if (held + texts.length + count <= ADDRESSES_MAX) return [];
  const message = 'Number of private addresses will exceed limit.';
  const hint = `an interface has at most ${ADDRESSES_MAX} of each family`;
  return [makeRefusal('PrivateIpAddressLimitExceeded', message, hint)];
}

function chooseAddresses(
  edit: Edit,
  id: InterfaceId,
  subnet: EstateSubnet,
  ipv4: AddressWish,
  ipv6: AddressWish,
): Checked<readonly Address[]> {
  const found: Address[] = [];
  for (const [family, wish] of [
    [4, ipv4],
    [6, ipv6],
  ] as const) {
    const given = allOf(wish.texts.map((text) => takeGiven(edit, id, subnet, family, text)));
    if (!given.ok) return given;
    found.push(...given.value);
    for (let i = 0; i < wish.count; i++) {
      const free = takeFree(edit, id, subnet, family);
      if (!free.ok) return free;
      found.push(free.value);
    }
  }
  return { ok: true, value: found };
}

function takeGiven(
  edit: Edit,
  id: InterfaceId,
  subnet: EstateSubnet,
  family: 4 | 6,
  text: string,
): Checked<Address> {
  const parsed = readAddress(text);
  if (!parsed.ok) return parsed;
  const address = parsed.value;
  const block = family === 4 ? subnet.cidr : subnet.ipv6?.cidr;
  if (block === undefined || !isUsable(block, address)) {
    const message = `Address ${text} does not fall within the subnet's address range`;
    const hint = 'the first four addresses of a subnet and its last one are the platform’s';
    return refused('InvalidParameterValue', message, hint);
  }
  const key = addressKey(subnet.vpcId, formatAddress(address));
  if (!isFree(edit, subnet.vpcId, address))
    return refused('InvalidIPAddress.InUse', `Address ${formatAddress(address)} is in use.`);
  const early = whyTooEarly(edit, subnet.vpcId, address);
  if (early !== undefined) return early;
  edit.put(key, claimText(id));
  return { ok: true, value: address };
}

/** The first free address behind a place that the interface's id gives, so that calls at once seldom meet. */
function takeFree(
  edit: Edit,
  id: InterfaceId,
  subnet: EstateSubnet,
  family: 4 | 6,
): Checked<Address> {
  const block = family === 4 ? subnet.cidr : subnet.ipv6?.cidr;
  if (block === undefined)
    return refused('InvalidParameterValue', `The subnet '${subnet.id}' has no IPv6 CIDR block`);
  const seed = parseInt(id.slice('eni-'.length, 'eni-'.length + 8), 16);
  const found = firstFree(edit, subnet.vpcId, block, block, seed);
  if (found?.ok === true)
    edit.put(addressKey(subnet.vpcId, formatAddress(found.value)), claimText(id));
  if (found !== undefined) return found;
  const message = `There are not enough free addresses in subnet '${subnet.id}' to satisfy the requested number of instances.`;
  return refused('InsufficientFreeAddressesInSubnet', message);
}

function readAddress(text: string): Checked<Address> {
  const parsed = parseAddress(text);
  if (parsed.ok) return { ok: true, value: parsed.value };
  const message = `Invalid value '${text}' for parameter PrivateIpAddress: ${parsed.message}`;
  return refused('InvalidParameterValue', message, parsed.hint);
}

function checkTracking(tracking: Partial<ConnectionTracking>): readonly Refusal[] {
  return Object.entries(tracking).flatMap(([name, seconds]): readonly Refusal[] => {
    const { min, max } = IDLE_TIMEOUTS[name as keyof ConnectionTracking];
    if (seconds >= min && seconds <= max) return [];
    const message = `Value (${seconds}) for parameter ${name.replace(/Sec$/, '')} is invalid. It goes from ${min} to ${max}.`;
    return [{ code: 'InvalidParameterValue', message }];
  });
}

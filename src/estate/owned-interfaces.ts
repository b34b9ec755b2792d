/**
 * Interfaces that somebody asks a daemon for: a container runtime, a script or a person that has chosen addresses and a
 * device already. They are in a VPC, and in no subnet unless their addresses were leased (leases.ts). They have an
 * `owner`.
 *
 * Runtimes call several times and after crashes, so each call can be made again. The owner alone may remove such an
 * interface; calls of the EC2 API may change its groups, its description and its tags.
 */
import { formatAddress, parseAddress, type Address } from '../addr/address.ts';
import { specialKind } from '../config/config-addresses.ts';
import { macAddressText } from '../config/device-specs.ts';
import { isId } from '../policy/ids.ts';
import type { GroupId, InterfaceId, VpcId } from '../policy/model.ts';
import { makeRefusal, missingParameter, type Checked } from '../policy/refusals.ts';
import type { Tag } from '../policy/tags.ts';
import { ONLY_VPC_ID } from '../policy/vpcs.ts';
import { claimText, holderText, isFree, isReserved, whyTooEarly } from './addresses.ts';
import { checkUnused, detachForOwner } from './attach.ts';
import { checkDevice, ownAttachment, TAG_PREFIX } from './attachments.ts';
import { allOf, newTags, refused, unlessDeclared, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import { eraseInterface, findInterface, readGroups, useGroups } from './interfaces.ts';
import { addressKey } from './keys.ts';
import { checkPlace, leaseAgain, leaseOf } from './leases.ts';
import type { AttachedDevice, EstateGroup, EstateInterface, SubnetId, Tags } from './model.ts';
import { findSubnet } from './subnets.ts';

/** What one edit of `reconcile` deletes at most; a store takes 127 changes in a commit. */
const RECONCILED_ROWS_MAX = 100;

export interface OwnedInterface {
  readonly id: InterfaceId;
  readonly owner: string;
  readonly host: string;
  readonly device: AttachedDevice;
  /** At least one, of both families, as text. */
  readonly addresses: readonly string[];
  /** Whether the owner has leased the addresses on this host. */
  readonly isLeased?: boolean;
  /** Ids, or names of groups of the default VPC. At least one: who forgets them must not get the default group. */
  readonly securityGroups: readonly string[];
  readonly tags: readonly Tag[];
}

/**
 * Makes an interface and attaches it. One that is there and as asked for is answered as it is; if it is not as asked
 * for, the refusal names what differs.
 */
export function addOwnedInterface(
  edit: Edit,
  given: OwnedInterface,
  context: CallContext,
): Checked<EstateInterface> {
  const { id, owner, host, device } = given;
  if (!isId('eni', id))
    return refused(
      'InvalidID',
      `'${id}' is no id of an interface`,
      'eni- and 17 hexadecimal digits',
    );
  const addresses = readAddresses(given.addresses);
  if (!addresses.ok) return addresses;
  const tags = readTags(given.tags);
  if (!tags.ok) return tags;
  const groups = findGroups(edit, given.securityGroups, undefined, context);
  if (!groups.ok) return groups;
  const vpcId = groups.value[0].group.vpc.id;
  const wanted: EstateInterface = {
    id,
    vpcId,
    subnetId: undefined,
    addresses: addresses.value,
    groupIds: groups.value.map(({ group }) => group.id),
    description: '',
    sourceDestCheck: true,
    connectionTracking: undefined,
    macAddress: macAddressText(id),
    attachment: ownAttachment(id, host, device, new Date()),
    owner,
    tags: tags.value,
  };
  const there = edit.read('interfaces', id);
  if (there !== undefined) return asIs(there, wanted);
  const attached = { id: wanted.attachment!.id, host, interfaceId: id };
  const wrong = [...checkDevice(edit.estate, id, host, device), ...checkUnused(edit, attached)];
  if (wrong.length > 0) return { ok: false, refusals: wrong };
  const taken = given.isLeased === true ? claimLeases(edit, wanted, host) : take(edit, wanted);
  if (!taken.ok) return taken;
  useGroups(edit, groups.value);
  edit.use(vpcId);
  const value = { ...wanted, subnetId: taken.value };
  edit.write('interfaces', id, value);
  return { ok: true, value };
}

/** Takes addresses that nobody has. The owner chose them, so they are in no subnet. */
function take(edit: Edit, { id, vpcId, addresses }: EstateInterface): Checked<undefined> {
  const subnets = edit.list('subnets').filter((one) => one.vpcId === vpcId);
  for (const address of addresses) {
    for (const subnet of subnets)
      for (const block of [subnet.cidr, ...(subnet.ipv6 === undefined ? [] : [subnet.ipv6.cidr])])
        if (isReserved(block, address)) return checkPlace(subnet, block, address);
    const text = formatAddress(address);
    const key = addressKey(vpcId, text);
    if (!isFree(edit, vpcId, address)) {
      const hint = holderText(edit.estate, vpcId, address);
      return refused('InvalidIPAddress.InUse', `Address ${text} is in use.`, hint);
    }
    const early = whyTooEarly(edit, vpcId, address);
    if (early !== undefined) return early;
    edit.put(key, claimText(id));
  }
  return { ok: true, value: undefined };
}

/** Makes the leases of an owner the addresses of its interface. @returns the subnet that they are of */
function claimLeases(
  edit: Edit,
  { id, vpcId, addresses, owner }: EstateInterface,
  host: string,
): Checked<SubnetId> {
  const subnetIds = new Set<SubnetId>();
  for (const address of addresses) {
    const text = formatAddress(address);
    const key = addressKey(vpcId, text);
    const lease = leaseOf(edit, key, owner!, host);
    if (lease === undefined) {
      const row = edit.text(key);
      if (row !== undefined)
        return refused(
          'InvalidIPAddress.InUse',
          `Address ${text} is in use.`,
          holderText(edit.estate, vpcId, address),
        );
      const message = `Address ${text} was not leased in ${vpcId}, the VPC of the groups`;
      return refused(
        'InvalidParameterValue',
        message,
        'name groups of the VPC that its subnet is in',
      );
    }
    const early = whyTooEarly(edit, vpcId, address);
    if (early !== undefined) return early;
    edit.put(key, claimText(id));
    subnetIds.add(lease.subnetId);
  }
  const [subnetId, ...others] = subnetIds;
  if (others.length > 0) {
    const message = `The addresses are of the subnets ${[...subnetIds].join(' and ')}`;
    return refused('InvalidParameterValue', message, 'an interface is in one');
  }
  const subnet = findSubnet(edit, subnetId);
  if (!subnet.ok) return subnet;
  edit.use(subnetId);
  return { ok: true, value: subnetId };
}

/** @returns undefined if there is none, which is as well */
export function removeOwnedInterface(
  edit: Edit,
  id: InterfaceId,
  host: string,
): Checked<EstateInterface | undefined> {
  if (edit.read('interfaces', id) === undefined) return { ok: true, value: undefined };
  const found = findOwned(edit, id, host);
  if (!found.ok) return found;
  eraseInterface(edit, found.value);
  leaseAgain(edit, found.value);
  return found;
}

/** Gives an interface other groups, by their ids or names; at least one. */
export function setOwnedGroups(
  edit: Edit,
  id: InterfaceId,
  host: string,
  securityGroups: readonly string[],
  context: CallContext,
): Checked<EstateInterface> {
  const found = findOwned(edit, id, host);
  if (!found.ok) return found;
  const before = found.value;
  const groups = findGroups(edit, securityGroups, before.vpcId, context);
  if (!groups.ok) return groups;
  const groupIds = groups.value.map(({ group }) => group.id);
  if (setText(groupIds) === setText(before.groupIds)) return found;
  useGroups(edit, groups.value);
  const value = { ...before, groupIds };
  edit.write('interfaces', id, value);
  return { ok: true, value };
}

/** Whose an interface is, for as long as it is attached: who asked for it, or for its attachment. */
export function ownerOf({ owner, attachment }: EstateInterface): string | undefined {
  return owner ?? attachment?.owner;
}

/** The interfaces of a host that have an owner; those of one owner, if it is named. */
export function ownedInterfaces(
  estate: Estate,
  host: string,
  owner?: string,
): readonly EstateInterface[] {
  return estate
    .interfacesOfHost(host)
    .filter((one) => ownerOf(one) !== undefined && ownerOf(one) === (owner ?? ownerOf(one)));
}

export interface Reconciled {
  /** Also those that a call of the EC2 API made, which are detached. */
  readonly removed: readonly InterfaceId[];
  /** How many are to be removed yet: call again. One commit takes only so many. */
  readonly left: number;
}

/**
 * Removes the interfaces of an owner on a host but those to keep.
 * @param keep ids of interfaces, or of their attachments
 */
export function reconcileOwned(
  edit: Edit,
  host: string,
  owner: string,
  keep: readonly string[],
): Checked<Reconciled> {
  const kept = new Set(keep);
  const others = ownedInterfaces(edit.estate, host, owner).filter(
    ({ id, attachment }) => !kept.has(id) && !kept.has(attachment!.id),
  );
  const removed: InterfaceId[] = [];
  let rows = 0;
  for (const { id, addresses, groupIds, attachment } of others) {
    // Its own, its addresses, its place on the host, and its place in each group.
    rows += 2 + addresses.length + groupIds.length;
    if (rows > RECONCILED_ROWS_MAX && removed.length > 0) break;
    const done =
      attachment?.owner === undefined
        ? removeOwnedInterface(edit, id, host)
        : detachForOwner(edit, attachment.id, host);
    if (!done.ok) return done;
    removed.push(id);
  }
  return { ok: true, value: { removed, left: others.length - removed.length } };
}

function findOwned(edit: Edit, id: InterfaceId, host: string): Checked<EstateInterface> {
  const found = unlessDeclared(id, findInterface(edit, id));
  if (!found.ok) return found;
  const { owner, attachment } = found.value;
  if (owner === undefined) {
    const message = `A call of the EC2 API made ${id}`;
    return refused('OperationNotPermitted', message, 'change it by such calls');
  }
  if (attachment?.host === host) return found;
  const message = `${id} is on the host ${attachment?.host ?? 'none'}, and this one is ${host}`;
  return refused('OperationNotPermitted', message, `ask the daemon there`);
}

function readAddresses(texts: readonly string[]): Checked<readonly Address[]> {
  if (texts.length === 0) return { ok: false, refusals: [missingParameter('addresses')] };
  const read = allOf(
    texts.map((text): Checked<Address> => {
      const parsed = parseAddress(text);
      if (!parsed.ok) return refused('InvalidParameterValue', parsed.message, parsed.hint);
      const kind = specialKind(parsed.value);
      if (kind === undefined) return { ok: true, value: parsed.value };
      return refused('InvalidParameterValue', `${text} is ${kind}, not an address of a host`);
    }),
  );
  if (!read.ok) return read;
  const written = read.value.map(formatAddress);
  const twice = written.find((text, i) => written.indexOf(text) < i);
  if (twice === undefined) return read;
  return refused('InvalidParameterValue', `The address ${twice} is there twice`);
}

/**
 * Groups by id, or by name in a VPC. One that is not there is a mistake, and no reason to take another.
 * @param vpcId undefined: that of the first group
 */
function findGroups(
  edit: Edit,
  texts: readonly string[],
  vpcId: VpcId | undefined,
  context: CallContext,
): Checked<readonly EstateGroup[]> {
  if (texts.length === 0) {
    const refusals = [missingParameter('securityGroups', 'name at least one group')];
    return { ok: false, refusals };
  }
  const names = vpcId ?? ONLY_VPC_ID;
  const ids = allOf(
    texts.map((text): Checked<GroupId> => {
      if (isId('sg', text)) return { ok: true, value: text };
      const group = edit.estate.groupByName(names, text);
      if (group !== undefined) return { ok: true, value: group.group.id };
      const message = `The security group '${text}' does not exist`;
      return refused('InvalidGroup.NotFound', message, 'sgctl groups shows which there are');
    }),
  );
  if (!ids.ok) return ids;
  const home = vpcId ?? edit.estate.group(ids.value[0])?.group.vpc.id ?? names;
  return readGroups(edit, ids.value, home, context);
}

function readTags(tags: readonly Tag[]): Checked<Tags> {
  const wrong = tags.find(({ key }) => key.startsWith(TAG_PREFIX));
  if (wrong === undefined) return newTags(tags);
  const message = `The tag ${wrong.key} is for calls of the EC2 API`;
  return { ok: false, refusals: [makeRefusal('InvalidParameterValue', message)] };
}

/** The interface that is there, if it is as asked for. */
function asIs(there: EstateInterface, wanted: EstateInterface): Checked<EstateInterface> {
  const has = members(there);
  const differing = members(wanted).flatMap(([name, asked], i) => {
    const [, found] = has[i];
    return found === asked ? [] : [`${name}: it has ${found}, not ${asked}`];
  });
  if (differing.length === 0) return { ok: true, value: there };
  const message = `${there.id} is there already, and differs in ${differing.join('; ')}`;
  return refused('IdempotentParameterMismatch', message, 'remove it first, or set its groups');
}

/** What a caller says of an interface, as text. */
function members(value: EstateInterface): readonly (readonly [name: string, text: string])[] {
  const { owner, attachment, addresses, groupIds, tags } = value;
  const device = attachment?.device;
  return [
    ['owner', owner ?? 'none'],
    ['host', attachment?.host ?? 'none'],
    ['device.kind', device?.kind ?? 'none'],
    ['device.name', device?.name ?? 'none'],
    ['device.netns', device?.netns ?? 'none'],
    ['device.mtu', String(device?.mtu)],
    ['device.configure', String(device?.configure)],
    ['device.persist', String(device?.persist)],
    ['addresses', addresses.map(formatAddress).join(', ')],
    ['securityGroups', setText(groupIds)],
    ['tags', setText(tags.map((tag) => `${tag.key}=${tag.value}`)) || 'none'],
  ];
}

function setText(texts: readonly string[]): string {
  return [...new Set(texts)].sort().join(', ');
}

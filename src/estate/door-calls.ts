/**
 * What is asked of a host by those who run instances on it, a container runtime for example, and changes the estate:
 * interfaces that come and go, and their addresses.
 *
 * A host whose store is its own makes the change itself. Hosts that share a store may not write what others rely on:
 * they ask a server of the API, which makes the same change in the name of the host. So a call is plain JSON. What
 * comes by the API may be from a host that somebody has taken over: `readDoorCall` believes nothing of it, and the name
 * of the host is that of the key.
 */
import { randomInt } from 'node:crypto';
import { formatAddress, formatCidr, parseAddress } from '../addr/address.ts';
import { MTU_IPV6_MIN } from '../config/config-devices.ts';
import { MTU_LIMITS } from '../config/limits.ts';
import { answering, type Checked } from '../policy/refusals.ts';
import type { InterfaceId } from '../policy/model.ts';
import { attachForOwner, detachForOwner, type OwnedAttachment } from './attach.ts';
import { refused, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import { valueKey } from './keys.ts';
import { findPool, leaseAddress, releaseLease, type PoolWish } from './leases.ts';
import type { AttachedDevice } from './model.ts';
import {
  addOwnedInterface,
  reconcileOwned,
  removeOwnedInterface,
  setOwnedGroups,
  type OwnedInterface,
  type Reconciled,
} from './owned-interfaces.ts';
import { RowReader } from './row-reader.ts';
import { decodeDevice } from './rows.ts';

type Nothing = Readonly<Record<string, never>>;

/** Each call by its name, as the control socket names it. */
export interface DoorCalls {
  readonly addInterface: {
    readonly params: Omit<OwnedInterface, 'host'>;
    readonly result: Nothing;
  };
  readonly removeInterface: {
    readonly params: { readonly id: InterfaceId };
    readonly result: { readonly removed: boolean };
  };
  readonly attachInterface: {
    readonly params: Omit<OwnedAttachment, 'host'>;
    readonly result: Nothing;
  };
  readonly detachInterface: {
    readonly params: { readonly attachment: string };
    readonly result: { readonly detached: boolean };
  };
  readonly setInterfaceGroups: {
    readonly params: { readonly id: InterfaceId; readonly securityGroups: readonly string[] };
    readonly result: Nothing;
  };
  /** It changes nothing. A host that shares a store does not hold all subnets. */
  readonly findSubnet: {
    readonly params: PoolWish;
    /** `cidr` is the block without bits beyond its length; `router` is the address of the subnet's router. */
    readonly result: {
      readonly subnet: string;
      readonly vpc: string;
      readonly cidr: string;
      readonly router: string;
    };
  };
  readonly leaseAddress: {
    readonly params: PoolWish & { readonly owner: string; readonly address?: string };
    readonly result: { readonly address: string; readonly leased: boolean };
  };
  readonly releaseAddress: {
    readonly params: { readonly owner: string; readonly vpcId: string; readonly address: string };
    readonly result: { readonly released: boolean };
  };
  readonly reconcileInterfaces: {
    readonly params: { readonly owner: string; readonly keep: readonly string[] };
    readonly result: Reconciled;
  };
}

export type DoorCallName = keyof DoorCalls;

export interface DoorCall<Name extends DoorCallName = DoorCallName> {
  readonly name: Name;
  readonly params: DoorCalls[Name]['params'];
  /** Nothing is changed if others have changed this interface since: its row has another revision. */
  readonly onlyIf?: { readonly id: InterfaceId; readonly revision: number };
}

/** How one call is read and made. */
interface Form<Name extends DoorCallName> {
  /** @throws RowError */
  read(params: RowReader): DoorCalls[Name]['params'];
  make(
    edit: Edit,
    params: DoorCalls[Name]['params'],
    host: string,
    context: CallContext,
  ): Checked<DoorCalls[Name]['result']>;
}

/** A change has some hundred rows at most, and each of these is one. */
const LIST_MAX = 50;
const KEPT_MAX = 2000;
/** PATH_MAX of Linux, without the NUL. */
const TEXT_MAX = 4095;
/** For where to look for a free address first. */
const SEEDS = 2 ** 32;

const FORMS: { readonly [Name in DoorCallName]: Form<Name> } = {
  addInterface: {
    read: (params) => ({
      id: text(params, 'id'),
      owner: readOwner(params),
      device: readDevice(params),
      addresses: texts(params, 'addresses'),
      isLeased: params.has('isLeased') && params.flag('isLeased'),
      securityGroups: texts(params, 'securityGroups'),
      tags: params
        .objects('tags')
        .map((tag) => ({ key: text(tag, 'key'), value: text(tag, 'value') })),
    }),
    make(edit, params, host, context) {
      const wrong = checkMtu(params.device, params.addresses);
      if (!wrong.ok) return wrong;
      const made = addOwnedInterface(edit, { ...params, host }, context);
      return answering(made, () => ({}));
    },
  },
  removeInterface: {
    read: (params) => ({ id: text(params, 'id') }),
    make(edit, { id }, host) {
      const done = removeOwnedInterface(edit, id, host);
      return answering(done, (value) => ({ removed: value !== undefined }));
    },
  },
  attachInterface: {
    read: (params) => ({
      interfaceId: text(params, 'interfaceId'),
      id: text(params, 'id'),
      owner: readOwner(params),
      device: readDevice(params),
      addresses: params.has('addresses') ? texts(params, 'addresses') : undefined,
      abandoned: optional(params, 'abandoned'),
    }),
    make(edit, params, host) {
      const there = edit.estate.interface(params.interfaceId);
      const wrong = checkMtu(params.device, there?.addresses.map(formatAddress) ?? []);
      if (!wrong.ok) return wrong;
      const done = attachForOwner(edit, { ...params, host });
      return answering(done, () => ({}));
    },
  },
  detachInterface: {
    read: (params) => ({ attachment: text(params, 'attachment') }),
    make(edit, { attachment }, host) {
      const done = detachForOwner(edit, attachment, host);
      return answering(done, (value) => ({ detached: value !== undefined }));
    },
  },
  setInterfaceGroups: {
    read: (params) => ({ id: text(params, 'id'), securityGroups: texts(params, 'securityGroups') }),
    make(edit, { id, securityGroups }, host, context) {
      const done = setOwnedGroups(edit, id, host, securityGroups, context);
      return answering(done, () => ({}));
    },
  },
  findSubnet: {
    read: readPool,
    make(edit, params) {
      return answering(findPool(edit.estate, params), ({ subnet, block, router }) => ({
        subnet: subnet.id,
        vpc: subnet.vpcId,
        cidr: formatCidr(block),
        router: formatAddress(router),
      }));
    },
  },
  leaseAddress: {
    read: (params) => ({
      ...readPool(params),
      owner: readOwner(params),
      ...(params.has('address') ? { address: text(params, 'address') } : {}),
    }),
    make(edit, params, host) {
      const pool = findPool(edit.estate, params);
      if (!pool.ok) return pool;
      const { owner, address } = params;
      const wish = { pool: pool.value, owner, host, address };
      return answering(leaseAddress(edit, wish, randomInt(SEEDS)), (lease) => ({
        address: formatAddress(lease.address),
        leased: lease.isLeased,
      }));
    },
  },
  releaseAddress: {
    read: (params) => ({
      owner: readOwner(params),
      vpcId: text(params, 'vpcId'),
      address: text(params, 'address'),
    }),
    make(edit, { owner, vpcId, address }, host) {
      const parsed = parseAddress(address);
      if (!parsed.ok) return refused('InvalidParameterValue', parsed.message, parsed.hint);
      return {
        ok: true,
        value: { released: releaseLease(edit, vpcId, parsed.value, { owner, host }) },
      };
    },
  },
  reconcileInterfaces: {
    read: (params) => ({ owner: readOwner(params), keep: texts(params, 'keep', KEPT_MAX) }),
    make: (edit, { owner, keep }, host) => reconcileOwned(edit, host, owner, keep),
  },
};

/** What stands before the name of a call where a server of the API is asked. */
export const DOOR_CALLS_TARGET = 'Secgroupd';
export const DOOR_CALL_NAMES = Object.keys(FORMS) as readonly DoorCallName[];

/** Reads a call that came as JSON. @throws RowError, whatever the value is */
export function readDoorCall(name: DoorCallName, value: unknown): DoorCall {
  const body = new RowReader(name, value);
  const only = body.optionalObject('onlyIf');
  return {
    name,
    params: FORMS[name].read(body.object('params')),
    ...(only === undefined
      ? {}
      : { onlyIf: { id: text(only, 'id'), revision: only.integer('revision') } }),
  };
}

/** Makes the change of a call. @returns undefined if there is nothing to do, by `onlyIf` */
export function makeDoorCall<Name extends DoorCallName>(
  edit: Edit,
  { name, params, onlyIf }: DoorCall<Name>,
  host: string,
  context: CallContext,
): Checked<DoorCalls[Name]['result'] | undefined> {
  const isAsWas =
    onlyIf === undefined ||
    edit.estate.revisionOf(valueKey('interfaces', onlyIf.id)) === onlyIf.revision;
  if (!isAsWas) return { ok: true, value: undefined };
  const form: Form<Name> = FORMS[name];
  return form.make(edit, params, host, context);
}

/** Whether the change may be lost with the power: who asked for it is lost then, too. */
export function mayBeLost(name: DoorCallName): boolean {
  return name === 'leaseAddress';
}

function checkMtu({ mtu }: AttachedDevice, addresses: readonly string[]): Checked<undefined> {
  const min = addresses.some((one) => one.includes(':')) ? MTU_IPV6_MIN : MTU_LIMITS.min;
  if (mtu >= min && mtu <= MTU_LIMITS.max) return { ok: true, value: undefined };
  return refused('InvalidParameterValue', `mtu is from ${min} to ${MTU_LIMITS.max}`);
}

function readOwner(params: RowReader): string {
  const owner = text(params, 'owner');
  return isOwner(owner) ? owner : params.fail('owner', 'a word');
}

/** Whether a text may be the name of who asks. */
export function isOwner(owner: string): boolean {
  return /^[\w.-]+$/.test(owner);
}

function readDevice(params: RowReader): AttachedDevice {
  const device = params.object('device');
  for (const member of ['name', 'netns']) optional(device, member);
  return decodeDevice(device);
}

function readPool(params: RowReader): PoolWish {
  return {
    cidr: text(params, 'cidr'),
    subnetId: optional(params, 'subnetId'),
    vpcId: optional(params, 'vpcId'),
    range: optional(params, 'range'),
  };
}

function optional(params: RowReader, member: string): string | undefined {
  return params.has(member) ? text(params, member) : undefined;
}

function text(params: RowReader, member: string): string {
  const value = params.text(member);
  return value.length <= TEXT_MAX ? value : params.fail(member, `at most ${TEXT_MAX} characters`);
}

function texts(params: RowReader, member: string, most = LIST_MAX): readonly string[] {
  const values = params.texts(member);
  if (values.length > most) params.fail(member, `at most ${most} texts`);
  return values.every((value) => value.length <= TEXT_MAX)
    ? values
    : params.fail(member, `texts of at most ${TEXT_MAX} characters`);
}

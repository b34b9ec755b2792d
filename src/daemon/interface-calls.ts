/**
 * This file answers the requests by which interfaces come and go while the daemon runs.
 *
 * Theory of operation. An interface is a row of the store, so it is there after a restart, however the daemon ended. A
 * request is answered when what it asks for is in force here: the device is open, and the packet loops have the policy.
 * What can't be put in force is taken back, and the answer says why, so nobody starts an instance that is not guarded.
 * Requests at once are put in force together.
 *
 * Taking back is a call of its own, not the reverse of the commit: others may have named the same groups meanwhile.
 */
import { randomInt } from 'node:crypto';
import { statSync } from 'node:fs';
import { formatAddress, formatCidr, parseAddress } from '../addr/address.ts';
import { MTU_IPV6_MIN } from '../config/config-devices.ts';
import { MTU_LIMITS } from '../config/limits.ts';
import { attachForOwner, detachForOwner } from '../estate/attach.ts';
import { randomId, type CallContext } from '../estate/calls.ts';
import type { Edit } from '../estate/edit.ts';
import type { Estate } from '../estate/estate.ts';
import type { Changed, EstateClient } from '../estate/estate-client.ts';
import { valueKey } from '../estate/keys.ts';
import { findPool, leaseAddress, releaseLease, type Pool } from '../estate/leases.ts';
import type { AttachedDevice, EstateInterface } from '../estate/model.ts';
import {
  addOwnedInterface,
  ownedInterfaces,
  ownerOf,
  reconcileOwned,
  removeOwnedInterface,
  setOwnedGroups,
} from '../estate/owned-interfaces.ts';
import { QUOTA_DEFAULTS } from '../policy/quotas.ts';
import type { Checked } from '../policy/refusals.ts';
import { NO_KIND, portKind } from '../ports/port-kind.ts';
import type {
  AttachmentQuestion,
  DeviceQuestion,
  InterfaceQuestion,
  LeaseQuestion,
  OwnedInterfaceView,
  PoolQuestion,
  PoolView,
  ReleaseQuestion,
} from '../queries/owned-interfaces.ts';
import { RequestError } from '../queries/traffic-filter.ts';
import type { Commit } from '../store/store.ts';
import type { EstateInForce } from './estate-in-force.ts';

/** A daemon has no account; sentences of AWS that name one have this. */
const NO_ACCOUNT = '000000000000';
const CONTEXT: CallContext = {
  newId: randomId,
  quotas: QUOTA_DEFAULTS,
  accountId: NO_ACCOUNT,
};
const LOSABLE = { mayBeLost: true };
const NAME_DEFAULT = 'eth0';
/** For where to look for a free address first. */
const SEEDS = 2 ** 32;

export class InterfaceCalls {
  private readonly inForce: EstateInForce;
  private readonly client: EstateClient;
  private readonly host: string;

  constructor(inForce: EstateInForce, client: EstateClient) {
    this.inForce = inForce;
    this.client = client;
    this.host = inForce.host;
  }

  /** @throws RequestError if it is wrong, or can't be put in force */
  async add(question: InterfaceQuestion): Promise<OwnedInterfaceView> {
    const { id, owner, addresses, leased = false, securityGroups, tags = {} } = question;
    const wanted = {
      id,
      owner: readOwner(owner),
      host: this.host,
      device: readDevice(question.device ?? {}, addresses),
      addresses,
      isLeased: leased,
      securityGroups,
      tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
    };
    const made = await this.change((edit) => addOwnedInterface(edit, wanted, CONTEXT));
    const why = await this.whyNot(id);
    if (why !== undefined) {
      await this.undo(id, made, (edit) => removeOwnedInterface(edit, id, this.host));
      throw new RequestError(`${id} can't be put in force: ${why}`);
    }
    return this.view(made.value);
  }

  /** @throws RequestError if it is not to be removed by such a request */
  async remove(id: string): Promise<{ readonly removed: boolean }> {
    const { value } = await this.change((edit) => removeOwnedInterface(edit, id, this.host));
    await this.hold();
    return { removed: value !== undefined };
  }

  /** @throws RequestError if there is none, or more than one */
  findSubnet(question: PoolQuestion): PoolView {
    const { subnet, block, router } = readPool(this.client.estate, question);
    const { id, vpcId } = subnet;
    return { subnet: id, vpc: vpcId, cidr: formatCidr(block), router: formatAddress(router) };
  }

  /** Answered when it is in the store: no packet depends on it. @throws RequestError if somebody has the address */
  async lease(
    question: LeaseQuestion,
  ): Promise<{ readonly address: string; readonly leased: boolean }> {
    const { address } = question;
    const owner = readOwner(question.owner);
    const seed = randomInt(SEEDS);
    // If it is lost with the power, so is who asked for it.
    const { value } = await this.change((edit) => {
      const pool = readPool(edit.estate, question);
      return leaseAddress(edit, { pool, owner, host: this.host, address }, seed);
    }, LOSABLE);
    return { address: formatAddress(value.address), leased: value.isLeased };
  }

  /** @throws RequestError if the question is wrong */
  async release({ vpc, owner, address }: ReleaseQuestion): Promise<{ readonly released: boolean }> {
    const parsed = parseAddress(address);
    if (!parsed.ok) throw new RequestError(parsed.message);
    const whose = { owner, host: this.host };
    const { value } = await this.change((edit) => ({
      ok: true,
      value: releaseLease(edit, vpc, parsed.value, whose),
    }));
    return { released: value };
  }

  /** @throws RequestError if there is no such interface, somebody has it, or it can't be put in force */
  async attach(question: AttachmentQuestion): Promise<OwnedInterfaceView> {
    const { id: interfaceId, attachment: id, owner, addresses } = question;
    const there = this.client.estate.interface(interfaceId);
    const held = there?.addresses.map(formatAddress) ?? [];
    const wanted = {
      ...{ interfaceId, id, addresses, host: this.host },
      owner: readOwner(owner),
      device: readDevice(question.device ?? {}, held),
      abandoned: abandonedBy(there, this.host),
    };
    const made = await this.change((edit) => attachForOwner(edit, wanted));
    const why = await this.whyNot(interfaceId);
    if (why !== undefined) {
      await this.undo(interfaceId, made, (edit) => detachForOwner(edit, id, this.host));
      throw new RequestError(`${interfaceId} can't be put in force: ${why}`);
    }
    return this.view(made.value);
  }

  /** @throws RequestError if it is not to be detached by such a request */
  async detach(attachment: string): Promise<{ readonly detached: boolean }> {
    const { value } = await this.change((edit) => detachForOwner(edit, attachment, this.host));
    await this.hold();
    return { detached: value !== undefined };
  }

  /** @throws RequestError if that is wrong, or can't be put in force */
  async setGroups(id: string, securityGroups: readonly string[]): Promise<OwnedInterfaceView> {
    const before = this.client.estate.interface(id)?.groupIds ?? [];
    const changed = await this.change((edit) =>
      setOwnedGroups(edit, id, this.host, securityGroups, CONTEXT),
    );
    const why = await this.whyNot(id);
    if (why !== undefined) {
      await this.undo(id, changed, (edit) => setOwnedGroups(edit, id, this.host, before, CONTEXT));
      throw new RequestError(`the groups of ${id} can't be put in force: ${why}`);
    }
    return this.view(changed.value);
  }

  /** @throws RequestError if there is none */
  get(id: string): OwnedInterfaceView {
    const found = ownedInterfaces(this.client.estate, this.host).find((one) => one.id === id);
    if (found === undefined) throw new RequestError(`nobody asked this daemon for ${id}`);
    return this.view(found);
  }

  list(owner?: string): readonly OwnedInterfaceView[] {
    return ownedInterfaces(this.client.estate, this.host, owner).map((one) => this.view(one));
  }

  /** Removes what an owner has beyond `keep`. @returns the ids that were removed */
  async reconcile(
    owner: string,
    keep: readonly string[],
  ): Promise<{ readonly removed: readonly string[] }> {
    const removed: string[] = [];
    for (let left = 1; left > 0;) {
      const { value } = await this.change((edit) => reconcileOwned(edit, this.host, owner, keep));
      removed.push(...value.removed);
      ({ left } = value);
    }
    await this.hold();
    return { removed };
  }

  private async change<T>(
    work: (edit: Edit) => Checked<T>,
    options?: Pick<Commit, 'mayBeLost'>,
  ): Promise<Changed<T>> {
    const done = await this.client.change(work, options);
    return must(done);
  }

  /** Waits until the estate is in force. @throws RequestError if that fails; then the next revision tries again */
  private async hold(): Promise<void> {
    const why = await this.inForce.settle();
    if (why !== undefined) throw new RequestError(`that is stored and not in force: ${why}`);
  }

  /** Waits until the estate is in force. @returns why an interface is not in force; undefined: it is */
  private async whyNot(id: string): Promise<string | undefined> {
    return (await this.inForce.settle()) ?? this.inForce.whyNotInForce(id);
  }

  /** Takes a change back, unless it changed nothing or others have changed the interface since. */
  private async undo(
    id: string,
    { edit: made, revision }: Changed<unknown>,
    work: (edit: Edit) => Checked<unknown>,
  ): Promise<void> {
    if (made === undefined) return;
    await this.change((edit) => {
      const isOurs = edit.estate.revisionOf(valueKey('interfaces', id)) === revision;
      return isOurs ? work(edit) : { ok: true, value: undefined };
    });
    await this.inForce.settle();
  }

  private view(value: EstateInterface): OwnedInterfaceView {
    const { id, addresses, groupIds, tags, macAddress } = value;
    const attachment = value.attachment!;
    const { netns, ...device } = attachment.device;
    const why = this.inForce.whyNotInForce(id);
    return {
      id,
      ...(attachment.owner === undefined ? {} : { attachment: attachment.id }),
      owner: ownerOf(value)!,
      device: { ...device, ...(netns === undefined ? {} : { netns }) },
      addresses: addresses.map(formatAddress),
      securityGroups: groupIds.map((groupId) => ({
        id: groupId,
        name: this.client.estate.group(groupId)?.group.name ?? groupId,
      })),
      tags: Object.fromEntries(tags.map((tag) => [tag.key, tag.value])),
      macAddress,
      ...(why === undefined ? {} : { notInForce: why }),
    };
  }
}

function must<T>(done: Checked<T>): T {
  if (done.ok) return done.value;
  const sentences = done.refusals.map(({ message, hint }) => {
    const sentence = message.replace(/\.$/, '');
    return hint === undefined ? sentence : `${sentence}: ${hint}`;
  });
  throw new RequestError(sentences.join('; '));
}

/** @throws RequestError if there is none, or more than one */
function readPool(estate: Estate, { cidr, subnet, vpc, range }: PoolQuestion): Pool {
  return must(findPool(estate, { cidr, subnetId: subnet, vpcId: vpc, range }));
}

/** An attachment whose namespace is gone, as all are after a start of the machine that no runtime cleaned up after. */
function abandonedBy(there: EstateInterface | undefined, host: string): string | undefined {
  const { attachment } = there ?? {};
  const netns = attachment?.device.netns;
  const isHere = attachment?.owner !== undefined && attachment.host === host;
  if (!isHere || netns?.startsWith('/') !== true) return undefined;
  return isGone(netns) ? attachment.id : undefined;
}

function isGone(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    // What can't be looked at may be there.
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function readOwner(owner: string): string {
  if (/^[\w.-]+$/.test(owner)) return owner;
  throw new RequestError('owner is a word of letters, digits, dots, dashes and underscores');
}

/** What the device is, with what the question leaves out. The estate checks the names. */
function readDevice(given: DeviceQuestion, addresses: readonly string[]): AttachedDevice {
  const { kind = NO_KIND, name = NAME_DEFAULT, netns, mtu = MTU_LIMITS.otherwise } = given;
  const { isAttached, isStream } = portKind(kind);
  if (isAttached && (given.name ?? '') === '')
    throw new RequestError('which interface is to be attached? There is no default for its name');
  if (isStream && (given.name ?? '') === '')
    throw new RequestError("where is the stream's socket? Its path is the name of the device");
  if (isAttached && given.mtu !== undefined)
    throw new RequestError('an attached device has the MTU that it has: leave mtu out');
  const min = addresses.some((text) => text.includes(':')) ? MTU_IPV6_MIN : MTU_LIMITS.min;
  if (mtu < min || mtu > MTU_LIMITS.max)
    throw new RequestError(`mtu is from ${min} to ${MTU_LIMITS.max}`);
  const { configure = netns !== undefined && !isAttached, persist = false } = given;
  return { kind, name, netns, mtu, configure, persist };
}

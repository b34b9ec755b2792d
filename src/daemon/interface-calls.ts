/**
 * This file answers the requests by which interfaces come and go while the daemon runs.
 *
 * Theory of operation. An interface is a row of the store, so it is there after a restart, however the daemon ended. A
 * request is answered when what it asks for is in force here: the device is open, and the packet loops have the policy.
 * What can't be put in force is taken back, and the answer says why, so nobody starts an instance that is not guarded.
 * Requests at once are put in force together.
 *
 * Taking back is a call of its own, not the reverse of the commit: others may have named the same groups meanwhile.
 *
 * Who makes the change depends on whose the store is (door-changes.ts).
 */
import { statSync } from 'node:fs';
import { formatAddress } from '../addr/address.ts';
import { MTU_LIMITS } from '../config/limits.ts';
import { isOwner, type DoorCallName, type DoorCalls } from '../estate/door-calls.ts';
import type { AttachedDevice, EstateInterface } from '../estate/model.ts';
import { ownedInterfaces, ownerOf } from '../estate/owned-interfaces.ts';
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
import type { DoorChange, DoorChanges } from './door-changes.ts';
import type { EstateInForce } from './estate-in-force.ts';

const NAME_DEFAULT = 'eth0';

export class InterfaceCalls {
  private readonly inForce: EstateInForce;
  private readonly changes: DoorChanges;
  private readonly host: string;

  constructor(inForce: EstateInForce, changes: DoorChanges) {
    this.inForce = inForce;
    this.changes = changes;
    this.host = inForce.host;
  }

  /** @throws RequestError if it is wrong, or can't be put in force */
  async add(question: InterfaceQuestion): Promise<OwnedInterfaceView> {
    const { id, owner, addresses, leased = false, securityGroups, tags = {} } = question;
    const made = await this.change('addInterface', {
      id,
      owner: readOwner(owner),
      device: readDevice(question.device ?? {}),
      addresses,
      isLeased: leased,
      securityGroups,
      tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
    });
    const why = await this.whyNot(id, made);
    if (why !== undefined) {
      await this.undo(id, made, 'removeInterface', { id });
      throw new RequestError(`${id} can't be put in force: ${why}`);
    }
    return this.get(id);
  }

  /** @throws RequestError if it is not to be removed by such a request */
  async remove(id: string): Promise<{ readonly removed: boolean }> {
    const done = await this.change('removeInterface', { id });
    await this.hold(done);
    return done.value;
  }

  /** @throws RequestError if there is none, or more than one */
  async findSubnet(question: PoolQuestion): Promise<PoolView> {
    return (await this.change('findSubnet', poolWish(question))).value;
  }

  /** Answered when it is in the store: no packet depends on it. @throws RequestError if somebody has the address */
  async lease(question: LeaseQuestion): Promise<DoorCalls['leaseAddress']['result']> {
    const { address } = question;
    const owner = readOwner(question.owner);
    const wish = { ...poolWish(question), owner, ...(address === undefined ? {} : { address }) };
    return (await this.change('leaseAddress', wish)).value;
  }

  /** @throws RequestError if the question is wrong */
  async release({ vpc, owner, address }: ReleaseQuestion): Promise<{ readonly released: boolean }> {
    return (await this.change('releaseAddress', { vpcId: vpc, owner, address })).value;
  }

  /** @throws RequestError if there is no such interface, somebody has it, or it can't be put in force */
  async attach(question: AttachmentQuestion): Promise<OwnedInterfaceView> {
    const { id: interfaceId, attachment: id, owner, addresses } = question;
    const made = await this.change('attachInterface', {
      ...{ interfaceId, id, addresses },
      owner: readOwner(owner),
      device: readDevice(question.device ?? {}),
      abandoned: abandonedBy(this.inForce.estate.interface(interfaceId), this.host),
    });
    const why = await this.whyNot(interfaceId, made);
    if (why !== undefined) {
      await this.undo(interfaceId, made, 'detachInterface', { attachment: id });
      throw new RequestError(`${interfaceId} can't be put in force: ${why}`);
    }
    return this.get(interfaceId);
  }

  /** @throws RequestError if it is not to be detached by such a request */
  async detach(attachment: string): Promise<{ readonly detached: boolean }> {
    const done = await this.change('detachInterface', { attachment });
    await this.hold(done);
    return done.value;
  }

  /** @throws RequestError if that is wrong, or can't be put in force */
  async setGroups(id: string, securityGroups: readonly string[]): Promise<OwnedInterfaceView> {
    const before = this.inForce.estate.interface(id)?.groupIds ?? [];
    const changed = await this.change('setInterfaceGroups', { id, securityGroups });
    const why = await this.whyNot(id, changed);
    if (why !== undefined) {
      await this.undo(id, changed, 'setInterfaceGroups', { id, securityGroups: before });
      throw new RequestError(`the groups of ${id} can't be put in force: ${why}`);
    }
    return this.get(id);
  }

  /** @throws RequestError if there is none */
  get(id: string): OwnedInterfaceView {
    const found = ownedInterfaces(this.inForce.estate, this.host).find((one) => one.id === id);
    if (found === undefined) throw new RequestError(`nobody asked this daemon for ${id}`);
    return this.view(found);
  }

  list(owner?: string): readonly OwnedInterfaceView[] {
    return ownedInterfaces(this.inForce.estate, this.host, owner).map((one) => this.view(one));
  }

  /** Removes what an owner has beyond `keep`. @returns the ids that were removed */
  async reconcile(
    owner: string,
    keep: readonly string[],
  ): Promise<{ readonly removed: readonly string[] }> {
    const removed: string[] = [];
    for (;;) {
      const done = await this.change('reconcileInterfaces', { owner, keep });
      removed.push(...done.value.removed);
      if (done.value.left > 0) continue;
      await this.hold(done);
      return { removed };
    }
  }

  private change<Name extends DoorCallName>(
    name: Name,
    params: DoorCalls[Name]['params'],
  ): Promise<DoorChange<Name>> {
    return this.changes.make({ name, params });
  }

  /** Waits until a change is in force. @throws RequestError if that fails; then the next revision tries again */
  private async hold({ revision }: DoorChange): Promise<void> {
    const why = await this.inForce.settle(revision);
    if (why !== undefined) throw new RequestError(`that is stored and not in force: ${why}`);
  }

  /** Waits until a change is in force. @returns why an interface is not in force; undefined: it is */
  private async whyNot(id: string, { revision }: DoorChange): Promise<string | undefined> {
    return (await this.inForce.settle(revision)) ?? this.inForce.whyNotInForce(id);
  }

  /** Takes a change back, unless it changed nothing or others have changed the interface since. */
  private async undo<Name extends DoorCallName>(
    id: string,
    { hasChanged, revision }: DoorChange,
    name: Name,
    params: DoorCalls[Name]['params'],
  ): Promise<void> {
    if (!hasChanged) return;
    const undone = await this.changes.make({ name, params, onlyIf: { id, revision } });
    await this.inForce.settle(undone.revision);
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
        name: this.inForce.estate.group(groupId)?.group.name ?? groupId,
      })),
      tags: Object.fromEntries(tags.map((tag) => [tag.key, tag.value])),
      macAddress,
      ...(why === undefined ? {} : { notInForce: why }),
    };
  }
}

function poolWish({ cidr, subnet, vpc, range }: PoolQuestion): DoorCalls['findSubnet']['params'] {
  return { cidr, subnetId: subnet, vpcId: vpc, range };
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
  if (isOwner(owner)) return owner;
  throw new RequestError('owner is a word of letters, digits, dots, dashes and underscores');
}

/** What the device is, with what the question leaves out. Who makes the change checks the names and the MTU. */
function readDevice(given: DeviceQuestion): AttachedDevice {
  const { kind = NO_KIND, name = NAME_DEFAULT, netns, mtu = MTU_LIMITS.otherwise } = given;
  const { isAttached, isStream } = portKind(kind);
  if (isAttached && (given.name ?? '') === '')
    throw new RequestError('which interface is to be attached? There is no default for its name');
  if (isStream && (given.name ?? '') === '')
    throw new RequestError("where is the stream's socket? Its path is the name of the device");
  if (isAttached && given.mtu !== undefined)
    throw new RequestError('an attached device has the MTU that it has: leave mtu out');
  const { configure = netns !== undefined && !isAttached, persist = false } = given;
  return { kind, name, netns, mtu, configure, persist };
}

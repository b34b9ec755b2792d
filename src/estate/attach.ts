/**
 * This file attaches network interfaces and detaches them: for calls (AttachNetworkInterface, DetachNetworkInterface),
 * and for whoever asks a daemon to make an interface of a call that of a container.
 *
 * A container runtime calls several times and after crashes. So it chooses the id of its attachment, by which each
 * request can be made again, and a late one about a container that is gone does not meet the container after it.
 */
import { formatAddress } from '../addr/address.ts';
import { isId } from '../policy/ids.ts';
import type { InterfaceId } from '../policy/model.ts';
import { checkOneOwner } from './one-owner.ts';
import { makeRefusal, type Checked, type Refusal } from '../policy/refusals.ts';
import {
  checkDevice,
  checkHost,
  instanceOf,
  placeInInstance,
  sameDevice,
  TAG_PREFIX,
} from './attachments.ts';
import { checkNotOwned, refused, unlessDeclared, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import { changeInterface, findInterface } from './interfaces.ts';
import type { AttachedDevice, Attachment, EstateInterface } from './model.ts';

export interface AttachmentWish {
  readonly host: string;
  readonly instanceId: string;
  readonly deviceIndex: number;
  readonly device: AttachedDevice;
}

/** Attaches an interface that is not attached yet. */
export function attachInterface(
  edit: Edit,
  id: InterfaceId,
  wish: AttachmentWish,
  context: CallContext,
): Checked<EstateInterface> {
  return changeInterface(edit, id, (before) => {
    const refusals = [
      ...checkNotAttached(before),
      ...checkHost(edit.estate, wish.host),
      ...checkDevice(edit.estate, id, wish.host, wish.device),
    ];
    if (refusals.length > 0) return { ok: false, refusals };
    edit.attach(id, wish.host);
    const attachment: Attachment = {
      ...wish,
      id: context.newId('eni-attach'),
      attachedAt: new Date().toISOString(),
      isByTags: false,
    };
    return { ok: true, value: { ...before, attachment } };
  });
}

/** Attaches an interface beside the others of an instance. */
export function attachToInstance(
  edit: Edit,
  id: InterfaceId,
  instanceId: string,
  deviceIndex: number,
  context: CallContext,
): Checked<EstateInterface> {
  const found = findInterface(edit, id);
  if (!found.ok) return found;
  const place = placeInInstance(edit.estate, found.value, instanceId, deviceIndex);
  if (!place.ok) return place;
  return attachInterface(edit, id, { ...place.value, instanceId, deviceIndex }, context);
}

/** @param isForced whether also an interface is detached that somebody asked a daemon to attach */
export function detachInterface(
  edit: Edit,
  attachmentId: string,
  isForced = false,
): Checked<EstateInterface> {
  const found = edit.list('interfaces').find(({ attachment }) => attachment?.id === attachmentId);
  if (found === undefined) {
    const message = `The attachment '${attachmentId}' does not exist`;
    return refused('InvalidAttachmentID.NotFound', message);
  }
  return changeInterface(edit, found.id, (before) => {
    const { attachment } = before;
    const owned = checkNotOwned(found.id, before);
    if (owned.length > 0) return { ok: false, refusals: owned };
    if (attachment?.owner !== undefined && !isForced) {
      const message = `${found.id} is the interface of an instance of ${attachment.owner}, which alone may detach it`;
      return refused('OperationNotPermitted', message, 'end that instance, or call with Force');
    }
    const held = checkOneOwner(edit, before, undefined);
    if (held.length > 0) return { ok: false, refusals: held };
    if (attachment?.isByTags !== true)
      return { ok: true, value: { ...before, attachment: undefined } };
    const message = `The interface '${found.id}' is attached by its tags`;
    return refused('OperationNotPermitted', message, `take its tags ${TAG_PREFIX}… away`);
  });
}

export interface OwnedAttachment {
  readonly interfaceId: InterfaceId;
  /** `eni-attach-…`, which the owner chooses. */
  readonly id: string;
  readonly owner: string;
  readonly host: string;
  readonly device: AttachedDevice;
  /** What the instance gets, as text; undefined: all that the interface has. */
  readonly addresses: readonly string[] | undefined;
  /** An attachment that nothing is left of: it gives way. */
  readonly abandoned: string | undefined;
}

/** Attaches an interface of a call for an owner. One that is attached so already is answered as it is. */
export function attachForOwner(edit: Edit, wish: OwnedAttachment): Checked<EstateInterface> {
  const { interfaceId, id, owner, host, device, abandoned } = wish;
  if (!isId('eni-attach', id)) {
    const message = `'${id}' is no id of an attachment`;
    return refused('InvalidID', message, 'eni-attach- and 17 hexadecimal digits');
  }
  const found = unlessDeclared(interfaceId, findInterface(edit, interfaceId));
  if (!found.ok) return found;
  const before = found.value;
  const there = before.attachment;
  const isAsAsked =
    there?.id === id &&
    there.owner === owner &&
    there.host === host &&
    sameDevice(there.device, device);
  const givesWay = isAsAsked || (there !== undefined && there.id === abandoned);
  const refusals = [
    ...checkNotOwned(interfaceId, before),
    ...(givesWay ? [] : checkNotAttached(before)),
    ...checkAddresses(before, wish.addresses),
    ...checkDevice(edit.estate, interfaceId, host, device),
    ...checkUnused(edit, wish),
  ];
  if (refusals.length > 0) return { ok: false, refusals };
  if (isAsAsked) return found;
  edit.attach(interfaceId, host);
  const attachment: Attachment = {
    ...{ id, owner, host, device },
    instanceId: instanceOf(id),
    deviceIndex: 0,
    attachedAt: new Date().toISOString(),
    isByTags: false,
  };
  const value = { ...before, attachment };
  edit.write('interfaces', interfaceId, value);
  return { ok: true, value };
}

/** @returns undefined if nothing is attached so on this host, which is as well */
export function detachForOwner(
  edit: Edit,
  attachmentId: string,
  host: string,
): Checked<EstateInterface | undefined> {
  const found = edit.estate
    .interfacesOfHost(host)
    .find(({ attachment }) => attachment?.id === attachmentId);
  if (found === undefined) return { ok: true, value: undefined };
  if (found.attachment?.owner === undefined) {
    const message =
      found.owner === undefined
        ? `A call of the EC2 API attached ${found.id}`
        : `${found.id} was made for ${attachmentId}`;
    const hint = found.owner === undefined ? 'detach it by such a call' : 'remove the interface';
    return refused('OperationNotPermitted', message, hint);
  }
  return changeInterface(edit, found.id, (before) =>
    before.attachment?.id === attachmentId
      ? { ok: true, value: { ...before, attachment: undefined } }
      : { ok: true, value: before },
  );
}

/** What stands against attaching an interface: AWS's sentence, and who has it. */
function checkNotAttached({ id, attachment }: EstateInterface): readonly Refusal[] {
  if (attachment === undefined) return [];
  const { owner, host, instanceId, isByTags, device } = attachment;
  const who = owner ?? instanceId;
  const hint = isByTags
    ? `its tags attach it: take ${TAG_PREFIX}… away`
    : `${who} has it, as ${device.name} in ${device.netns ?? 'no namespace of its own'} on the host ${host}`;
  const message = `Network interface '${id}' is currently in use.`;
  return [makeRefusal('InvalidNetworkInterface.InUse', message, hint)];
}

/** An instance with another address than the interface's would neither send nor be reached. */
function checkAddresses(
  { id, addresses }: EstateInterface,
  given: readonly string[] = [],
): readonly Refusal[] {
  const held = addresses.map(formatAddress);
  const others = given.filter((text) => !held.includes(text));
  if (others.length === 0) return [];
  const options = [4, 6].flatMap((family) => {
    const primary = addresses.find((one) => one.family === family);
    const option = family === 4 ? '--ip' : '--ip6';
    return primary === undefined ? [] : [`${option} ${formatAddress(primary)}`];
  });
  const message = `${id} has the address ${held.join(', ')}, and not ${others.join(', ')}`;
  const hint = `ask the runtime for it: ${options.join(' ')}`;
  return [makeRefusal('InvalidParameterValue', message, hint)];
}

/** What stands against an attachment's id: one of an instance has one interface. */
export function checkUnused(
  edit: Edit,
  { id, host, interfaceId }: Pick<OwnedAttachment, 'id' | 'host' | 'interfaceId'>,
): readonly Refusal[] {
  const other = edit.estate
    .interfacesOfHost(host)
    .find((one) => one.id !== interfaceId && one.attachment?.id === id);
  if (other === undefined) return [];
  return [makeRefusal('InvalidParameterValue', `The attachment ${id} is that of ${other.id}`)];
}

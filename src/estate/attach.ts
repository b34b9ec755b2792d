/** Calls that attach network interfaces, and detach them: AttachNetworkInterface, DetachNetworkInterface. */
import type { InterfaceId } from '../policy/model.ts';
import type { Checked } from '../policy/refusals.ts';
import { checkDevice, checkHost, placeInInstance, TAG_PREFIX } from './attachments.ts';
import { checkNotOwned, refused, type CallContext } from './calls.ts';
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
    if (before.attachment !== undefined) {
      const message = `Network interface '${id}' is currently in use.`;
      return refused('InvalidNetworkInterface.InUse', message);
    }
    const refusals = [
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

export function detachInterface(edit: Edit, attachmentId: string): Checked<EstateInterface> {
  const found = edit.list('interfaces').find(({ attachment }) => attachment?.id === attachmentId);
  if (found === undefined) {
    const message = `The attachment '${attachmentId}' does not exist`;
    return refused('InvalidAttachmentID.NotFound', message);
  }
  return changeInterface(edit, found.id, (before) => {
    const owned = checkNotOwned(found.id, before);
    if (owned.length > 0) return { ok: false, refusals: owned };
    if (before.attachment?.isByTags !== true)
      return { ok: true, value: { ...before, attachment: undefined } };
    const message = `The interface '${found.id}' is attached by its tags`;
    return refused('OperationNotPermitted', message, `take its tags ${TAG_PREFIX}… away`);
  });
}

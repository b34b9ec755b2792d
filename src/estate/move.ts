/**
 * Moves of interfaces between hosts that share a store.
 *
 * Theory of operation. A move is two commits. The first one gives the interface to the other host, which must not open
 * it yet (`isHeld`): it is nobody's then. The host before closes the device when it learns of that, and acknowledges
 * the revision. The second commit lets the other host open it. So where both hosts answer, there is never more than
 * one owner, whatever they are told first. Who is ended between the two leaves an interface that nobody has open; the
 * same move again goes on.
 *
 * `generation` counts the moves, so that nothing that was said about an earlier one counts for a later one.
 */
import { formatAddress, sameAddress } from '../addr/address.ts';
import type { InterfaceId } from '../policy/model.ts';
import { makeRefusal, type Checked, type Refusal } from '../policy/refusals.ts';
import { addTags, type Tag } from '../policy/tags.ts';
import { checkDevice, checkHost, sameDevice, TAG_PREFIX } from './attachments.ts';
import { refused, unlessDeclared } from './calls.ts';
import type { Edit } from './edit.ts';
import { findInterface } from './interfaces.ts';
import { declaredKey } from './keys.ts';
import type { AttachedDevice, Attachment, EstateInterface, Tags } from './model.ts';

export interface MoveWish {
  readonly host: string;
  /** Undefined: as it is called now. */
  readonly device: string | undefined;
  /** Undefined: the same as now. */
  readonly netns: string | undefined;
}

/** An interface that is given to another host. */
export interface Moving {
  readonly value: EstateInterface;
  readonly attachment: Attachment;
  /** As it was before; the same value if it is on its way already, or has arrived. */
  readonly before: EstateInterface;
}

/** Gives an interface to another host, where nobody opens it yet. One that is on its way there is answered as it is. */
export function beginMove(edit: Edit, id: InterfaceId, wish: MoveWish): Checked<Moving> {
  const found = unlessDeclared(id, findInterface(edit, id));
  if (!found.ok) return found;
  const before = found.value;
  const { attachment } = before;
  const owner = before.owner ?? attachment?.owner;
  if (owner !== undefined) {
    const message = `${id} is the interface of an instance of ${owner}, which goes by where it is`;
    return refused('OperationNotPermitted', message, 'start that instance on the other host');
  }
  if (attachment === undefined) {
    const message = `${id} is not attached, so no host has it`;
    return refused('OperationNotPermitted', message, 'attach it where it is to be');
  }
  const { host } = wish;
  const { name, netns } = attachment.device;
  const device = { ...attachment.device, name: wish.device ?? name, netns: wish.netns ?? netns };
  if (attachment.host === host) return asItIs(before, attachment, device);
  const refusals = [
    ...checkHost(edit.estate, host),
    ...checkDevice(edit.estate, id, host, device),
    ...checkFile(edit, before, host),
  ];
  if (refusals.length > 0) return { ok: false, refusals };
  const tags = attachment.isByTags ? placedTags(before.tags, wish) : { ok: true as const, value: before.tags }; // prettier-ignore
  if (!tags.ok) return tags;
  edit.attach(id, host);
  const next = attachedTo(attachment, host, device);
  // What is on its way is moved once, wherever it goes in the end.
  const moves = (before.generation ?? 0) + (attachment.moved?.isHeld === true ? 0 : 1);
  const value = { ...before, attachment: next, generation: moves, tags: tags.value };
  edit.write('interfaces', id, value);
  return { ok: true, value: { value, attachment: next, before } };
}

/**
 * Lets the host open an interface that was given to it.
 * @param generation of the move that is meant; if there was another one since, nothing is changed
 */
export function endMove(edit: Edit, id: InterfaceId, generation: number): Checked<EstateInterface> {
  const found = findInterface(edit, id);
  if (!found.ok) return found;
  const { attachment } = found.value;
  if (attachment === undefined || (found.value.generation ?? 0) !== generation) {
    const message = `${id} was moved elsewhere, or detached, meanwhile`;
    return refused('OperationNotPermitted', message);
  }
  if (attachment.moved?.isHeld !== true) return found;
  const moved = { ...attachment.moved, isHeld: false };
  const value = { ...found.value, attachment: { ...attachment, moved } };
  edit.write('interfaces', id, value);
  return { ok: true, value };
}

/** Gives an interface back to the host that had it, since the other one can't open it. */
export function undoMove(edit: Edit, { value, before }: Moving): Checked<EstateInterface> {
  const { id, generation = 0 } = value;
  const found = findInterface(edit, id);
  if (!found.ok) return found;
  if (found.value.generation !== generation)
    return refused('OperationNotPermitted', `${id} was moved again meanwhile`);
  const { moved, ...place } = before.attachment!;
  // Whoever had it before that host has given it up.
  const attachment = moved === undefined ? place : { ...place, moved: { ...moved, isHeld: false } };
  const back = { ...found.value, attachment, tags: before.tags, generation: generation + 1 };
  edit.write('interfaces', id, back);
  return { ok: true, value: back };
}

function asItIs(
  value: EstateInterface,
  attachment: Attachment,
  device: AttachedDevice,
): Checked<Moving> {
  if (sameDevice(attachment.device, device))
    return { ok: true, value: { value, attachment, before: value } };
  const { name, netns } = attachment.device;
  const message = `${value.id} is on the host ${attachment.host} already, as ${name} in ${netns ?? 'no namespace of its own'}`;
  return refused('OperationNotPermitted', message, 'a device is not changed by a move');
}

/** The attachment on another host. The host that has the interface open has to give it up first. */
function attachedTo(
  { moved, ...attachment }: Attachment,
  host: string,
  device: AttachedDevice,
): Attachment {
  const from = moved?.isHeld === true ? moved.from : attachment.host;
  const held = from === host ? {} : { moved: { from, isHeld: true } };
  return { ...attachment, host, device, ...held };
}

/** What stands against a move by what a file of the host declares. */
function checkFile(
  edit: Edit,
  { id, vpcId, addresses }: EstateInterface,
  host: string,
): readonly Refusal[] {
  const { estate } = edit;
  const found: Refusal[] = [];
  if (estate.textOf(declaredKey(host, 'interfaces', id)) !== undefined)
    found.push(makeRefusal('OperationNotPermitted', `A file of the host ${host} declares ${id}`));
  const declared = estate
    .list('interfaces')
    .filter((one) => one.declaredAt?.host === host && one.vpcId === vpcId && one.id !== id);
  for (const address of addresses) {
    const holder = declared.find((one) => one.addresses.some((its) => sameAddress(its, address)));
    if (holder === undefined) continue;
    const { file, line } = holder.declaredAt!;
    const message = `${formatAddress(address)} can't be on the host ${host}: ${holder.id} has it there (${file}, line ${line})`;
    found.push(makeRefusal('InvalidIPAddress.InUse', message));
  }
  return found;
}

/** An interface that its tags attach goes by them, so they say where it is. */
function placedTags(tags: Tags, { host, device, netns }: MoveWish): Checked<Tags> {
  const tag = (name: string, value: string | undefined): readonly Tag[] =>
    value === undefined ? [] : [{ key: TAG_PREFIX + name, value }];
  return addTags(tags, [...tag('host', host), ...tag('device', device), ...tag('netns', netns)]);
}

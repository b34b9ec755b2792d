/**
 * This file keeps calls of the EC2 API from giving an interface to another host in one step.
 *
 * Two hosts that are told at the same time are not at the same time done: the new one may have opened the interface
 * before the old one has closed it, and one that is cut off goes on. Moves have two steps for that (move.ts), which no
 * call of the API has. So a call may do it only if the host before surely forwards nothing: it has left, or is fenced.
 */
import { makeRefusal, type Refusal } from '../policy/refusals.ts';
import type { Edit } from './edit.ts';
import { isFenced } from './fenced-hosts.ts';
import { aliveKey, appliedKey } from './keys.ts';
import type { Attachment, EstateInterface } from './model.ts';

/** @param next where the interface is to be; undefined: nowhere */
export function checkOneOwner(
  edit: Edit,
  { id, attachment: before }: EstateInterface,
  next: Attachment | undefined,
): readonly Refusal[] {
  const { moved, host } = before ?? {};
  if (moved?.isHeld === true) {
    const message = `${id} is on its way to the host ${host}, and ${moved.from} may have it still`;
    const hint = `go on with that first: sgctl interface move ${id} ${host}`;
    return [makeRefusal('OperationNotPermitted', message, hint)];
  }
  if (host === undefined || next === undefined || next.host === host) return [];
  const { estate } = edit;
  const hasLeft = estate.applied().get(host) === undefined;
  if (!hasLeft && !isFenced(estate, host)) {
    const message = `${id} is on the host ${host}, and two hosts would have it until that one has given it up`;
    const hint = `move it: sgctl interface move ${id} ${next.host}`;
    return [makeRefusal('OperationNotPermitted', message, hint)];
  }
  // Should the host come back meanwhile, the commit fails.
  edit.text(hasLeft ? appliedKey(host) : aliveKey(host));
  return [];
}

/** This file says what happened to a stack, as DescribeStackEvents tells it. */
import { randomUUID } from 'node:crypto';
import type { ResourceChange, Stack, StackEvent } from './stack-rows.ts';

const STACK_TYPE = 'AWS::CloudFormation::Stack';
const NEW_ONE =
  'Requested update requires the creation of a new physical resource; hence creating one.';
const CANCELLED = {
  CREATE: 'Resource creation cancelled',
  UPDATE: 'Resource update cancelled',
  DELETE: 'Resource deletion cancelled',
} as const;

export type Verb = 'CREATE' | 'UPDATE' | 'DELETE';

/** The resource that was refused, and why. */
export interface Failure {
  /** Empty: none alone. */
  readonly logicalId: string;
  readonly reason: string;
}

export function stackEvent(
  { name, id }: Pick<Stack, 'name' | 'id'>,
  status: string,
  reason?: string,
): StackEvent {
  return makeEvent({ logicalId: name, physicalId: id, type: STACK_TYPE }, status, reason);
}

/** What happens to the resources of a stack that becomes what it is to be. */
export function changeEvents(
  changes: readonly ResourceChange[],
  idOf: (logicalId: string) => string | undefined,
  noteOf: (logicalId: string) => string | undefined,
): readonly StackEvent[] {
  return changes.flatMap((change) => {
    const { logicalId, isReplaced, action } = change;
    const verb = verbOf(change);
    const before = { ...change, physicalId: change.physicalId ?? '' };
    const after = { ...change, physicalId: idOf(logicalId) ?? before.physicalId };
    const events = [
      makeEvent(before, `${verb}_IN_PROGRESS`, isReplaced ? NEW_ONE : undefined),
      makeEvent(after, `${verb}_COMPLETE`, action === 'Remove' ? undefined : noteOf(logicalId)),
    ];
    if (!isReplaced) return events;
    return [
      ...events,
      makeEvent(before, 'DELETE_IN_PROGRESS'),
      makeEvent(before, 'DELETE_COMPLETE'),
    ];
  });
}

/** The same if one of them was refused: the others are as they were. */
export function failureEvents(
  changes: readonly ResourceChange[],
  { logicalId: failed, reason }: Failure,
): readonly StackEvent[] {
  return changes.flatMap((change) => {
    const verb = verbOf(change);
    const one = { ...change, physicalId: change.physicalId ?? '' };
    const why = change.logicalId === failed ? reason : CANCELLED[verb];
    return [makeEvent(one, `${verb}_IN_PROGRESS`), makeEvent(one, `${verb}_FAILED`, why)];
  });
}

function verbOf({ action }: ResourceChange): Verb {
  if (action === 'Add') return 'CREATE';
  return action === 'Modify' ? 'UPDATE' : 'DELETE';
}

function makeEvent(
  {
    logicalId,
    physicalId,
    type,
  }: { readonly logicalId: string; readonly physicalId: string; readonly type: string },
  status: string,
  reason?: string,
): StackEvent {
  const at = new Date().toISOString();
  const given = reason === undefined ? {} : { reason };
  return { id: randomUUID(), at, logicalId, physicalId, type, status, ...given };
}

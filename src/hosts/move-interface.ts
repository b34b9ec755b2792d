/**
 * This file moves an interface to another host of the store, and waits until it has arrived. estate/move.ts has the
 * theory.
 *
 * The host before may not answer: it is dead, or can't reach the store. Nobody can tell which, so the interface is
 * opened on the other host after a while all the same, and whoever asked for the move learns that there may be two.
 * If the other host can't open it, it is given back.
 */
import type { Edit } from '../estate/edit.ts';
import type { EstateClient } from '../estate/estate-client.ts';
import { beginMove, endMove, undoMove, type MoveWish } from '../estate/move.ts';
import { removeHandover } from '../estate/handover.ts';
import { handoverPrefix, valueKey } from '../estate/keys.ts';
import type { Arrived, AttachedDevice } from '../estate/model.ts';
import type { InterfaceId } from '../policy/model.ts';
import { refusalText, type Checked } from '../policy/refusals.ts';

export interface MoveOptions extends MoveWish {
  readonly interfaceId: InterfaceId;
  /** How long either host may take. */
  readonly waitMs: number;
}

/** Keys as `--json` prints them. */
export interface MoveResult {
  readonly id: InterfaceId;
  /** The host before; absent: it was there already. */
  readonly from?: string;
  readonly to: string;
  readonly device: AttachedDevice;
  /** How often the interface was moved. */
  readonly generation: number;
  /** Whether the host before has said that it gave the interface up: else two may have it. */
  readonly isGivenUp: boolean;
  /** What came of its tracked connections; absent: that host has not said. */
  readonly connections?: Arrived;
}

/** A move that was refused, or that did not arrive. The message says what is true now. */
export class MoveError extends Error {
  override readonly name = 'MoveError';
}

/** @throws MoveError; StoreError if the store fails */
export async function moveInterface(
  client: EstateClient,
  options: MoveOptions,
): Promise<MoveResult> {
  const { interfaceId: id, host: to, waitMs } = options;
  const moving = await change(client, (edit) => beginMove(edit, id, options));
  const { value, attachment, before } = moving;
  const { generation = 0 } = value;
  const { moved } = attachment;
  let isGivenUp = true;
  if (moved?.isHeld === true) {
    isGivenUp = await hasGivenUp(client, moved.from, rowRevision(client, id), waitMs);
    await change(client, (edit) => endMove(edit, id, generation));
  }
  const why = await whyNotInForce(client, id, to, rowRevision(client, id), waitMs);
  if (why !== undefined && before === value)
    throw new MoveError(`${id} is on the host ${to}, and not in force there: ${why}`);
  if (why !== undefined) {
    const { host } = before.attachment!;
    const back = await client.change((edit) => undoMove(edit, moving));
    const end = back.ok
      ? `it was given back to ${host}`
      : `it could not be given back to ${host}: ${refusalText(back.refusals.slice(0, 1))}`;
    throw new MoveError(`${id} can't be put in force on ${to}: ${why}; ${end}`);
  }
  const { device } = attachment;
  if (moved === undefined) return { id, to, device, generation, isGivenUp };
  const { from } = moved;
  // The host before would do so after a while. A role that may not is no failure.
  await removeHandover(client.store, handoverPrefix(from, id)).catch(() => undefined);
  const arrival = client.estate.applied().get(to)?.arrivals?.[id];
  if (arrival?.generation !== generation) return { id, from, to, device, generation, isGivenUp };
  const { generation: _, ...connections } = arrival;
  return { id, from, to, device, generation, isGivenUp, connections };
}

async function change<T>(client: EstateClient, work: (edit: Edit) => Checked<T>): Promise<T> {
  const done = await client.change(work);
  if (!done.ok) throw new MoveError(refusalText(done.refusals.slice(0, 1)));
  return done.value.value;
}

/** Of the last change of the interface, which hosts enforce. */
function rowRevision({ estate }: EstateClient, id: InterfaceId): number {
  return estate.revisionOf(valueKey('interfaces', id));
}

/** Waits until a host has a revision in force, or has left: one that leaves in order has closed its devices. */
function hasGivenUp(
  client: EstateClient,
  host: string,
  revision: number,
  waitMs: number,
): Promise<boolean> {
  return client.until(() => {
    const applied = client.estate.applied().get(host);
    return applied === undefined || applied.revision >= revision;
  }, waitMs);
}

/** Waits until an interface is in force on a host. @returns why it is not; undefined: it is */
async function whyNotInForce(
  client: EstateClient,
  id: InterfaceId,
  host: string,
  revision: number,
  waitMs: number,
): Promise<string | undefined> {
  const { estate } = client;
  const answer = (): string | undefined => {
    const applied = estate.applied().get(host);
    if (applied === undefined) return 'secgroupd has ended there';
    const { refused, leftOut } = applied;
    if (refused !== undefined && refused.revision >= revision) return refused.message;
    if (applied.revision < revision)
      return `${host} has not answered within ${waitMs / 1000} s: does secgroupd run there?`;
    return leftOut?.[id];
  };
  const isAnswered = (): boolean => {
    const applied = estate.applied().get(host);
    const seen = Math.max(applied?.revision ?? 0, applied?.refused?.revision ?? 0);
    return applied === undefined || seen >= revision;
  };
  await client.until(isAnswered, waitMs);
  return answer();
}

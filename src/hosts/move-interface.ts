/**
 * This file moves an interface to another host of the store, and waits until it has arrived. estate/move.ts has the
 * theory.
 *
 * The host before may not answer: it is dead, or can't reach the store. If it fences, its lease runs out then, and it
 * forwards nothing any more (estate/fenced-hosts.ts): the interface is opened on the other host after that, and there
 * is exactly one owner at each moment. If it fences and lives and does not give the interface up, there is no move. Of
 * one that does not fence nobody can tell, so the interface is opened on the other host after a while all the same, and
 * whoever asked for the move learns that there may be two. If the other host can't open it, it is given back.
 */
import type { Edit } from '../estate/edit.ts';
import type { Changed, EstateClient } from '../estate/estate-client.ts';
import { fences, isFenced } from '../estate/fenced-hosts.ts';
import { beginMove, endMove, undoMove, type MoveWish, type Moving } from '../estate/move.ts';
import { removeHandover } from '../estate/handover.ts';
import { ALIVE_TTL_SEC } from '../estate/host-rows.ts';
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
  /** Whether the host before has given the interface up: else two may have it. */
  readonly isGivenUp: boolean;
  /** It has not said so; it fences, and its lease is over. Absent: false. */
  readonly isFenced?: true;
  /** What came of its tracked connections; absent: that host has not said. */
  readonly connections?: Arrived;
}

/** A move that was refused, or that did not arrive. The message says what is true now. */
export class MoveError extends Error {
  override readonly name = 'MoveError';
}

/**
 * So long the store must not have had the row that a host lives: a whole lease, and a second for packets that are on
 * their way. If the row went since its lease ran out, the host has stopped before that. But it may have gone otherwise:
 * by hand, by another daemon of the same name, or with an older lease, if a put that failed came through late. A host
 * that is cut off then goes on until its own lease is over, which it can't have renewed since.
 */
const GONE_MS = 1000 * ALIVE_TTL_SEC + 1000;
/** The store may keep the row so much longer than its lease: it looks now and then, and a new leader counts anew. */
const LEASE_SLACK_MS = 5000;
/** No host that says otherwise is waited for longer. */
const LEASE_MOST_SEC = 60;

/** @throws MoveError; StoreError if the store fails */
export async function moveInterface(
  client: EstateClient,
  options: MoveOptions,
): Promise<MoveResult> {
  const { interfaceId: id, host: to, waitMs } = options;
  const begun = await change(client, (edit) => beginMove(edit, id, options));
  const moving = begun.value;
  const { value, attachment, before } = moving;
  const { generation = 0 } = value;
  const { moved } = attachment;
  let end: End = 'said';
  let ended: Changed<unknown> = begun;
  if (moved?.isHeld === true) {
    end = await endOf(client, moved.from, revisionOf(client, id, begun), waitMs);
    if (end === 'lives') {
      const why = `${moved.from} lives, and has not given ${id} up`;
      if (before === value)
        throw new MoveError(
          `${why}; nobody opens it until then, and the same command again goes on`,
        );
      throw new MoveError(`${why}; ${await giveBack(client, moving)}`);
    }
    ended = await change(client, (edit) => endMove(edit, id, generation));
  }
  const how = {
    isGivenUp: end !== 'unknown',
    ...(end === 'fenced' ? { isFenced: true as const } : {}),
  };
  const why = await whyNotInForce(client, id, to, revisionOf(client, id, ended), waitMs);
  if (why !== undefined && before === value)
    throw new MoveError(`${id} is on the host ${to}, and not in force there: ${why}`);
  if (why !== undefined)
    throw new MoveError(
      `${id} can't be put in force on ${to}: ${why}; ${await giveBack(client, moving)}`,
    );
  const { device } = attachment;
  if (moved === undefined) return { id, to, device, generation, ...how };
  const { from } = moved;
  // The host before would do so after a while. A role that may not is no failure.
  await removeHandover(client.store, handoverPrefix(from, id)).catch(() => undefined);
  const arrival = client.estate.applied().get(to)?.arrivals?.[id];
  if (arrival?.generation !== generation) return { id, from, to, device, generation, ...how };
  const { generation: _, ...connections } = arrival;
  return { id, from, to, device, generation, ...how, connections };
}

/** @returns what came of it */
async function giveBack(client: EstateClient, moving: Moving): Promise<string> {
  const { host } = moving.before.attachment!;
  const back = await client.change((edit) => undoMove(edit, moving));
  if (back.ok) return `it was given back to ${host}`;
  return `it could not be given back to ${host}: ${refusalText(back.refusals.slice(0, 1))}`;
}

async function change<T>(
  client: EstateClient,
  work: (edit: Edit) => Checked<T>,
): Promise<Changed<T>> {
  const done = await client.change(work);
  if (!done.ok) throw new MoveError(refusalText(done.refusals.slice(0, 1)));
  return done.value;
}

/** Of the last change of the interface, which hosts enforce: this one, if it changed something. */
function revisionOf(
  { estate }: EstateClient,
  id: InterfaceId,
  { edit, revision }: Changed<unknown>,
): number {
  return edit === undefined ? estate.revisionOf(valueKey('interfaces', id)) : revision;
}

/**
 * How an interface ended on a host: it said so, or has left in order; it is fenced; it fences and lives; nobody can
 * tell.
 */
type End = 'said' | 'fenced' | 'lives' | 'unknown';

/** Waits until a host has a revision in force, or is fenced. */
async function endOf(
  client: EstateClient,
  host: string,
  revision: number,
  waitMs: number,
): Promise<End> {
  const { estate } = client;
  const isKnown = (): boolean => estate.revision >= revision;
  const hasSaid = (): boolean => {
    const applied = estate.applied().get(host);
    return isKnown() && (applied === undefined || applied.revision >= revision);
  };
  const isGone = (): boolean => isKnown() && isFenced(estate, host);
  const deadlineMs = performance.now() + waitMs + leaseMs(client, host);
  for (;;) {
    // It may be back at any time. Then it knows of the move, and will say so.
    await client.until(() => hasSaid() || isGone(), deadlineMs - performance.now());
    if (hasSaid()) return 'said';
    if (!isGone()) return fences(estate, host) ? 'lives' : 'unknown';
    await client.until(() => hasSaid() || !isGone(), GONE_MS);
    if (hasSaid()) return 'said';
    if (isGone()) return 'fenced';
  }
}

/** How long the store may go on to say that a host lives which does not: only of one that fences it matters. */
function leaseMs({ estate }: EstateClient, host: string): number {
  if (!fences(estate, host)) return 0;
  const ttlSec = estate.alive().get(host)?.ttlSec ?? ALIVE_TTL_SEC;
  return 1000 * Math.min(ttlSec, LEASE_MOST_SEC) + LEASE_SLACK_MS;
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

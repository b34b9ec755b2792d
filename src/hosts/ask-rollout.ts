/**
 * This file says where a revision of the store is in force, or the newest state of a group.
 *
 * Hosts acknowledge revisions that change something they enforce, and no others. So a revision that changes nothing of
 * that is in force where the one before it is. Whether there was a change between two revisions, the history tells, as
 * long as it is kept; then the number that was asked for counts.
 */
import { concernedHosts, type Concerned } from '../estate/concerned.ts';
import { isContent, type Estate } from '../estate/estate.ts';
import type { EstateClient } from '../estate/estate-client.ts';
import { DESIRED, memberKey, valueKey } from '../estate/keys.ts';
import { judgeRollout, rolloutOf, type Rollout } from '../estate/rollout.ts';
import { CompactedError, type Store } from '../store/store.ts';

/** What is asked for. */
export interface Wanted {
  /** As the answer names it: `revision 1204`, `group sg-…`. */
  readonly what: string;
  readonly revision: number;
  readonly concerned: Concerned;
  /** Only what of these is left out on a host matters; undefined: all. */
  readonly ids: ReadonlySet<string> | undefined;
}

export interface HostRollout {
  readonly host: string;
  readonly state: 'in force' | 'behind' | 'refused' | 'left out' | 'away';
  /** Which it has in force. */
  readonly revision?: number;
  readonly why?: string;
}

/** Keys as `--json` prints them. */
export interface RolloutAnswer {
  readonly what: string;
  readonly revision: number;
  /** On each host that it concerns and that lives. */
  readonly isInForce: boolean;
  readonly hosts: readonly HostRollout[];
  /** The host that is farthest behind, else the one that was the last to have it while we looked. */
  readonly slowest?: string;
  readonly waitedMs: number;
}

/** There is nothing of that name. */
export class RolloutError extends Error {
  override readonly name = 'RolloutError';
}

/** @param text a revision, or a group by its id or name. @throws RolloutError, StoreError */
export async function findWanted(client: EstateClient, text: string): Promise<Wanted> {
  const { estate, store } = client;
  if (/^\d{1,15}$/.test(text)) {
    if (Number(text) > estate.revision)
      throw new RolloutError(
        `the store has no revision ${text} yet: its newest is ${estate.revision}`,
      );
    const revision = await enforcedRevision(store, estate, Number(text));
    return { what: `revision ${text}`, revision, concerned: 'all', ids: undefined };
  }
  const found = estate
    .list('groups')
    .filter(({ group }) => group.id === text || group.name === text);
  const [one, ...others] = found.map(({ group }) => group.id);
  if (one === undefined) throw new RolloutError(`there is no group ${text}, and no such revision`);
  if (others.length > 0)
    throw new RolloutError(
      `${found.length} groups are called ${text}; name one by its id: ${[one, ...others].join(', ')}`,
    );
  const members = estate.interfacesOfGroup(one).map(({ id }) => id);
  const keys = [valueKey('groups', one), ...members.map((id) => valueKey('interfaces', id))];
  return {
    what: `group ${one}`,
    revision: Math.max(...keys.map((key) => estate.revisionOf(key))),
    concerned: concernedHosts([...keys, ...members.map((id) => memberKey(one, id))], estate),
    ids: new Set([one, ...members]),
  };
}

/** Waits until what is wanted is in force wherever it must be, a host refuses it, or the time is over. */
export async function askRollout(
  client: EstateClient,
  wanted: Wanted,
  waitMs: number,
): Promise<RolloutAnswer> {
  const startMs = performance.now();
  const { estate } = client;
  const now = (): Rollout => rolloutOf(estate, wanted.revision, wanted.concerned);
  let [behind, last] = [now().behind, undefined as string | undefined];
  const isOver = (): boolean => {
    const rollout = now();
    const left = new Set(rollout.behind);
    last = behind.find((host) => !left.has(host)) ?? last;
    behind = rollout.behind;
    return judgeRollout(rollout, 'all') !== 'open';
  };
  await client.until(isOver, waitMs);
  const hosts = hostsOf(estate, now(), wanted);
  const late = hosts.filter(({ state }) => state === 'behind' || state === 'refused');
  const [slowest] = [...late].sort((a, b) => (a.revision ?? 0) - (b.revision ?? 0));
  const name = slowest?.host ?? last;
  return {
    ...{ what: wanted.what, revision: wanted.revision, hosts },
    isInForce: hosts.every(({ state }) => state === 'in force' || state === 'away'),
    ...(name === undefined ? {} : { slowest: name }),
    waitedMs: Math.round(performance.now() - startMs),
  };
}

function hostsOf(estate: Estate, rollout: Rollout, { ids }: Wanted): readonly HostRollout[] {
  const of = (host: string, state: HostRollout['state'], why?: string): HostRollout => {
    const revision = estate.applied().get(host)?.revision;
    return {
      ...{ host, state },
      ...(revision === undefined ? {} : { revision }),
      ...(why === undefined ? {} : { why }),
    };
  };
  const inForce = rollout.inForce.map((host) => {
    const leftOut = Object.entries(estate.applied().get(host)?.leftOut ?? {});
    const mine = leftOut.filter(([id]) => ids === undefined || ids.has(id));
    if (mine.length === 0) return of(host, 'in force');
    return of(host, 'left out', mine.map(([id, why]) => `${id}: ${why}`).join('; '));
  });
  return [
    ...rollout.behind.map((host) => of(host, 'behind')),
    ...rollout.refused.map(({ host, message }) => of(host, 'refused', message)),
    ...inForce,
    ...rollout.away.map((host) => of(host, 'away')),
  ];
}

/** The revision that hosts acknowledge when they have `wanted` in force, as far as the history tells. */
async function enforcedRevision(store: Store, estate: Estate, wanted: number): Promise<number> {
  const seen = [...estate.applied().values()].map(({ revision }) => revision);
  const newest = Math.max(0, ...seen.filter((revision) => revision < wanted));
  if (seen.some((revision) => revision >= wanted) || newest === 0) return wanted;
  try {
    const [before, then] = [await contentAt(store, newest), await contentAt(store, wanted)];
    return before === then ? newest : wanted;
  } catch (error) {
    if (!(error instanceof CompactedError)) throw error;
    return wanted;
  }
}

/** Tells whether what hosts enforce differs. */
async function contentAt(store: Store, revision: number): Promise<string> {
  const { rows } = await store.read(DESIRED, revision);
  const content = rows.filter(({ key }) => isContent(key));
  return content.map((row) => `${row.key} ${row.revision}`).join('\n');
}

/** This file says how the hosts of a store are, by what they say of themselves and what is placed on them. */
import type { Estate } from '../estate/estate.ts';
import { fences, isFenced } from '../estate/fenced-hosts.ts';
import type { AppliedState } from '../estate/model.ts';

/** Keys as `--json` prints them. */
export interface HostView {
  readonly host: string;
  /** `left`: it stopped in order or was forgotten, and interfaces are still placed there. */
  readonly state: 'lives' | 'away' | 'left';
  /** When its daemon started; of one that lives. */
  readonly since?: string;
  readonly version?: string;
  /** Which revision it has in force, or had when it was heard last, and since when. */
  readonly revision?: number;
  readonly inForceSince?: string;
  readonly refused?: AppliedState['refused'];
  /** Whether it forwards for interfaces of the store only while its lease lives; of one that has said something. */
  readonly fence?: 'none' | 'lease';
  /** It does not forward for them now. Absent: false, or nobody can tell. */
  readonly isFenced?: true;
  /** What of the estate is not in force there, and why. */
  readonly leftOut: Readonly<Record<string, string>>;
  /** How many interfaces are placed there. */
  readonly interfaces: number;
}

/** All hosts that are known, by name. */
export function listHosts(estate: Estate): readonly HostView[] {
  const placed = new Map<string, number>();
  for (const { attachment, declaredAt } of estate.list('interfaces'))
    if (attachment !== undefined && declaredAt === undefined)
      placed.set(attachment.host, (placed.get(attachment.host) ?? 0) + 1);
  const [alive, applied] = [estate.alive(), estate.applied()];
  const names = new Set([...alive.keys(), ...applied.keys(), ...placed.keys()]);
  return [...names].sort().map((host) => {
    const [living, said] = [alive.get(host), applied.get(host)];
    return {
      host,
      state: living !== undefined ? 'lives' : said !== undefined ? 'away' : 'left',
      ...(living === undefined ? {} : { since: living.since, version: living.version }),
      ...(said === undefined ? {} : { revision: said.revision }),
      ...(said?.at === undefined ? {} : { inForceSince: said.at }),
      ...(said?.refused === undefined ? {} : { refused: said.refused }),
      ...(said === undefined ? {} : { fence: fences(estate, host) ? 'lease' : 'none' }),
      ...(isFenced(estate, host) ? { isFenced: true } : {}),
      leftOut: said?.leftOut ?? {},
      interfaces: placed.get(host) ?? 0,
    };
  });
}

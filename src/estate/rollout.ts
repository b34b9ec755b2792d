/** Who has a revision in force, of the hosts that it concerns. */
import type { Concerned } from './concerned.ts';
import type { Estate } from './estate.ts';

/** Names of hosts; each host is in one of the lists. */
export interface Rollout {
  readonly inForce: readonly string[];
  /** They live, and have not said anything of it yet. */
  readonly behind: readonly string[];
  /** They can't put it in force. */
  readonly refused: readonly { readonly host: string; readonly message: string }[];
  /** They don't live, so nobody waits for them. */
  readonly away: readonly string[];
}

/** Where hosts say how they are. */
export type HostsView = Pick<Estate, 'alive' | 'applied' | 'wholeHosts'>;

export function rolloutOf(hosts: HostsView, revision: number, concerned: Concerned): Rollout {
  const [alive, applied] = [hosts.alive(), hosts.applied()];
  const names =
    concerned === 'all'
      ? new Set([...alive.keys(), ...applied.keys()])
      : new Set([...concerned, ...hosts.wholeHosts()]);
  const found = {
    ...{ inForce: [] as string[], behind: [] as string[], away: [] as string[] },
    refused: [] as { host: string; message: string }[],
  };
  for (const host of names) {
    const state = applied.get(host);
    if (!alive.has(host)) found.away.push(host);
    else if (state !== undefined && state.revision >= revision) found.inForce.push(host);
    else if (state?.refused !== undefined && state.refused.revision >= revision)
      found.refused.push({ host, message: state.refused.message });
    else found.behind.push(host);
  }
  return found;
}

/** Whom a change waits for: every host that it concerns and that lives, or more than half of them. */
export type WaitFor = 'quorum' | 'all';

/** What is to be said of a rollout now: it is far enough, it can't get there, or it may yet. */
export function judgeRollout(
  { inForce, behind, refused }: Rollout,
  waitFor: WaitFor,
): 'inForce' | 'refused' | 'open' {
  const all = inForce.length + behind.length + refused.length;
  const needed = waitFor === 'all' || all === 0 ? all : Math.floor(all / 2) + 1;
  if (inForce.length >= needed) return 'inForce';
  return inForce.length + behind.length < needed ? 'refused' : 'open';
}

/**
 * This file tells how the hosts of the store are, as `sgctl host ls` does (hosts/list-hosts.ts), and which of them lack
 * something that is in the store.
 *
 * A host that holds a part of the estate acknowledges the revisions that concern it, and no others. So for each row
 * that hosts enforce it is asked whom it concerns, once for each state of the estate. What was deleted has no row any
 * more: a host that lacks nothing but that is not told as behind.
 */
import type { ConsoleHost, HostsAnswer } from '../console/contract.ts';
import { concernedHosts } from '../estate/concerned.ts';
import { isContent, type Estate } from '../estate/estate.ts';
import { listHosts, type HostView } from '../hosts/list-hosts.ts';

const LEFT_OUT_SHOWN = 100;

/** The newest revisions that hosts have to have in force. */
interface Awaited {
  readonly changes: number;
  readonly newest: number;
  /** Of what concerns every host. */
  readonly byAll: number;
  readonly byHost: ReadonlyMap<string, number>;
}

export class HostsViewer {
  private readonly estate: Estate;
  private last: Awaited | undefined;

  constructor(estate: Estate) {
    this.estate = estate;
  }

  view(nowMs: number): HostsAnswer {
    const awaited = this.awaited();
    const whole = this.estate.wholeHosts();
    const hosts = listHosts(this.estate).map((one) => {
      const ofPart = Math.max(awaited.byAll, awaited.byHost.get(one.host) ?? 0);
      return viewHost(one, whole.has(one.host) ? awaited.newest : ofPart);
    });
    return { revision: awaited.newest, nowMs, hosts };
  }

  private awaited(): Awaited {
    const { estate } = this;
    const { contentChanges: changes } = estate;
    if (this.last?.changes === changes) return this.last;
    let [newest, byAll] = [0, 0];
    const byHost = new Map<string, number>();
    for (const key of estate.keys()) {
      if (!isContent(key)) continue;
      const revision = estate.revisionOf(key);
      newest = Math.max(newest, revision);
      const concerned = concernedHosts([key], estate);
      if (concerned === 'all') byAll = Math.max(byAll, revision);
      else
        for (const host of concerned) byHost.set(host, Math.max(byHost.get(host) ?? 0, revision));
    }
    this.last = { changes, newest, byAll, byHost };
    return this.last;
  }
}

function viewHost(one: HostView, awaited: number): ConsoleHost {
  const { host, state, version, revision, refused, fence, isFenced, interfaces } = one;
  const leftOut = Object.entries(one.leftOut).map(([id, why]) => ({ id, why }));
  return {
    ...{ host, state, interfaces },
    ...timeOf('sinceMs', one.since),
    ...(version === undefined ? {} : { version }),
    ...(revision === undefined ? {} : { revision }),
    ...timeOf('inForceSinceMs', one.inForceSince),
    isBehind: state === 'lives' && (revision ?? 0) < awaited,
    ...(refused === undefined ? {} : { refused }),
    ...(fence === undefined ? {} : { fence }),
    ...(isFenced === undefined ? {} : { isFenced }),
    ...{ leftOut: leftOut.slice(0, LEFT_OUT_SHOWN), leftOutCount: leftOut.length },
  };
}

function timeOf<Name extends string>(
  name: Name,
  text: string | undefined,
): { readonly [N in Name]?: number } {
  const ms = Date.parse(text ?? '');
  return (Number.isNaN(ms) ? {} : { [name]: ms }) as { readonly [N in Name]?: number };
}

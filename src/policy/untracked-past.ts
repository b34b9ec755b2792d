/**
 * Which TCP ports were untracked under earlier policies, and until when.
 *
 * Theory of operation
 *
 * Problem. Nobody knows the connections that a policy left untracked. When a change takes away what kept them so, they end,
 * until a SYN opens them anew: the next packet of one must not be taken for one in mid-stream. So it has to be known
 * for as long as a connection may be idle which ports were untracked once, over any number of changes.
 *
 * A connection was untracked by its local port (where the other direction was open to everywhere) or by its remote
 * port. So there are four lists for each interface (family, side) of port ranges that don't overlap, each with the moment when
 * it was untracked last. A change paints the ranges of the policy that it ends over what is there; the packet
 * loop gets those that are young enough, with the next policy, and asks only about packets that would begin a
 * connection in mid-stream. Kept on the control side: nothing is done for a packet while it is untracked.
 *
 * Limits. A list has 32 ranges at most: beyond that the two with the least between them become one, with what is between,
 * so that more is closed, never less. Interfaces that are gone are remembered as well, the last 1,024 of them: they may come back.
 * UDP has no SYN; conntrack/udp-openers.ts has what is known of it.
 */
import { ANY, PROTOCOL_ALL, type GroupId, type InterfaceId, type PolicyModel } from './model.ts';
import { isAnywhere } from './peer-numbers.ts';

/** The longest time for which AWS lets an established connection be idle. */
export const PAST_SEC = 432_000;

const PORT_MAX = 65_535;
const PROTOCOL_TCP = 6;
const RANGES_MAX = 32;
const GONE_MAX = 1024;
const FAMILIES = [4, 6] as const;
/** Lists of an interface: 2 * (family is IPv6) + (1 for remote ports). */
export const PAST_LISTS = 4;

export interface PastRange {
  readonly from: number;
  readonly to: number;
  /** When it was untracked last. */
  readonly atSec: number;
}

/** For a snapshot: an interface, the number of the list, a range, and how long ago it was untracked last. */
export type SavedRange = readonly [
  id: InterfaceId,
  list: number,
  from: number,
  to: number,
  ageSec: number,
];

/** What of a compiled policy tells the packet loop (compiled.ts). */
export interface PastPorts {
  readonly pastStarts: Int32Array;
  readonly pastRanges: Int32Array;
}

type Lists = readonly (readonly PastRange[])[];
type Ports = readonly (readonly [from: number, to: number])[];

const NOTHING: Lists = Array.from({ length: PAST_LISTS }, () => []);

export class UntrackedPast {
  private readonly lists = new Map<InterfaceId, Lists>();
  private readonly nowSec: () => number;

  /** @param nowSec real time, also where flows age faster: then it is remembered for longer than needed */
  constructor(nowSec = (): number => performance.now() / 1000) {
    this.nowSec = nowSec;
  }

  /** Takes down what `model`, which is in force until now, leaves untracked. @returns itself */
  note(model: PolicyModel): this {
    const nowSec = this.nowSec();
    const bySet = new Map<string, readonly Ports[]>();
    for (const { id, groupIds, alwaysTracked } of model.interfaces.values()) {
      const known = this.lists.get(id);
      // Those seen last are last.
      if (known !== undefined) this.lists.delete(id);
      const set = groupIds.join();
      const ports = bySet.get(set) ?? untrackedPorts(model, groupIds);
      bySet.set(set, ports);
      const isNone = alwaysTracked === true || ports.every((list) => list.length === 0);
      if (known === undefined && isNone) continue;
      const painted = (known ?? NOTHING).map((list, i) =>
        isNone ? list : ports[i].reduce((all, [from, to]) => paint(all, from, to, nowSec), list),
      );
      this.lists.set(id, painted);
    }
    this.prune(model, nowSec);
    return this;
  }

  /** What the packet loop is to know. @param portCount ports of the policy, the uplink's included */
  share(ports: ReadonlyMap<InterfaceId, number>, portCount: number): PastPorts {
    const nowSec = this.nowSec();
    const byPort = new Map([...ports].map(([id, port]) => [port, this.lists.get(id)]));
    const pastStarts = new Int32Array(PAST_LISTS * portCount + 1);
    const ranges: number[] = [];
    for (let port = 0; port < portCount; port++) {
      const lists = byPort.get(port) ?? NOTHING;
      for (let i = 0; i < PAST_LISTS; i++) {
        for (const { from, to, atSec } of lists[i])
          if (nowSec - atSec <= PAST_SEC) ranges.push((from << 16) | to);
        pastStarts[PAST_LISTS * port + i + 1] = ranges.length;
      }
    }
    return { pastStarts, pastRanges: Int32Array.from(ranges) };
  }

  save(): SavedRange[] {
    const nowSec = this.nowSec();
    return [...this.lists].flatMap(([id, lists]) =>
      lists.flatMap((list, i) =>
        list.map(({ from, to, atSec }): SavedRange => [id, i, from, to, nowSec - atSec]),
      ),
    );
  }

  /** Takes over what an earlier process saved. @param elapsedSec since then */
  restore(saved: readonly SavedRange[], elapsedSec: number): void {
    const nowSec = this.nowSec();
    for (const [id, list, from, to, ageSec] of saved) {
      const lists = [...(this.lists.get(id) ?? NOTHING)];
      lists[list] = paint(lists[list], from, to, nowSec - ageSec - elapsedSec);
      this.lists.set(id, lists);
    }
  }

  private prune(model: PolicyModel, nowSec: number): void {
    const gone: InterfaceId[] = [];
    for (const [id, lists] of this.lists) {
      const left = lists.map((list) => list.filter(({ atSec }) => nowSec - atSec <= PAST_SEC));
      if (left.every((list) => list.length === 0)) this.lists.delete(id);
      else {
        this.lists.set(id, left);
        if (!model.interfaces.has(id)) gone.push(id);
      }
    }
    for (const id of gone.slice(0, Math.max(0, gone.length - GONE_MAX))) this.lists.delete(id);
  }
}

/** A policy that nothing came before. */
export function noPast(portCount: number): PastPorts {
  return {
    pastStarts: new Int32Array(PAST_LISTS * portCount + 1),
    pastRanges: new Int32Array(0),
  };
}

/** By list: the ports of TCP that AWS would leave untracked on an interface with these groups (Matcher.isUntracked). */
function untrackedPorts(model: PolicyModel, groupIds: readonly GroupId[]): Ports[] {
  const groups = groupIds.flatMap((id) => model.groups.get(id) ?? []);
  return FAMILIES.flatMap((family) => {
    const [ingress, egress] = (['ingress', 'egress'] as const).map((direction) =>
      groups
        .flatMap((group) => group[direction])
        .filter(
          ({ protocol, peer }) =>
            (protocol === PROTOCOL_ALL || protocol === PROTOCOL_TCP) && isAnywhere(peer) === family,
        )
        .map(({ fromPort, toPort }) =>
          fromPort === ANY ? ([0, PORT_MAX] as const) : ([fromPort, toPort] as const),
        ),
    );
    const isOpen = (ports: Ports): boolean =>
      ports.some(([from, to]) => from === 0 && to === PORT_MAX);
    return [isOpen(egress) ? ingress : [], isOpen(ingress) ? egress : []];
  });
}

/** `list` with one more range, whose moment counts where it overlaps others. */
export function paint(
  list: readonly PastRange[],
  from: number,
  to: number,
  atSec: number,
): PastRange[] {
  const painted: PastRange[] = [{ from, to, atSec }];
  for (const range of list) {
    if (range.from < from) painted.push({ ...range, to: Math.min(range.to, from - 1) });
    if (range.to > to) painted.push({ ...range, from: Math.max(range.from, to + 1) });
  }
  painted.sort((a, b) => a.from - b.from);
  return join(painted);
}

/** Makes one of neighbours with the same moment, and of those nearest to each other until there are few enough. */
function join(list: readonly PastRange[]): PastRange[] {
  const joined: PastRange[] = [];
  for (const range of list) {
    const last = joined.at(-1);
    if (last !== undefined && last.to + 1 === range.from && last.atSec === range.atSec)
      joined[joined.length - 1] = { ...last, to: range.to };
    else joined.push(range);
  }
  while (joined.length > RANGES_MAX) {
    let nearest = 1;
    const gap = (i: number): number => joined[i].from - joined[i - 1].to;
    for (let i = 2; i < joined.length; i++) if (gap(i) < gap(nearest)) nearest = i;
    const [left, right] = [joined[nearest - 1], joined[nearest]];
    const both = { from: left.from, to: right.to, atSec: Math.max(left.atSec, right.atSec) };
    joined.splice(nearest - 1, 2, both);
  }
  return joined;
}

/**
 * Remembers which TCP ports were untracked under earlier policies, and until when.
 *
 * Theory of operation
 *
 * Problem. Nobody knows the connections that a policy left untracked. When a change takes away the rules that kept
 * them untracked, they must end until a SYN opens them again: their next packet must not pass as one in mid-stream.
 * So the daemon must know which ports were once untracked, over any number of changes, for as long as a connection
 * may be idle.
 *
 * A connection was untracked by its local port (where the other direction was open to everywhere) or by its remote
 * port. So each interface has four lists (family, side) of port ranges that don't overlap. Each range has the time
 * when it was last untracked. A change writes the ranges of the policy that it ends over the ranges in the lists. The
 * packet loop gets the ranges that are young enough, with the next policy. It uses them only for packets that would
 * begin a connection in mid-stream. The lists are kept by the control plane, so a packet costs nothing while it is
 * untracked.
 *
 * Limits. A list has at most 32 ranges. Beyond that, the two with the smallest gap become one, with the gap: so more
 * is closed, never less. Interfaces that are gone are remembered too, since they may come back: the last 1,024 of
 * them. UDP has no SYN; conntrack/udp-openers.ts handles it.
 */
import { changedGroups } from './changed-part.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type GroupId,
  type InterfaceId,
  type PolicyModel,
  type SecurityGroup,
} from './model.ts';
import { PROTOCOL_TCP } from './protocols.ts';
import { PORT_MAX } from './rules.ts';
import { isAnywhere } from './peer-numbers.ts';

/** The longest time for which AWS lets an established connection be idle. */
export const PAST_SEC = 432_000;

const RANGES_MAX = 32;
const GONE_MAX = 1024;
const FAMILIES = [4, 6] as const;
/** Lists of an interface: index 2 * (1 for IPv6) + (1 for remote ports). */
export const PAST_LISTS = 4;

export interface PastRange {
  readonly from: number;
  readonly to: number;
  /** When the range was last untracked. */
  readonly atSec: number;
}

/**
 * A range in a snapshot: its interface, the index of its list, first and last port, and how long ago it was last
 * untracked.
 */
export type SavedRange = readonly [
  id: InterfaceId,
  list: number,
  from: number,
  to: number,
  ageSec: number,
];

/** The part of a compiled policy that holds these ranges (compiled.ts). */
export interface PastPorts {
  readonly pastStarts: Int32Array;
  readonly pastRanges: Int32Array;
}

type Lists = readonly (readonly PastRange[])[];
type Ports = readonly (readonly [from: number, to: number])[];

/** Interfaces with the same groups, and what those leave untracked, by list. */
interface GroupSet {
  readonly key: string;
  readonly groupIds: readonly GroupId[];
  readonly members: InterfaceId[];
  /** undefined: not looked at yet */
  ports: readonly Ports[] | undefined;
}

const NOTHING: Lists = Array.from({ length: PAST_LISTS }, () => []);

export class UntrackedPast {
  private readonly lists = new Map<InterfaceId, Lists>();
  private readonly nowSec: () => number;
  /** The model that was noted last, and its interfaces that can have untracked flows. */
  private last: PolicyModel | undefined;
  private sets: readonly GroupSet[] = [];

  /** @param nowSec real time, even where flows age faster; ranges are then remembered for longer than necessary */
  constructor(nowSec = (): number => performance.now() / 1000) {
    this.nowSec = nowSec;
  }

  /** Notes what `model`, which was in force until now, leaves untracked. @returns itself */
  note(model: PolicyModel): this {
    const nowSec = this.nowSec();
    this.look(model);
    for (const { members, ports } of this.sets) {
      if (ports === undefined || ports.every((list) => list.length === 0)) continue;
      for (const id of members) {
        const painted = (this.lists.get(id) ?? NOTHING).map((list, i) =>
          ports[i].reduce((all, [from, to]) => paint(all, from, to, nowSec), list),
        );
        this.lists.set(id, painted);
      }
    }
    this.prune(model, nowSec);
    return this;
  }

  /** Finds out what the sets of groups leave untracked. Only groups that changed are looked through. */
  private look(model: PolicyModel): void {
    const { last } = this;
    this.last = model;
    const { gone, come } = changedGroups(last?.groups ?? new Map(), model.groups);
    const changed = new Set([...gone.map(({ id }) => id), ...come.map(([, { id }]) => id)]);
    if (last?.interfaces !== model.interfaces) this.sets = groupSets(model, this.sets);
    for (const set of this.sets)
      if (set.ports === undefined || set.groupIds.some((id) => changed.has(id)))
        set.ports = untrackedPorts(set.groupIds.flatMap((id) => model.groups.get(id) ?? []));
  }

  /** Makes the ranges for the packet loop. @param portCount number of ports of the policy, with the uplink */
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

  /** Takes over what an earlier process saved. @param elapsedSec time since then */
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
    for (const [id, lists] of [...this.lists]) {
      const left = lists.map((list) => list.filter(({ atSec }) => nowSec - atSec <= PAST_SEC));
      if (left.every((list) => list.length === 0)) this.lists.delete(id);
      else {
        // The Map is ordered: the interfaces seen last come last.
        if (model.interfaces.has(id)) this.lists.delete(id);
        else gone.push(id);
        this.lists.set(id, left);
      }
    }
    for (const id of gone.slice(0, Math.max(0, gone.length - GONE_MAX))) this.lists.delete(id);
  }
}

/** The ranges of a policy without a past. */
export function noPast(portCount: number): PastPorts {
  return {
    pastStarts: new Int32Array(PAST_LISTS * portCount + 1),
    pastRanges: new Int32Array(0),
  };
}

/** @param before has what is known of the same groups */
function groupSets({ interfaces }: PolicyModel, before: readonly GroupSet[]): readonly GroupSet[] {
  const known = new Map(before.map(({ key, ports }) => [key, ports] as const));
  const sets = new Map<string, GroupSet>();
  for (const { id, groupIds, alwaysTracked } of interfaces.values()) {
    if (alwaysTracked === true) continue;
    const key = groupIds.join();
    const set = sets.get(key);
    if (set === undefined) sets.set(key, { key, groupIds, members: [id], ports: known.get(key) });
    else set.members.push(id);
  }
  return [...sets.values()];
}

/** By list: the TCP ports that AWS would leave untracked on an interface with these groups (Matcher.isUntracked). */
function untrackedPorts(groups: readonly SecurityGroup[]): Ports[] {
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

/** Returns `list` with one more range. Where it overlaps others, its time counts. */
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

/** Joins neighbours with the same time. Then joins those with the smallest gap until there are few enough. */
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

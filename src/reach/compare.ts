/**
 * Compares what two inputs allow: who can reach whom with what, and not how the rules are written.
 *
 * Theory of operation. The ends of a flow are those of either input (side.ts), and between two of them either allows a
 * set of services, for certain and perhaps. The differences of these sets are the answer. Who is not in an input
 * reaches nobody there. What passes by audit alone (policy/audit.ts) is refused here; that it passes is told beside it.
 *
 * Ends that no rule of either input distinguishes are one class, so the work grows with the kinds of ends and not with
 * their number. A property test asks the plain judge about single packets between single ends, and compares.
 */
import type { Family } from '../addr/address.ts';
import type { Origin, PolicyModel } from '../policy/model.ts';
import { intersect, subtract, unite, type ServiceSet } from '../policy/service-set.ts';
import { joinRegions, regionLabel } from './regions.ts';
import {
  classify,
  FAMILIES,
  namedEnds,
  outsideEnds,
  reachBetween,
  Side,
  type End,
  type PairReach,
} from './side.ts';

/** Pairs of classes; a million took six seconds where this was written. */
const PAIRS_MAX = 2_000_000;

export type DifferenceKind =
  | 'newly-allowed'
  | 'no-longer-allowed'
  | 'perhaps-newly-allowed'
  | 'perhaps-no-longer-allowed'
  /** No rule allows it in either input, and it passes by audit in the new one; in the old one. */
  | 'newly-audited'
  | 'no-longer-audited';

export interface Difference {
  readonly kind: DifferenceKind;
  /** Names of ends; those of `to` can be reached by all of `from`. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly families: readonly Family[];
  readonly services: ServiceSet;
  /** It passes by audit in the input that does not allow it. Absent: it is dropped there. */
  readonly byAudit?: true;
  /** A rule that admits some of it, in the input that allows it. */
  readonly origin: Origin | undefined;
}

/** The same with ends that can still be put together. */
type Found = Omit<Difference, 'from' | 'to'> & {
  readonly from: readonly End[];
  readonly to: readonly End[];
};

export interface Comparison {
  readonly differences: readonly Difference[];
  /** There are too many kinds of ends to compare; nothing was compared. */
  readonly isTooLarge: boolean;
}

/** @param pairsMax of classes of ends; with more, nothing is compared */
export function compareModels(
  before: PolicyModel,
  after: PolicyModel,
  pairsMax = PAIRS_MAX,
): Comparison {
  const [old, now] = [new Side(before), new Side(after)];
  const found: Found[] = [];
  for (const family of FAMILIES) {
    // What comes from outside is told first.
    const outside = [...outsideEnds([before, after], family), ...namedEnds([before, after])];
    const classes = [...outside.map((end) => [end]), ...classify([old, now], family)];
    if (classes.length ** 2 > pairsMax) return { differences: [], isTooLarge: true };
    for (const from of classes)
      for (const to of classes) found.push(...comparePair(old, now, from, to, family));
  }
  return { differences: merge(found).map(nameEnds), isTooLarge: false };
}

function comparePair(
  old: Side,
  now: Side,
  from: readonly End[],
  to: readonly End[],
  family: Family,
): readonly Found[] {
  const [source, target] = [from[0], to[0]];
  if (source.kind === 'named') return [];
  if (source.kind === 'outside' && (target.kind === 'outside' || target.kind === 'named'))
    return [];
  // What an interface sends to itself meets no gate.
  if (from === to && from.length === 1 && source.kind === 'interface') return [];
  const [before, after] = [
    reachBetween(old, source, target, family),
    reachBetween(now, source, target, family),
  ];
  const [perhapsBefore, perhapsAfter] = [before, after].map(({ sure, maybe }) =>
    subtract(maybe, sure),
  );
  const gained = subtract(after.sure, before.maybe);
  const lost = subtract(before.sure, after.maybe);
  const maybeGained = unite([
    subtract(perhapsAfter, before.maybe),
    intersect(perhapsBefore, after.sure),
  ]);
  const maybeLost = unite([
    subtract(perhapsBefore, after.maybe),
    intersect(before.sure, perhapsAfter),
  ]);
  const make = (
    kind: DifferenceKind,
    services: ServiceSet,
    origin: Origin | undefined,
    how: Pick<Found, 'byAudit'> = {},
  ): Found[] =>
    services.length === 0 ? [] : [{ kind, from, to, families: [family], services, origin, ...how }];
  const auditBegins = subtract(
    subtract(after.passes, after.maybe),
    unite([before.maybe, before.passes]),
  );
  const auditEnds = subtract(
    subtract(before.passes, before.maybe),
    unite([after.maybe, after.passes]),
  );
  return [
    ...make('newly-allowed', subtract(gained, before.passes), originOf(after)),
    ...make('newly-allowed', intersect(gained, before.passes), originOf(after), { byAudit: true }),
    ...make('no-longer-allowed', subtract(lost, after.passes), originOf(before)),
    ...make('no-longer-allowed', intersect(lost, after.passes), originOf(before), {
      byAudit: true,
    }),
    ...make('newly-audited', auditBegins, undefined),
    ...make('no-longer-audited', auditEnds, undefined),
    ...make('perhaps-newly-allowed', maybeGained, originOf(after)),
    ...make('perhaps-no-longer-allowed', maybeLost, originOf(before)),
  ];
}

function originOf({ out, into }: PairReach): Origin | undefined {
  return (into.at(0) ?? out.at(0))?.origin;
}

/** Puts together what differs in one part alone: families, then the ends on either side. */
function merge(found: readonly Found[]): readonly Found[] {
  const once = mergeBy(
    found,
    ({ from, to }) => `${key(from)}\n${key(to)}`,
    (one, other) => ({
      ...one,
      families: [...one.families, ...other.families],
    }),
  );
  const byTarget = mergeBy(
    once,
    ({ to, families }) => `${key(to)}\n${families.join('')}`,
    (one, other) => ({
      ...one,
      from: [...one.from, ...other.from],
    }),
  );
  return mergeBy(
    byTarget,
    ({ from, families }) => `${key(from)}\n${families.join('')}`,
    (one, other) => ({
      ...one,
      to: [...one.to, ...other.to],
    }),
  );
}

function mergeBy(
  found: readonly Found[],
  keyOf: (one: Found) => string,
  join: (one: Found, other: Found) => Found,
): readonly Found[] {
  const merged = new Map<string, Found>();
  for (const one of found) {
    const key = `${one.kind} ${one.byAudit}\n${JSON.stringify(one.services)}\n${keyOf(one)}`;
    const before = merged.get(key);
    merged.set(key, before === undefined ? one : join(before, one));
  }
  return [...merged.values()];
}

function key(ends: readonly End[]): string {
  return ends.map(({ name }) => name).join('\0');
}

function nameEnds({ from, to, ...rest }: Found): Difference {
  return { ...rest, from: namesOf(from), to: namesOf(to) };
}

/** The names of ends; parts of the world that touch are one. */
function namesOf(ends: readonly End[]): readonly string[] {
  const regions = ends.flatMap((end) => (end.kind === 'outside' ? [end.region] : []));
  const others = ends.flatMap((end) => (end.kind === 'outside' ? [] : [end.name]));
  return [...joinRegions(regions).map(regionLabel), ...others];
}

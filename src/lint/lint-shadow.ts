/**
 * This rule finds rules that are superfluous because a wider rule of the same group and direction covers them.
 *
 * It compares every pair. AWS takes at most 1,000 rules in a direction, and a budget limits the work on larger
 * groups.
 */
import { cidrCovers, type Cidr } from '../addr/address.ts';
import { coversDnsPeer } from '../policy/dns-names.ts';
import { groupMembers } from '../policy/members.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Peer,
  type PolicyModel,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { hasIcmpType, hasPorts } from '../policy/protocols.ts';
import { PORT_MAX, ruleText } from '../policy/rules.ts';
import type { Problem } from '../source/problem.ts';
import { lineText } from '../config/config-reader.ts';
import { problemAt } from '../policy/problem-at.ts';
import { listTexts, placeKey, type Budget } from './lint-finding.ts';

const CODES_A_TYPE = 256;

/** What a DNS name may stand for, whose addresses nobody knows: only rules for everywhere cover that. */
const EVERYWHERE: readonly Cidr[] = [
  { family: 4, words: [0], length: 0 },
  { family: 6, words: [0, 0, 0, 0], length: 0 },
];

interface Comparison {
  readonly model: PolicyModel;
  readonly budget: Budget;
  /** By group: the address families of its members. */
  readonly families: ReadonlyMap<string, ReadonlySet<number>>;
}

interface Candidate {
  readonly rule: Rule;
  readonly index: number;
  /** The ports, or ICMP types and codes, as one range. */
  readonly first: number;
  readonly last: number;
}

/** Finds rules that could be removed without any effect, each with the rule that covers it. */
export function findShadowed(model: PolicyModel, budget: Budget): Problem[] {
  const families = new Map<string, ReadonlySet<number>>();
  for (const [id, addresses] of groupMembers(model))
    families.set(id, new Set(addresses.map(({ family }) => family)));
  const comparison = { model, budget, families };
  return [...model.groups.values()].flatMap((group) => [
    ...findInDirection(comparison, group, 'ingress'),
    ...findInDirection(comparison, group, 'egress'),
  ]);
}

function findInDirection(
  comparison: Comparison,
  group: SecurityGroup,
  direction: Rule['direction'],
): Problem[] {
  const candidates = group[direction].map(makeCandidate);
  // One item of the text may stand for several rules. They are reported together.
  const found = new Map<string, { rules: Rule[]; covers: readonly Rule[] }>();
  for (const inner of candidates) {
    if (comparison.budget.steps <= 0) break;
    const covers = findCovers(comparison, candidates, inner);
    if (covers.length === 0) continue;
    const key = [placeKey(inner.rule.origin), ...covers.map(({ id }) => id)].join(' ');
    const entry = found.get(key) ?? { rules: [], covers };
    entry.rules.push(inner.rule);
    found.set(key, entry);
  }
  return [...found.values()].map((entry) => describe(comparison.model, entry));
}

function describe(
  model: PolicyModel,
  { rules, covers }: { rules: readonly Rule[]; covers: readonly Rule[] },
): Problem {
  const quote = (rule: Rule): string => `'${ruleText(rule, model)}'`;
  const [{ origin }] = rules;
  const wider = covers.map((rule) => `${quote(rule)} (${lineText(rule.origin, origin)})`);
  const [subject, verb] = rules.length === 1 ? ['the rule', 'adds'] : ['the rules', 'add'];
  const message = `${subject} ${listTexts(rules.map(quote))} ${verb} nothing to ${listTexts(wider)}`;
  const hint = 'remove the narrower rule, or the wider one if it was not meant';
  return problemAt(origin, 'warning', 'shadowed-rule', message, hint);
}

/** ICMP types and codes as one range, in which all codes of a type are neighbours. */
function makeCandidate(rule: Rule, index: number): Candidate {
  const { protocol, fromPort, toPort } = rule;
  if (hasPorts(protocol)) return { rule, index, first: fromPort, last: toPort };
  if (!hasIcmpType(protocol) || fromPort === ANY) return { rule, index, first: 0, last: PORT_MAX };
  const first = fromPort * CODES_A_TYPE;
  if (toPort === ANY) return { rule, index, first, last: first + CODES_A_TYPE - 1 };
  return { rule, index, first: first + toPort, last: first + toPort };
}

/** Finds the widest rule that covers `inner`. For a group it may be two rules, one for each family. */
function findCovers(
  comparison: Comparison,
  candidates: readonly Candidate[],
  inner: Candidate,
): readonly Rule[] {
  comparison.budget.steps -= candidates.length;
  const sameService = candidates.filter((outer) => outer !== inner && coversService(outer, inner));
  let widest: Candidate | undefined;
  for (const outer of sameService) {
    if (!coversPeer(comparison, outer.rule.peer, inner.rule.peer)) continue;
    // If two rules cover each other, the later one is superfluous.
    if (outer.index > inner.index && covers(comparison, inner, outer)) continue;
    if (widest === undefined || covers(comparison, outer, widest)) widest = outer;
  }
  if (widest !== undefined) return [widest.rule];
  return inner.rule.peer.kind === 'group'
    ? findForFamilies(comparison, sameService, inner.rule.peer.groupId)
    : [];
}

/** Finds rules for 0.0.0.0/0 and ::/0 that cover a group, one for every family of its members. */
function findForFamilies(
  { families }: Comparison,
  candidates: readonly Candidate[],
  groupId: string,
): readonly Rule[] {
  const found: Rule[] = [];
  const wanted = families.get(groupId) ?? new Set();
  for (const family of wanted) {
    const rule = candidates.find(
      ({ rule: { peer } }) =>
        peer.kind === 'cidr' && peer.cidr.length === 0 && peer.cidr.family === family,
    )?.rule;
    if (rule === undefined) return [];
    found.push(rule);
  }
  return found;
}

function covers(comparison: Comparison, outer: Candidate, inner: Candidate): boolean {
  return coversService(outer, inner) && coversPeer(comparison, outer.rule.peer, inner.rule.peer);
}

function coversService(outer: Candidate, inner: Candidate): boolean {
  if (outer.rule.protocol === PROTOCOL_ALL) return true;
  return (
    outer.rule.protocol === inner.rule.protocol &&
    outer.first <= inner.first &&
    outer.last >= inner.last
  );
}

function coversPeer(comparison: Comparison, outer: Peer, inner: Peer): boolean {
  if (outer.kind === 'group' || inner.kind === 'group')
    return outer.kind === 'group' && inner.kind === 'group' && outer.groupId === inner.groupId;
  if (outer.kind === 'dns' && inner.kind === 'dns') return coversDnsPeer(outer, inner);
  if (outer.kind === 'prefixList' && inner.kind === 'prefixList')
    if (outer.prefixListId === inner.prefixListId) return true;
  const outerBlocks = blocksOf(comparison, outer);
  const innerBlocks = blocksOf(comparison, inner);
  comparison.budget.steps -= outerBlocks.length * innerBlocks.length;
  return (
    // An empty list admits nobody now but may do so later, so nothing covers it.
    comparison.budget.steps > 0 &&
    innerBlocks.length > 0 &&
    innerBlocks.every((block) => outerBlocks.some((wide) => cidrCovers(wide, block)))
  );
}

function blocksOf({ model }: Comparison, peer: Exclude<Peer, { kind: 'group' }>): readonly Cidr[] {
  if (peer.kind === 'cidr') return [peer.cidr];
  if (peer.kind === 'dns') return EVERYWHERE;
  return model.prefixLists.get(peer.prefixListId)?.entries.map(({ cidr }) => cidr) ?? [];
}

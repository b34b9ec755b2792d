/**
 * This file explains why a packet passes or is refused: which rule of which group decided at each gate, which other
 * rules would have admitted it, and which rules nearly match.
 *
 * It reads every rule, as reference.ts does, and changes nothing. If several rules admit a packet, the compiled
 * matcher may name another of them, but the verdict is the same. Gates after the one that refuses are asked as well,
 * so that people see all obstacles at once.
 */
import { formatAddress, type Address, type Family } from '../addr/address.ts';
import {
  checkPath,
  choosePath,
  describeEnd,
  isExempt,
  notesOnPath,
  ownerOf,
} from './explain-path.ts';
import type { Path } from './explain-path.ts';
import { askSubnets } from './explain-subnets.ts';
import { explainTracking, noteOnIcmp } from './explain-tracking.ts';
import type {
  AdmittingRule,
  Explanation,
  FamilyAnswer,
  GateAnswer,
  GroupRef,
  Network,
  Question,
  Service,
  Verdict,
} from './explanation.ts';
import type {
  Direction,
  NetworkInterface,
  PolicyModel,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import { failedClauses, nearMisses, referAdmitting, seeService, type Miss } from './near-miss.ts';
import { judgeCertainly } from '../policy/doubt.ts';
import { auditingRules, type Probe } from '../policy/reference.ts';
import { ruleText } from '../policy/rules.ts';
import { groupLabel } from '../policy/vpcs.ts';
import { probeOf } from './probe.ts';

const FAMILIES: readonly Family[] = [4, 6];

/**
 * Answers the question for each IP family that both ends and the protocol support.
 * Interfaces named by the question must exist in the model.
 */
export function explain(network: Network, question: Question): Explanation {
  const answers: FamilyAnswer[] = [];
  const notAsked: { family: Family; why: string }[] = [];
  for (const family of FAMILIES) {
    if (question.family !== undefined && question.family !== family) continue;
    const path = choosePath(network, question, family);
    if ('why' in path) notAsked.push({ family, why: path.why });
    else answers.push(answer(network, question, path));
  }
  return { verdict: worstOf(answers), answers, notAsked };
}

/** The verdict on all families together. */
export function worstOf(answers: readonly FamilyAnswer[]): Verdict {
  const verdicts = answers.map(({ verdict }) => verdict);
  if (verdicts.length === 0 || verdicts.includes('refused')) return 'refused';
  return verdicts.includes('undecidable') ? 'undecidable' : 'allowed';
}

function answer(network: Network, question: Question, path: Path): FamilyAnswer {
  const { service } = question;
  const { from, to } = path;
  const checks = checkPath(network, path, service);
  const refusal = checks.find(({ outcome }) => outcome === 'refused');
  const isSeenByGroups = refusal?.check !== 'link-scope' && refusal?.check !== 'martian';

  const gates: GateAnswer[] = [];
  if (isSeenByGroups) {
    let reached = refusal === undefined;
    const ask = (
      own: NetworkInterface | undefined,
      direction: Direction,
      remote: Address,
    ): void => {
      if (own === undefined) return;
      const gate = heldByFence(network.model, askGate(network, own, direction, remote, service));
      gates.push({ ...gate, reached });
      reached &&= gate.verdict !== 'refused';
    };
    // The platform's interface has no gate. What it sends is an answer, or is refused where it arrives.
    if (from.network?.isPlatform !== true) ask(from.network, 'egress', to.address);
    if (to.network?.isPlatform !== true) ask(to.network, 'ingress', from.address);
  }

  const subnets = refusal === undefined ? askSubnets(path, service) : [];
  const asked = [...gates, ...subnets.map(({ check, ...rest }) => ({ reason: check, ...rest }))];
  const decider =
    asked.find(({ verdict }) => verdict === 'refused') ??
    asked.find(({ verdict }) => verdict === 'undecidable');
  const icmpNote = noteOnIcmp(service);
  return {
    family: from.address.family,
    from: describeEnd(network, from),
    to: describeEnd(network, to),
    verdict: refusal === undefined ? (decider?.verdict ?? 'allowed') : 'refused',
    reason: refusal?.check ?? decider?.reason ?? 'passed',
    why: refusal?.why ?? decider?.why ?? 'everything on its way admits it',
    checks,
    gates,
    ...(subnets.length === 0 ? {} : { subnets }),
    notes: [
      ...auditNotes(refusal === undefined ? gates.filter((one) => one.verdict === 'refused') : []),
      ...notesOnPath(network, path, question),
      ...(icmpNote === undefined ? [] : [icmpNote]),
    ],
  };
}

function askGate(
  network: Network,
  own: NetworkInterface,
  direction: Direction,
  remote: Address,
  service: Service,
): Omit<GateAnswer, 'reached'> {
  const { model } = network;
  const groups = [...new Set(own.groupIds)].map((id) => model.groups.get(id)!);
  const learnt = direction === 'egress' ? network.learntBy?.(own.id) : undefined;
  const seen = seeService(model, service, remote, learnt);
  const { admitting, stale, others } = judgeRules(groups, direction, seen, model);
  const certainty = judgeCertainly(model, own.id, direction, probeOf(service, remote, learnt));
  const refs = groups.map((group): GroupRef => ({ id: group.id, name: groupLabel(group) }));
  const common = {
    direction,
    interface: { id: own.id, name: own.name },
    groups: refs,
    groupsWithoutRules: groups
      .filter((group) => group[direction].length === 0)
      .map((group) => ({ id: group.id, name: groupLabel(group) })),
  };
  const goesToPlatform = direction === 'egress' && isExempt(network, remote, service);
  const comesFromPlatform =
    direction === 'ingress' && ownerOf(network, remote)?.isPlatform === true;
  const isDoubtful = !goesToPlatform && certainty.kind === 'undecidable';
  if (comesFromPlatform || (!goesToPlatform && !isDoubtful && admitting.length === 0)) {
    return {
      ...common,
      ...(comesFromPlatform ? {} : askAudit(model, own, direction, probeOf(service, remote))),
      verdict: 'refused',
      ...(comesFromPlatform
        ? {
            reason: 'ingress-rules',
            why: `${formatAddress(remote)} is the platform's, which answers and opens nothing`,
          }
        : whyRefused(direction, refs, stale, others.length > 0)),
      alsoAdmittedBy: [],
      nearMisses: comesFromPlatform ? [] : nearMisses(others, model),
    };
  }
  if (isDoubtful) return undecidable(common, certainty.reasons);
  const tracking = explainTracking(model, {
    network: own,
    direction,
    family: remote.family,
    service,
    groups,
    isPlatform: goesToPlatform,
  });
  const allowed = {
    ...common,
    verdict: 'allowed',
    reason: 'passed',
    nearMisses: [],
    tracking,
  } as const;
  if (goesToPlatform) {
    const isBehindPort = ownerOf(network, remote)?.isPlatform === true;
    const why = `${formatAddress(remote)} is the platform's, and platformServices names this service, which groups never filter${isBehindPort ? '; what is behind the port of the platform answers' : ''}`;
    return { ...allowed, why, alsoAdmittedBy: [] };
  }
  const isSure = ({ id }: AdmittingRule): boolean =>
    certainty.kind === 'admits' && [...certainty.rules].some((rule) => rule.id === id);
  const [decidedBy, ...alsoAdmittedBy] = admitting.filter(isSure);
  const why = `a rule of sg:${decidedBy.group.name} admits it`;
  return { ...allowed, why, decidedBy, alsoAdmittedBy };
}

function askAudit(
  model: PolicyModel,
  own: NetworkInterface,
  direction: Direction,
  probe: Probe,
): Pick<GateAnswer, 'audit'> {
  const [first] = auditingRules(model, own.id, direction, probe);
  return first === undefined ? {} : { audit: auditText(first, own, model) };
}

/** By what audit lets it pass. */
function auditText(audits: Rule, { name, groupIds }: NetworkInterface, model: PolicyModel): string {
  const id = groupIds.find((one) => model.groups.get(one)?.audited?.includes(audits) === true);
  if (id === undefined) return `${name}, which is in audit mode`;
  const group = `sg:${groupLabel(model.groups.get(id)!)}`;
  if (audits.implied === true) return `${group}, which is in audit mode`;
  return `a rule of ${group} that only audits: ${ruleText(audits, model)}`;
}

/** What is said of a packet that rules refuse and audit lets pass. */
function auditNotes(refused: readonly GateAnswer[]): readonly string[] {
  const audits = refused.flatMap(({ audit }) => audit ?? []);
  if (audits.length === 0) return [];
  const by = [...new Set(audits)].join('; ');
  return audits.length === refused.length
    ? [`passes only by audit, and is counted: by ${by}; enforced, it would be dropped as said`]
    : [`audit would let it pass one gate, by ${by}, but not the other`];
}

/** A fence that is closed refuses before any rule is asked. */
function heldByFence(
  { fenced }: PolicyModel,
  gate: Omit<GateAnswer, 'reached'>,
): Omit<GateAnswer, 'reached'> {
  const { direction, interface: own, groups, groupsWithoutRules } = gate;
  if (fenced?.interfaces.has(own.id) !== true) return gate;
  const why = `this host may not have ${own.name} any more: ${fenced.why}`;
  const place = { direction, interface: own, groups, groupsWithoutRules };
  return {
    ...place,
    verdict: 'refused',
    reason: 'fenced',
    why,
    alsoAdmittedBy: [],
    nearMisses: [],
  };
}

/** The answer of a gate that the input leaves open. */
function undecidable(
  common: Pick<GateAnswer, 'direction' | 'interface' | 'groups' | 'groupsWithoutRules'>,
  dependsOn: readonly string[],
): Omit<GateAnswer, 'reached'> {
  return {
    ...common,
    verdict: 'undecidable',
    reason: common.direction === 'egress' ? 'egress-rules' : 'ingress-rules',
    why: `not decidable: ${dependsOn.join('; ')}`,
    dependsOn,
    alsoAdmittedBy: [],
    nearMisses: [],
  };
}

interface JudgedRules {
  readonly admitting: readonly AdmittingRule[];
  /** They would admit it, and count for nothing new now. */
  readonly stale: readonly AdmittingRule[];
  readonly others: readonly Miss[];
}

function judgeRules(
  groups: readonly SecurityGroup[],
  direction: Direction,
  seen: ReturnType<typeof seeService>,
  model: PolicyModel,
): JudgedRules {
  const admitting: AdmittingRule[] = [];
  const stale: AdmittingRule[] = [];
  const others: Miss[] = [];
  for (const group of groups) {
    for (const rule of group[direction]) {
      const failed = failedClauses(rule, seen, model);
      const isStale = model.areGroupsStale === true && rule.peer.kind === 'group';
      if (failed.length === 0)
        (isStale ? stale : admitting).push(referAdmitting(rule, group, seen, model));
      else others.push({ rule, group, failed });
    }
  }
  return { admitting, stale, others };
}

function whyRefused(
  direction: Direction,
  groups: readonly GroupRef[],
  [stale]: readonly AdmittingRule[],
  hasRules: boolean,
): Pick<GateAnswer, 'reason' | 'why'> {
  if (stale !== undefined)
    return {
      reason: 'stale-groups',
      why: `only ${stale.text} of sg:${stale.group.name} admits it, and the store has been away for so long that members of groups count for nothing new`,
    };
  return {
    reason: direction === 'egress' ? 'egress-rules' : 'ingress-rules',
    why: refusalText(direction, groups, hasRules),
  };
}

function refusalText(direction: Direction, groups: readonly GroupRef[], hasRules: boolean): string {
  const names = groups.map(({ name }) => `sg:${name}`);
  if (names.length === 0) return `it has no security group, so no ${direction} rule admits it`;
  const list =
    names.length === 1 ? names[0] : `${names.slice(0, -1).join(', ')} or ${names.at(-1)!}`;
  if (hasRules) return `no ${direction} rule of ${list} admits it`;
  return names.length === 1
    ? `${list} has no ${direction} rules at all`
    : `there are no ${direction} rules at all in ${list}`;
}

/**
 * The plain matcher: it reads every rule of every group on the interface, as the AWS pages describe it.
 *
 * It is slow and obvious. match.ts must give the same answers from its compiled arrays (property test). Explanations
 * of a verdict use this matcher.
 */
import type { Address } from '../addr/address.ts';
import { rulesThatAudit } from './audit.ts';
import { peerContains } from './members.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type InterfaceId,
  type PolicyModel,
  type Rule,
} from './model.ts';

const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;
const PORT_MAX = 65535;

/** A packet as rules see it. */
export interface Probe {
  readonly protocol: number;
  /** Destination port of TCP and UDP; 0 for other protocols. */
  readonly port: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  /** The other side: the source of ingress, the destination of egress. */
  readonly remote: Address;
  /**
   * The names of rules that the remote address is known to have at the interface. Absent: it is not known which; then
   * no rule with a name matches.
   */
  readonly names?: readonly string[];
}

/** Returns all rules of the interface's groups that admit the probe, in the order of groups and rules. */
export function matchingRules(
  model: PolicyModel,
  interfaceId: InterfaceId,
  direction: Direction,
  probe: Probe,
): Rule[] {
  const { groupIds } = model.interfaces.get(interfaceId)!;
  return groupIds
    .flatMap((groupId) => model.groups.get(groupId)![direction])
    .filter((rule) => admits(rule, probe, model));
}

function includesRemote({ peer }: Rule, { remote, names }: Probe, model: PolicyModel): boolean {
  if (peer.kind === 'dns') return names?.includes(peer.name) === true;
  return peerContains(peer, remote, model);
}

/** Those of them that admit it as a packet of a new flow. */
export function newFlowRules(
  model: PolicyModel,
  interfaceId: InterfaceId,
  direction: Direction,
  probe: Probe,
): Rule[] {
  return withoutStale(model, matchingRules(model, interfaceId, direction, probe));
}

/** The rules by which audit lets it pass if no rule admits it, the first that is asked in front. */
export function auditingRules(
  model: PolicyModel,
  interfaceId: InterfaceId,
  direction: Direction,
  probe: Probe,
): Rule[] {
  const own = model.interfaces.get(interfaceId)!;
  const rules = rulesThatAudit(model, own, direction).filter((rule) => admits(rule, probe, model));
  return withoutStale(model, rules);
}

function admits(rule: Rule, probe: Probe, model: PolicyModel): boolean {
  return admitsProtocol(rule, probe) && includesRemote(rule, probe, model);
}

function withoutStale({ areGroupsStale }: PolicyModel, rules: Rule[]): Rule[] {
  return areGroupsStale === true ? rules.filter(({ peer }) => peer.kind !== 'group') : rules;
}

/**
 * Whether a TCP or UDP flow is untracked: a rule for everywhere admits it in one direction, and the other direction
 * admits everything on all ports (AWS, "Untracked connections").
 */
export function isUntrackedFlow(
  model: PolicyModel,
  interfaceId: InterfaceId,
  flow: {
    readonly family: 4 | 6;
    readonly protocol: number;
    readonly localPort: number;
    readonly remotePort: number;
  },
): boolean {
  if (flow.protocol !== TCP && flow.protocol !== UDP) return false;
  if (model.interfaces.get(interfaceId)!.alwaysTracked === true) return false;
  const anywhere = (direction: Direction): Rule[] =>
    model.interfaces
      .get(interfaceId)!
      .groupIds.flatMap((groupId) => model.groups.get(groupId)![direction])
      .filter(
        ({ peer }) =>
          peer.kind === 'cidr' && peer.cidr.family === flow.family && peer.cidr.length === 0,
      )
      .filter(({ protocol }) => protocol === PROTOCOL_ALL || protocol === flow.protocol);
  const admitsPort = (rule: Rule, port: number): boolean =>
    rule.fromPort === ANY || (rule.fromPort <= port && port <= rule.toPort);
  const admitsAll = (rule: Rule): boolean =>
    rule.fromPort === ANY || (rule.fromPort === 0 && rule.toPort === PORT_MAX);
  const ingress = anywhere('ingress');
  const egress = anywhere('egress');
  return (
    (egress.some(admitsAll) && ingress.some((rule) => admitsPort(rule, flow.localPort))) ||
    (ingress.some(admitsAll) && egress.some((rule) => admitsPort(rule, flow.remotePort)))
  );
}

/** Whether the rule admits the protocol, port, type and code of the probe, whoever the other side is. */
export function admitsProtocol(rule: Rule, probe: Probe): boolean {
  if (rule.protocol === PROTOCOL_ALL) return true;
  if (rule.protocol !== probe.protocol) return false;
  switch (rule.protocol) {
    case TCP:
    case UDP:
      return rule.fromPort <= probe.port && probe.port <= rule.toPort;
    case ICMP:
    case ICMPV6:
      return (
        (rule.fromPort === ANY || rule.fromPort === probe.icmpType) &&
        (rule.toPort === ANY || rule.toPort === probe.icmpCode)
      );
    default:
      return true;
  }
}

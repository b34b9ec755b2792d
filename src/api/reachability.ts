/**
 * This file answers whether one end reaches another, as Reachability Analyzer does, by the very explanation that `sgctl
 * explain` gives.
 *
 * AWS walks through route tables, gateways and peerings, which secgroupd does not have. Here a path goes from an
 * interface through its egress rules to the ingress rules of the other one, and to an address outside through the
 * egress rules alone. What AWS does not tell is told too: the rules that nearly match, and what would have made them.
 */
import { formatCidr, parseAddress } from '../addr/address.ts';
import type { Estate } from '../estate/estate.ts';
import type { InsightsPath } from '../estate/model.ts';
import { explain } from '../explain/explain.ts';
import type {
  AdmittingRule,
  Endpoint,
  FamilyAnswer,
  GateAnswer,
  NearMiss,
  Network,
} from '../explain/explanation.ts';
import { DEFAULT_TRACKING } from '../estate/join-interfaces.ts';
import { estateOrigin, vpcRef } from '../estate/rows.ts';
import { applyAuditTags } from '../policy/audit-tags.ts';
import { ANY, type PolicyModel, type Rule } from '../policy/model.ts';
import { hasPorts, protocolName, PROTOCOL_TCP, PROTOCOL_UDP } from '../policy/protocols.ts';
import { PORT_MAX } from '../policy/rules.ts';
import { NO_SPECIAL_ADDRESSES } from '../policy/special-addresses.ts';
import { arnOf, type Owner } from './actions/group-output.ts';
import { ApiError } from './action.ts';

export interface Reachability {
  readonly isFound: boolean;
  /** By the names of the SDK's `NetworkInsightsAnalysis`. */
  readonly output: object;
}

/** AWS's codes of explanations, by what refused. Source: Reachability Analyzer guide, "Explanation codes". */
const CODES: Readonly<Record<FamilyAnswer['reason'], string>> = {
  passed: '',
  'egress-rules': 'ENI_SG_RULES_MISMATCH',
  'ingress-rules': 'ENI_SG_RULES_MISMATCH',
  'stale-groups': 'ENI_SG_RULES_MISMATCH',
  fenced: 'NO_POSSIBLE_DESTINATION',
  'source-check': 'ENI_SOURCE_DEST_CHECK_RESTRICTION',
  'uplink-spoof': 'ENI_SOURCE_DEST_CHECK_RESTRICTION',
  'no-route': 'NO_ROUTE_TO_DESTINATION',
  route: 'NO_ROUTE_TO_DESTINATION',
  'network-acl': 'SUBNET_ACL_RESTRICTION',
  'link-scope': 'NO_POSSIBLE_DESTINATION',
  martian: 'NO_POSSIBLE_DESTINATION',
};

/** A rule that nearly matches: ours alone, since AWS tells none. */
const NEAR_MISS = 'SECGROUPD_NEAR_MISS';
const NEAR_MISSES_MAX = 5;

/** @throws ApiError if an end of the path is not there */
export function analyse(estate: Estate, path: InsightsPath, owner: Owner): Reachability {
  const network = networkOf(estate);
  const from = endpoint(estate, path.source, path.sourceIp, 'Source');
  const to = endpoint(estate, path.destination, path.destinationIp, 'Destination');
  const protocol = path.protocol === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP;
  const ports =
    path.destinationPort === undefined
      ? candidatePorts(network.model, protocol)
      : [path.destinationPort];
  let best: FamilyAnswer | undefined;
  for (const port of ports) {
    const source = path.sourcePort === undefined ? {} : { sourcePort: path.sourcePort };
    const service = { kind: 'ports', protocol, port, ...source } as const;
    const { answers, notAsked } = explain(network, { from, to, service });
    const allowed = answers.find(({ verdict }) => verdict === 'allowed');
    if (allowed !== undefined) return found(allowed, { port, protocol, network, owner });
    best ??= answers[0];
    if (best === undefined) return nowhere(notAsked.map(({ why }) => why).join('; '));
  }
  return refusedPath(best!, network, owner);
}

/**
 * Ports at which a rule of the protocol begins: if any port passes both gates, one of these does, since where ranges
 * meet, the common part begins where one of them does.
 */
function candidatePorts({ groups }: PolicyModel, protocol: number): readonly number[] {
  const ports = new Set([0]);
  for (const { ingress, egress } of groups.values())
    for (const rule of [...ingress, ...egress])
      if (rule.protocol === protocol && rule.fromPort !== ANY) ports.add(rule.fromPort);
  return [...ports].sort((a, b) => a - b);
}

/** Everything there is, wherever it is attached. */
function networkOf(estate: Estate): Network {
  const interfaces = estate
    .list('interfaces')
    .filter(({ addresses }) => addresses.length > 0)
    .map((one) => ({
      id: one.id,
      name: one.tags.find(({ key }) => key === 'Name')?.value ?? one.id,
      vpc: vpcRef(one.vpcId),
      addresses: one.addresses,
      groupIds: one.groupIds.filter((id) => estate.group(id) !== undefined),
      sourceDestCheck: one.sourceDestCheck,
      connectionTracking: { ...DEFAULT_TRACKING, ...one.connectionTracking },
      origin: estateOrigin(one.id),
    }));
  const model: PolicyModel = {
    groups: new Map(
      estate
        .list('groups')
        .map(({ group, tags, ruleTags }) => [group.id, applyAuditTags(group, tags, ruleTags)]),
    ),
    prefixLists: new Map(estate.list('prefix-lists').map(({ list }) => [list.id, list])),
    interfaces: new Map(interfaces.map((one) => [one.id, one])),
  };
  return { model, special: NO_SPECIAL_ADDRESSES, hasUplink: true };
}

/** An end by an id or ARN of an interface or instance, or an address outside behind a gateway or without one. */
function endpoint(
  estate: Estate,
  named: string | undefined,
  ip: string | undefined,
  which: 'Source' | 'Destination',
): Endpoint {
  const address = ip === undefined ? undefined : parseAddress(ip);
  if (address?.ok === false)
    throw new ApiError('InvalidParameterValue', `${which}Ip: ${address.message}`);
  const id = named?.slice(named.lastIndexOf('/') + 1);
  const isOutside = id === undefined || id.startsWith('igw-');
  if (isOutside && address !== undefined) return { kind: 'address', address: address.value };
  if (isOutside) {
    const message = `${which} is outside, and no ${which}Ip says where`;
    throw new ApiError('MissingParameter', message);
  }
  const found = id.startsWith('i-')
    ? estate.list('interfaces').find(({ attachment }) => attachment?.instanceId === id)
    : estate.interface(id);
  if (found === undefined)
    throw new ApiError(
      'InvalidParameterValue',
      `${which}: there is no interface or instance ${id}`,
    );
  const own = address === undefined ? {} : { address: address.value };
  return { kind: 'interface', interfaceId: found.id, ...own };
}

interface FoundContext {
  readonly port: number;
  readonly protocol: number;
  readonly network: Network;
  readonly owner: Owner;
}

function found(answer: FamilyAnswer, context: FoundContext): Reachability {
  const { port, protocol, network, owner } = context;
  const { from, to, gates, notes } = answer;
  const header = {
    SourceAddresses: [from.address],
    DestinationAddresses: [to.address],
    DestinationPortRanges: [{ From: port, To: port }],
    SourcePortRanges: [{ From: 0, To: PORT_MAX }],
    Protocol: String(protocol),
  };
  const ends = [from, to].flatMap((end) => (end.kind === 'interface' ? [end.id] : []));
  const rules = gates.flatMap(({ decidedBy }) => decidedBy ?? []);
  const forward = [
    ...(from.kind === 'interface' ? [{ Component: eni(ends[0], owner) }] : []),
    ...rules.map((rule) => ({
      Component: group(rule.group.id, owner),
      SecurityGroupRule: ruleOutput(rule, network.model),
    })),
    ...(to.kind === 'interface' ? [{ Component: eni(ends.at(-1)!, owner) }] : []),
  ];
  const numbered = forward.map((one, i) => ({
    SequenceNumber: i + 1,
    ...one,
    ...(i === 0 ? { OutboundHeader: header } : { InboundHeader: header }),
  }));
  // An answer is let through by the tracked flow, whatever the rules say.
  const back = forward
    .toReversed()
    .map(({ Component }, i) => ({ SequenceNumber: i + 1, Component }));
  return {
    isFound: true,
    output: {
      Status: 'succeeded',
      NetworkPathFound: true,
      ForwardPathComponents: numbered,
      ReturnPathComponents: back,
      ...(notes.length === 0 ? {} : { WarningMessage: notes.join('; ') }),
    },
  };
}

function refusedPath(answer: FamilyAnswer, network: Network, owner: Owner): Reachability {
  const { reason, why, gates, notes } = answer;
  const closed = gates.filter(({ verdict }) => verdict === 'refused');
  const explanations =
    closed.length === 0
      ? [{ ExplanationCode: CODES[reason], MissingComponent: why }]
      : closed.flatMap((gate) => [
          gateExplanation(gate, owner),
          ...gate.nearMisses
            .slice(0, NEAR_MISSES_MAX)
            .map((miss) => missExplanation(gate, miss, network.model, owner)),
        ]);
  return {
    isFound: false,
    output: {
      Status: 'succeeded',
      StatusMessage: why,
      NetworkPathFound: false,
      Explanations: explanations,
      ...(notes.length === 0 ? {} : { WarningMessage: notes.join('; ') }),
    },
  };
}

function nowhere(why: string): Reachability {
  const output = {
    Status: 'succeeded',
    StatusMessage: why,
    NetworkPathFound: false,
    Explanations: [{ ExplanationCode: 'NO_PATH', MissingComponent: why }],
  };
  return { isFound: false, output };
}

function gateExplanation(gate: GateAnswer, owner: Owner): object {
  return {
    ExplanationCode: CODES[gate.reason],
    Direction: gate.direction,
    NetworkInterface: eni(gate.interface.id, owner),
    SecurityGroups: gate.groups.map(({ id }) => group(id, owner)),
    MissingComponent: gate.why,
  };
}

function missExplanation(
  gate: GateAnswer,
  { rule, text }: NearMiss,
  model: PolicyModel,
  owner: Owner,
): object {
  return {
    ExplanationCode: NEAR_MISS,
    Direction: gate.direction,
    NetworkInterface: eni(gate.interface.id, owner),
    SecurityGroup: group(rule.group.id, owner),
    SecurityGroupRule: ruleOutput(rule, model),
    MissingComponent: `${rule.id} ${text}`,
  };
}

function ruleOutput(
  { id, group: { id: groupId } }: Pick<AdmittingRule, 'id' | 'group'>,
  { groups }: PolicyModel,
): object {
  const owning = groups.get(groupId)!;
  const rule = [...owning.ingress, ...owning.egress].find((one) => one.id === id)!;
  return {
    SecurityGroupId: groupId,
    Direction: rule.direction,
    Protocol: rule.protocol === ANY ? 'all' : protocolName(rule.protocol),
    ...(hasPorts(rule.protocol) ? { PortRange: { From: rule.fromPort, To: rule.toPort } } : {}),
    ...peerOutput(rule),
  };
}

function peerOutput({ peer }: Rule): object {
  switch (peer.kind) {
    case 'cidr':
      return { Cidr: formatCidr(peer.cidr) };
    case 'prefixList':
      return { PrefixListId: peer.prefixListId };
    case 'group':
      // AWS has one field for the group that has the rule and a group that the rule names: without a peer, it names a
      // group.
      return {};
    case 'dns':
      return {};
    default:
      return peer satisfies never;
  }
}

function eni(id: string, owner: Owner): object {
  return { Id: id, Arn: arnOf(owner, 'network-interface', id) };
}

function group(id: string, owner: Owner): object {
  return { Id: id, Arn: arnOf(owner, 'security-group', id) };
}

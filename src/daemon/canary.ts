/**
 * Canaries: packets that nobody sends, put to the packet loops when an interface is new.
 *
 * Theory of operation. The loops judge by compiled tables. If these were wrong for a new interface, nobody would notice
 * before an attacker does. So each loop is asked where it delivers packets for the interface's addresses, and how
 * it judges some packets by the policy that it has: packets that rules of the interface's groups are for, and packets
 * that hardly any rule is for. The plain reference matcher, which reads rule by rule, says what is right. Nothing
 * reaches the wire, and no flow is made (dataplane/probes.ts).
 */
import { formatAddress, parseAddress, type Address } from '../addr/address.ts';
import { PROBE_EGRESS, PROBE_HOST, PROBE_INGRESS, PROBE_WORDS } from '../dataplane/probes.ts';
import { NO_RULE } from '../policy/match.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type InterfaceId,
  type Peer,
  type PolicyModel,
  type Rule,
} from '../policy/model.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP } from '../policy/protocols.ts';
import { matchingRules, type Probe } from '../policy/reference.ts';

/** Of a change that brings more interfaces, the others are not tried: whoever reloads thousands would wait. */
export const INTERFACES_TRIED = 64;
/** So many rules of each direction are tried. */
const RULES_TRIED = 8;
/** RFC 3692: for experiments, so hardly any rule is for it. */
const EXPERIMENT = 253;
const ECHO_REQUEST = { [PROTOCOL_ICMP]: 8, [PROTOCOL_ICMPV6]: 128 } as const;
/** RFC 5737 and RFC 3849: documentation, so hardly any rule is for them. */
const STRANGERS = ['192.0.2.1', '2001:db8::1'].flatMap((text) => {
  const parsed = parseAddress(text);
  return parsed.ok ? [parsed.value] : [];
});

/** A question to the loops, with the right answers. */
export interface Canary {
  readonly words: readonly number[];
  readonly right: readonly number[];
  /** The name of the interface. */
  readonly name: string;
  /** What it is, for a message. */
  readonly text: string;
}

/** @param numberOf a rule's number */
export function makeCanaries(
  model: PolicyModel,
  id: InterfaceId,
  port: number,
  numberOf: (rule: Rule) => number,
): readonly Canary[] {
  const { addresses, groupIds, name } = model.interfaces.get(id)!;
  const homes = addresses.map((address) => ({
    words: [PROBE_HOST, port, address.family, 0, 0, ...fourWords(address)],
    right: [port],
    name,
    text: `a packet to ${formatAddress(address)}`,
  }));
  const judged = (['ingress', 'egress'] as const).flatMap((direction) => {
    const rules = groupIds.flatMap((groupId) => model.groups.get(groupId)?.[direction] ?? []);
    const probes = [
      ...rules.slice(0, RULES_TRIED).flatMap((rule) => probeFor(rule, model)),
      ...STRANGERS.flatMap((remote) =>
        [EXPERIMENT, PROTOCOL_TCP].map((one) => probeOf(one, remote)),
      ),
    ];
    return probes.map((probe) => ({
      ...judgedCanary(model, id, port, direction, probe, numberOf),
      name,
    }));
  });
  return [...homes, ...judged];
}

export function packCanaries(canaries: readonly Canary[]): Int32Array {
  const packed = new Int32Array(canaries.length * PROBE_WORDS);
  canaries.forEach(({ words }, i) => packed.set(words, i * PROBE_WORDS));
  return packed;
}

/** The first that a loop's answers have wrong; undefined: all are right. */
export function findWrong(
  canaries: readonly Canary[],
  answers: ArrayLike<number>,
): Canary | undefined {
  return canaries.find(({ right }, i) => !right.includes(answers[i]));
}

function judgedCanary(
  model: PolicyModel,
  id: InterfaceId,
  port: number,
  direction: Direction,
  probe: Probe,
  numberOf: (rule: Rule) => number,
): Omit<Canary, 'name'> {
  const { protocol, remote } = probe;
  const what = direction === 'ingress' ? PROBE_INGRESS : PROBE_EGRESS;
  const isIcmp = protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
  const rulePort = isIcmp ? (probe.icmpType << 8) | probe.icmpCode : probe.port;
  const admitting = matchingRules(model, id, direction, probe);
  const end = direction === 'ingress' ? 'from' : 'to';
  return {
    words: [what, port, remote.family, protocol, rulePort, ...fourWords(remote)],
    right: admitting.length === 0 ? [NO_RULE] : admitting.map((rule) => numberOf(rule) + 1),
    text: `${direction} of protocol ${protocol}, port ${rulePort}, ${end} ${formatAddress(remote)}`,
  };
}

/** A packet that a rule is for; none if its peer is nobody. */
function probeFor(rule: Rule, model: PolicyModel): readonly Probe[] {
  const remote = someAddress(rule.peer, model);
  if (remote === undefined) return [];
  const protocol = rule.protocol === PROTOCOL_ALL ? PROTOCOL_TCP : rule.protocol;
  const probe = probeOf(protocol, remote);
  if (rule.protocol === PROTOCOL_ALL) return [probe];
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
    const icmpType = rule.fromPort === ANY ? ECHO_REQUEST[protocol] : rule.fromPort;
    return [{ ...probe, icmpType, icmpCode: rule.toPort === ANY ? 0 : rule.toPort }];
  }
  return [{ ...probe, port: rule.fromPort === ANY ? 0 : rule.fromPort }];
}

function probeOf(protocol: number, remote: Address): Probe {
  return { protocol, port: protocol === PROTOCOL_TCP ? 1 : 0, icmpType: 0, icmpCode: 0, remote };
}

function someAddress(peer: Peer, model: PolicyModel): Address | undefined {
  switch (peer.kind) {
    case 'cidr':
      return peer.cidr;
    case 'prefixList':
      return model.prefixLists.get(peer.prefixListId)?.entries[0]?.cidr;
    case 'group':
      for (const { groupIds, addresses } of model.interfaces.values())
        if (groupIds.includes(peer.groupId) && addresses.length > 0) return addresses[0];
      return undefined;
    case 'dns':
      return undefined;
    default:
      return peer satisfies never;
  }
}

function fourWords({ words }: Address): readonly number[] {
  const [a0, a1 = 0, a2 = 0, a3 = 0] = words;
  return [a0, a1, a2, a3];
}

/**
 * Says whether a verdict is certain, where the input does not decide everything: a plan of Terraform knows neither the
 * ids of what it will make nor most addresses.
 *
 * Theory of operation. What is known is in the model as usual, and the gates ask that alone; so nothing unknown opens.
 * What may be true besides is kept apart: rules that a group may have, groups that an interface may have, blocks
 * that hold a made-up address, lists that may be longer. A gate then has one of three answers. It admits for certain if
 * a known rule does, whatever the unknown turns out to be. It refuses for certain if it would refuse with everything
 * that may be. Else it is not decidable, and the clauses here say what it depends on.
 *
 * Each unknown is judged alone. That can call something undecidable that all of them together decide, and never the
 * other way round. test/policy/doubt.property.test.ts draws models with unknowns, replaces them by each thing that
 * they may be, and compares.
 */
import { cidrContains, cidrCovers, sameAddress, type Address, type Cidr } from '../addr/address.ts';
import { DNS_PREFIX } from './dns-names.ts';
import { isDocumentation } from './documentation.ts';
import type {
  Direction,
  GroupId,
  InterfaceId,
  NetworkInterface,
  Peer,
  PolicyModel,
  PossibleRule,
  Rule,
  SecurityGroup,
} from './model.ts';
import { admitsProtocol, matchingRules, type Probe } from './reference.ts';
import { groupLabel } from './vpcs.ts';

/** How sure a gate is. */
export type Certainty =
  | { readonly kind: 'admits'; readonly rules: ReadonlySet<Rule> }
  | { readonly kind: 'refuses' }
  /** What it depends on, each as a clause; at least one. */
  | { readonly kind: 'undecidable'; readonly reasons: readonly string[] };

/** `yes`, `no`, or why neither is certain. */
export type Tri = 'yes' | 'no' | { readonly why: string };

/**
 * Judges a new flow at a gate of an interface. A daemon's own model is never in doubt, and a daemon says in the probe
 * which names an address has.
 */
export function judgeCertainly(
  model: PolicyModel,
  interfaceId: InterfaceId,
  direction: Direction,
  probe: Probe,
): Certainty {
  const own = model.interfaces.get(interfaceId)!;
  const sure = new Set<Rule>();
  const reasons = new Set<string>();
  if (model.isElsewhere !== true) {
    const rules = matchingRules(model, interfaceId, direction, probe);
    if (rules.length > 0) return { kind: 'admits', rules: new Set(rules) };
    for (const rule of namedRules(model, own, direction, probe)) {
      const answer = admits(rule, probe, model);
      if (answer !== 'yes' && answer !== 'no') reasons.add(answer.why);
    }
    return reasons.size === 0
      ? { kind: 'refuses' }
      : { kind: 'undecidable', reasons: [...reasons] };
  }
  const groups = own.groupIds.flatMap((id) => model.groups.get(id) ?? []);
  for (const group of groups) {
    for (const rule of group[direction]) {
      const answer = admits(rule, probe, model);
      if (answer === 'yes') sure.add(rule);
      else if (answer !== 'no') reasons.add(answer.why);
    }
    addPossible(group, direction, probe, model, reasons);
  }
  if (sure.size > 0) return { kind: 'admits', rules: sure };
  for (const [id, why] of own.doubt?.groups ?? []) {
    const group = model.groups.get(id);
    if (group === undefined || mayAdmit(group, direction, probe, model)) reasons.add(why);
  }
  for (const why of own.doubt?.gaps ?? []) reasons.add(why);
  return reasons.size === 0 ? { kind: 'refuses' } : { kind: 'undecidable', reasons: [...reasons] };
}

/** The rules of an interface with DNS names, where nobody has told which names an address has. */
function namedRules(
  { groups }: PolicyModel,
  { groupIds }: NetworkInterface,
  direction: Direction,
  { names }: Probe,
): readonly Rule[] {
  if (names !== undefined) return [];
  return groupIds
    .flatMap((id) => groups.get(id)?.[direction] ?? [])
    .filter(({ peer }) => peer.kind === 'dns');
}

function mayAdmit(
  group: SecurityGroup,
  direction: Direction,
  probe: Probe,
  model: PolicyModel,
): boolean {
  if (group[direction].some((rule) => admits(rule, probe, model) !== 'no')) return true;
  const reasons = new Set<string>();
  addPossible(group, direction, probe, model, reasons);
  return reasons.size > 0;
}

function addPossible(
  group: SecurityGroup,
  direction: Direction,
  probe: Probe,
  model: PolicyModel,
  reasons: Set<string>,
): void {
  const may = (rule: PossibleRule): boolean =>
    rule.direction === direction && admits(rule, probe, model) !== 'no';
  for (const rule of group.possible ?? []) if (may(rule)) reasons.add(rule.why);
  for (const why of group.gaps?.[direction] ?? [])
    reasons.add(`sg:${groupLabel(group)} may have more ${direction} rules: ${why}`);
}

function admits(rule: Rule, probe: Probe, model: PolicyModel): Tri {
  return admitsProtocol(rule, probe) ? includes(rule.peer, probe.remote, model) : 'no';
}

/** Whether a peer includes the address of the other side. */
function includes(peer: Peer, remote: Address, model: PolicyModel): Tri {
  return peerIncludes(peer, remote, findOwner(remote, model), model);
}

/** The same for who has looked up already which interface has the address. */
export function peerIncludes(
  peer: Peer,
  remote: Address,
  owner: NetworkInterface | undefined,
  model: PolicyModel,
): Tri {
  switch (peer.kind) {
    case 'cidr':
      return blockIncludes(peer.cidr, remote, owner);
    case 'prefixList':
      return listIncludes(peer.prefixListId, remote, owner, model);
    case 'group':
      return owner === undefined
        ? strangerIsIn(peer.groupId, remote, model)
        : memberIsIn(peer, owner);
    case 'dns':
      return nameIncludes(peer.name, remote, owner);
    default:
      return peer satisfies never;
  }
}

/** The address of an interface here is never learnt, whatever an answer says (engine/names/learnable.ts). */
function nameIncludes(name: string, remote: Address, owner: NetworkInterface | undefined): Tri {
  if (owner !== undefined || isDocumentation(remote)) return 'no';
  const why = `which addresses ${DNS_PREFIX}${name} has, a daemon knows from the answers that the interface gets`;
  return { why };
}

function findOwner(address: Address, { interfaces }: PolicyModel): NetworkInterface | undefined {
  for (const one of interfaces.values())
    if (one.addresses.some((own) => sameAddress(own, address))) return one;
  return undefined;
}

/** Whether a block has an address; the one of an interface may be made up. */
export function blockIncludes(
  block: Cidr,
  remote: Address,
  owner: NetworkInterface | undefined,
): Tri {
  const within = owner?.doubt?.within?.filter(({ family }) => family === remote.family) ?? [];
  if (within.length === 0) return cidrContains(block, remote) ? 'yes' : 'no';
  if (within.every((one) => cidrCovers(block, one))) return 'yes';
  if (!within.some((one) => cidrCovers(block, one) || cidrCovers(one, block))) return 'no';
  return { why: `the address of ${owner!.name} is not known` };
}

function listIncludes(
  id: string,
  remote: Address,
  owner: NetworkInterface | undefined,
  model: PolicyModel,
): Tri {
  const list = model.prefixLists.get(id);
  const answers = (list?.entries ?? []).map(({ cidr }) => blockIncludes(cidr, remote, owner));
  if (answers.includes('yes')) return 'yes';
  const doubtful = answers.find((answer) => answer !== 'no');
  if (doubtful !== undefined) return doubtful;
  if (list === undefined) return { why: `nothing is known of the prefix list ${id}` };
  const [gap] = list.gaps ?? [];
  return gap === undefined ? 'no' : { why: `pl:${list.name} may have more entries: ${gap}` };
}

function memberIsIn(
  { groupId }: Peer & { readonly kind: 'group' },
  { groupIds, doubt }: NetworkInterface,
): Tri {
  if (groupIds.includes(groupId)) return 'yes';
  const why = doubt?.groups.get(groupId) ?? doubt?.gaps[0];
  return why === undefined ? 'no' : { why };
}

/** An address that no known interface has may be that of a member which is not known, or whose address is not. */
function strangerIsIn(id: GroupId, remote: Address, model: PolicyModel): Tri {
  // It stands for anybody outside, and is of nobody.
  if (isDocumentation(remote)) return 'no';
  const group = model.groups.get(id);
  if (group === undefined) return { why: `nothing is known of the members of ${id}` };
  const [gap] = group.memberGaps ?? [];
  if (gap !== undefined) return { why: `sg:${groupLabel(group)} may have other members: ${gap}` };
  for (const { name, groupIds, doubt } of model.interfaces.values()) {
    const isThere = doubt?.within?.some((block) => cidrContains(block, remote)) === true;
    if (isThere && (groupIds.includes(id) || doubt.groups.has(id) || doubt.gaps.length > 0))
      return { why: `the address of ${name} is not known` };
  }
  return 'no';
}

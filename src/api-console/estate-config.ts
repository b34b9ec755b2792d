/**
 * This file makes one configuration of all that calls made and files declare, on all hosts of a store: what the console
 * shows as a map, explains and compares. No host has it in force as it is here. Each has its own part, where members
 * of other hosts are known by their addresses (estate/join.ts); what is left out there is left out here, too.
 *
 * Every host is taken to have an uplink, and no host's own addresses are known.
 */
import { AWS_QUOTAS } from '../config/config-quotas.ts';
import type { Estate } from '../estate/estate.ts';
import { DEFAULT_TRACKING, freeName } from '../estate/join-interfaces.ts';
import type { DeclaredAt, EstateGroup } from '../estate/model.ts';
import { ESTATE_FILE, estateOrigin, vpcRef } from '../estate/rows.ts';
import type { Network } from '../explain/explanation.ts';
import { applyAuditTags, isAuditTagged } from '../policy/audit-tags.ts';
import type {
  GroupId,
  NetworkInterface,
  Origin,
  PolicyModel,
  Rule,
  SecurityGroup,
  Vpc,
} from '../policy/model.ts';
import { NO_SPECIAL_ADDRESSES } from '../policy/special-addresses.ts';
import type { KnownConfiguration } from '../queries/configuration-view.ts';

export function configOf(estate: Estate): KnownConfiguration {
  return {
    file: ESTATE_FILE,
    model: modelOf(estate),
    interfaces: [],
    uplink: undefined,
    special: NO_SPECIAL_ADDRESSES,
    quotas: AWS_QUOTAS,
  };
}

export function networkOfEstate({ model, special }: KnownConfiguration): Network {
  return { model, special, hasUplink: true };
}

function modelOf(estate: Estate): PolicyModel {
  const vpcs = new Map(
    estate.list('vpcs').map(({ id, blocks, declaredAt }): [string, Vpc] => [
      id,
      {
        ...vpcRef(id),
        cidrBlocks: blocks.map(({ cidr }) => cidr),
        origin: originOf(id, declaredAt),
      },
    ]),
  );
  const hasOneVpc = vpcs.size <= 1;
  const prefixLists = new Map(
    estate
      .list('prefix-lists')
      .map(({ list, declaredAt }) => [list.id, { ...list, origin: originOf(list.id, declaredAt) }]),
  );
  const made = new Map(estate.list('groups').map((one) => [one.group.id, groupOf(one, hasOneVpc)]));
  const isKnown = ({ peer }: Rule): boolean => {
    if (peer.kind === 'group') return made.has(peer.groupId);
    return peer.kind !== 'prefixList' || prefixLists.has(peer.prefixListId);
  };
  const groups = new Map([...made].map(([id, group]) => [id, withKnownPeers(group, isKnown)]));
  const interfaces = interfacesOf(estate, (id) => groups.has(id), hasOneVpc);
  return { groups, prefixLists, interfaces, ...(hasOneVpc ? {} : { vpcs }) };
}

function groupOf(value: EstateGroup, hasOneVpc: boolean): SecurityGroup {
  const { group, tags, ruleTags, declaredAt } = value;
  const { vpc: _, ...rest } = applyAuditTags(group, tags, ruleTags);
  const placed = hasOneVpc ? rest : { ...rest, vpc: group.vpc };
  if (declaredAt === undefined) return placed;
  const origin = originOf(group.id, declaredAt);
  const written = (rules: readonly Rule[]): readonly Rule[] =>
    rules.map((rule) => ({ ...rule, origin }));
  return {
    ...{ ...placed, origin, ingress: written(rest.ingress), egress: written(rest.egress) },
    ...(rest.audited === undefined ? {} : { audited: written(rest.audited) }),
  };
}

/** A rule that names nothing lets nothing through. */
function withKnownPeers(group: SecurityGroup, isKnown: (rule: Rule) => boolean): SecurityGroup {
  const { ingress, egress, audited = [] } = group;
  if ([ingress, egress, audited].every((rules) => rules.every(isKnown))) return group;
  return {
    ...{ ...group, ingress: ingress.filter(isKnown), egress: egress.filter(isKnown) },
    ...(group.audited === undefined ? {} : { audited: audited.filter(isKnown) }),
  };
}

function interfacesOf(
  estate: Estate,
  hasGroup: (id: GroupId) => boolean,
  hasOneVpc: boolean,
): PolicyModel['interfaces'] {
  const names = new Set<string>();
  const found = new Map<string, NetworkInterface>();
  for (const one of estate.list('interfaces')) {
    if (one.addresses.length === 0) continue;
    const name = freeName(one, names);
    names.add(name);
    found.set(one.id, {
      ...{ id: one.id, name, addresses: one.addresses },
      ...(hasOneVpc ? {} : { vpc: vpcRef(one.vpcId) }),
      groupIds: one.groupIds.filter(hasGroup),
      sourceDestCheck: one.sourceDestCheck,
      connectionTracking: { ...DEFAULT_TRACKING, ...one.connectionTracking },
      ...(isAuditTagged(one.tags) ? { audit: true } : {}),
      origin: originOf(one.id, one.declaredAt),
    });
  }
  return found;
}

function originOf(id: string, declaredAt: DeclaredAt | undefined): Origin {
  if (declaredAt === undefined) return estateOrigin(id);
  const { file, line } = declaredAt;
  return { file, line, column: 0, path: id };
}

/**
 * This file says what rows a host writes about what its configuration file declares.
 *
 * The rows let the API show declared groups, lists and interfaces, and refuse to change them. What belongs to no VPC in
 * the file is in the API's default VPC.
 */
import type { Config } from '../config/config.ts';
import { macAddressText } from '../config/device-specs.ts';
import { auditedRules, groupAudit, namedAudits } from '../policy/audit.ts';
import { AUDITS } from '../policy/audit-tags.ts';
import type {
  Direction,
  NetworkInterface,
  Origin,
  Rule,
  SecurityGroup,
  VpcId,
} from '../policy/model.ts';
import { ONLY_VPC_ID } from '../policy/vpcs.ts';
import { ownAttachment } from './attachments.ts';
import { declaredKey } from './keys.ts';
import type { DeclaredAt } from './model.ts';
import { ROW_FORMS, vpcRef } from './rows.ts';

/** The rows by their keys. */
export function declaredRows(config: Config, host: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const { model } = config;
  const at = ({ file, line }: Pick<Origin, 'file' | 'line'>): DeclaredAt => ({ host, file, line });
  const vpcOf = ({ vpc }: Pick<SecurityGroup, 'vpc'>): VpcId => vpc?.id ?? ONLY_VPC_ID;
  for (const { id, cidrBlocks, origin } of model.vpcs?.values() ?? []) {
    if (isImplied(origin)) continue;
    const blocks = cidrBlocks.map((cidr) => ({ associationId: `${id}-declared`, cidr }));
    const vpc = {
      id,
      blocks,
      isDefault: false,
      enableDnsHostnames: false,
      enableDnsSupport: true,
      enableNetworkAddressUsageMetrics: false,
      tags: [],
      declaredAt: at(origin),
    };
    values.set(declaredKey(host, 'vpcs', id), JSON.stringify(ROW_FORMS.vpcs.encode(vpc)));
  }
  for (const group of model.groups.values()) {
    const { id, origin } = group;
    if (isImplied(origin)) continue;
    const value = declaredGroup(group, vpcOf(group), at(origin));
    values.set(declaredKey(host, 'groups', id), JSON.stringify(ROW_FORMS.groups.encode(value)));
  }
  for (const list of model.prefixLists.values()) {
    const value = {
      list: { ...list, version: 1 },
      lastChange: 'create' as const,
      former: new Map(),
      tags: [],
      declaredAt: at(list.origin),
    };
    const text = JSON.stringify(ROW_FORMS['prefix-lists'].encode(value));
    values.set(declaredKey(host, 'prefix-lists', list.id), text);
  }
  for (const { device, id } of config.interfaces) {
    const one = model.interfaces.get(id)!;
    // It is no instance's, and each host has one with the same addresses.
    if (one.isPlatform === true) continue;
    const value = declaredInterface(one, vpcOf(one), host, device);
    const text = JSON.stringify(ROW_FORMS.interfaces.encode(value));
    values.set(declaredKey(host, 'interfaces', id), text);
  }
  return values;
}

/** What is there without anyone having written it belongs to the API: the VPC and the default group. */
function isImplied({ line }: Origin): boolean {
  return line === 0;
}

/** What only audits is shown as a call would have made it: by tags. */
function declaredGroup(
  group: SecurityGroup,
  vpcId: VpcId,
  declaredAt: DeclaredAt,
): Parameters<(typeof ROW_FORMS)['groups']['encode']>[0] {
  const rulesOf = (direction: Direction): readonly Rule[] => [
    // EC2 has no word for a rule with a DNS name, so the API shows the group without it.
    ...group[direction].filter(({ peer }) => peer.kind !== 'dns'),
    ...auditedRules(group, direction),
  ];
  return {
    group: {
      ...{ ...group, vpc: vpcRef(vpcId) },
      ...{ ingress: rulesOf('ingress'), egress: rulesOf('egress') },
    },
    ruleTags: new Map(namedAudits(group).map(({ id }) => [id, [AUDITS]])),
    tags: groupAudit(group).length > 0 ? [AUDITS] : [],
    declaredAt,
  };
}

function declaredInterface(
  {
    id,
    name,
    addresses,
    groupIds,
    sourceDestCheck,
    connectionTracking,
    audit,
    origin,
  }: NetworkInterface,
  vpcId: VpcId,
  host: string,
  {
    kind,
    name: deviceName,
    netns,
    mtu,
    configure,
    persist,
  }: Config['interfaces'][number]['device'],
): Parameters<(typeof ROW_FORMS)['interfaces']['encode']>[0] {
  const device = { kind, name: deviceName, netns, mtu, configure, persist };
  return {
    id,
    vpcId,
    subnetId: undefined,
    addresses,
    groupIds,
    description: name,
    sourceDestCheck,
    connectionTracking,
    macAddress: macAddressText(id),
    attachment: ownAttachment(id, host, device, new Date(0)),
    tags: [{ key: 'Name', value: name }, ...(audit === true ? [AUDITS] : [])],
    declaredAt: { host, file: origin.file, line: origin.line },
  };
}

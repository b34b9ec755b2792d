/** Writes a model as a configuration of secgroupd, in YAML: groups, lists, and interfaces in namespaces. */
import { stringify } from 'yaml';
import { formatAddress, formatCidr } from '../addr/address.ts';
import type { Config, DeviceConfig, UplinkConfig } from '../config/config.ts';
import { auditedRules, groupAudit } from '../policy/audit.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type Peer,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { DNS_PREFIX } from '../policy/dns-names.ts';
import { hasIcmpType, hasPorts, protocolName } from '../policy/protocols.ts';
import { PORT_MAX } from '../policy/rules.ts';
import { checkGroupName, DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { prepare, type Exported } from './exported.ts';

const FORM = { lineWidth: 120, aliasDuplicateObjects: false };
/** The group of an interface of which no group is known: it admits nothing. */
const NOTHING_KNOWN = 'nothing-known';

export interface WrittenConfiguration {
  readonly text: string;
  readonly losses: readonly string[];
}

/** What is written: groups and lists of the model, and the devices of its interfaces. */
export type Writable = Pick<Config, 'model' | 'interfaces' | 'uplink'>;

/** One group alone, as it stands in a configuration. Groups and lists that its rules name are named as there. */
export function writeGroup({ model }: Pick<Config, 'model'>, id: GroupId): WrittenConfiguration {
  const exported = prepare(model, true);
  const names = nameGroups(exported);
  const found = exported.groups.get(id);
  if (found === undefined) return { text: '', losses: exported.losses };
  const written = { securityGroups: { [names.get(id)!]: groupOf(found.group, exported, names) } };
  return { text: stringify(written, FORM), losses: [] };
}

export function writeConfiguration(config: Writable): WrittenConfiguration {
  const exported = prepare(config.model, true);
  const names = nameGroups(exported);
  const losses = [...exported.losses];
  const interfaces = interfacesOf(config, names, losses);
  const isOpen = interfaces.some(({ securityGroups }) => securityGroups[0] === NOTHING_KNOWN);
  const groups = [...exported.groups].map(([id, { group }]): readonly [string, object] => [
    names.get(id)!,
    groupOf(group, exported, names),
  ]);
  const closed = [NOTHING_KNOWN, { ingress: [], egress: [] }] as const;
  const written = {
    ...(config.uplink === undefined ? {} : { uplink: uplinkOf(config.uplink) }),
    ...(exported.lists.size === 0 ? {} : { prefixLists: listsOf(exported) }),
    securityGroups: Object.fromEntries(isOpen ? [...groups, closed] : groups),
    interfaces: Object.fromEntries(interfaces.map(({ key, ...one }) => [key, one])),
  };
  const text = stringify(written, FORM);
  return { text, losses: [...new Set(losses)] };
}

interface WrittenInterface {
  readonly key: string;
  readonly addresses: readonly string[];
  readonly securityGroups: readonly string[];
}

function interfacesOf(
  { model, interfaces }: Writable,
  names: ReadonlyMap<GroupId, string>,
  losses: string[],
): readonly WrittenInterface[] {
  const devices = new Map(interfaces.map(({ id, device }) => [id, device]));
  return [...model.interfaces.values()].flatMap((one) => {
    if (one.isPlatform === true) return [];
    const { id, name, groupIds, addresses, doubt, sourceDestCheck, audit } = one;
    const device = devices.get(id);
    const groups = groupIds.flatMap((group) => names.get(group) ?? []);
    const isOpen = (doubt?.groups.size ?? 0) > 0 || (doubt?.gaps.length ?? 0) > 0;
    if (groups.length < groupIds.length || isOpen)
      losses.push(`not all groups of ${name} are known: those that are not admit nothing`);
    if (doubt?.within !== undefined) losses.push(`the address of ${name} is made up`);
    const written = {
      // What plans call it may have characters that no name of ours has.
      key: model.isElsewhere === true ? (device?.netns ?? name) : name,
      addresses: addresses.map(formatAddress),
      securityGroups: groups.length > 0 ? groups : [NOTHING_KNOWN],
      ...(sourceDestCheck ? {} : { sourceDestCheck: false }),
      ...(audit === true ? { audit } : {}),
      ...(device === undefined ? {} : { device: deviceOf(device) }),
    };
    return [written];
  });
}

function deviceOf({ kind, name, netns }: DeviceConfig): object {
  return { kind, name, ...(netns === undefined ? {} : { netns }) };
}

function uplinkOf({ device, addresses }: UplinkConfig): object {
  return {
    tun: device.name,
    ...(device.netns === undefined ? {} : { netns: device.netns }),
    addresses: addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`),
  };
}

function listsOf({ lists }: Exported): object {
  return Object.fromEntries(
    [...lists.values()].map(({ list: { family, maxEntries, entries }, key }) => {
      const written = entries.map(({ cidr, description }) => ({
        cidr: formatCidr(cidr),
        ...describe(description),
      }));
      return [key, { family, maxEntries, entries: written }];
    }),
  );
}

/** Each group's own name, where no other has it and a file takes it: a file of ours is one VPC. Else its key. */
function nameGroups({ groups }: Exported): ReadonlyMap<GroupId, string> {
  const uses = new Map<string, number>();
  for (const { group, key } of groups.values())
    for (const word of new Set([group.name.toLowerCase(), key.toLowerCase()]))
      uses.set(word, (uses.get(word) ?? 0) + 1);
  return new Map(
    [...groups].map(([id, { group, key }]) => {
      const { name, vpc } = group;
      const isDefault = name === DEFAULT_GROUP_NAME && vpc === undefined;
      const isGood = isDefault || (checkGroupName(name) === undefined && !name.includes('/'));
      return [id, isGood && uses.get(name.toLowerCase()) === 1 ? name : key];
    }),
  );
}

function groupOf(
  group: SecurityGroup,
  exported: Exported,
  names: ReadonlyMap<string, string>,
): object {
  const rules = (direction: Direction, key: 'from' | 'to'): object[] =>
    [...group[direction], ...auditedRules(group, direction)].flatMap((rule) => {
      const peer = peerOf(rule.peer, exported, names);
      if (peer === undefined) return [];
      const audit = rule.audit === true ? { audit: true } : {};
      const isStrict = rule.peer.kind === 'dns' && rule.peer.tlsName === true;
      const tlsName = isStrict ? { tlsName: 'required' } : {};
      const service = serviceOf(rule);
      return [{ ...service, [key]: peer, ...tlsName, ...describe(rule.description), ...audit }];
    });
  return {
    ...describe(group.description),
    ...(groupAudit(group).length === 0 ? {} : { audit: true }),
    ingress: rules('ingress', 'from'),
    egress: rules('egress', 'to'),
  };
}

/** Undefined: nothing is known of the peer, so the rule admits nobody. */
function peerOf(
  peer: Peer,
  { lists }: Exported,
  names: ReadonlyMap<string, string>,
): string | undefined {
  switch (peer.kind) {
    case 'cidr':
      return formatCidr(peer.cidr);
    case 'group': {
      const name = names.get(peer.groupId);
      return name === undefined ? undefined : `sg:${name}`;
    }
    case 'prefixList': {
      const key = lists.get(peer.prefixListId)?.key;
      return key === undefined ? undefined : `pl:${key}`;
    }
    case 'dns':
      return `${DNS_PREFIX}${peer.name}`;
    default:
      return peer satisfies never;
  }
}

function serviceOf({ protocol, fromPort, toPort }: Rule): object {
  if (protocol === PROTOCOL_ALL) return { protocol: 'all' };
  if (hasPorts(protocol)) {
    const ports =
      fromPort === 0 && toPort === PORT_MAX
        ? 'all'
        : fromPort === toPort
          ? fromPort
          : `${fromPort}-${toPort}`;
    return { protocol: protocolName(protocol), ports };
  }
  if (!hasIcmpType(protocol)) return { protocol };
  const type = fromPort === ANY ? 'all' : fromPort;
  return { protocol: protocolName(protocol), type, ...(toPort === ANY ? {} : { code: toPort }) };
}

function describe(description: string): { readonly description?: string } {
  return description === '' ? {} : { description };
}

/**
 * Reads what has network interfaces: interfaces by themselves, instances, and any other resource with groups (load
 * balancers, databases, functions, endpoints), which is taken as one interface of its name.
 */
import { stableId } from '../../policy/ids.ts';
import { numberOf, objectsOf, own, textOf, textsOf } from '../../source/json-values.ts';
import type { DraftInterface, DraftNetwork } from '../draft-parts.ts';
import type { Instance } from './resource.ts';
import { idOf, isUnknown, NO_LINK, partOf, type Link } from './links.ts';
import { auditOf } from './networks.ts';
import type { Reading } from './reading.ts';

export function readNetworkInterface(reading: Reading, one: Instance): void {
  const { values, address, isData } = one;
  const texts = [
    ...textsOf(own(values, 'private_ip_list')),
    ...[own(values, 'private_ip')].flatMap((text) => textOf(text) ?? []),
    ...textsOf(own(values, 'private_ips')),
    ...textsOf(own(values, 'ipv6_addresses')),
    ...textsOf(own(values, 'ipv6_address_list')),
  ];
  const draft = start(reading, one, {
    id: idOf(one, 'interface'),
    name: address,
    subnet: reading.links.of(one, 'subnet_id', 'subnet'),
    addresses: [...new Set(texts)],
    sourceDestCheck: own(values, 'source_dest_check') !== false,
  });
  addGroups(reading, draft, reading.links.of(one, 'security_groups', 'group'), one);
  if (isData && draft.groupIds.size === 0) draft.gaps.push(`${address} is only looked up`);
}

export function readInstance(reading: Reading, one: Instance): void {
  const { values, unknown, address, isData } = one;
  // Its interfaces are resources of their own.
  if (
    isWritten(reading, one, 'network_interface') ||
    isWritten(reading, one, 'primary_network_interface')
  )
    return;
  const texts = [
    ...[own(values, 'private_ip')].flatMap((text) => textOf(text) ?? []),
    ...textsOf(own(values, 'secondary_private_ips')),
    ...textsOf(own(values, 'ipv6_addresses')),
  ];
  const draft = start(reading, one, {
    id: idOf(one, 'interface', 'primary_network_interface_id'),
    name: address,
    subnet: reading.links.of(one, 'subnet_id', 'subnet'),
    addresses: [...new Set(texts)],
    sourceDestCheck: own(values, 'source_dest_check') !== false,
  });
  const ids = reading.links.of(one, 'vpc_security_group_ids', 'group');
  const named = ids.isGiven ? NO_LINK : byName(reading, one);
  const link = ids.isGiven ? ids : named.isGiven ? named : ofTemplate(reading, one);
  addGroups(reading, draft, link, one);
  if (
    isData ||
    (isUnknown(own(unknown, 'network_interface')) && reading.isWritten(one, 'network_interface'))
  )
    draft.gaps.push(`the interfaces of ${address} are not known`);
}

/** Whether there are blocks of this name. */
function isWritten(reading: Reading, one: Instance, block: string): boolean {
  const written = own(reading.links.expressionsOf(one), block);
  // A state lists the interfaces that an instance was given, with its own one or without.
  if (reading.links.expressionsOf(one) === undefined)
    return objectsOf(own(one.values, block)).length > 0;
  return written !== undefined;
}

/** Groups of a default VPC may be given by name. */
function byName(reading: Reading, one: Instance): Link {
  const link = reading.links.of(one, 'security_groups', 'group');
  const ids = link.ids.flatMap((text) => {
    if (reading.draft.groups.has(reading.real(text))) return [text];
    const found = [...reading.draft.groups.values()].filter(({ name }) => name === text);
    return found.length === 1 ? [found[0].id] : [];
  });
  const lost = link.ids.length - ids.length;
  const opaque =
    lost > 0 ? [`${lost} of its groups are named, and not in ${reading.draft.what}`] : [];
  return { ...link, ids, opaque: [...link.opaque, ...opaque] };
}

/** The groups that a launch template gives. */
function ofTemplate(reading: Reading, one: Instance): Link {
  const [block] = objectsOf(own(one.values, 'launch_template'));
  if (block === undefined) return NO_LINK;
  const expressions = reading.links.expressionsOf(one);
  const templates = reading.world.instances.filter(({ type }) => type === 'aws_launch_template');
  const [id, name] = [textOf(own(block, 'id')), textOf(own(block, 'name'))];
  const found = templates.filter(
    ({ values }) =>
      (id !== undefined && own(values, 'id') === id) ||
      (id === undefined && name !== undefined && own(values, 'name') === name),
  );
  const followed =
    found.length > 0 ? found : reading.templatesOf(one, own(expressions, 'launch_template'));
  const why = `the launch template of ${one.address} is not known`;
  if (followed.length !== 1) return { ...NO_LINK, opaque: [why], isGiven: true };
  return groupsOfTemplate(reading, followed[0]);
}

/** The groups of a launch template: its own, or those of its first interface. */
export function groupsOfTemplate(reading: Reading, template: Instance): Link {
  const direct = reading.links.of(template, 'vpc_security_group_ids', 'group');
  if (direct.isGiven) return direct;
  const expressions = reading.links.expressionsOf(template);
  const blocks = objectsOf(own(template.values, 'network_interfaces'));
  const unknown = own(template.unknown, 'network_interfaces');
  const written = own(expressions, 'network_interfaces');
  if (blocks.length === 0) return NO_LINK;
  const part = partOf(
    { values: blocks[0], unknown: asObject(Array.isArray(unknown) ? unknown[0] : undefined) },
    asObject(Array.isArray(written) ? written[0] : written),
    'security_groups',
  );
  const link = reading.links.at(template, part, 'group');
  return { ...link, isGiven: true };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

/** Where resources of other types have groups and subnets: at their top, or in one of these blocks. */
const GROUP_KEYS = ['vpc_security_group_ids', 'security_groups', 'security_group_ids'];
const SUBNET_KEYS = ['subnet_ids', 'subnets', 'subnet_id'];
const BLOCKS = ['vpc_config', 'network_configuration', 'vpc_options', 'awsvpc_configuration'];
/** They say what others will have. */
const TEMPLATES: ReadonlySet<string> = new Set(['aws_launch_template', 'aws_launch_configuration']);

/** Takes a resource of another type with groups as one interface. */
export function readOther(reading: Reading, one: Instance): void {
  if (one.isData) return;
  if (TEMPLATES.has(one.type)) {
    noteTemplate(reading, one);
    return;
  }
  const places = [partsOf(reading, one), ...BLOCKS.map((name) => partsOf(reading, one, name))];
  const place = places.find(
    (parts) =>
      parts !== undefined &&
      GROUP_KEYS.some(
        (key) => Object.hasOwn(parts.values, key) || isUnknown(own(parts.unknown, key)),
      ),
  );
  if (place === undefined) return;
  const { values, unknown, expressions } = place;
  const find = (keys: readonly string[], kind: 'group' | 'subnet'): Link =>
    keys
      .map((key) => reading.links.at(one, partOf({ values, unknown }, expressions, key), kind))
      .find(({ isGiven }) => isGiven) ?? NO_LINK;
  const groups = find(GROUP_KEYS, 'group');
  // Without groups of its own it has none that anybody could know.
  if (!groups.isGiven) return;
  const subnet = find(SUBNET_KEYS, 'subnet');
  const id = stableId('eni', 'of', one.address);
  const name = one.address;
  const draft = start(reading, one, { id, name, subnet, addresses: [], sourceDestCheck: true });
  addGroups(reading, draft, groups, one);
}

interface Parts {
  readonly values: Readonly<Record<string, unknown>>;
  readonly unknown: Readonly<Record<string, unknown>>;
  readonly expressions: Readonly<Record<string, unknown>> | undefined;
}

function partsOf(reading: Reading, one: Instance, block?: string): Parts | undefined {
  const expressions = reading.links.expressionsOf(one);
  if (block === undefined) return { values: one.values, unknown: one.unknown, expressions };
  const [values] = objectsOf(own(one.values, block));
  if (values === undefined) return undefined;
  const first = (value: unknown): unknown => (Array.isArray(value) ? (value[0] as unknown) : value);
  return {
    values,
    unknown: asObject(first(own(one.unknown, block))),
    expressions: expressions === undefined ? undefined : asObject(first(own(expressions, block))),
  };
}

/** Who will be started by a template is not in a plan: its groups may have members that nobody knows. */
function noteTemplate(reading: Reading, one: Instance): void {
  const link =
    one.type === 'aws_launch_template'
      ? groupsOfTemplate(reading, one)
      : reading.links.of(one, 'security_groups', 'group');
  const origin = reading.originOf(one);
  for (const id of [...link.ids, ...link.candidates])
    reading.draft.group(reading.real(id), origin).memberGaps.push(`${one.address} may start some`);
}

/** Adds a group to the interface that the resource names. */
export function readAttachment(reading: Reading, one: Instance): void {
  const target = reading.links.of(one, 'network_interface_id', 'interface');
  const groups = reading.links.of(one, 'security_group_id', 'group');
  const isCertain = target.ids.length > 0;
  const all =
    target.opaque.length > 0
      ? [...reading.draft.interfaces.values()]
      : [...target.ids, ...target.candidates].flatMap(
          (id) => reading.draft.interfaces.get(id) ?? [],
        );
  for (const draft of all) {
    const why = `${one.address}: ${target.why}`;
    addGroups(
      reading,
      draft,
      isCertain
        ? groups
        : { ...groups, ids: [], candidates: [...groups.ids, ...groups.candidates], why },
      one,
      true,
    );
  }
}

/** Addresses of IPv6: AWS adds to them what it chooses. */
const LISTS_6 = ['ipv6_addresses', 'ipv6_address_list'];

function start(
  reading: Reading,
  one: Instance,
  given: Pick<DraftInterface, 'id' | 'name' | 'addresses' | 'sourceDestCheck'> & {
    readonly subnet: Link;
  },
): DraftInterface {
  const { subnet, ...rest } = given;
  const { draft } = reading;
  const named = [...subnet.ids, ...subnet.candidates];
  const subnets =
    subnet.opaque.length > 0 ? [] : named.flatMap((id) => draft.subnets.get(id) ?? []);
  const [first] = subnets;
  const isOne = subnets.length === 1 && subnet.candidates.length === 0 && named.length === 1;
  const vpcs = new Set(subnets.map(({ vpcId }) => vpcId));
  const made: DraftInterface = {
    ...rest,
    // Of several subnets, what they have in common is their VPC.
    subnetId: isOne ? first.id : undefined,
    vpcId: vpcs.size === 1 && subnets.length === named.length ? first.vpcId : undefined,
    groupIds: new Set(),
    doubtGroups: new Map(),
    gaps: [],
    origin: reading.originOf(one),
    ...(one.type === 'aws_network_interface' ? auditOf(one) : {}),
    ...(lacksIpv6(reading, one, subnets) ? { lacksIpv6: true } : {}),
  };
  draft.interfaces.set(made.id, made);
  return made;
}

/** Whether it gets an address of IPv6 that only AWS knows, when it is made. */
function lacksIpv6(reading: Reading, one: Instance, subnets: readonly DraftNetwork[]): boolean {
  const { unknown, values } = one;
  if (!LISTS_6.some((key) => isUnknown(own(unknown, key)))) return false;
  const count = numberOf(own(values, 'ipv6_address_count'));
  const isWritten = [...LISTS_6, 'ipv6_address_count'].some((key) => reading.isWritten(one, key));
  return (
    (isWritten && count !== 0) || (count ?? 0) > 0 || subnets.some(({ givesIpv6 }) => givesIpv6)
  );
}

/** @param isMore they are added to those that it has: if they are not given, nothing is missing */
function addGroups(
  reading: Reading,
  draft: DraftInterface,
  link: Link,
  one: Instance,
  isMore = false,
): void {
  const origin = reading.originOf(one);
  for (const id of link.ids) draft.groupIds.add(reading.draft.group(reading.real(id), origin).id);
  for (const id of link.candidates)
    draft.doubtGroups.set(
      reading.draft.group(reading.real(id), origin).id,
      `the groups of ${draft.name}: ${link.why}`,
    );
  for (const why of link.opaque)
    draft.gaps.push(`the groups of ${draft.name} are not known: ${why}`);
  if (isMore || link.ids.length + link.candidates.length + link.opaque.length > 0) return;
  draft.groupIds.add(reading.defaultGroup(draft, origin).id);
}

/**
 * This file finds the groups and addresses of AWS::EC2::Instance and AWS::EC2::NetworkInterface.
 *
 * These make no rules, so they are read only if an interface of the configuration asks, and only for what the
 * configuration does not say itself. An address that AWS would choose is unknown. An unknown group is left out, which
 * denies.
 * Source: AWS CloudFormation Template Reference, the pages of the two kinds.
 */
import { parseAddress, sameAddress, type Address } from '../addr/address.ts';
import { IDLE_TIMEOUTS } from '../policy/idle-timeouts.ts';
import type { ConnectionTracking, GroupId } from '../policy/model.ts';
import { closest } from '../source/suggest.ts';
import type { Mapping } from '../source/yaml.ts';
import { idOf } from './attributes.ts';
import { readAuditTag } from './audit-tag.ts';
import { readProperty } from './calls.ts';
import { KIND_INSTANCE, KIND_NETWORK_INTERFACE } from './kinds.ts';
import { findLaunchData } from './launch-templates.ts';
import { readText, warnOfUnknown } from './properties.ts';
import { explainStranger, resolveGroup, type Directory } from './references.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, describeKind, type Value, type Where } from './values.ts';

export interface Placement {
  /** The primary addresses come first. Empty if AWS would choose them, or if they are unknown, which is reported. */
  readonly addresses: readonly Address[];
  /** Undefined if the resource names none: it has the default group. Empty if all are unknown, which is reported. */
  readonly groupIds: readonly GroupId[] | undefined;
  /** The id of the subnet, if it is known. */
  readonly subnetId: string | undefined;
  readonly sourceDestCheck: boolean | undefined;
  readonly connectionTracking: Partial<ConnectionTracking>;
  /** Its tags put it in audit mode. Absent: false. */
  readonly audit?: true;
}

/** What the caller needs. Problems with the rest are not reported. */
export interface PlacementWishes {
  readonly addresses: boolean;
  readonly groups: boolean;
}

/** The result if nothing is known: no group, which denies. */
export const NOTHING: Placement = {
  addresses: [],
  groupIds: [],
  subnetId: undefined,
  sourceDestCheck: undefined,
  connectionTracking: {},
};

export function readPlacement(
  scope: Scope,
  directory: Directory,
  resource: Resource,
  wishes: PlacementWishes,
): Placement {
  const { type, properties } = resource;
  checkGroupProperties(scope, resource);
  if (type === KIND_NETWORK_INTERFACE) {
    return {
      addresses: wishes.addresses ? readAddresses(scope, properties) : [],
      groupIds: wishes.groups ? readGroups(scope, directory, properties, ['GroupSet']) : [],
      subnetId: readSubnetId(scope, properties),
      sourceDestCheck: readSourceDestCheck(scope, properties),
      connectionTracking: readTimeouts(scope, properties),
      ...(readAuditTag(scope, resource) ? { audit: true } : {}),
    };
  }
  return readInstance(scope, directory, resource, wishes);
}

/**
 * The property for groups of each kind, and what people write in its place. AWS refuses the latter, and nobody would
 * have meant the default group.
 */
const GROUP_PROPERTIES: ReadonlyMap<string, readonly string[]> = new Map([
  [KIND_INSTANCE, ['SecurityGroupIds', 'SecurityGroups', 'NetworkInterfaces', 'LaunchTemplate']],
  [KIND_NETWORK_INTERFACE, ['GroupSet']],
]);

function checkGroupProperties(scope: Scope, { type, properties }: Resource): void {
  const known = GROUP_PROPERTIES.get(type) ?? [];
  for (const { key, keyAt, value } of properties?.entries ?? []) {
    if (known.includes(key)) continue;
    const meant =
      closest(key, known) ??
      (/groups?(id|ids|set|names?)?$/i.test(key) && !/placement/i.test(key) ? known[0] : undefined);
    if (meant === undefined) continue;
    const where: Where = { at: keyAt, path: value.path };
    const message = `unknown property '${abbreviate(key)}' of ${type}; did you mean '${meant}'?`;
    const hint = `AWS refuses it: extraneous key [${abbreviate(key)}] is not permitted; write ${meant}`;
    fail(scope, 'unknown-property', where, message, hint);
  }
}

/**
 * Reads an instance: its own properties, then its launch template. Without groups in either it has the default group.
 */
function readInstance(
  scope: Scope,
  directory: Directory,
  resource: Resource,
  wishes: PlacementWishes,
): Placement {
  const { properties } = resource;
  const primary = findPrimary(scope, properties);
  if (primary === 'unusable') return NOTHING;
  if (primary !== undefined) {
    warnOfBoth(scope, resource);
    const attached = readProperty(scope, primary, 'NetworkInterfaceId');
    if (attached !== undefined) return readAttached(scope, directory, attached, wishes);
  }
  const own = readHolder(scope, directory, properties, primary, wishes);
  const isComplete =
    (!wishes.groups || own.groupIds !== undefined) &&
    (!wishes.addresses || own.addresses.length > 0);
  const launch = isComplete ? undefined : findLaunchData(scope, properties);
  if (launch === undefined) return own;
  const launchPrimary = launch === 'unusable' ? launch : findPrimary(scope, launch);
  if (launch === 'unusable' || launchPrimary === 'unusable')
    return { ...own, groupIds: own.groupIds ?? [] };
  const given = readHolder(scope, directory, launch, launchPrimary, wishes);
  return {
    addresses: own.addresses.length > 0 ? own.addresses : given.addresses,
    groupIds: own.groupIds ?? given.groupIds,
    subnetId: own.subnetId ?? given.subnetId,
    sourceDestCheck: own.sourceDestCheck,
    connectionTracking: { ...given.connectionTracking, ...own.connectionTracking },
  };
}

/**
 * Reads groups and addresses of an instance, or of a launch template's data. The primary interface comes first, if one
 * is written.
 */
export function readHolder(
  scope: Scope,
  directory: Directory,
  properties: Mapping | undefined,
  primary: Mapping | undefined,
  wishes: PlacementWishes,
): Placement {
  const attached = readProperty(scope, primary, 'NetworkInterfaceId');
  if (attached !== undefined) return readAttached(scope, directory, attached, wishes);
  const names =
    primary === undefined ? ['SecurityGroupIds', 'SecurityGroups'] : ['GroupSet', 'Groups'];
  const holder = primary ?? properties;
  return {
    addresses: wishes.addresses ? readAddresses(scope, holder) : [],
    groupIds: wishes.groups ? readGroups(scope, directory, holder, names) : [],
    subnetId: readSubnetId(scope, holder),
    sourceDestCheck: readSourceDestCheck(scope, properties),
    connectionTracking: primary === undefined ? {} : readTimeouts(scope, primary),
  };
}

/** The interface with DeviceIndex 0 in NetworkInterfaces, or the first one. Undefined if the property is absent. */
export function findPrimary(
  scope: Scope,
  properties: Mapping | undefined,
): Mapping | 'unusable' | undefined {
  const value = readProperty(scope, properties, 'NetworkInterfaces');
  if (value === undefined) return undefined;
  if (value.kind === 'unknown') {
    warnOfUnknown(
      scope,
      'NetworkInterfaces',
      value,
      value.path,
      'groups and addresses are not known',
    );
    return 'unusable';
  }
  if (value.kind === 'invalid') return 'unusable';
  if (value.kind !== 'list') {
    fail(
      scope,
      'bad-property',
      value,
      `NetworkInterfaces must be a list, not ${describeKind(value)}`,
    );
    return 'unusable';
  }
  const nodes = value.items.flatMap((item) => (item.kind === 'map' ? item.node : []));
  if (nodes.length === 0) return value.items.length === 0 ? undefined : 'unusable';
  const isFirst = (node: Mapping): boolean => {
    const index = readProperty(scope, node, 'DeviceIndex');
    return index?.kind === 'text' && index.text === '0';
  };
  return nodes.find(isFirst) ?? nodes[0];
}

function warnOfBoth(scope: Scope, resource: Resource): void {
  for (const name of ['SecurityGroupIds', 'SecurityGroups', 'PrivateIpAddress', 'Ipv6Addresses']) {
    const value = readProperty(scope, resource.properties, name);
    if (value === undefined) continue;
    const message = `'${resource.logicalId}' has NetworkInterfaces, so its ${name} is passed over`;
    const hint = `AWS refuses it: Network interfaces and an instance-level ${name} may not be specified on the same request`;
    report(scope.problems, 'warning', 'bad-property', value, message, hint);
  }
}

/** Reads an interface that is a resource of its own. */
function readAttached(
  scope: Scope,
  directory: Directory,
  id: Value,
  wishes: PlacementWishes,
): Placement {
  const found = [...scope.template.resources.values()].find(
    (resource) =>
      resource.type === KIND_NETWORK_INTERFACE &&
      id.kind === 'text' &&
      idOf(scope, resource) === id.text,
  );
  if (found !== undefined) return readPlacement(scope, directory, found, wishes);
  const unknown =
    id.kind === 'unknown'
      ? id
      : {
          reason: 'it is no network interface of this template',
          hint: 'give addresses and securityGroups in the configuration',
          at: id.at,
          path: id.path,
          kind: 'unknown' as const,
        };
  if (id.kind !== 'invalid')
    warnOfUnknown(
      scope,
      'NetworkInterfaceId',
      unknown,
      id.path,
      'groups and addresses are not known',
    );
  return NOTHING;
}

export function readGroups(
  scope: Scope,
  directory: Directory,
  properties: Mapping | undefined,
  names: readonly string[],
): readonly GroupId[] | undefined {
  const ids = new Set<GroupId>();
  let isGiven = false;
  for (const name of names) {
    const value = readProperty(scope, properties, name);
    for (const item of readItems(scope, name, value)) {
      isGiven = true;
      const id = readGroup(scope, directory, name, item);
      if (id !== undefined) ids.add(id);
    }
  }
  return isGiven ? [...ids] : undefined;
}

function readGroup(
  scope: Scope,
  directory: Directory,
  name: string,
  item: Value,
): GroupId | undefined {
  const loss = 'the interface goes without that group';
  if (item.kind === 'unknown') warnOfUnknown(scope, name, item, item.path, loss);
  if (item.kind === 'list' || item.kind === 'map')
    fail(scope, 'bad-property', item, `a group in ${name} must be text, not ${describeKind(item)}`);
  if (item.kind !== 'text') return undefined;
  const property = name === 'SecurityGroups' ? 'SecurityGroupName' : 'GroupId';
  const id = resolveGroup(scope, directory, property, item.text, item);
  if (id !== undefined) return id;
  warnOfUnknown(
    scope,
    name,
    explainStranger(scope, directory, 'group', item.text, item),
    item.path,
    loss,
  );
  return undefined;
}

/** The items of a list. An unknown list counts as one unknown item. */
function readItems(scope: Scope, name: string, value: Value | undefined): readonly Value[] {
  if (value === undefined) return [];
  if (value.kind === 'list') return value.items;
  if (value.kind === 'text' || value.kind === 'map')
    return [
      fail(scope, 'bad-property', value, `${name} must be a list, not ${describeKind(value)}`),
    ];
  return [value];
}

function readAddresses(scope: Scope, properties: Mapping | undefined): readonly Address[] {
  const found: Address[] = [];
  const add = (name: string, holder: Mapping | undefined, family: 4 | 6): void => {
    const address = readAddress(scope, name, holder, family);
    // PrivateIpAddresses repeats the primary address.
    if (address !== undefined && !found.some((known) => sameAddress(known, address)))
      found.push(address);
  };
  add('PrivateIpAddress', properties, 4);
  const secondary = readHolders(scope, properties, 'PrivateIpAddresses');
  const isPrimary = (holder: Mapping): boolean => {
    const value = readProperty(scope, holder, 'Primary');
    return value?.kind === 'text' && value.text.toLowerCase() === 'true';
  };
  for (const holder of secondary.filter(isPrimary)) add('PrivateIpAddress', holder, 4);
  for (const holder of secondary) if (!isPrimary(holder)) add('PrivateIpAddress', holder, 4);
  for (const holder of readHolders(scope, properties, 'Ipv6Addresses'))
    add('Ipv6Address', holder, 6);
  for (const name of ['SecondaryPrivateIpAddressCount', 'Ipv6AddressCount']) {
    const count = readProperty(scope, properties, name);
    if (count?.kind !== 'text' || count.text === '0') continue;
    const message = `${name}: AWS chooses these addresses, so they can't be known here; the interface goes without them`;
    report(
      scope.problems,
      'warning',
      'unknown-value',
      count,
      message,
      'give all addresses in the configuration, as addresses',
    );
  }
  return found;
}

/** The items of a list of mappings. */
function readHolders(scope: Scope, properties: Mapping | undefined, name: string): Mapping[] {
  return readItems(scope, name, readProperty(scope, properties, name)).flatMap((item) => {
    if (item.kind === 'map') return item.node;
    if (item.kind === 'unknown')
      warnOfUnknown(scope, name, item, item.path, 'the interface goes without these addresses');
    else if (item.kind !== 'invalid')
      fail(
        scope,
        'bad-property',
        item,
        `an item of ${name} must be a mapping, not ${describeKind(item)}`,
      );
    return [];
  });
}

export function readAddress(
  scope: Scope,
  name: string,
  holder: Mapping | undefined,
  family: 4 | 6,
): Address | undefined {
  const value = readText(scope, holder, name);
  if (value?.kind === 'unknown')
    warnOfUnknown(scope, name, value, value.path, 'the interface goes without it');
  if (value?.kind !== 'text') return undefined;
  const parsed = parseAddress(value.text);
  if (parsed.ok && parsed.value.family === family) return parsed.value;
  const message = `${name} '${abbreviate(value.text)}' is no IPv${family} address`;
  fail(scope, 'bad-address', value, message, parsed.ok ? undefined : parsed.hint);
  return undefined;
}

function readSubnetId(scope: Scope, properties: Mapping | undefined): string | undefined {
  const value = readProperty(scope, properties, 'SubnetId');
  return value?.kind === 'text' ? value.text : undefined;
}

function readSourceDestCheck(scope: Scope, properties: Mapping | undefined): boolean | undefined {
  const value = readText(scope, properties, 'SourceDestCheck');
  if (value?.kind === 'unknown')
    warnOfUnknown(scope, 'SourceDestCheck', value, value.path, 'the check is on');
  if (value?.kind !== 'text') return undefined;
  if (/^(true|false)$/i.test(value.text)) return value.text.toLowerCase() === 'true';
  const message = `SourceDestCheck '${abbreviate(value.text)}' is neither true nor false`;
  fail(scope, 'bad-property', value, message);
  return undefined;
}

const TIMEOUT_NAMES = [
  ['TcpEstablishedTimeout', 'tcpEstablishedTimeoutSec'],
  ['UdpStreamTimeout', 'udpStreamTimeoutSec'],
  ['UdpTimeout', 'udpTimeoutSec'],
] as const;

function readTimeouts(scope: Scope, properties: Mapping | undefined): Partial<ConnectionTracking> {
  const value = readProperty(scope, properties, 'ConnectionTrackingSpecification');
  if (value?.kind !== 'map') return {};
  const timeouts: { -readonly [K in keyof ConnectionTracking]?: number } = {};
  for (const [name, key] of TIMEOUT_NAMES) {
    const text = readText(scope, value.node, name);
    if (text?.kind === 'unknown')
      warnOfUnknown(scope, name, text, text.path, "AWS's default is taken");
    if (text?.kind !== 'text') continue;
    const { min, max } = IDLE_TIMEOUTS[key];
    const seconds = /^\d{1,6}$/.test(text.text) ? Number(text.text) : NaN;
    if (seconds >= min && seconds <= max) timeouts[key] = seconds;
    else
      fail(
        scope,
        'bad-timeout',
        text,
        `${name} '${abbreviate(text.text)}' is out of range`,
        `it goes from ${min} to ${max} seconds`,
      );
  }
  return timeouts;
}

/**
 * Reads an association, which adds a group to another VPC. Here a group is in one VPC, so only its names are checked.
 */
export function checkAssociation(scope: Scope, directory: Directory, resource: Resource): void {
  for (const name of ['GroupId', 'VpcId']) {
    const value = readText(scope, resource.properties, name);
    const loss = 'the association has no effect';
    if (value === undefined) {
      const hint = `AWS refuses it: required key [${name}] not found`;
      const message = `the association '${resource.logicalId}' has no ${name}`;
      report(scope.problems, 'warning', 'missing-property', resource, message, hint);
    } else if (value.kind === 'unknown' && name === 'GroupId') {
      warnOfUnknown(scope, name, value, value.path, loss);
    } else if (value.kind === 'text' && name === 'GroupId') {
      warnOfStranger(scope, directory, name, value.text, value, loss);
    }
  }
}

function warnOfStranger(
  scope: Scope,
  directory: Directory,
  name: string,
  text: string,
  where: Where,
  loss: string,
): void {
  if (resolveGroup(scope, directory, name, text, where) !== undefined) return;
  warnOfUnknown(
    scope,
    name,
    explainStranger(scope, directory, 'group', text, where),
    where.path,
    loss,
  );
}

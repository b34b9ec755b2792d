/**
 * This file finds the network interfaces that resources of a template imply, with their groups. The key `from` of an
 * interface in the configuration uses them, and `sgctl check` lists them.
 *
 * interface-kinds.ts says which resources have interfaces, and where their groups are written. These resources make no
 * rules, so they are read only on request. An interface gets the default group only if it certainly names no other. An
 * unknown group is left out, which denies.
 */
import { refuse, type Parsed } from '../addr/address.ts';
import type { GroupId } from '../policy/model.ts';
import { closest } from '../source/suggest.ts';
import type { Mapping } from '../source/yaml.ts';
import { decideExistence, nameCondition } from './attributes.ts';
import { readProperty } from './calls.ts';
import { findMentions } from './dependencies.ts';
import {
  INTERFACE_KINDS,
  KIND_LAUNCH_CONFIGURATION,
  type Follow,
  type ListKind,
  type WithoutGroups,
} from './interface-kinds.ts';
import { KIND_INSTANCE } from './kinds.ts';
import { findLaunchData } from './launch-templates.ts';
import {
  findPrimary,
  NOTHING,
  readAddress,
  readGroups,
  readHolder,
  readPlacement,
  type Placement,
  type PlacementWishes,
} from './placement.ts';
import { readText, warnOfUnknown } from './properties.ts';
import type { Directory } from './references.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, describeKind, makeUnknown, type Value, type Where } from './values.ts';

export interface ImpliedInterface {
  readonly logicalId: string;
  readonly type: string;
  /** The known groups. Undefined: the default group. */
  readonly groupIds: readonly GroupId[] | undefined;
  /** Why there may be other groups, or why the interface may not exist. Empty if all is known. */
  readonly gaps: readonly string[];
  /** Its tags put it in audit mode. Absent: false. */
  readonly audit?: true;
  /** It has addresses of IPv6. Absent: it is not said. */
  readonly hasIpv6?: true;
}

/** What is asked about a resource, by whom, and through which references. */
interface Asked {
  readonly scope: Scope;
  readonly directory: Directory;
  readonly resource: Resource;
  readonly wishes: PlacementWishes;
  /** How many references were followed to get here. */
  readonly followed: number;
}

/** The result for a resource without an interface that groups apply to. */
type Placed = Placement | 'no interface' | 'unfiltered';

const LOSS = 'the interface goes without the groups it would get from there';
/** The part of a message that says what is lost. It is left out where nobody asked for the interface. */
const LOSS_AT_END = /; the interface goes without [^;]*$/;
const HINT = 'give addresses and securityGroups in the configuration';
/**
 * The most references to follow: an Auto Scaling group to its template, an instance to its cluster. More make no sense.
 */
const FOLLOWED_MAX = 4;

/** Whether an interface of the configuration may take its groups from this resource. */
export function isPlaceable({ type }: Resource): boolean {
  return INTERFACE_KINDS.has(type);
}

/**
 * The groups and addresses of a resource that `from` names. Refused if it does not exist or has no interface. Problems
 * with its properties are reported.
 */
export function placeResource(
  scope: Scope,
  directory: Directory,
  logicalId: string,
  wishes: PlacementWishes,
): Parsed<Placement> {
  const shown = `'${scope.inputs.stackName}/${logicalId}'`;
  const resource = scope.template.resources.get(logicalId)!;
  const truth = decideExistence(scope, resource);
  if (truth.kind === 'unknown') {
    const message = `whether ${shown} exists can't be known here: ${truth.reason}`;
    return refuse(message, truth.hint);
  }
  if (truth.kind !== 'truth' || !truth.value) {
    const why = truth.kind === 'truth' ? 'is false' : 'is in error';
    const message = `${shown} does not exist: its condition ${nameCondition(scope, resource)} ${why}`;
    return {
      ok: false,
      message,
      hint: 'take the key out, or give the parameters that make it exist',
    };
  }
  const placed = readResource({ scope, directory, resource, wishes, followed: 0 });
  const what = `${shown} (${abbreviate(resource.type)})`;
  if (placed === 'no interface') {
    const message = `${what} has no network interface in a VPC: its properties name none`;
    return refuse(message, 'take the key out');
  }
  if (placed === 'unfiltered') {
    const message = `${what} has no security groups, and nothing filters its traffic`;
    return refuse(message, 'take the interface out, or give it securityGroups here');
  }
  return { ok: true, value: placed };
}

/** The interfaces of all resources that exist or may exist. Problems are put into their gaps, and not reported. */
export function listInterfaces(scope: Scope, directory: Directory): ImpliedInterface[] {
  const { problems } = scope;
  return [...scope.template.resources.values()].filter(isPlaceable).flatMap((resource) => {
    const before = problems.length;
    const truth = decideExistence(scope, resource);
    const mayExist = truth.kind === 'unknown' || (truth.kind === 'truth' && truth.value);
    const wishes = { addresses: false, groups: true };
    const asked: Asked = { scope, directory, resource, wishes, followed: 0 };
    const placed = mayExist ? readResource(asked) : 'no interface';
    const found = problems.splice(before).map(({ message }) => message.replace(LOSS_AT_END, ''));
    if (placed === 'no interface') return [];
    const { logicalId, type } = resource;
    const gaps = truth.kind === 'unknown' ? [`it may not exist: ${truth.reason}`, ...found] : found;
    if (placed === 'unfiltered')
      return {
        logicalId,
        type,
        groupIds: [],
        gaps: [...gaps, 'it has no groups: nothing filters'],
      };
    const audit = placed.audit === true ? { audit: true as const } : {};
    const family = hasIpv6(scope, resource) ? { hasIpv6: true as const } : {};
    return { logicalId, type, groupIds: placed.groupIds, gaps, ...audit, ...family };
  });
}

/** Whether its properties give it addresses of IPv6, or may do so. */
function hasIpv6(scope: Scope, { properties }: Resource): boolean {
  const addresses = readProperty(scope, properties, 'Ipv6Addresses');
  const count = readProperty(scope, properties, 'Ipv6AddressCount');
  const isCounted = count !== undefined && !(count.kind === 'text' && count.text === '0');
  return isCounted || (addresses !== undefined && !isEmptyList(addresses));
}

function isEmptyList(value: Value): boolean {
  return value.kind === 'list' && value.items.length === 0;
}

function readResource(asked: Asked): Placed {
  const { scope, resource } = asked;
  const placed = readKind(asked);
  if (typeof placed === 'string' || placed.groupIds !== undefined) return placed;
  if (resource.gap === undefined) return placed;
  // It names no group, but a part that was not understood may do so.
  warnOfUnknown(scope, `what else '${resource.logicalId}' says`, resource.gap, resource.path, LOSS);
  return { ...placed, groupIds: [] };
}

function readKind(asked: Asked): Placed {
  const { scope, directory, resource, wishes } = asked;
  const kind = INTERFACE_KINDS.get(resource.type)!;
  switch (kind.reads) {
    case 'instance':
    case 'network interface':
      return readPlacement(scope, directory, resource, wishes);
    case 'launch template':
      return readLaunchTemplate(asked);
    case 'scaling group':
      return readScalingGroup(asked);
    case 'list':
      return readList(asked, kind);
    default:
      return kind satisfies never;
  }
}

/** Reads a kind with one list of groups. */
function readList(asked: Asked, kind: ListKind): Placed {
  const { scope, directory, resource, wishes } = asked;
  const { properties } = resource;
  const leader =
    kind.follows === undefined ? undefined : readProperty(scope, properties, kind.follows.property);
  if (leader !== undefined) return readFollowed(asked, kind.follows!);
  if (kind.path.length === 0) return giveUp(scope, resource, 'it names no cluster');
  const address =
    wishes.addresses && kind.address !== undefined
      ? readAddress(scope, kind.address, properties, 4)
      : undefined;
  const addresses = address === undefined ? [] : [address];
  if (!wishes.groups) return { ...NOTHING, addresses };
  const holder = findHolder(scope, resource, kind.path.slice(0, -1));
  if (holder === 'no interface') return holder;
  if (holder === 'unusable') return { ...NOTHING, addresses };
  const name = kind.path.at(-1)!;
  if (refuseSlips(scope, resource.type, holder, name)) return { ...NOTHING, addresses };
  const groupIds = readGroups(scope, directory, holder, [name]);
  if (kind.more !== undefined) tellMore(scope, resource, kind.more);
  if (groupIds !== undefined) return { ...NOTHING, addresses, groupIds };
  const without = whatThereIs(scope, resource, kind);
  if (without === 'default') return { ...NOTHING, addresses, groupIds: undefined };
  if (without !== 'unknown') return without;
  const reason = `it has no ${name}, and AWS's pages don't say which groups it has then`;
  return { ...giveUp(scope, resource, reason), addresses };
}

/** Reports that the groups of the resource are unknown. */
function giveUp(scope: Scope, resource: Resource, reason: string): Placement {
  const unknown = makeUnknown(reason, HINT, resource);
  warnOfUnknown(scope, `the groups of '${resource.logicalId}'`, unknown, resource.path, LOSS);
  return NOTHING;
}

function tellMore(scope: Scope, resource: Resource, more: string): void {
  const message = `'${resource.logicalId}' has more groups than it names: ${more}`;
  report(scope.problems, 'warning', 'unknown-value', resource, message, HINT);
}

function whatThereIs(scope: Scope, resource: Resource, kind: ListKind): WithoutGroups {
  if (kind.variant === undefined) return kind.without;
  const { property, otherwise, without } = kind.variant;
  const value = readText(scope, resource.properties, property);
  if (value === undefined) return without[otherwise];
  if (value.kind !== 'text') return 'unknown';
  return Object.hasOwn(without, value.text) ? without[value.text] : 'unknown';
}

/** The mapping that contains the list of groups. */
function findHolder(
  scope: Scope,
  resource: Resource,
  path: readonly string[],
): Mapping | undefined | 'no interface' | 'unusable' {
  if (path.length === 0) return resource.properties;
  let holders: (Mapping | undefined)[] = [resource.properties];
  for (const segment of path) {
    const name = segment.replace('[]', '');
    const next: Mapping[] = [];
    for (const holder of holders) {
      const found = readHolders(scope, holder, name, segment !== name);
      if (found === 'unusable') return found;
      next.push(...found);
    }
    holders = next;
  }
  if (holders.length === 0) return 'no interface';
  if (holders.length === 1) return holders[0];
  giveUp(scope, resource, `it has ${holders.length} ${path[0].replace('[]', '')} with groups`);
  return 'unusable';
}

/** The mapping under `name`, or the mappings of the list there. None if it is absent. */
function readHolders(
  scope: Scope,
  holder: Mapping | undefined,
  name: string,
  isList: boolean,
): readonly Mapping[] | 'unusable' {
  const value = readProperty(scope, holder, name);
  if (value === undefined) return [];
  const items = isList && value.kind === 'list' ? value.items : [value];
  const found: Mapping[] = [];
  for (const item of items) {
    if (item.kind === 'map') {
      found.push(item.node);
      continue;
    }
    if (item.kind === 'unknown') warnOfUnknown(scope, name, item, item.path, LOSS);
    else if (item.kind !== 'invalid')
      fail(scope, 'bad-property', item, `${name} must be a mapping, not ${describeKind(item)}`);
    return 'unusable';
  }
  return found;
}

/** Property names that look like lists of groups but are not, or are those of other services. */
const OTHER_GROUPS = /^(?:Cache|ClassicLink|Cluster|DB|Enforce)/;

/**
 * Reports groups under a property of another name, which AWS refuses. The author surely did not mean the default group.
 * @returns whether there is such a property
 */
function refuseSlips(
  scope: Scope,
  type: string,
  holder: Mapping | undefined,
  name: string,
): boolean {
  let isWrong = false;
  for (const { key, keyAt, value } of holder?.entries ?? []) {
    if (key === name || OTHER_GROUPS.test(key)) continue;
    if (!/security_?groups?/i.test(key) && closest(key, [name]) === undefined) continue;
    const where: Where = { at: keyAt, path: value.path };
    const message = `unknown property '${abbreviate(key)}' of ${type}; did you mean '${name}'?`;
    const hint = `AWS refuses it: extraneous key [${abbreviate(key)}] is not permitted; write ${name}`;
    fail(scope, 'unknown-property', where, message, hint);
    isWrong = true;
  }
  return isWrong;
}

/** Reads the groups of another resource of the template that a property refers to. */
function readFollowed(asked: Asked, { property, type }: Follow): Placed {
  const { scope, resource, followed } = asked;
  const target = findNamed(scope, resource, property, type);
  if (target === undefined || followed >= FOLLOWED_MAX) {
    const reason = `its ${property} is no ${type} of this template`;
    return giveUp(scope, resource, reason);
  }
  return readResource({ ...asked, resource: target, followed: followed + 1 });
}

/** The resource of that type that `property` refers to, by reference or by name. */
function findNamed(
  scope: Scope,
  resource: Resource,
  property: string,
  type: string,
): Resource | undefined {
  const node = resource.properties?.entries.find(({ key }) => key === property)?.value;
  if (node === undefined) return undefined;
  const all = [...scope.template.resources.values()].filter((other) => other.type === type);
  const mentioned = new Set(findMentions(scope, node).map(({ name }) => name));
  const found = all.filter(({ logicalId }) => mentioned.has(logicalId));
  if (found.length === 1 && mentioned.size === 1) return found[0];
  const value = scope.evaluate(node);
  if (value.kind !== 'text') return undefined;
  return all.find((other) => {
    const name = readProperty(scope, other.properties, property);
    return name?.kind === 'text' && name.text === value.text;
  });
}

function readLaunchTemplate(asked: Asked): Placement {
  const { scope, resource } = asked;
  const property = 'LaunchTemplateData';
  const value = readProperty(scope, resource.properties, property);
  if (value?.kind === 'map') return readHeld(asked, value.node);
  const unknown =
    value?.kind === 'unknown' ? value : makeUnknown('it is not there', HINT, value ?? resource);
  warnOfUnknown(scope, property, unknown, unknown.path, LOSS);
  return NOTHING;
}

function readHeld({ scope, directory, wishes }: Asked, data: Mapping): Placement {
  const primary = findPrimary(scope, data);
  if (primary === 'unusable') return NOTHING;
  return readHolder(scope, directory, data, primary, wishes);
}

/** Reads an Auto Scaling group's instances: their launch template, launch configuration or model instance. */
function readScalingGroup(asked: Asked): Placed {
  const { scope, resource } = asked;
  const { properties } = resource;
  for (const [property, type] of [
    ['LaunchConfigurationName', KIND_LAUNCH_CONFIGURATION],
    ['InstanceId', KIND_INSTANCE],
  ] as const) {
    const value = readProperty(scope, properties, property);
    if (value === undefined) continue;
    return readFollowed(asked, { property, type });
  }
  const mixed = readProperty(scope, properties, 'MixedInstancesPolicy');
  const data =
    mixed === undefined
      ? findLaunchData(scope, properties)
      : findMixedData(scope, resource, properties!);
  if (data === undefined) return giveUp(scope, resource, 'it names no launch template');
  if (data === 'unusable') return NOTHING;
  // A fixed address in the template can belong to one instance only.
  return { ...readHeld(asked, data), addresses: [] };
}

/** The data of the launch template of a mixed instances policy, if all instances use the same one. */
function findMixedData(
  scope: Scope,
  resource: Resource,
  properties: Mapping,
): Mapping | 'unusable' | undefined {
  const [policy] = asList(readHolders(scope, properties, 'MixedInstancesPolicy', false));
  const [template] = asList(readHolders(scope, policy, 'LaunchTemplate', false));
  if (template === undefined) return 'unusable';
  const overrides = readHolders(scope, template, 'Overrides', true);
  if (overrides === 'unusable') return overrides;
  const name = 'LaunchTemplateSpecification';
  if (overrides.some((override) => readProperty(scope, override, name) !== undefined)) {
    giveUp(scope, resource, 'its Overrides name launch templates of their own');
    return 'unusable';
  }
  return findLaunchData(scope, template, name);
}

function asList(found: readonly Mapping[] | 'unusable'): readonly Mapping[] {
  return found === 'unusable' ? [] : found;
}

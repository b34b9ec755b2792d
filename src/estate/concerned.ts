/**
 * This file says which hosts a change concerns: those whose part of the estate (host-part.ts) has a row that it
 * changes.
 *
 * Theory of operation. A host finds what it needs by references, from the interfaces that are placed on it. Here each
 * changed row is followed the other way: a member to the groups that name its group, a group to its interfaces, an
 * interface to its host. It is enough to look at the estate after the change. If a row was a host's before and is not
 * any more, a row between the host and it has changed as well, and the one nearest to the host still leads there.
 *
 * Only interfaces of the groups in question are looked at, by the indices of the estate.
 */
import type { GroupId } from '../policy/model.ts';
import type { EstateView } from './estate.ts';
import { DEFAULT_GROUP } from './host-part.ts';
import { DESIRED, isReleaseKey, parseMemberKey, parsePlacedKey, parseValueKey } from './keys.ts';
import type { EstateInterface } from './model.ts';

/** Names of hosts, or each host that there is. */
export type Concerned = 'all' | ReadonlySet<string>;

/** Where references are followed. */
export type ConcernedView = Pick<
  EstateView,
  'find' | 'groupsThatName' | 'interfacesOfGroup' | 'interfacesOfSubnet'
>;

/**
 * @param keys of the rows that a change put or deleted, those included that follow from interfaces
 * @param view the estate after the change
 */
export function concernedHosts(keys: Iterable<string>, view: ConcernedView): Concerned {
  const hosts = new Set<string>();
  for (const key of keys) if (addHosts(key, view, hosts) === 'all') return 'all';
  return hosts;
}

export function bothConcerned(a: Concerned, b: Concerned): Concerned {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b]);
}

function addHosts(key: string, view: ConcernedView, hosts: Set<string>): 'all' | undefined {
  // Nobody waits until each host knows of a release but who wants the address (released.ts).
  if (!key.startsWith(DESIRED) || isReleaseKey(key)) return undefined;
  const placed = parsePlacedKey(key);
  if (placed !== undefined) {
    hosts.add(placed.host);
    return undefined;
  }
  const member = parseMemberKey(key);
  if (member !== undefined) return addNamers(member.groupId, view, hosts);
  const place = parseValueKey(key);
  switch (place?.folder) {
    case 'interfaces':
      addPlaced([view.find('interfaces', place.id)], hosts);
      return undefined;
    case 'subnets':
      addPlaced(view.interfacesOfSubnet(place.id), hosts);
      return undefined;
    case 'groups':
      return addUsers(place.id, view, hosts) ?? addNamers(place.id, view, hosts);
    case 'prefix-lists':
      return addNamers(place.id, view, hosts);
    default:
      // VPCs, flow logs and the layout. Each host holds them.
      return 'all';
  }
}

/** Adds those that have an interface of a group. */
function addUsers(id: GroupId, view: ConcernedView, hosts: Set<string>): 'all' | undefined {
  if (id === DEFAULT_GROUP) return 'all';
  addPlaced(view.interfacesOfGroup(id), hosts);
  return undefined;
}

/** Adds those that have an interface of a group with a rule that names this group or prefix list. */
function addNamers(id: string, view: ConcernedView, hosts: Set<string>): 'all' | undefined {
  for (const { group, declaredAt } of view.groupsThatName(id))
    if (declaredAt === undefined && addUsers(group.id, view, hosts) === 'all') return 'all';
  return undefined;
}

function addPlaced(interfaces: readonly (EstateInterface | undefined)[], hosts: Set<string>): void {
  for (const one of interfaces)
    if (one?.attachment !== undefined && one.declaredAt === undefined)
      hosts.add(one.attachment.host);
}

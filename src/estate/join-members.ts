/**
 * This file finds who is on other hosts, in the groups that rules here name.
 *
 * Such a group may have ten thousand members, of which one changes at a time. So what is known of a group is kept, and
 * of that, the members that changed are looked at. What stays the same is the same object as before, so that who
 * compiles it finds what differs.
 */
import { sameAddresses } from '../addr/address.ts';
import { MemberSet } from '../policy/member-set.ts';
import type {
  GroupId,
  InterfaceId,
  NetworkInterface,
  RemoteMember,
  RemoteMembers,
  SecurityGroup,
} from '../policy/model.ts';
import type { EstateView } from './estate.ts';

/** Groups that rules of interfaces of this host name. */
export function namedGroups(
  groups: ReadonlyMap<GroupId, SecurityGroup>,
  interfaces: ReadonlyMap<InterfaceId, NetworkInterface>,
): ReadonlySet<GroupId> {
  const named = new Set<GroupId>();
  for (const id of new Set([...interfaces.values()].flatMap(({ groupIds }) => groupIds))) {
    const { ingress = [], egress = [] } = groups.get(id) ?? {};
    for (const { peer } of ingress) if (peer.kind === 'group') named.add(peer.groupId);
    for (const { peer } of egress) if (peer.kind === 'group') named.add(peer.groupId);
  }
  return named;
}

/** Members that may be others than before. */
export interface ChangedMembers {
  readonly byGroup: ReadonlyMap<GroupId, ReadonlySet<InterfaceId>>;
  /** In whichever groups. */
  readonly interfaces: ReadonlySet<InterfaceId>;
}

export interface RemoteJoin {
  readonly named: ReadonlySet<GroupId>;
  readonly estate: EstateView;
  readonly host: string;
  /** Some may be of no member. */
  readonly before: RemoteMembers;
  /** Undefined: nobody knows. */
  readonly changed: ChangedMembers | undefined;
}

/** Who is in each of these groups on another host; `before`, if that is the same. */
export function remoteMembers({ named, estate, host, before, changed }: RemoteJoin): RemoteMembers {
  const found = new Map<GroupId, MemberSet<RemoteMember>>();
  let isSame = named.size === before.size;
  for (const groupId of named) {
    const old = before.get(groupId);
    const set =
      old !== undefined && changed !== undefined
        ? patch(old, groupId, estate, host, changed)
        : refresh(old ?? MemberSet.of<RemoteMember>([]), estate.membersElsewhere(groupId, host));
    found.set(groupId, set);
    isSame &&= set === old;
  }
  return isSame ? before : found;
}

/** Looks at the members that changed. */
function patch(
  set: MemberSet<RemoteMember>,
  groupId: GroupId,
  estate: EstateView,
  host: string,
  { byGroup, interfaces }: ChangedMembers,
): MemberSet<RemoteMember> {
  const come: RemoteMember[] = [];
  let next = set;
  for (const id of [...(byGroup.get(groupId) ?? []), ...interfaces]) {
    const member = estate.memberElsewhere(groupId, id, host);
    if (member === undefined) next = next.without(id);
    else if (!isSameMember(next.get(id), member)) come.push(member);
  }
  return come.length === 0 ? next : next.withAll(come);
}

/** Looks at all. */
function refresh(
  set: MemberSet<RemoteMember>,
  members: readonly RemoteMember[],
): MemberSet<RemoteMember> {
  const come = members.filter((member) => !isSameMember(set.get(member.id), member));
  let next = come.length === 0 ? set : set.withAll(come);
  if (next.size === members.length) return next;
  const ids = new Set(members.map(({ id }) => id));
  for (const { id } of next) if (!ids.has(id)) next = next.without(id);
  return next;
}

function isSameMember(a: RemoteMember | undefined, b: RemoteMember): boolean {
  if (a === b) return true;
  return a?.name === b.name && a.host === b.host && sameAddresses(a.addresses, b.addresses);
}

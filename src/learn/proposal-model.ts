/** Makes a policy model of a proposal, which every writer takes. */
import { DEFAULT_CONNECTION_TRACKING } from '../policy/idle-timeouts.ts';
import type { GroupId, InterfaceId, NetworkInterface, PolicyModel } from '../policy/model.ts';
import type { Owner } from './owners.ts';
import type { Proposed } from './propose.ts';

/** @param given interfaces as they are now: only their groups change. Those that are not in it are made */
export function modelOf(
  { groups, lists }: Proposed,
  given: ReadonlyMap<InterfaceId, NetworkInterface>,
): PolicyModel {
  const groupOf = new Map<InterfaceId, GroupId>();
  const owners: Owner[] = [];
  for (const { group, members } of groups)
    for (const owner of members) {
      groupOf.set(owner.id, group.id);
      owners.push(owner);
    }
  const made = new Map<InterfaceId, NetworkInterface>();
  for (const [id, one] of given) if (one.isPlatform === true) made.set(id, one);
  for (const { id, name, addresses, vpc } of owners) {
    const known = given.get(id);
    const groupIds = [groupOf.get(id)!];
    made.set(
      id,
      known === undefined
        ? {
            ...{ id, name, addresses, groupIds, sourceDestCheck: true },
            ...(vpc === undefined ? {} : { vpc }),
            connectionTracking: DEFAULT_CONNECTION_TRACKING,
            origin: { file: '(proposal)', line: 1, column: 1, path: `interfaces.${name}` },
          }
        : enforced(known, groupIds),
    );
  }
  return {
    groups: new Map(groups.map(({ group }) => [group.id, group])),
    prefixLists: new Map(lists.map((list) => [list.id, list])),
    interfaces: made,
  };
}

/** A proposal is to be enforced: audit would let pass what it leaves out. What was in doubt is decided by it. */
function enforced(known: NetworkInterface, groupIds: readonly GroupId[]): NetworkInterface {
  const { audit: _audit, doubt: _doubt, ...rest } = known;
  return { ...rest, groupIds };
}

/**
 * Who is meant by a group or a peer, in plain code that the compiled tables are compared with.
 *
 * A group as a peer stands for the private addresses, of both families, of the interfaces it is on;
 * nothing of its own rules counts. Source: Amazon VPC User Guide, "Security group rules". That the
 * IPv6 addresses count as well is our decision: the guide doesn't say.
 */
import { cidrContains, sameAddress, type Address } from '../addr/address.ts';
import type { GroupId, Peer, PolicyModel } from './model.ts';

/** For every group of the model, the addresses of its members' interfaces; empty for a group that is on none. */
export function groupMembers(model: PolicyModel): ReadonlyMap<GroupId, readonly Address[]> {
  const members = new Map<GroupId, Address[]>();
  for (const groupId of model.groups.keys()) members.set(groupId, []);
  for (const { groupIds, addresses } of model.interfaces.values()) {
    for (const groupId of new Set(groupIds)) members.get(groupId)?.push(...addresses);
  }
  return members;
}

/** Whether `address` is one that the peer names. A reference to something that isn't there names nothing, as a stale rule does. */
export function peerContains(peer: Peer, address: Address, model: PolicyModel): boolean {
  switch (peer.kind) {
    case 'cidr':
      return cidrContains(peer.cidr, address);
    case 'prefixList':
      return (
        model.prefixLists
          .get(peer.prefixListId)
          ?.entries.some(({ cidr }) => cidrContains(cidr, address)) ?? false
      );
    case 'group':
      for (const { groupIds, addresses } of model.interfaces.values()) {
        if (groupIds.includes(peer.groupId) && addresses.some((own) => sameAddress(own, address)))
          return true;
      }
      return false;
    default:
      return peer satisfies never;
  }
}

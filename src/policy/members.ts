/**
 * Resolves groups and peers to addresses in plain code, which the compiled tables are compared with.
 *
 * A group as a peer stands for the private addresses, of both families, of the interfaces that it is on. Its own
 * rules don't matter. Source: Amazon VPC User Guide, "Security group rules". The guide does not mention IPv6
 * addresses; we decided that they count too.
 */
import { cidrContains, sameAddress, type Address } from '../addr/address.ts';
import type { GroupId, Peer, PolicyModel } from './model.ts';

/**
 * Lists, for every group of the model, the addresses of its members' interfaces. The list is empty for a group on no
 * interface.
 */
export function groupMembers(model: PolicyModel): ReadonlyMap<GroupId, readonly Address[]> {
  const members = new Map<GroupId, Address[]>();
  for (const groupId of model.groups.keys()) members.set(groupId, []);
  for (const { groupIds, addresses } of model.interfaces.values()) {
    for (const groupId of new Set(groupIds)) members.get(groupId)?.push(...addresses);
  }
  for (const [groupId, remote] of model.remoteMembers ?? [])
    for (const { addresses } of remote) members.get(groupId)?.push(...addresses);
  return members;
}

/** Whether the peer includes `address`. A reference to something missing includes nothing, as in a stale rule. */
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
      for (const { addresses } of model.remoteMembers?.get(peer.groupId) ?? [])
        if (addresses.some((own) => sameAddress(own, address))) return true;
      return false;
    case 'dns':
      // What a name stands for differs from interface to interface: whoever asks knows it (reference.ts).
      return false;
    default:
      return peer satisfies never;
  }
}

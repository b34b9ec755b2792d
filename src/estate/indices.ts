/** Indices of an estate: the ids of groups and interfaces, by what others know of them. */
import { formatAddress } from '../addr/address.ts';
import type { GroupId, InterfaceId, VpcId } from '../policy/model.ts';
import { foldGroupName } from '../policy/texts.ts';
import type { ValueFolder } from './keys.ts';
import type { EstateGroup, EstateInterface } from './model.ts';
import type { FolderValues } from './rows.ts';

/** Ids by something that many have in common. Most have it alone: a set for each would take twice the memory. */
class IdIndex {
  private static readonly NONE: ReadonlySet<string> = new Set();
  private readonly found = new Map<string, string | Set<string>>();

  get(key: string): ReadonlySet<string> {
    const found = this.found.get(key);
    if (found === undefined) return IdIndex.NONE;
    return typeof found === 'string' ? new Set([found]) : found;
  }

  change(key: string, id: string, how: 'add' | 'delete'): void {
    const found = this.found.get(key);
    if (how === 'add') {
      if (found === undefined) this.found.set(key, id);
      else if (typeof found !== 'string') found.add(id);
      else if (found !== id) this.found.set(key, new Set([found, id]));
    } else if (typeof found === 'string' ? found === id : found?.delete(id) && found.size === 0)
      this.found.delete(key);
  }
}

export class Indices {
  readonly groupsByName = new IdIndex();
  readonly groupsByRule = new IdIndex();
  readonly groupsByPeer = new IdIndex();
  readonly interfacesByGroup = new IdIndex();
  readonly interfacesBySubnet = new IdIndex();
  readonly interfacesByHost = new IdIndex();
  readonly interfacesByAddress = new IdIndex();

  /** A value is there in place of another; undefined: none. */
  replace(
    folder: ValueFolder,
    id: string,
    before: FolderValues[ValueFolder] | undefined,
    after: FolderValues[ValueFolder] | undefined,
  ): void {
    if (before === after) return;
    if (before !== undefined) this.change(folder, id, before, 'delete');
    if (after !== undefined) this.change(folder, id, after, 'add');
  }

  private change(
    folder: ValueFolder,
    id: string,
    value: FolderValues[ValueFolder],
    how: 'add' | 'delete',
  ): void {
    if (folder === 'groups') this.changeGroup(id, value as EstateGroup, how);
    if (folder === 'interfaces') this.changeInterface(id, value as EstateInterface, how);
  }

  private changeGroup(id: GroupId, { group }: EstateGroup, how: 'add' | 'delete'): void {
    this.groupsByName.change(nameIndex(group.vpc.id, group.name), id, how);
    for (const rule of [...group.ingress, ...group.egress]) {
      this.groupsByRule.change(rule.id, id, how);
      const { peer } = rule;
      if (peer.kind === 'group') this.groupsByPeer.change(peer.groupId, id, how);
      if (peer.kind === 'prefixList') this.groupsByPeer.change(peer.prefixListId, id, how);
    }
  }

  private changeInterface(id: InterfaceId, value: EstateInterface, how: 'add' | 'delete'): void {
    for (const groupId of value.groupIds) this.interfacesByGroup.change(groupId, id, how);
    if (value.subnetId !== undefined) this.interfacesBySubnet.change(value.subnetId, id, how);
    if (value.attachment !== undefined)
      this.interfacesByHost.change(value.attachment.host, id, how);
    for (const address of value.addresses)
      this.interfacesByAddress.change(`${value.vpcId} ${formatAddress(address)}`, id, how);
  }
}

export function nameIndex(vpcId: VpcId, name: string): string {
  return `${vpcId} ${foldGroupName(name)}`;
}

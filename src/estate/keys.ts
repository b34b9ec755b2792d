/**
 * The keys of the estate's rows in the store, and what each row is for.
 *
 * Three parts, by who writes and who reads them. `desired/…` is what hosts enforce: calls write it, and each host
 * watches it. `hosts/HOST/…` is what a host says, and it alone writes it: that it lives, which revision it has in
 * force, and what its file declares. No host watches what others say, or a thousand hosts would wake each other at each
 * change. All other rows are between calls.
 *
 * Below `desired/` a host finds what it needs without reading the rest: `placed/HOST/…` names its interfaces, and
 * `members/GROUP/…` has the members of a group with their addresses. Both follow from the interfaces (index-rows.ts).
 * `released/…` tells each host of addresses that interfaces have lost (released.ts).
 *
 * Besides a row for each thing there are rows that only make commits collide which must not both succeed: a name of a
 * group in its VPC, an address in its subnet (which stays when it is released: released.ts), and `uses/…`, which is
 * written anew whenever something that names a group comes or goes. A commit that deletes a group has the condition
 * that its `uses/…` row is as it was read.
 *
 * `changes/…` is the history: who made the last changes, and what groups were before (change-notes.ts).
 */
import type { InterfaceId } from '../policy/model.ts';

/** Folders of rows that hold one value each. */
export const VALUE_FOLDERS = [
  'vpcs',
  'subnets',
  'groups',
  'prefix-lists',
  'interfaces',
  'flow-logs',
  'insights-paths',
  'insights-analyses',
] as const;

export type ValueFolder = (typeof VALUE_FOLDERS)[number];

/** Of these hosts enforce nothing. */
export const UNENFORCED_FOLDERS: readonly ValueFolder[] = ['insights-paths', 'insights-analyses'];

/** What hosts enforce. */
export const DESIRED = 'desired/';
/** Which layout the rows have, as a number. */
export const LAYOUT_KEY = `${DESIRED}layout`;
/** Questions what a change would do (previews.ts). Hosts answer below `hosts/HOST/previewed/`. */
export const PREVIEWS = `${DESIRED}previews/`;
/** Addresses that interfaces have lost: a row for each commit that released some (released.ts). */
export const RELEASED = `${DESIRED}released/`;
/** Up to which revision such rows have been removed. */
export const RELEASES_FORGOTTEN = `${DESIRED}releases-forgotten`;
const PLACED = `${DESIRED}placed/`;
const MEMBERS = `${DESIRED}members/`;
const HOSTS = 'hosts/';
const ADDRESSES = 'addresses/';
const HANDOVER = 'handover/';

export function valueKey(folder: ValueFolder, id: string): string {
  return `${folderPrefix(folder)}${id}`;
}

/** Of all values that calls made in a folder. */
export function folderPrefix(folder: ValueFolder): string {
  return UNENFORCED_FOLDERS.includes(folder) ? `${folder}/` : `${DESIRED}${folder}/`;
}

/** Of all rows that a host writes. */
export function hostPrefix(host: string): string {
  return `${HOSTS}${encodeURIComponent(host)}/`;
}

/** Whether a host writes this row, and nobody else. */
export function isHostKey(key: string): boolean {
  return key.startsWith(HOSTS);
}

/** What a host's configuration file declares: the same folders, below the host's name. */
export function declaredPrefix(host: string): string {
  return `${hostPrefix(host)}declared/`;
}

export function declaredKey(host: string, folder: ValueFolder, id: string): string {
  return `${declaredPrefix(host)}${folder}/${id}`;
}

/** Which revision a host has in force. */
export function appliedKey(host: string): string {
  return `${hostPrefix(host)}applied`;
}

/** That a host lives: the row is kept by a lease. */
export function aliveKey(host: string): string {
  return `${hostPrefix(host)}alive`;
}

/** Which host says by this row how it is, and what the row is. */
export function parseHostKey(
  key: string,
): { readonly host: string; readonly row: 'applied' | 'alive' } | undefined {
  const [, host, row] = /^hosts\/([^/]+)\/(applied|alive)$/.exec(key) ?? [];
  return host === undefined
    ? undefined
    : { host: decodeHost(host), row: row as 'applied' | 'alive' };
}

/** Notes of changes, in the order of their coming. */
export const CHANGES = 'changes/';

/** Of the flows of interfaces that were moved away from a host, which it alone writes; of one of them. */
export function handoverPrefix(host: string, interfaceId?: InterfaceId): string {
  const ofHost = `${HANDOVER}${encodeURIComponent(host)}/`;
  return interfaceId === undefined ? ofHost : `${ofHost}${interfaceId}/`;
}

/** Names the interfaces of a host. */
export function placedPrefix(host: string): string {
  return `${PLACED}${encodeURIComponent(host)}/`;
}

export function placedKey(host: string, interfaceId: string): string {
  return `${placedPrefix(host)}${interfaceId}`;
}

/** The host and the interface that a row which names one is of. */
export function parsePlacedKey(
  key: string,
): { readonly host: string; readonly interfaceId: string } | undefined {
  if (!key.startsWith(PLACED)) return undefined;
  const [host, interfaceId] = key.slice(PLACED.length).split('/');
  return { host: decodeHost(host), interfaceId };
}

export function membersPrefix(groupId: string): string {
  return `${MEMBERS}${groupId}/`;
}

export function memberKey(groupId: string, interfaceId: string): string {
  return `${membersPrefix(groupId)}${interfaceId}`;
}

/** The group and the interface that a row of a member is of. */
export function parseMemberKey(
  key: string,
): { readonly groupId: string; readonly interfaceId: string } | undefined {
  if (!key.startsWith(MEMBERS)) return undefined;
  const [groupId, interfaceId = '', ...more] = key.slice(MEMBERS.length).split('/');
  return groupId === '' || interfaceId === '' || more.length > 0
    ? undefined
    : { groupId, interfaceId };
}

/** Only hosts read them: rows that follow from the interfaces, and flows that go from host to host. */
export function isForHosts(key: string): boolean {
  return key.startsWith(PLACED) || key.startsWith(MEMBERS) || key.startsWith(HANDOVER);
}

export function previewKey(id: string): string {
  return `${PREVIEWS}${id}`;
}

export function previewedKey(id: string, host: string): string {
  return `${hostPrefix(host)}previewed/${id}`;
}

/** Of a question, or of an answer. */
export function isPreviewKey(key: string): boolean {
  return key.startsWith(PREVIEWS) || /^hosts\/[^/]+\/previewed\//.test(key);
}

/** Group names may have slashes and blanks. */
export function nameKey(vpcId: string, foldedName: string): string {
  return `names/${vpcId}/${encodeURIComponent(foldedName)}`;
}

export function addressKey(vpcId: string, address: string): string {
  return `${ADDRESSES}${vpcId}/${address}`;
}

/** What hosts are told of released addresses. */
export function isReleaseKey(key: string): boolean {
  return key.startsWith(RELEASED) || key === RELEASES_FORGOTTEN;
}

export function isAddressKey(key: string): boolean {
  return key.startsWith(ADDRESSES);
}

/** It is there after the default VPC was deleted, which stays so. */
export const NO_DEFAULT_VPC = 'no-default-vpc';

export function usesKey(id: string): string {
  return `uses/${id}`;
}

export function isUsesKey(key: string): boolean {
  return key.startsWith(usesKey(''));
}

export function tokenKey(action: string, token: string): string {
  return `client-tokens/${action}/${encodeURIComponent(token)}`;
}

/** What a row with a value is of. */
export interface ValuePlace {
  readonly folder: ValueFolder;
  readonly id: string;
  /** Its file declares it; absent: a call made it. */
  readonly host?: string;
}

const DECLARED = /^hosts\/([^/]+)\/declared\/([^/]+)\/([^/]+)$/;

/** What a key is of; undefined for rows that hold no value of the estate. */
export function parseValueKey(key: string): ValuePlace | undefined {
  const declared = DECLARED.exec(key);
  const folder = knownFolder(declared?.[2] ?? (key.startsWith(DESIRED) ? key.split('/')[1] : key.split('/')[0])); // prettier-ignore
  if (folder === undefined) return undefined;
  if (declared !== null) return { folder, id: declared[3], host: decodeHost(declared[1]) };
  const prefix = folderPrefix(folder);
  const id = key.slice(prefix.length);
  return key.startsWith(prefix) && id !== '' && !id.includes('/') ? { folder, id } : undefined;
}

/** A name that nobody of ours wrote stays as it is. */
function decodeHost(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function knownFolder(name: string): ValueFolder | undefined {
  return VALUE_FOLDERS.find((one) => one === name);
}

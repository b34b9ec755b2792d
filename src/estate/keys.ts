/**
 * The keys of the estate's rows in the store, and what each row is for.
 *
 * Besides a row for each thing there are rows that only make commits collide which must not both succeed: a name of a
 * group in its VPC, an address in its subnet, and `uses/…`, which is written anew whenever something that names a group
 * comes or goes. A commit that deletes a group has the condition that its `uses/…` row is as it was read.
 */

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

/** What a host's configuration file declares: the same folders, below the host's name. */
export const DECLARED = 'declared/';
export const APPLIED = 'applied/';
/** Questions what a change would do (previews.ts), and below `previewed/` the answers of hosts. */
export const PREVIEWS = 'previews/';
const PREVIEWED = 'previewed/';

export function valueKey(folder: ValueFolder, id: string): string {
  return `${folder}/${id}`;
}

export function declaredKey(host: string, folder: ValueFolder, id: string): string {
  return `${declaredPrefix(host)}${folder}/${id}`;
}

/** Of all rows that a host declares. */
export function declaredPrefix(host: string): string {
  return `${DECLARED}${encodeURIComponent(host)}/`;
}

export function appliedKey(host: string): string {
  return `${APPLIED}${encodeURIComponent(host)}`;
}

export function previewKey(id: string): string {
  return `${PREVIEWS}${id}`;
}

export function previewedKey(id: string, host: string): string {
  return `${PREVIEWED}${id}/${encodeURIComponent(host)}`;
}

/** Of a question, or of an answer. */
export function isPreviewKey(key: string): boolean {
  return key.startsWith(PREVIEWS) || key.startsWith(PREVIEWED);
}

/** Group names may have slashes and blanks. */
export function nameKey(vpcId: string, foldedName: string): string {
  return `names/${vpcId}/${encodeURIComponent(foldedName)}`;
}

export function addressKey(vpcId: string, address: string): string {
  return `addresses/${vpcId}/${address}`;
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

/** What a key is of; undefined for rows that hold no value of the estate. */
export function parseValueKey(key: string): ValuePlace | undefined {
  const parts = key.split('/');
  const host = parts[0] === 'declared' ? decodeURIComponent(parts[1] ?? '') : undefined;
  const [folder, id, ...rest] = host === undefined ? parts : parts.slice(2);
  const known = VALUE_FOLDERS.find((one) => one === folder);
  if (known === undefined || id === undefined || rest.length > 0) return undefined;
  return host === undefined ? { folder: known, id } : { folder: known, id, host };
}

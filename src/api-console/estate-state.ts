/**
 * This file says whether what a preview was made of is still so: groups, prefix lists, interfaces and VPCs, of calls
 * and of files. The same state gives the same text at each server of a store, since it is made of the revisions that
 * the store gave to the rows.
 */
import { createHash } from 'node:crypto';
import type { Estate } from '../estate/estate.ts';
import { parseValueKey, type ValueFolder } from '../estate/keys.ts';

const COMPARED: readonly ValueFolder[] = ['groups', 'prefix-lists', 'interfaces', 'vpcs'];

export function isCompared(key: string): boolean {
  const place = parseValueKey(key);
  return place !== undefined && COMPARED.includes(place.folder);
}

/** 43 characters that are other ones for any other state. */
export function stateOf(estate: Estate): string {
  const hash = createHash('sha256');
  const keys = estate.keys().filter(isCompared);
  for (const key of [...keys].sort()) hash.update(`${key} ${estate.revisionOf(key)}\n`);
  return hash.digest('base64url');
}

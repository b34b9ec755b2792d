/** This file makes the ids of what the map shows: of names, so that they are the same after a reload and a restart. */
import { createHash } from 'node:crypto';
import type { DnsPeer, GroupId, PolicyModel } from '../policy/model.ts';
import { groupLabel } from '../policy/vpcs.ts';
import type { Kind } from '../reach/kinds.ts';

const ID_LENGTH = 16;

/** A short id that no names of strangers can bend: they are hashed. @param kind in front of it, for who reads it */
export function nodeId(kind: string, ...parts: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
  return `${kind}-${hash.slice(0, ID_LENGTH)}`;
}

/** The labels of groups, in order; an id where the model does not have the group. */
export function labelsOf(groupIds: readonly GroupId[], { groups }: PolicyModel): readonly string[] {
  const labels = groupIds.map((id) => {
    const group = groups.get(id);
    return group === undefined ? id : groupLabel(group);
  });
  return [...new Set(labels)].sort();
}

/**
 * The id of whoever has a DNS name. Rules that require it as TLS's server name have a node of their own, since they
 * admit other connections than rules that don't.
 */
export function nameId({ name, tlsName }: Omit<DnsPeer, 'kind'>): string {
  return tlsName === true ? nodeId('name', name, 'tls') : nodeId('name', name);
}

/** The id of a kind of interfaces. Groups that they may have are told apart by the ids of these. */
export function kindId({ groupIds, key }: Kind, model: PolicyModel): string {
  return nodeId('interfaces', ...labelsOf(groupIds, model), key.slice(key.indexOf('|')));
}

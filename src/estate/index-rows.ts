/**
 * The rows by which a host finds what it needs (keys.ts): which interfaces are on it, and who is in a group.
 *
 * They follow from the rows of interfaces, and whoever commits one of those commits these with it (edit.ts). They need
 * no conditions of their own: the interface's row is as it was read, so they are too.
 *
 * An interface is a member of its groups while it is attached. Nobody answers for the address of another, so to admit
 * it would be to admit whoever takes it.
 */
import { formatAddress, parseAddress } from '../addr/address.ts';
import type { InterfaceId, RemoteMember } from '../policy/model.ts';
import { memberKey, placedKey } from './keys.ts';
import type { EstateInterface } from './model.ts';
import { RowReader } from './row-reader.ts';

/** An attached interface, as far as others have to know it. People call it by its tag `Name`, else by its id. */
export type Member = RemoteMember;

/** What stands for an interface in its groups; undefined while it is not attached. */
export function memberOf({ id, attachment, tags, addresses }: EstateInterface): Member | undefined {
  if (attachment === undefined) return undefined;
  const name = tags.find(({ key }) => key === 'Name')?.value ?? id;
  return { id, name, host: attachment.host, addresses };
}

/** The rows that an interface brings with it, by their keys. */
export function indexRows(value: EstateInterface | undefined): ReadonlyMap<string, string> {
  const member = value === undefined ? undefined : memberOf(value);
  const rows = new Map<string, string>();
  if (value === undefined || member === undefined || value.declaredAt !== undefined) return rows;
  rows.set(placedKey(member.host, member.id), '{}');
  for (const groupId of value.groupIds) rows.set(memberKey(groupId, member.id), memberText(member));
  return rows;
}

export function memberText({ id: _, addresses, ...rest }: Member): string {
  return JSON.stringify({ ...rest, addresses: addresses.map(formatAddress) });
}

/** @throws RowError */
export function decodeMember(key: string, id: InterfaceId, text: string): Member {
  const row = RowReader.parse(key, text);
  return {
    id,
    name: row.text('name'),
    host: row.text('host'),
    addresses: row.texts('addresses').map((one) => {
      const parsed = parseAddress(one);
      return parsed.ok ? parsed.value : row.fail('addresses', 'of addresses');
    }),
  };
}

/** The index rows to put and to delete when an interface changes so. */
export function indexChange(
  before: EstateInterface | undefined,
  after: EstateInterface | undefined,
): {
  readonly puts: readonly { readonly key: string; readonly value: string }[];
  readonly deletes: readonly string[];
} {
  const [old, next] = [indexRows(before), indexRows(after)];
  const changed = [...next].filter(([key, text]) => old.get(key) !== text);
  return {
    puts: changed.map(([key, value]) => ({ key, value })),
    deletes: [...old.keys()].filter((key) => !next.has(key)),
  };
}

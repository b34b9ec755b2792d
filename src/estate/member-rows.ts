/**
 * The rows of members (`desired/members/GROUP/ENI`) that an estate holds: those whose interfaces it may not hold.
 *
 * A host may hold ten thousand of them, so there is one object a row, and nothing is in memory twice: the key follows
 * from it, hosts share their names, and a name that is the id is the id. A member that is replaced is another object,
 * so whoever has the set of before can compare (policy/member-set.ts).
 */
import { MemberSet } from '../policy/member-set.ts';
import type { GroupId, InterfaceId } from '../policy/model.ts';
import { decodeMember, memberText, type Member } from './index-rows.ts';
import { memberKey, parseMemberKey } from './keys.ts';

interface MemberRow extends Member {
  readonly revision: number;
}

/** A row that was read, and is not taken in yet. */
interface ReadMember {
  readonly groupId: GroupId;
  readonly row: MemberRow;
}

export class MemberRows {
  private readonly groups = new Map<GroupId, MemberSet<MemberRow>>();
  private readonly hosts = new Map<string, string>();

  /** The members of a group. */
  of(groupId: GroupId): Iterable<Member> {
    return this.groups.get(groupId) ?? [];
  }

  find(groupId: GroupId, id: InterfaceId): Member | undefined {
    return this.groups.get(groupId)?.get(id);
  }

  /** 0: there is no such row. */
  revisionOf(key: string): number {
    return this.row(key)?.revision ?? 0;
  }

  textOf(key: string): string | undefined {
    const row = this.row(key);
    return row === undefined ? undefined : textOf(row);
  }

  *keys(): Generator<string, void, undefined> {
    for (const [groupId, members] of this.groups)
      for (const { id } of members) yield memberKey(groupId, id);
  }

  /** Takes in rows that were read, all at once: it copies what they share a set with. */
  put(rows: readonly ReadMember[]): void {
    const byGroup = new Map<GroupId, MemberRow[]>();
    for (const { groupId, row } of rows) {
      const some = byGroup.get(groupId);
      if (some === undefined) byGroup.set(groupId, [row]);
      else some.push(row);
    }
    for (const [groupId, some] of byGroup) {
      const before = this.groups.get(groupId) ?? MemberSet.of<MemberRow>([]);
      this.groups.set(groupId, before.withAll(some));
    }
  }

  /** Reads the row of a member. @throws RowError */
  read(key: string, text: string, revision: number): ReadMember {
    const { groupId, interfaceId } = parseMemberKey(key)!;
    // A part of another text keeps that in memory.
    const id = Buffer.from(interfaceId).toString();
    const { name, host: said, addresses } = decodeMember(key, id, text);
    const host = this.hosts.get(said) ?? said;
    this.hosts.set(host, host);
    return { groupId, row: { id, name: name === id ? id : name, host, addresses, revision } };
  }

  /** @returns whether it was there */
  remove(key: string): boolean {
    const place = parseMemberKey(key);
    const before = place && this.groups.get(place.groupId);
    const after = before?.without(place!.interfaceId);
    if (after === undefined || after === before) return false;
    if (after.size === 0) this.groups.delete(place!.groupId);
    else this.groups.set(place!.groupId, after);
    return true;
  }

  private row(key: string): MemberRow | undefined {
    const place = parseMemberKey(key);
    return place && this.groups.get(place.groupId)?.get(place.interfaceId);
  }
}

function textOf({ revision: _, ...member }: MemberRow): string {
  return memberText(member);
}

/**
 * The part of the estate that a host needs: its interfaces, their groups, and who is in the groups that these name.
 *
 * Theory of operation. The whole of `desired/` is watched, and what concerns this host is taken out by its keys. So the
 * events of one revision come together, and it is taken in as a whole. What is needed follows from the rows that are
 * held:
 *
 *   interfaces placed here → their groups, their subnets
 *   groups of these        → the groups and prefix lists that their rules name, and the members of those groups
 *
 * A group that is only named is held for its name. What its own rules name is not. When a change makes more rows
 * necessary, they are read as they were at the revision of that change, and belong to it; what is no longer needed goes
 * with it. So what is held is always what one revision has, as far as this host is concerned.
 *
 * A row that can't be read leaves the former one in force (`kept` says which, and why), as a newer version may have
 * written it: to close the group would cut a host off for being older. Without a former one nothing is held, and who
 * enforces closes what it is about.
 */
import type { GroupId, InterfaceId } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { ownGroupId } from '../policy/vpcs.ts';
import type { Change, Row, Store } from '../store/store.ts';
import type { EditCommit } from './edit.ts';
import { Estate, isContent, type EstateChange, type EstateRow } from './estate.ts';
import { decodeMember } from './index-rows.ts';
import {
  DESIRED,
  folderPrefix,
  LAYOUT_KEY,
  membersPrefix,
  parseMemberKey,
  parseValueKey,
  placedPrefix,
  PREVIEWS,
  RELEASED,
  RELEASES_FORGOTTEN,
  valueKey,
} from './keys.ts';
import type { EstateGroup, EstateInterface } from './model.ts';
import { isId, RowError, RowReader } from './row-reader.ts';
import { ROW_FORMS } from './rows.ts';
import type { Scope } from './scope.ts';
import { checkLayout } from './upgrade.ts';

/** Files imply it for their own interfaces, and calls may change it. */
export const DEFAULT_GROUP: GroupId = ownGroupId(DEFAULT_GROUP_NAME, undefined);
const KEYS_ALWAYS: readonly string[] = [
  LAYOUT_KEY,
  valueKey('groups', DEFAULT_GROUP),
  RELEASES_FORGOTTEN,
];

/** What is needed: single rows, and all rows below a prefix. */
interface Needs {
  readonly keys: ReadonlySet<string>;
  readonly prefixes: ReadonlySet<string>;
}

/** Rows of one revision that are not taken in yet; undefined: deleted. */
type Pending = Map<string, Row | undefined>;

/** Why rows can't be read, by their keys. */
type Unreadable = ReadonlyMap<string, string>;

export class HostPart implements Scope {
  readonly prefix = DESIRED;
  readonly isWhole = false;
  readonly kept = new Map<string, string>();
  private readonly host: string;
  private readonly always: readonly string[];
  private needs: Needs;

  constructor(host: string) {
    this.host = host;
    this.always = [
      placedPrefix(host),
      // They are few, and no row says to whom they matter.
      folderPrefix('vpcs'),
      folderPrefix('flow-logs'),
      PREVIEWS,
      RELEASED,
    ];
    this.needs = this.atLeast();
  }

  async read(store: Store, held: Estate): Promise<EstateChange> {
    const first = await store.readParts([...this.always, ...KEYS_ALWAYS]);
    const { revision } = first;
    const found: Pending = new Map(first.rows.map((row) => [row.key, row]));
    const before = this.needs;
    this.needs = this.atLeast();
    try {
      const all = await this.complete(store, new Estate(false), revision, found, held);
      const keys = new Set(all.puts.map(({ key }) => key));
      for (const key of this.kept.keys())
        if (keys.has(key) || !found.has(key)) this.kept.delete(key);
      // Another store may be in the place of the one that was read, with other rows at the same revisions.
      const isNew = ({ key, value, revision: at }: EstateRow): boolean =>
        at !== held.revisionOf(key) || value !== held.textOf(key);
      // Whatever is held and is not found is gone.
      const deletes = held.keys().filter((key) => !keys.has(key) && !this.kept.has(key));
      return { revision, puts: all.puts.filter(isNew), deletes, isContent: true };
    } catch (error) {
      this.needs = before;
      throw error;
    }
  }

  async narrow(store: Store, held: Estate, change: Change): Promise<EstateChange> {
    const { revision, puts, deletes } = change;
    const pending: Pending = new Map();
    for (const row of puts) if (this.isNeeded(row.key)) pending.set(row.key, row);
    for (const key of deletes) if (this.isNeeded(key)) pending.set(key, undefined);
    const isAnyContent = puts.some(({ key }) => isContent(key)) || deletes.some(isContent);
    if (pending.size === 0) return { revision, puts: [], deletes: [], isContent: isAnyContent };
    return {
      ...(await this.complete(store, held, revision, pending, held)),
      isContent: isAnyContent,
    };
  }

  async missing(store: Store, held: Estate, commit: EditCommit): Promise<readonly EstateRow[]> {
    const { revision } = held;
    const pending: Pending = new Map();
    for (const row of commit.puts) pending.set(row.key, { ...row, createRevision: 0, revision });
    for (const key of commit.deletes) pending.set(key, undefined);
    // What is needed stays as it is here.
    const part = new HostPart(this.host);
    part.needs = this.needs;
    const { puts } = await part.complete(store, held, revision, new Map(pending), held);
    return puts.filter(({ key }) => !pending.has(key));
  }

  private atLeast(): Needs {
    return { keys: new Set(KEYS_ALWAYS), prefixes: new Set(this.always) };
  }

  private isNeeded(key: string): boolean {
    const { keys, prefixes } = this.needs;
    if (keys.has(key)) return true;
    const member = parseMemberKey(key);
    if (member !== undefined) return prefixes.has(membersPrefix(member.groupId));
    return isUnder(key, this.always);
  }

  /** Whether other rows are needed because of this one. */
  private decidesNeeds(key: string): boolean {
    const folder = parseValueKey(key)?.folder;
    return folder === 'groups' || folder === 'interfaces' || key.startsWith(this.always[0]);
  }

  /**
   * Adds what the rows of a revision make necessary, and removes what they make superfluous.
   * @param held what the rows of the revision are a change of
   * @param former where the version before of a row is, that is to be kept if the new one can't be read
   */
  private async complete(
    store: Store,
    held: Estate,
    revision: number,
    pending: Pending,
    former: Estate,
  ): Promise<EstateChange> {
    let { needs } = this;
    const refused = unreadable(pending.values());
    const isSettled = ![...pending.keys()].some((key) => this.decidesNeeds(key));
    for (;;) {
      if (isSettled) return this.outcome(revision, pending, refused, former);
      const view = new Overlay(held, pending, refused, former);
      const next = needsOf(view, this.always);
      const missing = [
        ...[...next.keys].filter((key) => !needs.keys.has(key)),
        ...[...next.prefixes].filter((prefix) => !needs.prefixes.has(prefix)),
      ];
      needs = {
        keys: union(needs.keys, next.keys),
        prefixes: union(needs.prefixes, next.prefixes),
      };
      if (missing.length === 0) {
        // Mostly a rule has another port, and what is held stays necessary.
        const isLess = !isSameNeeds(this.needs, next);
        this.needs = next;
        const change = this.outcome(revision, pending, refused, former);
        const gone = isLess ? held.keys().filter((key) => !this.isNeeded(key)) : [];
        for (const key of gone) this.kept.delete(key);
        return { ...change, deletes: [...new Set([...change.deletes, ...gone])] };
      }
      // What would be written counts, not what is there.
      const read = await store.readParts(missing, revision);
      const more = read.rows.filter(({ key }) => !pending.has(key));
      for (const row of more) pending.set(row.key, row);
      for (const [key, why] of unreadable(more)) refused.set(key, why);
    }
  }

  private outcome(
    revision: number,
    pending: Pending,
    refused: Unreadable,
    former: Estate,
  ): EstateChange {
    const puts: Row[] = [];
    const deletes: string[] = [];
    for (const [key, row] of pending) {
      const why = refused.get(key);
      this.kept.delete(key);
      if (!this.isNeeded(key) || row === undefined) deletes.push(key);
      else if (why !== undefined && isReadable(former, key)) this.kept.set(key, why);
      else puts.push(row);
    }
    return { revision, puts, deletes };
  }
}

/** The estate as it would be with the rows of a revision. */
class Overlay {
  private readonly held: Estate;
  private readonly pending: Pending;
  private readonly refused: Unreadable;
  private readonly former: Estate;

  constructor(held: Estate, pending: Pending, refused: Unreadable, former: Estate) {
    this.held = held;
    this.pending = pending;
    this.refused = refused;
    this.former = former;
  }

  interface(id: InterfaceId): EstateInterface | undefined {
    return this.value('interfaces', id);
  }

  group(id: GroupId): EstateGroup | undefined {
    return this.value('groups', id);
  }

  /** The keys below a prefix. */
  keysBelow(prefix: string): readonly string[] {
    const kept = this.held.keysBelow(prefix).filter((key) => !this.pending.has(key));
    const added = [...this.pending].flatMap(([key, row]) =>
      row !== undefined && key.startsWith(prefix) ? [key] : [],
    );
    return [...kept, ...added];
  }

  private value<F extends 'interfaces' | 'groups'>(
    folder: F,
    id: string,
  ): ReturnType<(typeof ROW_FORMS)[F]['decode']> | undefined {
    const key = valueKey(folder, id);
    type Value = ReturnType<(typeof ROW_FORMS)[F]['decode']>;
    if (!this.pending.has(key)) return this.held.find(folder, id) as Value | undefined;
    const row = this.pending.get(key);
    if (row === undefined) return undefined;
    if (this.refused.has(key)) return this.former.find(folder, id) as Value | undefined;
    return ROW_FORMS[folder].decode(id, RowReader.parse(key, row.value)) as Value;
  }
}

function needsOf(view: Overlay, always: readonly string[]): Needs {
  const keys = new Set<string>(KEYS_ALWAYS);
  const prefixes = new Set<string>(always);
  const own = new Set<GroupId>([DEFAULT_GROUP]);
  for (const placed of view.keysBelow(always[0])) {
    const id = placed.slice(always[0].length);
    if (!isId(id)) continue;
    keys.add(valueKey('interfaces', id));
    const found = view.interface(id);
    if (found === undefined) continue;
    if (found.subnetId !== undefined) keys.add(valueKey('subnets', found.subnetId));
    for (const groupId of found.groupIds) own.add(groupId);
  }
  for (const id of own) {
    keys.add(valueKey('groups', id));
    const { ingress = [], egress = [] } = view.group(id)?.group ?? {};
    for (const { peer } of [...ingress, ...egress]) {
      if (peer.kind === 'prefixList') keys.add(valueKey('prefix-lists', peer.prefixListId));
      if (peer.kind !== 'group') continue;
      keys.add(valueKey('groups', peer.groupId));
      prefixes.add(membersPrefix(peer.groupId));
    }
  }
  return { keys, prefixes };
}

function isUnder(key: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => key.startsWith(prefix));
}

function isSameNeeds(a: Needs, b: Needs): boolean {
  return isSameSet(a.keys, b.keys) && isSameSet(a.prefixes, b.prefixes);
}

function isSameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((one) => b.has(one));
}

function union<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): ReadonlySet<T> {
  return new Set([...a, ...b]);
}

function isReadable(estate: Estate, key: string): boolean {
  return estate.revisionOf(key) > 0 && !estate.unreadable.has(key);
}

/** Those whose text can't be read. */
function unreadable(rows: Iterable<Row | undefined>): Map<string, string> {
  const found = new Map<string, string>();
  for (const row of rows) {
    const why = row === undefined ? undefined : whyUnreadable(row);
    if (row !== undefined && why !== undefined) found.set(row.key, why);
  }
  return found;
}

/** Why the text of a row can't be read; undefined: it can. */
function whyUnreadable({ key, value }: Row): string | undefined {
  try {
    const place = parseValueKey(key);
    const member = parseMemberKey(key);
    if (place !== undefined) ROW_FORMS[place.folder].decode(place.id, RowReader.parse(key, value));
    else if (member !== undefined) decodeMember(key, member.interfaceId, value);
    else if (key === LAYOUT_KEY) checkLayout(value);
    return undefined;
  } catch (error) {
    if (error instanceof RowError) return error.message;
    throw error;
  }
}

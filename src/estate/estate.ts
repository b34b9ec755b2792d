/**
 * The estate as one process sees it: every value, indices to find it by (indices.ts), and the revision it is of.
 *
 * Theory of operation. An Estate is filled from a snapshot of the store and brought up to date by whole revisions, in
 * their order. It never writes: an Edit (edit.ts) collects what a call changes, and the store decides whether that may
 * happen. So any number of processes hold an Estate each, and all agree at equal revisions.
 *
 * Values of both sides are in the same maps: what calls made and what hosts declare. If both have an id, the one of the
 * call counts here; what is in force then, join.ts says.
 *
 * A row that can't be read leaves no value behind. It is in `unreadable`, and whoever enforces the estate must close
 * what the row is about: a group that can't be read lets nothing through.
 */
import { formatAddress, type Address } from '../addr/address.ts';
import type { GroupId, InterfaceId, PrefixListId, RuleId, VpcId } from '../policy/model.ts';
import { Hosts } from './hosts.ts';
import { Indices, nameIndex } from './indices.ts';
import { memberOf, type Member } from './index-rows.ts';
import {
  CHANGES,
  isAddressKey,
  isReleaseKey,
  parseMemberKey,
  parseValueKey,
  PREVIEWS,
  RELEASES_FORGOTTEN,
  UNENFORCED_FOLDERS,
  type ValueFolder,
  type ValuePlace,
} from './keys.ts';
import { MemberRows } from './member-rows.ts';
import type {
  AliveState,
  AppliedState,
  EstateGroup,
  EstateInterface,
  EstatePrefixList,
  EstateSubnet,
  EstateVpc,
  SubnetId,
} from './model.ts';
import { readForgotten, readRelease } from './release-text.ts';
import { RowError, RowReader } from './row-reader.ts';
import { ROW_FORMS, type FolderValues } from './rows.ts';

/** A row of the store, as far as it is looked at here. */
export interface EstateRow {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

export interface EstateChange {
  readonly revision: number;
  /** Whether it changed something that hosts enforce, here or elsewhere. Absent: these rows tell. */
  readonly isContent?: boolean;
  readonly puts: readonly EstateRow[];
  readonly deletes: readonly string[];
}

/** What is in an estate, as it is or as an edit would leave it. */
export type EstateView = Pick<
  Estate,
  | 'unreadable'
  | 'find'
  | 'list'
  | 'groupsThatName'
  | 'interfacesOfGroup'
  | 'interfacesOfHost'
  | 'interfacesOfSubnet'
  | 'membersElsewhere'
  | 'memberElsewhere'
  | 'isWhole'
>;

type ValueMaps = { readonly [F in ValueFolder]: Map<string, FolderValues[F]> };

export class Estate {
  /** Whether all rows are here; else those that one host needs. */
  readonly isWhole: boolean;
  /** Of the last change that was taken in. */
  revision = 0;
  /** Of the last change to something that hosts enforce: their own answers are no news to them. */
  contentRevision = 0;
  /** How many such changes there were. It grows also where another store, with smaller revisions, is read. */
  contentChanges = 0;
  /** Rows that can't be read, and why. */
  readonly unreadable = new Map<string, string>();
  /** Ids of the questions what a change would do. */
  readonly previews = new Set<string>();
  /** Keys of the notes of changes (change-notes.ts). */
  readonly changes = new Set<string>();
  /** Rows of released addresses (released.ts), with the revisions of the releases: in the order of their coming. */
  readonly releases = new Map<string, number>();
  /** Rows that tell hosts of releases, with their revisions: in the order of their coming. */
  readonly released = new Map<string, number>();
  /** Up to this revision such rows have been removed. */
  releasesForgotten = 0;
  /** The revision of every row, by its key. */
  private readonly revisions = new Map<string, number>();
  /** Of rows that hold no value of the estate, such as client tokens, or that can't be read. */
  private readonly rowTexts = new Map<string, string>();
  private readonly maps = emptyMaps();
  /** What files declare: the same on several hosts, where they have the same file. */
  private readonly declaredMaps = new DeclaredMaps();
  /** Members that are known by their own rows alone: this process does not hold their interfaces. */
  private readonly memberRows = new MemberRows();
  /** See `follow`. */
  private readonly followers: Set<string>[] = [];
  private readonly releaseFollowers: Map<string, string>[] = [];
  private readonly hosts = new Hosts();
  private readonly indices = new Indices();

  constructor(isWhole = true) {
    this.isWhole = isWhole;
  }

  /** Takes in one revision as a whole. */
  apply({ revision, puts, deletes, isContent: isTold }: EstateChange): void {
    for (const key of deletes) this.remove(key);
    const members: EstateRow[] = [];
    for (const row of puts)
      if (parseMemberKey(row.key) === undefined) this.put(row);
      else members.push(row);
    this.putMembers(members);
    this.revision = revision;
    if (isTold ?? (deletes.some(isContent) || puts.some(({ key }) => isContent(key)))) {
      this.contentRevision = revision;
      this.contentChanges++;
    }
  }

  /** A set that gets the key of every value and member that changes from now on. Whoever asked for it empties it. */
  follow(): Set<string> {
    const keys = new Set<string>();
    this.followers.push(keys);
    return keys;
  }

  /** A map that gets every row that tells of releases, when it comes: its text, by its key. */
  followReleases(): Map<string, string> {
    const texts = new Map<string, string>();
    this.releaseFollowers.push(texts);
    return texts;
  }

  /** 0: there is no such row. */
  revisionOf(key: string): number {
    return this.revisions.get(key) ?? this.memberRows.revisionOf(key);
  }

  /** All rows. */
  rows(): readonly EstateRow[] {
    return this.keys().flatMap((key) => {
      const value = this.textOf(key);
      return value === undefined ? [] : [{ key, value, revision: this.revisionOf(key) }];
    });
  }

  /** The same at the same revision, with rows that were not held. */
  with(more: readonly EstateRow[]): Estate {
    const copy = new Estate(this.isWhole);
    copy.apply({ revision: this.revision, puts: [...this.rows(), ...more], deletes: [] });
    return copy;
  }

  /** The keys of all rows. */
  keys(): readonly string[] {
    return [...this.revisions.keys(), ...this.memberRows.keys()];
  }

  /** The keys of rows that begin so, but of members that are held by their own rows: they may be very many. */
  keysBelow(prefix: string): readonly string[] {
    return [...this.revisions.keys()].filter((key) => key.startsWith(prefix));
  }

  /** The text of a row; undefined if there is none. */
  textOf(key: string): string | undefined {
    const text = this.rowTexts.get(key);
    if (text !== undefined) return text;
    const place = parseValueKey(key);
    if (place === undefined) return this.memberRows.textOf(key);
    const { folder, id, host } = place;
    const value =
      host === undefined ? this.maps[folder].get(id) : this.declaredMaps.of(folder, id, host);
    const { encode } = ROW_FORMS[place.folder] as { encode: (one: typeof value) => object };
    return value === undefined ? undefined : JSON.stringify(encode(value));
  }

  find<F extends ValueFolder>(folder: F, id: string): FolderValues[F] | undefined {
    return this.maps[folder].get(id) ?? this.declaredMaps.first(folder, id);
  }

  /** All values of a folder: those that calls made, then those that files declare; each in the order they came in. */
  list<F extends ValueFolder>(folder: F): readonly FolderValues[F][] {
    const made = this.maps[folder] as Map<string, FolderValues[F]>;
    const others = this.declaredMaps.all(folder).filter(([id]) => !made.has(id));
    return [...made.values(), ...others.map(([, value]) => value)];
  }

  vpc(id: VpcId): EstateVpc | undefined {
    return this.find('vpcs', id);
  }

  defaultVpc(): EstateVpc | undefined {
    return this.list('vpcs').find(({ isDefault }) => isDefault);
  }

  subnet(id: SubnetId): EstateSubnet | undefined {
    return this.find('subnets', id);
  }

  group(id: GroupId): EstateGroup | undefined {
    return this.find('groups', id);
  }

  prefixList(id: PrefixListId): EstatePrefixList | undefined {
    return this.find('prefix-lists', id);
  }

  interface(id: InterfaceId): EstateInterface | undefined {
    return this.find('interfaces', id);
  }

  groupByName(vpcId: VpcId, name: string): EstateGroup | undefined {
    const [id] = this.indices.groupsByName.get(nameIndex(vpcId, name));
    return id === undefined ? undefined : this.group(id);
  }

  /** The group that has a rule. */
  groupOfRule(id: RuleId): EstateGroup | undefined {
    const [groupId] = this.indices.groupsByRule.get(id);
    return groupId === undefined ? undefined : this.group(groupId);
  }

  /** Groups with a rule that names this group or prefix list. */
  groupsThatName(id: GroupId): readonly EstateGroup[] {
    return [...this.indices.groupsByPeer.get(id)].flatMap((one) => this.group(one) ?? []);
  }

  interfacesOfGroup(id: GroupId): readonly EstateInterface[] {
    return this.interfacesOf(this.indices.interfacesByGroup.get(id));
  }

  /** The interfaces of a group that are attached on other hosts than this one. */
  membersElsewhere(id: GroupId, host: string): readonly Member[] {
    const held = this.interfacesOfGroup(id).filter((one) => isElsewhere(one, host));
    const others = [...this.memberRows.of(id)].filter(
      (one) => one.host !== host && !this.maps.interfaces.has(one.id),
    );
    return [...held.flatMap((one) => memberOf(one) ?? []), ...others];
  }

  /** That one of them which has this id. */
  memberElsewhere(groupId: GroupId, id: InterfaceId, host: string): Member | undefined {
    const held = this.maps.interfaces.get(id);
    if (held === undefined) {
      const other = this.memberRows.find(groupId, id);
      return other?.host === host ? undefined : other;
    }
    return held.groupIds.includes(groupId) && isElsewhere(held, host) ? memberOf(held) : undefined;
  }

  interfacesOfSubnet(id: SubnetId): readonly EstateInterface[] {
    return this.interfacesOf(this.indices.interfacesBySubnet.get(id));
  }

  interfacesOfHost(host: string): readonly EstateInterface[] {
    return this.interfacesOf(this.indices.interfacesByHost.get(host));
  }

  /** Who has an address in a VPC. */
  interfaceAt(vpcId: VpcId, address: Address): EstateInterface | undefined {
    const [id] = this.indices.interfacesByAddress.get(`${vpcId} ${formatAddress(address)}`);
    return id === undefined ? undefined : this.interface(id);
  }

  /** What each host has in force, or had when it was killed. */
  applied(): ReadonlyMap<string, AppliedState> {
    return this.hosts.applied;
  }

  /** The hosts that live. */
  alive(): ReadonlyMap<string, AliveState> {
    return this.hosts.alive;
  }

  /** Those of them that hold all rows: each change concerns them. */
  wholeHosts(): ReadonlySet<string> {
    return this.hosts.whole;
  }

  private interfacesOf(ids: ReadonlySet<InterfaceId>): readonly EstateInterface[] {
    return [...ids].flatMap((id) => this.interface(id) ?? []);
  }

  private put({ key, value, revision }: EstateRow): void {
    // All may be read anew, and those that are known are no news.
    if (this.released.get(key) === revision) return;
    const place = parseValueKey(key);
    // A value that is replaced keeps its place among the others.
    if (place === undefined || this.unreadable.has(key)) this.remove(key);
    this.revisions.set(key, revision);
    if (place !== undefined) this.touch(key);
    try {
      if (place !== undefined) this.take(place, key, value);
      else this.takeOther(key, value);
    } catch (error) {
      this.refuse({ key, value, revision }, error);
    }
  }

  private putMembers(rows: readonly EstateRow[]): void {
    const read = rows.flatMap((row) => {
      const { key, value, revision } = row;
      try {
        const found = this.memberRows.read(key, value, revision);
        if (this.unreadable.has(key)) this.remove(key);
        return [found];
      } catch (error) {
        this.refuse(row, error);
        return [];
      }
    });
    this.memberRows.put(read);
    for (const { key } of rows) this.touch(key);
  }

  /** A row can't be read. */
  private refuse({ key, value, revision }: EstateRow, error: unknown): void {
    if (!(error instanceof RowError)) throw error;
    this.remove(key);
    this.revisions.set(key, revision);
    this.unreadable.set(key, error.message);
    this.rowTexts.set(key, value);
  }

  private take({ folder, id, host }: ValuePlace, key: string, text: string): void {
    const value = ROW_FORMS[folder].decode(id, RowReader.parse(key, text));
    if (host === undefined) {
      const map = this.maps[folder] as Map<string, typeof value>;
      this.indices.replace(folder, id, map.get(id), value);
      map.set(id, value);
    } else {
      const before = this.declaredMaps.first(folder, id);
      this.declaredMaps.set(folder, id, host, value);
      this.indices.replace(folder, id, before, this.declaredMaps.first(folder, id));
    }
  }

  /** A row that holds no value of the estate. */
  private takeOther(key: string, text: string): void {
    if (this.hosts.put(key, text)) return;
    this.rowTexts.set(key, text);
    const released = isAddressKey(key) ? readRelease(text, this.revisionOf(key)) : undefined;
    if (released !== undefined) this.releases.set(key, released);
    if (key.startsWith(PREVIEWS)) this.previews.add(key.slice(PREVIEWS.length));
    if (key.startsWith(CHANGES)) this.changes.add(key);
    if (isReleaseKey(key)) this.takeRelease(key, text);
  }

  private takeRelease(key: string, text: string): void {
    const revision = this.revisionOf(key);
    if (key === RELEASES_FORGOTTEN) this.releasesForgotten = readForgotten(text, revision);
    else {
      this.released.set(key, revision);
      for (const texts of this.releaseFollowers) texts.set(key, text);
    }
  }

  /** @param key of a value or a member */
  private touch(key: string): void {
    for (const keys of this.followers) keys.add(key);
  }

  private remove(key: string): void {
    if (!this.revisions.delete(key)) {
      if (this.memberRows.remove(key)) this.touch(key);
      return;
    }
    this.unreadable.delete(key);
    this.rowTexts.delete(key);
    this.releases.delete(key);
    this.released.delete(key);
    this.changes.delete(key);
    const place = parseValueKey(key);
    if (place === undefined) {
      this.removeOther(key);
      return;
    }
    this.touch(key);
    const { folder, id, host } = place;
    if (host === undefined) {
      const map = this.maps[folder] as Map<string, FolderValues[ValueFolder]>;
      this.indices.replace(folder, id, map.get(id), undefined);
      map.delete(id);
    } else {
      const before = this.declaredMaps.first(folder, id);
      this.declaredMaps.delete(folder, id, host);
      this.indices.replace(folder, id, before, this.declaredMaps.first(folder, id));
    }
  }

  private removeOther(key: string): void {
    if (this.hosts.remove(key)) return;
    if (parseMemberKey(key) !== undefined) this.touch(key);
    else if (key.startsWith(PREVIEWS)) this.previews.delete(key.slice(PREVIEWS.length));
  }
}

/** Values that files declare. Of those with one id, the first that came counts. */
class DeclaredMaps {
  private readonly maps = new Map<
    ValueFolder,
    Map<string, Map<string, FolderValues[ValueFolder]>>
  >();

  first<F extends ValueFolder>(folder: F, id: string): FolderValues[F] | undefined {
    const [first] = this.maps.get(folder)?.get(id)?.values() ?? [];
    return first as FolderValues[F] | undefined;
  }

  of<F extends ValueFolder>(folder: F, id: string, host: string): FolderValues[F] | undefined {
    return this.maps.get(folder)?.get(id)?.get(host) as FolderValues[F] | undefined;
  }

  all<F extends ValueFolder>(folder: F): readonly (readonly [string, FolderValues[F]])[] {
    const ids = this.maps.get(folder)?.keys() ?? [];
    return [...ids].map((id) => [id, this.first(folder, id)!] as const);
  }

  set(folder: ValueFolder, id: string, host: string, value: FolderValues[ValueFolder]): void {
    const ids = this.maps.get(folder) ?? new Map<string, Map<string, typeof value>>();
    const hosts = ids.get(id) ?? new Map<string, typeof value>();
    hosts.set(host, value);
    ids.set(id, hosts);
    this.maps.set(folder, ids);
  }

  delete(folder: ValueFolder, id: string, host: string): void {
    const ids = this.maps.get(folder);
    const hosts = ids?.get(id);
    hosts?.delete(host);
    if (hosts?.size === 0) ids?.delete(id);
  }
}

function emptyMaps(): ValueMaps {
  return {
    vpcs: new Map(),
    subnets: new Map(),
    groups: new Map(),
    'prefix-lists': new Map(),
    interfaces: new Map(),
    'flow-logs': new Map(),
    'insights-paths': new Map(),
    'insights-analyses': new Map(),
  };
}

/** Whether a call attached an interface on another host. */
export function isElsewhere({ declaredAt, attachment }: EstateInterface, host: string): boolean {
  return declaredAt === undefined && attachment !== undefined && attachment.host !== host;
}

/** Whether a row says something that a host has to enforce. */
export function isContent(key: string): boolean {
  const place = parseValueKey(key);
  return (
    place !== undefined && place.host === undefined && !UNENFORCED_FOLDERS.includes(place.folder)
  );
}

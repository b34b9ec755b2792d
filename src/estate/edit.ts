/**
 * An edit collects what one call changes, and what must still be as it was read for that to be right.
 *
 * Theory of operation. A call reads the estate through its edit, which notes the revision of every row that was looked
 * at, also of rows that were not there. What the call writes is seen by its later reads. The commit goes through only
 * if none of the rows has changed since; else the call is made again on the newer estate. So two calls that each are
 * right alone can't be wrong together: no rule is authorized twice, and no group is deleted while another call names
 * it.
 *
 * Several calls may be made on one edit, one after the other: each sees what those before it wrote.
 *
 * A look at an index (who names this group?) notes no row. Whoever relies on one reads or writes the `uses/…` row of
 * what the index is about, which every call writes that makes the index longer.
 */
import { randomUUID } from 'node:crypto';
import { indexChange, memberOf, type Member } from './index-rows.ts';
import type { ValueFolder } from './keys.ts';
import { folderPrefix, isReleaseKey, isUsesKey, RELEASED, usesKey, valueKey } from './keys.ts';
import { isElsewhere, type Estate, type EstateView } from './estate.ts';
import type { EstateGroup, EstateInterface, SubnetId } from './model.ts';
import type { GroupId, InterfaceId } from '../policy/model.ts';
import { LAST_CALL } from './last-call.ts';
import { ROW_FORMS, type FolderValues } from './rows.ts';

/** What the store is asked to do. */
export interface EditCommit {
  readonly conditions: readonly { readonly key: string; readonly revision: number }[];
  readonly puts: readonly { readonly key: string; readonly value: string }[];
  readonly deletes: readonly string[];
}

export interface ChangedRow {
  readonly key: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export class Edit {
  readonly estate: Estate;
  private readonly conditions = new Map<string, number>();
  private readonly puts = new Map<string, string>();
  private readonly deletes = new Set<string>();
  /** The text of each row that is written, as it was before; undefined: it was not there. */
  private readonly before = new Map<string, string | undefined>();
  private readonly written = new Map<string, FolderValues[ValueFolder] | undefined>();
  /** Interfaces that are written, as they were before. */
  private readonly interfacesBefore = new Map<InterfaceId, EstateInterface | undefined>();
  private releaseId: string | undefined;
  private readonly attachedTo = new Map<InterfaceId, string>();
  /** What was refused could be had once each host has this revision in force; 0: nothing was refused for that. */
  awaitedRevision = 0;

  constructor(estate: Estate) {
    this.estate = estate;
  }

  /** Of the row that tells hosts which addresses this edit takes from interfaces: no other edit has it. */
  get releasedKey(): string {
    this.releaseId ??= randomUUID();
    return `${RELEASED}${this.releaseId}`;
  }

  /** Interfaces that get a device, with the host that has to open it. */
  get attached(): ReadonlyMap<InterfaceId, string> {
    return this.attachedTo;
  }

  /** The estate as this edit would leave it. */
  get view(): EstateView {
    return {
      unreadable: this.estate.unreadable,
      find: (folder, id) => this.peek(folder, id),
      list: (folder) => this.list(folder),
      groupsThatName: (id) => this.groupsThatName(id),
      interfacesOfGroup: (id) => this.interfacesOfGroup(id),
      membersElsewhere: (id, host) => this.membersElsewhere(id, host),
      memberElsewhere: (groupId, id, host) => this.memberElsewhere(groupId, id, host),
      isWhole: this.estate.isWhole,
      interfacesOfSubnet: (id) => this.interfacesOfSubnet(id),
      interfacesOfHost: (host) =>
        this.overlay(
          'interfaces',
          this.estate.interfacesOfHost(host),
          ({ attachment }) => attachment?.host === host,
        ),
    };
  }

  /** The rows that this edit writes or deletes, as they were before and as it leaves them; undefined: not there. */
  changedRows(): readonly ChangedRow[] {
    return [...this.before].map(([key, before]) => ({ key, before, after: this.puts.get(key) }));
  }

  get isEmpty(): boolean {
    return this.puts.size === 0 && this.deletes.size === 0;
  }

  /** A value as this edit leaves it. The commit fails if somebody changes its row meanwhile. */
  read<F extends ValueFolder>(folder: F, id: string): FolderValues[F] | undefined {
    this.require(valueKey(folder, id));
    return this.peek(folder, id);
  }

  /** A value as this edit leaves it, for whoever relies on something else that keeps it as it is. */
  peek<F extends ValueFolder>(folder: F, id: string): FolderValues[F] | undefined {
    const key = valueKey(folder, id);
    if (this.written.has(key)) return this.written.get(key) as FolderValues[F] | undefined;
    return this.estate.find(folder, id);
  }

  /** All values of a folder as this edit leaves them: those that it made come last. */
  list<F extends ValueFolder>(folder: F): readonly FolderValues[F][] {
    return this.overlay(folder, this.estate.list(folder), () => true);
  }

  /** Groups with a rule that names this group or prefix list, as this edit leaves them. */
  groupsThatName(id: string): readonly EstateGroup[] {
    return this.overlay('groups', this.estate.groupsThatName(id), ({ group }) =>
      [...group.ingress, ...group.egress].some(
        ({ peer }) =>
          (peer.kind === 'group' && peer.groupId === id) ||
          (peer.kind === 'prefixList' && peer.prefixListId === id),
      ),
    );
  }

  interfacesOfGroup(id: GroupId): readonly EstateInterface[] {
    return this.overlay('interfaces', this.estate.interfacesOfGroup(id), ({ groupIds }) =>
      groupIds.includes(id),
    );
  }

  interfacesOfSubnet(id: SubnetId): readonly EstateInterface[] {
    return this.overlay(
      'interfaces',
      this.estate.interfacesOfSubnet(id),
      ({ subnetId }) => subnetId === id,
    );
  }

  write<F extends ValueFolder>(folder: F, id: string, value: FolderValues[F]): void {
    const key = valueKey(folder, id);
    const { encode } = ROW_FORMS[folder] as { encode: (one: FolderValues[F]) => object };
    this.keepInterface(folder, id);
    this.put(key, JSON.stringify(encode(value)));
    this.written.set(key, value);
  }

  erase(folder: ValueFolder, id: string): void {
    const key = valueKey(folder, id);
    this.keepInterface(folder, id);
    this.remove(key);
    this.written.set(key, undefined);
  }

  /** Whether a row is there that holds no value, such as a name's. */
  has(key: string): boolean {
    this.require(key);
    if (this.deletes.has(key)) return false;
    return this.puts.has(key) || this.estate.revisionOf(key) > 0;
  }

  /** The text of a row that holds no value, such as a client token's; undefined: it is not there. */
  text(key: string): string | undefined {
    this.require(key);
    return this.peekText(key);
  }

  /** As `text`, for whoever looks at many and relies on none: the commit goes through if somebody changes it. */
  peekText(key: string): string | undefined {
    return this.puts.get(key) ?? (this.deletes.has(key) ? undefined : this.estate.textOf(key));
  }

  /** Writes a row. The commit fails if somebody changes it meanwhile. */
  put(key: string, value: string): void {
    this.require(key);
    this.keep(key);
    this.deletes.delete(key);
    this.puts.set(key, value);
  }

  remove(key: string): void {
    this.require(key);
    this.keep(key);
    this.puts.delete(key);
    if (this.estate.revisionOf(key) > 0) this.deletes.add(key);
  }

  /** Notes that something new names a group, prefix list, subnet or VPC, so that it can't be deleted meanwhile. */
  use(id: string): void {
    this.put(usesKey(id), '{}');
  }

  /** Notes that an interface gets a device. Of two calls that attach on one host at once, one is made again. */
  attach(id: InterfaceId, host: string): void {
    this.attachedTo.set(id, host);
    this.use(`host-${encodeURIComponent(host)}`);
  }

  /** Notes that something is refused only until each host has a revision in force. */
  await(revision: number): void {
    this.awaitedRevision = Math.max(this.awaitedRevision, revision);
  }

  /** The commit fails if something new names it meanwhile. Call it before looking at who names it. */
  requireUnused(id: string): void {
    this.require(usesKey(id));
    if (this.estate.revisionOf(usesKey(id)) > 0) this.remove(usesKey(id));
  }

  commit(): EditCommit {
    const index = this.indexChanges('made');
    const puts = [...this.puts].map(([key, value]) => ({ key, value }));
    return {
      conditions: [...this.conditions].map(([key, revision]) => ({ key, revision })),
      puts: [...puts, ...index.puts, ...(this.isEmpty ? [] : [LAST_CALL])],
      deletes: [...this.deletes, ...index.deletes],
    };
  }

  /**
   * What takes this edit back after it was committed: every row is again as it was, if nobody has changed it since.
   * `uses/…` rows stay: others write the same ones all the time, and one that says too much keeps nothing from going.
   * Those that tell hosts of releases stay, too: some hosts have acted on them.
   * @param revision of the commit
   * @param since rows that later reversals changed again, with their revisions (0: they deleted it)
   */
  reversal(revision: number, since: ReadonlyMap<string, number> = new Map()): EditCommit {
    const isReversed = (key: string): boolean => !isUsesKey(key) && !isReleaseKey(key);
    const puts = [...this.puts.keys()].filter(isReversed);
    const deletes = [...this.deletes].filter(isReversed);
    const texts = [...puts, ...deletes].map((key) => [key, this.before.get(key)] as const);
    const index = this.indexChanges('taken back');
    return {
      conditions: [
        ...puts.map((key) => ({ key, revision: since.get(key) ?? revision })),
        ...deletes.map((key) => ({ key, revision: since.get(key) ?? 0 })),
      ],
      puts: [
        ...texts.flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }])),
        ...index.puts,
        LAST_CALL,
      ],
      deletes: [
        ...texts.flatMap(([key, value]) => (value === undefined ? [key] : [])),
        ...index.deletes,
      ],
    };
  }

  private membersElsewhere(id: GroupId, host: string): readonly Member[] {
    const isWritten = (one: { readonly id: InterfaceId }): boolean =>
      this.written.has(valueKey('interfaces', one.id));
    const kept = this.estate.membersElsewhere(id, host).filter((member) => !isWritten(member));
    const written = this.interfacesOfGroup(id).filter(
      (one) => isWritten(one) && isElsewhere(one, host),
    );
    return [...kept, ...written.flatMap((one) => memberOf(one) ?? [])];
  }

  private memberElsewhere(groupId: GroupId, id: InterfaceId, host: string): Member | undefined {
    const key = valueKey('interfaces', id);
    if (!this.written.has(key)) return this.estate.memberElsewhere(groupId, id, host);
    const written = this.written.get(key) as EstateInterface | undefined;
    return written?.groupIds.includes(groupId) === true && isElsewhere(written, host)
      ? memberOf(written)
      : undefined;
  }

  /** The rows that follow from the interfaces which are written. */
  private indexChanges(how: 'made' | 'taken back'): ReturnType<typeof indexChange> {
    const changes = [...this.interfacesBefore].map(([id, before]) => {
      const after = this.written.get(valueKey('interfaces', id)) as EstateInterface | undefined;
      return how === 'made' ? indexChange(before, after) : indexChange(after, before);
    });
    return {
      puts: changes.flatMap(({ puts }) => puts),
      deletes: changes.flatMap(({ deletes }) => deletes),
    };
  }

  private keepInterface(folder: ValueFolder, id: string): void {
    if (folder === 'interfaces' && !this.interfacesBefore.has(id))
      this.interfacesBefore.set(id, this.estate.find('interfaces', id));
  }

  /** What an index of the estate found, with what this edit wrote in place of what it was. */
  private overlay<F extends ValueFolder>(
    folder: F,
    found: readonly FolderValues[F][],
    belongs: (value: FolderValues[F]) => boolean,
  ): readonly FolderValues[F][] {
    const kept = found.filter((value) => !this.written.has(valueKey(folder, idOf(value))));
    const written = [...this.written].flatMap(([key, value]) =>
      value !== undefined &&
      key.startsWith(folderPrefix(folder)) &&
      belongs(value as FolderValues[F])
        ? [value as FolderValues[F]]
        : [],
    );
    return [...kept, ...written];
  }

  private keep(key: string): void {
    if (!this.before.has(key)) this.before.set(key, this.estate.textOf(key));
  }

  private require(key: string): void {
    if (!this.conditions.has(key)) this.conditions.set(key, this.estate.revisionOf(key));
  }
}

function idOf(value: FolderValues[ValueFolder]): string {
  if ('group' in value) return value.group.id;
  return 'list' in value ? value.list.id : value.id;
}

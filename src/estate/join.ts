/**
 * This file joins what a configuration file declares with what calls made into one configuration to put in force.
 *
 * Files declare, the estate lives. Nothing of one side replaces anything of the other: an id, a name or an address that
 * both have is a problem that names both places, and what the call made is left out. Whatever can't be understood is
 * left out too, in the way that lets through less: a group that can't be read has no rules, a list no entries, an
 * interface no device. Each of these is a problem, so nobody has to guess why packets are dropped.
 *
 * Most changes are of the rules of a group. So a Joiner keeps the last join, and the estate tells which rows have
 * changed since. Of groups, those are looked at again that changed, and those that name one which came or went. If an
 * interface changed, all interfaces are joined again, and no group. Of members on other hosts, those that changed are
 * looked at (join-members.ts). What stays the same is the same object as before,
 * by which those who compare know it. Anything else is joined from the start. test/estate/join.test.ts holds both
 * against each other.
 *
 * Where both know one VPC alone, groups and interfaces don't say that they are in it, as the policy model wants it. The
 * VPC and the default group that a file has without a word about them are the API's default VPC and its default group.
 */
import type { Config } from '../config/config.ts';
import { applyAuditTags } from '../policy/audit-tags.ts';
import { noteChanges } from '../policy/changed-part.ts';
import type {
  GroupId,
  InterfaceId,
  NetworkInterface,
  PolicyModel,
  PrefixList,
  RemoteMembers,
  Rule,
  SecurityGroup,
  Vpc,
  VpcId,
} from '../policy/model.ts';
import { OverlaidMap } from '../policy/overlaid-map.ts';
import { foldGroupName } from '../policy/texts.ts';
import { ONLY_VPC_ID } from '../policy/vpcs.ts';
import type { Edit } from './edit.ts';
import type { Estate, EstateView } from './estate.ts';
import { joinFlowLogs } from './join-flow-logs.ts';
import {
  closedGroup,
  type InterfaceJoin,
  joinInterfaces,
  type JoinedInterfaces,
} from './join-interfaces.ts';
import { namedGroups, remoteMembers, type ChangedMembers } from './join-members.ts';
import { parseMemberKey, parseValueKey, UNENFORCED_FOLDERS, type ValueFolder } from './keys.ts';
import type { EstateGroup } from './model.ts';
import { estateOrigin, vpcRef } from './rows.ts';

export interface JoinOptions {
  /** The name of this host: interfaces that are attached elsewhere are not opened here. */
  readonly host: string;
  readonly netnsDirectory: string;
  /** Where flow logs that calls made are written. */
  readonly flowLogDirectory: string;
}

export interface Joined {
  readonly config: Config;
  /** What of the estate is not in force, with the reason; the keys are ids. */
  readonly leftOut: ReadonlyMap<string, string>;
}

/** What is in them is not joined. */
const OTHER_FOLDERS: ReadonlySet<ValueFolder> = new Set(['subnets', ...UNENFORCED_FOLDERS]);
/** What is in them has to do with the interfaces of this host, and with no group. */
const PLACE_FOLDERS: ReadonlySet<ValueFolder> = new Set(['interfaces', 'flow-logs']);

/** What of the estate has changed. */
interface Changed {
  readonly groups: readonly GroupId[];
  /** Interfaces or flow logs. */
  readonly hasPlaces: boolean;
  /** Who is in a group on another host. */
  readonly members: ChangedMembers;
}

/** What was made for values before, by the value: the same value gives the same object. */
interface Made {
  /** Groups without their VPC, and so on. */
  readonly placed: WeakMap<object, object>;
  /** Groups of which something audits. */
  readonly audited: WeakMap<EstateGroup, SecurityGroup>;
  readonly interfaces: InterfaceJoin['made'];
  remote: RemoteMembers;
}

/** Joins them after each change of either. What did not change is the same object as before. */
export class Joiner {
  private readonly options: JoinOptions;
  private readonly estate: Estate;
  private readonly made: Made = {
    placed: new WeakMap(),
    audited: new WeakMap(),
    interfaces: new WeakMap(),
    remote: new Map(),
  };
  /** Keys of rows that changed since the last join. */
  private readonly changed: Set<string>;
  private last: Join | undefined;

  constructor(estate: Estate, options: JoinOptions) {
    this.estate = estate;
    this.options = options;
    this.changed = estate.follow();
  }

  /** Whether anything of the estate has changed since the last join. */
  get hasNews(): boolean {
    return this.changed.size > 0 || this.last === undefined;
  }

  /** Joins the estate as it is with a file that is in force from now on. */
  join(declared: Config): Joined {
    const changed = this.readChanges(this.changed);
    this.changed.clear();
    const { last } = this;
    // Should the patch throw, nothing is left that is half of one estate and half of another.
    this.last = undefined;
    const isKept = last?.declared === declared && changed !== undefined;
    if (isKept) last.patch(changed);
    const joined = isKept ? last : this.begin(declared);
    this.last = joined;
    this.made.remote = joined.remote;
    return joined.result();
  }

  /** What `join` would give with another file. */
  preview(declared: Config): Joined {
    return this.begin(declared).result();
  }

  /** What `join` would give with this edit made, which may be on an estate that has more rows. */
  previewEdit(declared: Config, edit: Edit): Joined {
    if (edit.estate !== this.estate) return this.begin(declared, edit.view).result();
    const { puts, deletes } = edit.commit();
    const keys = [...this.changed, ...puts.map(({ key }) => key), ...deletes];
    const changed = this.readChanges(keys);
    const { last } = this;
    if (last?.declared !== declared || changed === undefined)
      return this.begin(declared, edit.view).result();
    const fork = last.fork(edit.view);
    fork.patch(changed);
    return fork.result();
  }

  private begin(declared: Config, estate: EstateView = this.estate): Join {
    const join = new Join(declared, estate, this.options, this.made);
    join.run();
    return join;
  }

  /** What these keys are of; undefined if something is among them for which all has to be joined again. */
  private readChanges(keys: Iterable<string>): Changed | undefined {
    if (this.estate.unreadable.size > 0 || this.last?.hasUnreadable === true) return undefined;
    const groups: GroupId[] = [];
    let hasPlaces = false;
    const byGroup = new Map<GroupId, Set<InterfaceId>>();
    const interfaces = new Set<InterfaceId>();
    for (const key of keys) {
      const member = parseMemberKey(key);
      if (member !== undefined) {
        const ids = byGroup.get(member.groupId) ?? new Set();
        byGroup.set(member.groupId, ids.add(member.interfaceId));
      }
      const place = parseValueKey(key);
      if (place === undefined || place.host !== undefined) continue;
      if (place.folder === 'interfaces') interfaces.add(place.id);
      // Which groups have an interface here decides which groups are known whole.
      if (place.folder === 'interfaces' && !this.estate.isWhole) return undefined;
      if (place.folder === 'groups') groups.push(place.id);
      else if (PLACE_FOLDERS.has(place.folder)) hasPlaces = true;
      else if (!OTHER_FOLDERS.has(place.folder)) return undefined;
    }
    return { groups, hasPlaces, members: { byGroup, interfaces } };
  }
}

const NO_RULES: readonly Rule[] = [];
const NO_PLACES: JoinedInterfaces = {
  interfaces: [],
  members: new Map(),
  closed: [],
  leftOut: new Map(),
};

class Join {
  readonly declared: Config;
  readonly hasUnreadable: boolean;
  private leftOut = new Map<string, string>();
  private estate: EstateView;
  private readonly options: JoinOptions;
  private readonly made: Made;
  private groups: OverlaidMap<GroupId, SecurityGroup>;
  /** What files declare, by id and by name in a VPC. */
  private readonly declaredGroups: ReadonlyMap<GroupId, SecurityGroup>;
  private readonly declaredNames: ReadonlyMap<string, SecurityGroup>;
  private readonly prefixLists: Map<string, PrefixList>;
  private readonly declaredMembers: ReadonlyMap<InterfaceId, NetworkInterface>;
  private places: JoinedInterfaces = NO_PLACES;
  remote: RemoteMembers;
  /** Groups that rules of interfaces here name. */
  private named: ReadonlySet<GroupId> = new Set();
  private flowLogs: Config['flowLogs'] = [];
  private flowLogsLeftOut: ReadonlyMap<string, string> = new Map();
  private readonly vpcs: ReadonlyMap<VpcId, Vpc>;
  private readonly hasOneVpc: boolean;

  constructor(declared: Config, estate: EstateView, options: JoinOptions, made: Made) {
    this.declared = declared;
    this.estate = estate;
    this.options = options;
    this.made = made;
    this.remote = made.remote;
    this.hasUnreadable = estate.unreadable.size > 0;
    const { groups, prefixLists, interfaces } = declared.model;
    this.vpcs = joinVpcs(declared.model, estate);
    this.hasOneVpc = this.vpcs.size <= 1;
    this.declaredGroups = new Map([...groups].map(([id, group]) => [id, this.placed(group)]));
    this.groups = new OverlaidMap(this.declaredGroups);
    this.declaredNames = new Map(
      [...this.declaredGroups.values()].map((group) => [this.nameIn(group), group] as const),
    );
    this.prefixLists = new Map(prefixLists);
    this.declaredMembers = new Map([...interfaces].map(([id, one]) => [id, this.placed(one)]));
  }

  run(): void {
    this.addPrefixLists();
    this.addGroups();
    this.place();
    for (const [key, why] of this.estate.unreadable) this.leftOut.set(key, why);
  }

  /** The same with another estate, which is to be patched by what is different there. This one stays as it is. */
  fork(estate: EstateView): Join {
    const fork = Object.assign(Object.create(Join.prototype) as Join, this);
    fork.estate = estate;
    fork.leftOut = new Map(this.leftOut);
    return fork;
  }

  result(): Joined {
    const { groups, prefixLists, vpcs, places, flowLogs } = this;
    const { interfaces, members } = places;
    const isAnywhere = [...this.remote.values()].some(({ size }) => size > 0);
    const remote = isAnywhere ? { remoteMembers: this.remote } : {};
    const model: PolicyModel = { groups, prefixLists, interfaces: members, ...remote, vpcs };
    const config = { ...this.declared, model, interfaces, flowLogs };
    const leftOut = new Map([...this.leftOut, ...places.leftOut, ...this.flowLogsLeftOut]);
    return { config, leftOut };
  }

  /** Takes in groups that changed, came or went, and the interfaces and flow logs as they are. */
  patch({ groups: ids, hasPlaces, members }: Changed): void {
    if (ids.length === 0 && !hasPlaces) {
      this.placeRemote(members);
      return;
    }
    const before = this.groups;
    // Whoever has the last result has its map.
    this.groups = new OverlaidMap(before);
    const concerned = new Set<GroupId>(ids);
    let isPlaced = !hasPlaces;
    for (const id of ids) {
      this.replaceGroup(id);
      if (this.groups.has(id) === before.has(id)) continue;
      // An interface has it from now on, or has lost it.
      if (this.estate.interfacesOfGroup(id).length > 0) isPlaced = false;
      for (const { group } of this.estate.groupsThatName(id)) concerned.add(group.id);
    }
    for (const id of concerned) this.replaceGroup(id);
    for (const id of concerned) {
      const group = this.groups.get(id);
      if (group !== undefined) this.closeUnknownPeers(group);
    }
    if (isPlaced) {
      this.named = namedGroups(this.groups, this.places.members);
      this.placeRemote(members);
    } else for (const id of this.place(members)) concerned.add(id);
    noteChanges(before, this.groups, concerned);
  }

  /**
   * Joins interfaces and flow logs.
   * @param changed members that may be others; undefined: nobody knows
   * @returns groups that it added or took away
   */
  private place(changed?: ChangedMembers): readonly GroupId[] {
    const { declared, declaredMembers: members, estate, hasOneVpc, made, places: before } = this;
    for (const { id } of before.closed) this.groups.delete(id);
    const hasGroup = (id: GroupId): boolean => this.groups.has(id);
    const { host, netnsDirectory, flowLogDirectory: directory } = this.options;
    this.places = joinInterfaces({
      ...{ declared, members, estate, hasOneVpc, hasGroup, host, netnsDirectory },
      made: made.interfaces,
    });
    for (const group of this.places.closed) this.groups.set(group.id, group);
    this.named = namedGroups(this.groups, this.places.members);
    this.placeRemote(changed);
    const leftOut = new Map<string, string>();
    const logs = joinFlowLogs(estate, this.result().config, {
      directory,
      leaveOut: (id, why) => leftOut.set(id, why),
    });
    this.flowLogs = [...declared.flowLogs, ...logs];
    this.flowLogsLeftOut = leftOut;
    return [...before.closed, ...this.places.closed].map(({ id }) => id);
  }

  private placeRemote(changed: ChangedMembers | undefined): void {
    const { named, estate, remote: before } = this;
    this.remote = remoteMembers({ named, estate, host: this.options.host, before, changed });
  }

  private replaceGroup(id: GroupId): void {
    this.leftOut.delete(id);
    const made = this.estate.find('groups', id);
    const isMade = made !== undefined && made.declaredAt === undefined;
    const group = (isMade ? this.choose(made) : undefined) ?? this.declaredGroups.get(id);
    if (group === undefined) this.groups.delete(id);
    else this.groups.set(id, group);
  }

  private addPrefixLists(): void {
    for (const { list, declaredAt } of this.estate.list('prefix-lists')) {
      if (declaredAt !== undefined) continue;
      if (this.prefixLists.has(list.id)) this.leaveOut(list.id, 'a file declares this id too');
      else this.prefixLists.set(list.id, list);
    }
  }

  private addGroups(): void {
    for (const made of this.estate.list('groups')) {
      const group = made.declaredAt === undefined ? this.choose(made) : undefined;
      if (group !== undefined) this.groups.set(group.id, group);
    }
    for (const key of this.estate.unreadable.keys()) {
      const place = parseValueKey(key);
      const id = place?.folder === 'groups' && place.host === undefined ? place.id : undefined;
      // Calls may have closed the default group: without its row nobody knows.
      const isDeclared = id !== undefined && (this.declaredGroups.get(id)?.origin.line ?? 0) > 0;
      if (id !== undefined && !isDeclared) this.groups.set(id, closedGroup(id));
    }
    for (const group of this.groups.values()) this.closeUnknownPeers(group);
  }

  /** What a call made, as it is in force; undefined if a file declares its id or name. */
  private choose(value: EstateGroup): SecurityGroup | undefined {
    const { group } = value;
    const other = this.declaredGroups.get(group.id) ?? this.declaredNames.get(this.nameIn(group));
    // The default group that no file wrote is the estate's: calls may change it.
    if (other === undefined || (other.id === group.id && other.origin.line === 0))
      return this.inModel(this.inForce(value));
    const { file, line } = other.origin;
    this.leaveOut(group.id, `${file}, line ${line}, declares a group of this name or id`);
    return undefined;
  }

  /** Rules can name only what is there; a rule that names nothing lets nothing through. */
  private closeUnknownPeers(group: SecurityGroup): void {
    const { id, ingress, egress, audited = NO_RULES, ...rest } = group;
    if (this.isOnlyNamed(id)) {
      this.groups.set(id, { ...rest, id, ingress: [], egress: [], isOnlyNamed: true });
      return;
    }
    const known = (rule: Rule): boolean => this.knowsPeer(rule);
    if (ingress.every(known) && egress.every(known) && audited.every(known)) return;
    this.leaveOut(id, 'it has rules that name groups or prefix lists that are not there');
    const auditedNow = audited.filter(known);
    this.groups.set(id, {
      ...{ ...rest, id, ingress: ingress.filter(known), egress: egress.filter(known) },
      ...(auditedNow.length === 0 ? {} : { audited: auditedNow }),
    });
  }

  /** Where only a part of the estate is held: of such a group we know what it is called, and its members. */
  private isOnlyNamed(id: GroupId): boolean {
    return (
      !this.estate.isWhole &&
      !this.declaredGroups.has(id) &&
      this.estate.interfacesOfGroup(id).length === 0
    );
  }

  /** Something that a file declares, in the VPC it belongs to. */
  private placed<T extends SecurityGroup | NetworkInterface>(declared: T): T {
    if (this.hasOneVpc || declared.vpc !== undefined) return declared;
    const known = this.made.placed.get(declared);
    if (known !== undefined) return known as T;
    const placed = { ...declared, vpc: vpcRef(ONLY_VPC_ID) };
    this.made.placed.set(declared, placed);
    return placed;
  }

  /** A group with what its tags put in audit mode apart. */
  private inForce(value: EstateGroup): SecurityGroup {
    const known = this.made.audited.get(value);
    if (known !== undefined) return known;
    const group = applyAuditTags(value.group, value.tags, value.ruleTags);
    if (group !== value.group) this.made.audited.set(value, group);
    return group;
  }

  /** A group as the policy model has it. */
  private inModel(group: SecurityGroup): SecurityGroup {
    if (!this.hasOneVpc) return group;
    const known = this.made.placed.get(group);
    if (known !== undefined) return known as SecurityGroup;
    const { vpc: _, ...bare } = group;
    this.made.placed.set(group, bare);
    return bare;
  }

  private nameIn({ vpc, name }: SecurityGroup): string {
    return `${vpc?.id ?? ONLY_VPC_ID} ${foldGroupName(name)}`;
  }

  private knowsPeer({ peer }: Rule): boolean {
    if (peer.kind === 'group') return this.groups.has(peer.groupId);
    return peer.kind !== 'prefixList' || this.prefixLists.has(peer.prefixListId);
  }

  private leaveOut(id: string, why: string): void {
    this.leftOut.set(id, why);
  }
}

/** The VPCs of both. Where there is one, groups and interfaces don't say that they are in it. */
function joinVpcs({ vpcs }: PolicyModel, estate: EstateView): ReadonlyMap<VpcId, Vpc> {
  const joined = new Map(vpcs);
  for (const { id, blocks, declaredAt } of estate.list('vpcs')) {
    if (declaredAt !== undefined || joined.get(id)?.origin.line === 0) continue;
    const cidrBlocks = blocks.map(({ cidr }) => cidr);
    joined.set(id, { ...vpcRef(id), cidrBlocks, origin: estateOrigin(id) });
  }
  return joined;
}

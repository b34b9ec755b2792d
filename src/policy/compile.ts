/**
 * Rules, peers and interfaces to the arrays of compiled.ts. Control plane: may allocate, runs when policy changes.
 *
 * Theory of operation. A reload brings a whole new model, of which nearly everything is as it was. PolicyParts
 * keeps what the last policy was made from, finds what differs by going through both once, and changes its
 * tables by that. What it hands out are copies that nothing changes any more: the packet loop reads the last
 * one while the next is made. Rejected: making everything anew (tens of milliseconds with ten thousand rules or
 * members), and diffs of the configuration's text (they would have to be right about every way to say a thing).
 */
import {
  addressBits,
  sameAddresses,
  type Address,
  type Cidr,
  type Family,
} from '../addr/address.ts';
import { AddressTable } from './address-tables.ts';
import { findAudited, type AuditedPort } from './audit.ts';
import { changedPart } from './changed-part.ts';
import { auditCell, GATE_EGRESS, GATE_INGRESS, NO_PLATFORM_PORT } from './compiled.ts';
import type { CompiledPolicy } from './compiled.ts';
import { compileNames, NO_NAMES, type CompiledNames } from './compiled-names.ts';
import { auditKey, GateTables } from './gate-tables.ts';
import type {
  GroupId,
  InterfaceId,
  PolicyModel,
  PrefixList,
  PrefixListId,
  RemoteMember,
  RemoteMembers,
} from './model.ts';
import { MemberSet } from './member-set.ts';
import { NumberLists, PeerNumbers, type PeerChanges } from './peer-numbers.ts';
import type { RuleNumbers } from './rule-numbers.ts';
import { compileSpecial, type SpecialAddresses } from './special-addresses.ts';
import { noPast, type UntrackedPast } from './untracked-past.ts';
import { WordTable } from './word-table.ts';

const NO_GROUPS: readonly GroupId[] = [];
const NO_REMOTE: RemoteMembers = new Map();
const NO_MEMBERS = MemberSet.of<RemoteMember>([]);
const NO_PEERS = new Uint8Array(0);
const NOTHING_AUDITED = { auditProfiles: new Int32Array(0), auditAll: new Int32Array(0) };

/** Lists may grow by so many words that are of no use any more before all is made anew. */
const WASTED_WORDS_MAX = 1 << 16;
/** As many sets of groups may be kept that no interface has any more. */
const WASTED_PROFILES_MAX = 64;

export interface CompileInput {
  readonly model: PolicyModel;
  /** Port of each interface; ports start at 1 (0 is the uplink). */
  readonly ports: ReadonlyMap<InterfaceId, number>;
  readonly ruleNumbers: RuleNumbers;
  readonly special: SpecialAddresses;
  readonly generation: number;
  /** What was untracked under the policies before, as of now; absent: nothing was. */
  readonly past?: UntrackedPast;
}

/** Compiles one policy after the other. What a policy shares with the one before is not compiled again. */
export class PolicyCompiler {
  /** What the last policy was made from. */
  private parts: PolicyParts | undefined;
  /** How often rules had to be compiled. */
  compilations = 0;

  /** @throws RangeError if there are more rules than a flow entry can name (see RuleNumbers) */
  compile(input: CompileInput): CompiledPolicy {
    input.ruleNumbers.takeModel(input.model);
    const known = this.parts;
    // Should the update throw, nothing is left that is half of one policy and half of another.
    this.parts = undefined;
    const parts = known === undefined || known.isWasteful ? new PolicyParts() : known;
    if (parts.update(input)) this.compilations++;
    this.parts = parts;
    return parts.share(input);
  }
}

/** Compiles a policy that no other follows. @throws RangeError as `PolicyCompiler` does */
export function compilePolicy(input: CompileInput): CompiledPolicy {
  return new PolicyCompiler().compile(input);
}

/** An interface as far as its addresses and groups are concerned; the same object for as long as they stay. */
interface Member {
  readonly id: InterfaceId;
  readonly port: number;
  readonly groupIds: readonly GroupId[];
  readonly profile: number;
  readonly addresses: readonly Address[];
  readonly isSourceChecked: boolean;
  readonly isAlwaysTracked: boolean;
}

class PolicyParts {
  private readonly lists = new NumberLists();
  private readonly peers = new PeerNumbers();
  private readonly gates = new GateTables(this.peers, this.lists);
  private readonly addresses = [new AddressTable(4, this.lists), new AddressTable(6, this.lists)];
  private readonly hosts = { 4: new HostTable(4), 6: new HostTable(6) };
  private readonly profiles = new Map<string, number>();
  private readonly groupSets: GroupId[][] = [];
  private members: readonly Member[] = [];
  private platformPort = NO_PLATFORM_PORT;
  /** What is audited, with the profile of the rules that groups name for it, or -1. */
  private audited: readonly (AuditedPort & { readonly profile: number })[] = [];
  /** What the members were made from. */
  private membersOrigin: readonly unknown[] = [];
  private remote: RemoteMembers = NO_REMOTE;
  private readonly memberById = new Map<InterfaceId, Member>();
  /** Groups and prefix lists that rules name, and what they stand for in `addresses` by now. */
  private readonly memberPeers = new Map<GroupId, number>();
  private readonly listPeers = new Map<PrefixListId, number>();
  private prefixLists: ReadonlyMap<PrefixListId, PrefixList> = new Map();
  private leastWords = 0;

  /** Much of it is of no use any more. */
  get isWasteful(): boolean {
    return (
      this.lists.size > 4 * this.leastWords + WASTED_WORDS_MAX ||
      this.groupSets.length > this.members.length + this.audited.length + WASTED_PROFILES_MAX
    );
  }

  /** @returns whether rules had to be compiled */
  update({ model, ports, ruleNumbers }: CompileInput): boolean {
    const members = this.readMembers(model, ports);
    this.audited = findAudited(model, ports).map((one) => {
      const keys = one.groupIds.map(auditKey);
      return { ...one, profile: keys.length === 0 ? -1 : this.profileOf(keys) };
    });
    const used = new Set([...members, ...this.audited].map(({ profile }) => profile));
    const groupSets = this.groupSets.map((set, profile) => (used.has(profile) ? set : NO_GROUPS));
    const haveRulesChanged = this.gates.update(model, groupSets, ruleNumbers);
    const changes = this.peers.settle();
    this.removePeers(changes);
    this.replaceMembers(members);
    this.replaceRemote(model.remoteMembers ?? NO_REMOTE);
    this.replacePrefixLists(model);
    this.addPeers(changes);
    if (this.leastWords === 0) this.leastWords = this.lists.size;
    return haveRulesChanged;
  }

  share({ ports: portOf, past, ...input }: CompileInput): CompiledPolicy {
    const { model, ruleNumbers, special, generation } = input;
    let ports = 1;
    for (const { port } of this.members) ports = Math.max(ports, port + 1);
    const profiles = new Int32Array(ports).fill(-1);
    const sourceDestCheck = new Uint8Array(ports);
    const alwaysTracked = new Uint8Array(ports);
    for (const { port, profile, isSourceChecked, isAlwaysTracked } of this.members) {
      profiles[port] = profile;
      sourceDestCheck[port] = isSourceChecked ? 1 : 0;
      alwaysTracked[port] = isAlwaysTracked ? 1 : 0;
    }
    return {
      generation,
      ...this.gates.share(),
      prefixes4: this.addresses[0].share(),
      prefixes6: this.addresses[1].share(),
      lists: this.lists.share(),
      names: this.shareNames(),
      stalePeers: model.areGroupsStale === true ? this.peers.groups() : NO_PEERS,
      revocation: ruleNumbers.revocation(),
      ...this.shareAudited(ports, ruleNumbers),
      profiles,
      sourceDestCheck,
      alwaysTracked,
      ...(past === undefined ? noPast(ports) : past.share(portOf, ports)),
      hosts4: this.hosts[4].share(),
      hosts6: this.hosts[6].share(),
      special4: compileSpecial(4, special),
      special6: compileSpecial(6, special),
      platformPort: this.platformPort,
      allowsClassE: special.allowsClassE,
    };
  }

  private shareNames(): CompiledNames {
    const { names } = this.peers;
    return names.size === 0 ? NO_NAMES : compileNames(names, this.gates.namesByGate());
  }

  private shareAudited(
    ports: number,
    ruleNumbers: RuleNumbers,
  ): Pick<CompiledPolicy, 'auditProfiles' | 'auditAll'> {
    if (this.audited.length === 0) return NOTHING_AUDITED;
    const auditProfiles = new Int32Array(ports).fill(-1);
    const auditAll = new Int32Array(4 * ports);
    for (const { port, profile, passAll } of this.audited) {
      auditProfiles[port] = profile;
      for (const { rule, direction, family } of passAll) {
        const gate = direction === 'ingress' ? GATE_INGRESS : GATE_EGRESS;
        auditAll[auditCell(port, gate, family)] = ruleNumbers.numberOf(rule) + 1;
      }
    }
    return { auditProfiles, auditAll };
  }

  /**
   * The interfaces of the model in the order of their ports' map; those that stayed as they were are the old objects.
   */
  private readMembers(
    model: PolicyModel,
    ports: ReadonlyMap<InterfaceId, number>,
  ): readonly Member[] {
    const origin = [model.interfaces, ports];
    if (isSameList(origin, this.membersOrigin)) return this.members;
    this.membersOrigin = origin;
    this.platformPort = NO_PLATFORM_PORT;
    const members: Member[] = [];
    const before = this.members;
    const last = before.length - 1;
    let at = 0;
    for (const [id, port] of ports) {
      const one = model.interfaces.get(id)!;
      const { groupIds, addresses, sourceDestCheck, alwaysTracked } = one;
      if (one.isPlatform === true) this.platformPort = port;
      // Most often the next of the old ones is meant, or the one behind it.
      if (at < last && before[at].id !== id && before[at + 1].id === id) at++;
      const old = at <= last && before[at].id === id ? before[at++] : this.memberById.get(id);
      const hasSameGroups = old !== undefined && isSameList(old.groupIds, groupIds);
      const isSame =
        hasSameGroups &&
        old.port === port &&
        old.isSourceChecked === sourceDestCheck &&
        old.isAlwaysTracked === (alwaysTracked === true) &&
        sameAddresses(old.addresses, addresses);
      members.push(
        isSame
          ? old
          : {
              id,
              port,
              groupIds,
              profile: hasSameGroups ? old.profile : this.profileOf(groupIds),
              addresses,
              isSourceChecked: sourceDestCheck,
              isAlwaysTracked: alwaysTracked === true,
            },
      );
    }
    return members;
  }

  private profileOf(groupIds: readonly GroupId[]): number {
    const set = [...new Set(groupIds)].sort();
    const key = set.join();
    let profile = this.profiles.get(key);
    if (profile === undefined) {
      profile = this.groupSets.push(set) - 1;
      this.profiles.set(key, profile);
    }
    return profile;
  }

  private removePeers({ gone }: PeerChanges): void {
    for (const [number, peer] of gone) {
      switch (peer.kind) {
        case 'cidr':
          this.change(peer.cidr, number, -1);
          break;
        case 'prefixList':
          this.changeEntries(this.prefixLists.get(peer.prefixListId)!.entries, number, -1);
          this.listPeers.delete(peer.prefixListId);
          break;
        case 'group':
          this.memberPeers.delete(peer.groupId);
          for (const one of this.membersOf(peer.groupId)) this.changeMember(one, number, -1);
          break;
        case 'dns':
          // Packet loops learn its addresses.
          break;
        default:
          peer satisfies never;
      }
    }
  }

  private addPeers({ added }: PeerChanges): void {
    for (const [number, peer] of added) {
      switch (peer.kind) {
        case 'cidr':
          this.change(peer.cidr, number, 1);
          break;
        case 'prefixList':
          this.changeEntries(this.prefixLists.get(peer.prefixListId)!.entries, number, 1);
          this.listPeers.set(peer.prefixListId, number);
          break;
        case 'group':
          this.memberPeers.set(peer.groupId, number);
          for (const one of this.membersOf(peer.groupId)) this.changeMember(one, number, 1);
          break;
        case 'dns':
          break;
        default:
          peer satisfies never;
      }
    }
  }

  private replaceMembers(members: readonly Member[]): void {
    const [start, end, nextEnd] = changedPart(this.members, members, (a, b) => a === b);
    const gone = this.members.slice(start, end);
    const come = members.slice(start, nextEnd);
    for (const member of gone) this.changeMemberships(member, -1);
    for (const member of come) this.changeMemberships(member, 1);
    for (const { id } of gone) this.memberById.delete(id);
    for (const member of come) this.memberById.set(member.id, member);
    this.members = members;
    for (const family of [4, 6] as const) this.hosts[family].replace(gone, come, members);
  }

  /** Those that stayed as they were are the old objects. */
  private replaceRemote(next: RemoteMembers): void {
    const before = this.remote;
    if (next === before) return;
    for (const [groupId, number] of this.memberPeers) {
      const [old, now] = [before.get(groupId) ?? NO_MEMBERS, next.get(groupId) ?? NO_MEMBERS];
      if (old === now) continue;
      const { gone, come } = old.changesTo(now);
      for (const member of gone) this.changeMember(member, number, -1);
      for (const member of come) this.changeMember(member, number, 1);
    }
    this.remote = next;
  }

  /** Takes over the entries of the lists that rules named before; addPeers brings the others. */
  private replacePrefixLists({ prefixLists }: PolicyModel): void {
    for (const [id, number] of this.listPeers) {
      const old = this.prefixLists.get(id)!.entries;
      const next = prefixLists.get(id)!.entries;
      if (old === next) continue;
      const [start, end, nextEnd] = changedPart(old, next, (a, b) => isSameCidr(a.cidr, b.cidr));
      this.changeEntries(old.slice(start, end), number, -1);
      this.changeEntries(next.slice(start, nextEnd), number, 1);
    }
    this.prefixLists = prefixLists;
  }

  private membersOf(groupId: GroupId): readonly Pick<Member, 'addresses'>[] {
    const profiles = new Set<number>();
    this.groupSets.forEach((set, profile) => {
      if (set.includes(groupId)) profiles.add(profile);
    });
    return [
      ...this.members.filter(({ profile }) => profiles.has(profile)),
      ...(this.remote.get(groupId) ?? []),
    ];
  }

  private changeMemberships(member: Member, step: 1 | -1): void {
    for (const groupId of this.groupSets[member.profile]) {
      const number = this.memberPeers.get(groupId);
      if (number !== undefined) this.changeMember(member, number, step);
    }
  }

  private changeMember({ addresses }: Pick<Member, 'addresses'>, peer: number, step: 1 | -1): void {
    for (const { family, words } of addresses)
      this.change({ family, words, length: addressBits(family) }, peer, step);
  }

  private changeEntries(entries: PrefixList['entries'], peer: number, step: 1 | -1): void {
    for (const { cidr } of entries) this.change(cidr, peer, step);
  }

  private change(cidr: Cidr, peer: number, step: 1 | -1): void {
    for (const table of this.addresses) table.change(cidr, peer, step);
  }
}

/** Addresses of interfaces → their ports. */
class HostTable {
  private readonly family: Family;
  private table: WordTable;
  private readonly key: Int32Array;
  /** Two interfaces have, or had, an address: the last one counts, which is found by looking at all. */
  private isAmbiguous = false;
  private shared: WordTable | undefined;

  constructor(family: Family) {
    this.family = family;
    this.key = new Int32Array(family === 4 ? 1 : 4);
    this.table = new WordTable(this.key.length);
  }

  replace(gone: readonly Member[], come: readonly Member[], all: readonly Member[]): void {
    if (gone.length === 0 && come.length === 0) return;
    this.shared = undefined;
    if (!this.isAmbiguous) {
      for (const { addresses } of gone)
        for (const address of addresses) if (this.aim(address)) this.table.delete(this.key);
      this.add(come);
    }
    if (!this.isAmbiguous) return;
    this.table = new WordTable(this.key.length);
    this.add(all);
  }

  share(): WordTable {
    this.shared ??= this.table.makeCopy();
    return this.shared;
  }

  private add(members: readonly Member[]): void {
    for (const { addresses, port } of members) {
      for (const address of addresses) {
        if (!this.aim(address)) continue;
        const known = this.table.get(this.key);
        if (known !== 0 && known !== port) this.isAmbiguous = true;
        this.table.set(this.key, port);
      }
    }
  }

  private aim({ family, words }: Address): boolean {
    if (family !== this.family) return false;
    for (let i = 0; i < this.key.length; i++) this.key[i] = words[i];
    return true;
  }
}

function isSameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function isSameCidr(a: Cidr, b: Cidr): boolean {
  return a.length === b.length && isSameList(a.words, b.words);
}

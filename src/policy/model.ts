/**
 * The security-group model: the content of configuration and templates, in AWS's words.
 *
 * It is plain data. The loaders (config/, cloudformation/) build it, the reference matcher reads it, and compile.ts
 * compiles it for the packet path. Source: EC2 service model `IpPermission`, `SecurityGroupRule`; the Amazon VPC User
 * Guide, "Security group rules".
 */
import type { Address, Cidr } from '../addr/address.ts';
import type { MemberSet } from './member-set.ts';
import type { Position } from '../source/problem.ts';

/** Where a group or a rule was written. Explanations and errors show it. */
export interface Origin extends Position {
  /** Path inside the document, as `securityGroups.db.ingress[0]`. */
  readonly path: string;
  /** The CloudFormation logical id, if it comes from a template. */
  readonly logicalId?: string;
}

/** AWS's resource ids: prefix and 17 lower-case hex digits. */
export type GroupId = string; //        sg-…
export type RuleId = string; //         sgr-…
export type PrefixListId = string; //   pl-…
export type InterfaceId = string; //    eni-…
export type VpcId = string; //          vpc-…

/** A VPC. Groups and interfaces belong to one VPC, and group names are unique in it. */
export interface Vpc {
  readonly id: VpcId;
  readonly name: string;
  /** Its known blocks. They say which addresses an interface may have, and decide no packet. */
  readonly cidrBlocks: readonly Cidr[];
  readonly origin: Origin;
}

/** The VPC that something belongs to. */
export type VpcRef = Pick<Vpc, 'id' | 'name'>;

/** Towards the instance (ingress), or away from it (egress). */
export type Direction = 'ingress' | 'egress';

/** Every protocol. The EC2 API writes `-1`. */
export const PROTOCOL_ALL = -1;

/** All ports, all ICMP types, or all codes of a type. The EC2 API writes `-1`. */
export const ANY = -1;

/** The other side that a rule names: exactly one of these. */
export type Peer =
  | { readonly kind: 'cidr'; readonly cidr: Cidr }
  | { readonly kind: 'prefixList'; readonly prefixListId: PrefixListId }
  | { readonly kind: 'group'; readonly groupId: GroupId }
  | DnsPeer;

/** Of egress rules alone; AWS has no such peer. */
export interface DnsPeer {
  readonly kind: 'dns';
  /** `api.example.com` or `*.example.com` (dns-names.ts). */
  readonly name: string;
  /** Only for TCP connections that begin with TLS and say the name there (engine/tls/). Absent: false. */
  readonly tlsName?: true;
}

/**
 * One rule: a protocol, a range, one peer.
 *
 * `fromPort`/`toPort` are, by protocol:
 * - 6 (tcp), 17 (udp): first and last port, 0–65535, from ≤ to; `ANY`/`ANY` never occurs (0–65535 instead);
 * - 1 (icmp), 58 (icmpv6): type and code, 0–255 or `ANY`; not a range; type `ANY` means code `ANY`;
 * - every other protocol and `PROTOCOL_ALL`: always `ANY`/`ANY`, whatever was written.
 */
export interface Rule {
  readonly id: RuleId;
  readonly direction: Direction;
  /** IANA number 0–255, or `PROTOCOL_ALL`. */
  readonly protocol: number;
  readonly fromPort: number;
  readonly toPort: number;
  readonly peer: Peer;
  /** At most 255 characters; empty if none was given. */
  readonly description: string;
  /**
   * True for a rule that AWS adds by itself. It disappears as soon as anything else is stated for the direction
   * (openness.ts).
   */
  readonly implied?: true;
  /** It only audits (audit.ts). Then it is in `SecurityGroup.audited` and nowhere else. Absent: false. */
  readonly audit?: true;
  readonly origin: Origin;
}

/**
 * What a change of rules does to the tracked connections that this group's rules admitted:
 * - `aws`: they live on until they end or are idle too long, as in AWS;
 * - `recheck`: those that no rule admits any more end at once;
 * - `cut`: those that their own rule no longer admits end at once, whatever other rules say.
 */
export type Revocation = 'aws' | 'recheck' | 'cut';

export interface SecurityGroup {
  readonly id: GroupId;
  readonly name: string;
  /** The VPC it belongs to, where there are several. Absent: the only one. */
  readonly vpc?: VpcRef;
  readonly description: string;
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
  /** Absent: `aws`. */
  readonly revocation?: Revocation;
  /** Rules of both directions that only audit (audit.ts). Absent: none. */
  readonly audited?: readonly Rule[];
  /** No interface of this host has it: rules name it, and its own ones are not known here. Absent: false. */
  readonly isOnlyNamed?: boolean;
  /**
   * By direction: parts of the input that may state more rules and were not understood, each as a clause. AWS's own
   * rules are not added to such a direction.
   */
  readonly gaps?: Readonly<Partial<Record<Direction, readonly string[]>>>;
  /** Rules that the group may have: the input does not decide it. No gate asks them (doubt.ts). Absent: none. */
  readonly possible?: readonly PossibleRule[];
  /** Why others than the known interfaces may be members, each as a clause. Absent: the members are known. */
  readonly memberGaps?: readonly string[];
  readonly origin: Origin;
}

/** A rule that may or may not be there. */
export interface PossibleRule extends Rule {
  /** What is not known, as a clause. */
  readonly why: string;
}

export interface PrefixList {
  readonly id: PrefixListId;
  readonly name: string;
  readonly family: 4 | 6;
  /** What a reference to the list counts towards the rule quota: not its number of entries. */
  readonly maxEntries: number;
  readonly entries: readonly { readonly cidr: Cidr; readonly description: string }[];
  /** Why it may have more entries than these, each as a clause. Absent: it has none. */
  readonly gaps?: readonly string[];
  readonly origin: Origin;
}

/** Idle time-outs that AWS allows to be set for an interface, in seconds (ConnectionTrackingSpecification). */
export interface ConnectionTracking {
  readonly tcpEstablishedTimeoutSec: number;
  readonly udpTimeoutSec: number;
  readonly udpStreamTimeoutSec: number;
}

/** An elastic network interface, as far as its groups need it. */
export interface NetworkInterface {
  readonly id: InterfaceId;
  readonly name: string;
  /** The VPC that it and its groups are in, where there are several. Absent: the only one. */
  readonly vpc?: VpcRef;
  /** Private addresses of both families, at least one. The first of a family is the primary one. */
  readonly addresses: readonly Address[];
  /**
   * At least one. The default group if none was given. The platform's interface has none, and neither has one whose
   * groups are all in doubt.
   */
  readonly groupIds: readonly GroupId[];
  readonly sourceDestCheck: boolean;
  /**
   * Track every flow, whatever the rules are. AWS does so for flows through a NAT gateway, a load balancer, an
   * egress-only gateway and the like ("Automatically tracked connections"). Absent: false.
   */
  readonly alwaysTracked?: boolean;
  /** What none of its groups admits passes all the same, and is counted (audit.ts). Absent: false. */
  readonly audit?: true;
  readonly connectionTracking: ConnectionTracking;
  /**
   * What answers for the platform is behind it (`platform`). It has no gate: packets to its services pass by the
   * sender's gate alone, and what it sends passes as an answer or not at all. At most one is so. Absent: false.
   */
  readonly isPlatform?: boolean;
  /** What the input does not decide about it (doubt.ts). Absent: everything is known. */
  readonly doubt?: InterfaceDoubt;
  /** For judging an account: no gate here asks it (subnets.ts). Absent: the input says nothing of it. */
  readonly subnet?: SubnetFilters;
  /** Whether a public IPv4 address leads to it. Absent: it is not known. */
  readonly hasPublicAddress?: boolean;
  readonly origin: Origin;
}

/** What AWS asks at a subnet. What is absent is not in the input, and is not judged. */
export interface SubnetFilters {
  readonly id: string;
  readonly acl?: NetworkAcl;
  readonly routes?: RouteTable;
}

export interface NetworkAcl {
  readonly id: string;
  /** In the order of their numbers: the first that matches decides. */
  readonly entries: readonly AclEntry[];
}

/** An entry of a network ACL; protocol and ports are those of a rule. */
export interface AclEntry extends Pick<Rule, 'direction' | 'protocol' | 'fromPort' | 'toPort'> {
  /** As AWS numbers it. */
  readonly number: number;
  readonly isAllow: boolean;
  /** Undefined: it can't be read, so nobody knows whom the entry is about. */
  readonly block: Cidr | undefined;
}

export interface RouteTable {
  readonly id: string;
  /** Those with the longest prefix first: the first that matches decides. */
  readonly routes: readonly Route[];
  /** It has routes that could not be read. */
  readonly isPartial: boolean;
}

export interface Route {
  readonly block: Cidr;
  /** `local`, or the id of what it leads to: `igw-…`. */
  readonly target: string;
  readonly isBlackhole: boolean;
}

/** What may be true of an interface. No gate asks it; a verdict that depends on it is not decidable. */
export interface InterfaceDoubt {
  /** Groups that it may have beside its own, and why. */
  readonly groups: ReadonlyMap<GroupId, string>;
  /** Why it may have groups that nobody can name here, each as a clause. */
  readonly gaps: readonly string[];
  /** Its addresses are made up: the true ones are somewhere in these blocks. Absent: they are known. */
  readonly within?: readonly Cidr[];
}

/** Interfaces whose packets are dropped now, whatever the rules say, and why (engine/fence.ts). */
export interface Fenced {
  readonly interfaces: ReadonlySet<InterfaceId>;
  readonly why: string;
}

/** An interface on another host. It is a member of its groups; its own gates are that host's. */
export interface RemoteMember {
  readonly id: InterfaceId;
  readonly name: string;
  readonly host: string;
  readonly addresses: readonly Address[];
}

/** Who is on other hosts, by the groups that rules here name. */
export type RemoteMembers = ReadonlyMap<GroupId, MemberSet<RemoteMember>>;

/** All that the gates decide by. If a loader returns it without errors, all references between its parts are valid. */
export interface PolicyModel {
  readonly groups: ReadonlyMap<GroupId, SecurityGroup>;
  readonly prefixLists: ReadonlyMap<PrefixListId, PrefixList>;
  readonly interfaces: ReadonlyMap<InterfaceId, NetworkInterface>;
  /** Absent: there is no other host. */
  readonly remoteMembers?: RemoteMembers;
  /** Who is in a group is not known any more: rules that name groups admit no new flow. Absent: false. */
  readonly areGroupsStale?: boolean;
  /** For explanations: no rule goes by it. Absent: there are none. */
  readonly fenced?: Fenced;
  /**
   * It is what AWS has or would have, and not what a daemon here enforces, which knows all that it asks. So what is in
   * doubt makes a verdict undecidable (doubt.ts). Absent: false.
   */
  readonly isElsewhere?: boolean;
  /** Absent if the input has no VPCs: then everything is in one. */
  readonly vpcs?: ReadonlyMap<VpcId, Vpc>;
}

/**
 * The estate: what API calls made, and what configuration files declare for the API to see.
 *
 * Plain data, immutable. A value is replaced as a whole. Groups and prefix lists are those of the policy model, so what
 * the API shows is what the gates decide by; what only the API knows of them (tags) stands beside them.
 * Source of fields: EC2 service model, `Vpc`, `Subnet`, `SecurityGroup`, `ManagedPrefixList`, `NetworkInterface`.
 */
import type { Address, Cidr } from '../addr/address.ts';
import type {
  ConnectionTracking,
  GroupId,
  InterfaceId,
  RuleId,
  SecurityGroup,
  VpcId,
} from '../policy/model.ts';
import type { PortKindName } from '../ports/port-kind.ts';
import type { Tag } from '../policy/tags.ts';
import type { ManagedPrefixList, PrefixListEntry } from '../policy/prefix-lists.ts';

export type SubnetId = string; // subnet-…

/** At most 50; keys are unique. */
export type Tags = readonly Tag[];

/** Where a configuration file declares something: a host and a place in a file of it. */
export interface DeclaredAt {
  readonly host: string;
  readonly file: string;
  readonly line: number;
}

/** What every kind of value has. */
interface Owned {
  readonly tags: Tags;
  /** Absent: a call made it, and calls may change it. */
  readonly declaredAt?: DeclaredAt;
}

/** A block of a VPC, with the id of its association. */
export interface VpcBlock {
  readonly associationId: string;
  readonly cidr: Cidr;
}

export interface EstateVpc extends Owned {
  readonly id: VpcId;
  /** The first one of IPv4 is the primary block. */
  readonly blocks: readonly VpcBlock[];
  readonly isDefault: boolean;
  readonly enableDnsHostnames: boolean;
  readonly enableDnsSupport: boolean;
  readonly enableNetworkAddressUsageMetrics: boolean;
}

export interface EstateSubnet extends Owned {
  readonly id: SubnetId;
  readonly vpcId: VpcId;
  readonly cidr: Cidr;
  /** Undefined: it has no IPv6. */
  readonly ipv6: VpcBlock | undefined;
  /** The name of its availability zone. */
  readonly zone: string;
  /** Whether it is the default subnet of its zone. */
  readonly isDefault: boolean;
  readonly mapPublicIpOnLaunch: boolean;
  readonly assignIpv6AddressOnCreation: boolean;
}

export interface EstateGroup extends Owned {
  readonly group: SecurityGroup & { readonly vpc: NonNullable<SecurityGroup['vpc']> };
  /** Tags of its rules; a rule without any is not in it. */
  readonly ruleTags: ReadonlyMap<RuleId, Tags>;
}

/** What was done to a prefix list last: clients wait for its state, `create-complete` and so on. */
export const LIST_CHANGES = ['create', 'modify', 'restore'] as const;
export type ListChange = (typeof LIST_CHANGES)[number];

export interface EstatePrefixList extends Owned {
  readonly list: ManagedPrefixList;
  readonly lastChange: ListChange;
  /** Entries of the versions before, by version. */
  readonly former: ReadonlyMap<number, readonly PrefixListEntry[]>;
}

/** The device that stands in for an interface, on one host. */
export interface Attachment {
  readonly id: string;
  readonly host: string;
  /** Whom the interface is attached to, as the caller calls it: `i-…`. */
  readonly instanceId: string;
  readonly deviceIndex: number;
  readonly attachedAt: string;
  readonly device: AttachedDevice;
  /** The interface's tags say so, and no call attached it. */
  readonly isByTags: boolean;
  /** Who asked a daemon to attach it, such as `docker`, and alone may detach it; absent: a call of the EC2 API did. */
  readonly owner?: string;
  /** It was moved to this host (move.ts); absent: it was attached here. */
  readonly moved?: Moved;
}

export interface Moved {
  /** The host that had it before. */
  readonly from: string;
  /** That host may still have it open, so nobody else opens it yet. */
  readonly isHeld: boolean;
}

export interface AttachedDevice {
  readonly kind: PortKindName;
  readonly name: string;
  /** A name below the namespace directory, or a path; undefined: the daemon's own namespace. */
  readonly netns: string | undefined;
  readonly mtu: number;
  readonly configure: boolean;
  readonly persist: boolean;
}

export interface EstateInterface extends Owned {
  readonly id: InterfaceId;
  readonly vpcId: VpcId;
  /** Undefined: a container runtime or the like chose its addresses. */
  readonly subnetId: SubnetId | undefined;
  /** Of both families; the first one of a family is the primary one. */
  readonly addresses: readonly Address[];
  readonly groupIds: readonly GroupId[];
  readonly description: string;
  readonly sourceDestCheck: boolean;
  /** What was asked for; undefined: AWS's time-outs. */
  readonly connectionTracking: Partial<ConnectionTracking> | undefined;
  /** `02:…`, lower case. */
  readonly macAddress: string;
  readonly attachment: Attachment | undefined;
  /** How often it was moved to another host; absent: never. */
  readonly generation?: number;
  /** Who asked a daemon for it, such as `docker`, and alone may remove it; absent: a call of the EC2 API made it. */
  readonly owner?: string;
}

/** Records of the flows of an interface, a subnet's or a VPC's. */
export interface EstateFlowLog extends Owned {
  readonly id: string;
  /** Of an interface, a subnet or a VPC. */
  readonly resourceId: string;
  readonly traffic: 'ALL' | 'ACCEPT' | 'REJECT';
  readonly format: string;
  readonly aggregationSec: 60 | 600;
  /** As the caller gave them; the records go to a file of the host. */
  readonly destinationType: string;
  readonly destination: string | undefined;
  readonly logGroupName: string | undefined;
  readonly accountId: string;
  readonly region: string;
  readonly createdAt: string;
}

/** A question of Reachability Analyzer: whether one end reaches another. */
export interface InsightsPath extends Owned {
  readonly id: string;
  /** Ids, or ARNs, as the caller gave them. */
  readonly source: string;
  readonly destination: string | undefined;
  readonly sourceIp: string | undefined;
  readonly destinationIp: string | undefined;
  readonly protocol: 'tcp' | 'udp';
  readonly sourcePort: number | undefined;
  /** Undefined: any. */
  readonly destinationPort: number | undefined;
  readonly createdAt: string;
}

/** The answer to such a question, at one time. */
export interface InsightsAnalysis extends Owned {
  readonly id: string;
  readonly pathId: string;
  readonly startedAt: string;
  readonly isFound: boolean;
  /** By the names of the SDK's output type. */
  readonly output: object;
}

/** Which revision of the estate a host has in force. */
export interface AppliedState {
  readonly revision: number;
  /** Since when: ISO 8601, by the host's clock. */
  readonly at?: string;
  /** A later revision that it could not put in force, and why. */
  readonly refused?: { readonly revision: number; readonly message: string };
  /** What of the estate is not in force there though the revision is: ids, and why. */
  readonly leftOut?: Readonly<Record<string, string>>;
  /** It forwards for what the store gave it only while its lease lives. Absent: also without the store. */
  readonly fence?: 'lease';
  /** What came of the tracked flows of interfaces that were moved there lately, by their ids. */
  readonly arrivals?: Readonly<Record<InterfaceId, Arrival>>;
}

export interface Arrival extends Arrived {
  /** Of the move. */
  readonly generation: number;
}

export interface Arrived {
  /** How many are tracked there now. */
  readonly flows: number;
  /** How many are not, though they were handed over. */
  readonly refused: number;
  /** Why none were looked at; absent: they were. */
  readonly why?: string;
}

export const HELD = ['all', 'part'] as const;

/** A host that lives: a daemon runs there, and follows the store. */
export interface AliveState {
  /** Each start of the daemon has another. */
  readonly startId: string;
  /** Of the daemon. */
  readonly version: string;
  /** When it began to follow the store: ISO 8601. */
  readonly since: string;
  /** Which rows it holds: all that there are, or the part that it needs. */
  readonly holds: (typeof HELD)[number];
  /** The row goes when the store has not heard of the host for so long; absent: when the daemon stops in order. */
  readonly ttlSec?: number;
}

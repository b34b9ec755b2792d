/** What one configuration file means, once everything in it has been read and checked. */
import type { Address, Cidr } from '../../addr/address.ts';
import type { InterfaceId, PolicyModel } from '../../policy/model.ts';
import type { SpecialAddresses } from '../../policy/special-addresses.ts';
import type { Position } from '../../source/problem.ts';
import type { LogFormat } from '../flow-logs/flow-log-fields.ts';
import type { Rotation } from '../flow-logs/flow-log-writer.ts';

/** The TUN or TAP that stands in for an instance's eth0, or for the way out. */
export interface DeviceConfig {
  readonly kind: 'tun' | 'tap';
  /** Interface name inside its namespace. */
  readonly name: string;
  /** As written: a name under the namespace directory, a path, or a pid; undefined: the daemon's own namespace. */
  readonly netns: string | undefined;
  /** Path of that namespace, `/run/netns/web-1` or `/proc/123/ns/net`; undefined: the daemon's own. */
  readonly netnsPath: string | undefined;
  readonly mtu: number;
  /** Give the device its addresses, routes and link state; false where someone else does (a VM's guest). */
  readonly configure: boolean;
  readonly persist: boolean;
  readonly origin: Position;
  /** Where `netns` was written; absent if it was not. */
  readonly netnsAt?: Position;
}

export interface UplinkConfig {
  readonly device: DeviceConfig;
  /** Addresses of the uplink device itself with their on-link prefix. */
  readonly addresses: readonly { readonly address: Address; readonly length: number }[];
  /** Routers beyond it, at most one a family: next hops for what is not on its link. */
  readonly gateways: readonly Address[];
  /** What else the uplink's namespace reaches through the device; the interfaces' own addresses are always added. */
  readonly routes: readonly Cidr[];
}

export interface InterfaceConfig {
  /** Most flows of this interface tracked at once; undefined: no limit of its own. */
  readonly maxFlows: number | undefined;
  readonly id: InterfaceId;
  /** The key in the file. */
  readonly name: string;
  readonly device: DeviceConfig;
}

/** TCP packets that belong to no tracked connection and are no SYN: judged like a new flow, or dropped. */
export type Midstream = 'accept' | 'drop';

export type ExceptionPolicy = 'drop' | 'pass';

export interface ExceptionPolicies {
  /** A flow that the rules admit and the table has no room for. `pass`: untracked, so its answers need a rule. */
  readonly tableFull: ExceptionPolicy;
  /** A TCP packet that misfits its connection: flags, state, window. */
  readonly invalid: ExceptionPolicy;
  /** A later fragment whose first one was not seen, or was crowded out. */
  readonly fragment: ExceptionPolicy;
  /** A new flow while the ring of events is full. `pass`: nothing records it. */
  readonly eventsFull: ExceptionPolicy;
}

export interface ConntrackConfig {
  /** Most flows tracked at once by the daemon, both families together. */
  readonly maxFlows: number;
  readonly midstream: Midstream;
  /** Of maxFlows, how many may be half-open: not answered yet. */
  readonly maxHalfOpen: number;
  /** What becomes of packets where tracking can't do what it should: dropped, or passed if the rules admit them. */
  readonly exceptions: ExceptionPolicies;
  /** Count packets and bytes of each flow: flow logs and `sgctl flows` want them. */
  readonly accounting: boolean;
  /** TCP packets outside the window of their connection: dropped, or taken. */
  readonly tcpWindow: 'check' | 'ignore';
}

/** A flow log (AWS: CreateFlowLogs). */
export interface FlowLogConfig {
  readonly name: string;
  /** Absolute path; `-` is standard output. */
  readonly file: string;
  readonly format: LogFormat;
  readonly aggregationSec: 60 | 600;
  readonly traffic: 'all' | 'accept' | 'reject';
  /** Names; undefined: all. */
  readonly interfaces: readonly string[] | undefined;
  readonly rotation: Rotation;
  /** Values of fields that only the operator knows, for all interfaces and by name of one. */
  readonly values: ReadonlyMap<string, string>;
  readonly interfaceValues: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export type QuotaName =
  | 'rulesPerGroup'
  | 'groupsPerInterface'
  | 'rulesTimesGroups'
  | 'prefixListEntries'
  | 'securityGroups';

export interface Quota {
  /** The most that is right; undefined: no limit (`off`). */
  readonly max: number | undefined;
  /** Whether the configuration states it; else it is AWS's default. */
  readonly isGiven: boolean;
}

export type Quotas = Readonly<Record<QuotaName, Quota>>;

export interface Config {
  readonly file: string;
  /** The templates and parameters files that were read as well. */
  readonly otherFiles: readonly string[];
  readonly model: PolicyModel;
  /** In the order of the file; the position is the interface's index on the packet path. */
  readonly interfaces: readonly InterfaceConfig[];
  readonly uplink: UplinkConfig | undefined;
  /** The platform's addresses and services, those of `vpc` among them, and the uplink's own addresses. */
  readonly special: SpecialAddresses;
  /** Packet loops, each on a thread of its own with a queue of every device. */
  readonly workers: number;
  readonly conntrack: ConntrackConfig;
  readonly quotas: Quotas;
  readonly flowLogs: readonly FlowLogConfig[];
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
}

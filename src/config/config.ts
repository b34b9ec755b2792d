/** This file defines what a configuration file means, after everything in it has been read and checked. */
import type { Address, Cidr } from '../addr/address.ts';
import type { InterfaceId, PolicyModel } from '../policy/model.ts';
import type { QuotaName } from '../policy/quotas.ts';
import type { SpecialAddresses } from '../policy/special-addresses.ts';
import type { LinkMatch } from '../ports/link-match.ts';
import type { PortKindName } from '../ports/port-kind.ts';
import type { Position } from '../source/problem.ts';
import type { ConntrackConfig } from './config-conntrack.ts';
import type { NamesConfig } from './config-dns-names.ts';
import type { LogFormat, Rotation } from './flow-log-format.ts';

/** The device that stands for an instance's eth0, or for the uplink. */
export interface DeviceConfig {
  readonly kind: PortKindName;
  /** The name of the device inside its namespace; of a stream the path of its socket; with `match` its label. */
  readonly name: string;
  /** Which interface is attached, where its name is not known. */
  readonly match?: LinkMatch;
  /** As written: a name in the namespace directory, a path, or a process id. Undefined: the daemon's own namespace. */
  readonly netns: string | undefined;
  /** The path of that namespace, `/run/netns/web-1` or `/proc/123/ns/net`. Undefined: the daemon's own. */
  readonly netnsPath: string | undefined;
  readonly mtu: number;
  /** Whether the daemon sets addresses, routes and link state. False if somebody else does, such as a VM's guest. */
  readonly configure: boolean;
  readonly persist: boolean;
  /** Whether the instance gets its addresses by DHCP and DHCPv6, and its router. */
  readonly dhcp: boolean;
  /** MAC address of the instance, `02:00:00:00:00:11`; undefined: it is ours to choose, or learned. */
  readonly mac?: string;
  /** Who may connect to a stream's socket beside the daemon's user: a name or number of /etc/group. */
  readonly group?: string;
  readonly origin: Position;
  /** Where `netns` is written. Absent if it is not. */
  readonly netnsAt?: Position;
}

export interface UplinkConfig {
  readonly device: DeviceConfig;
  /** The addresses of the uplink device itself, with their on-link prefix. */
  readonly addresses: readonly { readonly address: Address; readonly length: number }[];
  /** The next hops for destinations that are not on the link, at most one a family. */
  readonly gateways: readonly Address[];
  /** Further routes of the uplink's namespace through the device. The interfaces' own addresses are always added. */
  readonly routes: readonly Cidr[];
}

export interface InterfaceConfig {
  /** The most flows of this interface that are tracked at once. Undefined: it has no limit of its own. */
  readonly maxFlows: number | undefined;
  readonly id: InterfaceId;
  /** The key in the file. */
  readonly name: string;
  readonly device: DeviceConfig;
  /** Blocks of the subnets that its addresses are in, as far as they are known. */
  readonly subnets: readonly Cidr[];
}

/** A flow log (AWS: CreateFlowLogs). */
export interface FlowLogConfig {
  readonly name: string;
  /** Absolute path; `-` is standard output. */
  readonly file: string;
  readonly format: LogFormat;
  readonly aggregationSec: 60 | 600;
  readonly traffic: 'all' | 'accept' | 'reject';
  /** The names of the interfaces. Undefined: all. */
  readonly interfaces: readonly string[] | undefined;
  readonly rotation: Rotation;
  /** Values of fields that only the operator knows, for all interfaces, and by interface name. */
  readonly values: ReadonlyMap<string, string>;
  readonly interfaceValues: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** A set of DHCP options (AWS: CreateDhcpOptions). */
export interface DhcpOptions {
  /** Undefined: those of `platformServices`, if any. */
  readonly domainNameServers: readonly Address[] | undefined;
}

export interface Quota {
  /** The limit. Undefined: no limit (`off`). */
  readonly max: number | undefined;
  /** Whether the configuration states it. Otherwise it is AWS's default. */
  readonly isGiven: boolean;
}

export type Quotas = Readonly<Record<QuotaName, Quota>>;

export interface Config {
  readonly file: string;
  /** The templates and parameters files that were read too. */
  readonly otherFiles: readonly string[];
  readonly model: PolicyModel;
  /** In the order of the file. The position is the index of the interface on the packet path. */
  readonly interfaces: readonly InterfaceConfig[];
  readonly uplink: UplinkConfig | undefined;
  /** The addresses and services of the platform, including those of the VPCs, and the uplink's own addresses. */
  readonly special: SpecialAddresses;
  readonly dhcpOptions: DhcpOptions;
  /** The number of packet loops. Each has a thread of its own, and a queue of every device. */
  readonly workers: number;
  /** How long a packet loop asks for packets before it sleeps, in µs; 0: not at all. */
  readonly busyPollUs: number;
  /**
   * Whether the kernel forwards packets of flows that are decided: never; where it can, or always, so that the daemon
   * does not start without it.
   */
  readonly offload: 'off' | 'auto' | 'on';
  readonly conntrack: ConntrackConfig;
  /** How addresses of DNS names are learnt. */
  readonly names: NamesConfig;
  readonly quotas: Quotas;
  readonly flowLogs: readonly FlowLogConfig[];
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
}

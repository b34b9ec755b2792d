/**
 * This file has the minimum, maximum and default of every number in a configuration. The schema and the readers take
 * them from here. AWS's idle time-outs are in policy/idle-timeouts.ts, and AWS's default quotas in policy/quotas.ts,
 * since they are needed without a configuration too.
 */
import { QUOTA_DEFAULTS, type QuotaName } from '../policy/quotas.ts';
import { QUEUES_MAX } from '../ports/native.ts';

export interface Limits {
  readonly min: number;
  readonly max: number;
  /** The default. Absent if there is none, or if it depends on something else. */
  readonly otherwise?: number;
}

const FLOWS = { min: 16, max: 16_000_000 };

export const WORKERS_LIMITS = { min: 1, max: QUEUES_MAX, otherwise: 1 } as const satisfies Limits;

/** In µs. A loop does nothing else meanwhile, so that is how late a command may be taken. */
export const BUSY_POLL_LIMITS = { min: 0, max: 1000, otherwise: 0 } as const satisfies Limits;

export const CONNTRACK_LIMITS = {
  maxFlows: { ...FLOWS, otherwise: 262_144 },
  maxHalfOpen: FLOWS,
  maxOffloaded: { ...FLOWS, min: 1024, otherwise: 65_536 },
} as const satisfies Readonly<Record<string, Limits>>;

/** Lifetimes in seconds. The longest must fit an int32 of ms on a clock, with room: 7 of 24 days. */
export const NAMES_LIMITS = {
  minLifetime: { min: 0, max: 3600, otherwise: 60 },
  maxLifetime: { min: 1, max: 604_800, otherwise: 86_400 },
  maxAddresses: { min: 16, max: 8192, otherwise: 1024 },
} as const satisfies Readonly<Record<string, Limits>>;

/** The limit of a single interface. It has no default. */
export const INTERFACE_FLOWS_LIMITS: Limits = FLOWS;

/** Minimum: RFC 791 section 3.1, what every host must accept. Maximum: the kernel's limit for a TUN. */
export const MTU_LIMITS = { min: 576, max: 65_535, otherwise: 1500 } as const satisfies Limits;

/** DNS servers of one family. Source: Amazon VPC User Guide, "DHCP option sets in Amazon VPC". */
export const DNS_SERVERS_MAX = 4;

export const ROTATION_LIMITS = {
  sizeMb: { min: 1, max: 100_000, otherwise: 100 },
  keep: { min: 1, max: 1000, otherwise: 10 },
} as const satisfies Readonly<Record<string, Limits>>;

/** The maxima are those that can be stated. `off` is for more. */
export const QUOTA_LIMITS = {
  rulesPerGroup: { min: 1, max: 1000, otherwise: QUOTA_DEFAULTS.rulesPerGroup },
  groupsPerInterface: { min: 1, max: 16, otherwise: QUOTA_DEFAULTS.groupsPerInterface },
  rulesTimesGroups: { min: 1, max: 1_000_000, otherwise: QUOTA_DEFAULTS.rulesTimesGroups },
  prefixListEntries: { min: 1, max: 1_000_000, otherwise: QUOTA_DEFAULTS.prefixListEntries },
  securityGroups: { min: 1, max: 1_000_000, otherwise: QUOTA_DEFAULTS.securityGroups },
} as const satisfies Readonly<Record<QuotaName, Limits>>;

/** The limits of maxEntries of a prefix list. */
export const MAX_ENTRIES_LIMITS: Limits = {
  min: 1,
  max: QUOTA_LIMITS.prefixListEntries.max,
};

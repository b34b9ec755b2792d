/** The idle time-outs that AWS allows to be set for an interface, in seconds. */
import type { ConnectionTracking } from './model.ts';

/** Source: Amazon EC2 User Guide, "Security group connection tracking", idle time-outs. */
export const IDLE_TIMEOUTS = {
  tcpEstablishedTimeoutSec: { min: 60, max: 432_000, otherwise: 432_000 },
  udpTimeoutSec: { min: 30, max: 60, otherwise: 30 },
  udpStreamTimeoutSec: { min: 60, max: 180, otherwise: 180 },
} as const satisfies Readonly<
  Record<keyof ConnectionTracking, { min: number; max: number; otherwise: number }>
>;

/** What they are unless somebody sets them. */
export const DEFAULT_CONNECTION_TRACKING: ConnectionTracking = {
  tcpEstablishedTimeoutSec: IDLE_TIMEOUTS.tcpEstablishedTimeoutSec.otherwise,
  udpTimeoutSec: IDLE_TIMEOUTS.udpTimeoutSec.otherwise,
  udpStreamTimeoutSec: IDLE_TIMEOUTS.udpStreamTimeoutSec.otherwise,
};

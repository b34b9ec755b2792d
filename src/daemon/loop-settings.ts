/** This file converts the configuration to the settings of the packet loops and of connection tracking. */
import type { Config } from '../config/config.ts';
import { gateSettings } from '../config/gate-settings.ts';
import type { LoopSettings } from '../dataplane/messages.ts';

/**
 * The one place that makes the settings of the packet path. They are read once, when the daemon starts.
 * @param timeScale how many times faster than real time the loops' clock runs
 */
export function loopSettings(
  { workers, busyPollUs, conntrack, names }: Config,
  timeScale: number,
): LoopSettings {
  return {
    ...gateSettings(conntrack, workers),
    workers,
    busyPollUs,
    timeScale,
    accounting: conntrack.accounting,
    names: {
      minLifetimeMs: 1000 * names.minLifetimeSec,
      maxLifetimeMs: 1000 * names.maxLifetimeSec,
      maxAddresses: names.maxAddresses,
      acceptsPrivate: names.privateAddresses === 'accept',
    },
  };
}

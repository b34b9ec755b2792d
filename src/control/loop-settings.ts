/** What the configuration's `conntrack` section says, in the packet loop's words. */
import type { DataplaneOptions } from '../dataplane/dataplane.ts';
import type { ConntrackConfig } from './config/config.ts';

export function loopSettings(
  conntrack: ConntrackConfig,
): Pick<
  DataplaneOptions,
  'maxFlows' | 'maxHalfOpen' | 'passes' | 'acceptsMidstream' | 'accounting' | 'checksWindow'
> {
  const { exceptions } = conntrack;
  return {
    maxFlows: conntrack.maxFlows,
    maxHalfOpen: conntrack.maxHalfOpen,
    passes: {
      tableFull: exceptions.tableFull === 'pass',
      invalid: exceptions.invalid === 'pass',
      fragment: exceptions.fragment === 'pass',
      eventsFull: exceptions.eventsFull === 'pass',
    },
    acceptsMidstream: conntrack.midstream === 'accept',
    accounting: conntrack.accounting,
    checksWindow: conntrack.tcpWindow === 'check',
  };
}

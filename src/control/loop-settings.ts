/** What the configuration says of packet loops and what they track, in their words. */
import type { DataplaneOptions } from '../dataplane/dataplane.ts';
import type { Config } from './config/config.ts';

export function loopSettings({
  workers,
  conntrack,
}: Config): Pick<
  DataplaneOptions,
  | 'workers'
  | 'maxFlows'
  | 'maxHalfOpen'
  | 'passes'
  | 'acceptsMidstream'
  | 'accounting'
  | 'checksWindow'
> {
  const { exceptions } = conntrack;
  return {
    workers,
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

/**
 * This file makes of the configuration what connection tracking goes by, for whoever judges packets by an engine: the
 * daemon's packet loops, and the replay of recorded traffic.
 */
import type { ConnectionTracking } from '../policy/model.ts';
import type { ConntrackConfig } from './config-conntrack.ts';

/** The one place that makes the settings of gates. @param loops how many share the budget of half-open flows */
export function gateSettings(conntrack: ConntrackConfig, loops: number) {
  const { exceptions } = conntrack;
  return {
    maxFlows: conntrack.maxFlows,
    // To each loop its part: a flood that comes to one leaves the others theirs, and what is given up for a new
    // flow is always a loop's own.
    maxHalfOpen: Math.ceil(conntrack.maxHalfOpen / loops),
    acceptsMidstream: conntrack.midstream === 'accept',
    checksWindow: conntrack.tcpWindow === 'check',
    passes: {
      tableFull: exceptions.tableFull === 'pass',
      invalid: exceptions.invalid === 'pass',
      fragment: exceptions.fragment === 'pass',
      eventsFull: exceptions.eventsFull === 'pass',
    },
  } as const;
}

/** The idle time-outs of an interface. */
export function idleTimeouts({
  tcpEstablishedTimeoutSec,
  udpTimeoutSec,
  udpStreamTimeoutSec,
}: ConnectionTracking) {
  return {
    tcpEstablishedSec: tcpEstablishedTimeoutSec,
    udpSec: udpTimeoutSec,
    udpStreamSec: udpStreamTimeoutSec,
  } as const;
}

/** This file converts the configuration to the settings of the packet loops and of connection tracking. */
import type { Config } from '../config/config.ts';
import type { LoopSettings } from '../dataplane/messages.ts';

/**
 * The one place that makes the settings of the packet path. They are read once, when the daemon starts.
 * @param timeScale how many times faster than real time the loops' clock runs
 */
export function loopSettings({ workers, conntrack }: Config, timeScale: number): LoopSettings {
  const { exceptions } = conntrack;
  return {
    workers,
    timeScale,
    maxFlows: conntrack.maxFlows,
    // To each loop its part: a flood that comes to one leaves the others theirs, and what is given up for a new
    // flow is always a loop's own.
    maxHalfOpen: Math.ceil(conntrack.maxHalfOpen / workers),
    accounting: conntrack.accounting,
    acceptsMidstream: conntrack.midstream === 'accept',
    checksWindow: conntrack.tcpWindow === 'check',
    passes: {
      tableFull: exceptions.tableFull === 'pass',
      invalid: exceptions.invalid === 'pass',
      fragment: exceptions.fragment === 'pass',
      eventsFull: exceptions.eventsFull === 'pass',
    },
  };
}

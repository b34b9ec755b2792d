/**
 * This file has the exception policies (conntrack.exceptions): where tracking can't do its work, a packet may pass
 * instead of being dropped. Packets that passed by the first three are counted (GAUGE_PASSED_…).
 */
export interface ExceptionPasses {
  /** There is no room to track the flow: it passes untracked, if the rules admit it. */
  readonly tableFull: boolean;
  /** A TCP packet does not fit its connection. */
  readonly invalid: boolean;
  /** A later fragment came without its first one. */
  readonly fragment: boolean;
  /** The ring of events is full: a new flow passes unrecorded, if the rules admit it. */
  readonly eventsFull: boolean;
}

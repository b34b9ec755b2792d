/** Remembers which flow the tracker found at a gate, for the next packet of the same tuple. */
import { NO_FLOW, type FlowIndex } from '../conntrack/entry.ts';

/** What Tracker.follow last found at gates of one direction. It is valid while the table's `changes` is the same. */
export class Memory {
  flow: FlowIndex = NO_FLOW;
  /** The place of the flow's state (conntrack/entry.ts). */
  at = 0;
  changes = 0;

  /** The flow, if the table has not changed since; or NO_FLOW. */
  flowIf(changes: number): FlowIndex {
    return this.changes === changes ? this.flow : NO_FLOW;
  }
}

/** The verdicts of tracking on a packet that belongs to a known flow. */

/** It fits and keeps the flow alive. */
export const FLOW_PASSES = 0;
/** It may pass, but neither moves the flow nor keeps it alive. */
export const FLOW_PASSES_UNCHANGED = 1;
/** It may open a flow again that is over. Judge it as a new flow, and forget the old entry if it is admitted. */
export const FLOW_REOPENS = 2;
/** The connection was reset: drop the packet. */
export const FLOW_IS_CLOSED = 3;
/** A change of rules ended the flow: drop the packet. */
export const FLOW_IS_REVOKED = 4;
/** Its flags do not fit this state: drop it. */
export const FLOW_MISFITS_STATE = 5;
/** Its sequence number, acknowledgment or length lies outside the window: drop it. */
export const FLOW_MISFITS_WINDOW = 6;
/**
 * It begins a connection anew, or follows an opening that was not seen whole. The rules in force decide, and
 * takeAdmitted moves the flow if they admit it.
 */
export const FLOW_ASKS_RULES = 7;

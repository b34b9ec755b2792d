/** What tracking says of a packet that belongs to a known flow. */

/** It fits, and keeps the flow alive. */
export const FLOW_PASSES = 0;
/** It may pass, but says nothing: it neither moves the flow nor keeps it alive. */
export const FLOW_PASSES_UNCHANGED = 1;
/** A SYN for a connection that is over: forget the entry and judge the packet as a new flow. */
export const FLOW_REOPENS = 2;
/** The connection was reset: drop the packet. */
export const FLOW_IS_CLOSED = 3;
/** A change of rules ended the connection: drop the packet. */
export const FLOW_IS_REVOKED = 4;
/** Its flags have no business in this state: drop it. */
export const FLOW_MISFITS_STATE = 5;
/** Its sequence number, acknowledgment or length lies outside the window: drop it. */
export const FLOW_MISFITS_WINDOW = 6;

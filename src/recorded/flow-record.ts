/** A record of a flow log, as far as it says who spoke with whom. One is made, and overwritten by many lines. */

export const ACTION_UNKNOWN = 0;
export const ACTION_ACCEPT = 1;
export const ACTION_REJECT = 2;

export const STATUS_OK = 0;
/** The interface had no traffic in the interval. */
export const STATUS_NO_DATA = 1;
/** Records of the interval are missing. */
export const STATUS_SKIPPED = 2;

/** The log has no such field, or not in this line. */
export const NOT_TOLD = -1;
export const TOWARDS_INSTANCE = 0;
export const FROM_INSTANCE = 1;

export class FlowRecord {
  status = STATUS_OK;
  /** As it is in the log; '' if it is not. */
  interfaceId = '';
  /** 4 or 6. */
  family = 4;
  /** int32 words, network order; IPv4 has the first alone. */
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  srcPort = 0;
  dstPort = 0;
  protocol = 0;
  packets = 0;
  bytes = 0;
  /** Ms since 1970. */
  startMs = 0;
  endMs = 0;
  action = ACTION_UNKNOWN;
  /** Flags of the interval, as AWS adds them up; NOT_TOLD. */
  tcpFlags = NOT_TOLD;
  /** TOWARDS_INSTANCE, FROM_INSTANCE or NOT_TOLD. */
  direction = NOT_TOLD;
}

/**
 * Lays out the memory that packet loops share with the programs of the fast path: native/offload/layout.h in words of
 * four bytes. The header says what each means. test/offload/layout.test.ts compares the two.
 */
import { SIDE_WORDS } from '../conntrack/tcp-sides.ts';

export const LOOPS_MAX = 16;
/** Slots of a bucket. A slot is the number of a flow plus 1, and 8 bits of the flow's hash above it; 0: free. */
export const BUCKET_SLOTS = 8;
export const SLOT_FLOW_MASK = 0xffffff;
export const SLOT_TAG_MASK = 0xff000000;
/** Flows behind a byte of the marks. */
export const MARK_FLOWS = 8;
/** Bytes of an element of the marks. */
export const MARK_BYTES = 64;

// A flow.
export const FLOW_LOWER = 0;
export const FLOW_UPPER = 4;
export const FLOW_PORTS = 8;
export const FLOW_KIND = 9;
export const FLOW_FLAGS = 10;
export const FLOW_GENERATION = 11;
export const FLOW_PLACES = 12;
export const FLOW_LOOP = 13;
export const FLOW_TIMEOUT_MS = 14;
export const FLOW_SEEN_MS = 15;
/** The lower end's side, then the upper end's, SIDE_WORDS each (conntrack/tcp-sides.ts). */
export const FLOW_SIDES = 16;
export const FLOW_PACKETS = FLOW_SIDES + 2 * SIDE_WORDS;
export const FLOW_BYTES = FLOW_PACKETS + 2;
export const FLOW_HASH = FLOW_BYTES + 2;
export const FLOW_WORDS = 32;

export const PASSES_FROM_LOWER = 2;
export const PASSES_FROM_UPPER = 4;
/** A gate lets the flow pass by the rules alone. */
export const BY_RULES = 8;
/** Both gates do: no window is known. */
export const UNCHECKED = 16;

// A port.
export const PORT_IFINDEX = 0;
export const PORT_IS_PAIR = 1;
export const PORT_MTU = 2;
export const PORT_MAC_HIGH = 3;
export const PORT_MAC_LOW = 4;
export const PORT_WORDS = 8;

// The control.
export const CONTROL_HASH_KEY = 0;
export const CONTROL_BUCKET_MASK = 2;
/** Low and high word. */
export const CONTROL_ORIGIN_NS = 3;
export const CONTROL_GATEWAY_HIGH = 5;
export const CONTROL_GATEWAY_LOW = 6;
export const CONTROL_LOOPS = 8;
export const LOOP_GENERATION = 0;
export const LOOP_ALIVE_UNTIL_MS = 1;
export const LOOP_IS_WATCHED = 2;
export const LOOP_FENCED_FROM_MS = 3;
export const LOOP_WORDS = 4;
/** Bits of LOOP_IS_WATCHED. */
export const WATCHES_ALL = 1;
export const WATCHES_BY_RULES = 2;
export const CONTROL_WORDS = CONTROL_LOOPS + LOOPS_MAX * LOOP_WORDS;

/** The tables by name: int32 but for the marks, which are bytes. */
export interface OffloadTables {
  readonly control: Int32Array;
  readonly ports: Int32Array;
  readonly buckets: Int32Array;
  readonly flows: Int32Array;
  readonly changed: Uint8Array;
}

/** How large the tables are for so many flows. A bucket has on average two, so one in thousands overflows. */
export function tableSizes(capacity: number): { readonly buckets: number; readonly marks: number } {
  let buckets = 64;
  while (4 * buckets < 2 * capacity) buckets *= 2;
  const perElement = MARK_FLOWS * MARK_BYTES;
  return { buckets, marks: MARK_BYTES * Math.ceil(capacity / perElement) };
}

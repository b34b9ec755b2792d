/**
 * Keeps lists of the flows that may be evicted for others, oldest first, for each interface.
 *
 * Theory of operation. Whoever can send packets can open flows. Only an answer shows that somebody wants the flow. So
 * flows without an answer, and TCP connections without the opener's last ACK, have a budget of their own. When it is
 * used up, the interface with the most of them loses its oldest (shares.ts, engine/flow-limits.ts). So a flood of
 * SYNs competes with itself. TCP connections that have ended are of little use, and have a list of their own. So do
 * revoked flows, which stay in the table so that they can't come back. An established connection is in no list.
 *
 * The lists ("lines") are linked through `links`, with two words for each entry of the flow tables. They are exact at
 * every moment, and an operation touches three entries at most. The words of an entry lie beside those of flows that
 * were opened at about the same time, so they are mostly in the cache. Rejected: one ring of references for all
 * interfaces, where finding one interface's flows means reading those of the others. Rejected: sampling, which does
 * not find the oldest.
 */
import { failInvariant } from './invariant.ts';
import type { FlowIndex } from './entry.ts';
import type { FlowTable } from './table.ts';
import {
  OPENED_LOCALLY,
  REPLIED,
  STATE_MASK,
  TCP_CLOSED,
  TCP_CLOSING,
  REVOKED_FLOW,
  TCP_SYN_RECEIVED,
} from './states.ts';

/** Whether the flow with this state word has no answer yet. */
export function isHalfOpen(word: number): boolean {
  const state = word & STATE_MASK;
  if (state === REVOKED_FLOW) return false;
  return (word & REPLIED) === 0 || state === TCP_SYN_RECEIVED;
}

/** Whether it is a TCP connection that was answered and has ended. */
export function isEnded(word: number): boolean {
  const state = word & STATE_MASK;
  return (state === TCP_CLOSED || state === TCP_CLOSING) && !isHalfOpen(word);
}

/**
 * A line's number is port << LINE_BITS | one of these kinds: half-open (opened by others, by the instance), ended,
 * revoked.
 */
export const LINE_BITS = 2;
export const LINE_OPENED_REMOTELY = 0;
export const LINE_OPENED_LOCALLY = 1;
export const LINE_ENDED = 2;
export const LINE_REVOKED = 3;
export const NO_LINE = -1;

/** The kind of line that a flow with this state word is in, or NO_LINE. */
export function lineOf(word: number): number {
  if (isHalfOpen(word))
    return (word & OPENED_LOCALLY) !== 0 ? LINE_OPENED_LOCALLY : LINE_OPENED_REMOTELY;
  if ((word & STATE_MASK) === REVOKED_FLOW) return LINE_REVOKED;
  return isEnded(word) ? LINE_ENDED : NO_LINE;
}

/**
 * A flow's place in `links`: its entry number plus 1. The IPv6 table's places follow the IPv4 table's. 0 means none.
 */
type Place = number;

export class FlowLines {
  private readonly flows4: FlowTable;
  private readonly flows6: FlowTable;
  /** links[2p] is the place before p in its line, links[2p + 1] the place behind it. */
  private readonly links: Int32Array;
  private readonly first: Int32Array;
  private readonly last: Int32Array;

  /** What `findOldest` found: the flow, and its table. */
  foundFlow: FlowIndex = -1;
  foundTable: FlowTable;

  /** @param lines number of lines */
  constructor(flows4: FlowTable, flows6: FlowTable, lines: number) {
    this.flows4 = flows4;
    this.flows6 = flows6;
    this.foundTable = flows4;
    this.links = new Int32Array(2 * (flows4.capacity + flows6.capacity + 1));
    this.first = new Int32Array(lines);
    this.last = new Int32Array(lines);
  }

  /** Appends a flow to a line. It must be in no line. */
  join(line: number, table: FlowTable, flow: FlowIndex): void {
    const { links, first, last } = this;
    const place = this.placeOf(table, flow);
    const before = last[line];
    links[2 * place] = before;
    links[2 * place + 1] = 0;
    if (before === 0) first[line] = place;
    else links[2 * before + 1] = place;
    last[line] = place;
  }

  /** Removes a flow from the line that it is in. */
  leave(line: number, table: FlowTable, flow: FlowIndex): void {
    const { links, first, last } = this;
    const place = this.placeOf(table, flow);
    const before = links[2 * place];
    const behind = links[2 * place + 1];
    if ((before === 0 ? first[line] : links[2 * before + 1]) !== place)
      failInvariant('a flow is not in the line that its state says');
    if (before === 0) first[line] = behind;
    else links[2 * before + 1] = behind;
    if (behind === 0) last[line] = before;
    else links[2 * behind] = before;
  }

  /**
   * Finds the flow that has been in a line longest, and sets foundTable and foundFlow.
   * @returns whether there is one
   */
  findOldest(line: number): boolean {
    const place = this.first[line];
    if (place === 0) return false;
    const is6 = place > this.flows4.capacity;
    this.foundTable = is6 ? this.flows6 : this.flows4;
    this.foundFlow = is6 ? place - 1 - this.flows4.capacity : place - 1;
    return true;
  }

  private placeOf(table: FlowTable, flow: FlowIndex): Place {
    return table === this.flows6 ? this.flows4.capacity + flow + 1 : flow + 1;
  }
}

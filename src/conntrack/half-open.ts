/**
 * Flows that may be given up for others, oldest first, in a line for each interface.
 *
 * Theory of operation. Whoever can send can open flows; only who is answered has shown that somebody
 * wants them. So flows without an answer (and TCP connections without the opener's last ACK) have a budget
 * of their own and make room for others: those of whoever has the most, the oldest first (shares.ts,
 * engine/flow-limits.ts). A flood of SYNs then competes with itself. TCP connections that have ended are of
 * little use to anybody, and wait in a line of their own; so do revoked flows, which are in the table to keep them
 * from coming back. An established connection is in no line.
 *
 * A line is a list through `links`, two words for each entry of the flow tables: exact at every moment, and every
 * operation touches three entries at most. Its own words lie beside those of flows that were opened at about
 * the same time, so they are in the cache more often than not. Rejected: a ring of references for all
 * interfaces, in which those of one are found by looking at those of the others; sampling, which does not
 * find the oldest.
 */
import { FLOW_STATE, type FlowIndex, type FlowTable } from './table.ts';
import {
  OPENED_LOCALLY,
  REPLIED,
  STATE_MASK,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_REVOKED,
  TCP_SYN_RECEIVED,
} from './states.ts';

/** Incarnation of an entry: bits 24–30 of its FLOW_STATE word. */
export const INCARNATION_MASK = 0x7f000000;

/** Whether the flow of this FLOW_STATE word is one that nobody has answered. */
export function isHalfOpen(word: number): boolean {
  const state = word & STATE_MASK;
  if (state === TCP_REVOKED) return false;
  return (word & REPLIED) === 0 || state === TCP_SYN_RECEIVED;
}

/** Whether it is a TCP connection that was answered and has ended. */
export function isEnded(word: number): boolean {
  const state = word & STATE_MASK;
  return (state === TCP_CLOSED || state === TCP_CLOSING) && !isHalfOpen(word);
}

/** A line is port << LINE_BITS | one of these: half-open flows opened by others and by the instance, ended, revoked ones. */
export const LINE_BITS = 2;
export const LINE_OPENED_REMOTELY = 0;
export const LINE_OPENED_LOCALLY = 1;
export const LINE_ENDED = 2;
export const LINE_REVOKED = 3;
export const NO_LINE = -1;

/** The line of its port that a flow with this FLOW_STATE word waits in, or NO_LINE. */
export function lineOf(word: number): number {
  if (isHalfOpen(word))
    return (word & OPENED_LOCALLY) !== 0 ? LINE_OPENED_LOCALLY : LINE_OPENED_REMOTELY;
  if ((word & STATE_MASK) === TCP_REVOKED) return LINE_REVOKED;
  return isEnded(word) ? LINE_ENDED : NO_LINE;
}

/** A place in a line: the entry's number plus 1, those of the IPv6 table behind those of the IPv4 one. 0: nowhere. */
type Place = number;

export class FlowLines {
  private readonly flows4: FlowTable;
  private readonly flows6: FlowTable;
  /** Of place p: the one before it at 2p, the one behind it at 2p + 1. */
  private readonly links: Int32Array;
  private readonly first: Int32Array;
  private readonly last: Int32Array;

  /** The flow that `findOldest` found. */
  foundFlow: FlowIndex = -1;
  foundTable: FlowTable;

  /** @param lines how many there may be, numbered from 0 */
  constructor(flows4: FlowTable, flows6: FlowTable, lines: number) {
    this.flows4 = flows4;
    this.flows6 = flows6;
    this.foundTable = flows4;
    this.links = new Int32Array(2 * (flows4.capacity + flows6.capacity + 1));
    this.first = new Int32Array(lines);
    this.last = new Int32Array(lines);
  }

  /** Lines up a flow that is in no line. */
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

  /** Takes a flow out of the line it is in. */
  leave(line: number, table: FlowTable, flow: FlowIndex): void {
    const { links, first, last } = this;
    const place = this.placeOf(table, flow);
    const before = links[2 * place];
    const behind = links[2 * place + 1];
    if (before === 0) first[line] = behind;
    else links[2 * before + 1] = behind;
    if (behind === 0) last[line] = before;
    else links[2 * behind] = before;
  }

  /** The flow that has been longest in a line: foundTable and foundFlow. @returns whether there is one */
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

/** The FLOW_STATE word of an entry. */
export function stateWord(table: FlowTable, flow: FlowIndex): number {
  return table.words[flow * table.stride + table.keyWords + FLOW_STATE];
}

/**
 * Flows that nobody has answered yet, oldest first: what a full table gives up before it refuses anybody.
 *
 * Theory of operation. Whoever can send can open flows; only who is answered has shown that somebody
 * wants them. So flows without an answer (and TCP connections without the opener's last ACK) have a budget
 * of their own, and the oldest of them go first when it, or the table, is full. A flood of SYNs then
 * competes with itself, and an established connection is never given up.
 *
 * A ring of references, one pushed for each flow that is opened. A flow that is answered or ends leaves
 * its reference behind; it is recognised as stale when its turn comes, since an entry that was freed
 * carries another incarnation. Rejected: links in the entries (two words a flow, and three entries
 * written for each change), sampling (does not find the oldest).
 *
 * Limits. The ring holds twice the budget, so that stale references rarely crowd out live ones; when it is
 * full the oldest goes, live or not. An incarnation has 7 bits: a reference could only be taken for that
 * of another flow after 128 flows on one entry within one round of the ring.
 */
import { FLOW_STATE, type FlowIndex, type FlowTable } from './table.ts';
import { REPLIED, STATE_MASK, TCP_REVOKED, TCP_SYN_RECEIVED } from './states.ts';

const ENTRY_MASK = 0xffffff;
/** Incarnation of an entry: bits 24–30 of its FLOW_STATE word. */
export const INCARNATION_MASK = 0x7f000000;
const IPV6_BIT = 1 << 31;

/** Whether the flow of this FLOW_STATE word may be given up for another. */
export function isHalfOpen(word: number): boolean {
  const state = word & STATE_MASK;
  // A revoked connection is in the table to keep it from coming back.
  if (state === TCP_REVOKED) return false;
  return (word & REPLIED) === 0 || state === TCP_SYN_RECEIVED;
}

export class HalfOpenQueue {
  private readonly flows4: FlowTable;
  private readonly flows6: FlowTable;
  private readonly ring: Int32Array;
  private readonly mask: number;
  private head = 0;
  private length = 0;

  /** The flow that `shift` or `findOf` found last. */
  foundFlow: FlowIndex = -1;
  foundTable: FlowTable;

  constructor(flows4: FlowTable, flows6: FlowTable, budget: number) {
    let slots = 16;
    while (slots < 2 * budget) slots *= 2;
    this.flows4 = flows4;
    this.flows6 = flows6;
    this.foundTable = flows4;
    this.ring = new Int32Array(slots);
    this.mask = slots - 1;
  }

  get isFull(): boolean {
    return this.length > this.mask;
  }

  /** Adds a half-open flow. There must be room. */
  push(table: FlowTable, flow: FlowIndex): void {
    const incarnation =
      table.words[flow * table.stride + table.keyWords + FLOW_STATE] & INCARNATION_MASK;
    const family = table === this.flows6 ? IPV6_BIT : 0;
    this.ring[(this.head + this.length) & this.mask] = family | incarnation | flow;
    this.length++;
  }

  /** Takes the oldest reference out. @returns whether its flow is still half-open; then foundTable and foundFlow are it */
  shift(): boolean {
    const reference = this.ring[this.head];
    this.head = (this.head + 1) & this.mask;
    this.length--;
    return this.resolve(reference);
  }

  get isEmpty(): boolean {
    return this.length === 0;
  }

  /** Looks among the oldest `most` references for one that is half-open and of that port; leaves it in. */
  findOf(port: number, most: number): boolean {
    const end = most < this.length ? most : this.length;
    for (let i = 0; i < end; i++) {
      const isLive = this.resolve(this.ring[(this.head + i) & this.mask]);
      if (isLive && this.foundTable.words[this.foundFlow * this.foundTable.stride] >>> 16 === port)
        return true;
    }
    return false;
  }

  private resolve(reference: number): boolean {
    const table = (reference & IPV6_BIT) !== 0 ? this.flows6 : this.flows4;
    const flow = reference & ENTRY_MASK;
    const word = table.words[flow * table.stride + table.keyWords + FLOW_STATE];
    this.foundTable = table;
    this.foundFlow = flow;
    const isSame = (word & INCARNATION_MASK) === (reference & INCARNATION_MASK);
    return isSame && (word & STATE_MASK) !== 0 && isHalfOpen(word);
  }
}

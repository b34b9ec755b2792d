/**
 * Knows which entry of the kernel's table a flow has, and whose an entry is: two flows', or one's where the other gate
 * lets the flow pass by the rules alone (UNTRACKED), or nobody's where both do.
 *
 * NO_FLOW in the place of an owner: it has ended, or the entry is free.
 */
import { NO_FLOW, type FlowIndex } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';

/** In place of a flow: the gate lets the packet pass by the rules alone. */
export const UNTRACKED: FlowIndex = -2;

export class EntryOwners {
  private readonly flows4: FlowTable;
  /** By flow of a table: the entry plus 1, or 0. */
  private readonly links4: Int32Array;
  private readonly links6: Int32Array;
  private readonly first: number;
  /** By entry: the owners at the lower and at the upper end's gate. */
  private readonly owners: Int32Array;

  /**
   * @param first number of the loop's first entry
   * @param capacity how many it has
   */
  constructor(flows4: FlowTable, flows6: FlowTable, first: number, capacity: number) {
    this.flows4 = flows4;
    this.links4 = new Int32Array(flows4.capacity);
    this.links6 = new Int32Array(flows6.capacity);
    this.first = first;
    this.owners = new Int32Array(2 * capacity).fill(NO_FLOW);
  }

  /** The entry of a flow, also one that lingers; NO_ENTRY if it has none. */
  entryOf(table: FlowTable, flow: FlowIndex): number {
    return this.linksOf(table)[flow] - 1;
  }

  /** @param side 0: at the lower end's gate, 1: at the upper end's */
  ownerOf(entry: number, side: number): FlowIndex {
    return this.owners[2 * (entry - this.first) + side];
  }

  /** Whether an entry has these owners, at the lower and at the upper end's gate. */
  areOf(entry: number, lower: FlowIndex, upper: FlowIndex): boolean {
    return this.ownerOf(entry, 0) === lower && this.ownerOf(entry, 1) === upper;
  }

  /** Whose gate a flow of an entry is at: 0 the lower end's, 1 the upper end's. */
  sideOf(entry: number, flow: FlowIndex): number {
    return this.ownerOf(entry, 0) === flow ? 0 : 1;
  }

  /** Whether nobody has the entry, and nothing is left to be counted of it. */
  isFree(entry: number): boolean {
    return this.areOf(entry, NO_FLOW, NO_FLOW);
  }

  /** Whether both gates track the flow of an entry. */
  isTracked(entry: number): boolean {
    return this.ownerOf(entry, 0) !== UNTRACKED && this.ownerOf(entry, 1) !== UNTRACKED;
  }

  /** Whether neither does, so that the entry belongs to nobody. */
  isLoose(entry: number): boolean {
    return this.areOf(entry, UNTRACKED, UNTRACKED);
  }

  /** Gives an entry its owners. */
  give(entry: number, table: FlowTable, lower: FlowIndex, upper: FlowIndex): void {
    const links = this.linksOf(table);
    const at = 2 * (entry - this.first);
    this.owners[at] = lower;
    this.owners[at + 1] = upper;
    if (lower >= 0) links[lower] = entry + 1;
    if (upper >= 0) links[upper] = entry + 1;
  }

  /** Takes a flow off its entry: it has ended. */
  leave(entry: number, table: FlowTable, flow: FlowIndex): void {
    this.owners[2 * (entry - this.first) + this.sideOf(entry, flow)] = NO_FLOW;
    this.linksOf(table)[flow] = 0;
  }

  /** Takes all off an entry. */
  clear(entry: number, table: FlowTable): void {
    for (let side = 0; side < 2; side++) {
      const flow = this.ownerOf(entry, side);
      if (flow >= 0) this.linksOf(table)[flow] = 0;
      this.owners[2 * (entry - this.first) + side] = NO_FLOW;
    }
  }

  private linksOf(table: FlowTable): Int32Array {
    return table === this.flows4 ? this.links4 : this.links6;
  }
}

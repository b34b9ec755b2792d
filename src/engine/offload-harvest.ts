/**
 * Takes in what the kernel's programs have seen and counted of flows: when, what TCP has said, packets and bytes.
 *
 * Programs add to an entry at any time, also for some microseconds after it was taken back. Counts are taken by
 * exchange, and all else only grows, so what comes later is taken in later.
 */
import type { FlowAccounts } from '../conntrack/accounts.ts';
import {
  NO_FLOW,
  placeOf,
  portOf,
  seenAt,
  setSeenAt,
  stateWordAt,
  stateWordOf,
  type FlowIndex,
} from '../conntrack/entry.ts';
import { OPENED_LOCALLY, STATE_COUNT, timeoutState } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { raiseSide, SIDE_WORDS } from '../conntrack/tcp-sides.ts';
import {
  FLOW_BYTES,
  FLOW_HASH,
  FLOW_KIND,
  FLOW_PACKETS,
  FLOW_PLACES,
  FLOW_SEEN_MS,
  FLOW_SIDES,
  FLOW_TIMEOUT_MS,
  FLOW_WORDS,
} from '../offload/layout.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import type { OffloadCounts } from './offload-counts.ts';
import type { EntryOwners } from './offload-owners.ts';
import { UNTRACKED_IDLE_MS, type UntrackedEntries } from './offload-untracked.ts';

export interface HarvestParts {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  readonly accounts4: FlowAccounts | null;
  readonly accounts6: FlowAccounts | null;
  /** Idle time-outs: timeoutsMs[port * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
}

export class OffloadHarvest {
  private readonly parts: HarvestParts;
  private readonly words: Int32Array;
  private readonly owners: EntryOwners;
  private readonly counts: OffloadCounts;
  private readonly untracked: UntrackedEntries;

  /** @param words of the kernel's entries */
  constructor(
    parts: HarvestParts,
    words: Int32Array,
    owners: EntryOwners,
    counts: OffloadCounts,
    untracked: UntrackedEntries,
  ) {
    this.parts = parts;
    this.words = words;
    this.owners = owners;
    this.counts = counts;
    this.untracked = untracked;
  }

  tableOf(entry: number): FlowTable {
    return this.words[entry * FLOW_WORDS + FLOW_KIND] >>> 8 === 4
      ? this.parts.flows4
      : this.parts.flows6;
  }

  /** Takes into a flow what the kernel has seen of it. */
  pull(table: FlowTable, flow: FlowIndex): void {
    const { owners, words } = this;
    const entry = owners.entryOf(table, flow);
    const base = entry * FLOW_WORDS;
    const at = placeOf(table, flow);
    const seenMs = Atomics.load(words, base + FLOW_SEEN_MS);
    if (((seenMs - seenAt(table.words, at)) | 0) > 0) setSeenAt(table.words, at, seenMs);
    if ((words[base + FLOW_KIND] & 0xff) !== PROTO_TCP) return;
    const isLocalOpener = (stateWordAt(table.words, at) & OPENED_LOCALLY) !== 0;
    const local = owners.sideOf(entry, flow);
    raiseSide(table.words, at, isLocalOpener, words, base + FLOW_SIDES + local * SIDE_WORDS);
    raiseSide(table.words, at, !isLocalOpener, words, base + FLOW_SIDES + (1 - local) * SIDE_WORDS);
  }

  /** Takes in all that is known of an entry. */
  harvest(entry: number, nowMs: number): void {
    const { owners } = this;
    if (owners.isFree(entry)) return;
    const lower = owners.ownerOf(entry, 0);
    const upper = owners.ownerOf(entry, 1);
    const table = this.tableOf(entry);
    if (lower >= 0) this.pull(table, lower);
    if (upper >= 0) this.pull(table, upper);
    if (lower >= 0 && upper >= 0) this.setTimeout(entry, table);
    const places = this.words[entry * FLOW_WORDS + FLOW_PLACES];
    this.collect(entry, 0, table, lower, places >>> 16, upper, places & 0xffff, nowMs);
    this.collect(entry, 1, table, upper, places & 0xffff, lower, places >>> 16, nowMs);
  }

  /** Sets how long a flow may be idle: the shorter time of its two gates. */
  setTimeout(entry: number, table: FlowTable): void {
    const lower = this.timeoutOf(table, this.owners.ownerOf(entry, 0));
    const upper = this.timeoutOf(table, this.owners.ownerOf(entry, 1));
    this.words[entry * FLOW_WORDS + FLOW_TIMEOUT_MS] = lower < upper ? lower : upper;
  }

  private timeoutOf(table: FlowTable, flow: FlowIndex): number {
    if (flow < 0) return UNTRACKED_IDLE_MS;
    const state = timeoutState(stateWordOf(table, flow));
    return this.parts.timeoutsMs[portOf(table, flow) * STATE_COUNT + state];
  }

  /** Counts what one side has sent since it was last counted. */
  private collect(
    entry: number,
    side: number,
    table: FlowTable,
    sent: FlowIndex,
    from: number,
    received: FlowIndex,
    to: number,
    nowMs: number,
  ): void {
    const { words } = this;
    const base = entry * FLOW_WORDS;
    const packets = Atomics.exchange(words, base + FLOW_PACKETS + side, 0) >>> 0;
    if (packets === 0) return;
    const bytes = Atomics.exchange(words, base + FLOW_BYTES + side, 0) >>> 0;
    this.counts.add(from, to, packets, bytes);
    const isUdp = (words[base + FLOW_KIND] & 0xff) === PROTO_UDP;
    const seenMs = Atomics.load(words, base + FLOW_SEEN_MS);
    this.untracked.count(entry, side, from, to, packets, isUdp, words[base + FLOW_HASH], seenMs);
    const { flows4, accounts4, accounts6 } = this.parts;
    const accounts = table === flows4 ? accounts4 : accounts6;
    const sender = sent < 0 ? NO_FLOW : sent;
    const receiver = received < 0 ? NO_FLOW : received;
    this.counts.account(accounts, sender, receiver, packets, bytes, nowMs);
  }
}

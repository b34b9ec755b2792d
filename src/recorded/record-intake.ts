/** Takes in the records of flow logs: counts what each is, and guesses who opened its flow. */
import { STATUS_NO_DATA, STATUS_OK, STATUS_SKIPPED, type FlowRecord } from './flow-record.ts';
import { BY_FLAGS, BY_ORDER, BY_PORTS, lacksPorts, Opener } from './opener.ts';

export interface RecordCounts {
  records: number;
  /** By what it was told who had opened it: flags, ports, order. */
  byFlags: number;
  byPorts: number;
  byOrder: number;
  /** ICMP, of which a log has no type. */
  typeless: number;
  /** No packet can be such. */
  impossible: number;
  noData: number;
  skipData: number;
}

export class RecordIntake {
  firstMs = Infinity;
  lastMs = -Infinity;
  /** Of the record taken in last: its source opened the flow, and not its destination. */
  isFromSource = false;
  private readonly counts: RecordCounts;
  private readonly opener = new Opener();

  constructor(counts: RecordCounts) {
    this.counts = counts;
  }

  /** @returns whether it is a record of traffic */
  take(record: FlowRecord): boolean {
    const { counts } = this;
    const { status, startMs, endMs } = record;
    counts.records++;
    if (status === STATUS_NO_DATA) counts.noData++;
    if (status === STATUS_SKIPPED) counts.skipData++;
    if (status !== STATUS_OK) return false;
    if (startMs < this.firstMs) this.firstMs = startMs;
    if (endMs > this.lastMs) this.lastMs = endMs;
    this.isFromSource = this.opener.isSource(record);
    return true;
  }

  /** Whether it is no more than a guess which end opened the flow of the record taken in last. */
  isGuess({ protocol }: FlowRecord): boolean {
    return lacksPorts(protocol) || this.opener.basis === BY_ORDER;
  }

  /** Counts by what it was told who opened the flow of the record taken in last. */
  noteBasis({ protocol }: FlowRecord): void {
    const { counts, opener } = this;
    if (lacksPorts(protocol)) counts.typeless++;
    else if (opener.basis === BY_FLAGS) counts.byFlags++;
    else if (opener.basis === BY_PORTS) counts.byPorts++;
    else counts.byOrder++;
  }
}

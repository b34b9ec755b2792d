/** A RecordTable holds the records of one flow log in one interval. It adds up traffic with the same 5-tuple. */
import type { FlowRecord } from './flow-log-fields.ts';

/** Further records are skipped, and the log says so. Without a limit any sender could fill memory with new 5-tuples. */
export const RECORDS_MAX = 500_000;

/** The fields by which records differ. */
export type RecordKey = Omit<FlowRecord, 'packets' | 'bytes' | 'tcpFlags' | 'startMs' | 'endMs'>;

/** The fields that are added up. */
export type RecordSum = Pick<FlowRecord, 'packets' | 'bytes' | 'tcpFlags' | 'startMs' | 'endMs'>;

export class RecordTable {
  private readonly records = new Map<
    string,
    { readonly port: number; readonly record: FlowRecord }
  >();
  /** Ports with traffic, logged or not. The second set has the ports for which something was skipped. */
  readonly seen = new Set<number>();
  readonly skipped = new Set<number>();
  /** How often there was no room for a record. */
  refused = 0;

  add(port: number, key: RecordKey, sum: RecordSum): void {
    this.seen.add(port);
    const text = keyText(port, key);
    const known = this.records.get(text)?.record;
    if (known === undefined) {
      if (this.records.size >= RECORDS_MAX) {
        this.skipped.add(port);
        this.refused++;
      } else this.records.set(text, { port, record: { ...key, ...sum } });
      return;
    }
    known.packets += sum.packets;
    known.bytes += sum.bytes;
    known.tcpFlags |= sum.tcpFlags;
    known.startMs = Math.min(known.startMs, sum.startMs);
    known.endMs = Math.max(known.endMs, sum.endMs);
  }

  /** The records in the order in which they were first seen. */
  entries(): Iterable<{ readonly port: number; readonly record: FlowRecord }> {
    return this.records.values();
  }
}

function keyText(port: number, key: RecordKey): string {
  const { direction, action, protocol, srcaddr, srcport, dstaddr, dstport } = key;
  return `${port} ${direction} ${action} ${protocol} ${srcaddr} ${srcport} ${dstaddr} ${dstport} ${key.ruleId ?? ''} ${key.dropReason ?? ''} ${key.isAudited ?? ''}`;
}

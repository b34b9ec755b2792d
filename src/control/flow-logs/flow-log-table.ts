/** The records of one flow log in one interval: what comes together under a 5-tuple is added up. */
import type { FlowRecord } from './flow-log-fields.ts';

/** Beyond it records are skipped, and the log says so: whoever can send can make new 5-tuples. */
export const RECORDS_MAX = 500_000;

/** Everything that makes a record one of its own. */
export type RecordKey = Omit<FlowRecord, 'packets' | 'bytes' | 'tcpFlags' | 'startMs' | 'endMs'>;

/** What is added to it. */
export type RecordSum = Pick<FlowRecord, 'packets' | 'bytes' | 'tcpFlags' | 'startMs' | 'endMs'>;

export class RecordTable {
  private readonly records = new Map<
    string,
    { readonly port: number; readonly record: FlowRecord }
  >();
  /** Ports with traffic, logged or not, and ports of which something was skipped. */
  readonly seen = new Set<number>();
  readonly skipped = new Set<number>();
  /** How often something found no room. */
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

  /** In the order in which they were first seen. */
  entries(): Iterable<{ readonly port: number; readonly record: FlowRecord }> {
    return this.records.values();
  }
}

function keyText(port: number, key: RecordKey): string {
  const { direction, action, protocol, srcaddr, srcport, dstaddr, dstport } = key;
  return `${port} ${direction} ${action} ${protocol} ${srcaddr} ${srcport} ${dstaddr} ${dstport} ${key.ruleId ?? ''} ${key.dropReason ?? ''}`;
}

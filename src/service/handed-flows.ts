/**
 * Packs the flows of an interface that goes to another host, and reads those of one that comes, in the format of
 * snapshots (snapshot.ts).
 *
 * Who reads them does not believe them. A record is refused unless it is one that a tracker can have, its local address
 * is one of the interface's, and it was answered: a handshake is begun again by whoever began it. Then the packet loop
 * judges it by the rules (dataplane/handed-flows.ts). A flow with an address that was released goes and comes as one
 * that is ended. Hosts have clocks of their own, so records have ages and no times.
 */
import type { Address } from '../addr/address.ts';
import { packRecords, type FlowRecords } from '../dataplane/handed-flows.ts';
import { FlowRecord, recordWords } from '../conntrack/flow-record.ts';
import { isHalfOpen } from '../conntrack/half-open.ts';
import type { FlowFamily } from '../conntrack/entry.ts';
import { packFlows, SnapshotFlows } from './snapshot.ts';

/** Of one interface: 3 MB at most. Connections beyond go on by `conntrack.midstream: accept`. */
export const HANDED_MAX = 32_768;

const AGE_MAX_MS = 0x7fffffff;

/** Flows of an interface, as they go to another host. */
export interface PackedFlows {
  readonly bytes: Buffer;
  readonly flows: number;
  /** Answered ones that were left out, since there are too many. */
  readonly leftOut: number;
}

/** @param copied what the packet loops copied, of several ports */
export function packHanded(
  copied: readonly FlowRecords[],
  port: number,
  isReleased: (record: FlowRecord) => boolean = () => false,
): PackedFlows {
  const found = copied.flatMap(({ records4, records6 }) => [
    ...recordsOf(4, records4),
    ...recordsOf(6, records6),
  ]);
  const ofPort = found.filter((record) => record.port === port);
  for (const record of ofPort) if (isReleased(record)) record.revoke();
  const own = ofPort.filter((record) => !isHalfOpen(record.stateWord));
  const kept = own.slice(0, HANDED_MAX);
  const { records4, records6 } = packRecords(kept);
  const bytes = packFlows({ interfaces: [], rules: [] }, [
    { family: 4, words: records4 },
    { family: 6, words: records6 },
  ]);
  return { bytes, flows: kept.length, leftOut: own.length - kept.length };
}

/** Whose the flows are to be. */
export interface HandedTo {
  readonly port: number;
  readonly addresses: readonly Address[];
  /** How much older they are than when they were packed, on the scaled clock that flows age by. */
  readonly elapsedMs: number;
  readonly isReleased?: (record: FlowRecord) => boolean;
}

/**
 * Reads what `packHanded` packed.
 * @returns flows of this interface, and how many others there were
 * @throws SnapshotRefusal if it doesn't fit or is damaged
 */
export function readHanded(
  bytes: Buffer,
  { port, addresses, elapsedMs, isReleased = () => false }: HandedTo,
): { readonly records: readonly FlowRecord[]; readonly refused: number } {
  const own = new Set(addresses.map(({ words }) => words.map((word) => word | 0).join()));
  const records: FlowRecord[] = [];
  let refused = 0;
  SnapshotFlows.of(bytes).forEach((record) => {
    const ageMs = record.ageMs + elapsedMs;
    const isOwn = own.has(record.localAddress.join());
    if (!record.isSound || !isOwn || isHalfOpen(record.stateWord) || ageMs > AGE_MAX_MS) refused++;
    else {
      record.port = port;
      record.ageMs = ageMs;
      if (isReleased(record)) record.revoke();
      records.push(record);
    }
    return records.length < HANDED_MAX;
  });
  return { records, refused };
}

function recordsOf(family: FlowFamily, words: Int32Array): readonly FlowRecord[] {
  const size = recordWords(family);
  return Array.from(
    { length: words.length / size },
    (_, i) => new FlowRecord(words.subarray(i * size, (i + 1) * size)),
  );
}

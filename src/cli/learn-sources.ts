/** Where `sgctl learn` sees traffic: recordings, interfaces of this host, or the running daemon. */
import type { Conversations } from '../learn/conversations.ts';
import { PacketLearner, type PacketCounts } from '../learn/see-packets.ts';
import { RecordLearner, type LearntRecordCounts } from '../learn/see-records.ts';
import type { Owner } from '../learn/owners.ts';
import { readRecordings, type Recording } from '../recorded/read-recordings.ts';
import { count } from '../source/count.ts';
import { ProgressLine, readText } from './progress-line.ts';

/** What was looked at. */
export interface Looked {
  /** `2 captures`, `eth0, live`, `the daemon at …`. */
  readonly source: string;
  readonly firstMs: number;
  readonly lastMs: number;
  /** Interfaces, where the source knows them. */
  readonly owners: readonly Owner[] | undefined;
  readonly recordings: readonly Recording[];
  readonly counts: PacketCounts | LearntRecordCounts | DaemonCounts;
  /** What was missed or could not be read, each as a sentence without a full stop. */
  readonly missed: readonly string[];
}

export interface DaemonCounts {
  /** Flows that were seen. */
  seen: number;
  /** How often the table of flows was looked at. */
  looks: number;
}

export interface Unreadable {
  readonly file: string;
  readonly message: string;
}

export async function lookAtFiles(
  files: readonly string[],
  fields: readonly string[] | undefined,
  conversations: Conversations,
): Promise<Looked | Unreadable> {
  const begun: { learner?: PacketLearner | RecordLearner } = {};
  const progress = new ProgressLine();
  let recordings: Awaited<ReturnType<typeof readRecordings>>;
  try {
    recordings = await readRecordings(
      files,
      {
        ...(fields === undefined ? {} : { fields }),
        onProgress: (now) => progress.tell(() => readText(now, 'learnt from')),
      },
      (isCaptured) => {
        if (isCaptured) {
          const learner = new PacketLearner(conversations);
          begun.learner = learner;
          return { seePacket: (packet) => learner.see(packet), seeRecord: () => undefined };
        }
        const learner = new RecordLearner(conversations);
        begun.learner = learner;
        return { seePacket: () => undefined, seeRecord: (record) => learner.see(record) };
      },
    );
  } finally {
    progress.clear();
  }
  if ('message' in recordings) return recordings;
  const { intake, counts } = begun.learner!;
  const { firstMs, lastMs } = intake;
  const isCaptured = begun.learner instanceof PacketLearner;
  return {
    source: count(files.length, isCaptured ? 'capture' : 'flow log'),
    ...{ firstMs, lastMs, owners: undefined, recordings, counts },
    missed: missedOf(counts, recordings),
  };
}

function missedOf(
  counts: PacketCounts | LearntRecordCounts,
  recordings: readonly Recording[],
): readonly string[] {
  const told: (readonly [number, string])[] = [];
  if ('packets' in counts) {
    told.push([
      counts.unknownLink,
      `${count(counts.unknownLink, 'frame')} of a link that is not read`,
    ]);
    told.push([
      counts.cutShort,
      `${count(counts.cutShort, 'packet')} of which too little was captured`,
    ]);
  } else
    told.push([
      counts.skipData,
      `${count(counts.skipData, 'interval')} of which records are missing`,
    ]);
  const lost = recordings.reduce((sum, one) => sum + one.lost, 0);
  told.push([lost, `${count(lost, 'packet')} lost when it was captured`]);
  return told.flatMap(([amount, text]) => (amount > 0 ? [text] : []));
}

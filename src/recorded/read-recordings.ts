/**
 * Reads recordings, and hands what is in them to a listener: the packets of captures, or the records of flow logs.
 *
 * Captures are read side by side in the order of time, since several may show the two ends of a connection; flow logs
 * one after the other. Memory does not grow with the recordings.
 */
import { openSource, type ByteSource } from './byte-source.ts';
import { CaptureReader, isCapture } from './capture-reader.ts';
import { READ_MORE, READ_ONE, type CapturedPacket, type Damage } from './captured-packet.ts';
import { FlowLogReader, type BadLine } from './flow-log-reader.ts';
import type { FlowRecord } from './flow-record.ts';

/** What a file has to begin with to be recognized. */
const PEEK_BYTES = 64;
/** Captures that are read side by side. */
const CAPTURES_MAX = 256;

export interface ReadOptions {
  /** Names of a flow log's fields, where no header line has them. */
  readonly fields?: readonly string[];
  /** Called now and then with what has been read. */
  readonly onProgress: (progress: Progress) => void;
}

export interface Progress {
  readonly bytes: number;
  /** Undefined where a file has no size. */
  readonly ofBytes: number | undefined;
  /** Packets or records. */
  readonly items: number;
}

/** Whoever reads of recordings, of whichever kind they are. What is handed over is valid during the call. */
export interface RecordingListener {
  seePacket(packet: CapturedPacket): void;
  seeRecord(record: FlowRecord): void;
}

export interface Recording {
  readonly file: string;
  readonly kind: 'capture' | 'flow-log';
  /** Packets of a capture, lines of a flow log. */
  readonly items: number;
  /** Packets that whoever wrote it lost. */
  readonly lost: number;
  /** Why it could not be read to its end, with the byte. */
  readonly damage: Damage | undefined;
  /** Lines that could not be read, and the first of them. */
  readonly badLines: number;
  readonly told: readonly BadLine[];
}

/** Why nothing was read, without a full stop. */
export interface Unreadable {
  readonly file: string;
  readonly message: string;
}

/** @param begin gives the listener, once it is known whether the files are captures or flow logs */
export async function readRecordings(
  files: readonly string[],
  options: ReadOptions,
  begin: (isCaptured: boolean) => RecordingListener,
): Promise<readonly Recording[] | Unreadable> {
  const sources: ByteSource[] = [];
  try {
    const firsts: Buffer[] = [];
    for (const file of files) {
      const source = await openSource(file);
      if (typeof source === 'string') return { file, message: source };
      sources.push(source);
      firsts.push(await source.peek(PEEK_BYTES));
      if (source.failure !== undefined) return { file, message: source.failure };
    }
    const kinds = firsts.map(isCapture);
    const odd = kinds.findIndex((kind) => kind !== kinds[0]);
    if (odd >= 0) {
      const [other, first] = kinds[odd] ? ['capture', 'flow log'] : ['flow log', 'capture'];
      const message = `it is a ${other}, and ${files[0]} a ${first}: read them apart`;
      return { file: files[odd], message };
    }
    if (kinds[0] && files.length > CAPTURES_MAX)
      return { file: files[CAPTURES_MAX], message: `more than ${CAPTURES_MAX} captures at once` };
    const listener = begin(kinds[0]);
    return kinds[0]
      ? await readCaptures(sources, firsts, options, listener)
      : await readFlowLogs(sources, options, listener);
  } finally {
    for (const source of sources) await source.close();
  }
}

async function readCaptures(
  sources: readonly ByteSource[],
  firsts: readonly Buffer[],
  options: ReadOptions,
  listener: RecordingListener,
): Promise<readonly Recording[]> {
  const readers = sources.map((source, i) => new CaptureReader(source, firsts[i]));
  if (readers.length === 1) await readOne(readers[0], options, listener);
  else await readSideBySide(readers, options, listener);
  return readers.map((reader): Recording => ({
    ...{ file: reader.source.file, kind: 'capture', items: reader.packets, lost: reader.lost },
    ...{ damage: reader.damage, badLines: 0, told: [] },
  }));
}

async function readOne(
  reader: CaptureReader,
  options: ReadOptions,
  listener: RecordingListener,
): Promise<void> {
  const { packet, source } = reader;
  for (;;) {
    // Waiting for each packet would cost more than judging it.
    let read = reader.step();
    for (; read === READ_ONE; read = reader.step()) listener.seePacket(packet);
    if (read !== READ_MORE) return;
    await reader.feed();
    tellProgress([source], reader.packets, options);
  }
}

/** Takes the oldest of the next packets each time. */
async function readSideBySide(
  all: readonly CaptureReader[],
  options: ReadOptions,
  listener: RecordingListener,
): Promise<void> {
  const readers: CaptureReader[] = [];
  for (const reader of all) if (await reader.next()) readers.push(reader);
  const sources = all.map(({ source }) => source);
  while (readers.length > 0) {
    let oldest = 0;
    for (let i = 1; i < readers.length; i++)
      if (readers[i].packet.timeMs < readers[oldest].packet.timeMs) oldest = i;
    const reader = readers[oldest];
    listener.seePacket(reader.packet);
    let read = reader.step();
    while (read === READ_MORE) {
      await reader.feed();
      const items = all.reduce((sum, { packets }) => sum + packets, 0);
      tellProgress(sources, items, options);
      read = reader.step();
    }
    if (read !== READ_ONE) readers.splice(oldest, 1);
  }
}

async function readFlowLogs(
  sources: readonly ByteSource[],
  options: ReadOptions,
  listener: RecordingListener,
): Promise<readonly Recording[]> {
  const recordings: Recording[] = [];
  let items = 0;
  for (const source of sources) {
    const reader = new FlowLogReader(source, options.fields);
    let read = READ_MORE;
    while (read === READ_MORE) {
      await reader.feed();
      for (read = reader.step(); read === READ_ONE; read = reader.step()) {
        listener.seeRecord(reader.record);
        items++;
      }
      tellProgress(sources, items, options);
    }
    const { lines, badLines, told, damage } = reader;
    recordings.push({
      ...{ file: source.file, kind: 'flow-log', items: lines, lost: 0, damage, badLines, told },
    });
  }
  return recordings;
}

function tellProgress(
  sources: readonly ByteSource[],
  items: number,
  { onProgress }: ReadOptions,
): void {
  const sizes = sources.map(({ size }) => size);
  onProgress({
    bytes: sources.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
    ofBytes: sizes.includes(undefined) ? undefined : sizes.reduce((sum, one) => sum! + one!, 0),
    items,
  });
}

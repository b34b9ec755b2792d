/**
 * The daemon's log: pino, to the journal with fields where standard error goes there, else JSON lines on
 * standard error.
 *
 * A flood is kept short. Of lines with the same level and text LINES_MAX pass in INTERVAL_MS; the rest is
 * counted, and the count is told when the interval is over. What can be logged once a packet, or once
 * a request of a stranger, could otherwise fill a disk. Fatal lines always pass.
 */
import { LRUCache } from 'lru-cache';
import { pino, type LogFn, type Logger } from 'pino';
import type { Native } from '../../ports/native.ts';
import { isJournalStream, journalStream } from './journal.ts';

const STDERR = 2;
const LINES_MAX = 10;
const INTERVAL_MS = 10_000;
/** Different texts there are in the program, and some; beyond that the oldest is forgotten. */
const TEXTS_MAX = 500;
const LEVEL_FATAL = 60;

interface Count {
  lines: number;
  suppressed: number;
  until: number;
}

/** Counts lines by level and text. */
export class LogLimit {
  private readonly counts = new LRUCache<string, Count>({ max: TEXTS_MAX });

  /**
   * Whether a line may pass at `nowMs`.
   * @returns undefined if not; else how many of its kind were suppressed before it and not told yet
   */
  admit(level: number, text: string, nowMs: number): number | undefined {
    if (level >= LEVEL_FATAL) return 0;
    const key = `${level} ${text}`;
    let count = this.counts.get(key);
    if (count === undefined || nowMs >= count.until) {
      const before = count?.suppressed ?? 0;
      count = { lines: 1, suppressed: 0, until: nowMs + INTERVAL_MS };
      this.counts.set(key, count);
      return before;
    }
    count.lines++;
    if (count.lines <= LINES_MAX) return 0;
    count.suppressed++;
    return undefined;
  }

  /** Those with suppressed lines whose interval is over; they are told once. */
  takeOverdue(nowMs: number): { readonly text: string; readonly suppressed: number }[] {
    const overdue = [...this.counts.entries()].filter(
      ([, { suppressed, until }]) => suppressed > 0 && nowMs >= until,
    );
    return overdue.map(([key, count]) => {
      const { suppressed } = count;
      count.suppressed = 0;
      return { text: key.slice(key.indexOf(' ') + 1), suppressed };
    });
  }
}

/** Makes the log. It needs the addon to reach the journal. */
export function createLog(native: Native, environment: NodeJS.ProcessEnv): Logger {
  const plain = pino.destination({ fd: STDERR, sync: true });
  const stream = isJournalStream(environment, STDERR)
    ? journalStream(native, (line) => plain.write(line))
    : plain;
  const limit = new LogLimit();
  const log = pino(
    {
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      hooks: {
        logMethod(this: Logger, args: Parameters<LogFn>, method: LogFn, level: number): void {
          const text = args.find((arg): arg is string => typeof arg === 'string') ?? '';
          const suppressed = limit.admit(level, text, performance.now());
          if (suppressed === undefined) return;
          if (suppressed > 0) tellSuppressed(this, text, suppressed);
          method.apply(this, args);
        },
      },
    },
    stream,
  );
  const teller = setInterval(() => {
    for (const { text, suppressed } of limit.takeOverdue(performance.now()))
      tellSuppressed(log, text, suppressed);
  }, INTERVAL_MS);
  teller.unref();
  return log;
}

function tellSuppressed(log: Logger, text: string, suppressed: number): void {
  log.warn({ text, suppressed }, 'log lines of one kind were left out');
}

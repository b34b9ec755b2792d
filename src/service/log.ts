/**
 * This file makes the log of the daemon, and of the API's server, with pino. It goes to the journal with fields if
 * standard error goes there, else to standard error as JSON lines.
 *
 * A flood is kept short. Of lines with the same level and text, LINES_MAX pass in INTERVAL_MS. The rest is counted,
 * and the count is logged when the interval is over. Otherwise a line that is logged for each packet or each request
 * could fill a disk. Fatal lines always pass.
 */
import { LRUCache } from 'lru-cache';
import { pino, type LogFn, type Logger } from 'pino';
import type { Native } from '../ports/native.ts';
import { isJournalStream, journalStream } from './journal.ts';

const STDERR = 2;
const LINES_MAX = 10;
const INTERVAL_MS = 10_000;
/** More than the program has different texts. Beyond that the oldest is forgotten. */
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
   * Decides whether a line may pass at `nowMs`.
   * @returns undefined if not; else how many suppressed lines of its kind were not reported yet
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

  /** Takes the kinds with suppressed lines whose interval is over. Each is reported once. */
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

/** Makes the log. It reaches the journal through the native addon; without that it goes to standard error. */
export function createLog(native: Native | undefined, environment: NodeJS.ProcessEnv): Logger {
  const plain = pino.destination({ fd: STDERR, sync: true });
  const stream =
    native !== undefined && isJournalStream(environment, STDERR)
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

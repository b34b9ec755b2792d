/** Commands that run until somebody stops them, and what they draw on. */
import { cut } from './fit-table.ts';
import { EXIT_SIGINT, EXIT_SIGTERM } from './output.ts';

/**
 * Runs until it is done, Ctrl-C or SIGTERM asks to stop, or whoever reads our output has gone (`| head`). All end
 * what we do in good order; the exit code tells which it was: 130 and 143 for the signals, as shells have it.
 */
export async function runLive(run: (stop: AbortController) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const onInterrupt = (): void => interrupt(stop, EXIT_SIGINT);
  const onTerminate = (): void => interrupt(stop, EXIT_SIGTERM);
  process.on('SIGINT', onInterrupt).on('SIGTERM', onTerminate);
  process.stdout.on('error', () => stop.abort());
  try {
    await run(stop);
  } finally {
    process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate);
  }
}

/** What had ended by itself before the signal ended well. */
function interrupt(stop: AbortController, code: number): void {
  if (!stop.signal.aborted) process.exitCode = code;
  stop.abort();
}

/** Waits, or until it is stopped. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}

/** Waits until stdout has room again: a slow reader slows us, not our memory. */
export function drained(): void | Promise<void> {
  const { stdout } = process;
  if (!stdout.writableNeedDrain) return;
  return new Promise((resolve) => {
    stdout.once('drain', resolve).once('error', () => resolve());
  });
}

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const CTRL_C = '\x03';
const ROWS_DEFAULT = 24;
const COLUMNS_DEFAULT = 80;

/** The whole terminal, given back as it was. */
export class Screen {
  private draw: (() => readonly string[]) | undefined;
  private readonly leave = (): void => {
    process.stdout.write(LEAVE);
  };
  private readonly redraw = (): void => this.paint();
  private readonly onInput: (data: Buffer) => void;

  /** @param onKey called with each key but `q` and Ctrl-C, which stop: with 0, and as the signal would */
  constructor(stop: AbortController, onKey: (key: string) => void = () => undefined) {
    this.onInput = (data) => {
      for (const key of data.toString('utf8')) {
        if (key === CTRL_C) interrupt(stop, EXIT_SIGINT);
        else if (key === 'q') stop.abort();
        else onKey(key);
      }
      this.paint();
    };
  }

  get rows(): number {
    return process.stdout.rows || ROWS_DEFAULT;
  }

  get columns(): number {
    return process.stdout.columns || COLUMNS_DEFAULT;
  }

  open(): void {
    const { stdin, stdout } = process;
    stdout.write(ENTER);
    // Also if something throws: a terminal left without its cursor is no way to go.
    process.once('exit', this.leave);
    stdout.on('resize', this.redraw);
    if (!stdin.isTTY) return;
    stdin.setRawMode(true);
    stdin.on('data', this.onInput).resume();
  }

  close(): void {
    const { stdin, stdout } = process;
    process.off('exit', this.leave);
    stdout.off('resize', this.redraw);
    this.leave();
    if (!stdin.isTTY) return;
    stdin.setRawMode(false);
    stdin.off('data', this.onInput).pause();
  }

  /** Shows lines, now and anew whenever the terminal's size changes. */
  show(draw: () => readonly string[]): void {
    this.draw = draw;
    this.paint();
  }

  private paint(): void {
    if (this.draw === undefined) return;
    // The last row stays free: a line feed there would scroll everything.
    const lines = this.draw().slice(0, this.rows - 1);
    const text = lines.map((line) => `${line}${CLEAR_LINE}\n`).join('');
    process.stdout.write(`${HOME}${text}${CLEAR_BELOW}`);
  }
}

/** A line without colours, cut to the screen. */
export function fit(text: string, screen: Pick<Screen, 'columns'>): string {
  return cut(text, screen.columns);
}

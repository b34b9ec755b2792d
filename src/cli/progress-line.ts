/** Tells on stderr how far something is that takes longer than a moment. */
import type { Progress } from '../recorded/read-recordings.ts';
import { formatBytes, formatCount } from './units.ts';

/** How often progress is told: on a terminal one line is written again, elsewhere each is a line of its own. */
const TELL_MS = 500;
const TELL_LOG_MS = 10_000;

/** What is done within the first interval says nothing. */
export class ProgressLine {
  private readonly stream = process.stderr;
  private toldMs = performance.now();
  private isShown = false;

  /** @param text is called if it is time to tell */
  tell(text: () => string): void {
    const nowMs = performance.now();
    const { stream } = this;
    if (nowMs - this.toldMs < (stream.isTTY ? TELL_MS : TELL_LOG_MS)) return;
    this.toldMs = nowMs;
    stream.write(stream.isTTY ? `\r\x1b[K${text()}` : `${text()}\n`);
    this.isShown = stream.isTTY;
  }

  clear(): void {
    if (this.isShown) this.stream.write('\r\x1b[K');
    this.isShown = false;
  }
}

/** `read 12 MB of 40 MB (30 %), judged 12.3k`. @param verb what was done with the packets or records */
export function readText({ bytes, ofBytes, items }: Progress, verb: string): string {
  const part =
    ofBytes === undefined || ofBytes === 0
      ? ''
      : ` of ${formatBytes(ofBytes)} (${Math.floor((100 * bytes) / ofBytes)} %)`;
  return `read ${formatBytes(bytes)}${part}, ${verb} ${formatCount(items)}`;
}

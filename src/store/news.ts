/**
 * Tells watches of one process that the store has a new revision, whoever made it.
 *
 * Commits of this process say so themselves. Those of others are seen by inotify(7): each commit writes the -wal file.
 * It does so a moment before the commit is in force, and nothing tells when it is. So we look at once, and again after
 * 1, 2, 4, … ms. Looking reads one number (4 µs, Node.js 20). Besides we look four times a second, for what inotify
 * misses; every 20 ms where there is no inotify to be had (fs.inotify.max_user_instances).
 */
import { watch, type FSWatcher } from 'node:fs';

const POLL_MS = 250;
const POLL_ALONE_MS = 20;
/** After this long the poll takes over. A commit that waits for a slow disk takes longer. */
const AGAIN_MAX_MS = 128;

export class News {
  private readonly file: string;
  private readonly look: () => number;
  private readonly waiters = new Map<() => void, number>();
  private watcher: FSWatcher | undefined;
  private poll: NodeJS.Timeout | undefined;
  private again: NodeJS.Timeout | undefined;
  private newest = 0;
  /** When the file was last seen to be written. */
  private writtenAtMs = -Infinity;

  /**
   * @param file that commits write, there as long as this is used
   * @param look reads the newest revision
   */
  constructor(file: string, look: () => number) {
    this.file = file;
    this.look = look;
  }

  /** Takes note of a revision. */
  tell(revision: number): void {
    this.newest = Math.max(this.newest, revision);
    for (const [wake, after] of this.waiters) if (this.newest > after) wake();
  }

  /** Wakes up all who wait: the store is closed, or reading it fails. */
  wakeAll(): void {
    for (const wake of [...this.waiters.keys()]) wake();
  }

  /** Waits for a revision after `after`, the end of the signal, or wakeAll. */
  wait(after: number, signal: AbortSignal): Promise<void> {
    if (this.newest > after || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.waiters.delete(wake);
        signal.removeEventListener('abort', wake);
        if (this.waiters.size === 0) this.stopPoll();
        resolve();
      };
      this.waiters.set(wake, after);
      signal.addEventListener('abort', wake);
      this.listen();
      // What was committed since the caller looked, and before there was a watcher.
      this.lookNow();
      // A commit may have begun while nobody waited, and is not in force yet: nothing else would tell when it is.
      if (performance.now() - this.writtenAtMs < AGAIN_MAX_MS) this.lookSoon(1);
    });
  }

  close(): void {
    this.wakeAll();
    this.watcher?.close();
    this.watcher = undefined;
  }

  private listen(): void {
    if (this.watcher === undefined) {
      try {
        this.watcher = watch(this.file, { persistent: false }, () => {
          this.writtenAtMs = performance.now();
          this.lookSoon(1);
        });
        this.watcher.on('error', () => undefined);
      } catch {
        // No inotify. The poll is quicker then.
      }
    }
    this.poll ??= setInterval(
      () => this.lookNow(),
      this.watcher === undefined ? POLL_ALONE_MS : POLL_MS,
    );
  }

  private stopPoll(): void {
    clearInterval(this.poll);
    clearTimeout(this.again);
    this.poll = undefined;
    this.again = undefined;
  }

  /** @returns whether there was something new */
  private lookNow(): boolean {
    const before = this.newest;
    try {
      this.tell(this.look());
    } catch {
      // Who waits reads next, and gets the error with all that belongs to it.
      this.wakeAll();
    }
    return this.newest > before;
  }

  private lookSoon(pauseMs: number): void {
    if (this.waiters.size === 0) return;
    clearTimeout(this.again);
    if (this.lookNow() || pauseMs > AGAIN_MAX_MS) return;
    this.again = setTimeout(() => this.lookSoon(2 * pauseMs), pauseMs);
  }
}

/**
 * Tells watches of one process that the store has a new revision, whoever made it.
 *
 * Commits of this process say so themselves. Those of others write a byte into a file beside the store when they are
 * in force, and inotify(7) tells of it. SQLite's own files can't serve: they are written a moment before a commit is in
 * force. Besides we look four times a second, for what inotify misses, and for a process that was killed between the
 * two; every 20 ms where there is no such file, or no inotify to be had (fs.inotify.max_user_instances).
 */
import { closeSync, constants, fchmodSync, fstatSync, openSync, watch, writeSync } from 'node:fs';
import type { FSWatcher } from 'node:fs';

const POLL_MS = 250;
const POLL_ALONE_MS = 20;
const BYTE = Buffer.from('\n');

export class News {
  private readonly file: string;
  /** Undefined: it can't be written, or this is closed. */
  private fd: number | undefined;
  private readonly look: () => number;
  private readonly waiters = new Map<() => void, number>();
  private watcher: FSWatcher | undefined;
  private poll: NodeJS.Timeout | undefined;
  private newest = 0;

  /**
   * @param file where processes tell each other; made if it is not there
   * @param mode of the file, as that of the store: whoever commits must be able to write it
   * @param look reads the newest revision
   */
  constructor(file: string, mode: number, look: () => number) {
    this.file = file;
    this.fd = openRegular(file, mode);
    this.look = look;
  }

  /** Says that this process has made a revision, to the others too. */
  announce(revision: number): void {
    this.tell(revision);
    if (this.fd === undefined) return;
    try {
      writeSync(this.fd, BYTE, 0, 1, 0);
    } catch {
      // The disk is full. The others' poll finds the revision.
    }
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
    });
  }

  close(): void {
    this.wakeAll();
    this.watcher?.close();
    this.watcher = undefined;
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }

  private listen(): void {
    if (this.watcher === undefined && this.fd !== undefined) {
      try {
        this.watcher = watch(this.file, { persistent: false }, () => {
          if (this.waiters.size > 0) this.lookNow();
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
    this.poll = undefined;
  }

  private lookNow(): void {
    try {
      this.tell(this.look());
    } catch {
      // Who waits reads next, and gets the error with all that belongs to it.
      this.wakeAll();
    }
  }
}

/** Others of the group may have made it: a link or a pipe there must not lead or hold us anywhere. */
function openRegular(file: string, mode: number): number | undefined {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode);
  } catch {
    return undefined;
  }
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    return undefined;
  }
  // The umask may have taken the group's right from what we made. Another's file is theirs to change.
  if ((stat.mode & 0o777) !== mode && stat.uid === process.geteuid?.()) fchmodSync(fd, mode);
  return fd;
}

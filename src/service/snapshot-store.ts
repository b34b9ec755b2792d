/**
 * The SnapshotStore keeps the flow table between two processes, in `flows.snapshot` in the state directory.
 *
 * Nothing here throws. Without a fitting snapshot the daemon starts with an empty table, and connections go on by
 * `conntrack.midstream: accept`. So every failure is logged and does not stop the daemon. A file that can't be used
 * is renamed to `flows.snapshot.bad` for diagnosis.
 */
import { accessSync, constants, readFileSync, renameSync, rmSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { FlowTable } from '../conntrack/table.ts';
import type { Notifier } from './notify.ts';
import { tellProgress } from './progress.ts';
import {
  Snapshot,
  SnapshotRefusal,
  writeSnapshot,
  type FlowsContent,
  type SnapshotContent,
} from './snapshot.ts';
import { count } from '../source/count.ts';

const FILE = 'flows.snapshot';
/** Well within the 90 s that systemd gives a service to stop or start. */
export const TIME_BUDGET_MS = 20_000;

/** CLOCK_BOOTTIME, and the id of the boot that it counts from. */
export interface BootClock {
  readonly bootId: string;
  readonly nowMs: () => number;
}

/** Reads the boot clock. @returns undefined if it can't be read, as in a sandbox without /proc/sys */
export function systemBootClock(): BootClock | undefined {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return { bootId, nowMs: () => 1000 * uptime() };
  } catch {
    return undefined;
  }
}

export interface SnapshotStoreOptions {
  /** Undefined: nothing is saved or restored. */
  readonly directory: string | undefined;
  readonly log: Logger;
  readonly notifier: Notifier;
  /** Undefined if the age of a snapshot can't be known. Then none is made. */
  readonly clock: BootClock | undefined;
}

/** A snapshot to restore from, and the real time that has passed since. */
export interface OpenedSnapshot {
  readonly snapshot: Snapshot;
  readonly elapsedMs: number;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Warns at the start if no snapshot can be written: at the stop it would be too late. */
function tellUnwritable(directory: string, log: Logger): void {
  try {
    // With the slash the path can only be a directory.
    accessSync(`${directory}/`, constants.W_OK | constants.X_OK);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code;
    log.warn(
      { directory, why },
      'the state directory can not be written, so flows are not kept over a restart: make it, and let this user write there, or name another one with --state-dir',
    );
  }
}

export class SnapshotStore {
  private readonly options: SnapshotStoreOptions;
  private readonly file: string | undefined;

  constructor(options: SnapshotStoreOptions) {
    const { directory, clock, log } = options;
    this.options = options;
    this.file = directory === undefined || clock === undefined ? undefined : join(directory, FILE);
    if (directory !== undefined) tellUnwritable(directory, log);
    if (directory !== undefined && clock === undefined)
      log.warn({ directory }, 'flows are not kept over a restart: the boot id can not be read');
  }

  get isEnabled(): boolean {
    return this.file !== undefined;
  }

  /** Saves the flows; the loop must have stopped. */
  save(content: FlowsContent, tables: readonly FlowTable[], nowMs: number): void {
    const { file } = this;
    if (file === undefined) return;
    const { log } = this.options;
    const clock = this.options.clock!;
    const start = performance.now();
    try {
      const { flows, left, bytes } = writeSnapshot(file, {
        content: { ...content, bootId: clock.bootId, boottimeMs: clock.nowMs() },
        tables,
        nowMs,
        timeBudgetMs: TIME_BUDGET_MS,
        onProgress: this.progress('saving flows'),
      });
      const ms = Math.round(performance.now() - start);
      if (left > 0) log.warn({ flows, left, ms }, 'flows were left out: saving took too long');
      log.info(
        { file, flows, bytes, ms },
        `saved ${count(flows, 'flow', flows.toLocaleString('en-US'))}`,
      );
    } catch (error) {
      log.error(
        { why: reasonOf(error), file },
        'the flows could not be saved; connections go on if conntrack.midstream is accept',
      );
    }
  }

  /** Takes the snapshot, if there is one that fits. It is used once, so its file is deleted. */
  open(): OpenedSnapshot | undefined {
    const { file } = this;
    if (file === undefined) return undefined;
    let snapshot: Snapshot | undefined;
    try {
      const progress = this.progress('checking saved flows');
      snapshot = Snapshot.open(file, () => progress(undefined));
      if (snapshot === undefined) return undefined;
      const elapsedMs = this.ageOf(snapshot.content);
      rmSync(file);
      return { snapshot, elapsedMs };
    } catch (error) {
      snapshot?.close();
      this.putAside(file, error);
      return undefined;
    }
  }

  /** Makes a progress function for the log and the service manager, for steps that take long. */
  progress(what: string): (flows: number | undefined) => void {
    const tell = tellProgress(this.options.log, this.options.notifier, what);
    return (flows) => tell({ flows });
  }

  private ageOf({ bootId, boottimeMs }: SnapshotContent): number {
    const clock = this.options.clock!;
    if (bootId !== clock.bootId) throw new SnapshotRefusal('it is from before the last boot');
    const elapsedMs = clock.nowMs() - boottimeMs;
    if (!(elapsedMs >= 0))
      throw new SnapshotRefusal('it is from the future: the clock since boot went back');
    return elapsedMs;
  }

  private putAside(file: string, cause: unknown): void {
    const { log } = this.options;
    const why = reasonOf(cause);
    log.error(
      { file, why },
      'the saved flows are not used; connections go on if conntrack.midstream is accept',
    );
    try {
      renameSync(file, `${file}.bad`);
    } catch (error) {
      log.error({ why: reasonOf(error), file }, 'the saved flows could not be put aside');
    }
  }
}

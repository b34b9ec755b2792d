/**
 * Where the flow table waits between two processes: `flows.snapshot` in the state directory.
 *
 * Nothing here throws. Without a snapshot that fits, the daemon starts with an empty table and the
 * connections go on by `conntrack.midstream: accept`; so every failure is told and got over. A file that
 * can't be used is put aside as `flows.snapshot.bad`, for whoever wants to know why.
 */
import { readFileSync, renameSync, rmSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { FlowTable } from '../../conntrack/table.ts';
import type { Notifier } from './notify.ts';
import { Snapshot, SnapshotRefusal, writeSnapshot, type SnapshotContent } from './snapshot.ts';

const FILE = 'flows.snapshot';
/** Well within the 90 s that systemd gives a service to stop or start. */
export const TIME_BUDGET_MS = 20_000;
/** When it takes longer, it is told how far it has come. */
const PROGRESS_INTERVAL_MS = 2000;
const EXTENSION_MS = 30_000;

/** CLOCK_BOOTTIME and the boot it counts from. */
export interface BootClock {
  readonly bootId: string;
  readonly nowMs: () => number;
}

/** @returns undefined where the kernel does not tell, as in a sandbox without /proc/sys */
export function systemBootClock(): BootClock | undefined {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return { bootId, nowMs: () => 1000 * uptime() };
  } catch {
    return undefined;
  }
}

export interface SnapshotStoreOptions {
  /** undefined: nothing is saved, nothing is restored. */
  readonly directory: string | undefined;
  readonly log: Logger;
  readonly notifier: Notifier;
  /** undefined: how old a snapshot is can't be told, so none is made. */
  readonly clock: BootClock | undefined;
}

/** A snapshot to restore from, and the real time that passed since. */
export interface OpenedSnapshot {
  readonly snapshot: Snapshot;
  readonly elapsedMs: number;
}

export class SnapshotStore {
  private readonly options: SnapshotStoreOptions;
  private readonly file: string | undefined;

  constructor(options: SnapshotStoreOptions) {
    const { directory, clock, log } = options;
    this.options = options;
    this.file = directory === undefined || clock === undefined ? undefined : join(directory, FILE);
    if (directory !== undefined && clock === undefined)
      log.warn({ directory }, 'flows are not kept over a restart: the boot id can not be read');
  }

  get isEnabled(): boolean {
    return this.file !== undefined;
  }

  /** Saves the flows; the loop must have stopped. */
  save(
    content: Pick<SnapshotContent, 'interfaces' | 'rules' | 'untracked'>,
    tables: readonly FlowTable[],
    nowMs: number,
  ): void {
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
      log.info({ file, flows, bytes, ms }, `saved ${flows.toLocaleString('en-US')} flows`);
    } catch (error) {
      log.error(
        { err: error, file },
        'the flows could not be saved; connections go on if conntrack.midstream is accept',
      );
    }
  }

  /** The snapshot, if there is one that fits. It is gone from the directory then: it serves once. */
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

  /** Logs and tells the service manager, if it takes long. */
  progress(what: string): (flows: number | undefined) => void {
    let told = performance.now();
    return (flows) => {
      const now = performance.now();
      if (now - told < PROGRESS_INTERVAL_MS) return;
      told = now;
      this.options.log.info({ flows }, what);
      this.options.notifier.extendTimeout(EXTENSION_MS);
    };
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
    const why = cause instanceof Error ? cause.message : String(cause);
    log.error(
      { file, why },
      'the saved flows are not used; connections go on if conntrack.midstream is accept',
    );
    try {
      renameSync(file, `${file}.bad`);
    } catch (error) {
      log.error({ err: error, file }, 'the saved flows could not be put aside');
    }
  }
}

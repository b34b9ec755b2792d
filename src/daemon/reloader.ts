/**
 * The reloader reads the configuration again and puts it in force if it has no errors. Otherwise nothing changes.
 *
 * SIGHUP, the control socket and the watch on the files all use it. Reloads run one after the other. A request that
 * arrives while a reload is still waiting for its turn shares that reload: it has not read anything yet.
 */
import { statSync, unwatchFile, watchFile } from 'node:fs';
import type { Logger } from 'pino';
import { formatProblem, hasErrors, type Problem } from '../source/problem.ts';
import type { Handing } from './handing.ts';
import { refuseFixedChanges } from './changes.ts';
import { checkSystem } from '../config/check-system.ts';
import type { Config } from '../config/config.ts';
import { loadConfigApart } from '../config/load-apart.ts';
import type { LoadedConfig } from '../config/load-config.ts';
import {
  hasChanges,
  type Changes,
  type Impact,
  type ReloadResult,
} from '../queries/reload-result.ts';
import { NO_KIND, type PortKindName } from '../ports/port-kind.ts';
import type { WaitingDevice } from '../queries/interfaces-view.ts';
import { keyPath } from '../source/yaml.ts';

/**
 * How often watched files are polled. Polling also notices editors that replace a file; inotify on the file does not.
 */
const WATCH_INTERVAL_MS = 500;
/** The kernel's time of a change may be this much older than the clock. */
const CLOCK_TICK_MS = 10;

/** What runs by a configuration and can go over to another. */
export interface Reloadable {
  /** What is in force, and how often what packets are judged by has changed. */
  readonly config: Config;
  readonly generation: number;
  /**
   * @param handing tracked flows that go or come with interfaces
   * @throws Error if the change can't be made; nothing has changed then
   */
  reload(next: Config, handing?: Handing): Promise<Changes>;
  plan(next: Config): Promise<{ readonly changes: Changes; readonly impact: Impact }>;
  waiting(): readonly WaitingDevice[];
  readonly observatory: { noteReload(outcome: 'changed' | 'unchanged' | 'refused'): void };
}

export interface ReloaderOptions {
  readonly daemon: Reloadable;
  readonly file: string;
  readonly netnsDirectory: string;
  /** As loadConfig takes it. */
  readonly deviceKind?: PortKindName;
  readonly log: Logger;
  /** Called with the result of each reload, whoever asked for it. */
  readonly onResult: (result: ReloadResult) => void;
}

export class Reloader {
  private readonly options: ReloaderOptions;
  private watched: readonly string[] = [];
  /** The files that the last requested configuration names, even if it was refused. */
  private named: readonly string[] = [];
  /** Newly watched files, until the watch has polled them once. */
  private unseen: { readonly files: readonly string[]; readonly sinceMs: number } | undefined;
  private again: NodeJS.Timeout | undefined;
  /** When the last reading of the files began. The first one began after the process did. */
  private readAtMs = Date.now() - performance.now();
  private last: Promise<unknown> = Promise.resolve();
  private waiting: Promise<ReloadResult> | undefined;

  constructor(options: ReloaderOptions) {
    this.options = options;
  }

  /** Puts the files in force as they are now. Never throws: a refusal is a result and is logged. */
  reload(cause: string): Promise<ReloadResult> {
    this.waiting ??= this.inTurn(async () => {
      this.waiting = undefined;
      const result = await this.reloadNow(cause);
      this.options.onResult(result);
      return result;
    });
    return this.waiting;
  }

  /** Says what `reload` would do. It changes nothing. */
  plan(): Promise<ReloadResult> {
    return this.inTurn(async () => {
      const { config, problems } = await this.read();
      if (config === undefined) return { outcome: 'refused', problems };
      return { outcome: 'planned', ...(await this.options.daemon.plan(config)), problems };
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  private async reloadNow(cause: string): Promise<ReloadResult> {
    const { daemon, log } = this.options;
    const { config, problems, files } = await this.read();
    this.named = files;
    if (this.watched.length > 0) this.watch();
    if (config === undefined) return this.refuse(cause, problems);
    try {
      const changes = await daemon.reload(config);
      const outcome = hasChanges(changes) ? 'changed' : 'unchanged';
      daemon.observatory.noteReload(outcome);
      log.info({ cause, outcome, generation: daemon.generation }, 'reloaded');
      if (this.watched.length > 0) this.watch();
      const waiting = daemon.waiting().map((one) => waitingProblem(this.options.file, one));
      return {
        outcome,
        generation: daemon.generation,
        changes,
        problems: [...problems, ...waiting],
      };
    } catch (error) {
      return this.refuse(cause, [...problems, systemProblem(this.options.file, error)]);
    }
  }

  /**
   * Reloads whenever the configuration, one of its templates or a parameters file changes. It also watches the files of
   * the last refused configuration, because a missing template may appear later.
   */
  watch(): void {
    const files = [...new Set([...filesOf(this.options.daemon.config), ...this.named])];
    for (const file of this.watched.filter((known) => !files.includes(known))) unwatchFile(file);
    const added = files.filter((wanted) => !this.watched.includes(wanted));
    for (const file of added) {
      watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, (now, before) => {
        // For a missing file, it calls once to say that the file is missing.
        if (now.ino !== 0 || before.ino !== 0) void this.reload(`${file} changed`);
      });
    }
    this.watched = files;
    if (added.length === 0) return;
    // A poll compares with the poll before. Changes between the reading of a file and its first poll are found here.
    this.unseen = {
      files: [...(this.unseen?.files ?? []), ...added],
      sinceMs: this.unseen?.sinceMs ?? this.readAtMs,
    };
    clearTimeout(this.again);
    this.again = setTimeout(() => this.reloadUnseen(), WATCH_INTERVAL_MS).unref();
  }

  stopWatching(): void {
    clearTimeout(this.again);
    for (const file of this.watched) unwatchFile(file);
    this.watched = [];
  }

  private reloadUnseen(): void {
    const { files, sinceMs } = this.unseen!;
    this.unseen = undefined;
    const changed = files.find((file) => {
      const found = statSync(file, { throwIfNoEntry: false });
      return found !== undefined && found.ctimeMs > sinceMs - CLOCK_TICK_MS;
    });
    if (changed !== undefined) void this.reload(`${changed} changed`);
  }

  private async read(): Promise<Pick<LoadedConfig, 'config' | 'problems' | 'files'>> {
    const { daemon, file, netnsDirectory, deviceKind = NO_KIND } = this.options;
    this.readAtMs = Date.now();
    const loaded = await loadConfigApart(file, { netnsDirectory, deviceKind }).catch(
      (error: unknown) => ({
        config: undefined,
        problems: [systemProblem(file, error)],
        files: this.named,
      }),
    );
    const problems = [...loaded.problems];
    if (loaded.config !== undefined) {
      checkSystem(loaded.config, problems);
      refuseFixedChanges(daemon.config, loaded.config, problems);
    }
    return { ...loaded, config: hasErrors(problems) ? undefined : loaded.config, problems };
  }

  private refuse(cause: string, problems: readonly Problem[]): ReloadResult {
    this.options.daemon.observatory.noteReload('refused');
    const errors = problems.filter(({ severity }) => severity === 'error').map(formatProblem);
    this.options.log.error({ cause, errors }, 'configuration refused; what ran keeps running');
    return { outcome: 'refused', problems };
  }
}

/** Lists the configuration, its templates, and their parameters files. */
function filesOf(config: Config): string[] {
  return [config.file, ...config.otherFiles];
}

function waitingProblem(file: string, { name, device, reason }: WaitingDevice): Problem {
  return {
    severity: 'warning',
    code: 'waiting',
    at: { file, line: 0, column: 0 },
    path: name === 'uplink' ? 'uplink' : keyPath('interfaces', name),
    message: `${name} waits for ${device}: ${reason}`,
    hint: 'it comes when its device can be had; see: sgctl status',
  };
}

function systemProblem(file: string, error: unknown): Problem {
  return {
    severity: 'error',
    code: 'system',
    at: { file, line: 0, column: 0 },
    path: '',
    message: error instanceof Error ? error.message : String(error),
    hint: 'nothing was changed',
  };
}

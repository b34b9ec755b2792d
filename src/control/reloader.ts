/**
 * Reads the configuration again and puts it in force, if it is right as a whole; otherwise nothing changes.
 *
 * SIGHUP, the control socket and the watch on the files all end here, one after the other. Who asks while a reload is
 * waiting for its turn shares it: it has not read anything yet.
 */
import { unwatchFile, watchFile } from 'node:fs';
import type { Logger } from 'pino';
import { formatProblem, hasErrors, type Problem } from '../source/problem.ts';
import { refuseFixedChanges, hasChanges } from './changes.ts';
import { checkSystem } from './config/check-system.ts';
import type { Config } from './config/config.ts';
import type { Daemon } from './daemon.ts';
import { loadConfigApart } from './config/load-apart.ts';
import type { LoadedConfig } from './config/load-config.ts';
import type { ReloadResult, WaitingDevice } from './socket/protocol.ts';
import { keyPath } from '../source/yaml.ts';

/** How often watched files are looked at. Looking works for editors that replace a file, which a watch on it does not. */
const WATCH_INTERVAL_MS = 500;

export interface ReloaderOptions {
  readonly daemon: Daemon;
  readonly file: string;
  readonly netnsDirectory: string;
  readonly log: Logger;
  /** Told what came of each reload, whoever asked for it. */
  readonly onResult: (result: ReloadResult) => void;
}

export class Reloader {
  private readonly options: ReloaderOptions;
  private watched: readonly string[] = [];
  /** What the last configuration that was asked for names, also if it was refused. */
  private named: readonly string[] = [];
  private again: NodeJS.Timeout | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private waiting: Promise<ReloadResult> | undefined;

  constructor(options: ReloaderOptions) {
    this.options = options;
  }

  /** Puts the files in force as they are now. Never throws: a refusal is a result, and is logged. */
  reload(cause: string): Promise<ReloadResult> {
    this.waiting ??= this.inTurn(async () => {
      this.waiting = undefined;
      const result = await this.reloadNow(cause);
      this.options.onResult(result);
      return result;
    });
    return this.waiting;
  }

  /** What `reload` would do. Changes nothing. */
  plan(): Promise<ReloadResult> {
    return this.inTurn(async () => {
      const { config, problems } = await this.read();
      if (config === undefined) return { outcome: 'refused', problems };
      return { outcome: 'planned', ...this.options.daemon.plan(config), problems };
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
    const hasMore = this.watched.length > 0 && this.watch();
    if (config === undefined) {
      // What comes between the reading and the first look of the watch changes nothing that the watch could see.
      if (hasMore) this.again = setTimeout(() => void this.tryAgain(), WATCH_INTERVAL_MS).unref();
      return this.refuse(cause, problems);
    }
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
   * Reloads whenever the configuration, one of its templates or a parameters file changes: of the one in force, and of the last
   * one that was refused, whose template may only come.
   * @returns whether there are more of them than before
   */
  watch(): boolean {
    const files = [...new Set([...filesOf(this.options.daemon.config), ...this.named])];
    for (const file of this.watched.filter((known) => !files.includes(known))) unwatchFile(file);
    const added = files.filter((wanted) => !this.watched.includes(wanted));
    for (const file of added) {
      watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, (now, before) => {
        // Of a file that is not there it tells once that it is not.
        if (now.ino !== 0 || before.ino !== 0) void this.reload(`${file} changed`);
      });
    }
    this.watched = files;
    return added.length > 0;
  }

  stopWatching(): void {
    clearTimeout(this.again);
    for (const file of this.watched) unwatchFile(file);
    this.watched = [];
  }

  private async tryAgain(): Promise<void> {
    const { config } = await this.inTurn(() => this.read());
    if (config !== undefined) await this.reload('what was missing is there');
  }

  private async read(): Promise<Pick<LoadedConfig, 'config' | 'problems' | 'files'>> {
    const { daemon, file, netnsDirectory } = this.options;
    const loaded = await loadConfigApart(file, { netnsDirectory }).catch((error: unknown) => ({
      config: undefined,
      problems: [systemProblem(file, error)],
      files: this.named,
    }));
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

/** The configuration, its templates, and their parameters files. */
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

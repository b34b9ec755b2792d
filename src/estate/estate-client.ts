/**
 * An EstateClient keeps an estate up to date from a store, and makes changes to it.
 *
 * Theory of operation. It reads everything once, then watches. Changes of this process run one after the other, so they
 * collide only with those of other processes; then the change is made again on the newer estate. A commit of ours is
 * taken into the estate at once, if no other came between: it need not wait for the watch to say what we know.
 *
 * A change is in force when every host has said so (`applied/HOST`). If a host can't put it in force, or does not
 * answer in time, the change is taken back: every row it wrote is restored, unless somebody has built on it meanwhile.
 */
import type { Change, Commit, Store } from '../store/store.ts';
import type { Checked } from '../policy/refusals.ts';
import { Edit, type EditCommit } from './edit.ts';
import { Estate } from './estate.ts';

/** So often a change is made again because others changed what it read. */
const ATTEMPTS_MAX = 50;
/** How long to wait for the change of another process that we collided with. */
const NEWS_TIMEOUT_MS = 1000;

export interface EstateClientOptions {
  readonly store: Store;
  /** The watch has ended for good, or a row can't be read. */
  readonly onTrouble: (message: string) => void;
}

/** A change that was committed, with its answer. */
export interface Changed<T> {
  readonly value: T;
  /** Of the commit; that of the estate if nothing had to change. */
  readonly revision: number;
  /** What takes it back; undefined: nothing had to change. */
  readonly edit: Edit | undefined;
}

export type Enforcement =
  | { readonly kind: 'inForce' }
  | { readonly kind: 'refused'; readonly host: string; readonly message: string }
  /** These hosts have not answered in time. */
  | { readonly kind: 'late'; readonly hosts: readonly string[] };

export class EstateClient {
  readonly estate = new Estate();
  private readonly store: Store;
  private readonly onTrouble: (message: string) => void;
  private readonly ending = new AbortController();
  private readonly listeners = new Set<() => void>();
  private lastChange: Promise<unknown> = Promise.resolve();
  private watching: Promise<void> = Promise.resolve();

  private constructor({ store, onTrouble }: EstateClientOptions) {
    this.store = store;
    this.onTrouble = onTrouble;
  }

  /** @throws Error if the store can't be read */
  static async open(options: EstateClientOptions): Promise<EstateClient> {
    const client = new EstateClient(options);
    await client.readAll();
    client.watching = client.watch();
    return client;
  }

  /** Calls `listener` after each revision; it must not throw. @returns what ends that */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Makes a change and commits it. `work` is called again if somebody changed what it read.
   * @param mayBeLost see Commit
   * @throws Error if the store fails, or others change the same things all the time
   */
  change<T>(
    work: (edit: Edit) => Checked<T>,
    { mayBeLost }: Pick<Commit, 'mayBeLost'> = {},
  ): Promise<Checked<Changed<T>>> {
    const done = this.lastChange.then(() => this.changeNow(work, mayBeLost));
    this.lastChange = done.catch(() => undefined);
    return done;
  }

  /**
   * Takes back a change that was committed at `revision`.
   * @param since of several changes that are taken back one after the other, the last one first: what was changed by
   *   that, which this call adds to
   * @returns whether that was possible
   */
  async takeBack(
    edit: Edit,
    revision: number,
    since: Map<string, number> = new Map(),
  ): Promise<boolean> {
    const reversal = edit.reversal(revision, since);
    const outcome = await this.store.commit(reversal);
    if (outcome.kind === 'conflict') return false;
    this.takeOwn(reversal, outcome.revision);
    for (const { key } of reversal.puts) since.set(key, outcome.revision);
    for (const key of reversal.deletes) since.set(key, 0);
    return true;
  }

  /** Waits until all hosts that are known have put `revision`, which the estate has, in force. */
  async enforce(revision: number, timeoutMs: number): Promise<Enforcement> {
    // It changed nothing that hosts enforce, so none of them will say anything.
    if (this.estate.contentRevision < revision) return { kind: 'inForce' };
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const hosts = [...this.estate.applied()];
      for (const [host, { refused }] of hosts)
        if (refused !== undefined && refused.revision >= revision)
          return { kind: 'refused', host, message: refused.message };
      const behind = hosts.filter(([, applied]) => applied.revision < revision);
      if (behind.length === 0) return { kind: 'inForce' };
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) return { kind: 'late', hosts: behind.map(([host]) => host) };
      await this.news(leftMs);
    }
  }

  /** Why an interface that an edit attached is not in force, though the edit is; undefined: all of them are. */
  whyNotAttached({ attached }: Edit): string | undefined {
    for (const [id, host] of attached) {
      const why = this.estate.applied().get(host)?.leftOut?.[id];
      if (why !== undefined) return `${id} is not in force on ${host}: ${why}`;
    }
    return undefined;
  }

  /** Waits until the estate has this revision. */
  reach(revision: number, timeoutMs: number): Promise<boolean> {
    return this.until(() => this.estate.revision >= revision, timeoutMs);
  }

  /** Waits until something is so of the estate. @returns whether it is */
  async until(isSo: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while (!isSo()) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) return false;
      await this.news(leftMs);
    }
    return true;
  }

  /** Ends the watch, and closes the store. */
  async close(): Promise<void> {
    this.ending.abort();
    await this.watching;
    await this.store.close();
  }

  private async changeNow<T>(
    work: (edit: Edit) => Checked<T>,
    mayBeLost = false,
  ): Promise<Checked<Changed<T>>> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const edit = new Edit(this.estate);
      const done = work(edit);
      if (!done.ok) return done;
      const { value } = done;
      const before = this.estate.revision;
      if (edit.isEmpty) return { ok: true, value: { value, revision: before, edit: undefined } };
      const commit = edit.commit();
      const outcome = await this.store.commit({ ...commit, mayBeLost });
      if (outcome.kind === 'committed') {
        const { revision } = outcome;
        this.takeOwn(commit, revision);
        await this.reach(revision, NEWS_TIMEOUT_MS);
        return { ok: true, value: { value, revision, edit } };
      }
      if (this.estate.revision === before) await this.news(NEWS_TIMEOUT_MS);
    }
    throw new Error('others change the same things all the time; try again');
  }

  /** Takes in a commit of ours, unless a revision before it has not come yet: then the watch brings both. */
  private takeOwn({ puts, deletes }: EditCommit, revision: number): void {
    if (this.estate.revision !== revision - 1) return;
    this.take({ revision, puts: puts.map((row) => ({ ...row, revision })), deletes });
  }

  private take(change: Parameters<Estate['apply']>[0]): void {
    if (change.revision <= this.estate.revision) return;
    const known = new Set(this.estate.unreadable.keys());
    this.estate.apply(change);
    for (const [key, why] of this.estate.unreadable)
      if (!known.has(key)) this.onTrouble(`a row of the store can't be read: ${why}`);
    for (const listener of [...this.listeners]) listener();
  }

  /** Resolves with the next revision, or after a while. */
  private news(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      const stop = this.listen(done);
    });
  }

  private async readAll(): Promise<void> {
    const { revision, rows } = await this.store.read('');
    const keys = new Set(rows.map(({ key }) => key));
    const deletes = this.estate.keys().filter((key) => !keys.has(key));
    this.take({ revision, puts: rows, deletes });
    this.estate.revision = revision;
  }

  private async watch(): Promise<void> {
    const { signal } = this.ending;
    while (!signal.aborted) {
      try {
        const changes: AsyncIterable<Change> = this.store.watch('', this.estate.revision, signal);
        for await (const change of changes) this.take(change);
      } catch (error) {
        if (signal.aborted) return;
        this.onTrouble(error instanceof Error ? error.message : String(error));
        // What we missed may be gone from the history by now: everything is read anew.
        await this.readAgain();
      }
    }
  }

  private async readAgain(): Promise<void> {
    try {
      await this.readAll();
    } catch (error) {
      this.onTrouble(error instanceof Error ? error.message : String(error));
      await this.news(NEWS_TIMEOUT_MS);
    }
  }
}

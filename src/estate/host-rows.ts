/**
 * The rows that a host writes about itself: that it lives, which revision it has in force, and what its file declares.
 *
 * Theory of operation. The daemon says which rows there should be (`want…`). Whenever they differ from those that the
 * store has, they are written; what can't be written is tried again for as long as it is wanted. Nobody else writes
 * below `hosts/HOST/`, so a commit rests on nothing that was read. What is there is followed all the same: an
 * administrator may remove a host that is not dead after all.
 *
 * Between two writes there may be a shortest time, since each server of the API hears of each. What is wanted
 * meanwhile is written at once then, and only its last state.
 *
 * What the file declares is written before the revision in force: who waits for the latter sees the former. That the
 * host lives is written last and removed first, so whoever sees it can wait for the others. That row is kept by a
 * lease: a store that hosts share removes it soon after the host was killed or cut off. The others stay, since nothing
 * that hosts enforce may hang on a lease.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { follow } from '../store/follow.ts';
import { StoreError, type Change, type Commit, type Lease, type Store } from '../store/store.ts';
import { aliveKey, appliedKey, declaredPrefix, hostPrefix } from './keys.ts';
import type { AliveState } from './model.ts';
import { encodeAlive } from './rows.ts';

/** Rows that one commit writes at most. */
const ROWS_MAX = 100;
/** Between two attempts to write, while that fails. */
export const AGAIN_MS = 1000;
/**
 * A host that shares its store is held to live for so long after the store heard of it last. A member of etcd that
 * hangs is left for another before that is over.
 */
export const ALIVE_TTL_SEC = 10;

export interface HostRowsOptions {
  readonly store: Store;
  readonly host: string;
  /** What it says when it lives. `ttlSec` goes for the store, too, if that listens. */
  readonly alive: AliveState;
  /** The shortest time between two writes. */
  readonly intervalMs: number;
  /** What must be so before the store is told of it. It must not throw. */
  readonly before?: () => Promise<void>;
  readonly onTrouble: (message: string) => void;
}

export class HostRows {
  private readonly options: HostRowsOptions;
  private readonly aliveKey: string;
  private readonly appliedKey: string;
  private readonly declaredPrefix: string;
  private readonly ending = new AbortController();
  /** As the store has them. */
  private readonly rows = new Map<string, string>();
  private revision = 0;
  private isRead = false;
  private following: Promise<void> = Promise.resolve();
  private readonly aliveText: string;
  /** What keeps the row that this host lives; undefined: it was not put, or is to go. */
  private lease: Lease | undefined;
  private applied: string | undefined;
  private declared: ReadonlyMap<string, string> = new Map();
  private writing: Promise<void> | undefined;
  /** Ends with the attempt to write that is under way, or with the next. */
  private attempt = new Attempt();
  private isCommitting = false;
  /** Ends the pause between two writes: a host that leaves does so at once. */
  private readonly leaving = new AbortController();
  private lastWriteMs = -Infinity;

  constructor(options: HostRowsOptions) {
    const { host, alive } = options;
    this.options = options;
    this.aliveKey = aliveKey(host);
    this.appliedKey = appliedKey(host);
    this.declaredPrefix = declaredPrefix(host);
    this.aliveText = encodeAlive(alive);
  }

  /** Begins to follow the store. */
  start(): void {
    const { store, host, onTrouble } = this.options;
    const { signal } = this.ending;
    this.following = follow(
      {
        ...{ store, signal, onTrouble },
        prefix: hostPrefix(host),
        revision: () => this.revision,
        readAll: () => this.readAll(),
        take: (change) => this.take(change),
      },
      false,
    );
  }

  /** Whether the store has a row of this host. */
  has(key: string): boolean {
    return this.rows.has(key);
  }

  /** Whether the store has the row that says what is in force here, as it is wanted now. */
  get isTold(): boolean {
    return this.applied !== undefined && this.rows.get(this.appliedKey) === this.applied;
  }

  /**
   * Up to when the store surely says that this host lives, and the revision since which it has said so. See Lease. 0:
   * it need not say so.
   */
  get alive(): { readonly untilMs: number; readonly sinceRevision: number } {
    const { lease } = this;
    if (lease === undefined || !this.rows.has(this.aliveKey))
      return { untilMs: 0, sinceRevision: 0 };
    return { untilMs: lease.keptUntilMs, sinceRevision: lease.putRevision };
  }

  /** @param applied the text of the row that says what is in force; undefined: nobody shall wait for this host */
  want(applied: string | undefined, declared = this.declared): void {
    this.applied = applied;
    this.declared = declared;
    if (applied === undefined) this.leaving.abort();
    this.write();
  }

  /**
   * Waits until what is wanted now was written. Others who write at the same time only make it wait longer.
   * @returns false if an attempt failed, or it took too long
   */
  async flush(timeoutMs: number): Promise<boolean> {
    const end = new AbortController();
    const late = sleep(timeoutMs, false, { signal: end.signal }).catch(() => false);
    const written = (async (): Promise<boolean> => {
      while (!this.isRead || this.isCommitting || !this.isWritten) {
        if (end.signal.aborted || this.ending.signal.aborted) return false;
        if ((await this.attempt.ended) === 'failed') return false;
      }
      return true;
    })();
    try {
      return await Promise.race([written, late]);
    } finally {
      end.abort();
    }
  }

  /** A commit of this host beside the rows that are wanted. @throws StoreError */
  async commit(commit: Commit): Promise<void> {
    await this.options.store.commit(commit);
  }

  async close(): Promise<void> {
    this.ending.abort();
    await this.writing;
    await this.following;
  }

  private take({ revision, puts, deletes }: Change): void {
    for (const key of deletes) this.rows.delete(key);
    for (const { key, value } of puts) {
      this.rows.set(key, value);
      if (key === this.aliveKey && value !== this.aliveText && this.lease !== undefined)
        this.options.onTrouble(
          `another daemon says that it is the host ${this.options.host}: give each host a name of its own (--host)`,
        );
    }
    this.revision = revision;
    this.write();
  }

  private async readAll(): Promise<void> {
    const { store, host } = this.options;
    const { revision, rows } = await store.read(hostPrefix(host));
    this.rows.clear();
    for (const { key, value } of rows) this.rows.set(key, value);
    this.revision = revision;
    this.isRead = true;
    this.write();
  }

  /** The rows to write, and those to delete (undefined). */
  private pending(): readonly (readonly [key: string, value: string | undefined])[] {
    const { rows, declared, applied } = this;
    const gone = [...rows.keys()].filter(
      (key) => key.startsWith(this.declaredPrefix) && !declared.has(key),
    );
    const changed = [...declared].filter(([key, value]) => rows.get(key) !== value);
    const isTold = rows.get(this.appliedKey) === applied;
    return [
      ...gone.map((key) => [key, undefined] as const),
      ...changed,
      ...(isTold ? [] : [[this.appliedKey, applied] as const]),
    ];
  }

  /** Whether the store is to be told that this host lives, or that it does so no longer. */
  private get isLeaseDue(): boolean {
    if (this.applied === undefined) return this.lease !== undefined;
    // A process of this host that was killed may have left the row.
    return this.lease === undefined || !this.rows.has(this.aliveKey);
  }

  private get isWritten(): boolean {
    return this.pending().length === 0 && !this.isLeaseDue;
  }

  private write(): void {
    if (this.writing !== undefined || !this.isRead || this.isWritten) return;
    this.writing = this.writeAll().finally(() => {
      this.writing = undefined;
      if (!this.ending.signal.aborted) this.write();
    });
  }

  private async writeAll(): Promise<void> {
    const { intervalMs, onTrouble } = this.options;
    const { signal } = this.ending;
    const waitMs = this.lastWriteMs + intervalMs - performance.now();
    const isOver = AbortSignal.any([signal, this.leaving.signal]);
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: isOver }).catch(() => undefined);
    let outcome: AttemptOutcome = 'done';
    this.isCommitting = true;
    try {
      if (this.applied === undefined) await this.endLease();
      await this.commitPending();
      if (this.applied !== undefined) await this.putLease();
    } catch (error) {
      outcome = error instanceof StoreError && error.fault === 'busy' ? 'busy' : 'failed';
      onTrouble(`it can't be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.isCommitting = false;
    this.lastWriteMs = performance.now();
    this.attempt.end(outcome);
    this.attempt = new Attempt();
    if (outcome !== 'done') await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }

  private async commitPending(): Promise<void> {
    const pending = this.pending();
    await this.options.before?.();
    const declared = pending.filter(([key]) => key !== this.appliedKey);
    for (let at = 0; at < declared.length; at += ROWS_MAX)
      await this.commitRows(declared.slice(at, at + ROWS_MAX), false);
    const applied = pending.filter(([key]) => key === this.appliedKey);
    // Lost with the power, it would be told anew at the start.
    if (applied.length > 0) await this.commitRows(applied, true);
  }

  private async putLease(): Promise<void> {
    if (!this.isLeaseDue) return;
    const { store, alive } = this.options;
    const row = { key: this.aliveKey, value: this.aliveText };
    const lease = this.lease ?? store.lease(row, alive.ttlSec ?? ALIVE_TTL_SEC);
    const revision = await lease.put();
    this.lease = lease;
    if (revision > this.revision) this.rows.set(row.key, row.value);
  }

  private async endLease(): Promise<void> {
    const { lease } = this;
    this.lease = undefined;
    await lease?.release();
  }

  private async commitRows(
    rows: readonly (readonly [key: string, value: string | undefined])[],
    mayBeLost: boolean,
  ): Promise<void> {
    const { revision } = (await this.options.store.commit({
      conditions: [],
      puts: rows.flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }])),
      deletes: rows.flatMap(([key, value]) => (value === undefined ? [key] : [])),
      mayBeLost,
    })) as { readonly revision: number };
    // The watch may have told of it already, and of more.
    if (revision <= this.revision) return;
    for (const [key, value] of rows)
      if (value === undefined) this.rows.delete(key);
      else this.rows.set(key, value);
  }
}

type AttemptOutcome = 'done' | 'busy' | 'failed';

class Attempt {
  readonly ended: Promise<AttemptOutcome>;
  end!: (outcome: AttemptOutcome) => void;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }
}

/**
 * A lease of a store in etcd: one row that etcd removes when it hears nothing for a while.
 *
 * Theory of operation. A lease of etcd has a number, and a key may be put with it. It is renewed three times in its
 * time to live, at random moments, so that a thousand hosts don't come at once. A renewal goes to whichever member
 * answers, like any call. If etcd no longer knows the lease, it ran out while nobody could be reached: another is
 * granted and the row is put with that. A key hangs on the lease that it was put with last, so a lease that was granted
 * without our hearing of it, or one of a process before this one, runs out without a trace. Puts and renewals go one
 * after the other.
 *
 * What the store has promised is counted from before a renewal was sent: etcd counts from later on. A new leader of the
 * cluster begins to count anew, so leases last longer then, never shorter.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError, type Lease } from '../store.ts';
import { LIMIT_MS, type Asker } from './asker.ts';
import { CALL_LIMIT_MS, type Connection, type Say } from './connection.ts';
import { LEASE_GRANT, LEASE_KEEP_ALIVE } from './messages.ts';

/** Renewals in a time to live: two may fail. */
const RENEWALS = 3;
/** The longest pause after a failure. A connection that is lost has pauses of its own (connection.ts). */
const AGAIN_MOST_MS = 1000;

export interface EtcdLeaseParts {
  readonly connection: Connection;
  readonly asker: Asker;
  /** Puts the row with a lease of etcd. @returns the revision. @throws StoreError */
  readonly put: (leaseId: string, signal: AbortSignal) => Promise<number>;
  /** Deletes the row. @throws StoreError */
  readonly delete: () => Promise<unknown>;
  /** Of the store. */
  readonly closing: AbortSignal;
  readonly say: Say;
  /** By which `keptUntilMs` is told. */
  readonly clockMs: () => number;
}

export class EtcdLease implements Lease {
  keptUntilMs = 0;
  putRevision = 0;
  private readonly parts: EtcdLeaseParts;
  private readonly key: string;
  private readonly ttlSec: number;
  private readonly ending = new AbortController();
  private readonly over: AbortSignal;
  /** Of etcd's lease that is renewed; undefined: there is none. */
  private id: string | undefined;
  private keeping: Promise<void> | undefined;
  /** The last of the puts and renewals. */
  private turn: Promise<unknown> = Promise.resolve();
  private lastTrouble = '';

  constructor(parts: EtcdLeaseParts, key: string, ttlSec: number) {
    this.parts = parts;
    this.key = key;
    this.ttlSec = ttlSec;
    this.over = AbortSignal.any([parts.closing, this.ending.signal]);
  }

  async put(): Promise<number> {
    this.assertOpen();
    const signal = this.limit();
    const revision = await this.inTurn(async () => {
      if (this.id !== undefined) await this.renew(signal);
      return this.putNow(signal);
    });
    this.keeping ??= this.keep();
    return revision;
  }

  async release(): Promise<void> {
    this.ending.abort();
    await this.turn;
    await this.keeping;
    this.forget();
    // etcd's lease has no key then, and runs out by itself.
    await this.parts.delete();
  }

  /** Renews the lease until it is released or the store is closed. */
  private async keep(): Promise<void> {
    const everyMs = (this.ttlSec * 1000) / RENEWALS;
    for (;;) {
      const isWell = this.lastTrouble === '';
      await this.pause(
        isWell ? everyMs * (0.5 + Math.random() / 2) : AGAIN_MOST_MS * Math.random(),
      );
      if (this.over.aborted) return;
      try {
        await this.inTurn(() => this.renewOrPut());
        this.lastTrouble = '';
      } catch (error) {
        if (this.over.aborted) return;
        this.tell(error instanceof StoreError ? error.message : String(error));
      }
    }
  }

  private async renewOrPut(): Promise<void> {
    const signal = this.limit();
    if (this.id !== undefined) await this.renew(signal);
    if (this.id === undefined) await this.putNow(signal);
  }

  /** Others wait for their turn, so no attempt goes on for ever. */
  private limit(): AbortSignal {
    return AbortSignal.any([this.over, AbortSignal.timeout(LIMIT_MS)]);
  }

  private async renew(signal: AbortSignal): Promise<void> {
    const { connection, asker } = this.parts;
    await connection.ready(signal);
    const sentMs = this.parts.clockMs();
    const limitMs = Math.min(CALL_LIMIT_MS, (this.ttlSec * 1000) / RENEWALS);
    const { ttlSec } = await asker.ask(LEASE_KEEP_ALIVE, { id: this.id! }, signal, limitMs);
    if (ttlSec > 0) this.keptUntilMs = sentMs + ttlSec * 1000;
    else this.forget();
  }

  /** Puts the row, with a new lease if there is none. Nobody can tell what became of one that failed, so it is left. */
  private async putNow(signal: AbortSignal): Promise<number> {
    try {
      let promisedMs = this.keptUntilMs;
      if (this.id === undefined) {
        const { connection, asker } = this.parts;
        await connection.ready(signal);
        const sentMs = this.parts.clockMs();
        const { id, ttlSec } = await asker.ask(LEASE_GRANT, { ttlSec: this.ttlSec }, signal);
        this.id = id;
        promisedMs = sentMs + ttlSec * 1000;
      }
      const revision = await this.parts.put(this.id, signal);
      this.keptUntilMs = promisedMs;
      this.putRevision = revision;
      return revision;
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  private forget(): void {
    this.id = undefined;
    this.keptUntilMs = 0;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work);
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.over }).catch(() => undefined);
  }

  private tell(trouble: string): void {
    if (trouble !== this.lastTrouble) this.parts.say(`${this.key} is not renewed: ${trouble}`);
    this.lastTrouble = trouble;
  }

  private assertOpen(): void {
    if (this.over.aborted) throw this.parts.connection.fail('closed', 'it is closed');
  }
}

/**
 * The store of many hosts: keys below one prefix of a cluster of etcd, version 3.4 or later.
 *
 * A commit is one transaction of etcd, which compares the revision of the last put of each key that the commit names,
 * and the mark of the store (mark.ts). A read goes in pages, all at the revision of the first. A watch is watch.ts's.
 * What was asked and not answered is asked again, of another member, if it changes nothing; a commit is not, since it
 * may have happened. Commits of one store go one after the other: two at once could overtake each other.
 *
 * History is the cluster's, and so is compaction (`--auto-compaction-retention`).
 */
import {
  assertCommit,
  assertParts,
  assertPrefix,
  assertRevision,
  COMMIT_LIMITS,
} from '../limits.ts';
import { isPrefixPart, READ_TRIES } from '../parts.ts';
import type { EtcdPlace } from '../place.ts';
import {
  CompactedError,
  type Change,
  type Commit,
  type Lease,
  type Outcome,
  type Row,
  type Snapshot,
  type Store,
} from '../store.ts';
import { Asker, LIMIT_MS, NoRevision, TooLarge } from './asker.ts';
import { CALL_LIMIT_MS, Connection, type Say } from './connection.ts';
import { etcdError, verdictOf, wordsOf } from './faults.ts';
import { isCallError, type Channel } from './grpc.ts';
import { keyAfter, keysBelow, rowOf, type KeyRange, type Keys } from './keys.ts';
import { EtcdLease } from './lease.ts';
import {
  NO_LEASE,
  RANGE,
  TARGET,
  TXN,
  type Compare,
  type KeyValue,
  type RequestOp,
} from './messages.ts';
import { Watch } from './watch.ts';
import type { Message } from './wire.ts';

/** Rows of the first page of a read; later ones are as large as their rows let them. */
const PAGE_ROWS_FIRST = 64;
const PAGE_ROWS_MAX = 5000;
/** What a page should have, in bytes of values and keys. */
const PAGE_BYTES = 2 << 20;
/**
 * Opens the store at a place; makes it, if there is nothing yet.
 * @param say takes what a log should tell of the connection
 * @throws StoreError
 */
export async function openEtcdStore(
  place: EtcdPlace,
  say: Say = () => undefined,
  leaseClockMs = (): number => performance.now(),
): Promise<Store> {
  const keys = keysBelow(place.prefix);
  const connection = new Connection(place, keys, say);
  try {
    await connection.ready(AbortSignal.timeout(LIMIT_MS));
  } catch (error) {
    connection.close();
    throw error;
  }
  return new EtcdStore(connection, keys, say, leaseClockMs);
}

class EtcdStore implements Store {
  private readonly connection: Connection;
  private readonly keys: Keys;
  private readonly asker: Asker;
  private readonly say: Say;
  private readonly leaseClockMs: () => number;
  private readonly ending = new AbortController();
  /** The last of the commits that were asked for. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, keys: Keys, say: Say, leaseClockMs: () => number) {
    this.leaseClockMs = leaseClockMs;
    this.connection = connection;
    this.keys = keys;
    this.say = say;
    this.asker = new Asker(connection, keys);
  }

  async read(prefix: string, revision?: number): Promise<Snapshot> {
    assertPrefix(prefix);
    return this.asOf(revision, (at) => this.readInPages(this.keys.withPrefix(prefix), at));
  }

  async readParts(parts: readonly string[], revision?: number): Promise<Snapshot> {
    assertParts(parts);
    return this.asOf(revision, (at) => this.readInBatches(parts, at));
  }

  async commit(commit: Commit): Promise<Outcome> {
    assertCommit(commit);
    this.assertOpen();
    return this.commitInTurn(commit, AbortSignal.timeout(LIMIT_MS));
  }

  async *watch(prefix: string, after: number, signal: AbortSignal): AsyncGenerator<Change> {
    assertPrefix(prefix);
    assertRevision(after);
    this.assertOpen();
    const over = AbortSignal.any([signal, this.ending.signal]);
    const { connection, asker, keys } = this;
    yield* new Watch({ connection, asker, keys }, prefix, after).changes(over);
  }

  lease(row: { readonly key: string; readonly value: string }, ttlSec: number): Lease {
    const { connection, asker, say, leaseClockMs: clockMs } = this;
    const put: Commit = { conditions: [], puts: [row], deletes: [] };
    assertCommit(put);
    return new EtcdLease(
      {
        ...{ connection, asker, say, clockMs, closing: this.ending.signal },
        put: async (leaseId, signal) => {
          // It has no condition, so there is no conflict.
          const outcome = await this.commitInTurn(put, signal, leaseId);
          return (outcome as { readonly revision: number }).revision;
        },
        delete: () => this.commit({ conditions: [], puts: [], deletes: [row.key] }),
      },
      row.key,
      ttlSec,
    );
  }

  awaySinceMs(): number | undefined {
    return this.connection.awaySinceMs;
  }

  async close(): Promise<void> {
    this.ending.abort();
    await this.turn;
    this.connection.close();
  }

  /** Reads as of a revision, or of the present, again if that was compacted in the meantime. */
  private async asOf(
    revision: number | undefined,
    read: (at: number | undefined) => Promise<Snapshot>,
  ): Promise<Snapshot> {
    if (revision !== undefined) assertRevision(revision);
    this.assertOpen();
    for (let tries = 1; ; tries++) {
      try {
        return await (revision === 0 ? this.readBeginning() : read(revision));
      } catch (error) {
        if (!(error instanceof NoRevision)) throw error;
        // The caller named none: that of the first page was compacted before the last one.
        if (revision === undefined && tries < READ_TRIES) continue;
        throw new CompactedError(revision ?? 0, undefined, await this.asker.newest());
      }
    }
  }

  /** Revision 0 is the empty store, as long as etcd still has its first revision, at which nothing was there. */
  private async readBeginning(): Promise<Snapshot> {
    await this.asker.ask(RANGE, { key: this.keys.mark, revision: 1, keysOnly: true });
    return { revision: 0, rows: [] };
  }

  /** Many parts in one transaction: a question a part takes etcd, and us, longer than what it asks for. */
  private async readInBatches(
    parts: readonly string[],
    revision: number | undefined,
  ): Promise<Snapshot> {
    const rows: Row[] = [];
    let at = revision;
    for (let from = 0; from < parts.length; from += COMMIT_LIMITS.operations) {
      const ranges = parts
        .slice(from, from + COMMIT_LIMITS.operations)
        .map((part) => (isPrefixPart(part) ? this.keys.withPrefix(part) : this.keys.only(part)));
      const batch = await this.readBatch(ranges, at);
      at = batch.revision;
      for (const row of batch.rows) rows.push(row);
    }
    return { revision: at!, rows };
  }

  private async readBatch(
    ranges: readonly KeyRange[],
    revision: number | undefined,
  ): Promise<Snapshot> {
    if (ranges.length === 1) return this.readInPages(ranges[0], revision);
    try {
      const success = ranges.map((range): RequestOp => ({
        range: { ...range, revision: revision ?? 0, limit: PAGE_ROWS_FIRST },
      }));
      const { header, responses } = await this.asker.ask(TXN, { success });
      const at = revision ?? header?.revision ?? 0;
      const rows: Row[] = [];
      for (const [i, { range: page }] of responses.entries()) {
        const pairs = (page?.kvs ?? []) as KeyValue[];
        for (const pair of pairs) rows.push(rowOf(this.keys, pair));
        if (page?.more !== true) continue;
        const from = keyAfter(pairs[pairs.length - 1].key);
        const rest = await this.readInPages({ ...ranges[i], key: from }, at);
        for (const row of rest.rows) rows.push(row);
      }
      return { revision: at, rows };
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      const half = Math.ceil(ranges.length / 2);
      const first = await this.readBatch(ranges.slice(0, half), revision);
      const second = await this.readBatch(ranges.slice(half), first.revision);
      return { revision: second.revision, rows: [...first.rows, ...second.rows] };
    }
  }

  private async readInPages(range: KeyRange, revision: number | undefined): Promise<Snapshot> {
    const rows: Row[] = [];
    let [at, from, limit] = [revision, range.key, PAGE_ROWS_FIRST];
    for (;;) {
      const page = await this.readPage({ ...range, key: from }, at, limit);
      at ??= page.header?.revision ?? 0;
      let bytes = 0;
      for (const pair of page.kvs as KeyValue[]) {
        rows.push(rowOf(this.keys, pair));
        bytes += pair.key.length + pair.value.length;
        from = pair.key;
      }
      if (!page.more) return { revision: at, rows };
      if (page.kvs.length === 0) throw this.connection.fail('failed', 'a page without rows');
      from = keyAfter(from);
      const fitting = Math.floor((PAGE_BYTES * page.kvs.length) / bytes);
      limit = Math.max(1, Math.min(fitting, 8 * page.kvs.length, PAGE_ROWS_MAX));
    }
  }

  /** Reads a page, a smaller one if that is larger than a message may be. */
  private async readPage(
    range: KeyRange,
    revision: number | undefined,
    limit: number,
  ): Promise<Message<(typeof RANGE)['response']['fields']>> {
    for (let rows = limit; ; rows = Math.ceil(rows / 8)) {
      try {
        return await this.asker.ask(RANGE, { ...range, revision: revision ?? 0, limit: rows });
      } catch (error) {
        if (!(error instanceof TooLarge)) throw error;
        if (rows === 1) throw this.connection.fail('corrupt', 'a row is larger than 16 MiB', error);
      }
    }
  }

  /** @param leaseId which lease of etcd what is put hangs on */
  private commitInTurn(commit: Commit, signal: AbortSignal, leaseId = NO_LEASE): Promise<Outcome> {
    const mine = this.turn.then(() => this.commitNow(commit, signal, leaseId));
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async commitNow(commit: Commit, signal: AbortSignal, leaseId: string): Promise<Outcome> {
    const request = this.transactionOf(commit, leaseId);
    for (;;) {
      const channel = await this.connection.ready(signal);
      try {
        const { header, succeeded, responses } = await channel.call(TXN, request, CALL_LIMIT_MS);
        if (succeeded) return { kind: 'committed', revision: header?.revision ?? 0 };
        const [mark, ...found] = responses.map(({ range }) => range?.kvs?.[0]);
        return this.conflictOf(commit, mark as KeyValue | undefined, found);
      } catch (error) {
        this.takeFailure(channel, error, signal);
      }
    }
  }

  /** Returns if nothing was changed and another try may help. */
  private takeFailure(channel: Channel, error: unknown, signal: AbortSignal): void {
    if (!isCallError(error)) throw error;
    const verdict = verdictOf(error);
    switch (verdict.kind) {
      case 'elsewhere':
      case 'login':
        this.connection.drop(channel, verdict.what);
        if (signal.aborted) throw this.connection.fail('failed', verdict.what, error);
        return;
      case 'refused':
        throw this.connection.fail(verdict.fault, verdict.what, error);
      case 'unknown':
      case 'tooLarge':
      case 'noRevision': {
        const what = wordsOf(error);
        this.connection.drop(channel, what);
        const options = { committed: 'unknown', cause: error } as const;
        throw etcdError(this.connection.place.url, 'failed', what, options);
      }
    }
  }

  private transactionOf(
    { conditions, puts, deletes }: Commit,
    lease: string,
  ): Message<typeof TXN.request.fields> {
    const { mark } = this.connection.identity;
    const isOurs: Compare = { target: TARGET.value, key: this.keys.mark, value: mark };
    const holds = conditions.map(({ key, revision }): Compare => {
      return { target: TARGET.modRevision, key: this.keys.of(key), modRevision: revision };
    });
    const looks = conditions.map(({ key }): RequestOp => {
      return { range: { key: this.keys.of(key), keysOnly: true } };
    });
    return {
      compare: [isOurs, ...holds],
      success: [
        ...puts.map(({ key, value }): RequestOp => {
          return { put: { key: this.keys.of(key), value: Buffer.from(value), lease } };
        }),
        ...deletes.map((key): RequestOp => ({ delete: { key: this.keys.of(key) } })),
      ],
      failure: [{ range: { key: this.keys.mark } }, ...looks],
    };
  }

  private conflictOf(
    { conditions }: Commit,
    mark: KeyValue | undefined,
    found: readonly (Partial<KeyValue> | undefined)[],
  ): Outcome {
    if (mark?.value.equals(this.connection.identity.mark) !== true)
      throw this.connection.fail('gone', 'its mark is another one, or none');
    const keys = conditions
      .filter(({ revision }, i) => (found[i]?.modRevision ?? 0) !== revision)
      .map(({ key }) => key);
    if (keys.length === 0) throw this.connection.fail('failed', 'a conflict of no key');
    return { kind: 'conflict', keys };
  }

  private assertOpen(): void {
    if (this.ending.signal.aborted) throw this.connection.fail('closed', 'it is closed');
  }
}

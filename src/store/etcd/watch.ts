/**
 * A watch of a store in etcd, which goes on over lost connections.
 *
 * Theory of operation. `seen` is the revision up to which all was told. A stream of etcd begins at a revision and tells
 * the events from there on, in order. It doesn't split the events of a revision, but for answers that are too large
 * for one message: those come in fragments, and only the last one says that it is the last. So a revision is complete
 * when an event of a later one comes, or an answer's last fragment ends. When a connection is lost, what was not
 * complete is forgotten, and the next stream begins after `seen`: nothing is lost, nothing is told twice.
 *
 * A stream is asked for the events from `seen` on, not from the one after, and those of `seen` are left out. So etcd
 * refuses it if the cluster was compacted above `seen`: compaction forgets deletes of its own revision too.
 *
 * etcd would wait without a word for a revision that it has not reached. That is another cluster's, or one that was
 * restored, so each stream begins with a look at the newest revision.
 *
 * Who is slow makes no queue here: answers are fetched as they are taken, but for sixteen, each of at most about 2 MiB;
 * then TCP's windows are full, and etcd reads the events from its own store later.
 */
import { CompactedError, type Change, type Row } from '../store.ts';
import type { Asker } from './asker.ts';
import type { Connection } from './connection.ts';
import { verdictOf } from './faults.ts';
import { callError, isCallError, status, type Channel } from './grpc.ts';
import { rowOf, type Keys } from './keys.ts';
import { EVENT_DELETE, type KeyValue, type WatchResponse } from './messages.ts';

export class Watch {
  private readonly connection: Connection;
  private readonly asker: Asker;
  private readonly keys: Keys;
  private readonly prefix: string;
  private seen: number;

  constructor(
    parts: { readonly connection: Connection; readonly asker: Asker; readonly keys: Keys },
    prefix: string,
    after: number,
  ) {
    this.connection = parts.connection;
    this.asker = parts.asker;
    this.keys = parts.keys;
    this.prefix = prefix;
    this.seen = after;
  }

  /** Tells the changes until `over` is ended. @throws StoreError, CompactedError */
  async *changes(over: AbortSignal): AsyncGenerator<Change> {
    while (!over.aborted) {
      let channel: Channel | undefined;
      try {
        await this.assertReached(over);
        channel = await this.connection.ready(over);
        // It may have ended while others were waited for: a signal that has ended calls nobody any more.
        if (over.aborted) return;
        yield* this.stream(channel, over);
        this.connection.drop(channel, 'a watch ended');
      } catch (error) {
        if (over.aborted) return;
        this.takeFailure(channel, error);
      }
    }
  }

  /** Goes on where another connection may help. */
  private takeFailure(channel: Channel | undefined, error: unknown): void {
    if (!isCallError(error) || channel === undefined) throw error;
    const verdict = verdictOf(error);
    switch (verdict.kind) {
      case 'elsewhere':
      case 'login':
      case 'unknown':
        this.connection.drop(channel, verdict.what);
        return;
      case 'refused':
        throw this.connection.fail(verdict.fault, verdict.what, error);
      case 'tooLarge':
      case 'noRevision':
        throw this.connection.fail('corrupt', 'a part of a change is larger than 16 MiB', error);
    }
  }

  private async assertReached(over: AbortSignal): Promise<void> {
    const newest = await this.asker.newest(over);
    if (newest < this.seen) throw new CompactedError(this.seen, undefined, newest);
  }

  /** Tells what one stream brings, until it ends. */
  private async *stream(channel: Channel, over: AbortSignal): AsyncGenerator<Change> {
    const startRevision = Math.max(1, this.seen);
    const stream = channel.watch({ ...this.keys.withPrefix(this.prefix), startRevision });
    const cancel = (): void => stream.cancel();
    over.addEventListener('abort', cancel);
    try {
      const collector = new Collector(this.keys);
      for await (const response of stream) {
        this.asker.assertCluster(response.header, channel.endpoint);
        if (response.canceled) throw await this.cancelled(response, over);
        for (const change of collector.take(response)) {
          if (change.revision <= this.seen) continue;
          if (over.aborted) return;
          this.seen = change.revision;
          yield change;
        }
      }
    } finally {
      over.removeEventListener('abort', cancel);
      stream.cancel();
    }
  }

  /** What etcd says when it will not go on. It is no error of gRPC's, but has the same words. */
  private async cancelled(
    { compactRevision, cancelReason }: WatchResponse,
    over: AbortSignal,
  ): Promise<Error> {
    if (compactRevision > 0)
      return new CompactedError(this.seen, compactRevision, await this.asker.newest(over));
    const what = cancelReason === '' ? 'the member ended a watch' : cancelReason;
    return callError(status.UNKNOWN, what);
  }
}

/** Puts together the events of each revision. */
export class Collector {
  private readonly keys: Keys;
  private revision = 0;
  private events = new Map<string, KeyValue | undefined>();

  constructor(keys: Keys) {
    this.keys = keys;
  }

  /** @returns the revisions that are complete with this answer, in order */
  *take({ events, fragment }: WatchResponse): Generator<Change> {
    for (const { type, kv } of events) {
      if (kv === undefined) continue;
      const { modRevision = 0, key = Buffer.alloc(0) } = kv;
      if (modRevision > this.revision && this.events.size > 0) yield this.finish();
      this.revision = modRevision;
      this.events.set(this.keys.nameOf(key), type === EVENT_DELETE ? undefined : (kv as KeyValue));
    }
    if (!fragment && this.events.size > 0) yield this.finish();
  }

  private finish(): Change {
    const entries = [...this.events].sort(([a], [b]) => (a < b ? -1 : 1));
    this.events = new Map();
    const puts: Row[] = [];
    const deletes: string[] = [];
    for (const [key, put] of entries)
      if (put === undefined) deletes.push(key);
      else puts.push(rowOf(this.keys, put));
    return { revision: this.revision, puts, deletes };
  }
}

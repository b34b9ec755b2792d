/** Asks a cluster of etcd what may be asked again, of another member if one fails. */
import type { Connection } from './connection.ts';
import { CALL_LIMIT_MS } from './connection.ts';
import { verdictOf } from './faults.ts';
import { isCallError } from './grpc.ts';
import type { Keys } from './keys.ts';
import { RANGE, type Method } from './messages.ts';
import type { Message, Shape } from './wire.ts';

/** How long a call tries again. */
export const LIMIT_MS = 10_000;

/** The revision that was asked for is not there: it was compacted, or has not come yet. */
export class NoRevision extends Error {}

/** The answer is larger than we take. */
export class TooLarge extends Error {}

export class Asker {
  private readonly connection: Connection;
  private readonly keys: Keys;

  constructor(connection: Connection, keys: Keys) {
    this.connection = connection;
    this.keys = keys;
  }

  /**
   * Asks, until a member has answered or `signal` is ended.
   * @param limitMs how long a member has for its answer
   * @throws StoreError, NoRevision, TooLarge
   */
  async ask<I extends Shape, O extends Shape>(
    method: Method<I, O>,
    argument: Partial<Message<I>>,
    signal: AbortSignal = AbortSignal.timeout(LIMIT_MS),
    limitMs = CALL_LIMIT_MS,
  ): Promise<Message<O>> {
    for (;;) {
      const channel = await this.connection.ready(signal);
      try {
        const answer = await channel.call(method, argument, limitMs);
        this.assertCluster(
          (answer as { header?: { clusterId?: string } }).header,
          channel.endpoint,
        );
        return answer;
      } catch (error) {
        if (!isCallError(error)) throw error;
        const verdict = verdictOf(error);
        switch (verdict.kind) {
          case 'noRevision':
            throw new NoRevision();
          case 'tooLarge':
            throw new TooLarge();
          case 'refused':
            throw this.connection.fail(verdict.fault, verdict.what, error);
          case 'elsewhere':
          case 'login':
          case 'unknown':
            this.connection.drop(channel, verdict.what);
            if (signal.aborted) throw this.connection.fail('failed', verdict.what, error);
        }
      }
    }
  }

  /** The newest revision of the cluster, which no member's answer can be behind. */
  async newest(signal?: AbortSignal): Promise<number> {
    const { header } = await this.ask(RANGE, { key: this.keys.mark, keysOnly: true }, signal);
    return header?.revision ?? 0;
  }

  /** A connection that came back by itself may have come to another cluster. @throws StoreError */
  assertCluster(header: { readonly clusterId?: string } | undefined, endpoint: string): void {
    const { clusterId } = this.connection.identity;
    if (header?.clusterId !== clusterId)
      throw this.connection.fail('gone', `at ${endpoint} is another cluster now`);
  }
}

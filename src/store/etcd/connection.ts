/**
 * Keeps one connection to a member of a cluster of etcd, whichever answers.
 *
 * Theory of operation. There is at most one connection. It is given out only after the member has shown that it has the
 * store that we mean (mark.ts), so what follows fails for the connection or for itself, never for the wrong cluster.
 * Whoever finds that it fails drops it, and who needs one next connects anew: to all members in a random order, but the
 * one that failed last at the end; then again after a pause. The pauses are random, from nothing to 0.2 s at first and
 * to 10 s at last: a thousand hosts that lost the same member come back spread over time. As long as nobody needs a
 * connection, nobody tries.
 *
 * Each who waits has a limit of time, or waits as long as it takes: a watch has nothing better to do. What can't get
 * better by waiting (no right, another cluster, a wrong certificate) ends the waiting at once, if no member is better.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdPlace } from '../place.ts';
import { StoreError } from '../store.ts';
import { etcdError, verdictOf, wordsOf } from './faults.ts';
import { Channel, isCallError, readSecret } from './grpc.ts';
import type { Keys } from './keys.ts';
import { identify, type Identity } from './mark.ts';
import { AUTHENTICATE } from './messages.ts';

/** Of one call. A leader is elected anew within two seconds as a rule. */
export const CALL_LIMIT_MS = 5000;
const PAUSE_FIRST_MS = 200;
const PAUSE_MAX_MS = 10_000;

/** Takes note of what a log should tell: that the connection is lost, and why, and that it is there again. */
export type Say = (message: string) => void;

export class Connection {
  readonly place: EtcdPlace;
  private readonly keys: Keys;
  private readonly say: Say;
  private readonly ending = new AbortController();
  private current: Channel | undefined;
  private attempt: Promise<Channel> | undefined;
  /** How many wait for a connection. */
  private waiting = 0;
  private known: Identity | undefined;
  /** Why the last one ended; undefined: it has not. */
  private lost: string | undefined;
  private lostSinceMs: number | undefined;
  /** Whose connection failed last. */
  private lostEndpoint: string | undefined;
  /** Of each member, why it did not serve. */
  private readonly reasons = new Map<string, string>();

  constructor(place: EtcdPlace, keys: Keys, say: Say) {
    this.place = place;
    this.keys = keys;
    this.say = say;
  }

  /** Since when there is none, by `performance.now()`; undefined: there is one. */
  get awaySinceMs(): number | undefined {
    return this.lostSinceMs;
  }

  /** The store that was found by the first connection. */
  get identity(): Identity {
    return this.known!;
  }

  /**
   * A connection to a member that has the store.
   * @param signal how long to wait for it
   * @throws StoreError, which says nothing was changed
   */
  async ready(signal: AbortSignal): Promise<Channel> {
    if (this.current?.isReady === true) return this.current;
    if (this.current !== undefined) this.drop(this.current, 'the connection ended');
    this.waiting++;
    const over = AbortSignal.any([signal, this.ending.signal]);
    try {
      this.attempt ??= this.connect().finally(() => (this.attempt = undefined));
      return await unlessAborted(this.attempt, over);
    } catch (error) {
      if (this.ending.signal.aborted) throw this.fail('closed', 'it was closed');
      if (!over.aborted) throw error;
      throw this.fail('failed', `no member answers as it should (${this.why()})`, error);
    } finally {
      this.waiting--;
    }
  }

  /** Ends a connection that failed, unless that has been done. */
  drop(channel: Channel, what: string): void {
    if (this.current !== channel) return;
    this.current = undefined;
    channel.close();
    if (this.ending.signal.aborted) return;
    this.lost = what;
    this.lostEndpoint = channel.endpoint;
    this.lostSinceMs ??= performance.now();
    this.say(`the store ${this.place.url}: lost ${channel.endpoint} (${what}); trying all members`);
  }

  close(): void {
    this.ending.abort();
    this.current?.close();
    this.current = undefined;
  }

  fail(fault: StoreError['fault'], what: string, cause?: unknown): StoreError {
    return etcdError(this.place.url, fault, what, { cause });
  }

  private async connect(): Promise<Channel> {
    // Those who lost a member at the same moment must not come to the next one at the same moment.
    if (this.lost !== undefined) await this.pause(PAUSE_FIRST_MS);
    for (let most = PAUSE_FIRST_MS; ; most = Math.min(2 * most, PAUSE_MAX_MS)) {
      const channel = await this.tryAll();
      if (channel !== undefined) return channel;
      if (this.waiting === 0) throw this.fail('failed', 'nobody waits for it');
      await this.pause(most);
    }
  }

  /** @returns undefined if no member serves now. @throws StoreError if none will */
  private async tryAll(): Promise<Channel | undefined> {
    let hopeless: StoreError | undefined;
    // One that hangs would hold us up for seconds before the others are asked.
    const isLost = (endpoint: string): number => Number(endpoint === this.lostEndpoint);
    const endpoints = shuffled(this.place.endpoints).sort((a, b) => isLost(a) - isLost(b));
    for (const endpoint of endpoints) {
      if (this.ending.signal.aborted) throw this.fail('closed', 'it was closed');
      const channel = await this.tryOne(endpoint);
      if (channel instanceof Channel) return this.take(channel);
      hopeless ??= channel;
    }
    if (hopeless !== undefined) throw hopeless;
    return undefined;
  }

  private take(channel: Channel): Channel {
    this.current = channel;
    this.reasons.clear();
    if (this.lost !== undefined)
      this.say(`the store ${this.place.url}: at ${channel.endpoint} now`);
    this.lost = undefined;
    this.lostSinceMs = undefined;
    return channel;
  }

  /** @returns what waiting would not mend; undefined where it may */
  private async tryOne(endpoint: string): Promise<Channel | StoreError | undefined> {
    let channel: Channel | undefined;
    try {
      channel = new Channel(this.place, endpoint);
      await this.logIn(channel);
      this.known = await identify(channel, this.keys, this.known, CALL_LIMIT_MS, (fault, what) =>
        this.fail(fault, what),
      );
      return channel;
    } catch (error) {
      channel?.close();
      const { what, failure } = this.judge(endpoint, error);
      this.reasons.set(endpoint, what);
      return failure;
    }
  }

  /** Why a member does not serve, and the failure if it will not either. */
  private judge(endpoint: string, error: unknown): { what: string; failure?: StoreError } {
    if (error instanceof StoreError) return { what: error.message, failure: error };
    if (!isCallError(error)) throw error;
    const verdict = verdictOf(error);
    if (verdict.kind !== 'refused') return { what: wordsOf(error) };
    const failure = this.fail(verdict.fault, `${endpoint}: ${verdict.what}`, error);
    return { what: verdict.what, failure };
  }

  private async logIn(channel: Channel): Promise<void> {
    const { login } = this.place;
    if (login === undefined) return;
    const password = readSecret(login.passwordFile)
      .toString()
      .replace(/\r?\n$/, '');
    const asked = { name: login.user, password };
    const { token } = await channel.call(AUTHENTICATE, asked, CALL_LIMIT_MS);
    channel.setToken(token);
  }

  private why(): string {
    return [...this.reasons].map(([endpoint, what]) => `${endpoint}: ${what}`).join('; ');
  }

  /** Waits for a random part of a time; less if this is closed. */
  private async pause(mostMs: number): Promise<void> {
    const { signal } = this.ending;
    await sleep(Math.random() * mostMs, undefined, { signal }).catch(() => undefined);
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  const left = [...items];
  return items.map(() => left.splice(Math.floor(Math.random() * left.length), 1)[0]);
}

/** Rejects as soon as the signal is ended, whatever becomes of the work. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(new Error('ended'));
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}

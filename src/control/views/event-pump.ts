/**
 * Takes what the packet loop tells (engine/events.ts) out of its ring, and hands it to whoever asked.
 *
 * The loop is told to tell no more than somebody wants. The ring is looked at when its first record comes, then 20
 * times a second until it is found empty: at 16,384 records that is room for 327,000 events a second; what
 * comes faster is lost, counted, and told to those who must know (flow logs write SKIPDATA). With nothing to tell
 * nobody wakes up. A look takes at most TAKEN_MAX records, so that scrapes and requests get their turn under a flood.
 */
import { EVENTS_MAX, type EventReader } from '../../engine/events.ts';
import { takeInOrder } from '../../engine/merge-rings.ts';

const INTERVAL_MS = 50;
const TAKEN_MAX = EVENTS_MAX;

export interface EventListener {
  /** WANT_… bits of what it is told; others of the same ring's listeners want may come as well. */
  readonly wants: number;
  /** `at` is the record's first word in `words`; `doubles` is the same memory. @param loop which packet loop tells */
  take(words: Int32Array, doubles: Float64Array, at: number, loop: number): void;
  /** After each look at the ring, with the records lost since the one before. */
  settle?(lost: number): void;
}

export class EventPump {
  private readonly readers: readonly EventReader[];
  private readonly sleeping = new Set<EventReader>();
  private readonly listeners = new Set<EventListener>();
  private timer: NodeJS.Timeout | undefined;
  private hasStopped = false;
  private lostBefore = 0;
  private taken = 0;

  /** @param readers one a packet loop */
  constructor(readers: readonly EventReader[]) {
    this.readers = readers;
    this.rest();
  }

  /** Records taken and records lost since the start. */
  get counts(): { readonly taken: number; readonly lost: number } {
    return { taken: this.taken, lost: this.lost };
  }

  /** @returns what ends it */
  listen(listener: EventListener): () => void {
    this.listeners.add(listener);
    this.wantWhatIsWanted();
    return () => {
      this.listeners.delete(listener);
      this.wantWhatIsWanted();
    };
  }

  /** Hands over everything there is now: before what is told has to be complete. */
  flush(): void {
    this.look(Infinity);
  }

  stop(): void {
    this.hasStopped = true;
    clearTimeout(this.timer);
    for (const reader of this.readers) reader.want(0);
  }

  /** Sleeps until a loop tells something. */
  private rest(): void {
    for (const reader of this.readers) {
      if (this.sleeping.has(reader)) continue;
      const woken = reader.sleep();
      if (woken === undefined) {
        this.schedule();
        continue;
      }
      this.sleeping.add(reader);
      void woken.then(() => {
        this.sleeping.delete(reader);
        // Another loop may have been first.
        if (this.timer === undefined && !this.hasStopped) this.lookOnAndOn();
      });
    }
  }

  private lookOnAndOn(): void {
    this.timer = undefined;
    if (this.look(TAKEN_MAX) > 0) this.schedule();
    else this.rest();
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => this.lookOnAndOn(), INTERVAL_MS).unref();
  }

  private look(most: number): number {
    const { readers } = this;
    const taken =
      readers.length === 1
        ? this.takeFrom(0, most)
        : takeInOrder(
            readers,
            (loop) => this.takeFrom(loop, 1),
            Math.min(most, readers.length * EVENTS_MAX),
          );
    this.taken += taken;
    const { lost } = this;
    const lostNow = (lost - this.lostBefore) >>> 0;
    this.lostBefore = lost;
    for (const listener of this.listeners) listener.settle?.(lostNow);
    return taken;
  }

  private takeFrom(loop: number, most: number): number {
    const reader = this.readers[loop];
    const { words, doubles } = reader;
    return reader.drain((at) => {
      for (const listener of this.listeners) listener.take(words, doubles, at, loop);
    }, most);
  }

  /** Modulo 2^32. */
  private get lost(): number {
    return this.readers.reduce((lost, reader) => lost + reader.lost, 0) >>> 0;
  }

  private wantWhatIsWanted(): void {
    let bits = 0;
    for (const { wants } of this.listeners) bits |= wants;
    for (const reader of this.readers) reader.want(bits);
  }
}

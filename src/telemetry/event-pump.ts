/**
 * The event pump reads the events of the packet loops (engine/events.ts) and hands them to listeners.
 *
 * The loop records only the event kinds that some listener has asked for. The pump polls a ring as soon as its first
 * record arrives, then 20 times a second until it is empty. With 16,384 records that is room for 327,000 events a
 * second. Events beyond that are lost and counted, and listeners are told how many (flow logs write SKIPDATA).
 * Without events the pump does not wake up. One poll takes at most EVENTS_PER_POLL records, so that scrapes and
 * requests get their turn under a flood.
 */
import { EVENTS_MAX, type EventReader } from '../engine/events.ts';
import { takeInOrder } from '../engine/merge-rings.ts';

const INTERVAL_MS = 50;
const EVENTS_PER_POLL = EVENTS_MAX;

export interface EventListener {
  /** WANT_… bits of the events it needs. It also gets events that only other listeners have asked for. */
  readonly wants: number;
  /**
   * `at` is the record's first word in `words`; `doubles` is the same memory.
   * @param loop the packet loop that wrote it
   */
  take(words: Int32Array, doubles: Float64Array, at: number, loop: number): void;
  /** Called after each poll. @param lost records lost since the poll before */
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

  /** @param readers one for each packet loop */
  constructor(readers: readonly EventReader[]) {
    this.readers = readers;
    this.rest();
  }

  /** Records taken and records lost since the start. */
  get counts(): { readonly taken: number; readonly lost: number } {
    return { taken: this.taken, lost: this.lost };
  }

  /** Subscribes a listener. @returns a function that unsubscribes it */
  listen(listener: EventListener): () => void {
    this.listeners.add(listener);
    this.updateWanted();
    return () => {
      this.listeners.delete(listener);
      this.updateWanted();
    };
  }

  /** Hands over all records that are in the rings now, for callers that need complete data. */
  flush(): void {
    this.look(Infinity);
  }

  stop(): void {
    this.hasStopped = true;
    clearTimeout(this.timer);
    for (const reader of this.readers) reader.want(0);
  }

  /** Sleeps until a loop writes an event. */
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
        // The event of another loop may have woken the pump already.
        if (this.timer === undefined && !this.hasStopped) this.poll();
      });
    }
  }

  private poll(): void {
    this.timer = undefined;
    if (this.look(EVENTS_PER_POLL) > 0) this.schedule();
    else this.rest();
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => this.poll(), INTERVAL_MS).unref();
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

  private updateWanted(): void {
    let bits = 0;
    for (const { wants } of this.listeners) bits |= wants;
    for (const reader of this.readers) reader.want(bits);
  }
}

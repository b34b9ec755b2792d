/**
 * Takes what the packet loop tells (engine/events.ts) out of its ring, and hands it to whoever asked.
 *
 * The loop is told to tell no more than somebody wants. The ring is looked at 20 times a second while
 * there is something in it and 4 times when there is not: at 16,384 records that is room for 327,000 events
 * a second; what comes faster is lost, counted, and told to those who must know (flow logs write SKIPDATA).
 * A look takes at most TAKEN_MAX records, so that scrapes and requests get their turn under a flood.
 */
import { EVENTS_MAX, WANT_DROPS, type EventReader } from '../../engine/events.ts';

const BUSY_INTERVAL_MS = 50;
const IDLE_INTERVAL_MS = 250;
const TAKEN_MAX = EVENTS_MAX;

export interface EventListener {
  /** WANT_… bits of what it is told; others of the same ring's listeners want may come as well. */
  readonly wants: number;
  /** `at` is the record's first word in `words`; `doubles` is the same memory. */
  take(words: Int32Array, doubles: Float64Array, at: number): void;
  /** After each look at the ring, with the records lost since the one before. */
  settle?(lost: number): void;
}

export class EventPump {
  private readonly reader: EventReader;
  private readonly listeners = new Set<EventListener>();
  private readonly always: number;
  private timer: NodeJS.Timeout | undefined;
  private lostBefore = 0;
  private taken = 0;

  /** @param always WANT_… bits to be told whether or not somebody listens */
  constructor(reader: EventReader, always = WANT_DROPS) {
    this.reader = reader;
    this.always = always;
    this.wantWhatIsWanted();
    this.schedule(IDLE_INTERVAL_MS);
  }

  /** Records taken and records lost since the start. */
  get counts(): { readonly taken: number; readonly lost: number } {
    return { taken: this.taken, lost: this.reader.lost };
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
    clearTimeout(this.timer);
    this.reader.want(0);
  }

  private schedule(intervalMs: number): void {
    this.timer = setTimeout(() => {
      const taken = this.look(TAKEN_MAX);
      this.schedule(taken > 0 ? BUSY_INTERVAL_MS : IDLE_INTERVAL_MS);
    }, intervalMs).unref();
  }

  private look(most: number): number {
    const { words, doubles } = this.reader;
    const taken = this.reader.drain((at) => {
      for (const listener of this.listeners) listener.take(words, doubles, at);
    }, most);
    this.taken += taken;
    const { lost } = this.reader;
    const lostNow = (lost - this.lostBefore) >>> 0;
    this.lostBefore = lost;
    for (const listener of this.listeners) listener.settle?.(lostNow);
    return taken;
  }

  private wantWhatIsWanted(): void {
    let bits = this.always;
    for (const { wants } of this.listeners) bits |= wants;
    this.reader.want(bits);
  }
}

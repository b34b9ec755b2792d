/**
 * The latest drops, kept as examples: the counters say how many, these say of what.
 *
 * Theory of operation
 *
 * Problem. "Why was that dropped?" is asked a moment after it happened, when nobody was looking. So drops are
 * kept from the start, whoever asks. Strangers choose how many there are and of what kind, so neither memory
 * nor time may depend on them: under a flood this runs for every drop that the ring of events had room for.
 *
 * Shape. A ring of EXAMPLES_MAX copies of event records for each (interface, direction, reason), in an LRU
 * of KINDS_MAX such rings (a few hundred kilobytes in all): a flood of one kind pushes out its own kind alone.
 * A record is copied as it is, 24 numbers, and read only when somebody asks. Each drop has a number that goes
 * up by one, by which `sgctl explain --drop` names it.
 *
 * A port's rings are forgotten when its interface changes: the port may be another's by then.
 */
import { LRUCache } from 'lru-cache';
import {
  EVENT_DIRECTION_BIT,
  EVENT_DROP,
  EVENT_KIND,
  EVENT_META,
  EVENT_REASON_SHIFT,
  EVENT_WORDS,
  WANT_DROPS,
} from '../../engine/events.ts';
import type { Config } from '../config/config.ts';
import type { Observatory } from './observatory.ts';
import { CHATTER } from './verdict-view.ts';
import { readTold, type PacketTold } from './told.ts';

export const EXAMPLES_MAX = 8;
export const KINDS_MAX = 256;

export interface SeenDrop {
  readonly id: number;
  readonly told: PacketTold;
}

/** The examples of one (interface, direction, reason). */
interface Kind {
  readonly port: number;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  /** Numbers of the drops, by place in the ring. */
  readonly ids: Float64Array;
  next: number;
}

export class DropsSeen {
  private readonly observatory: Observatory;
  private readonly kinds = new LRUCache<number, Kind>({ max: KINDS_MAX });
  private readonly hangUp: () => void;
  private config: Config;
  private names: ReadonlyMap<number, string>;
  private count = 0;

  constructor(observatory: Observatory) {
    this.observatory = observatory;
    this.config = observatory.config;
    this.names = observatory.portNames();
    this.hangUp = observatory.pump.listen({
      wants: WANT_DROPS,
      take: (words, _doubles, at) => this.take(words, at),
    });
  }

  /** Drops that were told since the start; the number of the last one. */
  get total(): number {
    return this.count;
  }

  /** The latest of each kind, newest first. */
  examples(): SeenDrop[] {
    // What was dropped just now is still in the ring of events.
    this.observatory.pump.flush();
    return [...this.kinds.values()]
      .flatMap((kind) => [...kind.ids.keys()].flatMap((place) => read(kind, place)))
      .sort((a, b) => b.id - a.id);
  }

  /** The drop of that number; without one the latest, but for the chatter of hosts with their own link if there is another. */
  find(id: number | undefined): SeenDrop | undefined {
    const all = this.examples();
    if (id !== undefined) return all.find((one) => one.id === id);
    return all.find(({ told }) => told.reason !== CHATTER) ?? all.at(0);
  }

  stop(): void {
    this.hangUp();
  }

  private take(words: Int32Array, at: number): void {
    const head = words[at + EVENT_KIND];
    if ((head & 0xff) !== EVENT_DROP) return;
    if (this.config !== this.observatory.config) this.forgetOthers();
    const port = words[at + EVENT_META] >>> 16;
    const reason = (head >>> EVENT_REASON_SHIFT) & 0xff;
    const direction = (head & EVENT_DIRECTION_BIT) === 0 ? 0 : 1;
    const key = (port << 9) | (reason << 1) | direction;
    let kind = this.kinds.get(key);
    if (kind === undefined) {
      kind = makeKind(port);
      this.kinds.set(key, kind);
    }
    this.count++;
    kind.words.set(words.subarray(at, at + EVENT_WORDS), kind.next * EVENT_WORDS);
    kind.ids[kind.next] = this.count;
    kind.next = (kind.next + 1) % EXAMPLES_MAX;
  }

  private forgetOthers(): void {
    this.config = this.observatory.config;
    const names = this.observatory.portNames();
    for (const [key, { port }] of this.kinds)
      if (names.get(port) !== this.names.get(port)) this.kinds.delete(key);
    this.names = names;
  }
}

function makeKind(port: number): Kind {
  const memory = new ArrayBuffer(4 * EVENT_WORDS * EXAMPLES_MAX);
  return {
    port,
    words: new Int32Array(memory),
    doubles: new Float64Array(memory),
    ids: new Float64Array(EXAMPLES_MAX),
    next: 0,
  };
}

function read({ words, doubles, ids }: Kind, place: number): SeenDrop[] {
  const id = ids[place];
  if (id === 0) return [];
  // Which loop told of it does not matter: a drop names no flow.
  const told = readTold(words, doubles, place * EVENT_WORDS, 0);
  return told.kind === 'dropped' ? [{ id, told }] : [];
}

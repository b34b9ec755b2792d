/**
 * DropExamples keeps the latest drops as examples: counters say how many packets were dropped, examples say which. What
 * passes by audit alone, and would be dropped, is kept beside them likewise.
 *
 * Theory of operation
 *
 * Problem. People ask "why was that dropped?" a moment after it happened, when nobody was watching. So examples are
 * kept from the start. Outsiders choose how many drops there are and of what kind, so neither memory nor time may
 * depend on them. Under a flood this code runs for every drop that found room in the ring of events.
 *
 * Shape. Each (interface, direction, reason, audited or not) has a ring of EXAMPLES_MAX copies of event records. An LRU
 * cache holds at most KINDS_MAX such rings (a few hundred kilobytes in all). So a flood of one kind pushes out only
 * examples of its own kind. A record is copied as it is, 24 numbers, and decoded only when somebody asks. Each drop has
 * a number that goes up by one. `sgctl explain --drop` takes this number.
 *
 * When the interface at a port changes, the rings of that port are deleted: the examples belong to the former
 * interface.
 */
import { LRUCache } from 'lru-cache';
import {
  EVENT_AUDIT,
  EVENT_DIRECTION_BIT,
  EVENT_DROP,
  EVENT_KIND,
  EVENT_META,
  EVENT_REASON_SHIFT,
  EVENT_WORDS,
  WANT_AUDITS,
  WANT_DROPS,
} from '../engine/events.ts';
import type { Config } from '../config/config.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { CHATTER } from './verdict-view.ts';
import { readEvent, type PacketEvent } from '../telemetry/packet-events.ts';

export const EXAMPLES_MAX = 8;
export const KINDS_MAX = 256;

export interface KeptDrop {
  readonly id: number;
  readonly event: PacketEvent;
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

export class DropExamples {
  private readonly observatory: Observatory;
  private readonly kinds = new LRUCache<number, Kind>({ max: KINDS_MAX });
  private readonly unsubscribe: () => void;
  private config: Config;
  private names: ReadonlyMap<number, string>;
  private count = 0;

  constructor(observatory: Observatory) {
    this.observatory = observatory;
    this.config = observatory.config;
    this.names = observatory.portNames();
    this.unsubscribe = observatory.pump.listen({
      wants: WANT_DROPS | WANT_AUDITS,
      take: (words, _doubles, at) => this.take(words, at),
    });
  }

  /** Drops, and what would be, seen since the start. This is also the number of the last one. */
  get total(): number {
    return this.count;
  }

  /** The latest of each kind, newest first. */
  examples(): KeptDrop[] {
    // The most recent drops may still be in the ring of events.
    this.observatory.pump.flush();
    return [...this.kinds.values()]
      .flatMap((kind) => [...kind.ids.keys()].flatMap((place) => read(kind, place)))
      .sort((a, b) => b.id - a.id);
  }

  /** The drop with this number. Without a number, the latest that is not link-local noise. */
  find(id: number | undefined): KeptDrop | undefined {
    const all = this.examples();
    if (id !== undefined) return all.find((one) => one.id === id);
    const drops = all.filter(({ event }) => event.kind === 'dropped');
    return drops.find(({ event }) => event.reason !== CHATTER) ?? drops.at(0);
  }

  stop(): void {
    this.unsubscribe();
  }

  private take(words: Int32Array, at: number): void {
    const head = words[at + EVENT_KIND];
    const event = head & 0xff;
    if (event !== EVENT_DROP && event !== EVENT_AUDIT) return;
    if (this.config !== this.observatory.config) this.forgetOthers();
    const port = words[at + EVENT_META] >>> 16;
    const reason = (head >>> EVENT_REASON_SHIFT) & 0xff;
    const direction = (head & EVENT_DIRECTION_BIT) === 0 ? 0 : 1;
    const key = (((port << 9) | (reason << 1) | direction) << 1) | (event === EVENT_AUDIT ? 1 : 0);
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

function read({ words, doubles, ids }: Kind, place: number): KeptDrop[] {
  const id = ids[place];
  if (id === 0) return [];
  // The number of the loop does not matter, because a drop refers to no flow.
  const event = readEvent(words, doubles, place * EVENT_WORDS, 0);
  return event.kind === 'dropped' || event.kind === 'audited' ? [{ id, event }] : [];
}

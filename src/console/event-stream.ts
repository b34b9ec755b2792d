/**
 * This file sends server-sent events to any number of tabs, up to a bound.
 *
 * Theory of operation
 *
 * Problem. A tab may be in the background, suspended or gone without a word, and its connection then takes nothing.
 * What is sent to it must not pile up here, and the other tabs must not notice.
 *
 * Shape. An event is written as text once, for all. At most QUEUE_BYTES wait for one tab; further events are not sent
 * to it but counted, and it is told the count when it reads again. State is not an event like others: of `source` and
 * `estate` the last one is kept for such a tab, so that it never shows a daemon that is gone as there. A tab that
 * takes nothing for STALL_MS is cut off; its browser connects again if it is still there. A comment every BEAT_MS
 * keeps the connection from being taken for dead. At the same time it is asked whether its visitor's token still
 * counts; the stream ends if not.
 */
import type { ServerResponse } from 'node:http';
import type { ConsoleEvents } from './contract.ts';
import type { Visitor } from './visitor.ts';

export const STREAMS_MAX = 16;
/** What one visitor leaves to others, where there are several. */
const STREAMS_LEFT = 4;
export const QUEUE_BYTES = 512 * 1024;
const BEAT_MS = 15_000;
const STALL_MS = 45_000;

type EventName = keyof ConsoleEvents;

/** What the stream needs of a response. */
export type EventResponse = Pick<
  ServerResponse,
  'write' | 'writableLength' | 'destroy' | 'once' | 'writeHead'
>;

export interface EventHubOptions {
  /** Of all visitors. One of several may have all but some of them. */
  readonly streamsMax?: number;
  readonly isForSeveral?: boolean;
  readonly beatMs?: number;
  readonly stallMs?: number;
  readonly queueBytes?: number;
}

export class EventHub {
  private readonly streams = new Set<Stream>();
  private readonly options: Required<EventHubOptions>;
  private readonly timer: NodeJS.Timeout;
  /** The last one of each kind of state. */
  private readonly states = new Map<EventName, string>();

  constructor({
    streamsMax = STREAMS_MAX,
    isForSeveral = false,
    beatMs = BEAT_MS,
    stallMs = STALL_MS,
    queueBytes = QUEUE_BYTES,
  }: EventHubOptions = {}) {
    this.options = { streamsMax, isForSeveral, beatMs, stallMs, queueBytes };
    this.timer = setInterval(() => {
      for (const stream of this.streams) stream.beat();
    }, beatMs).unref();
  }

  get count(): number {
    return this.streams.size;
  }

  /** Serves one more tab. @returns false if there are too many; nothing was written then */
  add(response: EventResponse, visitor: Visitor): boolean {
    const { streamsMax, isForSeveral } = this.options;
    const own = [...this.streams].filter((one) => one.visitor.id === visitor.id).length;
    if (this.streams.size >= streamsMax) return false;
    if (isForSeveral && own >= streamsMax - STREAMS_LEFT) return false;
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const stream = new Stream(response, visitor, this.options);
    this.streams.add(stream);
    response.once('close', () => this.streams.delete(stream));
    for (const [name, text] of this.states) stream.sendState(name, text);
    return true;
  }

  send<Name extends Exclude<EventName, 'source' | 'estate' | 'missed'>>(
    name: Name,
    data: ConsoleEvents[Name],
  ): void {
    if (this.streams.size === 0) return;
    const text = eventText(name, data);
    for (const stream of this.streams) stream.send(text);
  }

  /** Sends a state. Who comes later gets the last one of each. */
  sendState<Name extends 'source' | 'estate'>(name: Name, data: ConsoleEvents[Name]): void {
    const text = eventText(name, data);
    this.states.set(name, text);
    for (const stream of this.streams) stream.sendState(name, text);
  }

  stop(): void {
    clearInterval(this.timer);
    for (const stream of this.streams) stream.end();
    this.streams.clear();
  }
}

class Stream {
  readonly visitor: Visitor;
  private readonly response: EventResponse;
  private readonly options: Required<EventHubOptions>;
  private missed = 0;
  /** States that wait for room. */
  private readonly waiting = new Map<EventName, string>();
  /** When something was last taken, or nothing was waiting. */
  private movedMs = performance.now();

  constructor(response: EventResponse, visitor: Visitor, options: Required<EventHubOptions>) {
    this.visitor = visitor;
    this.response = response;
    this.options = options;
  }

  send(text: string): void {
    if (this.isFull()) this.missed++;
    else this.write(text);
  }

  sendState(name: EventName, text: string): void {
    if (this.isFull()) this.waiting.set(name, text);
    else this.write(text);
  }

  beat(): void {
    if (!this.visitor.isGood()) {
      this.end();
      return;
    }
    if (this.response.writableLength === 0) this.movedMs = performance.now();
    else if (performance.now() - this.movedMs > this.options.stallMs) this.end();
    if (!this.isFull()) this.write(': \n\n');
  }

  end(): void {
    this.response.destroy();
  }

  private isFull(): boolean {
    return this.response.writableLength > this.options.queueBytes;
  }

  private write(text: string): void {
    this.response.write(text, (error) => {
      if (error !== null && error !== undefined) return;
      this.movedMs = performance.now();
      this.catchUp();
    });
  }

  /** Tells what was not sent meanwhile, once there is room. */
  private catchUp(): void {
    if (this.isFull() || (this.missed === 0 && this.waiting.size === 0)) return;
    const texts = [...this.waiting.values()];
    if (this.missed > 0) texts.unshift(eventText('missed', { count: this.missed }));
    this.missed = 0;
    this.waiting.clear();
    for (const text of texts) this.write(text);
  }
}

/** JSON has no line break outside of escapes, so it is one line of data whatever names are in it. */
function eventText<Name extends EventName>(name: Name, data: ConsoleEvents[Name]): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/**
 * This file follows the events of the server: what moves now, what was dropped, whether the daemon is there.
 *
 * A connection that ends is made again after a moment, which grows up to RETRY_MAX_MS. While the page is paused, events
 * wait until it goes on. A tab that nobody looks at ends its connection after a while: a browser opens few at a time to
 * one address, and other tabs need them.
 */
import type {
  ConsoleEvents,
  DropExample,
  DropsAnswer,
  LiveTop,
  RateHistory,
  RateSample,
} from '../../contract.ts';
import { EventReader, type StreamEvent } from '../logic/event-reader.ts';
import { addSample } from '../logic/rate-samples.ts';
import { headers, ask } from './api.ts';
import { loseToken, token } from './session.ts';
import { Store } from './store.ts';

/** Whether the server tells us what happens. */
export type Link =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  | { readonly state: 'lost'; readonly sinceMs: number; readonly why: string };

export type SourceState = ConsoleEvents['source'];

export const link = new Store<Link>({ state: 'connecting' });
export const source = new Store<SourceState>({ isReachable: true, sinceMs: 0 });
/** Which policy is in force: views that depend on it ask again when it changes. */
export const generation = new Store(0);
export const isPaused = new Store(false);
export const top = new Store<LiveTop | undefined>(undefined);
/** The latest examples of drops, newest first. */
export const drops = new Store<readonly DropExample[]>([]);
/** Drops and events that there was no room for. */
export const unseen = new Store({ drops: 0, events: 0 });
export const history = new Store<RateHistory | undefined>(undefined);

const DROPS_MAX = 500;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 5000;
/** A comment comes each 15 seconds: a connection without one for so long is dead. */
const SILENCE_MAX_MS = 40_000;
const UNAUTHORIZED = 401;
/** How long a tab that nobody looks at goes on listening. */
const HIDDEN_MS = 60_000;

/** What came while the page was paused. */
let waiting: StreamEvent[] = [];
const WAITING_MAX = 200;

/** Follows for as long as there is a token, and somebody looks. A new token ends the connection of the former one. */
export function openLive(): void {
  let ended = new AbortController();
  const restart = (): void => {
    ended.abort();
    ended = new AbortController();
    if (token.get() !== '') void follow(ended.signal);
  };
  token.listen(restart);
  let timer: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => ended.abort(), HIDDEN_MS);
    else if (ended.signal.aborted) restart();
  });
  isPaused.listen(() => {
    if (isPaused.get()) return;
    const events = waiting;
    waiting = [];
    events.forEach(take);
    if (token.get() !== '') void fetchHistory();
  });
  restart();
}

async function follow(signal: AbortSignal): Promise<void> {
  let waitMs = RETRY_MIN_MS;
  while (!signal.aborted) {
    try {
      await readEvents(signal, () => {
        waitMs = RETRY_MIN_MS;
        link.set({ state: 'open' });
        void fetchHistory();
      });
      lose('the connection ended', signal);
    } catch (error) {
      lose(error instanceof Error ? error.message : String(error), signal);
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    waitMs = Math.min(RETRY_MAX_MS, waitMs * 2);
  }
}

function lose(why: string, signal: AbortSignal): void {
  if (signal.aborted) return;
  link.update((last) =>
    last.state === 'lost' ? last : { state: 'lost', sinceMs: Date.now(), why },
  );
}

async function readEvents(signal: AbortSignal, opened: () => void): Promise<void> {
  const silence = new AbortController();
  const sent = token.get();
  const response = await fetch('/api/events', {
    headers: headers(),
    signal: AbortSignal.any([signal, silence.signal]),
    cache: 'no-store',
  });
  if (response.status === UNAUTHORIZED) loseToken(sent);
  if (!response.ok || response.body === null)
    throw new Error(`the server answered ${response.status}`);
  opened();
  const events = new EventReader();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    for (;;) {
      timer = setTimeout(() => silence.abort(), SILENCE_MAX_MS);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      events.push(value).forEach(receive);
    }
  } finally {
    clearTimeout(timer);
  }
}

function receive(event: StreamEvent): void {
  const isState = event.name === 'source' || event.name === 'estate';
  if (!isPaused.get() || isState) take(event);
  else if (waiting.push(event) > WAITING_MAX) waiting.shift();
}

function take({ name, data }: StreamEvent): void {
  const value: unknown = JSON.parse(data);
  switch (name as keyof ConsoleEvents) {
    case 'top':
      return top.set(value as LiveTop);
    case 'rates':
      return history.update((last) =>
        last === undefined ? last : addSample(last, value as RateSample),
      );
    case 'drop':
      return takeDrops(value as ConsoleEvents['drop']);
    case 'estate':
      return generation.set((value as ConsoleEvents['estate']).generation);
    case 'source':
      return takeState(value as SourceState);
    case 'missed': {
      const { count } = value as ConsoleEvents['missed'];
      return unseen.update((last) => ({ ...last, events: last.events + count }));
    }
    default:
      // A newer server tells more.
      return undefined;
  }
}

function takeState(state: SourceState): void {
  source.set(state);
  if (state.isReachable) void fetchDrops();
  // A daemon that comes back counts its examples anew: it would explain another drop by the number of one of these.
  else drops.set([]);
}

/** An example may come twice: from what the daemon keeps, and by the stream. */
function addDrops(examples: readonly DropExample[]): void {
  drops.update((last) => {
    const known = new Set(last.map(({ id }) => id));
    const fresh = examples.filter(({ id }) => !known.has(id));
    if (fresh.length === 0) return last;
    return [...fresh, ...last].sort((a, b) => b.id - a.id).slice(0, DROPS_MAX);
  });
}

function takeDrops({ examples, more }: ConsoleEvents['drop']): void {
  addDrops(examples);
  if (more > 0) unseen.update((last) => ({ ...last, drops: last.drops + more }));
}

async function fetchHistory(): Promise<void> {
  try {
    history.set(await ask<RateHistory>('history'));
  } catch {
    // Charts say that they wait; the state in the header says why.
  }
}

/** What was dropped before the stream was opened. To be called when it is, so that nothing falls between the two. */
async function fetchDrops(): Promise<void> {
  try {
    const kept = await ask<DropsAnswer>('drops');
    addDrops(kept.drops.flatMap((kind) => kind.examples));
  } catch {
    // The state in the header says why.
  }
}

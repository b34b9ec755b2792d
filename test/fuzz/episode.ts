/**
 * One episode: a fresh engine and a fresh twin, some thousands of packets, and what must hold of each.
 *
 * Theory of operation. A run is a series of episodes, and an episode follows from (seed, number) alone, so
 * that one that fails can be run again with its packets written down. In it several conversations of the
 * corpus go on side by side; packets are sent as they are, varied, damaged, again, from another port or made
 * up, with time passing between them from nothing to days, and in some episodes rules changing. What is held
 * against each packet stands in pair.ts; that nothing outside of the packet is read, by the DataView, which ends
 * where the packet does (in one episode of four there are margins instead, which the twin does not see).
 *
 * Of 16 episodes 10 have room for everything; one has room, too, and sends batches of frames (frames.ts); 4 have tables of 4 to 16 flows, and some of them room for as few
 * datagrams, while the clock stands nearly still; there the twin says who makes room for whom. One has tables
 * that are small, but not as small, so that what is freed depends on where the sweep has got to: it is played
 * without the twin, and only what holds whatever is freed is checked.
 */
import type { CorpusPacket, Talk } from './corpus.ts';
import { FrameEpisode } from './frames.ts';
import { PACKET_BYTES_MAX } from './mutate.ts';
import { Pair } from './pair.ts';
import { POLICIES } from './policies.ts';
import { Random } from './random.ts';
import { TalkSource } from './talk-source.ts';
import { countPolicies, PORT_NAMES, ROOMY, type WorldOptions } from './world.ts';

export const EPISODE_PACKETS = 2048;

export interface EpisodeOptions {
  /** Writes the packets down, for a Difference. */
  readonly records?: boolean;
  readonly tally?: Float64Array;
  readonly isGuarded?: boolean;
  /** With the fast path (WorldOptions). */
  readonly isOffloaded?: boolean;
}

export class Difference extends Error {
  readonly options: WorldOptions;
  /** Packets up to the one that differs, that one included; only if they were asked for. */
  readonly packets: readonly CorpusPacket[];
  /** Whether packets and options alone may show it: it was found beside the twin. */
  readonly hasTwin: boolean;

  constructor(
    what: string,
    options: WorldOptions,
    hasTwin: boolean,
    packets: readonly CorpusPacket[] = [],
  ) {
    super(what);
    this.hasTwin = hasTwin;
    this.options = options;
    this.packets = packets;
  }
}

/** docs/conntrack.md: what has been idle as long lives, and a millisecond later it does not. */
const TIME_OUTS_MS = [10_000, 30_000, 60_000, 180_000, 300_000, 600_000];
const GUARD = 0xa5;
/** Bytes around a packet, where a view of exactly its size would hide what lies behind. */
const MARGIN_BYTES = 64;

/** How time passes: milliseconds only, seconds now and then, or minutes and days too. */
type Pace = 'calm' | 'slow' | 'lively';
type Kind = 'roomy' | 'tight' | 'loose' | 'frames';

function kindOf(number: number): Kind {
  const place = number & 15;
  if (place >= 14) return place === 14 ? 'frames' : 'loose';
  return place >= 10 ? 'tight' : 'roomy';
}

export function hasTwin(number: number): boolean {
  return kindOf(number) !== 'loose';
}

/**
 * Runs one episode of a run.
 * @param more tally: verdicts are added up in it, each at its tallyIndex
 * @returns how many packets the engine has not seen, since the fast path forwarded them
 * @throws Difference
 */
export function runEpisode(
  talks: readonly Talk[],
  seed: number,
  number: number,
  more: EpisodeOptions = {},
): number {
  if (kindOf(number) !== 'frames') return new Episode(talks, seed, number, more).run();
  const random = new Random(seed, number);
  const options = optionsOf(random, 'frames', 'calm', more.isOffloaded);
  const episode = new FrameEpisode(talks, random, options);
  const wrong = episode.run(EPISODE_PACKETS, (verdict) => {
    if (more.tally !== undefined) more.tally[tallyIndex(verdict)]++;
  });
  if (wrong !== undefined) throw new Difference(wrong, options, false);
  return episode.forwarded;
}

/** @param kind a world where nothing runs out, where the twin knows what does, or where it would not */
export function optionsOf(
  random: Random,
  kind: Kind,
  pace: Pace,
  isOffloaded = false,
): WorldOptions {
  const common = {
    isOffloaded,
    world: random.below(POLICIES.length),
    acceptsMidstream: !random.oneIn(3),
    checksWindow: !random.oneIn(4),
    hasUplink: !random.oneIn(16),
    secret: random.next(),
    passes: {
      tableFull: random.oneIn(4),
      invalid: random.oneIn(4),
      fragment: random.oneIn(4),
      eventsFull: random.oneIn(2),
    },
    events: random.oneIn(8)
      ? ('wanted' as const)
      : random.oneIn(32)
        ? ('full' as const)
        : ('unwanted' as const),
    // The engine's clock is int32 milliseconds that wrap; some episodes go across that.
    startMs: random.oneIn(4) ? 2 ** 31 - 60_000 : random.below(60_000),
  };
  if (kind === 'roomy' || kind === 'frames') {
    const maxFlows = 2 * EPISODE_PACKETS;
    const datagrams = EPISODE_PACKETS;
    return { ...ROOMY, ...common, maxFlows, maxHalfOpen: maxFlows, datagrams };
  }
  const maxFlows = kind === 'tight' ? 4 + random.below(13) : 17 + random.below(64);
  const isShortOfDatagrams = kind === 'loose' || (pace === 'calm' && random.oneIn(2));
  return {
    ...common,
    maxFlows,
    maxHalfOpen: random.oneIn(2) ? 16 : 1 + random.below(8),
    maxFlowsOfPort: random.oneIn(2) ? 0 : 1 + random.below(8),
    datagrams: isShortOfDatagrams ? 1 + random.below(8) : EPISODE_PACKETS,
  };
}

export class Episode {
  readonly pair: Pair;
  private readonly random: Random;
  private readonly source: TalkSource;
  private readonly recorded: CorpusPacket[] | undefined;
  private readonly arena = new ArrayBuffer(PACKET_BYTES_MAX + 2 * MARGIN_BYTES);
  private readonly whole = new Uint8Array(this.arena);
  private readonly hasMargins: boolean;
  private readonly changesRules: boolean;
  private readonly pace: Pace;
  private nowMs: number;
  private lastMs: number;
  private longJumps = 0;
  private rules: number | undefined;
  private isHeld = false;
  private readonly tally: Float64Array | undefined;

  constructor(talks: readonly Talk[], seed: number, number: number, more: EpisodeOptions = {}) {
    const random = new Random(seed, number);
    this.random = random;
    this.tally = more.tally;
    this.pace = random.oneIn(2) ? 'lively' : random.oneIn(2) ? 'calm' : 'slow';
    const options = optionsOf(random, kindOf(number), this.pace, more.isOffloaded);
    const watched = more.isGuarded === true ? 'guarded' : number % 64 === 0 ? 'grown' : 'not';
    this.pair = new Pair(options, hasTwin(number) ? options : undefined, watched);
    this.recorded = more.records === true ? [] : undefined;
    this.source = new TalkSource(talks, random);
    this.hasMargins = random.oneIn(4);
    if (this.hasMargins) this.whole.fill(GUARD);
    this.changesRules = random.oneIn(3);
    this.nowMs = options.startMs;
    this.lastMs = this.nowMs;
  }

  /** @returns as runEpisode  @throws Difference */
  run(packets = EPISODE_PACKETS): number {
    for (let i = 0; i < packets; i++) {
      this.passTime();
      if (this.changesRules) this.changeRules();
      this.send(this.source.next());
      if (this.random.oneIn(64)) this.pair.engine.gates.tracker.sweep(32, this.nowMs | 0);
    }
    const wrong = this.pair.finish(this.nowMs);
    if (wrong !== undefined) throw this.differ(wrong);
    return this.pair.kernel?.forwarded ?? 0;
  }

  private passTime(): void {
    const { random, pace } = this;
    const roll = random.below(512);
    if (roll < 384) return;
    // All of it together stays below the 30 s that fragments have.
    if (roll < 496 || pace === 'calm') this.nowMs += random.below(50);
    else if (pace === 'slow' && !random.oneIn(16)) this.nowMs += random.below(1000);
    else if (roll < 500)
      this.nowMs += TIME_OUTS_MS[random.below(TIME_OUTS_MS.length)] + random.below(2);
    else if (roll < 509) this.nowMs += random.below(35_000);
    else if (roll < 511) this.nowMs += 8 * random.below(60_000) + 100_000;
    // Ages are right up to 24 days.
    else if (this.longJumps < 3) {
      this.nowMs += 431_990_000 + random.below(20_000);
      this.longJumps++;
    }
  }

  private changeRules(): void {
    const { random, pair } = this;
    if (random.oneIn(256)) {
      this.rules = random.below(countPolicies(pair.options.world));
      pair.changeRules(this.rules);
    }
    // Which flows are revoked first, and so give way first, depends on the engine's entries then.
    if (random.oneIn(32) && pair.options.maxFlows > EPISODE_PACKETS) {
      this.isHeld = true;
      pair.holdFlows(this.nowMs);
    }
  }

  private send(port: number): void {
    const { arena, whole, nowMs, pair, tally } = this;
    const { mutator } = this.source;
    const { length } = mutator;
    const bytes = new Uint8Array(arena, MARGIN_BYTES, length);
    for (let i = 0; i < length; i++) bytes[i] = mutator.bytes[i];
    let view: DataView;
    if (this.hasMargins) {
      whole.fill(GUARD, MARGIN_BYTES + length, 2 * MARGIN_BYTES + length);
      view = new DataView(arena);
    } else view = new DataView(arena, MARGIN_BYTES, length);
    this.record(port, bytes);
    const offset = this.hasMargins ? MARGIN_BYTES : 0;
    const wrong = pair.send(view, offset, bytes, length, port, nowMs);
    if (wrong !== undefined) throw this.differ(wrong);
    if (tally !== undefined) tally[tallyIndex(pair.verdict)]++;
    for (let i = 0; i < length; i++)
      if (bytes[i] !== mutator.bytes[i]) throw this.differ(`byte ${i} of the packet was changed`);
    if (!this.hasMargins) return;
    for (let i = 0; i < MARGIN_BYTES; i++)
      if (whole[i] !== GUARD || whole[MARGIN_BYTES + length + i] !== GUARD)
        throw this.differ('a byte outside of the packet was changed');
  }

  private record(port: number, bytes: Uint8Array): void {
    const { nowMs, lastMs, rules, isHeld } = this;
    this.recorded?.push({ port, bytes: bytes.slice(), afterMs: nowMs - lastMs, rules, isHeld });
    this.lastMs = nowMs;
    this.rules = undefined;
    this.isHeld = false;
  }

  private differ(what: string): Difference {
    const { pair } = this;
    return new Difference(what, pair.options, pair.twin !== undefined, this.recorded);
  }
}

/** Where a verdict is counted: minus a reason or a port, from 0 on. */
export function tallyIndex(verdict: number): number {
  return verdict >= 0 ? verdict : PORT_NAMES.length - 1 - verdict;
}

/**
 * Plays recorded packets; the first difference, or undefined.
 * @param twinOptions what the twin is set up with, for the tests that want it to be wrong
 * @param tally verdicts are added up in it, as an Episode does
 */
export function replay(
  options: WorldOptions,
  packets: readonly CorpusPacket[],
  twinOptions = options,
  tally?: Float64Array,
): { at: number; what: string } | undefined {
  const pair = new Pair(options, twinOptions);
  let nowMs = options.startMs;
  for (const [at, { port, bytes, afterMs, rules, isHeld }] of packets.entries()) {
    nowMs += afterMs;
    if (rules !== undefined) pair.changeRules(rules % countPolicies(options.world));
    if (isHeld === true) pair.holdFlows(nowMs);
    const copy = Uint8Array.from(bytes);
    const what = pair.send(new DataView(copy.buffer), 0, copy, copy.length, port, nowMs);
    if (what !== undefined) return { at, what };
    if (tally !== undefined) tally[tallyIndex(pair.verdict)]++;
  }
  const what = pair.finish(nowMs);
  return what === undefined ? undefined : { at: packets.length - 1, what };
}

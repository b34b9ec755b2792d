/**
 * Fuzzing that follows coverage: what reaches code that nothing reached before is kept and changed further.
 *
 * Theory of operation. An input is a conversation, played on a fresh engine and twin. V8 itself counts how
 * often each block of src/ runs (the inspector's precise coverage), so nothing needs to be instrumented or
 * installed. Reading the counts takes longer than playing, so many inputs are played between two readings, and
 * only if something is new are they played one by one. As in other fuzzers a block counts as new again when it
 * ran 2, 4, 8, … times as often as ever: that is how sequences of packets are learned. Slower by far than
 * episodes: it finds ways in, and what reaches code for the first time goes into the corpus for them.
 */
import { Session } from 'node:inspector';
import type { CorpusPacket, Talk } from './corpus.ts';
import { Difference, optionsOf, replay } from './episode.ts';
import { Mutator } from './mutate.ts';
import { Random } from './random.ts';
import { PORT_NAMES, type WorldOptions } from './world.ts';

const INPUTS_A_READING = 64;
const PACKETS_MAX = 24;
const WAITS_MS = [0, 0, 0, 10, 29_000, 31_000, 61_000, 181_000, 601_000];
const SOURCES = /\/src\/(wire|conntrack|engine|policy)\//;

interface Input {
  readonly options: WorldOptions;
  readonly talk: Talk;
}

export interface Guided {
  readonly inputs: number;
  /** Blocks reached, a block counted once for each power of two of its runs. */
  readonly reached: number;
  /** Conversations that were kept to be changed further, those it began with included. */
  readonly kept: number;
  /** Those that reached a block which nothing had reached. */
  readonly found: readonly Talk[];
}

export class GuidedFuzzer {
  private readonly random: Random;
  private readonly mutator: Mutator;
  private readonly session = new Session();
  private readonly pool: Input[] = [];
  private readonly reached = new Set<string>();
  private readonly found: Talk[] = [];
  private inputs = 0;

  constructor(talks: readonly Talk[], seed: number) {
    this.random = new Random(seed);
    this.mutator = new Mutator(this.random);
    this.session.connect();
    this.session.post('Profiler.enable');
    this.session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    for (const talk of talks) this.pool.push({ options: this.pickOptions(), talk });
    for (const input of this.pool) {
      this.play(input);
      this.readCoverage();
    }
  }

  /** @throws Difference */
  run(isOver: () => boolean): Guided {
    while (!isOver()) {
      const batch = Array.from({ length: INPUTS_A_READING }, () => this.makeInput());
      for (const input of batch) this.play(input);
      // How often a block ran cannot be told apart in a batch: some are played again for that alone.
      if (!this.readsNewBlock() && !this.random.oneIn(8)) continue;
      for (const input of batch) {
        this.play(input);
        const { blocks, counts } = this.readCoverage();
        if (blocks + counts > 0) this.pool.push(input);
        if (blocks > 0) this.found.push(input.talk);
      }
    }
    this.session.disconnect();
    const { inputs, reached, pool, found } = this;
    return { inputs, reached: reached.size, kept: pool.length, found };
  }

  private pickOptions(): WorldOptions {
    const isTight = this.random.oneIn(2);
    const options = optionsOf(
      this.random,
      isTight ? 'tight' : 'roomy',
      'lively',
      this.random.oneIn(2),
    );
    return isTight
      ? { ...options, datagrams: 64 }
      : { ...options, maxFlows: 64, maxHalfOpen: 64, datagrams: 64 };
  }

  private play({ options, talk }: Input): void {
    this.inputs++;
    const found = replay(options, talk);
    if (found !== undefined) throw new Difference(found.what, options, true, talk);
  }

  private readsNewBlock(): boolean {
    return this.takeCoverage().some(({ block }) => !this.reached.has(`${block} 0`));
  }

  /** Notes what the input just played has reached. @returns how many blocks are new, and how many ran more often than ever */
  private readCoverage(): { blocks: number; counts: number } {
    let blocks = 0;
    let counts = 0;
    for (const { block, count } of this.takeCoverage()) {
      for (let power = Math.floor(Math.log2(count)); power >= 0; power--) {
        if (this.reached.has(`${block} ${power}`)) break;
        this.reached.add(`${block} ${power}`);
        if (power === 0) blocks++;
        else counts++;
      }
    }
    return { blocks, counts };
  }

  /** Blocks of src/ that ran since the last reading, and how often. */
  private takeCoverage(): { block: string; count: number }[] {
    const blocks: { block: string; count: number }[] = [];
    this.session.post('Profiler.takePreciseCoverage', (error, report) => {
      if (error !== null) throw error;
      for (const { url, scriptId, functions } of report.result) {
        if (!SOURCES.test(url)) continue;
        for (const { startOffset, endOffset, count } of functions.flatMap(({ ranges }) => ranges))
          if (count > 0) blocks.push({ block: `${scriptId} ${startOffset} ${endOffset}`, count });
      }
    });
    return blocks;
  }

  private makeInput(): Input {
    const { random, pool } = this;
    // New ones are more promising than old ones.
    const at = random.oneIn(2)
      ? random.below(pool.length)
      : pool.length - 1 - random.below(Math.ceil(pool.length / 4));
    const parent = pool[at];
    const talk = [...parent.talk];
    for (let more = true; more; more = random.oneIn(2)) this.change(talk);
    const options = random.oneIn(8) ? this.pickOptions() : parent.options;
    return { options, talk: talk.slice(0, PACKETS_MAX) };
  }

  private change(talk: CorpusPacket[]): void {
    const { random, pool } = this;
    const at = random.below(talk.length);
    const other = pool[random.below(pool.length)].talk;
    switch (random.below(8)) {
      case 0:
        if (talk.length > 1) talk.splice(at, 1);
        return;
      case 1:
        talk.splice(at, 0, talk[random.below(talk.length)]);
        return;
      case 2:
        talk.splice(at, 0, other[random.below(other.length)]);
        return;
      case 3:
        talk[at] = { ...talk[at], afterMs: WAITS_MS[random.below(WAITS_MS.length)] };
        return;
      case 4:
        talk[at] = { ...talk[at], port: random.below(PORT_NAMES.length) };
        return;
      case 5:
        talk[at] = { ...talk[at], bytes: this.mutate(talk[at], () => this.mutator.damage()) };
        return;
      default:
        talk[at] = { ...talk[at], bytes: this.mutate(talk[at], () => this.mutator.vary()) };
    }
  }

  private mutate(packet: CorpusPacket, how: () => void): Uint8Array {
    this.mutator.load(packet.bytes);
    how();
    return this.mutator.bytes.slice(0, this.mutator.length);
  }
}

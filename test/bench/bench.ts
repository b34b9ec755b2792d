/** What every benchmark is given: where to put files, the load generators, a way to speak, an end to clean up at. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { mustRun, start, type Running } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import type { Collector } from './results.ts';
import type { Rival } from './rivals/rival.ts';

const TOOLS = [
  'udp-load',
  'round-trip',
  'connect-rate',
  'first-packets',
  'offload-off',
  'guest-card',
] as const;
type Tool = (typeof TOOLS)[number];

/** A run of the benchmark, from its first namespace to its last. */
export class Bench {
  readonly collector: Collector;
  readonly isQuick: boolean;
  /** Gone with the run. */
  readonly directory: string;
  private readonly endings: (() => unknown)[] = [];

  constructor(collector: Collector, isQuick: boolean) {
    this.collector = collector;
    this.isQuick = isQuick;
    const directory = mkdtempSync(join(tmpdir(), 'sgt-bench-'));
    this.directory = directory;
    process.on('exit', () => {
      rmSync(directory, { recursive: true, force: true });
    });
  }

  /**
   * What test/support/ takes for a test: of one, it uses the hook at its end, and a way to say what the machine
   * lacks. The end of this "test" is `end`, and the end of the process at the latest.
   */
  get scope(): TestContext {
    const after = (ending: () => unknown): void => {
      this.endings.push(ending);
    };
    const skip = (why: string): void => {
      throw new Error(why);
    };
    return { after, skip } as unknown as TestContext;
  }

  /** `full`, or `quick` with `--quick`. */
  pick<Value>(full: Value, quick: Value): Value {
    return this.isQuick ? quick : full;
  }

  /** A figure of a load: a load is a benchmark of its own, or one of those of a door. */
  record(rival: Rival, load: string, metric: string, unit: string, value: number): void {
    this.collector.add(...keyOf(rival, load, metric), rival.name, unit, value);
  }

  /** What `record` was given, by round. */
  recorded(rival: Rival, load: string, metric: string): readonly number[] {
    return this.collector.values(...keyOf(rival, load, metric), rival.name);
  }

  /** A line of progress, on standard error. */
  say(text: string): void {
    process.stderr.write(`bench: ${text}\n`);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  tool(name: Tool): string {
    return this.path(name);
  }

  /** Starts one that runs until the end. */
  async startTool(name: Tool, args: readonly string[]): Promise<Running> {
    const running = await start(this.tool(name), args);
    this.scope.after(() => running.stop());
    return running;
  }

  /** Compiles the load generators. Throws if there is no C compiler. */
  async buildTools(): Promise<void> {
    const source = join(repositoryRoot(), 'test', 'bench', 'native');
    const flags = ['-O2', '-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror'];
    await Promise.all(
      TOOLS.map((tool) =>
        mustRun('cc', [...flags, '-o', this.tool(tool), join(source, `${tool}.c`)]),
      ),
    );
  }

  /** Ends what was started, the latest first. */
  async end(): Promise<void> {
    for (let ending = this.endings.pop(); ending !== undefined; ending = this.endings.pop())
      await ending();
  }
}

function keyOf({ door }: Rival, load: string, metric: string): [benchmark: string, metric: string] {
  return door === undefined ? [load, metric] : [door, `${load} ${metric}`];
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

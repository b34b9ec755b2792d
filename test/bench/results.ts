/** What a run of the benchmark leaves behind: the shape of `--json`, described in docs/performance.md. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import { summarise, type Summary } from './stats.ts';

/** Goes up when the shape changes. */
export const FORMAT = 1;

export const RIVALS = ['secgroupd', 'busy-poll', 'fast-path', 'relay', 'kernel', 'ovs'] as const;
export type RivalName = (typeof RIVALS)[number];

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Load average over a minute before the first measurement: on an idle machine near 0. */
  readonly loadBefore: number;
}

/** One figure of one contestant, round by round. */
export interface Measurement extends Summary {
  /** As `--only` takes it. */
  readonly benchmark: string;
  readonly metric: string;
  /** A rival, or for the decision what was varied: `10 rules`. */
  readonly subject: string;
  readonly unit: string;
  readonly values: readonly number[];
}

export interface TargetResult {
  readonly what: string;
  readonly target: string;
  readonly result: Summary | undefined;
  /** 'not measured': left out by `--only`, or the rival was skipped. 'hint only': the machine was busy before. */
  readonly verdict: 'reached' | 'missed' | 'not measured' | 'hint only';
}

export interface Results {
  readonly format: typeof FORMAT;
  readonly isQuick: boolean;
  readonly machine: Machine;
  readonly tools: Readonly<Record<string, string>>;
  readonly measurements: readonly Measurement[];
  readonly targets: readonly TargetResult[];
  /** What was left out, and what has to be known of a figure. */
  readonly notes: readonly string[];
}

export function describeMachine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0],
  };
}

/** Collects figures as they come. */
export class Collector {
  readonly notes: string[] = [];
  readonly tools: Record<string, string> = {};
  private readonly found = new Map<
    string,
    Omit<Measurement, keyof Summary> & { values: number[] }
  >();

  add(benchmark: string, metric: string, subject: string, unit: string, value: number): void {
    const key = keyOf(benchmark, metric, subject);
    const known = this.found.get(key);
    if (known === undefined)
      this.found.set(key, { benchmark, metric, subject, unit, values: [value] });
    else known.values.push(value);
  }

  /** The figures so far; none if there are none. */
  values(benchmark: string, metric: string, subject: string): readonly number[] {
    return this.found.get(keyOf(benchmark, metric, subject))?.values ?? [];
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text);
  }

  get measurements(): Measurement[] {
    return [...this.found.values()].map((found) => ({ ...found, ...summarise(found.values) }));
  }
}

function keyOf(...parts: readonly string[]): string {
  return parts.join('\n');
}

/** A benchmark in process: its cases one after the other, each in a process of its own. */
import { fileURLToPath } from 'node:url';
import { mustRun } from '../../support/process.ts';
import type { Bench } from '../bench.ts';

const DECISION = fileURLToPath(new URL('./child.js', import.meta.url));

export function measureDecision(bench: Bench, asked: number | undefined): Promise<void> {
  return measureInProcess(bench, 'decision', DECISION, asked ?? bench.pick(7, 3));
}

/** @param program a module that calls `runCase` (case.ts) */
export async function measureInProcess(
  bench: Bench,
  benchmark: string,
  program: string,
  rounds: number,
): Promise<void> {
  const mode = bench.pick('full', 'quick');
  const names = (await mustRun(process.execPath, [program, 'list'])).trim().split('\n');
  for (const name of names) {
    bench.say(`${benchmark}: ${name}`);
    const output = await mustRun(process.execPath, [program, name, mode, String(rounds)]);
    for (const line of output.trim().split('\n')) {
      const [metric, subject, unit, value] = JSON.parse(line) as [string, string, string, number];
      bench.collector.add(benchmark, metric, subject, unit, value);
    }
  }
}

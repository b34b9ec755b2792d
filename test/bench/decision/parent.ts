/** The benchmark "decision": its cases one after the other, each in a process of its own. */
import { fileURLToPath } from 'node:url';
import { mustRun } from '../../support/process.ts';
import type { Bench } from '../bench.ts';

const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));
const BENCHMARK = 'decision';
const CASE_TIMEOUT_MS = 120_000;

export async function measureDecision(bench: Bench, asked: number | undefined): Promise<void> {
  const rounds = String(asked ?? bench.pick(7, 3));
  const mode = bench.pick('full', 'quick');
  const names = (await mustRun(process.execPath, [CHILD, 'list'])).trim().split('\n');
  for (const name of names) {
    bench.say(`${BENCHMARK}: ${name}`);
    const output = await mustRun(process.execPath, [CHILD, name, mode, rounds], {
      timeoutMs: CASE_TIMEOUT_MS,
    });
    for (const line of output.trim().split('\n')) {
      const [metric, subject, unit, value] = JSON.parse(line) as [string, string, string, number];
      bench.collector.add(BENCHMARK, metric, subject, unit, value);
    }
  }
}

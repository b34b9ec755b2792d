/**
 * The differential test: random sequences through our engine and through nf_conntrack, verdict by verdict.
 *
 * `scripts/differential` runs as many as you like, from a new seed every time. Without it a few hundred run from each of
 * a few fixed seeds: what random sequences find depends on the kernel as well, and a difference that nobody has judged
 * yet is news for whoever works on conntrack, not for whoever changed something else.
 *
 * Some of them, and with --offload all sequences, are also judged with the fast path (both-ways.ts).
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { sequences } from './arbitrary.ts';
import { playBothWays, type BothWays } from './both-ways.ts';
import { describeComparison, type Comparison, type Oracle } from './compare.ts';
import { DIFFERENCES } from './differences.ts';
import { makeOracle, requireOracle } from './oracle.ts';
import type { Sequence } from './steps.ts';

/** Sequences before the two kernels are made anew, so that their tables stay far from full. */
const SEQUENCES_PER_ORACLE = 2000;
const SEQUENCES_PER_FIXED_SEED = 300;
const FIXED_SEEDS = [2001, 20_181, 990_017];
/** Of so many sequences from fixed seeds one is judged with the fast path as well. */
const SEQUENCES_PER_BOTH_WAYS = 15;
const SEEDS = 0x7fffffff;
const PROGRESS_MS = 5000;

/** From scripts/differential. */
function setting(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  if (!/^\d+$/.test(text)) throw new Error(`${name} is '${text}', not a number`);
  return Number(text);
}

class Tally {
  private forwarded = 0;
  private asKernel = 0;
  sequences = 0;
  packets = 0;
  private compared = 0;
  private passed = 0;
  private agreed = 0;
  private readonly known = new Map<string, number>();

  count({ judged, compared, known, unknown }: Comparison): void {
    this.sequences++;
    this.packets += judged.length;
    this.compared += compared;
    this.passed += judged.filter(({ kernelDelivers }) => kernelDelivers).length;
    this.agreed += compared - known.length - (unknown === undefined ? 0 : 1);
    for (const { name } of known) this.known.set(name, (this.known.get(name) ?? 0) + 1);
  }

  countBothWays({ forwarded, asKernel }: BothWays): void {
    this.forwarded += forwarded;
    this.asKernel += asKernel;
  }

  get hasForwarded(): boolean {
    return this.forwarded > 0;
  }

  get lines(): string[] {
    return [
      `${this.sequences} sequences, ${this.packets} packets, ${this.passed} passed by the kernel`,
      `${this.compared} compared (the others come after a difference that leaves two different states), ${this.agreed} agreed`,
      `with the fast path: ${this.asKernel} compared, ${this.forwarded} forwarded by it`,
      ...DIFFERENCES.map(
        ({ name }) => `known difference met ${this.known.get(name) ?? 0} times: ${name}`,
      ),
    ];
  }
}

test('random sequences get the same verdicts from us as from nf_conntrack', async (t) => {
  if (!requireOracle(t)) return;
  const tally = new Tally();
  const total = setting('DIFFERENTIAL_SEQUENCES');
  if (total === undefined) {
    const oracle = await makeOracle(t);
    for (const seed of FIXED_SEEDS) {
      const parameters = { numRuns: SEQUENCES_PER_FIXED_SEED, seed };
      await t.test(`seed ${seed}`, () =>
        comparePart(oracle, parameters, SEQUENCES_PER_BOTH_WAYS, tally),
      );
    }
    assert.ok(tally.hasForwarded, 'packets went by the fast path');
  } else await compareMany(t, total, tally);
  for (const line of tally.lines) t.diagnostic(line);
});

/** A long run, in parts; says how far it is. */
async function compareMany(t: TestContext, total: number, tally: Tally): Promise<void> {
  const seed = setting('DIFFERENTIAL_SEED') ?? Date.now() % SEEDS;
  const isOffloaded = setting('DIFFERENTIAL_OFFLOAD') === 1;
  const more = isOffloaded ? ' --offload' : '';
  const started = Date.now();
  process.stderr.write(`differential: seed ${seed}\n`);
  t.diagnostic(`seed ${seed} (scripts/differential --sequences ${total} --seed ${seed}${more})`);
  let nextMs = started + PROGRESS_MS;
  for (let from = 0; from < total; from += SEQUENCES_PER_ORACLE) {
    const numRuns = Math.min(SEQUENCES_PER_ORACLE, total - from);
    await t.test(`sequences ${from + 1} to ${from + numRuns}`, async (part) => {
      await comparePart(
        await makeOracle(part),
        { numRuns, seed: (seed + from) % SEEDS },
        isOffloaded ? 1 : Infinity,
        tally,
        () => {
          if (Date.now() < nextMs) return;
          nextMs = Date.now() + PROGRESS_MS;
          process.stderr.write(
            `differential: ${tally.sequences} of ${total} sequences, ${tally.packets} packets\n`,
          );
        },
      );
    });
  }
  t.diagnostic(`${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** @param bothWaysEvery of so many sequences one is judged with the fast path as well */
async function comparePart(
  oracle: Oracle,
  parameters: { readonly numRuns: number; readonly seed: number },
  bothWaysEvery: number,
  tally: Tally,
  onSequence: () => void = () => undefined,
): Promise<void> {
  let hasFailed = false;
  const details = fc.check(
    fc.property(sequences, (sequence) => {
      const comparison = oracle.compare(sequence);
      // What shrinking tries is not part of the run.
      if (!hasFailed) tally.count(comparison);
      const isDue = hasFailed || tally.sequences % bothWaysEvery === 0;
      const bothWays = isDue ? playBothWays(sequence, comparison) : undefined;
      if (!hasFailed && bothWays !== undefined) tally.countBothWays(bothWays);
      onSequence();
      hasFailed ||= comparison.unknown !== undefined || bothWays?.wrong !== undefined;
      assert.equal(comparison.unknown, undefined);
      assert.equal(bothWays?.wrong, undefined);
    }),
    parameters,
  );
  if (!details.failed) return;
  if (details.counterexample === null)
    throw new Error('the comparison itself failed', { cause: details.errorInstance });
  const [sequence] = details.counterexample;
  assert.fail(
    `the verdicts differ (seed ${parameters.seed}, ${details.numRuns} sequences in, shrunk ${details.numShrinks} times):\n${await explain(oracle, sequence)}`,
  );
}

async function explain(oracle: Oracle, sequence: Sequence): Promise<string> {
  const comparison = oracle.compare(sequence);
  const entries = await oracle.kernelFor(sequence).entries(sequence.family, comparison.peer);
  const { wrong } = playBothWays(sequence, comparison);
  const offload = wrong === undefined ? '' : `\nthe fast path: ${wrong}`;
  return `${describeComparison(sequence, comparison)}\nkernel afterwards: ${entries || 'no entry'}${offload}`;
}

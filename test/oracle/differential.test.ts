/**
 * The differential test: random sequences through our engine and through nf_conntrack, verdict by verdict.
 * `scripts/differential` runs as many as you like; without it, a few hundred.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { sequences } from './arbitrary.ts';
import { describeComparison, type Comparison, type Oracle } from './compare.ts';
import { DIFFERENCES } from './differences.ts';
import { makeOracle, requireOracle } from './oracle.ts';
import type { Sequence } from './steps.ts';

/** Sequences before the two kernels are made anew, so that their tables stay far from full. */
const SEQUENCES_PER_ORACLE = 2000;
const SEQUENCES_DEFAULT = 300;

/** From scripts/differential; a seed of its own otherwise. */
function setting(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return otherwise;
  if (!/^\d+$/.test(text)) throw new Error(`${name} is '${text}', not a number`);
  return Number(text);
}

interface Tally {
  sequences: number;
  packets: number;
  compared: number;
  passed: number;
  readonly known: Map<string, number>;
}

function count(tally: Tally, { judged, compared, known }: Comparison): void {
  tally.sequences++;
  tally.packets += judged.length;
  tally.compared += compared;
  tally.passed += judged.filter(({ kernelPasses }) => kernelPasses).length;
  for (const { name } of known) tally.known.set(name, (tally.known.get(name) ?? 0) + 1);
}

test('random sequences get the same verdicts from us as from nf_conntrack', async (t) => {
  if (process.env['DIFFERENTIAL_SEQUENCES'] === undefined) {
    t.skip(
      'random sequences still find differences that are not judged yet: run scripts/differential',
    );
    return;
  }
  if (!requireOracle(t)) return;
  const total = setting('DIFFERENTIAL_SEQUENCES', SEQUENCES_DEFAULT);
  const seed = setting('DIFFERENTIAL_SEED', Date.now() % 0x7fffffff);
  t.diagnostic(`seed ${seed} (scripts/differential --sequences ${total} --seed ${seed})`);
  const tally: Tally = { sequences: 0, packets: 0, compared: 0, passed: 0, known: new Map() };
  const started = Date.now();
  for (let from = 0; from < total; from += SEQUENCES_PER_ORACLE) {
    const numRuns = Math.min(SEQUENCES_PER_ORACLE, total - from);
    const partSeed = (seed + from) % 0x7fffffff;
    await t.test(`sequences ${from + 1} to ${from + numRuns}`, async (part) => {
      await comparePart(part, { numRuns, seed: partSeed }, tally);
    });
  }
  const seconds = (Date.now() - started) / 1000;
  t.diagnostic(
    `${tally.sequences} sequences, ${tally.packets} packets, ${tally.compared} of them compared, ${tally.passed} passed by the kernel, ${seconds.toFixed(1)} s`,
  );
  for (const { name } of DIFFERENCES)
    t.diagnostic(`known difference met ${tally.known.get(name) ?? 0} times: ${name}`);
});

async function comparePart(
  t: TestContext,
  parameters: { readonly numRuns: number; readonly seed: number },
  tally: Tally,
): Promise<void> {
  const oracle = await makeOracle(t);
  const details = fc.check(
    fc.property(sequences, (sequence) => {
      const comparison = oracle.compare(sequence);
      count(tally, comparison);
      assert.equal(comparison.unknown, undefined);
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
  return `${describeComparison(sequence, comparison)}\nkernel afterwards: ${entries || 'no entry'}`;
}

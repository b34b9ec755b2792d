/** Each row of the table of differences is real: a sequence that both firewalls judge as the row says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../support/repository.ts';
import { CASES } from './cases.ts';
import { describeComparison } from './compare.ts';
import { DIFFERENCES } from './differences.ts';
import { makeOracle, requireOracle } from './oracle.ts';

/** What the other family has not. */
const ELSEWHERE: Readonly<Record<4 | 6, readonly string[]>> = {
  4: ['atomic fragment among others of its identification'],
  6: [
    'ICMP redirect', // Neighbour discovery there: never forwarded.
    'ICMP source quench',
    'first fragment without the transport header', // The kernel drops it as well.
  ],
};
const NAMES = DIFFERENCES.map(({ name }) => name);

test('every difference has a case, and is in the table of docs/conntrack.md', () => {
  const text = readFileSync(join(repositoryRoot(), 'docs/conntrack.md'), 'utf8');
  const section = /## Where we differ from nf_conntrack\n([^]*?)(?=\n## |$)/.exec(text)?.[1] ?? '';
  const documented = [...section.matchAll(/^\| (?!case |-)([^|]*?) *\|/gm)].map(([, name]) => name);
  assert.deepEqual(documented.sort(), NAMES.toSorted());
  assert.deepEqual([...new Set(CASES.map(({ row }) => row))].sort(), NAMES.toSorted());
});

test('each difference from nf_conntrack is as the table says', async (t) => {
  if (!requireOracle(t)) return;
  const oracle = await makeOracle(t);
  for (const { row, sequence, ours } of CASES) {
    await t.test(row, () => {
      for (const family of [4, 6] as const) {
        if (ELSEWHERE[family].includes(row)) continue;
        const comparison = oracle.compare({ ...sequence, family });
        const { judged } = comparison;
        const told = describeComparison(sequence, comparison);
        const at = judged.findIndex(({ differs }) => differs);
        assert.deepEqual([judged.at(at)?.ours, at], [ours, judged.length - 1], told);
        assert.deepEqual(
          comparison.known.map(({ name }) => name),
          [row],
          told,
        );
      }
    });
  }
});

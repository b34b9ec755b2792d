/** Runs one case in this process and prints its figures, a JSON array a line: metric, subject, unit, value. */
import { changeCase } from './change.ts';
import type { Case } from './case.ts';
import { establishedCase } from './established.ts';
import { memoryCase } from './memory.ts';
import { growthCase, newFlowCase } from './rules.ts';

export const CASES: readonly Case[] = [
  establishedCase(1),
  establishedCase(65_536),
  establishedCase(1_000_000),
  newFlowCase,
  growthCase('rules'),
  growthCase('prefixes'),
  growthCase('members'),
  changeCase,
  memoryCase,
];

const [name, mode, rounds] = process.argv.slice(2);
const found = CASES.find((candidate) => candidate.name === name);
if (found !== undefined) {
  found.run({
    isQuick: mode === 'quick',
    rounds: Number(rounds),
    add: (metric, subject, unit, value) => {
      process.stdout.write(`${JSON.stringify([metric, subject, unit, value])}\n`);
    },
  });
} else if (name === 'list') {
  for (const { name } of CASES) process.stdout.write(`${name}\n`);
} else {
  throw new Error(`no case ${name}`);
}

/** The cases of the benchmark "decision". */
import { changeCase } from './change.ts';
import { runCase } from './case.ts';
import { establishedCase } from './established.ts';
import { memoryCase } from './memory.ts';
import { growthCase, newFlowCase } from './rules.ts';

runCase([
  establishedCase(1),
  establishedCase(65_536),
  establishedCase(1_000_000),
  newFlowCase,
  growthCase('rules'),
  growthCase('prefixes'),
  growthCase('members'),
  changeCase,
  memoryCase,
]);

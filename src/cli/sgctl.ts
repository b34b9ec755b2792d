#!/usr/bin/env node
/** sgctl: the command people hold in their hands. What it can do is in program.ts, a file a subcommand. */
import { COMPLETE_WORD } from './complete-word.ts';

const [, , first, ...more] = process.argv;
if (first === COMPLETE_WORD) {
  // Somebody waits for a Tab: nothing else is loaded.
  const { complete } = await import('./complete.ts');
  await complete(more);
} else {
  const { runProgram } = await import('./program.ts');
  await runProgram(process.argv);
}

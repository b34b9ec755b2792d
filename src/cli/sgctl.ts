#!/usr/bin/env node
/** sgctl: the command people hold in their hands. What it can do is in program.ts, a file a subcommand. */
import { runProgram } from './program.ts';

await runProgram(process.argv);

/** One in-process benchmark: it runs in a process of its own, so that no other has shaped its compiled code. */
import { argv, stdout } from 'node:process';

export interface CaseContext {
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly add: (metric: string, subject: string, unit: string, value: number) => void;
}

export interface Case {
  readonly name: string;
  readonly run: (context: CaseContext) => void | Promise<void>;
}

/**
 * Runs the case that the command line names, and prints its figures, a JSON array a line: metric, subject, unit, value.
 * `list` names the cases (parent.ts).
 */
export function runCase(cases: readonly Case[]): void {
  const [name, mode, rounds] = argv.slice(2);
  const found = cases.find((candidate) => candidate.name === name);
  if (found !== undefined) {
    void found.run({
      isQuick: mode === 'quick',
      rounds: Number(rounds),
      add: (metric, subject, unit, value) => {
        stdout.write(`${JSON.stringify([metric, subject, unit, value])}\n`);
      },
    });
  } else if (name === 'list') {
    for (const { name } of cases) stdout.write(`${name}\n`);
  } else {
    throw new Error(`no case ${name}`);
  }
}

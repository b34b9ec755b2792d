/** The command line of scripts/bench. */
import { parseArgs } from 'node:util';
import { RIVALS, type RivalName } from './results.ts';

export interface Arguments {
  readonly isQuick: boolean;
  readonly json: string | undefined;
  readonly markdown: string | undefined;
  /** Names of benchmarks; empty: all. */
  readonly only: readonly string[];
  readonly rivals: readonly RivalName[];
  /** undefined: as many as each benchmark has by itself. */
  readonly rounds: number | undefined;
  readonly lists: boolean;
}

export class UsageError extends Error {}

const ROUNDS_MAX = 100;

/** @throws UsageError that says what is wrong with them */
export function readArguments(args: readonly string[], benchmarks: readonly string[]): Arguments {
  const { values } = parse(args);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX))
    throw new UsageError(`--rounds goes from 1 to ${ROUNDS_MAX}`);
  const only = names(values.only, benchmarks, 'benchmark');
  const rivals = names(values.rivals, RIVALS, 'rival');
  return {
    isQuick: values.quick ?? false,
    json: values.json,
    markdown: values.markdown,
    only,
    rounds,
    lists: values.list ?? false,
    // Without us there is nothing to compare with.
    rivals: RIVALS.filter(
      (name) => name === 'secgroupd' || rivals.length === 0 || rivals.includes(name),
    ),
  };
}

function parse(args: readonly string[]): ReturnType<typeof parseStrictly> {
  try {
    return parseStrictly(args);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function parseStrictly(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean' },
      json: { type: 'string' },
      markdown: { type: 'string' },
      only: { type: 'string', multiple: true },
      rivals: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      list: { type: 'boolean' },
    },
  });
}

/** `--only a,b --only c` */
function names<Name extends string>(
  texts: readonly string[] | undefined,
  known: readonly Name[],
  what: string,
): Name[] {
  return (texts ?? [])
    .flatMap((text) => text.split(','))
    .map((text) => {
      const name = known.find((candidate) => candidate === text);
      if (name === undefined)
        throw new UsageError(`there is no ${what} '${text}'; there are ${known.join(', ')}`);
      return name;
    });
}

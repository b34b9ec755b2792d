/** `sgctl trace`: verdicts as they fall. */
import { Option, type Command } from 'commander';
import { follow } from '../control-socket/control-client.ts';
import { DIRECTIONS, TRACE_VERDICTS, type TraceQuestion } from '../queries/trace-stream.ts';
import { REASON_NAMES, type VerdictView } from '../queries/verdict-view.ts';
import { printable } from '../source/excerpt.ts';
import {
  addFilterOptions,
  choiceList,
  FILTER_HELP,
  parseDurationOption,
  readFilter,
  wholeNumber,
  type FilterOptions,
} from './filter-options.ts';
import { cut, terminalColumns } from './fit-table.ts';
import { drained, runLive } from './live.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { addTableOptions, type TableOptions } from './table-options.ts';
import { paintVerdictWord, VERDICT_WORDS, verdictText, whyTexts } from './traffic-text.ts';
import { formatClock } from './units.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { count as countOf } from '../source/count.ts';

interface Options extends FilterOptions, SocketOptions, FollowOptions {
  readonly all?: true;
  readonly verdict?: (typeof TRACE_VERDICTS)[number];
  readonly direction?: (typeof DIRECTIONS)[number];
  readonly reason?: readonly string[];
}

const COUNT_MAX = 1_000_000_000;

export function addTraceCommand(program: Command): void {
  const command = program
    .command('trace')
    .summary('verdicts as they fall, with reason and rule')
    .description(
      'Shows what the running daemon decides while it decides: each packet that is dropped and the first packet of each flow, with the interface, the direction, and the reason or the rule. Between two interfaces here a packet is judged twice.',
    );
  addFilterOptions(command)
    .option('--all', 'every packet')
    .addOption(new Option('--verdict <verdict>', 'only these').choices(TRACE_VERDICTS))
    .addOption(new Option('--direction <direction>', 'only this direction').choices(DIRECTIONS))
    .addOption(choiceList('--reason <reason>', 'only drops for this reason', REASON_NAMES))
    .option('-c, --count <number>', 'stop after so many', wholeNumber(1, COUNT_MAX))
    .option('--duration <duration>', 'stop after 30s, 5m, 2h', parseDurationOption)
    .option('--json', 'print an object a line')
    .addHelpText(
      'after',
      `${FILTER_HELP}

What can't be shown in time is counted and told, on stderr. Ctrl-C ends it.

${exitCodeHelp('sgctl trace')}

Examples:
  sgctl trace
  sgctl trace --verdict dropped --interface eni-web-1
  sgctl trace --all --address 10.0.0.11 --port 443
  sgctl trace --json --count 100 | jq -r .packet.remoteAddress | sort | uniq -c`,
    )
    .action(runTrace);
  addTableOptions(command, TRACE_TITLES);
  addSocketOptions(command);
}

async function runTrace(options: Options): Promise<void> {
  await followVerdicts(findSocket(options), readQuestion(options), options);
}

export interface FollowOptions extends TableOptions {
  readonly count?: number;
  readonly duration?: number;
  readonly json?: true;
}

/** Prints verdicts until their count, the duration, or somebody ends it. */
export async function followVerdicts(
  socket: string,
  question: TraceQuestion,
  options: FollowOptions,
): Promise<void> {
  const { count = Infinity, duration, json, columns } = options;
  const width = options.wide === true ? undefined : terminalColumns();
  let shown = 0;
  let missedInAll = 0;
  await runLive(async (stop) => {
    const timer = duration === undefined ? undefined : setTimeout(() => stop.abort(), duration);
    try {
      await follow(socket, 'trace', question, {
        signal: stop.signal,
        begin: () => console.error('sgctl: watching; Ctrl-C ends it'),
        take: ({ verdicts, lost }, missed) => {
          for (const verdict of verdicts) {
            if (shown === count) break;
            shown++;
            console.log(
              json === true ? JSON.stringify(verdict) : verdictLine(verdict, columns, width),
            );
          }
          missedInAll += missed + lost;
          if (missed > 0)
            console.error(`sgctl: ${missed} more matched and could not be shown in time`);
          if (lost > 0)
            console.error(`sgctl: lost ${countOf(lost, 'event')}: the daemon could not keep up`);
          if (shown >= count) stop.abort();
          return drained();
        },
      });
    } finally {
      clearTimeout(timer);
    }
  });
  const missed = missedInAll === 0 ? '' : `, ${missedInAll} missed`;
  console.error(`sgctl: ${shown} shown${missed}`);
}

function readQuestion(options: Options): TraceQuestion {
  const { all, verdict, direction, reason } = options;
  return {
    ...readFilter(options),
    ...(all === undefined ? {} : { all }),
    ...(verdict === undefined ? {} : { verdict }),
    ...(direction === undefined ? {} : { direction }),
    ...(reason === undefined ? {} : { reasons: reason }),
  };
}

export const TRACE_TITLES = [
  'time',
  'verdict',
  'why',
  'packet',
  'interface',
  'direction',
  'detail',
] as const;
type Title = (typeof TRACE_TITLES)[number];

/** What columns take in a line where nothing is cut; the last ones as they come. */
const WIDTHS: Readonly<Partial<Record<Title, number>>> = {
  why: 24,
  packet: 44,
  interface: 12,
  direction: 7,
};
/** Of a terminal, what is not for `why`: time, verdict, a packet of IPv4 with ports, and what is between. */
const BESIDE_WHY = 64;
const WHY_MIN = 14;
const GAP = '  ';

/**
 * One line: when, the verdict, the reason or the rule, and then what it was about.
 * @param width of the terminal: the line is cut to it. Undefined: nothing is cut
 */
export function verdictLine(
  view: VerdictView,
  titles: readonly string[] = TRACE_TITLES,
  width: number | undefined = undefined,
): string {
  const { timeMs, direction, verdict, interface: name } = view;
  const texts: Readonly<Record<Title, string>> = {
    time: formatClock(timeMs),
    verdict: VERDICT_WORDS[verdict],
    ...whyTexts(view),
    packet: verdictText(view),
    interface: name,
    direction,
  };
  const cells = (titles as readonly Title[]).map((title) => {
    const text = printable(texts[title]);
    if (title !== 'why' || width === undefined) return text.padEnd(WIDTHS[title] ?? 0);
    const room = Math.min(Math.max(width - BESIDE_WHY, WHY_MIN), WIDTHS.why!);
    return cut(text, room).padEnd(room);
  });
  const line = cut(cells.join(GAP).trimEnd(), width ?? Infinity);
  // Coloured where it stands whole: the verdict is the first such word, if it comes before what others wrote.
  const word = VERDICT_WORDS[verdict];
  const before = titles.slice(0, titles.indexOf('verdict'));
  return titles.includes('verdict') && before.every((title) => title === 'time')
    ? line.replace(word, () => paintVerdictWord(verdict))
    : line;
}

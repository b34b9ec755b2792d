/** `sgctl trace`: verdicts as they fall. */
import { Option, type Command } from 'commander';
import { follow } from '../control/socket/control-client.ts';
import { DIRECTIONS, VERDICTS, type TraceQuestion } from '../control/socket/trace-stream.ts';
import { REASON_NAMES, type VerdictView } from '../control/views/verdict-view.ts';
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
import { hasColor } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { packetText, paintVerdictWord, whyText } from './traffic-text.ts';
import { formatClock } from './units.ts';
import { exitCodeHelp } from './exit-codes.ts';

interface Options extends FilterOptions, SocketOptions {
  readonly all?: true;
  readonly verdict?: (typeof VERDICTS)[number];
  readonly direction?: (typeof DIRECTIONS)[number];
  readonly reason?: readonly string[];
  readonly count?: number;
  readonly duration?: number;
  readonly json?: true;
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
    .addOption(new Option('--verdict <verdict>', 'only these').choices(VERDICTS))
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
  addSocketOptions(command);
}

async function runTrace(options: Options): Promise<void> {
  const socket = findSocket(options);
  const { count = Infinity, duration, json } = options;
  let shown = 0;
  let missedInAll = 0;
  await runLive(async (stop) => {
    const timer = duration === undefined ? undefined : setTimeout(() => stop.abort(), duration);
    try {
      await follow(socket, 'trace', readQuestion(options), {
        signal: stop.signal,
        begin: () => console.error('sgctl: watching; Ctrl-C ends it'),
        take: ({ verdicts, lost }, missed) => {
          for (const verdict of verdicts) {
            if (shown === count) break;
            shown++;
            console.log(json === true ? JSON.stringify(verdict) : verdictLine(verdict));
          }
          missedInAll += missed + lost;
          if (missed > 0)
            console.error(`sgctl: ${missed} more matched and could not be shown in time`);
          if (lost > 0)
            console.error(`sgctl: ${lost} events were lost: the daemon could not keep up`);
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

const INTERFACE_COLUMNS = 12;
const VERDICT_WORD = 'PASS';

/** One line; on a terminal cut to its width. */
export function verdictLine(view: VerdictView): string {
  const { timeMs, direction, verdict, packet, bytes } = view;
  const name = printable(view.interface).padEnd(INTERFACE_COLUMNS);
  const what =
    packet === undefined ? `${bytes ?? 0} bytes that can't be read` : packetText(direction, packet);
  const before = `${formatClock(timeMs)}  ${name}  ${direction.padEnd('ingress'.length)}  `;
  const after = `  ${printable(`${what}  ${whyText(view)}`)}`;
  const width = terminalColumns() ?? Infinity;
  const room = Math.max(0, width - before.length - VERDICT_WORD.length);
  const word = paintVerdictWord(verdict);
  return hasColor(process.stdout) || width !== Infinity
    ? `${before}${word}${cut(after, room)}`
    : `${before}${word}${after}`;
}

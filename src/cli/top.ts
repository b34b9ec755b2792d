/** `sgctl top`: what moves, second by second. */
import { Option, type Command } from 'commander';
import { follow } from '../control-socket/control-client.ts';
import { TOP_FLOWS_MAX, TOP_ORDERS, type TopAnswer } from '../queries/top-stream.ts';
import { wholeNumber } from './filter-options.ts';
import { terminalColumns } from './fit-table.ts';
import { runLive, Screen } from './live.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { addTableOptions, titlesOf, type TableOptions } from './table-options.ts';
import { FLOW_COLUMNS, plainTop, screenTop } from './top-screen.ts';
import { exitCodeHelp } from './exit-codes.ts';

interface Options extends SocketOptions, TableOptions {
  readonly sort: (typeof TOP_ORDERS)[number];
  readonly limit: number;
  readonly count?: number;
  readonly json?: true;
}

const FLOWS_DEFAULT = 50;
const COUNT_MAX = 1_000_000_000;

export function addTopCommand(program: Command): void {
  const command = program
    .command('top')
    .summary('flows, rules and drops by their rates, live')
    .description(
      'Shows what the running daemon passes and drops, second by second: interfaces, the fastest flows, the rules that admit most, what is dropped and why. On a terminal it draws anew each second until q; else it prints one look of a second, or --count of them.',
    )
    .addOption(
      new Option('--sort <order>', 'flows by what').choices(TOP_ORDERS).default(TOP_ORDERS[0]),
    )
    .addOption(
      new Option('-n, --limit <number>', 'flows at most')
        .default(FLOWS_DEFAULT)
        .argParser(wholeNumber(0, TOP_FLOWS_MAX)),
    )
    .option('-c, --count <number>', 'stop after so many looks', wholeNumber(1, COUNT_MAX))
    .option('--json', 'print an object a line, each second one')
    .addHelpText(
      'after',
      `
Keys: b sorts flows by bytes, p by packets, q quits. --columns is about the table of
flows; with --wide it prints looks, as where stdout is no terminal.

${exitCodeHelp('sgctl top')}

Examples:
  sgctl top
  sgctl top --sort packets
  sgctl top | head -30
  sgctl top --json | jq -c '.topDrops[]'`,
    );
  addTableOptions(command, titlesOf(FLOW_COLUMNS));
  addSocketOptions(command).action(runTop);
}

async function runTop(options: Options): Promise<void> {
  const socket = findSocket(options);
  const { sort, limit, json, wide, columns } = options;
  const isScreen = json !== true && wide !== true && process.stdout.isTTY;
  const most = options.count ?? (json === true || isScreen ? Infinity : 1);
  const width = wide === true ? undefined : terminalColumns();
  // On a screen the order can be changed: it wants the fastest of either.
  const question = isScreen ? { sort, limit: TOP_FLOWS_MAX } : { sort, limit };
  await runLive(async (stop) => {
    let order = sort;
    let looks = 0;
    const screen = isScreen
      ? new Screen(stop, (key) => {
          if (key === 'b') order = 'bytes';
          if (key === 'p') order = 'packets';
        })
      : undefined;
    const take = (answer: TopAnswer): void => {
      if (json === true) {
        console.log(JSON.stringify(answer));
      } else if (screen === undefined) {
        console.log(`${looks === 0 ? '' : '\n'}${plainTop(answer, columns, width).join('\n')}`);
      } else {
        screen.show(() => screenTop(answer, order, limit, columns, screen));
      }
      looks++;
      if (looks >= most) stop.abort();
    };
    screen?.open();
    try {
      await follow(socket, 'top', question, { signal: stop.signal, take });
    } finally {
      screen?.close();
    }
  });
}

/** `sgctl top`: what moves, second by second. */
import { Option, type Command } from 'commander';
import { follow } from '../control/socket/control-client.ts';
import { TOP_FLOWS_MAX, TOP_ORDERS, type TopAnswer } from '../control/socket/top-stream.ts';
import { wholeNumber } from './filter-options.ts';
import { terminalColumns } from './fit-table.ts';
import { runLive, Screen } from './live.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { plainTop, screenTop } from './top-screen.ts';
import { exitCodeHelp } from './exit-codes.ts';

interface Options extends SocketOptions {
  readonly sort: (typeof TOP_ORDERS)[number];
  readonly limit: number;
  readonly json?: true;
}

const FLOWS_DEFAULT = 50;

export function addTopCommand(program: Command): void {
  const command = program
    .command('top')
    .summary('flows, rules and drops by their rates, live')
    .description(
      'Shows what the running daemon passes and drops, second by second: interfaces, the fastest flows, the rules that admit most, what is dropped and why. On a terminal it draws anew each second until q; else it prints one look of a second.',
    )
    .addOption(
      new Option('--sort <order>', 'flows by what').choices(TOP_ORDERS).default(TOP_ORDERS[0]),
    )
    .addOption(
      new Option('-n, --limit <number>', 'flows at most')
        .default(FLOWS_DEFAULT)
        .argParser(wholeNumber(0, TOP_FLOWS_MAX)),
    )
    .option('--json', 'print an object a second')
    .addHelpText(
      'after',
      `
Keys: b sorts flows by bytes, p by packets, q quits.

${exitCodeHelp('sgctl top')}

Examples:
  sgctl top
  sgctl top --sort packets
  sgctl top | head -30
  sgctl top --json | jq -c '.topDrops[]'`,
    );
  addSocketOptions(command).action(runTop);
}

async function runTop(options: Options): Promise<void> {
  const socket = findSocket(options);
  const { sort, limit, json } = options;
  const isScreen = json !== true && process.stdout.isTTY;
  // On a screen the order can be changed: it wants the fastest of either.
  const question = isScreen ? { sort, limit: TOP_FLOWS_MAX } : { sort, limit };
  await runLive(async (stop) => {
    let order = sort;
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
        console.log(plainTop(answer, terminalColumns()).join('\n'));
        stop.abort();
      } else {
        screen.show(() => screenTop(answer, order, limit, screen));
      }
    };
    screen?.open();
    try {
      await follow(socket, 'top', question, { signal: stop.signal, take });
    } finally {
      screen?.close();
    }
  });
}
